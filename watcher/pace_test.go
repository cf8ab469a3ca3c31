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

// bothClairs has a channel hear of two Clairs.
func bothClairs(channel string) string {
	in := func(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") }
	return "- name: a\n  " + in(scanner(channel)) + "\n- name: b\n  " + in(scannerAt(secondBase, channel)) + "\n"
}

// Images that one Clair is busy with for long hold up nobody at another one.
func TestReportsWhileIndexingElsewhere(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const images = 40
		r.cfg.Workers = 16
		a, b := r.clairs[clairBase], r.clairs[secondBase]
		a.slow, b.reportLag, b.reportSlots = 10*time.Minute, 5*time.Second, 1
		for n := range 100 {
			b.indexed[digest(n+1)] = true
		}
		r.settings(map[string]string{"shop": bothClairs("shop"), "blog": scannerAt(secondBase, "blog")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(10*time.Minute - 2*time.Second)
		r.w.lookAllAt(secondBase) // everybody stands in line there when the first ones are indexed
		r.pass(30 * time.Second)
		r.run(podOf("blog", "app", 55))
		r.pass(time.Minute)
		r.wantEach("blog", "app55:v1 is running with")
		r.pass(5 * time.Hour)
		if got := r.w.progress.count(); got[StateScanned] != images+1 {
			t.Errorf("states: %v", got)
		}
		for _, base := range []string{clairBase, secondBase} {
			s, err := r.w.clairs.at(base)
			r.check(err)
			for _, l := range []*line{s.indexing, s.reading} {
				if len(l.called)+len(l.resolved)+l.waiting.Len()+l.later.Len() != 0 {
					t.Errorf("left behind at %s: %+v", base, l)
				}
			}
		}
	})
}

// A Clair that is back is asked at once, also about an image that waits for another one.
func TestBackWhileWaitingElsewhere(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		a, b := r.clairs[clairBase], r.clairs[secondBase]
		a.away = &clair.Error{Kind: clair.Temporary, Status: 500}
		b.reportSlots, b.reportLag = 1, time.Minute
		for n := range 40 {
			a.indexed[digest(n+1)], b.indexed[digest(n+1)] = true, true
		}
		r.settings(map[string]string{"shop": bothClairs("shop"), "blog": scannerAt(secondBase, "blog")})
		r.run(podOf("blog", "first", 1))
		r.start()
		r.pass(10 * time.Minute)
		for n := range 8 {
			r.run(podOf("blog", fmt.Sprintf("app-%d", n), n+2))
		}
		r.run(podOf("shop", "app", 30))
		r.pass(time.Second)
		a.set(func(c *fakeClair) { c.away = nil })
		a.called()
		r.pass(2*dataRetry + time.Second) // it waits for the other one still
		if calls := a.called(); len(calls) != 1 {
			t.Errorf("calls to the one that is back: %v", calls)
		}
		r.pass(2 * time.Hour)
		for _, m := range r.slack.accepted() {
			if strings.Contains(m.text, "could not be scanned") {
				t.Errorf("told that it could not be scanned: %s", m.text)
			}
		}
		if got := r.w.progress.count(); got[StateScanned] != 10 {
			t.Errorf("states: %v", got)
		}
	})
}

// What is new comes before what is looked at again, also among thousands.
func TestNewImagesComeFirst(t *testing.T) {
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
		r.run(podOf("shop", "new", images+1))
		r.pass(2*time.Minute + time.Second)
		if got := r.w.progress.states()[image{namespace: "shop", id: digest(images + 1), platform: r.w.nodes.platform("node-1")}]; got != StateScanned {
			t.Errorf("the new one is %s", got)
		}
	})
}
