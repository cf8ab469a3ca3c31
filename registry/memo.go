package registry

import "sync"

// memo is a map of limited size, safe for concurrent use. When it is full it
// forgets arbitrary entries: all that is kept in one can be asked for again.
type memo[K comparable, V any] struct {
	max  int         // entries
	most int         // of all their weights
	of   func(V) int // an entry's weight; nil: it has none

	mu     sync.Mutex
	m      map[K]V // guarded by mu
	weight int     // of all that is in m; guarded by mu
}

func newMemo[K comparable, V any](max int) *memo[K, V] {
	return newScales[K, V](max, 0, nil)
}

// newScales is a memo of values that may be large: what they weigh by of is limited too.
func newScales[K comparable, V any](max, most int, of func(V) int) *memo[K, V] {
	return &memo[K, V]{max: max, most: most, of: of, m: make(map[K]V)}
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
	m.delete(k)
	weight := m.weighs(v)
	if weight > m.most {
		return
	}
	for other := range m.m {
		if len(m.m) < m.max && m.weight+weight <= m.most {
			break
		}
		m.delete(other)
	}
	m.m[k] = v
	m.weight += weight
}

// forget drops every entry that is chosen.
func (m *memo[K, V]) forget(chosen func(K, V) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.m {
		if chosen(k, v) {
			m.delete(k)
		}
	}
}

func (m *memo[K, V]) drop(k K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delete(k)
}

// delete drops an entry, if it is there; the caller holds mu.
func (m *memo[K, V]) delete(k K) {
	if v, ok := m.m[k]; ok {
		m.weight -= m.weighs(v)
		delete(m.m, k)
	}
}

func (m *memo[K, V]) weighs(v V) int {
	if m.of == nil {
		return 0
	}
	return m.of(v)
}
