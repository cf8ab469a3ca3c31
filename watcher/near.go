package watcher

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// mostNear is how many names are given to who has asked for one that there is not.
const mostNear = 5

// nearest returns the names of some pods and of what runs them that are most like a name, those first. A pod that is
// gone is most like what it was of.
func nearest(name string, pods []*pod) []string {
	slips := make(map[string]int)
	for _, pod := range pods {
		of := workload(pod).Name
		for _, n := range [...]string{of, pod.name} {
			if _, seen := slips[n]; !seen {
				slips[n] = distance(name, n)
			}
		}
		if strings.HasPrefix(name, of+"-") {
			slips[of] = 0
		}
	}
	return fewestSlips(slips)
}

// likely returns the names that a misspelt one may have been meant to be, those with the fewest slips first: at most two,
// and in no more than half of the name.
func likely(name string, known []string) []string {
	slips := make(map[string]int)
	for _, n := range known {
		if d := distance(name, n); d > 0 && d <= 2 && 2*d <= len(n) {
			slips[n] = d
		}
	}
	return fewestSlips(slips)
}

// fewestSlips returns the first names by the number of their slips.
func fewestSlips(slips map[string]int) []string {
	names := slices.SortedFunc(maps.Keys(slips), func(a, b string) int { return cmp.Or(cmp.Compare(slips[a], slips[b]), cmp.Compare(a, b)) })
	return names[:min(len(names), mostNear)]
}

// distance is how many letters are to be added, left out or replaced to make one name of another (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // in the row above, one to the left
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, replaced)
		}
	}
	return row[len(b)]
}
