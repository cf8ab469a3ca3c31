package web

import (
	"cmp"
	"context"
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
	mostFindings  = 2000
	mostUpdates   = 500
	mostWorkloads = 500
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
	Namespaces few
	Pods       int
	// States are the state of each name, each once.
	States []stateRow
	// Told says that channels have been told of it, and Scale what.
	Told  bool
	Scale scale
	// Workloads are the first of what runs it, MoreWorkloads how many there are besides.
	Workloads     []Workload
	MoreWorkloads int
	// Missing says why there is no report; empty when there is one.
	Missing string
	Report  reportView
}

// reportView is what a page shows of a report.
type reportView struct {
	Distribution string
	Packages     int
	Covered      bool
	Scale        scale
	// Total counts the findings, Fixable those with a fix.
	Total, Fixable int
	// Updates are the first of those to make, MoreUpdates how many there are besides.
	Updates     []updateRow
	MoreUpdates int
	// Findings are the first, worst first, More how many there are besides.
	Findings []findingRow
	More     int
}

// updateRow is an update to make.
type updateRow struct {
	Package, Installed, FixedIn string
	Findings                    int
	Worst                       findingRow
}

// findingRow is a finding in the table.
type findingRow struct {
	Severity, Name     string
	Link               string // empty: there is none to follow
	Package, Installed string
	FixedIn, CVSS      string // empty: none
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
	v.running(images)
	view, err := p.report(r.Context(), digest)
	status := http.StatusOK
	switch {
	case err == nil:
		v.Report = view
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
func (v *imagePage) running(images []Image) {
	var names, namespaces []string
	for _, img := range images {
		names, namespaces = append(names, img.Name), append(namespaces, img.Namespaces...)
		v.Pods = max(v.Pods, img.Pods)
		v.Platform = cmp.Or(v.Platform, img.Platform)
		if img.Told && !v.Told {
			v.Told, v.Scale = true, newScale(img.Counts)
		}
	}
	slices.Sort(names[1:])
	v.Name, v.Others = names[0], first(slices.Compact(names[1:]), mostNames)
	slices.Sort(namespaces)
	v.Namespaces = first(slices.Compact(namespaces), mostNames)
	v.States = states(images)
	all, pods := workloads(images), 0
	for _, w := range all {
		pods += w.Pods
	}
	v.Pods = max(v.Pods, pods) // not the sum over names, since a pod can run several
	v.Workloads = all[:min(len(all), mostWorkloads)]
	v.MoreWorkloads = len(all) - len(v.Workloads)
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

// report fetches a report and keeps of it what the page shows.
func (p *pages) report(ctx context.Context, digest string) (reportView, error) {
	r, err := p.fetch(ctx, digest)
	if err != nil {
		return reportView{}, err
	}
	return newReportView(r.Report), nil
}

func newReportView(r findings.Report) reportView {
	c := findings.Count(r.Findings)
	v := reportView{
		Distribution: brief(r.Distribution),
		Packages:     r.Packages,
		Covered:      r.Covered,
		Scale:        newScale(c),
		Total:        c.Total(),
		Fixable:      c.Fixable,
	}
	for _, u := range findings.Updates(r.Findings) {
		switch {
		case u.FixedIn == "": // those with a fix come first, and the others are not to be made
		case len(v.Updates) == mostUpdates:
			v.MoreUpdates++
		default:
			v.Updates = append(v.Updates, updateRow{
				Package:   brief(u.Package),
				Installed: brief(u.Installed),
				FixedIn:   brief(u.FixedIn),
				Findings:  u.Findings,
				Worst:     newFindingRow(u.Worst),
			})
		}
	}
	for _, f := range r.Findings[:min(len(r.Findings), mostFindings)] {
		v.Findings = append(v.Findings, newFindingRow(f))
	}
	v.More = len(r.Findings) - len(v.Findings)
	return v
}

func newFindingRow(f findings.Finding) findingRow {
	row := findingRow{
		Severity:  word(f.Severity),
		Name:      brief(f.Name),
		Link:      link(f.Link),
		Package:   brief(f.Package),
		Installed: brief(f.Installed),
		FixedIn:   brief(f.FixedIn),
	}
	if f.CVSS > 0 {
		row.CVSS = strconv.FormatFloat(f.CVSS, 'f', 1, 64)
	}
	return row
}

// link returns an address that may be followed; empty for all others.
func link(address string) string {
	const longest = 1000
	u, err := url.Parse(address)
	if err != nil || len(address) > longest || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}
