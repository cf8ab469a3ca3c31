package watcher

import "sync"

// mostDigests bounds a set of digests.
const mostDigests = 8192

// digests is a set of manifest digests that forgets any of them when there are too many. Its zero value is empty.
type digests struct {
	mu  sync.Mutex
	all map[string]struct{}
}

// put puts a digest in.
func (d *digests) put(digest string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all == nil {
		d.all = make(map[string]struct{})
	}
	for other := range d.all {
		if len(d.all) < mostDigests {
			break
		}
		delete(d.all, other)
	}
	d.all[digest] = struct{}{}
}

// has says whether a digest is in.
func (d *digests) has(digest string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, in := d.all[digest]
	return in
}
