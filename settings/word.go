package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// hidden stands for a text that is not shown.
const hidden = "(not shown)"

// shown is a text of the settings as an error may repeat it: as it is where it looks like a name. Anything
// else may be a webhook's address, or a part of one, that was written in the wrong place.
func shown(s string) string {
	if !Shown(s) {
		return hidden
	}
	return s
}

// Shown says whether a text looks like a name, and so may be repeated. It is words in which digits stand together, joined by
// dashes, dots or underscores: a short one, since the secret part of a webhook has at least 24 letters and digits, or a
// longer one of small letters, as namespaces have them. A secret has no such joints, and mixes letters and digits, which
// tells a piece of it too, unless that is as short as any word.
func Shown(s string) bool {
	return short.MatchString(s) || s != "" && (len(s) <= 20 && joined.MatchString(strings.ToLower(s)) || len(s) <= 63 && joined.MatchString(s))
}

var short = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,8}$`)

var joined = regexp.MustCompile(`^` + joint + `([-._]+` + joint + `)*$`)

// joint is a word of letters, then digits; or the other way round.
const joint = `(?:[a-z]{0,20}[0-9]{0,8}|[0-9]{1,8}[a-z]{1,20})`

// exactly returns a word if it is one of the known ones; otherwise nothing.
func exactly(word string, known []string) string {
	if slices.Contains(known, word) {
		return word
	}
	return ""
}

// notKnown says that a word is none of those that are known.
func notKnown(word string, known []string) string {
	is := fmt.Sprintf("%q is not known", word)
	if !Shown(word) {
		is = "what stands there is not known, and not shown"
	}
	if len(known) == 1 {
		return fmt.Sprintf("%s; want %q", is, known[0])
	}
	msg := fmt.Sprintf("%s; want one of %s", is, strings.Join(known, ", "))
	if near := nearest(word, known); near != "" {
		msg += fmt.Sprintf("; did you mean %s?", near)
	}
	return msg
}

// nearest returns which of the known words was likely meant; empty when none. It is at most two slips away, in any
// case of letters, and less than half of it is slips: otherwise a short word would be like any other.
func nearest(word string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if abs(len(word)-len(k)) >= least {
			continue // the distance is at least that, and what was written may be long
		}
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least && 2*d < len(k) {
			best, least = k, d
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// distance is how many slips make one word of the other: a letter added, left out, replaced, or swapped with the
// next (Damerau and Levenshtein, no letter changed twice).
func distance(a, b string) int {
	var beforeLast []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], beforeLast[j-2]+1)
			}
		}
		beforeLast, last = last, row
	}
	return last[len(b)]
}
