package watcher

import (
	"slices"
	"testing"
	"time"
)

// A look that has ended leaves nothing to the next one, which asks everybody again.
func TestRounds(t *testing.T) {
	var r rounds
	img, other := image{namespace: "shop", id: digest(1)}, image{namespace: "shop", id: digest(2)}
	done := func(want bool) {
		t.Helper()
		if o := r.resume(img); slices.Equal(o.done, []string{clairBase}) != want || !want && len(o.done) > 0 {
			t.Errorf("done are %v", o.done)
		}
	}
	done(false)
	r.pause(img, outcome{done: []string{clairBase}})
	r.begin(other)
	done(true)
	done(false)
	r.pause(img, outcome{done: []string{clairBase}})
	r.begin(img) // something has come up meanwhile
	done(false)
	r.pause(img, outcome{done: []string{clairBase}})
	done(true)
	r.pause(img, outcome{done: []string{clairBase}})
	r.begin(img)
	r.forget(img)
	r.forget(other)
	if len(r.anew)+len(r.paused) != 0 {
		t.Errorf("left behind: %v, %v", r.anew, r.paused)
	}
}

// An image that has given up its place at one Clair, because another one indexed it, is read there afterwards.
func TestReadAfterIndexedElsewhere(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		first, second := r.clairs[clairBase], r.clairs[secondBase]
		first.reportSlots, first.reportLag = 1, time.Minute
		for n := range 2 {
			first.indexed[digest(n+1)] = true
		}
		second.slow = 10 * time.Minute
		r.settings(map[string]string{"shop": bothClairs("shop"), "blog": scanner("blog")})
		r.run(podOf("blog", "app", 2))
		r.start()
		r.run(podOf("shop", "app", 1)) // it waits for the first one, and is indexed by the second one
		r.pass(time.Hour)
		if calls := first.called(); !slices.Equal(calls, []string{"report", "report"}) {
			t.Errorf("calls to the first one: %v", calls)
		}
		if got := r.w.progress.count(); got[StateScanned] != 2 {
			t.Errorf("states: %v", got)
		}
	})
}

// Causes are told in the order in which people read them, whatever their names are.
func TestCausesInOrder(t *testing.T) {
	causes := slices.Clone(Causes[:])
	slices.Sort(causes)
	if slices.SortFunc(causes, compareCauses); !slices.Equal(causes, Causes[:]) {
		t.Errorf("got %v, want %v", causes, Causes)
	}
}

// A Clair that loads its data is asked again when it may have all of it, and not much sooner than it can.
func TestJudgeOfLoading(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{0: loadingPause, time.Second: loadingPause, 4 * time.Minute: 4 * time.Minute} {
		if v := judge(loadingError{left}); v.after != want || v.cause != "" {
			t.Errorf("%s left: %+v, want after %s", left, v, want)
		}
	}
}
