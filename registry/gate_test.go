package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// virtual has the fake answer without a network, for tests in virtual time.
func (f *fake) virtual() registry.Config {
	cfg := f.config()
	cfg.Transport = inProcess{f.host(): f.serveRegistry, name(f.tokens): f.serveToken, name(f.store): f.serveStore}
	return cfg
}

// images pushes n images of one layer.
func (f *fake) images(repo string, n int) []registry.Identity {
	f.t.Helper()
	ids := make([]registry.Identity, n)
	for i := range ids {
		tag := strconv.Itoa(i)
		ids[i] = f.identify(repo, tag, f.image(repo, tag, 1))
	}
	return ids
}

// wantLimited tries to resolve id and is told to come back after some time.
func wantLimited(t *testing.T, c *registry.Client, id registry.Identity, cr registry.Credentials, want registry.RateLimitedError) {
	t.Helper()
	_, err := c.Resolve(t.Context(), id, amd64, cr)
	got, ok := errors.AsType[*registry.RateLimitedError](err)
	if !ok || *got != want || registry.Permanent(err) {
		t.Errorf("got %v; want %v", err, &want)
	}
}

// limiter answers 429 as long as it is on, with what it says.
type limiter struct {
	on         atomic.Bool
	retryAfter string
}

func (l *limiter) fault(w http.ResponseWriter, _ *http.Request) bool {
	if !l.on.Load() {
		return false
	}
	if l.retryAfter != "" {
		w.Header().Set("Retry-After", l.retryAfter)
	}
	w.WriteHeader(http.StatusTooManyRequests)
	return true
}

// TestClosedGate asks a registry that has said 429 nothing until the time that it
// named, whatever the image, and goes on asking others.
func TestClosedGate(t *testing.T) {
	f, another := newFake(t, open), newFake(t, open)
	ids, elsewhere := f.images("app", 4), another.images("app", 1)
	limit := limiter{retryAfter: "90"}
	f.fault = limit.fault
	cfg := f.virtual()
	cfg.Registries = append(cfg.Registries, another.config().Registries...)
	cfg.Transport.(inProcess)[another.host()] = another.serveRegistry
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		limited := registry.RateLimitedError{Registry: f.host(), RetryAfter: 90 * time.Second}
		limit.on.Store(true)
		wantLimited(t, c, ids[0], nil, limited)
		f.want("GET manifest")
		limit.on.Store(false)
		for _, id := range ids {
			wantLimited(t, c, id, nil, limited)
		}
		time.Sleep(89 * time.Second)
		limited.RetryAfter = time.Second
		wantLimited(t, c, ids[1], nil, limited)
		f.want()
		resolve(t, c, elsewhere[0], amd64, nil)
		time.Sleep(time.Second)
		for _, id := range ids {
			resolve(t, c, id, amd64, nil)
		}
		f.want(slices.Repeat([]string{"GET manifest"}, 4)...)
	})
}

// TestPauses leaves a registry that names no time alone for a minute, and twice as
// long each time that this was not enough.
func TestPauses(t *testing.T) {
	f := newFake(t, open)
	ids := f.images("app", 3)
	var limit limiter
	f.fault = limit.fault
	c := f.client(f.virtual())
	synctest.Test(t, func(t *testing.T) {
		limit.on.Store(true)
		for _, minutes := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			wantLimited(t, c, ids[0], nil, registry.RateLimitedError{Registry: f.host(), RetryAfter: minutes * time.Minute})
			f.want("GET manifest")
			time.Sleep(minutes * time.Minute)
		}
		limit.on.Store(false)
		resolve(t, c, ids[0], amd64, nil)
		time.Sleep(59 * time.Minute)
		limit.on.Store(true) // again too soon
		wantLimited(t, c, ids[1], nil, registry.RateLimitedError{Registry: f.host(), RetryAfter: time.Hour})
		time.Sleep(time.Hour)
		limit.on.Store(false)
		resolve(t, c, ids[1], amd64, nil)
		time.Sleep(time.Hour)
		limit.on.Store(true)
		wantLimited(t, c, ids[2], nil, registry.RateLimitedError{Registry: f.host(), RetryAfter: time.Minute})
	})
}

// TestManyRefusals are one pause where they were asked for at the same time, and the
// longest that any of them names.
func TestManyRefusals(t *testing.T) {
	f := newFake(t, open)
	ids := f.images("app", 16)
	var named atomic.Bool
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		time.Sleep(time.Second)
		if named.Load() {
			w.Header().Set("Retry-After", "300")
			named.Store(false)
		}
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	for _, want := range []time.Duration{time.Minute, 5 * time.Minute} {
		c := f.client(f.virtual())
		synctest.Test(t, func(t *testing.T) {
			named.Store(want > time.Minute)
			var wg sync.WaitGroup
			for _, id := range ids {
				wg.Go(func() {
					if _, err := c.Resolve(t.Context(), id, amd64, nil); err == nil {
						t.Error("resolved")
					}
				})
			}
			wg.Wait()
			wantLimited(t, c, ids[0], nil, registry.RateLimitedError{Registry: f.host(), RetryAfter: want})
		})
	}
}

// TestOneTries has one request show whether the pause was long enough. Those who come
// while it is under way are told to come back when it has ended.
func TestOneTries(t *testing.T) {
	f := newFake(t, open)
	ids := f.images("app", 3)
	limit := limiter{retryAfter: "60"}
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		time.Sleep(time.Second)
		return limit.fault(w, r)
	}
	c := f.client(f.virtual())
	synctest.Test(t, func(t *testing.T) {
		limit.on.Store(true)
		wantLimited(t, c, ids[0], nil, registry.RateLimitedError{Registry: f.host(), RetryAfter: time.Minute})
		time.Sleep(time.Minute)
		limit.on.Store(false)
		given, give := context.WithCancel(t.Context())
		give()
		if _, err := c.Resolve(given, ids[0], amd64, nil); err == nil {
			t.Error("resolved although it was given up")
		}
		f.requests()
		var wg sync.WaitGroup
		wg.Go(func() { resolve(t, c, ids[0], amd64, nil) })
		synctest.Wait()
		wantLimited(t, c, ids[1], nil, registry.RateLimitedError{Registry: f.host(), RetryAfter: 30 * time.Second})
		wg.Wait()
		wg.Go(func() { resolve(t, c, ids[1], amd64, nil) })
		wg.Go(func() { resolve(t, c, ids[2], amd64, nil) })
		wg.Wait()
		f.want("GET manifest", "GET manifest", "GET manifest")
	})
}

// TestSixteenAtOnce asks each registry sixteen things at a time, and at no rate.
func TestSixteenAtOnce(t *testing.T) {
	var fakes [2]*fake
	var ids [2][]registry.Identity
	var now, most [2]atomic.Int32
	var cfg registry.Config
	transport := make(inProcess)
	for i := range fakes {
		fakes[i] = newFake(t, open)
		ids[i] = fakes[i].images("app", 49)
		cfg.Registries = append(cfg.Registries, fakes[i].config().Registries...)
		transport[fakes[i].host()] = func(w http.ResponseWriter, r *http.Request) {
			n := now[i].Add(1)
			for m := most[i].Load(); n > m && !most[i].CompareAndSwap(m, n); m = most[i].Load() {
			}
			time.Sleep(time.Second)
			now[i].Add(-1)
			fakes[i].serveRegistry(w, r)
		}
	}
	cfg.Transport = transport
	c := fakes[0].client(cfg)
	synctest.Test(t, func(t *testing.T) {
		for i := range fakes { // who is the first of all is alone
			resolve(t, c, ids[i][48], amd64, nil)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for i := range fakes {
			for _, id := range ids[i][:48] {
				wg.Go(func() {
					if _, err := c.Resolve(t.Context(), id, amd64, nil); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("48 requests of a second each, 16 at a time, took %s", took)
		}
	})
	if most[0].Load() != 16 || most[1].Load() != 16 {
		t.Errorf("%d and %d requests at once, want 16 each", most[0].Load(), most[1].Load())
	}
}

// TestNoPlace gives up on a registry that answers nobody, and for a caller who has
// gone.
func TestNoPlace(t *testing.T) {
	f := newFake(t, open)
	ids := f.images("app", 18)
	cfg := f.config()
	cfg.Transport = silent{}
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		gone, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i, id := range ids {
			ctx := t.Context()
			if i == 17 {
				ctx = gone
			}
			wg.Go(func() {
				_, err := c.Resolve(ctx, id, amd64, nil)
				if err == nil || registry.Permanent(err) || errors.Is(err, context.Canceled) != (i == 17) {
					t.Errorf("%d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		leave()
		wg.Wait()
	})
}

// hub counts pulls as Docker Hub does: those of manifests, not their heads.
type hub struct {
	*fake
	mu        sync.Mutex
	limit     int
	remaining int
	least     int // that were ever left
	silent    bool
	took      time.Duration
}

func newHub(t *testing.T, m mode, limit int) *hub {
	h := &hub{fake: newFake(t, m), limit: limit, remaining: limit, least: limit}
	h.fault = h.count
	return h
}

func (h *hub) count(w http.ResponseWriter, r *http.Request) bool {
	time.Sleep(h.took)
	if h.mode == tokenAuth && r.Header.Get("Authorization") == "" {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.silent {
		return false
	}
	if r.Method == http.MethodGet {
		if h.remaining == 0 {
			w.Header().Set("RateLimit-Remaining", "0;w=21600")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		h.remaining--
		h.least = min(h.least, h.remaining)
	}
	w.Header().Set("RateLimit-Limit", fmt.Sprintf("%d;w=21600", h.limit))
	w.Header().Set("RateLimit-Remaining", fmt.Sprintf("%d;w=21600", h.remaining))
	return false
}

// set makes pulls available again.
func (h *hub) set(remaining int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remaining, h.least = remaining, remaining
}

// TestNodesFirst leaves a tenth of an account's pulls to the nodes. Asking whether
// there are more again costs none, and what is no pull goes on.
func TestNodesFirst(t *testing.T) {
	h := newHub(t, tokenAuth, 100)
	h.public = []string{"app"}
	ids := h.images("app", 100)
	c := h.client(h.virtual())
	synctest.Test(t, func(t *testing.T) {
		kept := registry.RateLimitedError{Registry: h.host(), RetryAfter: 36 * time.Minute, Kept: true}
		var image *registry.Image
		for _, id := range ids[:90] {
			image = resolve(t, c, id, amd64, nil)
		}
		h.requests()
		for _, id := range ids[90:] {
			wantLimited(t, c, id, nil, kept)
		}
		h.want()

		time.Sleep(10 * time.Minute)
		c.Renew(image)
		if _, _, err := c.Sources(t.Context(), image, nil, 0); err != nil {
			t.Error(err)
		}
		h.want("token", "HEAD manifest")
		kept.RetryAfter = 26 * time.Minute
		wantLimited(t, c, ids[90], nil, kept)

		time.Sleep(26 * time.Minute) // but none has come back
		kept.RetryAfter = 36 * time.Minute
		wantLimited(t, c, ids[90], nil, kept)
		wantLimited(t, c, ids[91], nil, kept)
		h.want("token", "HEAD manifest")

		h.set(12)
		time.Sleep(36 * time.Minute)
		resolve(t, c, ids[90], amd64, nil)
		h.want("token", "HEAD manifest", "GET manifest")
		resolve(t, c, ids[91], amd64, nil)
		wantLimited(t, c, ids[92], nil, kept)
		h.want("GET manifest")

		h.mu.Lock()
		h.silent = true // the account has become one without a limit
		h.mu.Unlock()
		time.Sleep(36 * time.Minute)
		for _, id := range ids[92:] {
			resolve(t, c, id, amd64, nil)
		}
	})
	if h.least != 10 {
		t.Errorf("%d pulls were left, want 10", h.least)
	}
}

// TestNodesFirstAtOnce counts those under way: many at once, who come again when they
// are told to, take all but what is kept.
func TestNodesFirstAtOnce(t *testing.T) {
	h := newHub(t, open, 100)
	h.took = time.Second
	ids := h.images("app", 60)
	c := h.client(h.virtual())
	synctest.Test(t, func(t *testing.T) {
		h.set(40)
		var wg sync.WaitGroup
		var done atomic.Int32
		for _, id := range ids {
			wg.Go(func() {
				for {
					_, err := c.Resolve(t.Context(), id, amd64, nil)
					if err == nil {
						done.Add(1)
						return
					}
					limited, ok := errors.AsType[*registry.RateLimitedError](err)
					if !ok || !limited.Kept {
						t.Error(err)
						return
					}
					if limited.RetryAfter > 30*time.Second { // there are none for long
						return
					}
					time.Sleep(limited.RetryAfter)
				}
			})
		}
		wg.Wait()
		if done.Load() != 30 {
			t.Errorf("%d resolved, want 30", done.Load())
		}
	})
	if h.least != 10 {
		t.Errorf("%d pulls were left, want 10", h.least)
	}
}

// TestNoneLeft takes a 429 that says how many pulls are left for what it is, and lets
// what is not counted go on earlier.
func TestNoneLeft(t *testing.T) {
	h := newHub(t, open, 100)
	ids := h.images("app", 2)
	c := h.client(h.virtual())
	synctest.Test(t, func(t *testing.T) {
		image := resolve(t, h.client(h.virtual()), ids[0], amd64, nil)
		h.set(0)
		wantLimited(t, c, ids[1], nil, registry.RateLimitedError{Registry: h.host(), RetryAfter: 36 * time.Minute})
		if _, _, err := c.Sources(t.Context(), image, nil, 0); err == nil {
			t.Error("asked within the minute after a 429")
		}
		time.Sleep(time.Minute)
		if _, _, err := c.Sources(t.Context(), image, nil, 0); err != nil {
			t.Error(err)
		}
		wantLimited(t, c, ids[1], nil, registry.RateLimitedError{Registry: h.host(), RetryAfter: 35 * time.Minute, Kept: true})
	})
}

// TestAccounts keeps limits apart: one tenant's account that has reached its limit
// stops no other tenant, and not its own next credential.
func TestAccounts(t *testing.T) {
	f := newFake(t, basicAuth)
	f.users["ada"] = user{"secret-ada", []string{"app"}}
	f.users["eve"] = user{"secret-eve", []string{"app"}}
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		who, _, _ := r.BasicAuth()
		if who != "ada" {
			return false
		}
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	ids := f.images("app", 3)
	ada := registry.Credential{Username: "ada", Password: "secret-ada"}
	eve := registry.Credential{Username: "eve", Password: "secret-eve"}
	c := f.client(f.virtual())
	synctest.Test(t, func(t *testing.T) {
		limited := registry.RateLimitedError{Registry: f.host(), RetryAfter: time.Minute}
		wantLimited(t, c, ids[0], &lender{credentials: []registry.Credential{ada}}, limited)
		f.want("GET manifest", "GET manifest")
		resolve(t, c, ids[0], amd64, &lender{credentials: []registry.Credential{eve}})
		f.want("GET manifest")
		resolve(t, c, ids[1], amd64, &lender{credentials: []registry.Credential{ada, eve}})
		f.want("GET manifest") // ada's is not tried
		wantLimited(t, c, ids[2], &lender{credentials: []registry.Credential{ada}}, limited)
		f.want("GET manifest") // without any
	})
}

// TestLimitOfAnother is not shared by those who wait for one image with other
// credentials.
func TestLimitOfAnother(t *testing.T) {
	f := newFake(t, basicAuth)
	f.users["eve"] = user{"secret-eve", []string{"app"}}
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		time.Sleep(time.Second)
		if who, _, _ := r.BasicAuth(); who != "ada" {
			return false
		}
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	id := f.images("app", 1)[0]
	c := f.client(f.virtual())
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		wg.Go(func() {
			ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-ada"}}}
			wantLimited(t, c, id, ada, registry.RateLimitedError{Registry: f.host(), RetryAfter: time.Minute})
		})
		synctest.Wait()
		wg.Go(func() {
			resolve(t, c, id, amd64, &lender{credentials: []registry.Credential{{Username: "eve", Password: "secret-eve"}}})
		})
		wg.Wait()
	})
}

// TestLimitedTokens closes the registry's gate when its token server says 429, and
// does not forget where that is.
func TestLimitedTokens(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.public = []string{"app"}
	id := f.images("app", 1)[0]
	limit := limiter{retryAfter: "30"}
	cfg := f.virtual()
	cfg.Transport.(inProcess)[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) {
		if !limit.fault(w, r) {
			f.serveToken(w, r)
		}
	}
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		limited := registry.RateLimitedError{Registry: f.host(), RetryAfter: 30 * time.Second}
		limit.on.Store(true)
		wantLimited(t, c, id, nil, limited)
		wantLimited(t, c, id, nil, limited)
		f.want("GET manifest")
		limit.on.Store(false)
		time.Sleep(30 * time.Second)
		resolve(t, c, id, amd64, nil)
		f.want("token", "GET manifest")
	})
}
