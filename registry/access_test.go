package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// TestTokenServerStays is not asked for anew where what failed says nothing about it.
func TestTokenServerStays(t *testing.T) {
	tests := []struct {
		name string
		fail func(t *testing.T, f *fake, c *registry.Client, id registry.Identity)
	}{
		{"the caller has gone", func(t *testing.T, _ *fake, c *registry.Client, id registry.Identity) {
			gone, leave := context.WithCancel(t.Context())
			leave()
			if _, err := c.Resolve(gone, id, amd64, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}},
		{"too many requests", func(t *testing.T, f *fake, c *registry.Client, id registry.Identity) {
			f.requests()
			var many registry.Identity
			for i := range 20 { // a token and a refusal each
				many.Candidates = append(many.Candidates, registry.Candidate{Repo: fmt.Sprintf("%s/private%d", f.host(), i), Digest: id.ID})
			}
			many.Candidates = append(many.Candidates, id.Candidates...)
			if _, err := c.Resolve(t.Context(), many, amd64, nil); !errors.Is(err, registry.ErrUnauthorized) {
				t.Errorf("got %v", err)
			}
			if got := len(f.requests()); got != 40 {
				t.Errorf("%d requests", got)
			}
		}},
		{"no place", func(t *testing.T, f *fake, c *registry.Client, id registry.Identity) {
			var wg sync.WaitGroup
			for i := range 16 {
				busy := registry.Identity{Candidates: []registry.Candidate{{Repo: f.host() + "/busy", Tag: fmt.Sprint(i)}}}
				wg.Go(func() {
					if _, err := c.Resolve(t.Context(), busy, amd64, nil); err == nil {
						t.Error("resolved")
					}
				})
			}
			synctest.Wait()
			if _, err := c.Resolve(t.Context(), id, amd64, nil); err == nil || !strings.Contains(err.Error(), "busy with 16 requests") {
				t.Errorf("got %v", err)
			}
			wg.Wait()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tokenAuth)
			f.public = []string{"app", "other", "busy"}
			f.fault = func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.URL.Path, "/v2/busy/") {
					time.Sleep(31 * time.Second)
				}
				return false
			}
			first, other := f.images("app", 1)[0], f.images("other", 1)[0]
			c := f.client(f.virtual())
			synctest.Test(t, func(t *testing.T) {
				resolve(t, c, first, amd64, nil)
				tt.fail(t, f, c, other)
				f.requests()
				resolve(t, c, other, amd64, nil)
				f.want("token", "GET manifest")
			})
		})
	}
}

// TestAnonymousLimit shuts out nobody who has credentials: where nothing can be pulled
// without, they are presented, and the registry is asked how in a way that counts no
// pull.
func TestAnonymousLimit(t *testing.T) {
	const kept, refused = false, true // how the anonymous account is limited
	ada := []registry.Credential{{Username: "ada", Password: "secret-password"}}
	tests := []struct {
		name        string
		limit       bool
		repo        string
		known       bool // how the registry wants to be spoken to
		root        bool // which its root says, too
		credentials []registry.Credential
		requests    []string
		limited     bool
	}{
		{name: "kept, private", limit: kept, repo: "private", credentials: ada, requests: []string{"HEAD manifest", "GET manifest"}},
		{name: "kept, private, known", limit: kept, repo: "private", known: true, credentials: ada, requests: []string{"GET manifest"}},
		{name: "kept, open, known", limit: kept, repo: "public", known: true, credentials: ada, requests: []string{"GET manifest"}},
		{name: "kept, open", limit: kept, repo: "public", root: true, credentials: ada, requests: []string{"GET root", "GET manifest"}},
		{name: "kept, open, the root too", limit: kept, repo: "public", credentials: ada, requests: []string{"GET root"}, limited: true},
		{name: "kept, not known to be open", limit: kept, repo: "public2", root: true, credentials: ada, requests: []string{"HEAD manifest", "GET root", "GET manifest"}},
		{name: "kept, no credentials", limit: kept, repo: "public", root: true, limited: true},
		{name: "kept, private, no credentials", limit: kept, repo: "private", limited: true},
		{name: "refused, open, known", limit: refused, repo: "public", known: true, credentials: ada, requests: []string{"GET manifest"}},
		{name: "refused, private, known", limit: refused, repo: "private", known: true, credentials: ada, requests: []string{"GET manifest"}},
		{name: "refused, open", limit: refused, repo: "public", root: true, credentials: ada, limited: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, basicAuth)
			f.public = []string{"public", "public2"}
			f.users["ada"] = user{"secret-password", []string{"private", "public", "public2"}}
			var limit atomic.Bool
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				anonymous := r.Header.Get("Authorization") == ""
				switch {
				case r.URL.Path == "/v2/" && tt.root:
					w.Header().Set("WWW-Authenticate", `Basic realm="fake"`)
					w.WriteHeader(http.StatusUnauthorized)
					return true
				case !anonymous || !limit.Load():
				case tt.limit == refused:
					w.WriteHeader(http.StatusTooManyRequests)
					return true
				default:
					w.Header().Set("RateLimit-Limit", "100;w=21600")
					w.Header().Set("RateLimit-Remaining", "10;w=21600")
				}
				return false
			}
			public, private := f.images("public", 3), f.images("private", 2)
			id := map[string]registry.Identity{"public": public[2], "private": private[1], "public2": f.images("public2", 1)[0]}[tt.repo]
			c := f.client(f.virtual())
			synctest.Test(t, func(t *testing.T) {
				resolve(t, c, public[0], amd64, nil)
				if tt.known {
					resolve(t, c, private[0], amd64, &lender{credentials: ada})
				}
				limit.Store(true)
				_, err := c.Resolve(t.Context(), public[1], amd64, nil)
				if tt.limit == refused && err == nil {
					t.Fatal("not limited")
				}
				f.requests()
				_, err = c.Resolve(t.Context(), id, amd64, &lender{credentials: tt.credentials})
				if _, limited := errors.AsType[*registry.RateLimitedError](err); limited != tt.limited || err != nil && !limited {
					t.Errorf("got %v, want limited: %v", err, tt.limited)
				}
				f.want(tt.requests...)
			})
		})
	}
}

// TestDoubtedTokenServer has the registry asked once in ten minutes whether it has another
// token server, however many images this one refuses or fails.
func TestDoubtedTokenServer(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusBadGateway} {
		f := newFake(t, tokenAuth)
		f.users["ada"] = user{"secret-password", []string{"known", "app"}}
		ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
		known, ids := f.images("known", 1)[0], f.images("app", 3)
		var closed atomic.Bool
		cfg := f.virtual()
		cfg.Transport.(inProcess)[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) {
			if closed.Load() {
				w.WriteHeader(status)
				return
			}
			f.serveToken(w, r)
		}
		c := f.client(cfg)
		synctest.Test(t, func(t *testing.T) {
			resolve(t, c, known, amd64, ada)
			closed.Store(true)
			f.requests()
			refused := func() {
				t.Helper()
				for i := range 50 {
					id := registry.Identity{Candidates: []registry.Candidate{{Repo: fmt.Sprintf("%s/app%d", f.host(), i), Digest: known.ID}}}
					stale := &lender{credentials: []registry.Credential{{Username: "ada", Password: fmt.Sprint("secret-old", i)}}}
					if _, err := c.Resolve(t.Context(), id, amd64, stale); err == nil || registry.Permanent(err) != (status == http.StatusForbidden) {
						t.Errorf("got %v", err)
					}
				}
			}
			refused()
			f.want("GET manifest")
			time.Sleep(10*time.Minute - time.Second)
			refused()
			f.want()
			time.Sleep(time.Minute) // what fails is left alone for a moment
			refused()
			f.want("GET manifest")
			closed.Store(false)
			time.Sleep(time.Minute)
			resolve(t, c, ids[0], amd64, ada)
			f.want("token", "GET manifest")
		})
	}
}

// TestTokenServerMovedForAll has all find the new token server who were refused by the old
// one at the same time, by one question.
func TestTokenServerMovedForAll(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.public = []string{"known"}
	known := f.images("known", 1)[0]
	var ids []registry.Identity
	for i := range 16 {
		repo := fmt.Sprint("app", i)
		f.public = append(f.public, repo)
		ids = append(ids, f.images(repo, 1)...)
	}
	var moved atomic.Bool
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		time.Sleep(time.Second)
		if !moved.Load() || r.Header.Get("Authorization") != "" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://new.example.com/token?extra=1",service="fake"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	cfg := f.virtual()
	servers := cfg.Transport.(inProcess)
	servers["new.example.com"] = f.serveToken
	servers[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second)
		if moved.Load() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		f.serveToken(w, r)
	}
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		resolve(t, c, known, amd64, nil)
		moved.Store(true)
		f.requests()
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() {
				if _, err := c.Resolve(t.Context(), id, amd64, nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := len(f.requests()); got != 1+16*2 {
			t.Errorf("%d requests", got)
		}
	})
}

// TestDoubtedInVain takes no refusal of a token server for the last word while the registry
// cannot be asked whether it has another.
func TestDoubtedInVain(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.public = []string{"known"}
	known := f.images("known", 1)[0]
	var broken atomic.Bool
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if broken.Load() {
			time.Sleep(time.Second)
			w.WriteHeader(http.StatusInternalServerError)
		}
		return broken.Load()
	}
	cfg := f.virtual()
	cfg.Transport.(inProcess)[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		f.serveToken(w, r)
	}
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		resolve(t, c, known, amd64, nil)
		broken.Store(true)
		var wg sync.WaitGroup
		for i := range 32 { // each twice, one after the other
			if i == 16 {
				wg.Wait()
			}
			i %= 16
			id := registry.Identity{Candidates: []registry.Candidate{{Repo: fmt.Sprintf("%s/app%d", f.host(), i), Digest: known.ID}}}
			wg.Go(func() {
				if _, err := c.Resolve(t.Context(), id, amd64, nil); err == nil || registry.Permanent(err) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
	})
}

// TestColdTogether asks a registry once how it wants to be spoken to, and its token
// server once for each repository, however many images are looked at together.
func TestColdTogether(t *testing.T) {
	for _, tt := range []struct {
		name        string
		repos, want int
	}{{"one repository", 1, 1 + 1 + 16}, {"sixteen", 16, 1 + 16 + 16}} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tokenAuth)
			var ids []registry.Identity
			var repos []string
			for i := range tt.repos {
				repos = append(repos, fmt.Sprint("app", i))
				ids = append(ids, f.images(repos[i], 16/tt.repos)...)
			}
			f.users["ada"] = user{"secret-password", repos}
			f.fault = func(http.ResponseWriter, *http.Request) bool {
				time.Sleep(time.Second)
				return false
			}
			cfg := f.virtual()
			cfg.Transport.(inProcess)[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(time.Second)
				f.serveToken(w, r)
			}
			c := f.client(cfg)
			synctest.Test(t, func(t *testing.T) {
				var wg sync.WaitGroup
				// Two of those who come first leave: one of them knocks, and then gets no token.
				for _, after := range []time.Duration{time.Second / 2, 3 * time.Second / 2} {
					ctx, leave := context.WithTimeout(t.Context(), after)
					defer leave()
					wg.Go(func() {
						one := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
						if _, err := c.Resolve(ctx, ids[0], amd64, one); err == nil {
							t.Error("resolved")
						}
					})
					synctest.Wait()
				}
				for _, id := range ids {
					wg.Go(func() {
						l := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
						if _, err := c.Resolve(t.Context(), id, amd64, l); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				f.requests()
			})

			c = f.client(cfg)
			synctest.Test(t, func(t *testing.T) {
				var wg sync.WaitGroup
				for _, id := range ids {
					wg.Go(func() {
						l := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
						if _, err := c.Resolve(t.Context(), id, amd64, l); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if got := f.requests(); len(got) != tt.want {
					t.Errorf("%d requests, want %d: %q", len(got), tt.want, got)
				}
			})
		})
	}
}

// TestNoTokenInVain asks for none while no pull may begin.
func TestNoTokenInVain(t *testing.T) {
	h := newHub(t, tokenAuth, 100)
	h.public = []string{"app", "other"}
	ids, other := h.images("app", 2), h.images("other", 1)[0]
	c := h.client(h.virtual())
	synctest.Test(t, func(t *testing.T) {
		h.set(11)
		resolve(t, c, ids[0], amd64, nil)
		h.requests()
		time.Sleep(6 * time.Minute) // its token has ended
		for _, id := range []registry.Identity{ids[1], other} {
			wantLimited(t, c, id, nil, registry.RateLimitedError{Registry: h.host(), RetryAfter: 30 * time.Minute, Kept: true})
		}
		h.want()
		h.set(12)
		time.Sleep(30 * time.Minute)
		resolve(t, c, other, amd64, nil)
		h.want("token", "HEAD manifest", "GET manifest")
	})
}

// TestChangedForAll has the next credential presented as the registry wants it by now.
func TestChangedForAll(t *testing.T) {
	f := newFake(t, basicAuth)
	f.users["ada"] = user{"secret-password", []string{"app", "other"}}
	ada := registry.Credential{Username: "ada", Password: "secret-password"}
	c := f.client(f.config())
	resolve(t, c, f.images("app", 1)[0], amd64, &lender{credentials: []registry.Credential{ada}})
	f.mode = tokenAuth
	f.requests()
	resolve(t, c, f.images("other", 1)[0], amd64, &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-old"}, ada}})
	f.want("GET manifest", "token", "token", "GET manifest")
}
