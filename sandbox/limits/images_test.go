package limits

import (
	"strings"
	"testing"
)

// shipped is maxImages as it ships.
const shipped = 2_000

// crowd has a namespace run more images than are looked at. Of the others nobody is asked, and they are told in a line.
func (c *cluster) crowd(t *testing.T) {
	traffic := c.within(t, func() {
		c.watch(t, crowded)
		c.untilScanned(t, shipped, "over_limit", crowd-shipped)
	})
	same(t, traffic.Clair, map[string]int{"index": shipped, "report": 2 * shipped, "other": 0})
	same(t, traffic.Registry, map[string]int{"manifest": shipped, "other": 0})
	for _, m := range c.hears(t, channel(crowded), 1) {
		if lines(m, "runs more images than maxImages") != 1 || !strings.Contains(m, "3,000 could not be scanned") || !strings.Contains(m, "and 2,998 more") {
			t.Errorf("it is not told in a line that 3,000 images are over the limit:\n%s", m)
		}
	}
	c.wellFormed(t)
}

// crowdLet lets it have all of them looked at. Each is asked for once, those of before by their reports alone.
func (c *cluster) crowdLet(t *testing.T) {
	traffic := c.within(t, func() {
		c.Config["maxImages"] = 6_000
		must(t, c.Relaunch(t.Context()))
		c.untilScanned(t, crowd-shipped, "over_limit", 0)
	})
	same(t, traffic.Clair, map[string]int{"index": crowd - shipped, "report": shipped + 2*(crowd-shipped), "other": 0})
	same(t, traffic.Registry, map[string]int{"manifest": crowd - shipped, "other": 0})
	for _, m := range c.hears(t, channel(crowded), 1) {
		if !strings.Contains(m, "3,000 new images are running") {
			t.Errorf("it is not told that 3,000 more images run:\n%s", m)
		}
	}
	c.wellFormed(t)
}
