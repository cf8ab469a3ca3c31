package web

import (
	"maps"
	"slices"
	"strings"

	"github.com/clairwatch/clairwatch/findings"
)

// layerRow is a layer of an image with what its packages have.
type layerRow struct {
	// Digest is empty for findings of which nobody knows the layer.
	Digest, Short string
	Findings      int
	// Worst is the worst severity among them.
	Worst string
}

// shortLayer is the beginning of a layer's digest as a column shows it: the algorithm would say nothing.
func shortLayer(digest string) string {
	s := short(digest)
	if isDigest(digest) {
		_, s, _ = strings.Cut(s, ":")
	}
	return s
}

// layersOf counts findings by layer, the layer with the worst first.
func layersOf(fs []findings.Finding) []layerRow {
	counts := make(map[string]findings.Counts)
	for i := range fs {
		c := counts[fs[i].Layer].Plus(fs[i].Severity)
		if fs[i].Fixable() {
			c.Fixable++
		}
		counts[fs[i].Layer] = c
	}
	var rows []layerRow
	digests := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if c := counts[a].Compare(counts[b]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	for _, d := range digests {
		worst, _ := counts[d].Worst()
		rows = append(rows, layerRow{Digest: d, Short: shortLayer(d), Findings: counts[d].Total(), Worst: word(worst)})
	}
	return rows
}
