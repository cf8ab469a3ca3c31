package findings

import (
	"iter"
	"slices"
	"time"
)

// Rules say which findings a destination wants to hear of. The zero value lets all pass.
type Rules struct {
	// MinSeverity is the least severity that is told.
	MinSeverity Severity
	// UnknownAs is what an unknown severity counts as, which is that of all of Alpine without a CVSS
	// score.
	UnknownAs Severity
	// OnlyFixable holds back what has no published fix.
	OnlyFixable bool
	// Ignore are the findings that somebody has decided not to hear of. Nil: none.
	Ignore []Ignore
}

// Ignore is a decision not to hear of some findings.
type Ignore struct {
	// ID is the advisory's name, "CVE-2023-4911", in any case of letters. Empty: any, of Package.
	ID string
	// Package is the name of a package, or of its source package. Empty: any.
	Package string
	// Image is a pattern of the images that it is about, as path.Match has it, over the name without registry, tag
	// and digest, "shop/*". Empty: all.
	Image string
	// Reason says why, to people.
	Reason string
	// Until is when it ends; the zero time: never.
	Until time.Time
}

// Equal says whether two sets of rules are the same.
func (r Rules) Equal(o Rules) bool {
	return r.MinSeverity == o.MinSeverity && r.UnknownAs == o.UnknownAs && r.OnlyFixable == o.OnlyFixable &&
		slices.Equal(r.Ignore, o.Ignore)
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
