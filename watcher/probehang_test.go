package watcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

// Clairs that hang have no other one wait, of which newer data is to be noticed as soon as ever.
func TestProbeBesideHangingClairs(t *testing.T) {
	const thirdBase = "http://clair.third:6000/"
	inRig(t, func(t *testing.T, r *rig) {
		good := r.clairs[secondBase]
		good.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		hung := map[string]*fakeClair{clairBase: newFakeClair(), thirdBase: newFakeClair()}
		r.cfg.Backends["clair"] = func(base string) (Clair, error) {
			if c := hung[base]; c != nil {
				return hangingClair{c}, nil
			}
			return good, nil
		}
		r.cfg.DataEvery = 10 * time.Second
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scannerAt(secondBase, "blog"), "data": scannerAt(thirdBase, "data")})
		r.start()
		r.pass(20 * time.Minute)
		var asked int
		good.set(func(c *fakeClair) { asked = c.asked })
		if asked < 2*100 { // for its state and for its updates
			t.Errorf("asked %d times in twenty minutes", asked)
		}
	})
}

// A Clair is asked what it has as often as is set.
func TestDataEveryAsSet(t *testing.T) {
	for every, most := range map[time.Duration]int{10 * time.Second: 60, 5 * time.Minute: 2} {
		inRig(t, func(t *testing.T, r *rig) {
			r.cfg.DataEvery = every
			c := r.clairs[clairBase]
			r.settings(map[string]string{"shop": scanner("shop")})
			r.start()
			r.pass(settled)
			c.set(func(c *fakeClair) { c.asked = 0 })
			r.pass(10 * time.Minute)
			var asked int
			c.set(func(c *fakeClair) { asked = c.asked })
			if asked < most || asked > 2*most+2 { // for its state and for its updates
				t.Errorf("every %s: asked %d times in ten minutes", every, asked)
			}
		})
	}
}

// A Clair that is back is asked about what failed meanwhile, and not about all else.
func TestBackLooksAtWhatFailed(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.DataEvery = time.Hour // it is asked sooner while it is away
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range 10 {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(time.Hour + settled)
		c.called()
		c.set(away)
		r.pass(time.Hour + settled)
		c.set(func(c *fakeClair) { c.indexed[digest(11)] = true })
		r.run(podOf("shop", "new", 11))
		c.set(wellAgain)
		r.pass(2 * dataRetry)
		r.wantLogged(1, cameBack)
		if calls := c.called(); !slices.Equal(calls, []string{"report"}) {
			t.Errorf("calls to Clair: %v", calls)
		}
	})
}

// Who runs without refresh is warned that newer data of a Clair that hides it may not be noticed.
func TestHiddenIsLogged(t *testing.T) {
	for refresh, level := range map[time.Duration]string{0: "WARN", time.Hour: "INFO"} {
		inRig(t, func(t *testing.T, r *rig) {
			r.cfg.Refresh = refresh
			r.settings(map[string]string{"shop": scanner("shop")})
			r.start()
			r.pass(time.Hour)
			r.wantLogged(1, "level="+level+` msg="this Clair does not say when its data changes`)
		})
	}
}
