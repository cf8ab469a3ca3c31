package main

import (
	"slices"

	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/watcher"
)

// held says what rules do with what was told of an image, and with what was not.
func (x *explained) held(v watcher.ExplainedView, scanner watcher.ExplainedScanner) {
	if v.Held == nil {
		if v.Untold != nil && v.Unread != "" {
			x.say(3, "not told: %s%s", bySeverity(v.Untold.Counts()), unread(v))
			x.many = x.many || v.Unread == watcher.UnreadMany
		}
		return
	}
	told, untold := v.Held.Told, v.Held.Untold
	known := []part{{told.MinSeverity, below(scanner, told.MinSeverity.Unknown > 0)}, {told.OnlyFixable, withoutFix}}
	known = append(known, ignoredParts(told.Ignored)...)
	x.parts("of these by now:", append(known, part{told.Gone, "not in Clair's report any more"}))
	not := []part{{untold.MinSeverity, below(scanner, untold.MinSeverity.Unknown > 0)}, {untold.OnlyFixable, withoutFix}}
	not = append(not, ignoredParts(untold.Ignored)...)
	not = append(not, part{untold.Coming, coming(v, scanner.Tell)})
	if v.Untold != nil {
		x.parts("not told: "+bySeverity(v.Untold.Counts()), not)
	}
}

// part is a part of what was told or was not, and why.
type part struct {
	count watcher.SeverityCount
	why   string
}

// ignoredParts are what each entry ignores.
func ignoredParts(ignored []watcher.ExplainedIgnored) []part {
	all := make([]part, len(ignored))
	for n, i := range ignored {
		all[n] = part{i.Counts, ignoredBy(i.ExplainedIgnore)}
	}
	return all
}

// parts writes those parts that there are under a head; nothing where there are none.
func (x *explained) parts(head string, all []part) {
	all = slices.DeleteFunc(all, func(p part) bool { return p.count == watcher.SeverityCount{} })
	if len(all) == 0 {
		return
	}
	x.say(3, "%s", head)
	for _, p := range all {
		x.say(4, "%s: %s", bySeverity(p.count.Counts()), p.why)
	}
}

// withoutFix says why onlyFixable holds something back.
const withoutFix = "no fix, and onlyFixable is true"

// below says why minSeverity holds something back, of which something can be unknown.
func below(scanner watcher.ExplainedScanner, unknown bool) string {
	said := "below minSeverity " + scanner.MinSeverity
	if unknown {
		said += " (Unknown counts as " + scanner.UnknownAs + ")"
	}
	return said
}

// ignoredBy says which entry ignores something.
func ignoredBy(i watcher.ExplainedIgnore) string {
	return "ignored by " + about(i) + reasonOf(i)
}

// coming says what becomes of what nothing holds back and was not told.
func coming(v watcher.ExplainedView, tell settings.Tell) string {
	switch {
	case len(v.Pending) > 0:
		return "about to be told"
	case v.Told == nil && !tell.Report:
		return "known without a message from the next look on, as tell.report is false"
	case v.Told != nil && !tell.Disclosed:
		return "known without a message from the next look on, as tell.disclosed is false"
	}
	return "told after the next look at the image"
}

// unread says why a report says no more.
func unread(v watcher.ExplainedView) string {
	if v.Unread == watcher.UnreadClair {
		return " (Clair does not give the report that says by which rule)"
	}
	return ""
}

// reasonOf says why and until when something is ignored.
func reasonOf(i watcher.ExplainedIgnore) string {
	said := ""
	if !i.Until.IsZero() {
		said += ", until " + timeOf(i.Until)
	}
	if i.Reason != "" {
		said += ": " + i.Reason
	}
	return said
}
