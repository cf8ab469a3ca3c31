package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// apiImageAnswer answers images/<digest>: what is known of an image, and what Clair says of it now.
type apiImageAnswer struct {
	Digest string `json:"digest"`
	// Names are the image under each name.
	Names         []apiImageItem `json:"names"`
	MoreNames     int            `json:"moreNames,omitempty"`
	Workloads     []apiWorkload  `json:"workloads"`
	MoreWorkloads int            `json:"moreWorkloads,omitempty"`
	// NoReport says why there is no report; then there are neither it nor hearers.
	NoReport string     `json:"noReport,omitempty"`
	Report   *apiReport `json:"report,omitempty"`
	// Hearers are the Scanners that look at the image.
	Hearers     []apiHearer `json:"hearers"`
	MoreHearers int         `json:"moreHearers,omitempty"`
}

// apiReport is what Clair says of an image now.
type apiReport struct {
	// Clair is the address of the one that says so.
	Clair string `json:"clair"`
	// Distribution is empty where Clair has recognized none.
	Distribution string `json:"distribution"`
	Packages     int    `json:"packages"`
	// Covered says whether Clair has data for anything that is in it.
	Covered bool       `json:"covered"`
	Counts  *apiCounts `json:"counts,omitempty"`
	// Updates are those to make, the most urgent first.
	Updates     []apiUpdate `json:"updates"`
	MoreUpdates int         `json:"moreUpdates,omitempty"`
	// Findings are the asked ones of those that pass the filter, worst first; Total is the number of all of these.
	Findings []apiHeardFinding `json:"findings"`
	Total    int               `json:"total"`
	Next     string            `json:"next,omitempty"`
}

// apiUpdate is an update to make.
type apiUpdate struct {
	Package   string `json:"package"`
	Installed string `json:"installed"`
	UpdateTo  string `json:"updateTo"`
	// Findings is how many it ends, Worst the name of the worst of them, and Severity how bad that is.
	Findings int    `json:"findings"`
	Worst    string `json:"worst"`
	Severity string `json:"severity"`
}

// apiFinding is one vulnerability of one package.
type apiFinding struct {
	Name      string  `json:"name"`
	Severity  string  `json:"severity"`
	CVSS      float64 `json:"cvss,omitempty"`
	Package   string  `json:"package"`
	Installed string  `json:"installed"`
	// FixedIn is empty where there is no fix yet.
	FixedIn string `json:"fixedIn"`
	Source  string `json:"source"`
	Link    string `json:"link,omitempty"`
}

// apiHeardFinding is a finding, with what hearers do with it.
type apiHeardFinding struct {
	apiFinding
	// Layer is the digest of the layer that brought the package; only a report that is fetched says so.
	Layer string `json:"layer,omitempty"`
	// Told says that the channel of a hearer was told of it.
	Told bool `json:"told"`
	// Held are the hearers that do not simply tell it.
	Held     []apiHeld `json:"held"`
	MoreHeld int       `json:"moreHeld,omitempty"`
}

// apiHeld is what a hearer does with a finding that its rules hold back.
type apiHeld struct {
	// Scanner is the hearer's name.
	Scanner string `json:"scanner"`
	// Fate is ignored, minSeverity or onlyFixable: what holds it back.
	Fate string `json:"fate"`
	// Ignore is the entry that ignores it.
	Ignore *apiIgnore `json:"ignore,omitempty"`
	// Told says that its channel was told of it before.
	Told bool `json:"told"`
}

// apiHearer is a Scanner that looks at an image.
type apiHearer struct {
	// Scanner is its key and its name: shop/default.
	Scanner        string   `json:"scanner"`
	Namespaces     []string `json:"namespaces"`
	MoreNamespaces int      `json:"moreNamespaces,omitempty"`
	// Clair is its own: where that is not the report's, it decides nothing about its findings.
	Clair       string `json:"clair"`
	Channel     string `json:"channel"`
	MinSeverity string `json:"minSeverity"`
	UnknownAs   string `json:"unknownAs"`
	OnlyFixable bool   `json:"onlyFixable"`
	// Ignore are its entries that hold for this image.
	Ignore     []apiIgnore `json:"ignore"`
	MoreIgnore int         `json:"moreIgnore,omitempty"`
	Told       bool        `json:"told"`
	ToldSince  time.Time   `json:"toldSince,omitzero"`
	// Quiet says that it was told without a message, as its settings (tell.report) want it.
	Quiet bool `json:"quiet,omitempty"`
}

// apiIgnore is an entry of what a Scanner ignores.
type apiIgnore struct {
	ID      string `json:"id,omitempty"`
	Package string `json:"package,omitempty"`
	Image   string `json:"image,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Until is when it ends; without it never.
	Until time.Time `json:"until,omitzero"`
}

// Why the API has no answer about an image.
var (
	errAPIDigest = &apiError{http.StatusNotFound, "this is no digest of an image: want sha256: and 64 hexadecimal digits"}
	errAPIGone   = &apiError{http.StatusNotFound, "no image that runs has this digest: want one that images has"}
	errAPILarge  = &apiError{http.StatusBadGateway, "Clair's report of this image is larger than clairwatch reads"}
)

// apiImage answers with what is known of a digest and what Clair says of it now.
func (p *pages) apiImage(ctx context.Context, digest string, q parameters) finished {
	if !isDigest(digest) {
		return encodeFault(errAPIDigest)
	}
	if err := cmp.Or(q.word("severity", severityWords()...), q.word("fixable", "yes")); err != nil {
		return encodeFault(err)
	}
	images, err := p.imagesOf(ctx, digest)
	switch {
	case err != nil:
		return encodeFault(err)
	case len(images) == 0:
		return encodeFault(errAPIGone)
	}
	var f finished
	err = p.fetch(ctx, digest, func(r Report) {
		answer := newAPIImageAnswer(digest, images)
		answer.report(r, q)
		f = encode(answer, nil)
	})
	switch {
	case err == nil:
		return f
	case errors.Is(err, ErrUnknown):
		return encodeFault(errAPIGone)
	case errors.Is(err, ErrNotIndexed):
		return p.making.encoded(ctx, func(context.Context) (any, error) {
			answer := newAPIImageAnswer(digest, images)
			answer.NoReport = "Clair has no report of this image, or none yet"
			return answer, nil
		})
	case errors.Is(err, ErrTooLarge):
		return encodeFault(errAPILarge)
	default:
		return encodeFault(err)
	}
}

// newAPIImageAnswer says what is known without Clair of images of one digest, of which there is at least one.
func newAPIImageAnswer(digest string, images []Image) apiImageAnswer {
	answer := apiImageAnswer{Digest: digest, Names: []apiImageItem{}, Hearers: []apiHearer{}}
	for i := range images[:min(len(images), apiMostNames)] {
		answer.Names = append(answer.Names, newAPIImageItem(&images[i]))
	}
	answer.MoreNames = len(images) - len(answer.Names)
	answer.Workloads, answer.MoreWorkloads = apiWorkloads(newRunning(pointers(images)).workloads, apiMostWorkloads)
	return answer
}

// report fills in what Clair says.
func (a *apiImageAnswer) report(r Report, q parameters) {
	picked := parseFindingFilter(q.Values).pick(r.Findings)
	from, to := q.part(len(picked))
	a.Report = &apiReport{
		Clair:        brief(r.Clair),
		Distribution: brief(r.Distribution),
		Packages:     r.Packages,
		Covered:      r.Covered,
		Updates:      []apiUpdate{},
		Findings:     make([]apiHeardFinding, 0, to-from),
		Total:        len(picked),
		Next:         q.next(to, len(picked)),
	}
	if r.Covered || len(r.Findings) > 0 {
		counts := newAPICounts(findings.Count(r.Findings))
		a.Report.Counts = &counts
	}
	updates, more := updatesToMake(r.Findings)
	for _, u := range updates {
		a.Report.Updates = append(a.Report.Updates, apiUpdate{
			brief(u.Package), brief(u.Installed), brief(u.FixedIn), u.Findings, brief(u.Worst.Name), word(u.Worst.Severity),
		})
	}
	a.Report.MoreUpdates = more
	for _, h := range r.Hearers[:min(len(r.Hearers), apiMostHearers)] {
		a.Hearers = append(a.Hearers, newAPIHearer(h))
	}
	a.MoreHearers = len(r.Hearers) - len(a.Hearers) + r.MoreHearers
	for _, at := range picked[from:to] {
		a.Report.Findings = append(a.Report.Findings, newAPIHeardFinding(r, at))
	}
}

// newAPIHeardFinding is the finding at a place of a report.
func newAPIHeardFinding(r Report, at int) apiHeardFinding {
	heard := apiHeardFinding{apiFinding: newAPIFinding(r.Findings[at]), Layer: brief(r.Findings[at].Layer), Held: []apiHeld{}}
	for _, h := range r.Hearers {
		heard.Told = heard.Told || at < len(h.Decisions) && h.Decisions[at].Told
		held, ok := newAPIHeld(h, at)
		switch {
		case !ok:
		case len(heard.Held) == apiMostHeld:
			heard.MoreHeld++
		default:
			heard.Held = append(heard.Held, held)
		}
	}
	return heard
}

func newAPIFinding(f findings.Finding) apiFinding {
	return apiFinding{
		Name:      brief(f.Name),
		Severity:  word(f.Severity),
		CVSS:      cvss(f),
		Package:   brief(f.Package),
		Installed: brief(f.Installed),
		FixedIn:   brief(f.FixedIn),
		Source:    brief(f.Updater),
		Link:      apiLink(f.Link),
	}
}

// apiLink is an address that may be followed; empty for all others.
func apiLink(address string) string {
	to := link(address)
	if to == nil {
		return ""
	}
	return to.String()
}

// scannerName is the name of a hearer among all.
func scannerName(h Hearer) string { return brief(h.Key) + "/" + brief(h.Name) }

// newAPIHeld says what a hearer does with the finding at a place; false: it tells it, or nobody knows.
func newAPIHeld(h Hearer, at int) (apiHeld, bool) {
	if at >= len(h.Decisions) {
		return apiHeld{}, false
	}
	d := h.Decisions[at]
	held := apiHeld{Scanner: scannerName(h), Told: d.Told}
	switch d.Fate {
	case findings.Ignored:
		held.Fate = "ignored"
		if i, ok := h.ignores(d); ok {
			entry := newAPIIgnore(i)
			held.Ignore = &entry
		}
	case findings.BelowMinSeverity:
		held.Fate = "minSeverity"
	case findings.WithoutFix:
		held.Fate = "onlyFixable"
	default:
		return apiHeld{}, false
	}
	return held, true
}

func newAPIHearer(h Hearer) apiHearer {
	hearer := apiHearer{
		Scanner:     scannerName(h),
		Channel:     brief(h.Channel),
		MinSeverity: word(h.MinSeverity),
		UnknownAs:   word(h.UnknownAs),
		OnlyFixable: h.OnlyFixable,
		Ignore:      []apiIgnore{},
		Told:        h.Told,
		ToldSince:   apiTime(h.Since),
		Clair:       brief(h.Clair),
		Quiet:       h.Told && h.Quiet,
	}
	hearer.Namespaces, hearer.MoreNamespaces = apiTexts(h.Namespaces, apiMostNames)
	for _, i := range h.Ignore[:min(len(h.Ignore), apiMostIgnore)] {
		hearer.Ignore = append(hearer.Ignore, newAPIIgnore(i))
	}
	hearer.MoreIgnore = len(h.Ignore) - len(hearer.Ignore)
	return hearer
}

func newAPIIgnore(i findings.Ignore) apiIgnore {
	return apiIgnore{brief(i.ID), brief(i.Package), brief(i.Image), brief(i.Reason), apiTime(i.Until)}
}
