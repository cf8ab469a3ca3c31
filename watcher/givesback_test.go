package watcher

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// Memory is given back once, after many looks and not before the last of them.
func TestMemoryIsGivenBack(t *testing.T) {
	for images, want := range map[int]int64{manyLooks / 3: 0, manyLooks: 1, manyLooks + 20: 1} {
		inRig(t, func(t *testing.T, r *rig) {
			r.settings(map[string]string{"shop": scanner("shop")})
			for i := range images {
				r.run(podOf("shop", fmt.Sprintf("app-%d", i), i+1))
			}
			var given atomic.Int64
			r.prepare = func(w *Watcher) { w.freeMemory = func() { given.Add(1) } }
			r.startUnsynced()
			r.pass(settled)
			r.pass(time.Hour)
			if got := given.Load(); got != want {
				t.Errorf("%d images: given back %d times, want %d", images, got, want)
			}
		})
	}
}

func TestMemoryIsNotGivenBackWhileThereIsWork(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		var given atomic.Int64
		r.prepare = func(w *Watcher) { w.freeMemory = func() { given.Add(1) } }
		r.start()
		r.w.looks.Store(manyLooks)
		waiting := image{namespace: "shop", id: digest(1)}
		r.w.images.Add(waiting)
		r.w.giveBackMemory()
		if given.Load() != 0 {
			t.Error("given back while an image waits")
		}
	})
}
