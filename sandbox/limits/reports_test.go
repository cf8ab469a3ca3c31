package limits

import (
	"strings"
	"testing"
)

// largeBytes is what each large report has at the least.
const largeBytes = 20_000_000

// largeReports has several namespaces begin at once whose images have large reports, one whose image has a report that is
// too large, and one that has nothing to do with them.
func (c *cluster) largeReports(t *testing.T) {
	traffic := c.within(t, func() {
		c.watch(t, large, large+1, large+2, large+3, huge, calm)
		c.untilScanned(t, largeOnes+few, "too_large", 1)
	})
	const images = largeOnes + 1 + few
	same(t, traffic.Clair, map[string]int{"index": images, "report": 2 * images, "other": 0})
	same(t, traffic.Registry, map[string]int{"manifest": images, "other": 0})
	if got := traffic.Clair["report"].Received; got < largeOnes*largeBytes {
		t.Errorf("reports of %d bytes were read, want %d of %d at the least", got, largeOnes, largeBytes)
	}
	for n := large; n < large+largeOnes; n++ {
		c.hears(t, channel(n), 1)
	}
	for _, m := range c.hears(t, channel(huge), 1) {
		if !strings.Contains(m, "its manifest or report is too large") {
			t.Errorf("it is not told that the report is too large:\n%s", m)
		}
	}
	c.hears(t, channel(calm), 1)
	c.hears(t, channel(crowded), 0)
	c.wellFormed(t)
}
