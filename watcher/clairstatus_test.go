package watcher

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

func TestClairs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		began := time.Now()
		r.clairs[clairBase].updaters = []clair.Updater{
			{Name: "debian/updater", Vulnerabilities: true, First: began.Add(-72 * time.Hour), Last: began.Add(-time.Hour)},
		}
		const nowhere = "http://not.there/"
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scannerAt(secondBase, "blog"), "none": scannerAt(nowhere, "none")})
		r.run(podOf("shop", "app", 1))
		r.start()
		r.pass(2 * dataRetry)
		got := r.w.Clairs()
		if len(got) != 3 || !slices.IsSortedFunc(got, func(a, b ClairStatus) int { return cmp.Compare(a.URL, b.URL) }) {
			t.Fatalf("got %+v", got)
		}
		by := make(map[string]ClairStatus)
		for _, c := range got {
			by[c.URL] = c
		}
		first, second := by[clairBase], by[secondBase]
		if !first.Up || first.Loading || !first.Away.IsZero() || first.Asked.Before(began) || !first.Newest.Equal(began.Add(-time.Hour)) {
			t.Errorf("one that says what it has: %+v", first)
		}
		if !second.Up || second.Asked.IsZero() || !second.Newest.IsZero() {
			t.Errorf("one that does not say: %+v", second)
		}
		if by[nowhere] != (ClairStatus{URL: nowhere}) {
			t.Errorf("one that was never asked: %+v", by[nowhere])
		}

		left := time.Now()
		r.clairs[secondBase].set(func(c *fakeClair) { c.away = &clair.Error{Op: "asking", Kind: clair.Temporary} })
		r.pass(time.Hour)
		after := r.w.Clairs()
		if len(after) != len(got) {
			t.Errorf("there are %d now", len(after))
		}
		for _, c := range after {
			if gone := c.URL == secondBase; gone && (c.Up || c.Away.Before(left)) || !gone && !c.Away.IsZero() {
				t.Errorf("%+v, which left at %v", c, left)
			}
		}
		r.stop()
		if got := r.w.Clairs(); got != nil {
			t.Errorf("when it leads no more: %+v", got)
		}
	})
}

// What a replica has read while it led it does not show any more.
func TestRunningOfAStandby(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app", 1))
		r.start()
		r.pass(settled)
		if got := r.w.Running(); len(got) != 1 || !got[0].Found || got[0].Counts.Critical != 1 {
			t.Errorf("the leader: %+v", got)
		}
		r.stop()
		if got := r.w.Running(); len(got) != 1 || got[0].Found || got[0].Counts.Total() != 0 {
			t.Errorf("who leads no more: %+v", got)
		}
	})
}
