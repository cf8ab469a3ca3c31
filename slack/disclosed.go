package slack

import (
	"slices"

	"github.com/clairwatch/clairwatch/findings"
)

// Disclosed tells of vulnerabilities that are newly disclosed for an image that has been running.
type Disclosed struct {
	// Image is what runs.
	Image Image
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Summary sums up the new findings only, of which there must be one.
	Summary findings.Summary
	// Ignored is how many more are new and ignored by the settings. Zero: not shown.
	Ignored int
	// Place is where it runs; the zero value: not shown.
	Place Place
	// Link leads to the full report; empty: no link.
	Link string
	// Having leads to the list of the images that have the one vulnerability that is new; empty: no link. It takes the place
	// of the second link to the report: the image's name is the first.
	Having string
}

// Message returns a card like that of a report. It is no message when there are no new findings.
func (d Disclosed) Message() Message {
	c := d.Summary.Counts
	if c.Total() == 0 {
		return Message{}
	}
	news := newlyReported(c)
	r := Report{Image: d.Image, Cluster: d.Cluster, Summary: d.Summary, Place: d.Place, Link: d.Link, having: d.Having}
	k := r.cardUnder([]inline{plain(": "), bold(news)}, ": "+news)
	if ignored := moreIgnored(d.Ignored); ignored != nil {
		k.details = slices.Insert(k.details, 1, ignored) // after the note of what is told
	}
	return k.message()
}

// newlyReported counts all findings and the worst of them.
func newlyReported(c findings.Counts) string {
	severity, _ := c.Worst()
	n, all := c.Of(severity), c.Total()
	switch {
	case c.Unknown == all:
		return count(all, "newly disclosed vulnerability") + " of unknown severity"
	case n == all:
		return count(all, "newly disclosed "+word(severity)+" vulnerability")
	default:
		return count(all, "newly disclosed vulnerability") + ", " + number(n) + " " + word(severity)
	}
}
