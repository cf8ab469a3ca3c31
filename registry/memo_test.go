package registry

import "testing"

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
	m.forget(func(i int) bool { return i%2 == 0 })
	m.drop(99)
	for i := range m.m {
		if i%2 == 0 || i == 99 {
			t.Errorf("%d is not forgotten", i)
		}
	}
}
