package watcher

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/slack"
)

// An image that Clair has forgotten when it gets other scanners is indexed all the same.
func TestAnewOfWhatWasDeleted(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.called()
		c.set(func(c *fakeClair) {
			c.state = "s2"
			delete(c.indexed, digest(1))
		})
		r.pass(time.Hour)
		if calls := strings.Join(c.called(), " "); calls != "report index report" {
			t.Errorf("calls to Clair: %s", calls)
		}
		r.wantTexts("app1:v1 is running with")
	})
}

// What has never been looked at comes before what is looked at again also when all of it is due for the same reason.
func TestNewImagesComeFirstAmongTheDue(t *testing.T) {
	inBusyRig(t, func(r *rig, next int) {
		pod := podOf("shop", "new", next)
		pod.Spec.NodeName = "node-2" // for which it would wait
		r.run(pod)
		r.w.lookAllAt(clairBase)
		r.pass(2*time.Minute + time.Second)
		if got := r.metric("clairwatch_images", string(StateUntried)); got != 0 {
			t.Error("the new one has not had its turn")
		}
	})
}

// The index_state of one Clair says nothing about what another one has indexed: a restart has nothing indexed anew.
func TestAnewOfOneOfTwoClairs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		first, second := r.clairs[clairBase], r.clairs[secondBase]
		first.state, second.state = "s1", "t1"
		r.settings(map[string]string{"shop": bothClairs("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		for _, c := range []*fakeClair{first, second} {
			c.called()
		}
		r.restart()
		r.pass(time.Hour)
		for _, c := range []*fakeClair{first, second} {
			if calls := c.called(); slices.Contains(calls, "index") {
				t.Errorf("calls to one of them: %v", calls)
			}
		}
	})
}

// What has no report yet is indexed before what is indexed anew.
func TestNewImagesComeFirstToBeIndexed(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const images = 20
		c := r.clairs[clairBase]
		c.slots = 1
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) { c.state, c.slow = "s2", 10*time.Minute })
		r.pass(dataQuiet + 2*time.Minute) // all of them stand in line
		r.run(podOf("shop", "new", images+1))
		r.pass(20*time.Minute + settled)
		if got := r.metric("clairwatch_images", string(StateUntried)); got != 0 {
			t.Error("the new one has not had its turn")
		}
	})
}

// What an image was told to have is still so when it cannot be indexed anew.
func TestAnewFails(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.slots = 1
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) { c.slow = time.Hour })
		r.run(podOf("blog", "slow", 3)) // both stand in line behind it
		c.set(func(c *fakeClair) {
			c.state = "s2"
			c.fail = func(call string) error {
				if call == "index" {
					return &clair.Error{Op: call, Kind: clair.IndexFailed, Status: 500}
				}
				return nil
			}
		})
		for range 12 {
			r.pass(time.Hour)
			r.w.lookAllAt(clairBase)
		}
		r.wantEach("shop", "Now watching 2 images")
		r.wantLogged(0, "image could not be scanned")
		if got := r.w.progress.count(); got[StateScanned] != 3 {
			t.Errorf("states: %v", got)
		}
	})
}

// What was indexed anew is not indexed once more because its channel has not been told yet.
func TestAnewOnce(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.called()
		r.slack.set(func(slack.Webhook) error { return &slack.Error{Kind: slack.Channel, Status: 404} })
		c.set(func(c *fakeClair) {
			c.state = "s2"
			c.deeper = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High}}
		})
		r.pass(8 * time.Hour)
		if calls := strings.Count(strings.Join(c.called(), " "), "index"); calls != 1 {
			t.Errorf("indexed %d times", calls)
		}
	})
}

// That first reports wait for a Clair's data is said once each time they do, for all images.
func TestLoadingIsLogged(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const said = "this Clair is still loading its data"
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 0)}
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range 5 {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(20 * time.Minute)
		r.wantLogged(1, said)
		c.set(func(c *fakeClair) { c.updaters = append(c.updaters, updater("osv", 0)) })
		r.pass(2 * time.Minute)
		r.run(podOf("shop", "app-5", 6), podOf("shop", "app-6", 7))
		r.pass(20 * time.Minute)
		r.wantLogged(2, said)
	})
}
