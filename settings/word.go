package settings

import (
	"fmt"
	"regexp"
	"strings"
)

// shown is a text of the settings as an error may repeat it: as it is where it looks like a name. Anything
// else may be a webhook's address, or a part of one, that was written in the wrong place.
func shown(s string) string {
	if !plain.MatchString(s) {
		return "(not shown)"
	}
	return s
}

// plain is a namespace, or a short word: the last part of a webhook's path has 24 letters and digits.
var plain = regexp.MustCompile(`^([-._a-z0-9]{1,63}|[-._a-zA-Z0-9]{1,20})$`)

// notKnown says that a word is none of those that are known.
func notKnown(word string, known []string) string {
	if len(known) == 1 {
		return fmt.Sprintf("%q is not known; want %q", shown(word), known[0])
	}
	msg := fmt.Sprintf("%q is not known; want one of %s", shown(word), strings.Join(known, ", "))
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
