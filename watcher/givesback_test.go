package watcher

import (
	"fmt"
	"testing"
	"time"
)

// Memory is given back once, after many looks and not before the last of them.
func TestMemoryIsGivenBack(t *testing.T) {
	for images, want := range map[int]int{manyLooks / 3: 0, manyLooks: 1, manyLooks + 20: 1} {
		inRig(t, func(t *testing.T, r *rig) {
			r.settings(map[string]string{"shop": scanner("shop")})
			for i := range images {
				r.run(podOf("shop", fmt.Sprintf("app-%d", i), i+1))
			}
			r.startUnsynced()
			given := 0
			r.w.freeMemory = func() { given++ }
			r.pass(settled)
			r.pass(time.Hour)
			if given != want {
				t.Errorf("%d images: given back %d times, want %d", images, given, want)
			}
		})
	}
}

func TestMemoryIsNotGivenBackWhileThereIsWork(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.start()
		given := 0
		r.w.freeMemory = func() { given++ }
		r.w.looks.Store(manyLooks)
		waiting := image{namespace: "shop", id: digest(1)}
		r.w.images.Add(waiting)
		r.w.giveBackMemory()
		if given != 0 {
			t.Error("given back while an image waits")
		}
	})
}
