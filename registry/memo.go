package registry

import "sync"

// memo is a map of limited size, safe for concurrent use. When it is full it
// forgets an arbitrary entry: all that is kept in one can be asked for again.
type memo[K comparable, V any] struct {
	max int

	mu sync.Mutex
	m  map[K]V // guarded by mu
}

func newMemo[K comparable, V any](max int) *memo[K, V] {
	return &memo[K, V]{max: max, m: make(map[K]V)}
}

func (m *memo[K, V]) get(k K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.m[k]
	return v, ok
}

func (m *memo[K, V]) put(k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.m[k]; !ok && len(m.m) >= m.max {
		for other := range m.m {
			delete(m.m, other)
			break
		}
	}
	m.m[k] = v
}

// forget drops every entry whose key is chosen.
func (m *memo[K, V]) forget(chosen func(K) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.m {
		if chosen(k) {
			delete(m.m, k)
		}
	}
}

func (m *memo[K, V]) drop(k K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.m, k)
}
