package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// How much the page of an image shows; the rest is counted.
const (
	mostFindings  = 500 // on one page of them
	mostUpdates   = 500
	mostWorkloads = 500
	mostLayers    = 150 // an image has at most 127
	mostPackages  = 500 // that the form offers; others can be written
	mostNames     = 20
)

// imagePage is the page of what runs under one digest.
type imagePage struct {
	page
	Digest string
	// Name is the first name, Others are the rest of them.
	Name   string
	Others few
	// Platform is that of the manifest, Namespaces where it runs, Pods in how many.
	Platform   string
	Namespaces places
	Pods       int
	// States are the state of each name, each once.
	States []stateRow
	// Told says that any channel has been told of it, Since when one was for the first time.
	Told  bool
	Since moment
	// Workloads are the first of what runs it, MoreWorkloads how many there are besides.
	Workloads     []workloadRow
	MoreWorkloads int
	// Missing says why there is no report; empty when there is one.
	Missing string
	Report  reportView
}

// workloadRow is what runs an image.
type workloadRow struct {
	Kind, Name string
	Namespace  place
	Pods       int
}

// reportView is what a page shows of a report.
type reportView struct {
	// Clair is the address of the one that says so.
	Clair        string
	Distribution string
	Packages     int
	Covered      bool
	Scale        scale
	// Total counts the findings, Fixable those with a fix.
	Total, Fixable int
	// Updates are the first of those to make, MoreUpdates how many there are besides.
	Updates     []updateRow
	MoreUpdates int
	// Hearers are the first of the Scanners that look at it, MoreHearers how many there are besides.
	Hearers     []hearerRow
	MoreHearers int
	// Ignores are the first of the entries of ignore that hold for it, MoreIgnores how many there are besides.
	Ignores     []ignoreRow
	MoreIgnores int
	// Layers are the first of those that brought what has findings, MoreLayers how many there are besides; none where
	// all are of the same.
	Layers     []layerRow
	MoreLayers int
	Findings   findingTable
}

// updateRow is an update to make.
type updateRow struct {
	Package, Installed, FixedIn string
	Findings                    int
	Worst                       findingRow
}

// findingRow is a finding in the table.
type findingRow struct {
	Severity string
	// Advisory leads to the page of the vulnerability, Source to who published it.
	Advisory           place
	Source             source
	Package, Installed string
	FixedIn, CVSS      string // empty: none
	// Layer is a digest, Short the beginning of it.
	Layer, Short string
	// Decisions are what Scanners do with it that do not simply tell it; Ignored: all of them ignore it.
	Decisions []decisionRow
	Ignored   bool
}

// source is a page elsewhere about an advisory.
type source struct {
	// Name is that of the advisory, Host where the page is; Href is empty where there is none to follow.
	Name, Host, Href string
}

// answerImage answers with what is known of a digest and what Clair says of it now.
func (p *pages) answerImage(r *http.Request, digest string) finished {
	if !isDigest(digest) {
		return p.newFault(r, http.StatusNotFound, "There is no such image", "An image's address ends in its digest: sha256: and 64 hexadecimal digits.")
	}
	images, err := p.imagesOf(r.Context(), digest)
	switch {
	case err != nil:
		return p.busy(r)
	case len(images) == 0:
		return p.gone(r)
	}
	var f finished
	err = p.fetch(r.Context(), digest, func(report Report) {
		v := p.newImagePage(r, digest, images)
		v.Report = newReportView(report, r.URL.Query(), v.Root, p.now())
		f = p.execute(r, p.image, http.StatusOK, v)
	})
	switch {
	case err == nil:
		return f
	case errors.Is(err, ErrUnknown):
		return p.gone(r)
	}
	return p.inTurn(r, func() finished {
		v := p.newImagePage(r, digest, images)
		var status int
		status, v.Missing = withoutReport(err)
		return p.execute(r, p.image, status, v)
	})
}

// imagesOf are what runs under a digest. They are copies, so that nothing else is kept while a report is waited for. Its
// error is errBusy.
func (p *pages) imagesOf(ctx context.Context, digest string) ([]Image, error) {
	var images []Image
	err := p.making.take(ctx, func(context.Context) {
		for _, img := range p.source.Images() {
			if img.Digest == digest {
				images = append(images, img)
			}
		}
	})
	return images, err
}

// gone says that nothing is known of a digest.
func (p *pages) gone(r *http.Request) finished {
	if !p.source.Cluster().Leads {
		return p.standsBy(r)
	}
	return p.newFault(r, http.StatusNotFound, "No image that runs has this digest", "Its pods may have ended, the image was updated, or it cannot be scanned: the list of images says why.")
}

// withoutReport says why there is no report, and which status says so.
func withoutReport(err error) (status int, why string) {
	switch {
	case errors.Is(err, errBusy):
		return http.StatusServiceUnavailable, "Other reports are being fetched, and this one did not get its turn. Reload the page in half a minute."
	case errors.Is(err, ErrNotIndexed):
		return http.StatusOK, "Clair has no report of this image, or none yet."
	case errors.Is(err, ErrTooLarge):
		return http.StatusBadGateway, "Clair's report of this image is larger than clairwatch reads."
	default: // what it says is not shown: it can hold what others wrote
		return http.StatusBadGateway, "Clair does not answer, so its report cannot be shown now. Reload the page to ask again; if it lasts, check that Clair and its database run."
	}
}

// newImagePage says what is known without Clair of images of one digest, of which there is at least one.
func (p *pages) newImagePage(r *http.Request, digest string, images []Image) imagePage {
	at := newRunning(pointers(images))
	v := imagePage{page: p.newPage(r, at.name), Digest: digest, Name: at.name, Platform: at.platform, Pods: at.pods}
	v.Others = first(slices.DeleteFunc(at.names, func(name string) bool { return name == at.name }), mostNames)
	v.Namespaces = firstPlaces(v.Root, toNamespaces, at.namespaces, mostNames)
	v.States = states(images)
	v.Told, v.Since = told(images, p.now())
	for _, w := range at.workloads[:min(len(at.workloads), mostWorkloads)] {
		v.Workloads = append(v.Workloads, newWorkloadRow(w, v.Root))
	}
	v.MoreWorkloads = len(at.workloads) - len(v.Workloads)
	return v
}

// told says whether any channel has been told of any of the images, and when one was for the first time.
func told(images []Image, now time.Time) (any bool, since moment) {
	var earliest time.Time
	for _, img := range images {
		any = any || img.Told
		if !img.Since.IsZero() && (earliest.IsZero() || img.Since.Before(earliest)) {
			earliest = img.Since
		}
	}
	return any, newMoment(earliest, now)
}

func newWorkloadRow(w Workload, root string) workloadRow {
	return workloadRow{Kind: w.Kind, Name: w.Name, Namespace: newPlace(root, toNamespaces, w.Namespace), Pods: w.Pods}
}

// newReportView shows of a report what a query asks for.
func newReportView(r Report, q url.Values, root string, now time.Time) reportView {
	c := findings.Count(r.Findings)
	v := reportView{
		Clair:        r.Clair,
		Distribution: r.Distribution,
		Packages:     r.Packages,
		Covered:      r.Covered,
		Scale:        newScale(c),
		Total:        c.Total(),
		Fixable:      c.Fixable,
	}
	names := make([]string, len(r.Hearers))
	for n, h := range r.Hearers {
		names[n] = nameOf(h)
		if n < mostHearers {
			v.Hearers = append(v.Hearers, newHearerRow(h, r, root, now))
		}
	}
	v.MoreHearers = len(r.Hearers) - len(v.Hearers) + r.MoreHearers
	v.Ignores, v.MoreIgnores = ignoresOf(r.Hearers, names, r.Findings, now)
	v.Findings = newFindingTable(r, q, root, names)
	if v.Findings.ByLayer {
		all := layersOf(r.Findings)
		v.Layers = all[:min(len(all), mostLayers)]
		v.MoreLayers = len(all) - len(v.Layers)
	}
	updates, more := updatesToMake(r.Findings)
	for _, u := range updates {
		v.Updates = append(v.Updates, updateRow{
			Package:   u.Package,
			Installed: u.Installed,
			FixedIn:   u.FixedIn,
			Findings:  u.Findings,
			Worst:     newFindingRow(u.Worst, root),
		})
	}
	v.MoreUpdates = more
	return v
}

// updatesToMake are the first of the updates that end findings, the most urgent first, and how many there are besides.
func updatesToMake(fs []findings.Finding) (updates []findings.Update, more int) {
	all := findings.Updates(fs)
	// Those with a fix come first, and the others are not to be made.
	if n := slices.IndexFunc(all, func(u findings.Update) bool { return u.FixedIn == "" }); n >= 0 {
		all = all[:n]
	}
	return all[:min(len(all), mostUpdates)], max(0, len(all)-mostUpdates)
}

func newFindingRow(f findings.Finding, root string) findingRow {
	return findingRow{
		Severity:  word(f.Severity),
		Advisory:  newAdvisoryPlace(root, f),
		Source:    newSource(f.Name, f.Link),
		Package:   f.Package,
		Installed: f.Installed,
		FixedIn:   f.FixedIn,
		CVSS:      score(cvss(f)),
		Layer:     f.Layer,
		Short:     shortLayer(f.Layer),
	}
}

// newSource leads to an advisory, if its address may be followed.
func newSource(name, address string) source {
	u := link(address)
	if u == nil {
		return source{}
	}
	return source{Name: name, Host: u.Hostname(), Href: u.String()}
}

// link reads an address that may be followed; nil for all others.
func link(address string) *url.URL {
	const longest = 1000
	u, err := url.Parse(address)
	if err != nil || len(address) > longest || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil
	}
	return u
}
