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
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) {
			c.state, c.slots, c.slow = "s2", 1, 24*time.Hour
		})
		s, err := r.w.clairs.at(clairBase)
		r.check(err)
		s.indexing.mu.Lock()
		s.indexing.free = 1
		s.indexing.mu.Unlock()
		r.pass(time.Hour) // now one of them is being indexed, and the other waits for that
		c.called()
		r.pass(10 * time.Hour)
		if got := strings.Count(strings.Join(c.called(), " "), "report"); got < 8 || got > 13 {
			t.Errorf("%d reports in ten hours", got)
		}
	})
}

// An image with two Clairs waits at each of them. What one of them finds in all images is still one look at each, also
// while the other one has no time, or is away.
func TestReportsOfTwoClairs(t *testing.T) {
	const images = 60
	for name, away := range map[string]error{"both answer": nil, "one is away": &clair.Error{Kind: clair.Temporary}} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				both := []*fakeClair{r.clairs[clairBase], r.clairs[secondBase]}
				for _, c := range both {
					c.reportLag, c.reportSlots = 100*time.Millisecond, 1
					c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
				}
				for n := range images {
					for _, c := range both {
						c.indexed[digest(n+1)] = true
					}
					r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
				}
				r.settings(map[string]string{"shop": "- name: default\n  " + strings.ReplaceAll(scanner("shop"), "\n", "\n  ") +
					"\n- name: other\n  " + strings.ReplaceAll(scannerAt(secondBase, "other"), "\n", "\n  ")})
				r.start()
				r.pass(time.Hour)
				r.wantEach("other", "Now watching 60 images")
				for _, c := range both {
					c.called()
				}
				both[0].set(func(c *fakeClair) { c.away = away })
				both[1].set(func(c *fakeClair) {
					c.found = all(images, []vulnerability{
						{name: "CVE-2026-0001", severity: claircore.Critical},
						{name: "CVE-2026-31415", severity: claircore.High, updater: "debian"},
					})
					c.notified = []string{digest(7)}
					c.updaters[0].Last = time.Now()
				})
				r.notifyOf(secondBase)
				r.pass(dataQuiet + 4*time.Minute) // and not until what is away is tried again
				r.wantEach("other", "Now watching 60 images", "CVE-2026-31415…60 running images")
				// All of them for what the webhook leads to, when the data has come to rest, and when the other one is
				// given up; some begin anew in between.
				if calls := strings.Count(strings.Join(both[1].called(), " "), "report"); calls > 4*images {
					t.Errorf("%d reports of %d images", calls, images)
				}
			})
		})
	}
}
