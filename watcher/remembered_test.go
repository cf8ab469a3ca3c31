package watcher

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
)

// A vulnerability that goes without a word is gone all the same: it counts neither on the pages nor at the image's end.
func TestWithdrawnWithoutAWord(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High}}
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) {
			c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0002", severity: claircore.High}}
			c.notified = []string{digest(1)}
			c.updaters[0].Last = time.Now()
		})
		r.notify()
		r.pass(time.Hour)
		if got := r.w.Running(); len(got) != 1 || got[0].Counts != (findings.Counts{High: 1, Fixable: 1}) {
			t.Errorf("got %+v", got)
		}
		r.delete("shop", "app-0")
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.wantTexts("is running with 1 critical, 1 high", "no longer running")
		if text := r.slack.accepted()[1].text; !strings.Contains(text, "1 high") || strings.Contains(text, "critical") {
			t.Errorf("got %q", text)
		}
	})
}

// A smaller limit shuts nobody out of whom people have been told.
func TestLimitIsLowered(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2), podOf("shop", "app-2", 3))
		r.start()
		r.pass(settled)
		r.stop()
		r.cfg.MaxImages = 2
		r.start()
		r.pass(2 * recheck)
		r.wantTexts("Now watching 3 images")
		if states := r.w.progress.count(); states[StateScanned] != 3 {
			t.Errorf("states: %v", states)
		}
		r.run(podOf("shop", "app-3", 4))
		r.pass(settled)
		r.wantTexts("Now watching 3 images", "app4:v1…could not be scanned…maxImages")
	})
}

// Who knows of an image only that Clair is loading is told of trouble as soon as who knows nothing of it.
func TestTroubleAfterLoading(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.loading = true
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(groupMax + time.Second)
		r.wantTexts("Indexed shop/app1:v1…still loading")
		// Its causes take turns, so that none of them lasts.
		calls := 0
		c.set(func(c *fakeClair) {
			c.fail = func(call string) error {
				calls++
				return &clair.Error{Op: call, Kind: []clair.Kind{clair.Temporary, clair.LayerUnauthorized}[calls%2]}
			}
		})
		r.pass(4 * time.Hour)
		r.wantTexts("Indexed shop/app1:v1", "could not be scanned")
	})
}

// Where the rules of two namespaces differ none of them is given as that of the channel.
func TestInventoryOfTwoRules(t *testing.T) {
	for _, second := range []string{"High", "Critical"} {
		t.Run(second, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				for n := range 2 {
					r.clairs[clairBase].found[digest(n+1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.Low}}
				}
				r.settings(map[string]string{"shop": scanner("all") + "minSeverity: High\n", "blog": scanner("all") + "minSeverity: " + second + "\n"})
				r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2))
				r.start()
				r.pass(settled)
				want := "below this channel's minimum severity (high)"
				if second != "High" {
					want = "held back by the rules of this channel"
				}
				r.wantTexts("Now watching 2 images…Not counted here: 2 vulnerabilities " + want)
			})
		})
	}
}

// A database that is emptied between two looks at what it has withdraws nothing; an advisory that is taken back does.
func TestEmptiedIsNotWithdrawn(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		debian := updater("debian", 24*time.Hour)
		known := []vulnerability{
			{name: "CVE-2026-0001", severity: claircore.Critical, updater: "debian"},
			{name: "CVE-2026-0002", severity: claircore.High, updater: "debian"},
		}
		c.found[digest(1)], c.updaters = known, []clair.Updater{debian}
		r.settings(map[string]string{"shop": scanner("shop") + "tell: {withdrawn: true}\n"})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(time.Hour)
		for range 3 {
			c.set(func(c *fakeClair) { c.found[digest(1)], c.updaters = nil, []clair.Updater{} })
			r.w.lookAllAt(clairBase) // when Clair was asked a moment ago what it has
			r.pass(time.Second)
			c.set(func(c *fakeClair) { c.found[digest(1)], c.updaters = known, []clair.Updater{debian} })
			r.pass(10 * time.Minute)
		}
		r.wantTexts("is running with 1 critical, 1 high")
		c.set(func(c *fakeClair) { c.found[digest(1)] = known[:1] })
		r.w.lookAllAt(clairBase)
		r.pass(settled)
		r.wantTexts("is running with 1 critical, 1 high", "withdrawn")
	})
}

// A source of advisories that comes while something is withdrawn is a new source all the same.
func TestNewSourceWhileSomethingIsWithdrawn(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		old := []vulnerability{
			{name: "CVE-2026-0001", severity: claircore.Critical, updater: "debian"},
			{name: "CVE-2026-0002", severity: claircore.High, updater: "debian"},
		}
		c.found[digest(1)], c.updaters = old, []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(30 * time.Minute)
		c.set(func(c *fakeClair) {
			c.found[digest(1)] = old[:1]
			c.fail = func(call string) error { // the new one is there right after this report
				if call == "report" {
					c.updaters = append(slices.Clone(c.updaters), updater("osv", 0))
					c.fail = nil
				}
				return nil
			}
		})
		r.w.lookAllAt(clairBase)
		r.pass(time.Minute)
		c.set(func(c *fakeClair) {
			c.found[digest(1)] = append(slices.Clone(old[:1]), vulnerability{name: "GHSA-1", severity: claircore.High, updater: "osv"})
		})
		r.pass(2 * time.Hour)
		r.wantTexts("is running with 1 critical, 1 high", "new source of advisories")
	})
}
