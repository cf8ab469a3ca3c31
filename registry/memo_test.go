package registry

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemoIsFull forgets others, and not what it was just given.
func TestMemoIsFull(t *testing.T) {
	m := newMemo[int, int](8)
	for i := range 100 {
		m.put(i, i)
		m.put(i, -i)
		if v, ok := m.get(i); !ok || v != -i || len(m.m) > 8 {
			t.Fatalf("%d: %d, %v of %d", i, v, ok, len(m.m))
		}
	}
	if len(m.m) != 8 {
		t.Errorf("%d are kept of 8", len(m.m))
	}
	m.forget(func(i, v int) bool { return i%2 == 0 && v == -i })
	m.drop(99)
	for i := range m.m {
		if i%2 == 0 || i == 99 {
			t.Errorf("%d is not forgotten", i)
		}
	}
}

// TestMemoIsHeavy bounds what its entries weigh, and keeps none that weighs too much
// alone.
func TestMemoIsHeavy(t *testing.T) {
	m := newScales[int](8, 100, func(v int) int { return v })
	for i, tt := range []struct{ key, weight, entries int }{
		{1, 60, 1}, {1, 70, 1}, {2, 30, 2}, {3, 100, 1}, {4, 101, 1}, {3, 1, 1}, {5, 99, 2}, {5, 101, 1},
	} {
		m.put(tt.key, tt.weight)
		var weight int
		for _, v := range m.m {
			weight += v
		}
		if len(m.m) != tt.entries || weight > 100 || m.weight != weight {
			t.Errorf("%d: %d entries, %d of %d", i, len(m.m), m.weight, weight)
		}
		if v, ok := m.get(tt.key); ok != (tt.weight <= 100) || ok && v != tt.weight {
			t.Errorf("%d: got %d, %v", i, v, ok)
		}
	}
}

// TestEndedTokens are dropped when there are others, and none is kept beyond what all
// may take.
func TestEndedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		at := func(i int) presentation { return presentation{place: strconv.Itoa(i)} }
		put := func(from, n, size int, lifetime time.Duration) {
			for i := range n {
				c.keep(at(from+i), token{value: strings.Repeat("x", size), expires: time.Now().Add(lifetime)})
			}
		}
		put(0, 100, 1, time.Second)
		put(100, 1, 1, 2*time.Minute)
		time.Sleep(sweepEvery)
		put(101, 1, 1, time.Second)
		if len(c.tokens.m) != 2 {
			t.Errorf("%d are kept", len(c.tokens.m))
		}
		if _, ok := c.tokens.get(at(100)); !ok {
			t.Error("one that holds is dropped")
		}
		put(200, 2000, maxToken, time.Hour)
		if c.tokens.weight > maxTokens || len(c.tokens.m) < maxTokens/maxToken-1 {
			t.Errorf("%d tokens of %d bytes are kept", len(c.tokens.m), c.tokens.weight)
		}
	})
}

// TestImagesOfManyLayers are forgotten before there are as many as may be kept of small
// ones.
func TestImagesOfManyLayers(t *testing.T) {
	c := New(Config{})
	for i := range 500 {
		c.images.put(imageKey{config: strconv.Itoa(i)}, &Image{Layers: make([]Layer, maxLayers)})
	}
	if n := len(c.images.m); n != maxKnownLayers/maxLayers {
		t.Errorf("%d are kept", n)
	}
}
