package watcher

import (
	"slices"
	"testing"
)

// Who has left the line is not called, wherever it stood: its slot would be lost.
func TestLineOfWhoHasLeft(t *testing.T) {
	of := func(namespace string, n int) image { return image{namespace: namespace, id: digest(n)} }
	for name, last := range map[string]bool{"among the first": false, "among those that come last": true} {
		t.Run(name, func(t *testing.T) {
			called := 0
			l := newLine(1, func(image) { called++ })
			if !l.enter(of("a", 0), nil, false) {
				t.Fatal("there is a slot")
			}
			for _, img := range []image{of("a", 1), of("a", 2), of("b", 1)} {
				if l.enter(img, nil, last) {
					t.Fatal("there is one slot only")
				}
			}
			for _, img := range []image{of("a", 1), of("b", 1), of("a", 2)} {
				l.abandon(img)
			}
			l.exit(of("a", 0), nil)
			if called != 0 || l.free != 1 || l.waiting.Len()+l.later.Len() != 0 {
				t.Errorf("%d were called; left behind: %+v", called, l)
			}
			if !l.enter(of("c", 1), nil, last) {
				t.Error("the slot is lost")
			}
		})
	}
}

// Who came last and has another reason since comes before those that have none, and stays so.
func TestLineMovesUp(t *testing.T) {
	of := func(n int) image { return image{namespace: "a", id: digest(n)} }
	var called []image
	l := newLine(1, func(img image) { called = append(called, img) })
	l.enter(of(0), nil, false)
	for _, again := range []struct {
		n    int
		last bool
	}{{1, true}, {2, true}, {3, false}, {2, false}, {2, true}, {3, true}} {
		if l.enter(of(again.n), nil, again.last) {
			t.Fatal("there is one slot only")
		}
	}
	for n := range 3 {
		l.exit(of(n), nil)
		if len(called) != n+1 || !l.enter(called[n], nil, true) {
			t.Fatalf("called %v, who is not let in", called)
		}
	}
	if want := []image{of(3), of(2), of(1)}; !slices.Equal(called, want) {
		t.Errorf("called %v, want %v", called, want)
	}
}
