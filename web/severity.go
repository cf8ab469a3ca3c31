package web

import (
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
