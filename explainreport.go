package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/watcher"
	"github.com/clairwatch/clairwatch/web"
)

// fewIgnores is how many entries without effect are named for each Scanner.
const fewIgnores = 5

// writeExplanation writes what the daemon has said. The error says that nothing runs there, or that it cannot be written.
func writeExplanation(to io.Writer, form string, e watcher.Explanation) error {
	write := func() error { return writeJSON(to, e) }
	if form == formTable {
		write = func() error { return writeExplained(to, e) }
	}
	if err := write(); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	switch {
	case e.Pods > 0:
		return nil
	case len(e.Near) > 0:
		return &foundError{fmt.Sprintf("there is no pod or workload %s in the namespace %s; the nearest names there: %s", e.Pod, e.Namespace, strings.Join(e.Near, ", "))}
	case len(e.NearNamespaces) > 0:
		return &foundError{fmt.Sprintf("there is no pod in the namespace %s, and the settings have no key for it; did you mean %s?", e.Namespace, strings.Join(e.NearNamespaces, " or "))}
	case e.Pod != "":
		return &foundError{fmt.Sprintf("there is no pod or workload %s in the namespace %s, nor any other", e.Pod, e.Namespace)}
	}
	return &foundError{"there is no pod in the namespace " + e.Namespace}
}

// explained is what is said of an explanation, line by line: the command prints it, and the page of a namespace shows
// what it says of containers.
type explained struct {
	lines []web.Line
	// scanners are those of the explanation by name.
	scanners map[string]watcher.ExplainedScanner
	// sought is the vulnerability that was asked about; empty: none.
	sought string
	// many says that reports were not read because there are too many.
	many bool
}

// newExplained is an explanation of which nothing is said yet.
func newExplained(e watcher.Explanation) *explained {
	x := &explained{scanners: make(map[string]watcher.ExplainedScanner), sought: e.Vulnerability}
	for _, s := range e.Scanners {
		x.scanners[s.Name] = s
	}
	return x
}

// say adds a line. Texts among args are made harmless.
func (x *explained) say(indent int, format string, args ...any) {
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			args[i] = printable(s)
		}
	}
	x.lines = append(x.lines, web.Line{Depth: indent, Text: fmt.Sprintf(format, args...)})
}

// flush writes what has been said, and forgets it.
func (x *explained) flush(to *strings.Builder) {
	for _, l := range x.lines {
		to.WriteString(strings.Repeat("  ", l.Depth) + l.Text + "\n")
	}
	x.lines = nil
}

// writeExplained writes an explanation for people.
func writeExplained(to io.Writer, e watcher.Explanation) error {
	var text strings.Builder
	x := newExplained(e)
	x.settings(e)
	if len(e.Scanners) > 0 {
		x.say(0, "")
		x.flush(&text)
		_ = writeTable(&text, []string{"SCANNER", "CLAIR", "CHANNEL", "HEARS OF"}, scannerRows(e.Scanners)) // to memory
	}
	x.troubles(e.Scanners)
	if len(e.Scanners) > 0 { // or nobody looks at any
		for _, w := range e.Workloads {
			x.workload(w)
		}
	}
	switch {
	case len(e.Scanners) == 0 && e.Pods > 0:
		x.say(0, "")
		x.say(0, "%s", nobodyLooks(e))
	case e.LeftOut > 0:
		x.say(0, "")
		x.say(0, "%s not listed: ask for one workload or pod, %s/NAME.", leftOut(e.LeftOut), e.Namespace)
	case x.many && x.sought != "":
		x.say(0, "")
		x.say(0, "%s is not looked for in so many images: ask for one workload or pod, %s/NAME.", x.sought, e.Namespace)
	case x.many:
		x.say(0, "")
		x.say(0, tooMany+"ask for one workload or pod, %s/NAME.", e.Namespace)
	}
	x.flush(&text)
	_, err := io.WriteString(to, text.String())
	return err
}

// tooMany is why reports were not read; what to do follows.
const tooMany = "Which rule keeps something from being told is not looked up for so many images: "

// nobodyLooks is what is said where no Scanner is in force and something runs.
func nobodyLooks(e watcher.Explanation) string {
	return "Nobody looks at what runs there: " + counted(e.Pods, "pod") + "."
}

// scannerRows are those of the table of Scanners.
func scannerRows(scanners []watcher.ExplainedScanner) [][]string {
	var rows [][]string
	for _, s := range scanners {
		rows = append(rows, []string{s.Name, s.Clair, s.Channel, scannerHearsOf(s)})
	}
	return rows
}

// scannerHearsOf says in a few words what a Scanner hears of.
func scannerHearsOf(s watcher.ExplainedScanner) string {
	return hearsOf(s.MinSeverity, s.UnknownAs, s.OnlyFixable, len(s.Ignore), s.Tell, s.Look)
}

func leftOut(n int) string {
	if n == 1 {
		return "1 more container is"
	}
	return fmt.Sprintf("%d more containers are", n)
}

// applies says in a sentence which part of the settings applies, and in another one what a mistake there causes.
func applies(e watcher.Explanation) string {
	s := e.Settings
	said := "Namespace " + e.Namespace + " " + map[string]string{
		watcher.AppliesOwn:      "has a key of its own in the settings",
		watcher.AppliesAll:      "has no key of its own in the settings: _all applies, whose channels hear of an image once for all namespaces",
		watcher.AppliesOptedOut: "is opted out: its key in the settings is empty, so that nobody hears of it, not even by _all",
		watcher.AppliesNone:     "is not watched: it has no key in the settings, and there is no _all. Nobody hears of it",
	}[s.Applies] + "."
	switch {
	case len(s.Mistakes) == 0:
	case s.LastGood:
		said += " There is a mistake, and until it is mended the last good settings stay in force."
	default:
		said += " There is a mistake, and nobody hears of it until that is mended."
	}
	return said
}

// settings says which part of the settings applies, and lists its mistakes.
func (x *explained) settings(e watcher.Explanation) {
	said := applies(e)
	if len(e.Settings.Mistakes) > 0 {
		said = strings.TrimSuffix(said, ".") + ":"
	}
	x.say(0, "%s", said)
	for _, mistake := range e.Settings.Mistakes {
		x.say(1, "%s", mistake)
	}
}

// troubles says what is wrong with Scanners, under an empty line if anything is.
func (x *explained) troubles(scanners []watcher.ExplainedScanner) {
	before := len(x.lines)
	x.say(0, "")
	for _, s := range scanners {
		x.scanner(s)
	}
	if len(x.lines) == before+1 {
		x.lines = x.lines[:before]
	}
}

// scanner says what is wrong with a Scanner's Clair, channel and list of what it ignores, if anything is.
func (x *explained) scanner(s watcher.ExplainedScanner) {
	if !s.ClairAway.IsZero() {
		x.say(0, "%s: its Clair does not answer since %s.", s.Name, timeOf(s.ClairAway))
	}
	if s.Trouble != "" {
		x.say(0, "%s: its channel is in trouble since %s: %s. The next try is at %s.", s.Name, timeOf(s.TroubleSince), s.Trouble, timeOf(s.NextTry))
	}
	if s.Waiting > 0 {
		x.say(0, "%s: %s for its channel, of all that it hears of.", s.Name, waits(s.Waiting))
	}
	if x.sought != "" {
		return // which entry is about it, and which is not, is said with each container
	}
	idle := slices.DeleteFunc(slices.Clone(s.Ignore), func(i watcher.ExplainedIgnore) bool { return !i.Ended && (i.Matches > 0 || !s.IgnoreCounted) })
	for n, i := range idle {
		switch {
		case n == fewIgnores:
			x.say(0, "%s: %d more entries of ignore without effect.", s.Name, len(idle)-n)
		case n > fewIgnores:
		case i.Ended:
			x.say(0, "%s: the entry of ignore for %s ended on %s.", s.Name, about(i), timeOf(i.Until))
		default:
			x.say(0, "%s: the entry of ignore for %s matches nothing here.%s", s.Name, about(i), seekIt(i))
		}
	}
}

// seekIt says how to see why an entry that matches nothing does so.
func seekIt(i watcher.ExplainedIgnore) string {
	if i.ID == "" {
		return ""
	}
	return " See why with --vulnerability " + quoted(i.ID) + "."
}

func waits(n int) string {
	if n == 1 {
		return "1 piece of news waits"
	}
	return fmt.Sprintf("%d pieces of news wait", n)
}

// about says what an entry is about.
func about(i watcher.ExplainedIgnore) string {
	return findings.Ignore{ID: i.ID, Package: i.Package, Image: i.Image}.About()
}

// timeOf writes a time to the minute.
func timeOf(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// workload says what became of the containers of a workload.
func (x *explained) workload(w watcher.ExplainedWorkload) {
	x.say(0, "")
	if w.Kind == "Pod" {
		x.say(0, "Pod %s", w.Name)
	} else {
		x.say(0, "%s %s, %s", w.Kind, w.Name, counted(w.Pods, "pod"))
	}
	for _, c := range w.Containers {
		x.container(w, c)
	}
}

// containerWords are what people call the kinds of containers.
var containerWords = map[string]string{
	watcher.KindContainer: "container", watcher.KindInit: "init container", watcher.KindEphemeral: "ephemeral container",
	watcher.KindVolume: "image volume",
}

func (x *explained) container(w watcher.ExplainedWorkload, c watcher.ExplainedContainer) {
	some := ""
	if c.Pods < w.Pods {
		some = fmt.Sprintf(" (in %d of the %d pods)", c.Pods, w.Pods)
	}
	x.say(1, "%s %s: %s%s", containerWords[c.Kind], c.Name, c.Image, some)
	if c.Digest != "" {
		x.say(2, "%s, %s", c.Platform, c.Digest)
	}
	x.outcome(c)
}

// outcome says what came of a container, and what each Scanner does with it.
func (x *explained) outcome(c watcher.ExplainedContainer) {
	x.state(c)
	for _, v := range c.Scanners {
		x.view(c, v)
	}
}

// state says how far the image of a container has come.
func (x *explained) state(c watcher.ExplainedContainer) {
	again := ""
	if !c.Next.IsZero() {
		again = " The next look is at " + timeOf(c.Next) + "."
	}
	switch c.State {
	case string(watcher.StateScanned):
		x.say(2, "Scanned.")
	case string(watcher.StateNotCovered):
		x.say(2, "Was not checked: Clair has no data for what is in it.")
	case string(watcher.StateUntried):
		for i, wait := range c.Waits {
			next := ""
			if i == len(c.Waits)-1 {
				next = again
			}
			x.say(2, "Not scanned yet: "+waitWords[wait.For]+".%s", wait.Clair, next)
		}
	case watcher.StateNotPulled:
		x.say(2, "Not pulled yet: the status of the pod does not say what it runs.")
	case watcher.StateNotMounted:
		x.say(2, "Not mounted yet: no container that mounts it has started.")
	case watcher.StateNoDigest:
		x.say(2, "Not looked at: it is known by its tag alone, and nobody can tell what that meant when it was mounted. Pin it by digest.")
	case watcher.StateNotLookedAt:
		// Why is said for each Scanner.
	default:
		x.say(2, "Could not be scanned: %s. What to do: %s.", c.Advice, c.Remedy)
		if c.Follows && again != "" {
			again = strings.TrimSuffix(again, ".") + ", or some minutes after its credentials have changed."
		}
		x.say(2, "Since %s, %s.%s", timeOf(c.Since), tries(c.Tries, c.Tried), again)
	}
}

// tries says how often something was tried, and when last.
func tries(n int, last time.Time) string {
	if n == 1 {
		return "tried once"
	}
	return fmt.Sprintf("tried %d times, last at %s", n, timeOf(last))
}

// waitWords say what an image waits for, of the Clair whose address they take.
var waitWords = map[string]string{
	watcher.WaitsForNode:  "its node is not known yet%.0s",
	watcher.WaitsForClair: "Clair %s does not answer",
	watcher.WaitsForSlot:  "in line at Clair %s, which works on others",
	watcher.WaitsForData:  "Clair %s is still loading its data",
	watcher.WaitsForTurn:  "its turn at Clair %s comes in a moment",
}

// skipWords say why a Scanner does not look at a container.
var skipWords = map[string]string{
	watcher.SkippedInit:      "look.init is false",
	watcher.SkippedEphemeral: "look.ephemeral is false",
	watcher.SkippedVolumes:   "look.volumes is false",
	watcher.SkippedFinished:  "the pod has ended, and look.finished is false",
	watcher.SkippedOptOut:    `the pod has the annotation clairwatch.io/scan: "false", and look.optOut is true`,
}

// view says what a Scanner does with a container.
func (x *explained) view(c watcher.ExplainedContainer, v watcher.ExplainedView) {
	scanner := x.scanners[v.Scanner]
	switch {
	case v.Skipped != "" && v.Elsewhere:
		x.say(2, "%s: does not look at it (%s), but at the same image elsewhere in the namespace", v.Scanner, skipWords[v.Skipped])
	case v.Skipped != "":
		x.say(2, "%s: does not look at it (%s)", v.Scanner, skipWords[v.Skipped])
		return
	}
	if x.sought != "" {
		x.found(c, v, scanner)
	} else {
		x.say(2, "%s: %s", v.Scanner, toldOf(c, v, scanner.Tell))
		x.held(v, scanner)
	}
	if c.OptedOut && v.Skipped == "" {
		x.say(3, `the annotation clairwatch.io/scan: "false" is not heeded: look.optOut is false`)
	}
	if x.sought != "" && !slices.ContainsFunc(v.Found, func(f watcher.ExplainedFinding) bool { return f.Fate == watcher.FatePasses && !f.Told }) {
		return // the news is about something else
	}
	in := ""
	if scanner.Trouble != "" {
		in = " (its channel is in trouble, see above)"
	}
	for _, n := range v.Pending {
		x.say(3, "waits to be told since %s: %s%s", timeOf(n.Since), n.Kind, in)
	}
}

// toldOf says what a channel was told of an image.
func toldOf(c watcher.ExplainedContainer, v watcher.ExplainedView, tell settings.Tell) string {
	switch {
	case v.Failure == "loading":
		return "told that Clair has no report of it yet"
	case v.Failure != "" && v.Unheard:
		return "not told that it could not be scanned (" + v.Failure + "), as tell.failed was false"
	case v.Failure != "":
		return "told that it could not be scanned (" + v.Failure + ")"
	case v.Told == nil:
		return "told nothing of it yet"
	}
	what, off := bySeverity(v.Told.Counts()), silent(tell)
	switch {
	case !tell.Report && what == "":
		return "knows it runs, maybe without a message, as tell.report is false"
	case off != "":
		return "knows of " + cmp.Or(what, "no vulnerabilities") + ", maybe without a message, as " + off
	case what == "" && c.State == string(watcher.StateNotCovered):
		return "told that it was not checked"
	case what == "":
		return "told that it runs, and of no vulnerabilities"
	}
	return "told of " + what
}

// silent says which kinds of news about vulnerabilities a channel does not hear of; empty: it hears of all.
func silent(tell settings.Tell) string {
	switch {
	case !tell.Report && !tell.Disclosed:
		return "tell.report and tell.disclosed are false"
	case !tell.Report:
		return "tell.report is false"
	case !tell.Disclosed:
		return "tell.disclosed is false"
	}
	return ""
}
