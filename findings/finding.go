// Package findings says what a Clair vulnerability report means to people: which package has which
// advisory, how bad it is, which update ends it, and what of that has been told before.
//
// It is pure: no network, no clock, no Kubernetes.
package findings

import (
	"cmp"
	"slices"

	"github.com/quay/claircore"
)

// Severity is Clair's normalized severity, from Unknown (the zero value) to Critical.
type Severity = claircore.Severity

// Severities lists every severity, worst first: the order in which people read them. Unknown comes
// last because Clair gives it to all that nobody has rated (claircore severity.go).
var Severities = [...]Severity{
	claircore.Critical, claircore.High, claircore.Medium, claircore.Low, claircore.Negligible, claircore.Unknown,
}

// Finding is one advisory that applies to one package of an image.
type Finding struct {
	// Name is the advisory's name, for example CVE-2023-4911.
	Name string
	// Package names what to update. It is the installed package, or their common source package where
	// one advisory applies to several packages that were built from one source.
	Package string
	// Installed is the version in the image.
	Installed string
	// FixedIn is the version that ends the finding; empty when no fix has been published.
	FixedIn string
	// Severity is Clair's normalized severity, or that of the CVSS score where Clair has none.
	Severity Severity
	// CVSS is the highest base score that the report carries for the advisory, 0.1 to 10; zero when it
	// carries none.
	CVSS float64
	// Updater names the source of the advisory in Clair, for example debian/updater.
	Updater string
	// Link leads to the advisory; empty when the report has no usable address.
	Link string
	// Layer is the digest of the layer that brought the package, as the image's manifest names it (claircore
	// environment.go, IntroducedIn); empty when the report does not say, or when several layers did: those of the
	// packages that were built from one source can come from different ones. It is no part of what the finding is.
	Layer string
	// Description is what the advisory says, as its source wrote it; empty when it says nothing. It can be long,
	// so summaries do without it.
	Description string

	// source is the source package, or the package itself where there is none. It identifies the
	// finding together with Name: the number of packages built from it changes what Package shows,
	// but not what the finding is.
	source string
}

// Fixable says whether a fix has been published.
func (f Finding) Fixable() bool { return f.FixedIn != "" }

// compare orders findings worst first, and equally bad ones so that what can be done comes first. It
// is total, so the same report always reads the same.
func compare(a, b *Finding) int {
	if d := cmp.Or(
		cmp.Compare(rank(a.Severity), rank(b.Severity)),
		cmp.Compare(b.CVSS, a.CVSS),
		compareBool(a.Fixable(), b.Fixable()),
	); d != 0 {
		return d // as it is for most; what follows takes longer
	}
	return cmp.Or(
		cmp.Compare(a.Package, b.Package),
		cmp.Compare(b.Name, a.Name), // the year is a part of the name: newer ones first
		cmp.Compare(a.Installed, b.Installed),
		cmp.Compare(a.FixedIn, b.FixedIn),
		cmp.Compare(a.Updater, b.Updater),
		cmp.Compare(a.Link, b.Link),
		cmp.Compare(a.source, b.source),
		cmp.Compare(a.Description, b.Description),
		cmp.Compare(a.Layer, b.Layer),
	)
}

// Sort orders findings worst first.
func Sort(fs []Finding) { copy(fs, sorted(pointers(fs))) }

// sorted returns findings worst first. What is sorted are pointers: a finding is large.
func sorted(fs []*Finding) []Finding {
	slices.SortFunc(fs, compare)
	in := make([]Finding, len(fs))
	for i, f := range fs {
		in[i] = *f
	}
	return in
}

func pointers(fs []Finding) []*Finding {
	ps := make([]*Finding, len(fs))
	for i := range fs {
		ps[i] = &fs[i]
	}
	return ps
}

// compareBool puts true before false.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// rank is the place of a severity in Severities.
func rank(s Severity) int { return slices.Index(Severities[:], s) }

// Counts says how many findings an image has, by severity, and how many of them have a fix. Counts can
// be compared and added.
type Counts struct {
	Critical, High, Medium, Low, Negligible, Unknown int
	// Fixable counts those of all severities for which a fix has been published.
	Fixable int
}

// Of returns the number of findings of one severity.
func (c Counts) Of(s Severity) int { return *c.of(s) }

func (c *Counts) of(s Severity) *int {
	switch s {
	case claircore.Critical:
		return &c.Critical
	case claircore.High:
		return &c.High
	case claircore.Medium:
		return &c.Medium
	case claircore.Low:
		return &c.Low
	case claircore.Negligible:
		return &c.Negligible
	default:
		return &c.Unknown
	}
}

// Total returns the number of all findings.
func (c Counts) Total() int {
	return c.Critical + c.High + c.Medium + c.Low + c.Negligible + c.Unknown
}

// Worst returns the worst severity that occurs, and false when there are no findings.
func (c Counts) Worst() (Severity, bool) {
	for _, s := range Severities {
		if c.Of(s) > 0 {
			return s, true
		}
	}
	return claircore.Unknown, false
}

// Plus returns the counts with one more of a severity.
func (c Counts) Plus(s Severity) Counts {
	*c.of(s)++
	return c
}

// Add returns the sum of both.
func (c Counts) Add(o Counts) Counts {
	for _, s := range Severities {
		*c.of(s) += o.Of(s)
	}
	c.Fixable += o.Fixable
	return c
}

// Compare orders counts worst first: more critical findings, then more high ones, and so on.
func (c Counts) Compare(o Counts) int {
	for _, s := range Severities {
		if d := cmp.Compare(o.Of(s), c.Of(s)); d != 0 {
			return d
		}
	}
	return cmp.Compare(o.Fixable, c.Fixable)
}

// Count counts findings.
func Count(fs []Finding) Counts {
	var c Counts
	for _, f := range fs {
		*c.of(f.Severity)++
		if f.Fixable() {
			c.Fixable++
		}
	}
	return c
}
