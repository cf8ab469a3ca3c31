package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// lender counts how often it is asked.
type lender struct {
	credentials []registry.Credential
	err         error
	asked       []string
}

func (l *lender) Lookup(_ context.Context, repo string) ([]registry.Credential, error) {
	l.asked = append(l.asked, repo)
	return l.credentials, l.err
}

var amd64 = registry.Platform{OS: "linux", Architecture: "amd64"}

func resolve(t *testing.T, c *registry.Client, id registry.Identity, p registry.Platform, cr registry.Credentials) *registry.Image {
	t.Helper()
	image, err := c.Resolve(t.Context(), id, p, cr)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// fetchAll gets every layer as Clair does: these headers, redirects followed, 200 only.
func fetchAll(t *testing.T, image *registry.Image, sources []registry.Source) {
	t.Helper()
	if len(sources) != len(image.Layers) {
		t.Fatalf("%d sources for %d layers", len(sources), len(image.Layers))
	}
	for i, s := range sources {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URI, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.Header != nil {
			r.Header = s.Header.Clone()
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || sum(body) != image.Layers[i].Digest {
			t.Errorf("layer %d from %v: %d, %s, %v; want %s", i, s, resp.StatusCode, sum(body), err, image.Layers[i].Digest)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestRequests counts the requests of a 10-layer image and of an index, cold, with
// a repository that is known, and with an image that is known, and proves that the
// layers can be had.
func TestRequests(t *testing.T) {
	const m, tok, blob = "GET manifest", "token", "GET blob"
	ten := slices.Repeat([]string{blob}, 10)
	three := slices.Repeat([]string{blob}, 3)
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	tests := []struct {
		name                   string
		mode                   mode
		redirect, forward      bool
		credentials            registry.Credentials
		cold, warm, another    []string
		sources, indexSources  []string
		err                    error
		until                  bool
		coldIndex, secondIndex []string
	}{
		{name: "open", mode: open, cold: []string{m}, warm: []string{m}, another: []string{m}, coldIndex: []string{m, m}, secondIndex: []string{m, m}},
		{name: "open, redirecting", mode: open, redirect: true, cold: []string{m}, warm: []string{m}, another: []string{m}, coldIndex: []string{m, m}, secondIndex: []string{m, m}},
		{name: "tokens, anonymous", mode: tokenAuth, cold: []string{m, tok, m}, warm: []string{m}, another: []string{tok, m},
			coldIndex: []string{m, tok, m, m}, secondIndex: []string{m, m}, until: true},
		{name: "tokens, password", mode: tokenAuth, credentials: ada, cold: []string{m, tok, m}, warm: []string{m}, another: []string{tok, m},
			coldIndex: []string{m, tok, m, m}, secondIndex: []string{m, m}, until: true},
		{name: "tokens, redirecting", mode: tokenAuth, redirect: true, credentials: ada, cold: []string{m, tok, m}, warm: []string{m}, another: []string{tok, m},
			coldIndex: []string{m, tok, m, m}, secondIndex: []string{m, m}, until: true},
		{name: "password, redirecting", mode: basicAuth, redirect: true, credentials: ada, cold: []string{m, m}, warm: []string{m}, another: []string{m},
			sources: ten, indexSources: three, coldIndex: []string{m, m, m}, secondIndex: []string{m, m}, until: true},
		{name: "password, direct", mode: basicAuth, credentials: ada, cold: []string{m, m}, warm: []string{m}, another: []string{m},
			sources: []string{blob}, indexSources: []string{blob}, coldIndex: []string{m, m, m}, secondIndex: []string{m, m}, err: registry.ErrForward},
		{name: "password, handed on", mode: basicAuth, forward: true, credentials: ada, cold: []string{m, m}, warm: []string{m}, another: []string{m},
			coldIndex: []string{m, m, m}, secondIndex: []string{m, m}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.mode)
			f.redirect = tt.redirect
			f.users["ada"] = user{"secret-password", []string{"team/app", "team/other"}}
			if tt.credentials == nil {
				f.public = []string{"team/app", "team/other"}
			}
			cfg := f.config()
			cfg.Registries[0].ForwardPassword = tt.forward
			c := f.client(cfg)

			first := f.identify("team/app", "1", f.image("team/app", "1", 10))
			image := resolve(t, c, first, amd64, tt.credentials)
			f.want(tt.cold...)
			if image.Digest != first.ID || len(image.Layers) != 10 || image.Index != "" || image.Repo != f.host()+"/team/app" {
				t.Errorf("image %+v", image)
			}
			sources, until, err := c.Sources(t.Context(), image, tt.credentials, 0)
			if !errors.Is(err, tt.err) {
				t.Fatalf("sources: %v, want %v", err, tt.err)
			}
			f.want(tt.sources...)
			if tt.err == nil {
				if until.IsZero() == tt.until {
					t.Errorf("sources hold until %v", until)
				}
				fetchAll(t, image, sources)
				f.requests()
			}
			if password := strings.Contains(fmt.Sprint(headersOf(sources)), "Basic"); password != tt.forward {
				t.Errorf("password handed on: %v, want %v", password, tt.forward)
			}

			resolve(t, c, first, amd64, tt.credentials)
			f.want() // known
			resolve(t, c, f.identify("team/app", "2", f.image("team/app", "2", 10)), amd64, tt.credentials)
			f.want(tt.warm...)
			resolve(t, c, f.identify("team/other", "1", f.image("team/other", "1", 10)), amd64, tt.credentials)
			f.want(tt.another...)

			index, children := f.index("team/app", "multi", "linux/amd64", "linux/arm64/v8")
			image = resolve(t, c, f.identify("team/app", "multi", index), amd64, tt.credentials)
			f.want(tt.secondIndex...)
			if image.Index != index || image.Digest != children["linux/amd64"] {
				t.Errorf("image %+v of index %s", image, index)
			}
			if _, _, err := c.Sources(t.Context(), image, tt.credentials, 0); !errors.Is(err, tt.err) {
				t.Errorf("sources: %v, want %v", err, tt.err)
			}
			f.want(tt.indexSources...)
			resolve(t, f.client(cfg), f.identify("team/app", "multi", index), amd64, tt.credentials)
			f.want(tt.coldIndex...)
		})
	}
}

func headersOf(sources []registry.Source) []http.Header {
	var all []http.Header
	for _, s := range sources {
		all = append(all, s.Header)
	}
	return all
}

// TestSourcesAfterRestart has an image from a store and knows nothing else.
func TestSourcesAfterRestart(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.public = []string{"app"}
	image := resolve(t, f.client(f.config()), f.identify("app", "1", f.image("app", "1", 2)), amd64, nil)
	f.requests()
	c := f.client(f.config())
	for _, want := range [][]string{{"HEAD manifest", "token", "HEAD manifest"}, nil} {
		sources, _, err := c.Sources(t.Context(), image, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.want(want...)
		fetchAll(t, image, sources)
		f.requests()
	}
	c.Renew(image)
	sources, _, err := c.Sources(t.Context(), image, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.want("token", "HEAD manifest")
	fetchAll(t, image, sources)

	open := newFake(t, open)
	image = resolve(t, open.client(open.config()), open.identify("app", "1", open.image("app", "1", 2)), amd64, nil)
	open.requests()
	if _, until, err := open.client(open.config()).Sources(t.Context(), image, nil, 0); err != nil || !until.IsZero() {
		t.Fatal(until, err)
	}
	open.want("HEAD manifest")
}

// TestResolveLayers has Clair ask a store that refuses the token which Clair's HTTP
// client would take there from another port of its host.
func TestResolveLayers(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.public = []string{"app"}
	var to string // where blobs are; "": here
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if to == "" || !strings.Contains(r.URL.Path, "/blobs/") || r.URL.Query().Get("again") != "" {
			return false
		}
		http.Redirect(w, r, to+r.URL.Path+"?signature=SIGNED&again=1", http.StatusTemporaryRedirect)
		return true
	}
	cfg := f.config()
	cfg.Registries[0].ResolveLayers = true
	cfg.Registries = append(cfg.Registries, registry.Registry{Host: hostOf(f.store), Insecure: true})
	c := f.client(cfg)
	image := resolve(t, c, f.identify("app", "1", f.image("app", "1", 2)), amd64, nil)
	f.requests()
	for _, tt := range []struct {
		to    string
		token bool
		holds time.Duration
	}{
		{to: f.store.URL, holds: 10 * time.Minute},
		{to: "http://" + name(f.store), holds: 10 * time.Minute},
		{to: f.registry.URL, token: true, holds: time.Minute},
		{to: "", token: true, holds: time.Minute},
	} {
		to = tt.to
		sources, until, err := c.Sources(t.Context(), image, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.want("GET blob", "GET blob")
		if token := strings.Contains(fmt.Sprint(headersOf(sources)), "Bearer"); token != tt.token || time.Until(until) > tt.holds {
			t.Errorf("to %q: handed on a token: %v, until %s", tt.to, token, until)
		}
		fetchAll(t, image, sources)
		f.requests()
	}
	to = f.store.URL
	cfg.Registries[0].ResolveLayers = false
	sources, _, err := f.client(cfg).Sources(t.Context(), image, nil, 0)
	if err != nil || len(sources) != 2 || sources[0].Header.Get("Authorization") == "" {
		t.Errorf("without the setting: %v, %v", sources, err)
	}
}

// TestCredentials tries one after the other, at last none, and asks for them once.
func TestCredentials(t *testing.T) {
	good := registry.Credential{Username: "ada", Password: "secret-password"}
	stale := registry.Credential{Username: "ada", Password: "secret-old"}
	other := registry.Credential{Username: "eve", Password: "secret-eve"}
	const m, tok = "GET manifest", "token"
	tests := []struct {
		name     string
		mode     mode
		deny     int
		offered  []registry.Credential
		public   bool
		requests []string
		asked    int
		err      error
	}{
		{name: "token, stale first", mode: tokenAuth, offered: []registry.Credential{stale, good}, requests: []string{m, tok, tok, m}, asked: 1},
		{name: "token, another's first, 401", mode: tokenAuth, offered: []registry.Credential{other, good}, requests: []string{m, tok, m, tok, m}, asked: 1},
		{name: "token, another's first, 403", mode: tokenAuth, deny: 403, offered: []registry.Credential{other, good}, requests: []string{m, tok, m, tok, m}, asked: 1},
		{name: "token, another's first, 404", mode: tokenAuth, deny: 404, offered: []registry.Credential{other, good}, requests: []string{m, tok, m, tok, m}, asked: 1},
		{name: "basic, stale first", mode: basicAuth, offered: []registry.Credential{stale, good}, requests: []string{m, m, m}, asked: 1},
		{name: "basic, another's first, 404", mode: basicAuth, deny: 404, offered: []registry.Credential{other, good}, requests: []string{m, m, m}, asked: 1},
		{name: "token, anonymous at last", mode: tokenAuth, public: true, offered: []registry.Credential{stale}, requests: []string{m, tok, tok, m}, asked: 1},
		{name: "basic, public", mode: basicAuth, public: true, offered: []registry.Credential{stale}, requests: []string{m}},
		{name: "open", mode: open, offered: []registry.Credential{good}, requests: []string{m}},
		{name: "token, none", mode: tokenAuth, requests: []string{m, tok, m}, asked: 1, err: registry.ErrUnauthorized},
		{name: "token, all refused", mode: tokenAuth, offered: []registry.Credential{stale}, requests: []string{m, tok, tok, m}, asked: 1, err: registry.ErrUnauthorized},
		{name: "token, hidden", mode: tokenAuth, deny: 404, offered: []registry.Credential{other}, requests: []string{m, tok, m, tok, m}, asked: 1, err: registry.ErrNotFound},
		{name: "basic, none", mode: basicAuth, requests: []string{m}, asked: 1, err: registry.ErrUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.mode)
			f.deny = tt.deny
			f.users["ada"] = user{"secret-password", []string{"app"}}
			f.users["eve"] = user{"secret-eve", nil}
			if tt.public {
				f.public = []string{"app"}
			}
			l := &lender{credentials: tt.offered}
			c := f.client(f.config())
			image, err := c.Resolve(t.Context(), f.identify("app", "1", f.image("app", "1", 2)), amd64, l)
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			f.want(tt.requests...)
			if len(l.asked) != tt.asked {
				t.Errorf("credentials were asked for %v, want %d times", l.asked, tt.asked)
			}
			if err != nil {
				if !registry.Permanent(err) || leaks(err) || !strings.Contains(err.Error(), "dockerConfig") {
					t.Errorf("error %q", err)
				}
				return
			}
			// What has worked comes first the next time, and opens the layers.
			f.image("app", "2", 2)
			resolve(t, c, f.identify("app", "2", f.image("app", "2", 2)), amd64, l)
			f.want(m)
			if tt.mode == tokenAuth {
				sources, _, err := c.Sources(t.Context(), image, l, 0)
				if err != nil {
					t.Fatal(err)
				}
				fetchAll(t, image, sources)
			}
		})
	}
}

// TestOneLookup asks for credentials once, though an index is two manifests.
func TestOneLookup(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	index, _ := f.index("app", "1", "linux/amd64", "linux/arm64")
	resolve(t, f.client(f.config()), f.identify("app", "1", index), amd64, ada)
	if !slices.Equal(ada.asked, []string{f.host() + "/app"}) {
		t.Errorf("asked for %v", ada.asked)
	}
}

// TestRotated goes on with the new password once the old one is refused.
func TestRotated(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.users["ada"] = user{"secret-old", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-old"}, {Username: "ada", Password: "secret-new"}}}
	c := f.client(f.config())
	image := resolve(t, c, f.identify("app", "1", f.image("app", "1", 1)), amd64, ada)
	f.requests()
	f.users["ada"] = user{"secret-new", []string{"app"}}
	f.revoke()
	c.Renew(image)
	sources, _, err := c.Sources(t.Context(), image, ada, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.want("token", "token", "HEAD manifest")
	fetchAll(t, image, sources)
}

// TestLookupFails is no reason to call an image unauthorized, nor not to present what
// was found beside the error.
func TestLookupFails(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.users["ada"] = user{"secret-password", []string{"app"}}
	id := f.identify("app", "1", f.image("app", "1", 1))
	c := f.client(f.config())
	broken := errors.New("broken")
	stale := []registry.Credential{{Username: "ada", Password: "secret-old"}}
	for _, found := range [][]registry.Credential{nil, stale} {
		_, err := c.Resolve(t.Context(), id, amd64, &lender{err: broken, credentials: found})
		if !errors.Is(err, broken) || registry.Permanent(err) {
			t.Errorf("got %v", err)
		}
	}
	resolve(t, c, id, amd64, &lender{err: broken, credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}})
}

// TestBrokenDockerConfig is told where credentials are needed, as what it is; what
// anybody may pull needs none.
func TestBrokenDockerConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte("secret, and no JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFake(t, tokenAuth)
	f.public = []string{"public", "elsewhere"}
	file := registry.NewConfigFile(path)
	c := f.client(f.config())
	for range 2 { // before and after the registry is known to want tokens
		_, err := c.Resolve(t.Context(), f.identify("private", "1", f.image("private", "1", 1)), amd64, file)
		if !errors.Is(err, registry.ErrCredentials) || registry.Permanent(err) || errors.Is(err, registry.ErrUnauthorized) || errors.Is(err, registry.ErrInvalid) ||
			!strings.Contains(err.Error(), "dockerConfig") || leaks(err) {
			t.Errorf("got %v", err)
		}
	}
	image := resolve(t, c, f.identify("public", "1", f.image("public", "1", 1)), amd64, file)
	for _, c := range []*registry.Client{c, f.client(f.config())} {
		sources, _, err := c.Sources(t.Context(), image, file, 0)
		if err != nil {
			t.Fatal(err)
		}
		fetchAll(t, image, sources)
	}
	id, err := registry.Identify(f.host()+"/private:2", f.host()+"/elsewhere@"+f.image("elsewhere", "2", 1))
	if err != nil {
		t.Fatal(err)
	}
	if image := resolve(t, c, id, amd64, file); image.Repo != f.host()+"/elsewhere" {
		t.Errorf("image %+v", image)
	}
}

// TestRenewClosed asks with credentials for what stood open before.
func TestRenewClosed(t *testing.T) {
	f := newFake(t, open)
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	c := f.client(f.config())
	image := resolve(t, c, f.identify("app", "1", f.image("app", "1", 2)), amd64, ada)
	f.mode = tokenAuth
	f.requests()
	c.Renew(image)
	sources, _, err := c.Sources(t.Context(), image, ada, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.want("HEAD manifest", "token", "HEAD manifest")
	fetchAll(t, image, sources)
}

// TestTokenServerMoved asks the registry for the address of its token server at once
// when the old one fails, or refuses everybody.
func TestTokenServerMoved(t *testing.T) {
	for _, status := range []int{http.StatusBadGateway, http.StatusNotFound, http.StatusForbidden} {
		for _, sources := range []bool{false, true} {
			t.Run(fmt.Sprint(status, " sources ", sources), func(t *testing.T) {
				f := newFake(t, tokenAuth)
				f.public = []string{"app", "other"}
				var moved atomic.Bool
				before := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if moved.Load() {
						w.WriteHeader(status)
						return
					}
					f.serveToken(w, r)
				}))
				defer before.Close()
				f.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if moved.Load() || r.Header.Get("Authorization") != "" {
						return false
					}
					w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+name(before)+`/token?extra=1",service="fake"`)
					w.WriteHeader(http.StatusUnauthorized)
					return true
				}
				cfg := f.config()
				cfg.Registries = append(cfg.Registries, registry.Registry{Host: name(before), Insecure: true})
				c := f.client(cfg)
				image := resolve(t, c, f.identify("app", "1", f.image("app", "1", 1)), amd64, nil)
				other := f.identify("other", "1", f.image("other", "1", 1))
				moved.Store(true)
				f.revoke()
				c.Renew(image)
				again := func() error {
					if sources {
						_, _, err := c.Sources(t.Context(), image, nil, 0)
						return err
					}
					_, err := c.Resolve(t.Context(), other, amd64, nil)
					return err
				}
				for range 2 {
					if err := again(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// TestRevoked renews a token that the registry no longer takes, once.
func TestRevoked(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.field, f.public = "access_token", []string{"app"}
	c := f.client(f.config())
	resolve(t, c, f.identify("app", "1", f.image("app", "1", 1)), amd64, nil)
	f.requests()
	f.revoke()
	resolve(t, c, f.identify("app", "2", f.image("app", "2", 1)), amd64, nil)
	f.want("GET manifest", "token", "GET manifest")
}

// TestRevokedForLayers asks for layers anew with a new token where the remembered one is void before its time.
func TestRevokedForLayers(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.public, f.redirect = []string{"app"}, true
	cfg := f.config()
	cfg.Registries[0].ResolveLayers = true
	c := f.client(cfg)
	image := resolve(t, c, f.identify("app", "1", f.image("app", "1", 2)), amd64, nil)
	f.requests()
	f.revoke()
	sources, _, err := c.Sources(t.Context(), image, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.want("GET blob", "token", "HEAD manifest", "GET blob", "GET blob")
	fetchAll(t, image, sources)
}

// TestChanged follows a registry that is set up anew in another way.
func TestChanged(t *testing.T) {
	f := newFake(t, open)
	f.public = []string{"app"}
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	c := f.client(f.config())
	for i, m := range []mode{open, tokenAuth, basicAuth, tokenAuth, open} {
		f.mode = m
		tag := fmt.Sprint(i)
		image := resolve(t, c, f.identify("app", tag, f.image("app", tag, 1)), amd64, ada)
		if image.Repo != f.host()+"/app" {
			t.Errorf("image %+v", image)
		}
	}
}

// TestExpiry uses a token while it holds long enough, in virtual time.
func TestExpiry(t *testing.T) {
	tests := []struct {
		name     string
		lifetime time.Duration // 0: a minute, the default
		wait     time.Duration
		left     time.Duration
		requests []string
		holds    time.Duration
	}{
		{name: "fresh", lifetime: 300 * time.Second, wait: 0, left: 2 * time.Minute, holds: 300 * time.Second},
		{name: "enough is left", lifetime: 300 * time.Second, wait: 179 * time.Second, left: 2 * time.Minute, holds: 121 * time.Second},
		{name: "too little is left", lifetime: 300 * time.Second, wait: 181 * time.Second, left: 2 * time.Minute, requests: []string{"token"}, holds: 300 * time.Second},
		{name: "half a short lifetime is enough", wait: 29 * time.Second, left: 2 * time.Minute, holds: 31 * time.Second},
		{name: "less than half is not", wait: 31 * time.Second, left: 2 * time.Minute, requests: []string{"token"}, holds: time.Minute},
		{name: "the caller needs little", lifetime: 300 * time.Second, wait: 280 * time.Second, left: 15 * time.Second, holds: 20 * time.Second},
		{name: "over", lifetime: 300 * time.Second, wait: 301 * time.Second, left: time.Second, requests: []string{"token"}, holds: 300 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tokenAuth)
			f.lifetime, f.public = tt.lifetime, []string{"app"}
			id := f.identify("app", "1", f.image("app", "1", 1))
			cfg := f.config()
			cfg.Transport = inProcess{f.host(): f.serveRegistry, name(f.tokens): f.serveToken}
			c := f.client(cfg)
			synctest.Test(t, func(t *testing.T) {
				image := resolve(t, c, id, amd64, nil)
				f.requests()
				time.Sleep(tt.wait)
				_, until, err := c.Sources(t.Context(), image, nil, tt.left)
				if err != nil {
					t.Fatal(err)
				}
				f.want(tt.requests...)
				if got := time.Until(until); got != tt.holds {
					t.Errorf("sources hold for %s, want %s", got, tt.holds)
				}
			})
		})
	}
}

// TestCandidates goes on to the next place and names the failure to be mended.
func TestCandidates(t *testing.T) {
	f := newFake(t, open)
	digest := f.image("app", "1", 1)
	c := f.client(f.config())

	id, err := registry.Identify(f.host()+"/renamed:1", f.host()+"/app@"+digest)
	if err != nil {
		t.Fatal(err)
	}
	if image := resolve(t, c, id, amd64, nil); image.Repo != f.host()+"/app" {
		t.Errorf("image %+v", image)
	}
	f.want("GET manifest", "GET manifest")

	_, err = c.Resolve(t.Context(), f.identify("gone", "1", digest), amd64, nil)
	if !errors.Is(err, registry.ErrNotFound) || !registry.Permanent(err) {
		t.Errorf("got %v", err)
	}

	private := newFake(t, tokenAuth)
	cfg := f.config()
	cfg.Registries = append(cfg.Registries, private.config().Registries...)
	for spec, imageID := range map[string]string{
		private.host() + "/app:1": f.host() + "/gone@" + digest,
		f.host() + "/gone:1":      private.host() + "/app@" + digest,
	} {
		id, err = registry.Identify(spec, imageID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.client(cfg).Resolve(t.Context(), id, amd64, nil); !errors.Is(err, registry.ErrUnauthorized) {
			t.Errorf("%s, %s: %v", spec, imageID, err)
		}
	}

	if _, err = c.Resolve(t.Context(), registry.Identity{}, amd64, nil); !errors.Is(err, registry.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// TestConfigID accepts what a tag names only where its config is the one that runs.
func TestConfigID(t *testing.T) {
	f := newFake(t, open)
	c := f.client(f.config())
	digest := f.image("app", "1", 2)
	config := resolve(t, c, f.identify("app", "1", digest), amd64, nil).Config
	f.requests()

	for _, shown := range []string{config, strings.TrimPrefix(config, "sha256:"), "docker://" + config} {
		id, err := registry.Identify(f.host()+"/app:1", shown)
		if err != nil {
			t.Fatal(err)
		}
		if id.ID != config {
			t.Errorf("id %s, want %s", id.ID, config)
		}
		if image := resolve(t, c, id, amd64, nil); image.Digest != digest {
			t.Errorf("image %+v", image)
		}
	}
	f.want("GET manifest") // the other two are the same image

	id, err := registry.Identify(f.host()+"/app:2", config)
	if err != nil {
		t.Fatal(err)
	}
	f.image("app", "2", 2)
	if _, err := c.Resolve(t.Context(), id, amd64, nil); !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "moved on") {
		t.Errorf("got %v", err)
	}

	_, children := f.index("multi", "1", "linux/amd64", "linux/arm64")
	arm := resolve(t, c, f.identify("multi", "x", children["linux/arm64"]), registry.Platform{}, nil)
	id, err = registry.Identify(f.host()+"/multi:1", arm.Config)
	if err != nil {
		t.Fatal(err)
	}
	if image := resolve(t, c, id, registry.Platform{OS: "linux", Architecture: "arm64"}, nil); image.Digest != arm.Digest {
		t.Errorf("image %+v", image)
	}
	if _, err := c.Resolve(t.Context(), id, amd64, nil); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// TestOneFlight asks sixteen times at once; the registry is asked once.
func TestOneFlight(t *testing.T) {
	f := newFake(t, open)
	id := f.identify("app", "1", f.image("app", "1", 1))
	cfg := f.config()
	cfg.Transport = inProcess{f.host(): func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second) // virtual: all others are waiting by then
		f.serveRegistry(w, r)
	}}
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		images := make([]*registry.Image, 16)
		for i := range images {
			wg.Go(func() {
				var err error
				if images[i], err = c.Resolve(t.Context(), id, amd64, nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, image := range images {
			if image != images[0] {
				t.Error("not the same image")
			}
		}
	})
	f.want("GET manifest")
}

// TestOneTimeout asks eight times at once a registry that does not answer; none of
// them waits for another's timeout before its own.
func TestOneTimeout(t *testing.T) {
	f := newFake(t, open)
	id := f.identify("app", "1", f.image("app", "1", 1))
	cfg := f.config()
	cfg.Timeout = time.Second
	var asked atomic.Int32
	cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		asked.Add(1)
		return silent{}.RoundTrip(r)
	})
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := c.Resolve(t.Context(), id, amd64, nil); !errors.Is(err, context.DeadlineExceeded) || registry.Permanent(err) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
	})
	if got := asked.Load(); got != 1 {
		t.Errorf("the registry was asked %d times", got)
	}
}

// roundTrip is a function as transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestFlightOfAnother fails for want of credentials, or is given up; those who
// waited for it do their own.
func TestFlightOfAnother(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.users["ada"] = user{"secret-password", []string{"app"}}
	id := f.identify("app", "1", f.image("app", "1", 1))
	cfg := f.config()
	cfg.Transport = inProcess{name(f.tokens): f.serveToken, f.host(): func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second)
		f.serveRegistry(w, r)
	}}
	for _, cancelled := range []bool{false, true} {
		c := f.client(cfg)
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := c.Resolve(ctx, id, amd64, nil); err == nil {
					t.Error("resolved without credentials")
				}
			})
			synctest.Wait()
			wg.Go(func() {
				ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
				if _, err := c.Resolve(t.Context(), id, amd64, ada); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			if cancelled {
				cancel()
			}
			wg.Wait()
		})
	}
}

// TestRewrite asks a mirror, by the path it has there, with the credentials of the
// name that the image has.
func TestRewrite(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.users["ada"] = user{"secret-password", []string{"hub/library/nginx"}}
	digest := f.image("hub/library/nginx", "1", 1)
	cfg := f.config()
	cfg.Registries = append(cfg.Registries, registry.Registry{Host: "docker.io", Endpoint: f.registry.URL + "/hub/"})
	c := f.client(cfg)
	id, err := registry.Identify("nginx:1", "docker.io/library/nginx@"+digest)
	if err != nil {
		t.Fatal(err)
	}
	l := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	image := resolve(t, c, id, amd64, l)
	if image.Repo != "docker.io/library/nginx" || !slices.Equal(l.asked, []string{"docker.io/library/nginx"}) {
		t.Errorf("image %+v, asked %v", image, l.asked)
	}
	sources, _, err := c.Sources(t.Context(), image, l, 0)
	if err != nil {
		t.Fatal(err)
	}
	fetchAll(t, image, sources)
}

// TestConfigValidate names what is wrong.
func TestConfigValidate(t *testing.T) {
	tests := []struct {
		cfg  registry.Config
		want string
	}{
		{registry.Config{}, ""},
		{registry.Config{Registries: []registry.Registry{{Host: "a:5000", Endpoint: "http://b/c"}, {Host: "b", Insecure: true}}}, ""},
		{registry.Config{Registries: []registry.Registry{{}}}, `registry host ""`},
		{registry.Config{Registries: []registry.Registry{{Host: "https://a"}}}, `registry host "https://a"`},
		{registry.Config{Registries: []registry.Registry{{Host: "a", Endpoint: "b:5000"}}}, "endpoint of registry a"},
		{registry.Config{Registries: []registry.Registry{{Host: "a", Endpoint: "https://u:secret@b"}}}, "endpoint of registry a"},
		{registry.Config{Registries: []registry.Registry{{Host: "a"}, {Host: "A"}}}, "listed twice"},
		{registry.Config{Registries: []registry.Registry{{Host: "a/b"}, {Host: "c"}, {Host: "C"}}}, "registries[0]: registry host \"a/b\""},
		{registry.Config{Registries: []registry.Registry{{Host: "a/b"}, {Host: "c"}, {Host: "C"}}}, "\nregistries[2]: registry host \"C\""},
		{registry.Config{Timeout: -1}, "negative"},
	}
	for _, tt := range tests {
		err := tt.cfg.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, registry.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || leaks(err)) {
			t.Errorf("%+v: %v, want %q", tt.cfg.Registries, err, tt.want)
		}
	}
}
