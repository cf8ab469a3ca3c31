package slack

import (
	"strings"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

// emSpace separates the counts, which have spaces within.
const emSpace = "\u2003"

// dot is a severity's colour for where a coloured bar does not reach: notifications, copies, cells.
func dot(s findings.Severity) string {
	switch s {
	case claircore.Critical:
		return "🔴"
	case claircore.High:
		return "🟠"
	case claircore.Medium:
		return "🟡"
	case claircore.Low:
		return "🔵"
	case claircore.Negligible:
		return "⚪"
	default:
		return "❔"
	}
}

// Colours of the bar beside an attachment, the same as those of the dots.
const (
	red    = "#b3001b"
	orange = "#e8710a"
	yellow = "#e9b200"
	blue   = "#3d85c6"
	dull   = "#9aa0a6"
)

// colour is the colour of the worst severity; dull when there is nothing, which is no praise.
func colour(c findings.Counts) string {
	worst, _ := c.Worst()
	switch worst {
	case claircore.Critical:
		return red
	case claircore.High:
		return orange
	case claircore.Medium:
		return yellow
	case claircore.Low:
		return blue
	default:
		return dull
	}
}

func word(s findings.Severity) string { return strings.ToLower(s.String()) }

// countsLine shows every severity that occurs. Words stand beside the dots, so that it is their legend.
func countsLine(c findings.Counts) []inline {
	var line []inline
	for _, s := range findings.Severities {
		n := c.Of(s)
		if n == 0 {
			continue
		}
		if line != nil {
			line = append(line, plain(emSpace))
		}
		line = append(line, plain(dot(s)+" "), bold(number(n)), plain(" "+word(s)))
	}
	return line
}

// countsText says the same as countsLine in mrkdwn.
func countsText(c findings.Counts) string {
	var parts []string
	for _, s := range findings.Severities {
		if n := c.Of(s); n != 0 {
			parts = append(parts, dot(s)+" *"+number(n)+"* "+word(s))
		}
	}
	return strings.Join(parts, emSpace)
}

// worst names the two worst severities that occur: "3 critical, 21 high". There must be a finding.
func worst(c findings.Counts) string { return bySeverity(c, 2) }

// every names every severity that occurs, where no line of counts follows. There must be a finding.
func every(c findings.Counts) string { return bySeverity(c, len(findings.Severities)) }

// bySeverity names the worst severities that occur, at most so many.
func bySeverity(c findings.Counts, most int) string {
	// Unknown comes last, so it is the worst only where it is all there is; a bare "14 unknown" would
	// leave open what is unknown.
	if s, _ := c.Worst(); s == claircore.Unknown {
		return ofUnknownSeverity(c.Unknown)
	}
	var parts []string
	for _, s := range findings.Severities {
		if n := c.Of(s); n > 0 && len(parts) < most {
			parts = append(parts, number(n)+" "+word(s))
		}
	}
	return strings.Join(parts, ", ")
}

// rated is a severity on its own; a bare "unknown" would leave open what is unknown.
func rated(s findings.Severity) string {
	if s == claircore.Unknown {
		return "unknown severity"
	}
	return word(s)
}

func ofUnknownSeverity(n int) string { return count(n, "vulnerability") + " of unknown severity" }
