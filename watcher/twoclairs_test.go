package watcher

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
)

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

// What one Clair fails with for a moment is tried again although the other one has failed for good since.
func TestRetryAtOneClairWhileTheOtherFails(t *testing.T) {
	for name, away := range map[string]bool{"away": true, "one report": false} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				a, b := r.clairs[clairBase], r.clairs[secondBase]
				b.reportSlots, b.reportLag = 1, 30*time.Second
				for n := range 40 {
					a.indexed[digest(n+1)], b.indexed[digest(n+1)] = true, true
				}
				b.failOf = map[string]error{digest(30): &clair.Error{Kind: clair.TooLarge}}
				r.settings(map[string]string{"shop": bothClairs("shop"), "blog": scannerAt(secondBase, "blog")})
				r.start()
				r.pass(10 * time.Minute)
				for n := range 20 {
					r.run(podOf("blog", fmt.Sprintf("app-%d", n), n+2))
				}
				for n := range 5 {
					r.run(podOf("shop", fmt.Sprintf("other-%d", n), n+31))
				}
				a.set(func(c *fakeClair) {
					if away {
						c.away = &clair.Error{Kind: clair.Temporary, Status: 500}
					} else {
						c.failOf = map[string]error{digest(30): &clair.Error{Kind: clair.Temporary}}
					}
				})
				r.run(podOf("shop", "app", 30))
				r.pass(65 * time.Second)
				a.set(func(c *fakeClair) { c.away, c.failOf = nil, nil })
				r.pass(time.Hour)
				if !r.w.isTold(image{namespace: "shop", id: digest(30), platform: r.w.nodes.platform("node-1")}, clairBase) {
					t.Error("what the one that is well has to say was not told within an hour")
				}
			})
		})
	}
}

// Of two Clairs that fail with different causes, of which one is busy, the log says so once.
func TestTwoClairsFail(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		a, b := r.clairs[clairBase], r.clairs[secondBase]
		b.reportSlots, b.reportLag = 1, 3*time.Second
		a.failOf, b.failOf = make(map[string]error), make(map[string]error)
		for n := range 20 {
			a.indexed[digest(n+1)], b.indexed[digest(n+1)] = true, true
			if n < 10 {
				a.failOf[digest(n+1)] = &clair.Error{Kind: clair.Temporary}
				b.failOf[digest(n+1)] = &clair.Error{Kind: clair.IndexFailed}
			}
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.settings(map[string]string{"shop": bothClairs("shop")})
		r.start()
		r.pass(12 * time.Hour)
		if n := strings.Count(r.log.String(), `level=WARN msg="image could not be scanned"`); n > 20 {
			t.Errorf("%d lines of the log for ten images", n)
		}
	})
}

// An image that one Clair reports on is not untried because the other one is loading its data, and is busy.
func TestOneClairIsLoading(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		a, b := r.clairs[clairBase], r.clairs[secondBase]
		a.loading = true
		b.reportSlots, b.reportLag = 1, 20*time.Second
		a.indexed[digest(1)] = true
		for n := range 6 {
			b.indexed[digest(n+1)] = true
		}
		r.settings(map[string]string{"shop": bothClairs("shop"), "blog": scannerAt(secondBase, "blog")})
		r.start()
		r.run(podOf("blog", "x", 2), podOf("blog", "y", 3))
		r.pass(time.Second)
		r.run(podOf("shop", "app", 1))
		r.pass(2 * time.Minute)
		r.wantEach("shop", "Indexed shop/app1:v1", "app1:v1 is running with")
		if got := r.w.progress.count(); got[StateScanned] != 3 {
			t.Errorf("states: %v", got)
		}
	})
}

// A Clair that fills its database does not have the news of another one wait.
func TestNewsWhileAnotherClairIsLoading(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("all"), "blog": scannerAt(secondBase, "all")})
		r.run(podOf("shop", "app", 1))
		r.start()
		r.pass(10 * time.Minute)
		c.set(func(c *fakeClair) { c.loading = true })
		r.w.lookAllAt(clairBase)
		r.pass(time.Minute)
		r.run(podOf("blog", "app", 2))
		r.pass(settled)
		r.wantTexts("app1:v1 is running with", "app2:v1 is running with")
	})
}
