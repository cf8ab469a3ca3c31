package watcher

import (
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

// A Clair that is set up anew and has other scanners is not told of before it has all of its data.
func TestOtherScannersWithoutData(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.stop()
		c.set(func(c *fakeClair) {
			c.state, c.updaters = "s2", []clair.Updater{updater("debian", 0)}
			delete(c.indexed, digest(1))
			c.found[digest(1)] = nil
		})
		r.start()
		r.pass(dataQuiet - time.Minute)
		r.wantTexts("app1:v1 is running with")
		c.set(func(c *fakeClair) { delete(c.found, digest(1)) })
		r.pass(time.Hour)
		r.wantTexts("app1:v1 is running with")
	})
}
