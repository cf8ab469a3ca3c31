package watcher

import (
	"fmt"
	"testing"
	"time"
)

// inLimitedRig has a namespace run more images than are looked at in one.
func inLimitedRig(t *testing.T, limit, images int, test func(*testing.T, *rig)) {
	t.Helper()
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.MaxImages = limit
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(settled)
		test(t, r)
	})
}

// deleteScanned deletes the pods of so many images that were scanned. The images are noted at once, which takes
// no time here.
func (r *rig) deleteScanned(most int) {
	r.t.Helper()
	var pods []string
	for img, state := range r.w.progress.states() {
		if state == StateScanned && len(pods) < most {
			var n int
			_, err := fmt.Sscanf(img.id, "sha256:%x", &n)
			r.check(err)
			pods = append(pods, fmt.Sprintf("app-%d", n-1))
		}
	}
	for _, pod := range pods {
		r.delete("shop", pod)
	}
}

func (r *rig) wantScanned(want int) {
	r.t.Helper()
	if got := r.w.progress.count(); got[StateScanned] != want {
		r.t.Errorf("want %d images scanned: %v", want, got)
	}
}

// Each image that ends makes room for another one, also while those that came before are still being indexed.
func TestLimitMakesRoom(t *testing.T) {
	inLimitedRig(t, 10, 20, func(t *testing.T, r *rig) {
		r.clairs[clairBase].set(func(c *fakeClair) { c.slow = 5 * time.Second })
		r.deleteScanned(5)
		r.pass(10 * time.Minute)
		r.wantScanned(10)
	})
}

func TestLimitMakesRoomWhileDown(t *testing.T) {
	inLimitedRig(t, 2, 4, func(t *testing.T, r *rig) {
		scanned := make(map[string]bool)
		for img, state := range r.w.progress.states() {
			scanned[img.id] = state == StateScanned
		}
		r.stop()
		for n := range 4 {
			if scanned[digest(n+1)] {
				r.delete("shop", fmt.Sprintf("app-%d", n))
			}
		}
		r.start()
		r.pass(10 * time.Minute)
		r.wantScanned(2)
	})
}

func TestLimitIsRaised(t *testing.T) {
	inLimitedRig(t, 10, 13, func(t *testing.T, r *rig) {
		r.cfg.MaxImages = 100
		r.restart()
		r.pass(10 * time.Minute)
		r.wantScanned(13)
	})
}
