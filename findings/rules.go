package findings

import "iter"

// Rules say which findings a destination wants to hear of. The zero value lets all pass.
type Rules struct {
	// MinSeverity is the least severity that is told.
	MinSeverity Severity
	// UnknownAs is what an unknown severity counts as, which is that of all of Alpine without a CVSS
	// score.
	UnknownAs Severity
}

// Pass says whether a finding is to be told.
func (r Rules) Pass(f Finding) bool { return r.effective(f.Severity) >= r.MinSeverity }

// effective is the severity by which the rules go.
func (r Rules) effective(s Severity) Severity {
	if s == 0 {
		return r.UnknownAs
	}
	return s
}

// rises says whether a severity is higher than the one before. One that becomes unknown never is, and one that
// becomes known only when it is more than unknown counts as.
func (r Rules) rises(from, to Severity) bool {
	return to > from && r.effective(to) > r.effective(from)
}

// each yields one finding for each ID, in order: the versions of a package that is installed more than once
// share it. It is the first one that passes, or the first.
func (r Rules) each(fs []Finding) iter.Seq2[ID, Finding] {
	return func(yield func(ID, Finding) bool) {
		chosen := make(map[ID]int, len(fs))
		for i, f := range fs {
			at, seen := chosen[f.ID()]
			if !seen || r.Pass(f) && !r.Pass(fs[at]) {
				chosen[f.ID()] = i
			}
		}
		for i, f := range fs {
			if id := f.ID(); chosen[id] == i && !yield(id, f) {
				return
			}
		}
	}
}
