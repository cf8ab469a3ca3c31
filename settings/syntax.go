package settings

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// prefixLimit bounds how much text is read in all to find the lines of mistakes, in bytes: those of all keys, because
// nobody's settings are in force before all are read.
const prefixLimit = 1 << 20

// CheckSyntax says where and why a text is not YAML, as a Mistake without a path; nil where it is. It says nothing of
// what is there: the library's own words quote the text, and often name the line where a block begins, not the one
// that breaks it.
func CheckSyntax(text string) *Mistake {
	left := prefixLimit
	return checkSyntax(text, &left)
}

// checkSyntax takes from left what it reads to find the line; when that is used up it says so in the Mistake.
func checkSyntax(text string, left *int) *Mistake {
	if _, err := documents(text); err == nil {
		return nil
	}
	text = strings.TrimPrefix(text, "\ufeff")
	m := locate(text, left)
	m.What = "not valid YAML: " + m.What
	return &m
}

// documents returns the YAML documents that hold anything.
func documents(text string) ([]*yaml.Node, error) { return documentsFrom(strings.NewReader(text)) }

func documentsFrom(text io.Reader) (ns []*yaml.Node, err error) {
	defer func() {
		if recover() != nil { // the library has had texts at which it does
			ns, err = nil, errors.New("it cannot be understood")
		}
	}()
	decoder := yaml.NewDecoder(text)
	for {
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return ns, nil
		case err != nil:
			return nil, err
		}
		for _, n := range document.Content {
			if n = target(n); n.ShortTag() != "!!null" {
				ns = append(ns, n)
			}
		}
	}
}

// trouble is a kind of mistake in the syntax.
type trouble int

const (
	misfit  trouble = iota + 1 // a line does not go with those before it; or anything else, on its own line
	comma                      // or the end of a map or list in brackets
	bracket                    // one that is not closed, or closes nothing
	quote                      // one that is not closed
	behind                     // something stands behind a text in quotes, or behind a bracket
	colon                      // one is missing
	second                     // a second colon
	tab                        // where white space counts
	start                      // a character with a meaning of its own begins a text
	alias                      // to nothing
	escape                     // in double quotes
	block                      // something stands behind | or >
	letter                     // a character that must not be
	nested                     // too deeply
	unknown                    // anything else
)

// words say what is wrong, and what would be right.
func (t trouble) words() string {
	return [...]string{
		misfit:  "this line does not go with those before it: see whether it is indented like them, and whether each has its colon, or its dash",
		comma:   "a bracket, [ or {, that is not closed, or a comma that is missing behind it",
		bracket: "a bracket, [ or {, that is not closed, or closes nothing",
		quote:   "a quote that is not closed",
		behind:  "something stands behind a closing quote or bracket: put the whole text into quotes",
		colon:   "a colon and a space are missing between the name of a field and its value",
		second:  "a second colon: a text with a colon and a space in it needs quotes",
		tab:     "a tab: indent with spaces",
		start:   "a text that begins with * & ! % @ or ` needs quotes",
		alias:   "there is nothing that the name behind a * stands for; a text that begins with * needs quotes",
		escape:  "a backslash in double quotes has a meaning of its own: use single quotes",
		block:   "nothing else may stand on the line of a | or >",
		letter:  "a character that must not be in YAML, such as a control character, or a text that is not UTF-8",
		nested:  "nested too deeply",
		unknown: "it cannot be understood",
	}[t]
}

// troubles are what the library's words mean. Those that are not here may quote the text.
var troubles = [...]struct {
	said  string
	means trouble
}{
	{"unknown anchor", alias}, // first, because it quotes the text
	{"mapping values are not allowed in this context", misfit},
	{"did not find expected key", misfit},
	{"did not find expected '-' indicator", misfit},
	{"did not find expected <document start>", misfit},
	{"block sequence entries are not allowed in this context", misfit},
	{"mapping keys are not allowed in this context", misfit},
	{"did not find expected ',' or ']'", comma},
	{"did not find expected ',' or '}'", comma},
	{"did not find expected node content", bracket},
	{"could not find expected ':'", colon},
	{"found unexpected end of stream", quote},
	{"found unexpected document indicator", quote},
	{"found character that cannot start any token", start},
	{"did not find expected alphabetic or numeric character", start},
	{"directive", start},
	{"did not find expected digit or '.' character", start},
	{"version number", start},
	{"did not find expected whitespace", start},
	{"did not find the expected '>'", start},
	{"did not find expected '!'", start},
	{"did not find expected tag URI", start},
	{"URI escaped octet", start},
	{"found undefined tag handle", start},
	{"found a tab character", tab},
	{"found unknown escape character", escape},
	{"did not find expected hexdecimal number", escape},
	{"found invalid Unicode character escape code", escape},
	{"did not find expected comment or line break", block},
	{"found an indentation indicator equal to 0", block},
	{"control characters are not allowed", letter},
	{"UTF-8", letter},
	{"UTF-16", letter},
	{"surrogate area", letter},
	{"invalid Unicode character", letter},
	{"exceeded max depth", nested},
}

// meaning is what the library means, and the line that it names; 0: it names none.
func meaning(err error) (trouble, int) {
	said, line := err.Error(), 0
	if m := numbered.FindStringSubmatch(said); m != nil {
		line, _ = strconv.Atoi(m[1]) // of digits
	}
	for _, t := range troubles {
		if strings.Contains(said, t.said) {
			return t.means, line
		}
	}
	return unknown, line
}

var numbered = regexp.MustCompile(`^yaml: line (\d{1,9}): `)

// reached reads a text byte by byte, so that it knows where the library has noticed a mistake.
type reached struct {
	text string
	at   int
	end  bool // the library has asked for more than there is
}

// Read gives one byte.
func (r *reached) Read(b []byte) (int, error) {
	if r.at == len(r.text) {
		r.end = true
		return 0, io.EOF
	}
	n := copy(b[:min(1, len(b))], r.text[r.at:])
	r.at += n
	return n, nil
}

// locate finds the line of a text that is not YAML at which a person would look, and what is wrong there.
func locate(text string, left *int) Mistake {
	// The library counts lines from 0 and takes 0 for none. With one more before the first it names all of them.
	r := &reached{text: "\n" + text}
	_, err := documentsFrom(r)
	if err == nil {
		return Mistake{What: unknown.words()}
	}
	noticed := max(1, strings.Count(r.text[:max(1, r.at-1)], "\n"))
	means, line := meaning(err)
	switch means {
	case comma: // it names where the bracket opens
		line = min(max(line, 1), noticed)
		if below := noticed - line; below > 1 && !r.end {
			return Mistake{Line: line, What: fmt.Sprintf("the bracket that opens here is not closed, or a comma is missing in the %s below", counted(below))}
		}
	case colon, quote, start, escape, block:
		line-- // the one that is before the first
		opened := broken(text, line, left)
		if means != quote && opened > 0 && opened < line && slices.Contains([]trouble{comma, bracket}, misfit.at(lineOf(text, opened))) {
			return Mistake{Line: line, What: fmt.Sprintf("%s; or the bracket that opens %s above is not closed", means.words(), counted(line-opened))}
		}
	default:
		line = 0
	}
	if line < 1 {
		line = broken(text, noticed, left)
	}
	if line < 1 {
		return Mistake{Line: noticed, What: "on this line, or one before it: " + means.words()}
	}
	return Mistake{Line: line, What: means.at(lineOf(text, line)).words()}
}

func counted(lines int) string {
	if lines == 1 {
		return "1 line"
	}
	return fmt.Sprintf("%d lines", lines)
}

// at is what is wrong more exactly, by the text of the line.
func (t trouble) at(line string) trouble {
	line = strings.TrimRight(line, "\r\n")
	indented := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	switch {
	case (t == start || t == misfit) && strings.Contains(indented, "\t"):
		return tab
	case t != misfit:
		return t
	}
	_, err := documents(strings.TrimSpace(line))
	if err == nil {
		return misfit
	}
	switch alone, _ := meaning(err); {
	case alone == misfit && strings.Contains(err.Error(), "mapping values"):
		return second
	case alone == misfit:
		return behind
	default:
		return alone
	}
}

// broken returns the line after which a text is no YAML any more, at the most the one where that was noticed; 0 where
// it takes too long to find out. What is open at that line, as a quote, was opened there.
func broken(text string, noticed int, left *int) int {
	ends := []int{0} // of lines
	for i := range len(text) {
		if text[i] == '\n' {
			ends = append(ends, i+1)
		}
		if len(ends) > noticed {
			break
		}
	}
	for line := min(noticed, len(ends)); line > 0; line-- {
		before := text[:ends[line-1]]
		if *left < len(before) { // a shorter text may still be searched
			return 0
		}
		*left -= len(before)
		if _, err := documents(before); err == nil {
			return line
		}
	}
	return 0
}

// lineOf returns a line of a text.
func lineOf(text string, line int) string {
	for range line - 1 {
		_, text, _ = strings.Cut(text, "\n")
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}
