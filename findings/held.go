package findings

import "slices"

// Held says what some rules keep from being told of a report, and by what. It counts each vulnerability of a source
// package once, as a record does, and not what has a fix.
type Held struct {
	// Passing counts what the rules let pass.
	Passing Counts
	// BySeverity counts what is less severe than Rules.MinSeverity, WithoutFix what OnlyFixable holds back besides.
	BySeverity, WithoutFix Counts
	// Ignored counts what each of Rules.Ignore ignores, in their order. What several of them are about counts for the
	// first.
	Ignored []Counts
}

// Hold sorts the findings of the report by what the rules do with them.
func (r Report) Hold(rules Rules) Held {
	judge := rules.judge()
	h := Held{Ignored: make([]Counts, len(rules.Ignore))}
	entries := make([]ignored, len(rules.Ignore))
	for i := range rules.Ignore {
		entries[i] = newIgnored(rules.Ignore[i : i+1])
	}
	for _, j := range judge.each(r.Findings) {
		severity := j.finding.Severity
		switch {
		case j.verdict == passes:
			h.Passing = h.Passing.Plus(severity)
		case j.verdict == ignores:
			i := slices.IndexFunc(entries, func(e ignored) bool { return e.has(*j.finding) })
			h.Ignored[i] = h.Ignored[i].Plus(severity)
		case rules.effective(severity) < rules.MinSeverity:
			h.BySeverity = h.BySeverity.Plus(severity)
		default:
			h.WithoutFix = h.WithoutFix.Plus(severity)
		}
	}
	return h
}
