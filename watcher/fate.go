package watcher

import (
	"slices"
	"strings"

	"github.com/clairwatch/clairwatch/findings"
)

// mostFound is how many findings of one vulnerability an answer lists for one image and one Scanner, and mostMissed how
// many entries of ignore for each of them.
const (
	mostFound  = 20
	mostMissed = 5
)

// judge completes a view by a report: what the rules of now do with what was told and with what was not.
func (x *explainer) judge(r reader, digest string, report findings.Report) {
	rules := x.w.rulesAt(r.listener, r.of, digest, x.now)
	record, known := x.w.book.Record(r.listener.destination, digest)
	var told, untold SeverityCount
	held := &ExplainedHeld{}
	ignored, settled := make([]SeverityCount, len(rules.Ignore)), make([]SeverityCount, len(rules.Ignore))
	fates := make(map[findings.ID]findings.Judged)
	for _, j := range report.Judge(rules) {
		id, severity := j.Finding.ID(), j.Finding.Severity
		fates[id] = j
		switch entry, _ := record.Find(id); {
		case countsAsTold(entry, j.Ruling):
			told.add(severity)
			held.Told.add(j.Fate, severity)
			if j.Fate == findings.Ignored {
				settled[j.Ignore].add(severity)
			}
		case j.Fate == findings.Ignored:
			untold.add(severity)
			ignored[j.Ignore].add(severity)
		default:
			untold.add(severity)
			held.Untold.add(j.Fate, severity)
		}
	}
	for _, e := range record.Entries {
		if _, there := fates[e.ID]; !there && e.Told && !e.Absent {
			told.add(e.Severity)
			held.Told.Gone.add(e.Severity)
		}
	}
	held.Told.Ignored, held.Untold.Ignored = x.ignored(rules, settled), x.ignored(rules, ignored)
	v := r.view
	v.Held, v.Told, v.Untold = held, nil, nil
	if known {
		v.Told = &told
	}
	if untold != (SeverityCount{}) {
		v.Untold = &untold
	}
	x.seek(r, report, rules, record, fates)
}

// countsAsTold says whether what is remembered of a finding counts as told by its fate. What is ignored does not, before
// the next look takes it back.
func countsAsTold(e findings.Entry, j findings.Ruling) bool {
	return e.Told && (j.Fate != findings.Ignored || j.Settled)
}

// ignored lists those entries of some rules that are about anything, with what each is about.
func (x *explainer) ignored(rules findings.Rules, counts []SeverityCount) (all []ExplainedIgnored) {
	for i, c := range counts {
		if n := c.Counts().Total(); n > 0 {
			all = append(all, ExplainedIgnored{x.ignore(rules.Ignore[i], n), c})
		}
	}
	return all
}

// add counts one more of a severity.
func (c *SeverityCount) add(s findings.Severity) { *c = severityCount(c.Counts().Plus(s)) }

func (h *HeldTold) add(f findings.Fate, s findings.Severity) {
	switch f {
	case findings.BelowMinSeverity:
		h.MinSeverity.add(s)
	case findings.WithoutFix:
		h.OnlyFixable.add(s)
	}
}

func (h *HeldUntold) add(f findings.Fate, s findings.Severity) {
	switch f {
	case findings.BelowMinSeverity:
		h.MinSeverity.add(s)
	case findings.WithoutFix:
		h.OnlyFixable.add(s)
	case findings.Passes:
		h.Coming.add(s)
	}
}

// seek adds to a view what its report has of the vulnerability that was asked about, if any was: by its own name or,
// where there is none of that name, what mentions it.
func (x *explainer) seek(r reader, report findings.Report, rules findings.Rules, record findings.Record, fates map[findings.ID]findings.Judged) {
	asked := x.question.Vulnerability
	if asked == "" {
		return
	}
	for _, f := range report.Findings {
		if f.IsCalled(asked) {
			x.asVulnerability.Store(true)
		}
		if _, pkg := (findings.Ignore{Package: asked}).Names(f); pkg {
			x.asPackage.Store(true)
		}
	}
	var found []findings.Finding
	for _, is := range []func(findings.Finding) bool{
		func(f findings.Finding) bool { return f.IsCalled(asked) },
		func(f findings.Finding) bool { return f.Mentions(asked) },
	} {
		if len(found) > 0 {
			break
		}
		for _, f := range report.Findings {
			if is(f) {
				found = append(found, f)
			}
		}
	}
	for _, f := range found[:min(len(found), mostFound)] {
		j := fates[f.ID()] // of two versions of a package the one that counts
		entry, _ := record.Find(f.ID())
		e := ExplainedFinding{
			Name: f.Name, Package: f.Package, Installed: f.Installed, FixedIn: f.FixedIn, Severity: f.Severity.String(),
			Told: countsAsTold(entry, j.Ruling),
			Fate: map[findings.Fate]string{
				findings.Ignored: FateIgnored, findings.BelowMinSeverity: FateMinSeverity, findings.WithoutFix: FateOnlyFixable, findings.Passes: FatePasses,
			}[j.Fate],
		}
		if j.Fate == findings.Ignored {
			e.Ignore = new(x.ignore(rules.Ignore[j.Ignore], 0))
		} else {
			e.Missed = x.misses(f, r.listener.rules.Ignore, rules.Ignore)
		}
		r.view.Found = append(r.view.Found, e)
	}
	r.view.FoundMore = len(found) - len(r.view.Found)
}

// misses are the entries of ignore that seem to be about a finding and are not. Those of all images are given, and those
// of them that hold for this one.
func (x *explainer) misses(f findings.Finding, all, here []findings.Ignore) []ExplainedMiss {
	var missed []ExplainedMiss
	for _, i := range all {
		advisory, pkg := i.Names(f)
		asked := i.ID != "" && (strings.EqualFold(i.ID, x.question.Vulnerability) || f.IsCalled(i.ID))
		if !asked && (!advisory || !pkg) {
			continue // it is about something else
		}
		e := ExplainedMiss{ExplainedIgnore: x.ignore(i, 0)}
		if !advisory {
			e.By = append(e.By, MissedID)
		}
		if !pkg {
			e.By = append(e.By, MissedPackage)
		}
		if e.Ended {
			e.By = append(e.By, MissedUntil)
		} else if !slices.Contains(here, i) { // nothing but its pattern takes it away
			e.By = append(e.By, MissedImage)
		}
		if len(e.By) > 0 && len(missed) < mostMissed {
			missed = append(missed, e)
		}
	}
	return missed
}
