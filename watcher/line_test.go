package watcher

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

func TestLine(t *testing.T) {
	var called []image
	l := newLine(1, func(img image) { called = append(called, img) })
	of := func(namespace string, n int) image { return image{namespace: namespace, id: digest(n)} }
	manifest := &registry.Image{Digest: digest(7)}
	enter := func(img image, want bool) {
		t.Helper()
		if got := l.enter(img, manifest, false); got != want {
			t.Fatalf("%v enters: %v, want %v", img, got, want)
		}
	}
	wantCalled := func(want ...image) {
		t.Helper()
		if !slices.Equal(called, want) {
			t.Fatalf("called %v, want %v", called, want)
		}
		called = nil
	}
	enter(of("a", 0), true)
	for n := 1; n <= 4; n++ {
		enter(of("a", n), false)
	}
	enter(of("b", 1), false)
	enter(of("a", 1), false) // looked at again for another reason: it keeps its place
	if l.remembered(of("a", 1)) != manifest || l.remembered(of("a", 0)) != nil {
		t.Fatal("the line does not know who stands in it")
	}
	l.exit(of("a", 0), manifest)
	wantCalled(of("a", 1))
	enter(of("a", 9), false) // nobody takes the slot of the image that was called
	enter(of("a", 1), true)
	l.exit(of("a", 0), manifest)
	wantCalled(of("b", 1)) // namespaces in turn
	l.abandon(of("b", 1))  // called, and gone
	wantCalled(of("a", 2))
	l.abandon(of("a", 3)) // waiting, and gone
	wantCalled()
	enter(of("a", 2), true)
	l.exit(of("a", 0), manifest)
	wantCalled(of("a", 4))
	l.abandon(of("a", 4))
	wantCalled(of("a", 9))
	l.abandon(of("a", 9))
	l.abandon(of("a", 9))
	wantCalled()
	enter(of("a", 1), true)
	enter(of("a", 2), false) // there is still one slot, and not more
	if len(l.called) != 0 || len(l.resolved) != 1 || l.waiting.Len() != 1 {
		t.Errorf("left behind: %+v", l)
	}
}

// slow has the first Clair index one image at a time, ten minutes each.
func slow(r *rig) *fakeClair {
	c := r.clairs[clairBase]
	c.slots, c.slow = 1, 10*time.Minute
	return c
}

func TestSlowImagesKeepNobodyElse(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := slow(r)
		c.indexed[digest(50)] = true
		r.cfg.GroupMax = 0 // each image is told when it is scanned
		r.cfg.GroupWait = 0
		r.settings(map[string]string{"big": scanner("big"), "late": scanner("late"), "known": scanner("known")})
		const images = 12
		for i := range images {
			r.run(podOf("big", fmt.Sprintf("app-%d", i), i+1))
		}
		r.start()
		r.run(podOf("late", "app", 40), podOf("known", "app", 50))
		r.pass(time.Minute)
		r.wantTexts("app50:v1 is running with") // with four workers and twelve slow images before it
		if got := r.metric("clairwatch_images", string(StateUntried)); got != images+1 {
			t.Errorf("%v images are untried, want %d", got, images+1)
		}
		r.pass(30 * time.Minute)
		r.wantEach("late", "app40:v1 is running with") // not the last, though it came last
		r.pass(images * 10 * time.Minute)
		calls := strings.Join(c.called(), " ")
		// Each image was asked for once before and once after it was indexed; the known one once.
		for call, want := range map[string]int{"report": 2*(images+1) + 1, "index": images + 1} {
			if got := strings.Count(calls, call); got != want {
				t.Errorf("%d times %s, want %d: %s", got, call, want, calls)
			}
		}
		if n := r.registry.resolved(); n != images+1 {
			t.Errorf("%d images resolved, want each once", n)
		}
		if c.stale != 0 {
			t.Errorf("%d layers came with a token that had waited", c.stale)
		}
		if got := r.metric("clairwatch_images", string(StateScanned)); got != images+2 {
			t.Errorf("%v images are scanned, want all", got)
		}
	})
}

func TestWhoLeavesTheLine(t *testing.T) {
	for name, leave := range map[string]func(*rig){
		"images that are gone": func(r *rig) {
			for i := 1; i < 5; i++ {
				r.delete("shop", fmt.Sprintf("app-%d", i))
			}
		},
		"another Clair": func(r *rig) {
			r.settings(map[string]string{"shop": scannerAt(secondBase, "shop"), "blog": scanner("blog")})
		},
		"no Scanner": func(r *rig) { r.settings(map[string]string{"blog": scanner("blog")}) },
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				c := slow(r)
				r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
				r.run(podOf("shop", "app-0", 1)) // it has the slot
				r.start()
				for i := 1; i < 5; i++ {
					r.run(podOf("shop", fmt.Sprintf("app-%d", i), i+1))
				}
				leave(r)
				r.run(podOf("blog", "app", 9))
				r.pass(20*time.Minute + settled)
				r.wantEach("blog", "app9:v1 is running with")
				s, err := r.w.clairs.at(clairBase)
				r.check(err)
				if l := s.indexing; l.free != 1 || len(l.called)+len(l.resolved)+l.waiting.Len() != 0 {
					t.Errorf("left behind: %+v", l)
				}
				if calls := strings.Count(strings.Join(c.called(), " "), "index"); calls != 2 {
					t.Errorf("%d images were indexed, want 2", calls)
				}
			})
		})
	}
}

// Of those who want the same manifest one has a slot at a time; the others' slots go to who can use them, and none is
// lost.
func TestLineOfOneManifest(t *testing.T) {
	of := func(namespace string, n int) image { return image{namespace: namespace, id: digest(n)} }
	same, other := &registry.Image{Digest: digest(7)}, &registry.Image{Digest: digest(8)}
	var called []image
	l := newLine(2, func(img image) { called = append(called, img) })
	enter := func(img image, resolved *registry.Image, want bool) {
		t.Helper()
		if got := l.enter(img, resolved, false); got != want {
			t.Fatalf("%v enters: %v, want %v", img, got, want)
		}
	}
	wantCalled := func(want ...image) {
		t.Helper()
		if !slices.Equal(called, want) {
			t.Fatalf("called %v, want %v", called, want)
		}
		called = nil
	}
	enter(of("a", 1), same, true)
	enter(of("b", 1), same, false)
	enter(of("c", 1), same, false)
	enter(of("d", 2), other, true) // nobody who waits could use the slot
	enter(of("e", 2), other, false)
	l.exit(of("a", 0), other)
	wantCalled(of("e", 2))
	l.exit(of("a", 0), same)
	wantCalled(of("b", 1))
	l.abandon(of("b", 1)) // called, and gone
	wantCalled(of("c", 1))
	enter(of("c", 1), other, true) // it is another image by now
	l.exit(of("a", 0), other)
	enter(of("e", 2), other, true)
	l.exit(of("a", 0), other)
	wantCalled()
	if l.free != 2 || len(l.under)+len(l.called)+len(l.resolved)+l.waiting.Len() != 0 {
		t.Errorf("left behind: %+v", l)
	}
}

// Before what can hang one namespace after another takes slots that it never gives back. Something is left for a good many.
func TestLineShares(t *testing.T) {
	var called []image
	l := newSharedLine(16, func(img image) { called = append(called, img) })
	of := func(ns, n int) image { return image{namespace: fmt.Sprint(ns), id: digest(n)} }
	const namespaces, images = 14, 100
	var entered []image
	var got []int
	for ns := range namespaces {
		before := len(entered)
		for n := range images {
			if l.enter(of(ns, n), nil, false) {
				entered = append(entered, of(ns, n))
			}
		}
		got = append(got, len(entered)-before)
	}
	if want := "[16 12 9 7 5 4 3 2 2 1 1 1 1 0]"; fmt.Sprint(got) != want {
		t.Errorf("slots of each namespace: %v, want %s", got, want)
	}
	for i := 0; i < len(entered); i++ { // those who are called come as well
		l.exit(entered[i], nil)
		for _, img := range called {
			if !l.enter(img, nil, false) {
				t.Fatalf("%v was called and is not let in", img)
			}
			entered = append(entered, img)
		}
		called = nil
	}
	if len(entered) != namespaces*images || l.free != 64 || len(l.taken)+len(l.called)+len(l.resolved)+l.waiting.Len() != 0 {
		t.Errorf("%d had a slot; left behind: %+v", len(entered), l)
	}
}

// Whoever comes, goes and gives up in whatever order: no slot is free while somebody waits who may have it, and none is
// lost.
func TestLineSharesAlways(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var called []image
		l := newSharedLine(2, func(img image) { called = append(called, img) })
		const slots = 2 * lineShares
		inside := make(map[image]bool)
		any := func() (image, bool) {
			for img := range inside {
				return img, true
			}
			return image{}, false
		}
		leave := func(img image) {
			delete(inside, img)
			l.exit(img, nil)
		}
		for range 300 {
			img := image{namespace: fmt.Sprint(rng.IntN(4)), id: digest(rng.IntN(10))}
			switch n := rng.IntN(4); {
			case n == 0:
				if img, ok := any(); ok {
					leave(img)
				}
			case n == 1 && !inside[img]:
				l.abandon(img)
			case n == 2 && len(called) > 0:
				i := rng.IntN(len(called))
				if l.isCalled(called[i]) && l.enter(called[i], nil, false) {
					inside[called[i]] = true
				}
				called = slices.Delete(called, i, i+1)
			case !inside[img] && l.enter(img, nil, false):
				inside[img] = true
			}
			taken := 0
			for _, n := range l.taken {
				taken += n
			}
			if taken != len(inside)+len(l.called) || taken+l.free != slots {
				t.Fatalf("%d inside, %d called, %d taken, %d free, want %d", len(inside), len(l.called), taken, l.free, slots)
			}
			for ns, waiting := range l.waiting.waiting {
				if l.hasShare(ns) {
					t.Fatalf("%v wait for one of %d free slots, with %v taken", waiting, l.free, l.taken)
				}
			}
		}
	}
}
