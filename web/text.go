package web

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// longestText is the number of characters of one string from outside that a page shows: image names are at most
// about 400 long, and everything else is shorter by nature.
const longestText = 400

// brief shortens a string from outside and shows a replacement character for what would not show, or would make
// the rest read otherwise: control and format characters, and what is not UTF-8.
func brief(s string) string {
	plain := len(s) <= longestText
	for i := 0; plain && i < len(s); i++ {
		plain = ' ' <= s[i] && s[i] <= '~'
	}
	if plain {
		return s // as nearly all are
	}
	if end := longestText * utf8.UTFMax; len(s) > 2*end {
		s = s[:end] + s[len(s)-end:] // what is beyond is cut out below
	}
	s = strings.ToValidUTF8(s, string(unicode.ReplacementChar))
	if utf8.RuneCountInString(s) > longestText {
		// It is cut in the middle, because names differ at their ends.
		runes := []rune(s)
		const tail = longestText * 2 / 5
		s = string(runes[:longestText-tail-1]) + "…" + string(runes[len(runes)-tail:])
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.In(r, unicode.C, unicode.Zl, unicode.Zp):
			return unicode.ReplacementChar
		}
		return r
	}, s)
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
	if stem, ok := strings.CutSuffix(noun, "ty"); ok { // not that of days
		return number(n) + " " + stem + "ties"
	}
	return number(n) + " " + noun + "s"
}

// moment is a time as a page shows it; the zero value is none.
type moment struct {
	// ISO is for machines, Text for people, and Distance how far it is from now: "3 hours ago".
	ISO, Text, Distance string
}

// newMoment describes a time; the zero time gives the zero moment.
func newMoment(t, now time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	t = t.UTC()
	return moment{ISO: t.Format(time.RFC3339), Text: t.Format("2006-01-02 15:04") + " UTC", Distance: distance(t.Sub(now))}
}

// Day is the day of it, in UTC; empty for the zero value.
func (m moment) Day() string { return m.Text[:min(len(m.Text), len(time.DateOnly))] }

// distance says how far something is from now, in the largest unit of which it has two.
func distance(d time.Duration) string {
	length := d.Abs()
	switch {
	case length < time.Minute && d > 0:
		return "within a minute"
	case length < time.Minute:
		return "just now"
	}
	n, noun := int(length/time.Minute), "minute"
	switch {
	case length >= 48*time.Hour:
		n, noun = int(length/(24*time.Hour)), "day"
	case length >= 2*time.Hour:
		n, noun = int(length/time.Hour), "hour"
	}
	if d < 0 {
		return count(n, noun) + " ago"
	}
	return "in " + count(n, noun)
}

// few are the first of many names.
type few struct {
	Names []string
	// More is how many there are besides.
	More int
}

// first keeps at most n of the names.
func first(names []string, n int) few {
	shown := names[:min(n, len(names))]
	return few{Names: shown, More: len(names) - len(shown)}
}

// newDayFrom is newDay, with how far it is from now.
func newDayFrom(t, now time.Time) moment {
	m := newDay(t)
	m.Distance = newMoment(t, now).Distance
	return m
}

// newDay describes a time that is usually the start of a day; the zero time gives the zero moment.
func newDay(t time.Time) moment {
	m := newMoment(t, t)
	m.Distance = ""
	if t = t.UTC(); !t.IsZero() && t.Equal(t.Truncate(24*time.Hour)) {
		m.ISO, m.Text = t.Format(time.DateOnly), t.Format(time.DateOnly)
	}
	return m
}
