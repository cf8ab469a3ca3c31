package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/clairwatch/clairwatch/findings"
)

// level is a severity that occurs, and its part of the bar.
type level struct {
	// Word names it; the stylesheet knows its colour by the same word.
	Word string
	// N is how many findings have it.
	N int
	// X and Width say where in the bar it is.
	X, Width int
}

// scale is a bar of severities with the words to it. No levels: there are no findings.
type scale struct {
	Levels []level
	// Span is the width of the whole bar.
	Span int
}

// newScale shows counts, worst first.
func newScale(c findings.Counts) scale {
	const (
		whole    = 1000
		smallest = 8 // one critical among thousands must not vanish
	)
	var s scale
	total := c.Total()
	for _, severity := range findings.Severities {
		n := c.Of(severity)
		if n == 0 {
			continue
		}
		width := max(smallest, int(int64(n)*whole/int64(total)))
		s.Levels = append(s.Levels, level{Word: word(severity), N: n, X: s.Span, Width: width})
		s.Span += width
	}
	return s
}

func word(s findings.Severity) string { return strings.ToLower(s.String()) }

// severityWords are the words of all severities, worst first.
func severityWords() []string {
	var words []string
	for _, s := range findings.Severities {
		words = append(words, word(s))
	}
	return words
}

// parseSeverity reads the word of a severity in the query of an address; empty where it has none.
func parseSeverity(q url.Values) string {
	asked := strings.ToLower(strings.TrimSpace(q.Get("severity")))
	if !slices.Contains(severityWords(), asked) {
		return ""
	}
	return asked
}

// choice is one of those that a form offers.
type choice struct {
	Value, Text string
	Chosen      bool
}

// severityChoices are the severities that a form offers, worst first. Each stands for what is worse, too, but for that
// of what nobody has rated.
func severityChoices(chosen string) []choice {
	var all []choice
	for _, s := range findings.Severities {
		all = append(all, choice{Value: word(s), Text: orWorse(word(s)), Chosen: word(s) == chosen})
	}
	return all
}

// orWorse says what a severity that is asked for stands for.
func orWorse(severity string) string {
	switch severity {
	case word(findings.Severities[0]):
		return severity
	case word(findings.Severity(0)): // which says nothing of how bad it is
		return severity + " alone"
	}
	return severity + " or worse"
}

// cvss is the CVSS score of a finding; zero where it has none that can be one.
func cvss(f findings.Finding) float64 {
	const highest = 10
	if f.CVSS > 0 && f.CVSS <= highest {
		return f.CVSS
	}
	return 0
}

// score writes a CVSS score; empty where there is none.
func score(cvss float64) string {
	if cvss <= 0 {
		return ""
	}
	return strconv.FormatFloat(cvss, 'f', 1, 64)
}
