package watcher

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
)

// Of a Clair that is asked about everything at once no more reports are wanted at the same time than it is to give.
func TestReportsArePaced(t *testing.T) {
	const images = 100
	found := []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}}
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.reportLag, c.reportSlots = 100*time.Millisecond, 3
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		c.found = all(images, found)
		settings := make(map[string]string)
		for n := range images {
			c.indexed[digest(n+1)] = true
			namespace := fmt.Sprintf("shop-%d", n%7)
			settings[namespace] = scanner("shop")
			r.run(podOf(namespace, fmt.Sprintf("app-%d", n), n+1))
		}
		r.settings(settings)
		r.start()
		r.pass(time.Hour)
		c.called()
		c.set(func(c *fakeClair) {
			c.found = all(images, append(slices.Clone(found), vulnerability{name: "CVE-2026-31415", severity: claircore.High, updater: "debian"}))
			c.updaters[0].Last = time.Now()
		})
		r.pass(time.Hour)
		r.wantTexts("Now watching 100 images", "CVE-2026-31415…100 running images")
		if calls := c.called(); len(calls) != images {
			t.Errorf("%d calls for %d images", len(calls), images)
		}
		if c.mostReports != 3 {
			t.Errorf("asked for %d reports at once, want 3", c.mostReports)
		}
	})
}

// An image that waits to be indexed anew is looked at again all the same when its report is old.
func TestRefreshWhileInLine(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		c := r.clairs[clairBase]
		c.slots = 1
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) { c.state, c.slow = "s2", 24*time.Hour })
		r.pass(time.Hour) // now one of them is being indexed, and the other waits for that
		c.called()
		r.pass(10 * time.Hour)
		if got := strings.Count(strings.Join(c.called(), " "), "report"); got < 8 || got > 13 {
			t.Errorf("%d reports in ten hours", got)
		}
	})
}

// inBusyRig has a Clair look again at a hundred images, a minute each, of which it has done a few.
func inBusyRig(t *testing.T, test func(r *rig, next int)) {
	t.Helper()
	inRig(t, func(t *testing.T, r *rig) {
		const images = 100
		c := r.clairs[clairBase]
		c.reportSlots = 1
		for n := range images + 1 {
			c.indexed[digest(n+1)] = true
		}
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) { c.reportLag = time.Minute })
		r.w.lookAllAt(clairBase)
		r.pass(5 * time.Minute)
		test(r, images+1)
	})
}

// What is new comes before what is looked at again, also among thousands.
func TestNewImagesComeFirst(t *testing.T) {
	inBusyRig(t, func(r *rig, next int) {
		r.run(podOf("shop", "new", next))
		r.pass(2*time.Minute + time.Second)
		if got := r.w.progress.states()[image{namespace: "shop", id: digest(next), platform: r.w.nodes.platform("node-1")}]; got != StateScanned {
			t.Errorf("the new one is %s", got)
		}
	})
}

// An image that is being indexed keeps no slot for reports, also not at the Clair that indexes it.
func TestReportsWhileIndexing(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Workers = 16
		c := r.clairs[clairBase]
		c.reportSlots, c.slots = 1, 2
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		for n := range 100 {
			c.indexed[digest(n+1)] = true
		}
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		for n := range 40 {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(10 * time.Minute)
		c.set(func(c *fakeClair) { c.state, c.slow, c.reportLag = "s2", 10*time.Minute, 5*time.Second })
		indexing := func() (n int) {
			c.set(func(c *fakeClair) { n = c.indexing })
			return n
		}
		for indexing() < 2 {
			r.pass(time.Second)
		}
		r.pass(10*time.Minute - 20*time.Second)
		var want []string
		for n := range 4 { // each time others are being indexed that stand in line for a report, too
			r.w.lookAllAt(clairBase)
			r.pass(4 * time.Minute)
			r.run(podOf("blog", fmt.Sprintf("app-%d", n), n+51))
			r.pass(time.Minute)
			want = append(want, fmt.Sprintf("app%d:v1 is running with", n+51))
			r.wantEach("blog", want...)
			r.pass(5 * time.Minute)
		}
	})
}
