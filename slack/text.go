package slack

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// Lengths in characters (runes), far below Slack's limits whatever the input.
const (
	longestFallback = 150 // about what a phone's lock screen shows
	longestName     = 100 // an image or a workload in a headline, a list or a line
	longestBrief    = 60  // an image within the fallback, so that the verdict behind it stays visible
	longestCell     = 60  // a package, version or advisory
	longestDetail   = 140 // one part of the grey footer
	longestExcerpt  = 280 // what an advisory says
	longestLink     = 1000
)

// clean makes one harmless line of a string from outside: no control, direction or invisible characters,
// no piles of accents that run into the lines above, white space collapsed.
func clean(s string) string {
	const mostMarks = 2 // accents on one letter; some scripts need two
	var b strings.Builder
	space, marks := false, 0
	for _, r := range s { // invalid UTF-8 comes out as U+FFFD
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case invisible(r):
			continue
		case unicode.Is(unicode.M, r):
			if marks++; marks > mostMarks {
				continue
			}
		default:
			marks = 0
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// invisible says whether a character draws nothing, or only changes how others are drawn.
func invisible(r rune) bool {
	switch {
	case r == unicode.ReplacementChar:
		return false
	case unicode.In(r, unicode.C, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
		return true
	case r == 0x2800: // an empty Braille pattern
		return true
	}
	return false
}

// clip shortens a string to at most n characters. It cuts in the middle, because names differ at their
// ends.
func clip(s string, n int) string {
	if len(s) <= n {
		return s // bytes are never fewer than characters
	}
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	tail := (n - 1) * 2 / 5
	head := n - 1 - tail
	return string(runes[:head]) + "…" + string(runes[len(runes)-tail:])
}

// brief cleans and clips a string from outside.
func brief(s string, n int) string { return clip(clean(s), n) }

// excerpt is the beginning of a text from outside: cleaned, and cut between words to at most n characters.
func excerpt(s string, n int) string {
	s = clean(s)
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	s = string(runes[:n-1])
	// One word without an end is cut where it is.
	if space := strings.LastIndexByte(s, ' '); runes[n-1] != ' ' && space > len(s)/2 {
		s = s[:space]
	}
	return strings.TrimRight(s, " .,;:–-(") + "…"
}

// orDash stands in for what is empty: Slack refuses empty cells.
func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// escape keeps Slack from reading markup in what goes into mrkdwn. It must come after clipping: half an
// entity would show.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// fallback makes the text of a message out of a plain line.
func fallback(s string) string { return escape(clip(unformatted(s), longestFallback)) }

// unformatted leaves out Slack's formatting characters, for which it has no escape. Image names cannot
// contain them but for the underline, which formats nothing within a word. Neither does the tilde, which
// Debian's versions have there: without it they would be other versions.
func unformatted(s string) string {
	s = strings.NewReplacer("*", "", "`", "").Replace(s)
	if !strings.Contains(s, "~") {
		return s
	}
	runes, kept := []rune(s), make([]rune, 0, len(s))
	for i, r := range runes {
		if r == '~' && !(i > 0 && wordly(runes[i-1]) && i+1 < len(runes) && wordly(runes[i+1])) {
			continue
		}
		kept = append(kept, r)
	}
	return string(kept)
}

func wordly(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// mono shows a string in monospace within mrkdwn, where nothing but its end is markup.
func mono(s string) string {
	return "`" + escape(strings.ReplaceAll(orDash(s), "`", "'")) + "`"
}

// address returns an http(s) address that is safe to link to, and false for everything else.
func address(s string) (string, bool) {
	if s == "" || len(s) > longestLink {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return "", false
	}
	// url.Parse takes nearly everything for a host.
	if u.Host == "" || strings.Trim(strings.ToLower(u.Host), "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") != "" {
		return "", false
	}
	// A query is kept as it was written; these would end the link in mrkdwn.
	a := strings.NewReplacer("|", "%7C", "<", "%3C", ">", "%3E", " ", "%20", "`", "%60").Replace(u.String())
	if len(a) > longestLink || clean(a) != a {
		return "", false
	}
	return a, true
}

// number writes 12310 as 12,310.
func number(n int) string {
	s := strconv.Itoa(max(n, 0))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if y, ok := strings.CutSuffix(noun, "y"); ok {
		return number(n) + " " + y + "ies"
	}
	return number(n) + " " + noun + "s"
}

// details joins the parts of a footer that are not empty.
func details(parts ...string) string {
	var ds []string
	for _, p := range parts {
		if p = brief(p, longestDetail); p != "" {
			ds = append(ds, p)
		}
	}
	return strings.Join(ds, " · ")
}
