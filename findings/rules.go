package findings

import (
	"slices"
	"strings"
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
	// Ignore are the findings that somebody has decided not to hear of. Nil: none. What it says of images and times
	// is heeded by At alone.
	Ignore []Ignore
	// Settled are the ignores of some images that were in force when the image was last looked at. What one of them is
	// about and has been told was told while the image ran under another name too, and stays told: or what comes and
	// goes under that name would be told each time. Nil: none, and all that is ignored counts as not told.
	Settled []Ignore
}

// Equal says whether two sets of rules are the same.
func (r Rules) Equal(o Rules) bool {
	return r.MinSeverity == o.MinSeverity && r.UnknownAs == o.UnknownAs && r.OnlyFixable == o.OnlyFixable &&
		slices.Equal(r.Ignore, o.Ignore) && slices.Equal(r.Settled, o.Settled)
}

// At returns the rules as they hold for one image at a time: of Ignore only what is about the image and has not ended.
// The image is named as pods do, "registry.example.com/shop/web:1.4@sha256:…". Of one with several names it is to be
// asked once for each, each time of what it has returned before: then a finding is ignored only if it is under every
// name. Whichever of them was used, what is told must not hang on it.
func (r Rules) At(image string, now time.Time) Rules {
	paths := pathsOf(image)
	not := func(i Ignore) bool { return !i.holds(paths, now) }
	if slices.ContainsFunc(r.Ignore, not) {
		r.Ignore = slices.DeleteFunc(slices.Clone(r.Ignore), not)
	}
	return r
}

// InSome returns what of Ignore is about some images only and has not ended at a time: what is to be Settled when the
// image is looked at next.
func (r Rules) InSome(now time.Time) []Ignore {
	var some []Ignore
	for _, i := range r.Ignore {
		if i.Image != "" && !i.ended(now) {
			some = append(some, i)
		}
	}
	return some
}

// InAll returns the rules without what is ignored in some images only.
func (r Rules) InAll() Rules {
	r.Ignore = slices.DeleteFunc(slices.Clone(r.Ignore), func(i Ignore) bool { return i.Image != "" })
	return r
}

// Next returns when the next ignore ends, of whatever image; the zero time when none will.
func (r Rules) Next(now time.Time) time.Time {
	var next time.Time
	for _, i := range r.Ignore {
		if !i.Until.IsZero() && !i.ended(now) && (next.IsZero() || i.Until.Before(next)) {
			next = i.Until
		}
	}
	return next
}

// Pass says whether a finding is to be told.
func (r Rules) Pass(f Finding) bool { return r.judge().of(f) == passes }

// verdict is what becomes of a finding under some rules.
type verdict int

// The verdicts. Of two versions of a package in one image the lesser one counts.
const (
	passes verdict = iota
	// heldBack: it is less severe than is told, or has no fix. What was told before stays told.
	heldBack
	// ignores: somebody has decided not to hear of it. It counts as not told, unless that is settled.
	ignores
)

// judge applies rules to many findings.
type judge struct {
	rules   Rules
	ignored ignored
	// hushed are those of the ignored that count as not told.
	hushed ignored
}

func (r Rules) judge() judge {
	j := judge{rules: r, ignored: newIgnored(r.Ignore)}
	if j.hushed = j.ignored; len(r.Settled) > 0 {
		j.hushed = newIgnored(r.unsettled())
	}
	return j
}

// unsettled returns what of Ignore is not settled. Who changes the reason of an ignore, or when it ends, has not decided
// anew what it is about.
func (r Rules) unsettled() []Ignore {
	type decision struct{ id, pkg, image string }
	of := func(i Ignore) decision { return decision{strings.ToUpper(i.ID), i.Package, i.Image} }
	settled := make(map[decision]struct{}, len(r.Settled))
	for _, i := range r.Settled {
		settled[of(i)] = struct{}{}
	}
	return slices.DeleteFunc(slices.Clone(r.Ignore), func(i Ignore) bool {
		_, is := settled[of(i)]
		return is && i.Image != ""
	})
}

func (j judge) of(f Finding) verdict {
	switch {
	case j.ignored.has(f):
		return ignores
	case j.holdsBack(f):
		return heldBack
	default:
		return passes
	}
}

// takesBack says whether a finding counts as not told, whatever was before.
func (j judge) takesBack(f judged) bool { return f.verdict == ignores && j.hushed.has(*f.finding) }

// holdsBack says whether a finding is not told that nobody ignores.
func (j judge) holdsBack(f Finding) bool {
	return j.rules.effective(f.Severity) < j.rules.MinSeverity || j.rules.OnlyFixable && !f.Fixable()
}

// onlyIgnores says whether a finding would pass if nothing were ignored.
func (j judge) onlyIgnores(f judged) bool { return f.verdict == ignores && !j.holdsBack(*f.finding) }

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

// judged is a finding with its verdict.
type judged struct {
	id      ID
	finding *Finding
	verdict verdict
}

// each returns one finding for each ID, in order: the versions of a package that is installed more than once
// share it. It is the first of those with the least verdict.
func (j judge) each(fs []Finding) []judged {
	all := make([]judged, len(fs))
	chosen := make(map[ID]int, len(fs))
	for i := range fs {
		all[i] = judged{fs[i].ID(), &fs[i], j.of(fs[i])}
		if at, seen := chosen[all[i].id]; !seen || all[i].verdict < all[at].verdict {
			chosen[all[i].id] = i
		}
	}
	kept := all[:0]
	for i, f := range all {
		if chosen[f.id] == i {
			kept = append(kept, f)
		}
	}
	return kept
}
