package main

import (
	"slices"
	"strings"

	"github.com/clairwatch/clairwatch/watcher"
)

// found says whether an image has the vulnerability that was asked about, and what a Scanner did with it.
func (x *explained) found(c watcher.ExplainedContainer, v watcher.ExplainedView, scanner watcher.ExplainedScanner) {
	switch {
	case v.Unread == watcher.UnreadMany:
		x.many = true
		x.say(2, "%s: not looked for", v.Scanner)
	case v.Unread != "":
		x.say(2, "%s: not known, as Clair does not give the report now", v.Scanner)
	case v.Held == nil && c.State == string(watcher.StateNotCovered):
		x.say(2, "%s: not found, as nobody checks it", v.Scanner)
	case v.Held == nil:
		x.say(2, "%s: not known, as there is no report", v.Scanner)
	case len(v.Found) == 0:
		x.say(2, "%s: %s is not in Clair's report of it", v.Scanner, x.sought)
	}
	for _, f := range v.Found {
		x.finding(v, f, scanner)
	}
	if v.FoundMore > 0 {
		x.say(2, "%s: and %s", v.Scanner, counted(v.FoundMore, "more finding"))
	}
}

// finding says what a Scanner did with one finding.
func (x *explained) finding(v watcher.ExplainedView, f watcher.ExplainedFinding, scanner watcher.ExplainedScanner) {
	fix := "no fix yet"
	if f.FixedIn != "" {
		fix = "fixed in " + f.FixedIn
	}
	x.say(2, "%s: %s in %s %s: %s, %s", v.Scanner, f.Name, f.Package, f.Installed, f.Severity, fix)
	if !strings.Contains(strings.ToUpper(f.Name), strings.ToUpper(x.sought)) {
		x.say(3, "%s is not its name at Clair, but its link or description mentions it", x.sought)
	}
	x.say(3, "%s", became(v, f, scanner))
	for _, m := range f.Missed {
		x.say(3, "the entry of ignore for %s does not fit: %s", about(m.ExplainedIgnore), missed(m, f))
	}
}

// became says what a Scanner did with a finding.
func became(v watcher.ExplainedView, f watcher.ExplainedFinding, scanner watcher.ExplainedScanner) string {
	rule := map[string]string{
		watcher.FateMinSeverity: below(scanner, f.Severity == "Unknown"), watcher.FateOnlyFixable: withoutFix,
	}[f.Fate]
	told := "told"
	if off := silent(scanner.Tell); off != "" {
		told = "known, maybe without a message, as " + off
	}
	if f.Ignore != nil {
		rule = ignoredBy(*f.Ignore)
	}
	switch {
	case f.Told && rule != "":
		return told + "; nothing more is told of it: " + rule
	case f.Told:
		return told
	case f.Ignore != nil:
		return rule
	case rule != "":
		return "not told: " + rule
	}
	return coming(v, scanner.Tell)
}

// missed says why an entry of ignore does not fit a finding.
func missed(m watcher.ExplainedMiss, f watcher.ExplainedFinding) string {
	var why []string
	for _, by := range []struct{ field, words string }{
		{watcher.MissedID, "Clair's name for it is " + f.Name},
		{watcher.MissedPackage, "the package is " + f.Package},
		{watcher.MissedImage, "the image runs under a name that " + m.Image + " does not match"},
		{watcher.MissedUntil, "it ended on " + timeOf(m.Until)},
	} {
		if slices.Contains(m.By, by.field) {
			why = append(why, by.words)
		}
	}
	return strings.Join(why, "; ")
}
