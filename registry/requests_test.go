package registry_test

import (
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// TestRequestsOfTenLayers counts what an image of ten layers costs at each kind of
// registry until Clair can be given all of them: the first one there, the second of
// its repository, one of another repository, one that has been resolved before, by
// this process or, as the ledger has it, by the one before.
func TestRequestsOfTenLayers(t *testing.T) {
	tests := []struct {
		name                               string
		mode                               mode
		redirect, index                    bool
		cold, warm, another, again, memory int
		err                                error
	}{
		{name: "tokens, image", mode: tokenAuth, cold: 3, warm: 1, another: 2, memory: 3},
		{name: "tokens, index", mode: tokenAuth, index: true, cold: 4, warm: 2, another: 3, memory: 3},
		{name: "tokens, redirecting, image", mode: tokenAuth, redirect: true, cold: 3, warm: 1, another: 2, memory: 3},
		{name: "tokens, redirecting, index", mode: tokenAuth, redirect: true, index: true, cold: 4, warm: 2, another: 3, memory: 3},
		// The one more is that of the first layer, which shows that a password is needed.
		{name: "passwords, image", mode: basicAuth, cold: 2 + 1, warm: 1 + 1, another: 1 + 1, again: 1, memory: 2 + 1, err: registry.ErrForward},
		{name: "passwords, index", mode: basicAuth, index: true, cold: 3 + 1, warm: 2 + 1, another: 2 + 1, again: 1, memory: 2 + 1, err: registry.ErrForward},
		{name: "passwords, redirecting, image", mode: basicAuth, redirect: true, cold: 2 + 10, warm: 1 + 10, another: 1 + 10, again: 10, memory: 2 + 10},
		{name: "passwords, redirecting, index", mode: basicAuth, redirect: true, index: true, cold: 3 + 10, warm: 2 + 10, another: 2 + 10, again: 10, memory: 2 + 10},
		{name: "open, image", mode: open, cold: 1, warm: 1, another: 1, memory: 1},
		{name: "open, index", mode: open, index: true, cold: 2, warm: 2, another: 2, memory: 1},
		{name: "open, redirecting, image", mode: open, redirect: true, cold: 1, warm: 1, another: 1, memory: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.mode)
			f.redirect = tt.redirect
			f.users["ada"] = user{"secret-password", []string{"team/app", "team/other"}}
			ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
			push := func(repo, tag string) registry.Identity {
				if !tt.index {
					return f.identify(repo, tag, f.image(repo, tag, 10))
				}
				index, _ := f.indexOf(10, repo, tag, "linux/amd64", "linux/arm64")
				return f.identify(repo, tag, index)
			}
			first, second, other := push("team/app", "1"), push("team/app", "2"), push("team/other", "1")
			c := f.client(f.config())
			var image *registry.Image
			layers := func(c *registry.Client) {
				t.Helper()
				sources, _, err := c.Sources(t.Context(), image, ada, 0)
				if !errors.Is(err, tt.err) || err == nil && len(sources) != 10 {
					t.Fatalf("%d sources, %v; want 10, %v", len(sources), err, tt.err)
				}
			}
			cost := func(when string, want int) {
				t.Helper()
				if got := f.requests(); len(got) != want {
					t.Errorf("%s: %d requests, want %d: %q", when, len(got), want, got)
				}
			}
			for _, of := range []struct {
				when string
				id   registry.Identity
				want int
			}{
				{"cold", first, tt.cold}, {"warm", second, tt.warm}, {"another repository", other, tt.another},
				{"again", first, tt.again},
			} {
				image = resolve(t, c, of.id, amd64, ada)
				layers(c)
				cost(of.when, of.want)
			}
			resolve(t, c, second, amd64, ada)
			cost("known", 0) // its layers are not needed where Clair knows it
			restarted := f.client(f.config())
			layers(restarted)
			cost("after a restart", tt.memory)
		})
	}
}

// TestOneRequestForEachLayer asks once for one that is listed twice.
func TestOneRequestForEachLayer(t *testing.T) {
	f := newFake(t, basicAuth)
	f.redirect = true
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	c := f.client(f.config())
	image := *resolve(t, c, f.identify("app", "1", f.image("app", "1", 2)), amd64, ada)
	f.requests()
	image.Layers = append(image.Layers, image.Layers...)
	sources, _, err := c.Sources(t.Context(), &image, ada, 0)
	if err != nil || len(sources) != 4 || sources[0].URI != sources[2].URI {
		t.Errorf("%v, %v", sources, err)
	}
	f.want("GET blob", "GET blob")
}

// TestRefusedOnce has an image that runs in twenty namespaces, with the same credentials
// in each, cost one round of requests where it is refused, and the next after ten minutes.
// Whoever comes with another credential asks at once.
func TestRefusedOnce(t *testing.T) {
	const m, tok = "GET manifest", "token"
	good := registry.Credential{Username: "ada", Password: "secret-password"}
	stale := registry.Credential{Username: "ada", Password: "secret-old"}
	other := registry.Credential{Username: "eve", Password: "secret-eve"}
	tests := []struct {
		name    string
		mode    mode
		deny    int  // as the fake's
		closed  bool // the token server refuses who is nobody
		known   bool // how the registry wants to be spoken to
		fault   int  // the status of all answers
		offered []registry.Credential
		round   []string // of requests
		mended  []string // with another credential
		err     error
	}{
		{name: "token, nobody's", mode: tokenAuth, round: []string{m, tok, m}, mended: []string{tok, m}, err: registry.ErrUnauthorized},
		{name: "token, stale", mode: tokenAuth, offered: []registry.Credential{stale}, round: []string{m, tok, tok, m}, mended: []string{tok, m}, err: registry.ErrUnauthorized},
		{name: "token, another's", mode: tokenAuth, offered: []registry.Credential{other}, round: []string{m, tok, m, tok, m}, mended: []string{tok, m}, err: registry.ErrUnauthorized},
		{name: "token, hidden", mode: tokenAuth, deny: 404, offered: []registry.Credential{stale, other}, round: []string{m, tok, tok, m, tok, m}, mended: []string{tok, m}, err: registry.ErrNotFound},
		{name: "token, forbidden", mode: tokenAuth, deny: 403, offered: []registry.Credential{other}, round: []string{m, tok, m, tok, m}, mended: []string{tok, m}, err: registry.ErrUnauthorized},
		{name: "token, closed", mode: tokenAuth, closed: true, offered: []registry.Credential{stale}, round: []string{m, tok, tok}, mended: []string{tok, m}, err: registry.ErrUnauthorized},
		// That nobody gets a token has the registry asked once whether it has moved.
		{name: "token, closed, known", mode: tokenAuth, closed: true, known: true, offered: []registry.Credential{stale}, round: []string{tok, tok, m}, mended: []string{tok, m}, err: registry.ErrUnauthorized},
		{name: "password, nobody's", mode: basicAuth, round: []string{m}, mended: []string{m}, err: registry.ErrUnauthorized},
		{name: "password, stale", mode: basicAuth, offered: []registry.Credential{stale}, round: []string{m, m}, mended: []string{m}, err: registry.ErrUnauthorized},
		{name: "password, hidden", mode: basicAuth, deny: 404, offered: []registry.Credential{stale, other}, round: []string{m, m, m}, mended: []string{m}, err: registry.ErrNotFound},
		{name: "password, known", mode: basicAuth, known: true, offered: []registry.Credential{stale}, round: []string{m, m}, mended: []string{m}, err: registry.ErrUnauthorized},
		// These do not ask for a credential, whoever has one.
		{name: "open, not found", mode: open, fault: 404, offered: []registry.Credential{stale}, round: []string{m}, err: registry.ErrNotFound},
		{name: "open, forbidden", mode: open, fault: 403, offered: []registry.Credential{stale}, round: []string{m}, err: registry.ErrUnauthorized},
		{name: "open, no way in", mode: open, fault: 401, offered: []registry.Credential{stale}, round: []string{m}, err: registry.ErrUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.mode)
			f.deny = tt.deny
			f.users["ada"] = user{"secret-password", []string{"app", "known"}}
			f.users["eve"] = user{"secret-eve", nil}
			id, known := f.images("app", 1)[0], f.images("known", 1)[0]
			if tt.fault != 0 {
				f.fault = func(w http.ResponseWriter, _ *http.Request) bool {
					w.WriteHeader(tt.fault)
					return true
				}
			}
			cfg := f.virtual()
			cfg.Transport.(inProcess)[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) {
				if _, _, named := r.BasicAuth(); tt.closed && !named {
					f.note("token")
					w.WriteHeader(http.StatusForbidden)
					return
				}
				f.serveToken(w, r)
			}
			c := f.client(cfg)
			synctest.Test(t, func(t *testing.T) {
				mended := &lender{credentials: append(slices.Clone(tt.offered), good)}
				if tt.known {
					resolve(t, c, known, amd64, mended)
					f.requests()
				}
				first := ""
				namespace := func() {
					t.Helper()
					_, err := c.Resolve(t.Context(), id, amd64, &lender{credentials: tt.offered})
					if !errors.Is(err, tt.err) {
						t.Errorf("got %v, want %v", err, tt.err)
						return
					}
					if first == "" {
						first = err.Error()
					}
					if err.Error() != first {
						t.Errorf("got %q, at first %q", err, first)
					}
				}
				for range 20 {
					namespace()
				}
				f.want(tt.round...)
				time.Sleep(10*time.Minute - time.Second)
				namespace()
				f.want()
				time.Sleep(time.Second)
				namespace()
				if got := f.requests(); len(got) == 0 {
					t.Error("not asked again after ten minutes")
				}
				namespace() // which may ask where the token server is
				f.requests()
				namespace()
				f.want()
				if tt.mended != nil {
					resolve(t, c, id, amd64, mended)
					f.want(tt.mended...)
				}
			})
		})
	}
}

// TestRefusedAtOnce is the same for those who ask at the same time.
func TestRefusedAtOnce(t *testing.T) {
	f := newFake(t, tokenAuth)
	id := f.images("app", 1)[0]
	c := f.client(f.config())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			stale := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-old"}}}
			if _, err := c.Resolve(t.Context(), id, amd64, stale); !errors.Is(err, registry.ErrUnauthorized) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	f.want("GET manifest", "token", "token", "GET manifest")
}
