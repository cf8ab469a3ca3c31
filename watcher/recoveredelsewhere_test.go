package watcher

import (
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
)

// An image that is scanned again at one Clair is told so, although another one still has no report of it.
func TestRecoveredAtOneOfTwoClairs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		first, second := r.clairs[clairBase], r.clairs[secondBase]
		in := func(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") }
		r.settings(map[string]string{"shop": "- name: a\n  " + in(scanner("a")) + "\n- name: b\n  " + in(scannerAt(secondBase, "b")) + "\n"})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		first.set(func(c *fakeClair) { tooLarge(c); c.notified = []string{digest(1)} })
		second.set(tooLarge)
		r.notify()
		r.pass(settled)
		first.set(wellAgain)
		r.notify()
		r.pass(settled)
		failed := "could not be scanned: " + advice[CauseTooLarge][0]
		r.wantEach("a", "app1:v1 is running with", failed, "is scanned again; before: "+advice[CauseTooLarge][0])
		r.wantEach("b", "app1:v1 is running with", failed)
	})
}

// What Clair takes back before it was told is not told.
func TestDisclosedForAMoment(t *testing.T) {
	inWatchedRig(t, 1, func(t *testing.T, r *rig, c *fakeClair) {
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(1)
		r.pass(groupWait / 2)
		c.set(func(c *fakeClair) {
			c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}}
		})
		r.notify()
		r.pass(time.Hour)
		r.wantTexts()
	})
}

// A Clair that stops answering after a report in which nothing is left has withdrawn nothing: nobody knows whether it
// still had its data.
func TestAwayIsNotWithdrawn(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		known := []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical, updater: "debian"}}
		c.found[digest(1)], c.updaters = known, []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop") + "tell: {withdrawn: true}\n"})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(time.Hour + settled)
		c.set(func(c *fakeClair) { away(c); c.found[digest(1)] = nil })
		r.w.lookAllAt(clairBase) // when Clair was asked a moment ago what it has
		r.pass(time.Minute)
		c.set(func(c *fakeClair) { wellAgain(c); c.found[digest(1)] = known })
		r.pass(time.Hour)
		r.wantTexts("is running with 1 critical")
	})
}

// Of an image that has gone nothing is kept, whatever look at it ends later.
func TestSightsOfWhatIsGone(t *testing.T) {
	p := newProgress()
	img := image{namespace: "shop", id: digest(1)}
	p.start(img)
	p.markRead(img, clairBase, 7)
	p.markIndexedUnder(img, clairBase, "s1")
	if !p.isRead(img, clairBase, 7) || !p.isIndexedUnder(img, clairBase, "s1") {
		t.Error("it is not noted")
	}
	p.forget(img)
	if p.isRead(img, clairBase, 7) || len(p.sights) != 0 {
		t.Errorf("left behind: %v", p.sights)
	}
	p.markRead(img, clairBase, 7)
	p.markIndexedUnder(img, clairBase, "s1")
	if len(p.sights) != 0 {
		t.Errorf("noted of what is gone: %v", p.sights)
	}
}
