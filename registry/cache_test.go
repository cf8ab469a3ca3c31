package registry_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// TestCacheInBetween takes an answer that does not say how many pulls are left for one
// of a cache: what is known holds for the pause, and no longer.
func TestCacheInBetween(t *testing.T) {
	for _, left := range []int{10, 12} { // none for us, and two
		h := newHub(t, open, 100)
		ids := h.images("app", 7)
		c := h.client(h.virtual())
		silence := func(silent bool) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.silent = silent
		}
		synctest.Test(t, func(t *testing.T) {
			h.set(left + 1)
			resolve(t, c, ids[0], amd64, nil)
			silence(true)
			for i := range left - 10 { // which it does not count, but might have
				resolve(t, c, ids[1+i], amd64, nil)
			}
			h.requests()
			kept := registry.RateLimitedError{Registry: h.host(), RetryAfter: 36 * time.Minute, Kept: true}
			wantLimited(t, c, ids[3], nil, kept)
			wantLimited(t, c, ids[4], nil, kept)
			if left == 10 {
				h.want()
			} else {
				h.want("HEAD manifest")
			}
			time.Sleep(35 * time.Minute)
			kept.RetryAfter = time.Minute
			wantLimited(t, c, ids[3], nil, kept)
			h.requests()

			// The registry itself answers, and then the cache again.
			time.Sleep(time.Minute)
			silence(false)
			h.set(10)
			kept.RetryAfter = 36 * time.Minute
			wantLimited(t, c, ids[3], nil, kept)
			silence(true)
			wantLimited(t, c, ids[4], nil, kept)
			h.want("HEAD manifest")

			// There is nothing else any more.
			time.Sleep(36 * time.Minute)
			for _, id := range ids[3:] {
				resolve(t, c, id, amd64, nil)
			}
			h.want("HEAD manifest", "GET manifest", "GET manifest", "GET manifest", "GET manifest")
		})
	}
}

// TestCacheOfAHead is no reason to go on where what is asked in between, and counts
// nothing, is answered by a cache.
func TestCacheOfAHead(t *testing.T) {
	h := newHub(t, open, 100)
	ids := h.images("app", 3)
	c := h.client(h.virtual())
	synctest.Test(t, func(t *testing.T) {
		h.set(11)
		image := resolve(t, c, ids[0], amd64, nil)
		c.Renew(image)
		h.mu.Lock()
		h.silent = true
		h.mu.Unlock()
		if _, _, err := c.Sources(t.Context(), image, nil, 0); err != nil {
			t.Error(err)
		}
		h.requests()
		wantLimited(t, c, ids[1], nil, registry.RateLimitedError{Registry: h.host(), RetryAfter: 36 * time.Minute, Kept: true})
		h.want()
	})
}
