package slackstand

import (
	"strconv"
	"strings"
	"unicode"
)

// span is text of one style.
type span struct {
	text                             string
	url                              string
	bold, italic, code, strike, grey bool
}

// wrap breaks spans into lines of at most width columns, at spaces where it can.
func (p *page) wrap(spans []span, width int) []string {
	var lines []string
	for _, line := range breakLines(p.style.expand(spans), max(width, 1)) {
		lines = append(lines, p.style.paint(line))
	}
	return lines
}

// expand writes out what a plain terminal cannot show: a link's URL and code's
// backticks.
func (s Style) expand(spans []span) []span {
	if s.Colour {
		return spans
	}
	var all []span
	for _, x := range spans {
		if x.code {
			x.text = "`" + x.text + "`"
		}
		all = append(all, x)
		if x.url != "" && x.url != x.text {
			all = append(all, span{text: " (" + x.url + ")"})
		}
	}
	return all
}

// breakLines breaks at newlines and, where a line is too long, at spaces; a
// word that is longer than a line is broken anywhere.
func breakLines(spans []span, width int) [][]span {
	lines := [][]span{nil}
	used := 0
	put := func(s span, word string) {
		used += columns(word)
		line := &lines[len(lines)-1]
		s.text = ""
		if last := len(*line) - 1; last >= 0 {
			before := (*line)[last]
			if before.text = ""; before == s { // the same style goes on
				(*line)[last].text += word
				return
			}
		}
		s.text = word
		*line = append(*line, s)
	}
	fresh := func() {
		lines = append(lines, nil)
		used = 0
	}
	for _, s := range spans {
		for _, word := range words(s.text) {
			switch {
			case word == "\n":
				fresh()
				continue
			case used+columns(strings.TrimRight(word, " ")) > width && used > 0:
				fresh()
				word = strings.TrimLeft(word, " ")
			}
			for columns(strings.TrimRight(word, " ")) > width {
				head := clip(word, width)
				put(s, head)
				fresh()
				word = word[len(head):]
			}
			if word != "" {
				put(s, word)
			}
		}
	}
	return lines
}

// words cuts text after each run of spaces, newlines being words of their own.
func words(text string) []string {
	var all []string
	start := 0
	for i, r := range text {
		switch {
		case r == '\n':
			if start < i {
				all = append(all, text[start:i])
			}
			all = append(all, "\n")
			start = i + 1
		case r != ' ' && i > start && text[i-1] == ' ':
			all = append(all, text[start:i])
			start = i
		}
	}
	if start < len(text) {
		all = append(all, text[start:])
	}
	return all
}

// clip is the beginning of text that fits into width columns, at least one character.
func clip(text string, width int) string {
	used := 0
	for i, r := range text {
		used += runeColumns(r)
		if used > width && i > 0 {
			return text[:i]
		}
	}
	return text
}

// columns is the number of terminal cells that text takes.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

// runeColumns covers what messages hold: wide are the emoji in use and East
// Asian scripts, without width are marks and joiners.
func runeColumns(r rune) int {
	switch {
	case r == 0x200d, r >= 0xfe00 && r <= 0xfe0f, unicode.In(r, unicode.Mn, unicode.Me), unicode.IsControl(r):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xff00 && r <= 0xff60,
		r >= 0x1f300 && r <= 0x1faff, r >= 0x2753 && r <= 0x2755,
		r == 0x26aa, r == 0x26ab, r == 0x2705, r == 0x274c, r == 0x2b50:
		return 2
	}
	return 1
}

// paint writes a line with the terminal's means. Control characters, which
// would steer the terminal, are left out.
func (s Style) paint(line []span) string {
	var b strings.Builder
	for _, x := range line {
		shown := strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				return -1
			}
			return r
		}, x.text)
		if !s.Colour {
			b.WriteString(shown)
			continue
		}
		b.WriteString(x.escape(shown))
	}
	return b.String()
}

// escape wraps text into escape sequences: SGR for its style, OSC 8 for its link.
func (x span) escape(text string) string {
	var codes []string
	for _, c := range []struct {
		on   bool
		code string
	}{
		{x.bold, "1"}, {x.grey, "2"}, {x.italic, "3"}, {x.strike, "9"}, {x.code, "36"}, {x.url != "", "34"},
	} {
		if c.on {
			codes = append(codes, c.code)
		}
	}
	if len(codes) > 0 {
		text = "\x1b[" + strings.Join(codes, ";") + "m" + text + "\x1b[0m"
	}
	if x.url != "" && !strings.ContainsFunc(x.url, unicode.IsControl) {
		text = "\x1b]8;;" + x.url + "\x1b\\" + text + "\x1b]8;;\x1b\\"
	}
	return text
}

// bar is an attachment's bar in its colour, "#rrggbb" or Slack's words.
func (s Style) bar(bar, colour string) string {
	if !s.Colour {
		return bar
	}
	if hex, ok := map[string]string{"good": "2eb67d", "warning": "ecb22e", "danger": "e01e5a"}[colour]; ok {
		colour = hex
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 24)
	if err != nil {
		n = 0xdddddd
	}
	return "\x1b[38;2;" + strconv.Itoa(int(n>>16)) + ";" + strconv.Itoa(int(n>>8&0xff)) + ";" + strconv.Itoa(int(n&0xff)) + "m" + bar + "\x1b[0m"
}
