package watcher

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
)

// ownChannels has a channel hear of each of both Clairs.
func ownChannels(first, second string) string {
	in := func(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") }
	return "- name: a\n  " + in(scanner(first)) + "\n- name: b\n  " + in(scannerAt(secondBase, second)) + "\n"
}

// A Clair that has no report of an image is not asked once more because another one had no time yet.
func TestFailureIsOneWhileAnotherClairIsBusy(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		first, second := r.clairs[clairBase], r.clairs[secondBase]
		r.settings(map[string]string{"shop": ownChannels("a", "b"), "blog": scannerAt(secondBase, "blog")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2), podOf("blog", "app-1", 3))
		r.start()
		r.pass(settled)
		second.set(func(c *fakeClair) { c.reportLag = 10 * time.Minute })
		for _, img := range r.w.imagesAt(secondBase) {
			if img.namespace == "blog" {
				r.w.images.Add(img) // they have the slots of the second one
			}
		}
		r.pass(time.Second)
		first.called()
		second.called()
		first.set(tooLarge)
		r.w.lookAllAt(clairBase)
		r.pass(time.Hour)
		if calls := strings.Join(first.called(), " "); calls != "report" {
			t.Errorf("calls to the one that fails: %s", calls)
		}
		if calls := strings.Join(second.called(), " "); calls != "report report report" { // with those of the blog
			t.Errorf("calls to the other one: %s", calls)
		}
		if got := r.w.progress.count(); got[State(CauseTooLarge)] != 1 || got[StateScanned] != 2 {
			t.Errorf("states: %v", got)
		}
		if n := r.w.progress.outstanding([]string{"shop"}); n != 0 {
			t.Errorf("%d images are due", n)
		}
		for img, s := range r.w.progress.all() {
			if want := map[string]int{"shop": 1}[img.namespace]; s.failures != want {
				t.Errorf("an image of the %s has failed %d times, want %d", img.namespace, s.failures, want)
			}
		}
		r.wantEach("a", "app1:v1 is running with", "app1:v1` could not be scanned")
		r.wantEach("b", "app1:v1 is running with")
	})
}

// A look at an image of which two Clairs have no report, one after the other, is one scan that failed.
func TestScanOfTwoClairsCountsOnce(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		first, second := r.clairs[clairBase], r.clairs[secondBase]
		r.settings(map[string]string{"shop": ownChannels("a", "b"), "blog": scannerAt(secondBase, "blog")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2), podOf("blog", "app-1", 3))
		r.start()
		r.pass(settled)
		second.set(func(c *fakeClair) {
			c.reportLag = 10 * time.Minute
			c.failOf = map[string]error{digest(1): &clair.Error{Kind: clair.TooLarge}}
		})
		for _, img := range r.w.imagesAt(secondBase) {
			if img.namespace == "blog" {
				r.w.images.Add(img) // they have the slots of the second one
			}
		}
		r.pass(time.Second)
		first.called()
		first.set(tooLarge)
		r.w.lookAllAt(clairBase)
		r.pass(time.Minute)
		if calls := strings.Join(first.called(), " "); calls != "report" {
			t.Fatalf("calls to the first one: %s", calls)
		}
		r.pass(time.Hour)
		if n := r.metric("clairwatch_scans_total", string(CauseTooLarge)); n != 1 {
			t.Errorf("%v scans have failed", n)
		}
	})
}

// What one Clair brings to light in many images is one message, although another one does not answer about any of them.
func TestOneMessageWhileAnotherClairFails(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const images = 10
		first, second := r.clairs[clairBase], r.clairs[secondBase]
		second.reportSlots = 1
		r.settings(map[string]string{"shop": ownChannels("a", "b")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(settled)
		first.set(away)
		r.pass(time.Hour)
		second.set(func(c *fakeClair) {
			c.reportLag = 2 * groupWait
			c.found = all(images, []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-31415", severity: claircore.High}})
		})
		r.w.lookAllAt(secondBase)
		r.pass(groupMax + settled)
		r.wantEach("b", "Now watching 10 images", "CVE-2026-31415…10 running images")
	})
}

// All images are indexed anew one after the other, also when nothing else has them looked at.
func TestAnewInTurn(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const images = 5
		c := r.clairs[clairBase]
		c.slots = 1
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(settled)
		c.called()
		c.set(func(c *fakeClair) { c.state, c.slow = "s2", time.Minute })
		r.pass(time.Hour)
		if calls := strings.Join(c.called(), " "); strings.Count(calls, "index") != images {
			t.Errorf("calls to Clair: %s", calls)
		}
	})
}

// What fails while an image waits elsewhere is tried again when that is over, however long it has lasted.
func TestRetryAfterAnotherClairWasBusy(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		first, second := r.clairs[clairBase], r.clairs[secondBase]
		r.settings(map[string]string{"shop": ownChannels("a", "b"), "blog": scannerAt(secondBase, "blog")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2), podOf("blog", "app-1", 3))
		r.start()
		r.pass(settled)
		second.set(func(c *fakeClair) { c.reportLag = 10 * time.Minute })
		for _, img := range r.w.imagesAt(secondBase) {
			if img.namespace == "blog" {
				r.w.images.Add(img) // they have the slots of the second one
			}
		}
		r.pass(time.Second)
		first.set(func(c *fakeClair) {
			c.fail = func(call string) error { return &clair.Error{Op: call, Kind: clair.Temporary, Status: 500} }
		})
		r.w.lookAllAt(clairBase)
		r.pass(time.Minute)
		first.set(wellAgain)
		r.pass(time.Hour)
		if got := r.w.progress.count(); got[StateScanned] != 3 {
			t.Errorf("states: %v", got)
		}
	})
}

// An image that is indexed at one Clair for long keeps no slot at another one, at which it stood in line.
func TestIndexedElsewhereKeepsNoSlot(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		first, second := r.clairs[clairBase], r.clairs[secondBase]
		first.slots, first.slow, second.reportSlots = 1, 10*time.Minute, 1
		for n := range 10 {
			second.indexed[digest(n+1)] = true
		}
		r.settings(map[string]string{"shop": bothClairs("shop"), "blog": scannerAt(secondBase, "blog")})
		r.run(podOf("blog", "app-0", 3))
		r.start()
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2)) // the first is being indexed, the second stands in line for it
		r.pass(10*time.Minute - 2*time.Second)
		second.set(func(c *fakeClair) { c.reportLag = time.Minute })
		for _, namespace := range []string{"blog", "shop"} { // and for the report that the blog's waits for
			for _, img := range r.w.imagesAt(secondBase) {
				if img.namespace == namespace {
					r.w.lookAnew(img)
				}
			}
			r.pass(time.Second)
		}
		r.pass(2 * time.Minute) // its turn has come at both
		r.run(podOf("blog", "app-1", 4))
		r.pass(3 * time.Minute)
		r.wantEach("blog", "app3:v1 is running with", "app4:v1 is running with")
	})
}

// What has missed that its Clair is back is not tried again only when one that is away would be.
func TestFailureOfWhatIsBack(t *testing.T) {
	inWatchedRig(t, 1, func(t *testing.T, r *rig, _ *fakeClair) {
		gone := &awayError{err: &clair.Error{Kind: clair.Temporary, Status: 500}, since: time.Now()}
		for _, img := range r.w.imagesAt(clairBase) {
			after, _ := r.w.settleFailures(t.Context(), img, outcome{failures: []failure{{clairBase, fmt.Errorf("image: %w", gone)}}})
			if after <= 0 || after >= lastRetry {
				t.Errorf("tried again after %s", after)
			}
		}
		r.pass(time.Minute)
		if got := r.w.progress.count(); got[StateScanned] != 1 {
			t.Errorf("states: %v", got)
		}
	})
}

// However often images are looked at while a Clair restarts: that is nobody's business.
func TestLooksWhileAwayForAMoment(t *testing.T) {
	inWatchedRig(t, 3, func(t *testing.T, r *rig, c *fakeClair) {
		c.set(away)
		for range 4 * patience {
			r.w.lookAllAt(clairBase)
			r.pass(dataRetry)
		}
		r.pass(settled)
		c.set(wellAgain)
		r.pass(lookedAt)
		r.wantTexts()
	})
}
