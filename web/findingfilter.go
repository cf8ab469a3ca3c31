package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/clairwatch/clairwatch/findings"
)

// findingFilter says which findings of an image its page shows; its zero value shows all.
type findingFilter struct {
	// Severity is the word of the least severity that is shown; "unknown" shows those alone that nobody has rated.
	Severity string
	// Fixable leaves out what has no fix.
	Fixable bool
	// Package is a whole name, Text a part of the advisory's or the package's name, in any case, or how the layer's digest
	// begins.
	Package, Text string
}

// parseFindingFilter reads the query of an address. What it cannot read does not filter.
func parseFindingFilter(q url.Values) findingFilter {
	return findingFilter{
		Severity: parseSeverity(q),
		Fixable:  q.Get("fixable") == "yes",
		Package:  brief(strings.TrimSpace(q.Get("package"))),
		Text:     brief(strings.TrimSpace(q.Get("q"))),
	}
}

// active says whether it leaves anything out.
func (f findingFilter) active() bool { return f != findingFilter{} }

// Words say it to people; empty: it leaves nothing out.
func (f findingFilter) Words() string {
	var words []string
	if f.Severity != "" {
		words = append(words, orWorse(f.Severity))
	}
	if f.Fixable {
		words = append(words, "with a fix")
	}
	if f.Package != "" {
		words = append(words, "of package "+f.Package)
	}
	if f.Text != "" {
		words = append(words, "with “"+f.Text+"”")
	}
	return strings.Join(words, ", ")
}

// values are the query that it is read from.
func (f findingFilter) values() url.Values {
	q := make(url.Values)
	if f.Severity != "" {
		q.Set("severity", f.Severity)
	}
	if f.Fixable {
		q.Set("fixable", "yes")
	}
	if f.Package != "" {
		q.Set("package", f.Package)
	}
	if f.Text != "" {
		q.Set("q", f.Text)
	}
	return q
}

// page is the address of a page of what passes, on the page that it is read on.
func (f findingFilter) page(n int) string {
	q := f.values()
	if n > 1 {
		q.Set("page", strconv.Itoa(n))
	}
	return "?" + q.Encode() + "#findings"
}

// pick returns the places of those findings that pass, in their order.
func (f findingFilter) pick(fs []findings.Finding) []int {
	f.Text = strings.ToLower(f.Text)
	least, rated := f.least()
	picked := make([]int, 0, len(fs))
	for i := range fs {
		if rated && fs[i].Severity < least || !rated && fs[i].Severity != findings.Severity(0) {
			continue
		}
		if f.passes(&fs[i]) {
			picked = append(picked, i)
		}
	}
	return picked
}

// least is the least severity that passes. It is not rated where those alone pass that nobody has rated.
func (f findingFilter) least() (least findings.Severity, rated bool) {
	for _, s := range findings.Severities {
		if word(s) == f.Severity {
			return s, s != findings.Severity(0)
		}
	}
	return findings.Severity(0), true
}

// passes looks at all but the severity of a finding. The text is in lower case.
func (f findingFilter) passes(x *findings.Finding) bool {
	if f.Fixable && !x.Fixable() || f.Package != "" && brief(x.Package) != f.Package {
		return false
	}
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), f.Text) }
	return f.Text == "" || has(x.Name) || has(x.Package) || begins(x.Layer, f.Text)
}

// findingTable is the table of an image's findings: a page of those that pass a filter.
type findingTable struct {
	Filter     findingFilter
	Filtered   bool
	Severities []choice
	// Packages are the names that the form offers.
	Packages []string
	// All is the number of findings, Chosen that of those that pass, From and To are the places of the first and the
	// last one that is shown among them, from 1.
	All, Chosen, From, To int
	// Page is which of Pages is shown, from 1; Previous and Next are the addresses of its neighbours, empty where
	// there is none.
	Page, Pages    int
	Previous, Next string
	// ByLayer says that the findings' layers differ, Decided that some Scanner does not tell of one of them: there is
	// a column for each only if it says something.
	ByLayer, Decided bool
	Rows             []findingRow
}

// newFindingTable is the page of findings that a query asks for.
func newFindingTable(r Report, q url.Values, root string, hearers []string) findingTable {
	fs := r.Findings
	t := findingTable{Filter: parseFindingFilter(q), All: len(fs), ByLayer: severalLayers(fs), Decided: holdsBack(r.Hearers, len(fs))}
	t.Filtered = t.Filter.active()
	t.Severities = severityChoices(t.Filter.Severity)
	t.Packages = packagesOf(fs)
	picked := t.Filter.pick(fs)
	t.Chosen = len(picked)
	t.Pages = max(1, (t.Chosen+mostFindings-1)/mostFindings)
	t.Page = min(parsePage(q), t.Pages)
	if t.Page > 1 {
		t.Previous = t.Filter.page(t.Page - 1)
	}
	if t.Page < t.Pages {
		t.Next = t.Filter.page(t.Page + 1)
	}
	from := (t.Page - 1) * mostFindings
	picked = picked[from:min(from+mostFindings, len(picked))]
	t.From, t.To = min(from+1, t.Chosen), from+len(picked)
	for _, i := range picked {
		row := newFindingRow(fs[i], root)
		row.Decisions, row.Ignored = decisionsOf(r.Hearers, hearers, i)
		t.Rows = append(t.Rows, row)
	}
	return t
}

// packagesOf are the names of packages that a form offers, in order.
func packagesOf(fs []findings.Finding) []string {
	seen := make(map[string]bool)
	var names []string
	for i := range fs {
		if p := fs[i].Package; !seen[p] && len(names) < mostPackages {
			seen[p] = true
			names = append(names, p)
		}
	}
	slices.Sort(names)
	return names
}

// severalLayers says whether the findings are of more than one layer, or of some nobody knows it.
func severalLayers(fs []findings.Finding) bool {
	return len(fs) > 0 && slices.ContainsFunc(fs, func(f findings.Finding) bool { return f.Layer != fs[0].Layer })
}
