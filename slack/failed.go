package slack

import (
	"strings"

	slackgo "github.com/slack-go/slack"
)

const (
	mostNames  = 6 // names that a line lists; the rest is counted
	mostCauses = 8 // causes that a message lists; there are hardly more classes of failure
)

// Cause is one reason for which images could not be scanned. Name and Hint are the caller's own words,
// never an error's text.
type Cause struct {
	// Name is a word or two that complete "could not be scanned": "not found".
	Name string
	// Hint says what to do about it; empty: not shown.
	Hint string
	// Images are those concerned, at least one; six are listed.
	Images []Image
}

// Failed tells which images could not be scanned. Silence about them would read as if they were clean.
type Failed struct {
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Namespaces are those in which the images run, each once, in the order to show; empty: not shown.
	Namespaces []string
	// Causes are told in the given order.
	Causes []Cause
	// Link leads to the list of all images; empty: no link.
	Link string
}

// Message returns quiet lines, two for each cause. It is no message when there are no images.
func (f Failed) Message() Message {
	causes := nonEmpty(f.Causes)
	if len(causes) == 0 {
		return Message{}
	}
	footer := details(f.Cluster, within(f.Namespaces))
	if c := causes[0]; failures(causes) == 1 { // fits on one line
		return quiet(failedText(causes), grey(
			markup("⚠️ "+mono(c.Images[0].named(longestName))+" could not be scanned: "+escape(unformatted(c.name()))),
			verbatim(c.hint()), verbatim(footer), anchor("All images", f.Link),
		))
	}
	var lines []slackgo.Block
	for _, c := range causes[:min(len(causes), mostCauses)] {
		subject := "*" + count(len(c.Images), "image") + "*"
		if len(c.Images) == 1 {
			subject = mono(c.Images[0].named(longestName))
		}
		lines = append(lines, grey(
			markup("⚠️ "+subject+" could not be scanned: "+escape(unformatted(c.name()))),
			verbatim(c.hint()),
		))
		if len(c.Images) > 1 {
			lines = append(lines, grey(markup(names(c.Images, len(c.Images)))))
		}
	}
	if more := len(causes) - mostCauses; more > 0 {
		footer = details(f.Cluster, within(f.Namespaces), "and "+count(more, "more cause"))
	}
	if all := anchor("All images", f.Link); all != nil || footer != "" {
		lines = append(lines, grey(all, verbatim(footer)))
	}
	return quiet(failedText(causes), lines...)
}

// failedText is the line for the phone: how many and why, or which one.
func failedText(causes []Cause) string {
	all := failures(causes)
	first := causes[0]
	switch {
	case all == 1:
		return "⚠️ " + first.Images[0].named(longestBrief) + " could not be scanned: " + first.name()
	case len(causes) == 1:
		return "⚠️ " + count(all, "image") + " could not be scanned: " + first.name()
	default:
		return "⚠️ " + count(all, "image") + " could not be scanned, for " + count(len(causes), "reason")
	}
}

// nonEmpty leaves out causes without an image.
func nonEmpty(causes []Cause) []Cause {
	var cs []Cause
	for _, c := range causes {
		if len(c.Images) > 0 {
			cs = append(cs, c)
		}
	}
	return cs
}

// failures counts the images of all causes.
func failures(causes []Cause) int {
	n := 0
	for _, c := range causes {
		n += len(c.Images)
	}
	return n
}

func (c Cause) name() string { return orDash(brief(c.Name, longestCell)) }

func (c Cause) hint() string { return brief(c.Hint, 2*longestDetail) }

// names lists the first of so many images within mrkdwn.
func names(images []Image, all int) string {
	var ns []string
	for _, image := range images[:min(len(images), mostNames)] {
		ns = append(ns, mono(image.named(longestBrief)))
	}
	return listed(ns, all)
}

// listed joins what is shown of so many things, and counts the rest.
func listed(shown []string, all int) string {
	s := strings.Join(shown, ", ")
	if more := all - len(shown); more > 0 {
		s += " and " + number(more) + " more"
	}
	return s
}

// within names the namespaces of a footer that has nothing else to tell what they are.
func within(namespaces []string) string {
	if names := placeNames(namespaces); names != "" {
		return "in " + names
	}
	return ""
}

// placeNames lists the first of the namespaces for a footer.
func placeNames(namespaces []string) string {
	const most = 3
	var names []string
	for _, n := range namespaces {
		if n = brief(n, longestCell/2); n != "" && len(names) < most {
			names = append(names, n)
		}
	}
	s := strings.Join(names, ", ")
	if more := len(namespaces) - len(names); more > 0 && s != "" {
		s += " and " + number(more) + " more"
	}
	return s
}
