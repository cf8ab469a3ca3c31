package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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

// serveImage answers with what is known of a digest and what Clair says of it now.
func (p *pages) serveImage(w http.ResponseWriter, r *http.Request, digest string) {
	const gone = "Its pods may have ended, the image was updated, or it cannot be scanned: the list of images says why."
	if !isDigest(digest) {
		p.serveFault(w, r, http.StatusNotFound, "There is no such image", "An image's address ends in its digest: sha256: and 64 hexadecimal digits.")
		return
	}
	var images []Image
	for _, img := range p.source.Images() {
		if img.Digest == digest {
			images = append(images, img)
		}
	}
	if len(images) == 0 {
		p.serveFault(w, r, http.StatusNotFound, "No image with this digest was scanned", gone)
		return
	}
	v := imagePage{page: p.newPage(r, images[0].Name), Digest: digest}
	v.running(images, p.now())
	report, err := p.fetch(r.Context(), digest)
	status := http.StatusOK
	switch {
	case err == nil:
		v.Report = newReportView(report, r.URL.Query(), v.Root, p.now())
	case errors.Is(err, ErrUnknown):
		p.serveFault(w, r, http.StatusNotFound, "No image with this digest was scanned", gone)
		return
	case errors.Is(err, errBusy):
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", strconv.Itoa(int(reportTimeout/time.Second)))
		v.Missing = "Other reports are being fetched, and this one did not get its turn. Reload the page in half a minute."
	case errors.Is(err, ErrNotIndexed):
		v.Missing = "Clair has no report of this image, or none yet."
	case errors.Is(err, ErrTooLarge):
		status = http.StatusBadGateway
		v.Missing = "Clair's report of this image is larger than clairwatch reads."
	default: // what it says is not shown: it can hold what others wrote
		status = http.StatusBadGateway
		v.Missing = "Clair does not answer, so its report cannot be shown now. Reload the page to ask again; if it lasts, check that Clair and its database run."
	}
	p.write(w, p.image, status, v)
}

// running fills in what is known without Clair. There is at least one image.
func (v *imagePage) running(images []Image, now time.Time) {
	var names, namespaces []string
	var since time.Time
	for _, img := range images {
		names, namespaces = append(names, img.Name), append(namespaces, img.Namespaces...)
		v.Platform = cmp.Or(v.Platform, img.Platform)
		v.Told = v.Told || img.Told
		if !img.Since.IsZero() && (since.IsZero() || img.Since.Before(since)) {
			since = img.Since
		}
	}
	v.Since = newMoment(since, now)
	slices.Sort(names[1:])
	v.Name, v.Others = names[0], first(slices.Compact(names[1:]), mostNames)
	slices.Sort(namespaces)
	v.Namespaces = firstPlaces(v.Root, toNamespaces, slices.Compact(namespaces), mostNames)
	v.States = states(images)
	all := workloads(images)
	v.Pods = podsOf(images, all)
	for _, w := range all[:min(len(all), mostWorkloads)] {
		v.Workloads = append(v.Workloads, newWorkloadRow(w, v.Root))
	}
	v.MoreWorkloads = len(all) - len(v.Workloads)
}

func newWorkloadRow(w Workload, root string) workloadRow {
	return workloadRow{Kind: w.Kind, Name: w.Name, Namespace: newPlace(root, toNamespaces, w.Namespace), Pods: w.Pods}
}

// podsOf is in how many pods any of the images of one digest runs, of which workloads are known.
func podsOf(images []Image, known []Workload) int {
	most, pods := 0, 0
	for _, img := range images {
		most = max(most, img.Pods)
	}
	for _, w := range known {
		pods += w.Pods
	}
	return max(most, pods) // not the sum over names, since a pod can run several
}

// workloads are what runs any of the images, in order and each once.
func workloads(images []Image) []Workload {
	var all []Workload
	for _, img := range images {
		all = append(all, img.Workloads...)
	}
	// A pod can run one image under two names, so the larger number of two is right, not their sum.
	slices.SortFunc(all, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(b.Pods, a.Pods))
	})
	return slices.CompactFunc(all, func(a, b Workload) bool {
		a.Pods, b.Pods = 0, 0
		return a == b
	})
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
			v.Hearers = append(v.Hearers, newHearerRow(h, len(r.Findings), root, now))
		}
	}
	v.MoreHearers = len(r.Hearers) - len(v.Hearers)
	v.Ignores, v.MoreIgnores = ignoresOf(r.Hearers, names, r.Findings, now)
	v.Findings = newFindingTable(r, q, root, names)
	if v.Findings.ByLayer {
		all := layersOf(r.Findings)
		v.Layers = all[:min(len(all), mostLayers)]
		v.MoreLayers = len(all) - len(v.Layers)
	}
	for _, u := range findings.Updates(r.Findings) {
		switch {
		case u.FixedIn == "": // those with a fix come first, and the others are not to be made
		case len(v.Updates) == mostUpdates:
			v.MoreUpdates++
		default:
			v.Updates = append(v.Updates, updateRow{
				Package:   u.Package,
				Installed: u.Installed,
				FixedIn:   u.FixedIn,
				Findings:  u.Findings,
				Worst:     newFindingRow(u.Worst, root),
			})
		}
	}
	return v
}

func newFindingRow(f findings.Finding, root string) findingRow {
	return findingRow{
		Severity:  word(f.Severity),
		Advisory:  newPlace(root, toVulnerabilities, f.Name),
		Source:    newSource(f.Name, f.Link),
		Package:   f.Package,
		Installed: f.Installed,
		FixedIn:   f.FixedIn,
		CVSS:      score(f.CVSS),
		Layer:     f.Layer,
		Short:     shortLayer(f.Layer),
	}
}

// score writes a CVSS score; empty where there is none.
func score(cvss float64) string {
	if cvss <= 0 {
		return ""
	}
	return strconv.FormatFloat(cvss, 'f', 1, 64)
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
