package findings

import (
	"slices"
	"strings"
	"unicode"
)

// Fate is what some rules do with a finding.
type Fate int

// The fates. Of several rules that are about a finding the first of these counts that is true: who ignores it has
// decided about it, whatever else there is.
const (
	// Ignored: an entry of Rules.Ignore is about it.
	Ignored Fate = iota + 1
	// BelowMinSeverity: it is less severe than Rules.MinSeverity.
	BelowMinSeverity
	// WithoutFix: it has no published fix, and Rules.OnlyFixable is set.
	WithoutFix
	// Passes: nothing keeps it from being told.
	Passes
)

// Judged is a finding with what some rules do with it.
type Judged struct {
	Finding Finding
	Fate    Fate
	// Ignore is the place in Rules.Ignore of the first entry that is about it; zero where it is not Ignored.
	Ignore int
	// Settled says that it is Ignored and stays told if it has been: see Rules.Settled.
	Settled bool
}

// Judge says what some rules do with what the report has: one finding for each ID, as a Record has it, worst first.
func (r Report) Judge(rules Rules) []Judged {
	judge := rules.judge()
	entries := make([]ignored, len(rules.Ignore))
	for i := range rules.Ignore {
		entries[i] = newIgnored(rules.Ignore[i : i+1])
	}
	each := judge.each(r.Findings)
	all := make([]Judged, len(each))
	for n, f := range each {
		j := Judged{Finding: *f.finding}
		switch {
		case f.verdict == passes:
			j.Fate = Passes
		case f.verdict == ignores:
			j.Fate = Ignored
			j.Ignore = slices.IndexFunc(entries, func(e ignored) bool { return e.has(*f.finding) })
			j.Settled = !judge.takesBack(f)
		case rules.effective(f.finding.Severity) < rules.MinSeverity:
			j.Fate = BelowMinSeverity
		default:
			j.Fate = WithoutFix
		}
		all[n] = j
	}
	return all
}

// Names says which part of a finding an ignore names: the advisory, and the package or its source package. What the
// ignore leaves empty names any. When it ends, and which images it is about, makes no difference.
func (i Ignore) Names(f Finding) (advisory, pkg bool) {
	return i.ID == "" || strings.EqualFold(i.ID, f.Name), i.Package == "" || i.Package == f.Package || i.Package == f.source
}

// IsCalled says whether a name is that of the finding's advisory, in any case of letters. Where the advisory has a title
// behind its name ("RHSA-2024:2679: libxml2 security update") the name alone will do.
func (f Finding) IsCalled(name string) bool {
	if strings.EqualFold(f.Name, name) {
		return true
	}
	first, _, titled := strings.Cut(f.Name, " ")
	return titled && strings.EqualFold(strings.TrimSuffix(first, ":"), name)
}

// Mentions says whether the finding's link or description has a name as a word, in any case of letters: one
// vulnerability has several names, and Clair knows it by that of the source it has it from.
func (f Finding) Mentions(name string) bool {
	return hasWord(f.Link, name) || hasWord(f.Description, name)
}

// hasWord says whether a text has a word, in any case of letters. What names are made of makes words.
func hasWord(text, word string) bool {
	between := func(r rune) bool {
		return !strings.ContainsRune("-_.:", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}
	for w := range strings.FieldsFuncSeq(text, between) {
		if strings.EqualFold(strings.Trim(w, "-_.:"), word) {
			return true
		}
	}
	return false
}
