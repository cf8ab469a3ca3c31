package findings

import (
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// IsCalled says whether a name is that of the finding's advisory, in any case of letters. Where the advisory has a title
// behind its name ("RHSA-2024:2679: libxml2 security update") the name alone will do.
func (f Finding) IsCalled(name string) bool {
	return strings.EqualFold(f.Name, name) || strings.EqualFold(f.BareName(), name)
}

// BareName is the name of the finding's advisory without a title behind it.
func (f Finding) BareName() string {
	name, _, titled := strings.Cut(f.Name, " ")
	if !titled {
		return f.Name
	}
	return strings.TrimSuffix(name, ":")
}

// Mentions says whether the finding's link or description has a name as a word, in any case of letters: one
// vulnerability has several names, and Clair knows it by that of the source it has it from.
func (f Finding) Mentions(name string) bool {
	return hasWord(f.Link, name) || hasWord(f.Description, name)
}

// mostOtherNames is how many other names of one vulnerability there are, and longestOtherName how long they are in
// bytes: links and descriptions are written by others, and that of a kernel's update names hundreds.
const (
	mostOtherNames   = 64
	longestOtherName = 64
)

// namers are those who name vulnerabilities, as what they name begins, in capitals.
var namers = [...]string{
	"CVE", "GHSA", "RHSA", "RHBA", "RHEA", "DSA", "DLA", "USN", "ELSA", "PYSEC", "GO", "ALAS", "ALAS2", "ALAS2023", "SUSE", "OPENSUSE",
	"PHSA", "RUSTSEC", "ALPINE", "DEBIAN", "UBUNTU", "ALSA", "RLSA", "MAL", "TEMP", "SNYK",
}

// OtherNames returns names that the finding's link and description have as words and that look like those of
// vulnerabilities, "GHSA-2h4p-vjrc-8xpq", "RHSA-2024:2679": the first 64, each once and as it is written there, without
// the finding's own. Mentions is true for each of them.
func (f Finding) OtherNames() []string {
	var names []string
	for _, text := range [...]string{f.Link, f.Description} {
		for word := range dashed(text) {
			if !looksNamed(word) || f.IsCalled(word) ||
				slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, word) }) {
				continue
			}
			if names = append(names, word); len(names) == mostOtherNames {
				return names
			}
		}
	}
	return names
}

// dashed yields the words of a text that have a dash, as hasWord knows them. It looks at nothing else of the text twice.
func dashed(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			dash := strings.IndexByte(text, '-')
			if dash < 0 {
				return
			}
			start, end := 0, len(text)
			if i := strings.LastIndexFunc(text[:dash], betweenWords); i >= 0 {
				_, width := utf8.DecodeRuneInString(text[i:])
				start = i + width
			}
			if i := strings.IndexFunc(text[dash:], betweenWords); i >= 0 {
				end = dash + i
			}
			if !yield(strings.Trim(text[start:end], aroundWords)) {
				return
			}
			text = text[end:]
		}
	}
}

// looksNamed says whether a word looks like the name of a vulnerability: somebody who names them, a dash, and something
// with a number of four digits or, for GitHub, three groups of four.
func looksNamed(word string) bool {
	namer, rest, _ := strings.Cut(word, "-")
	if len(word) > longestOtherName || !hasNumber(rest) && len(rest) != len("xxxx-xxxx-xxxx") {
		return false
	}
	for _, c := range []byte(rest) {
		if !isLetterOrDigit(c) && c != '-' && c != ':' {
			return false
		}
	}
	return slices.ContainsFunc(namers[:], func(n string) bool { return strings.EqualFold(n, namer) }) &&
		(hasNumber(rest) || strings.EqualFold(namer, "GHSA"))
}

// hasNumber says whether a text has a number of at least four digits.
func hasNumber(text string) bool {
	digits := 0
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			digits = 0
		} else if digits++; digits == 4 {
			return true
		}
	}
	return false
}

func isLetterOrDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// aroundWords is what makes words of names and is no part of them where it stands at an end.
const aroundWords = "-_.:"

// betweenWords says whether a character separates words. What names are made of makes words.
func betweenWords(r rune) bool {
	switch {
	case r >= utf8.RuneSelf:
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	case r == '-' || r == '_' || r == '.' || r == ':': // those of aroundWords
		return false
	default:
		return !isLetterOrDigit(byte(r))
	}
}

// hasWord says whether a text has a word, in any case of letters.
func hasWord(text, word string) bool {
	for w := range strings.FieldsFuncSeq(text, betweenWords) {
		if strings.EqualFold(strings.Trim(w, aroundWords), word) {
			return true
		}
	}
	return false
}
