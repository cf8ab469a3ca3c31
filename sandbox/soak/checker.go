package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// evidence is all that the checker goes by: what the servers and those who moved the world have written down.
// Nothing of it comes from the daemon.
type evidence struct {
	stays     []stay
	published []published
	stops     []stop
	// letters are the messages that Slack has accepted, in order.
	letters []letter
	// reports are what Clair says of each image: the names of its vulnerabilities that were published meanwhile.
	reports map[string][]string
}

// complaint is a promise that was not kept.
type complaint struct {
	// missing says that it may still be kept: what should be told was not told yet.
	missing bool
	about   string
	// messages are those that it is about.
	messages []slackstand.Message
}

func (c complaint) String() string {
	var b strings.Builder
	b.WriteString(c.about)
	for _, m := range c.messages {
		cut := ""
		if m.Unanswered {
			cut = ", unanswered"
		}
		fmt.Fprintf(&b, "\n  %s%s to %s:\n", m.Time.Format("15:04:05.000"), cut, m.Path)
		for line := range strings.Lines(slackstand.Render(m, slackstand.Style{Width: 120})) {
			b.WriteString("    " + line)
		}
	}
	return b.String()
}

// subject is one image in one namespace, whose channel has its name.
type subject struct{ namespace, image string }

// told is one telling and the message that has it.
type told struct {
	telling
	letter letter
}

// check says what was not told as it should be. It has no state: the same evidence gives the same complaints.
func check(e evidence) []complaint {
	c := &checker{evidence: e, told: make(map[subject][]told), ran: make(map[subject][]stay)}
	for _, r := range e.stays {
		at := subject{r.namespace, r.image}
		c.ran[at] = append(c.ran[at], r)
	}
	for _, l := range e.letters {
		c.take(l)
	}
	for _, at := range slices.SortedFunc(maps.Keys(c.ran), compareSubjects) {
		c.running(at)
		c.gone(at)
		c.disclosed(at)
		c.scanned(at)
	}
	return c.complaints
}

func compareSubjects(a, b subject) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.image, b.image))
}

// checker collects complaints.
type checker struct {
	evidence
	told       map[subject][]told
	ran        map[subject][]stay
	complaints []complaint
}

// wrong complains of what was told, missing of what was not.
func (c *checker) wrong(messages []slackstand.Message, format string, args ...any) {
	c.complaints = append(c.complaints, complaint{about: fmt.Sprintf(format, args...), messages: messages})
}

func (c *checker) missing(format string, args ...any) {
	c.complaints = append(c.complaints, complaint{missing: true, about: fmt.Sprintf(format, args...)})
}

// take files what a message tells, and complains of what cannot be so.
func (c *checker) take(l letter) {
	if l.strange != "" {
		c.wrong([]slackstand.Message{l.Message}, "%s was told something strange: %s", l.channel, l.strange)
	}
	for _, t := range l.tellings {
		at := subject{l.channel, t.image}
		if !c.runs(at, l.Time) && (t.kind != gone || !c.inDoubt(at)) {
			c.wrong([]slackstand.Message{l.Message}, "%s was told of %s, which did not run there", l.channel, t.image)
			continue
		}
		if t.kind == disclosed && !c.reported(t.image, t.cve, l.Time) {
			c.wrong(messages([]letter{l}), "%s was told that %s has %s, which it has not, or not yet",
				l.channel, t.image, t.cve)
		}
		c.told[at] = append(c.told[at], told{t, l})
	}
	if l.more > 0 {
		c.countedOnly(l)
	}
}

// countedOnly files vulnerabilities that a message about one image counts and does not name: they must be all that its
// channel has not been told of that image yet. What was published while the image was first told of may be among
// them, and what was told and not recorded.
func (c *checker) countedOnly(l letter) {
	at := subject{l.channel, l.about}
	reports, now := c.of(at, running, ""), l.Time // what it names is told by itself
	var certain, possible []string
	for _, p := range c.published {
		before := c.of(at, disclosed, p.cve)
		recorded := slices.ContainsFunc(before, func(l letter) bool { return !c.unrecorded(l) || l.Time.Equal(now) })
		if !c.reported(l.about, p.cve, l.Time) || recorded || !c.news(at, p) {
			continue
		}
		possible = append(possible, p.cve)
		if len(before) == 0 && reports[len(reports)-1].Time.Before(p.begun) {
			certain = append(certain, p.cve)
		}
	}
	untold := certain
	if l.more == len(possible) {
		untold = possible
	}
	if l.more < len(certain) || l.more > len(possible) {
		c.wrong(messages([]letter{l}), "%s was told of %d more vulnerabilities of %s, want %q",
			l.channel, l.more, l.about, possible)
	}
	for _, cve := range untold {
		c.told[at] = append(c.told[at], told{telling{kind: disclosed, image: l.about, cve: cve}, l})
	}
}

// runs says whether an image ran in a namespace at a moment, or had gone and the world was not at rest since.
func (c *checker) runs(at subject, when time.Time) bool {
	return slices.ContainsFunc(c.ran[at], func(r stay) bool {
		return r.asked.Before(when) && (r.settled.IsZero() || when.Before(r.settled))
	})
}

// reported says whether Clair reports a published vulnerability for an image, and did at a moment.
func (c *checker) reported(image, cve string, at time.Time) bool {
	return slices.Contains(c.reports[image], cve) &&
		slices.ContainsFunc(c.published, func(p published) bool { return p.cve == cve && p.begun.Before(at) })
}

// of are the messages that tell something of an image.
func (c *checker) of(at subject, k kind, cve string) []letter {
	var all []letter
	for _, t := range c.told[at] {
		if t.kind == k && t.cve == cve {
			all = append(all, t.letter)
		}
	}
	return all
}

// running: an image that runs when the world is at rest was told, and once. After it was gone it returns silently.
func (c *checker) running(at subject) {
	reports := c.of(at, running, "")
	c.once(at, "that it runs", reports)
	if len(reports) == 0 && c.runsNow(at) {
		c.missing("%s was not told of %s, which runs there", at.namespace, at.image)
	}
}

// inDoubt says whether the daemon may not know that it has told of an image, and may: it finds that out when it is
// started again, and may have its end to tell then.
func (c *checker) inDoubt(at subject) bool {
	reports := c.of(at, running, "")
	return len(reports) > 0 && !slices.ContainsFunc(reports, func(l letter) bool { return !c.unrecorded(l) })
}

// runsNow says whether an image runs in a namespace.
func (c *checker) runsNow(at subject) bool {
	return slices.ContainsFunc(c.ran[at], func(r stay) bool { return r.ended.IsZero() })
}

// gone: each end of an image that had been told is told once, unless only Jobs ran it. Where the daemon may not know
// that it had been, its end may be told or not.
func (c *checker) gone(at subject) {
	told, reports := c.of(at, gone, ""), c.of(at, running, "")
	for i, r := range c.ran[at] {
		var own []letter // those between this end and the next one
		for _, l := range told {
			next := i+1 < len(c.ran[at]) && !c.ran[at][i+1].ended.IsZero() && l.Time.After(c.ran[at][i+1].ended)
			if !r.ended.IsZero() && l.Time.After(r.ended) && !next {
				own = append(own, l)
			}
		}
		switch {
		case r.ended.IsZero():
			continue
		case r.job && len(own) > 0:
			c.wrong(messages(own), "%s was told that %s is gone, which only Jobs ran", at.namespace, at.image)
		case !r.job && len(own) == 0 && slices.ContainsFunc(reports, func(l letter) bool {
			// Of one that may not have been written down the daemon of after the stop cannot know that it was told.
			return !c.unrecorded(l) && (r.settled.IsZero() || l.Time.Before(r.settled))
		}):
			c.missing("%s was not told that %s is gone, since %s", at.namespace, at.image, r.ended.Format("15:04:05.000"))
		}
		c.once(at, "that it is gone", own)
	}
	for _, l := range told {
		if !slices.ContainsFunc(c.ran[at], func(r stay) bool { return !r.ended.IsZero() && r.ended.Before(l.Time) }) {
			c.wrong(messages([]letter{l}), "%s was told that %s is gone, which runs", at.namespace, at.image)
		}
	}
}

// disclosed: what becomes known about an image that runs is told, and once; what its first report had is not.
func (c *checker) disclosed(at subject) {
	reports := c.of(at, running, "")
	for _, p := range c.published {
		told := c.of(at, disclosed, p.cve)
		c.once(at, p.cve, told)
		if len(told) == 0 && slices.Contains(c.reports[at.image], p.cve) && c.runsNow(at) &&
			len(reports) > 0 && reports[len(reports)-1].Time.Before(p.begun) { // one that came again may have it
			c.missing("%s was not told of %s in %s, which runs there", at.namespace, p.cve, at.image)
		}
		if len(told) > 0 && len(reports) > 0 && !c.news(at, p) {
			c.wrong(messages(slices.Concat(reports[:1], told)), "%s was told of %s in %s, which its report had",
				at.namespace, p.cve, at.image)
		}
	}
}

// news says whether something may be news about an image, rather than be in its first report: that is fetched some time
// after the image began to run, and told some time later.
func (c *checker) news(at subject, p published) bool {
	return len(c.of(at, running, "")) > 0 && p.done.After(c.ran[at][0].asked)
}

// scanned: what could not be scanned can be in the end, and the channel knows. It is told once for each cause, and that
// it is over once, and only then.
func (c *checker) scanned(at subject) {
	var failed, over told // what was told last of it, while it holds
	for _, t := range c.told[at] {
		switch t.kind {
		case unscanned:
			if t.cause != "" && t.cause == failed.cause && !c.unrecorded(failed.letter) {
				c.wrong(messages([]letter{failed.letter, t.letter}), "%s was told twice that %s could not be scanned: %s",
					at.namespace, at.image, t.cause)
			}
			failed, over = t, told{}
		case running:
			failed, over = told{}, told{}
		case scanned:
			if failed.kind == "" && (over.kind == "" || !c.unrecorded(over.letter)) {
				c.wrong(messages([]letter{t.letter}), "%s was told that %s is scanned again, which it was", at.namespace, at.image)
			}
			failed, over = told{}, t
		}
	}
	c.scannedAgain(at)
}

// scannedAgain: nothing that runs is left as one that could not be scanned.
func (c *checker) scannedAgain(at subject) {
	failed, again := c.of(at, unscanned, ""), slices.Concat(c.of(at, scanned, ""), c.of(at, running, ""))
	if len(failed) == 0 || !c.runsNow(at) {
		return
	}
	last := failed[len(failed)-1]
	if !slices.ContainsFunc(again, func(l letter) bool { return l.Time.After(last.Time) }) {
		c.missing("%s was told that %s could not be scanned, and not that it is again", at.namespace, at.image)
	}
}

// once complains of what was told several times. Each time but the last must be one of which the daemon could not know
// that Slack had taken it, or could not write down that it had.
func (c *checker) once(at subject, what string, told []letter) {
	if len(told) < 2 {
		return
	}
	admitted := 0
	for _, l := range told[:len(told)-1] {
		if c.unrecorded(l) {
			admitted++
		}
	}
	if admitted < len(told)-1 {
		c.wrong(messages(told), "%s was told of %s %d times: %s", at.namespace, at.image, len(told), what)
	}
}

// unrecorded says whether a message may come again: the daemon could not know that Slack had accepted it, or may not
// have written it down. It writes one down before it sends the next one to that channel: of those before a stop it is
// the last.
func (c *checker) unrecorded(l letter) bool {
	return l.Unanswered || slices.ContainsFunc(c.stops, func(s stop) bool {
		return l.Time.After(s.since) && l.Time.Before(s.at) && !slices.ContainsFunc(c.letters, func(next letter) bool {
			return next.channel == l.channel && next.Time.After(l.Time) && next.Time.Before(s.at)
		})
	})
}

func messages(letters []letter) []slackstand.Message {
	all := make([]slackstand.Message, len(letters))
	for i, l := range letters {
		all[i] = l.Message
	}
	return all
}
