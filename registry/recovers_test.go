package registry_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// TestClosedSince notices that a repository stands open no more: what comes after costs
// no request in vain, and Clair gets a token.
func TestClosedSince(t *testing.T) {
	f := newFake(t, open)
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	ids := f.images("app", 3)
	c := f.client(f.config())
	resolve(t, c, ids[0], amd64, ada)
	f.mode = tokenAuth
	f.requests()
	image := resolve(t, c, ids[1], amd64, ada)
	f.want("GET manifest", "token", "GET manifest")
	resolve(t, c, ids[2], amd64, ada)
	f.want("GET manifest")
	sources, _, err := c.Sources(t.Context(), image, ada, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.want()
	fetchAll(t, image, sources)
}

// TestTokenServerComesBack resolves at once what could not be had while it was away.
func TestTokenServerComesBack(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.public = []string{"app"}
	id := f.images("app", 1)[0]
	var away atomic.Bool
	cfg := f.virtual()
	cfg.Transport.(inProcess)[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		f.serveToken(w, r)
	}
	c := f.client(cfg)
	away.Store(true)
	for range 2 {
		if _, err := c.Resolve(t.Context(), id, amd64, nil); err == nil || registry.Permanent(err) {
			t.Errorf("got %v", err)
		}
	}
	away.Store(false)
	f.requests()
	resolve(t, c, id, amd64, nil)
	f.want("token", "GET manifest")
}

// TestRootSaysNothing asks the root of a registry that tells nothing once in ten minutes,
// however many images wait for a pull.
func TestRootSaysNothing(t *testing.T) {
	f := newFake(t, open)
	f.fault = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("RateLimit-Limit", "100;w=21600")
		w.Header().Set("RateLimit-Remaining", "10;w=21600")
		return false
	}
	ids := f.images("app", 3)
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	c := f.client(f.virtual())
	synctest.Test(t, func(t *testing.T) {
		resolve(t, c, ids[0], amd64, ada)
		f.requests()
		kept := registry.RateLimitedError{Registry: f.host(), RetryAfter: 36 * time.Minute, Kept: true}
		wantLimited(t, c, ids[1], ada, kept)
		f.want("GET root")
		wantLimited(t, c, ids[1], ada, kept)
		wantLimited(t, c, ids[2], ada, kept)
		f.want()
		time.Sleep(10 * time.Minute)
		kept.RetryAfter = 26 * time.Minute
		wantLimited(t, c, ids[2], ada, kept)
		f.want("GET root")
	})
}

// TestLimitBeforeLookup tells of the limit that passes by itself before the look-up that
// somebody has to mend: it may be all that is wrong.
func TestLimitBeforeLookup(t *testing.T) {
	f := newFake(t, basicAuth)
	id := f.images("app", 1)[0]
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "" {
			return false
		}
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	ada := []registry.Credential{{Username: "ada", Password: "secret-password"}}
	c := f.client(f.virtual())
	synctest.Test(t, func(t *testing.T) {
		wantLimited(t, c, id, &lender{credentials: ada, err: errors.New("broken")}, registry.RateLimitedError{Registry: f.host(), RetryAfter: time.Minute})
	})
}

// TestLookupOfAnother has who waited for somebody whose credentials could not be looked
// up do it with his own.
func TestLookupOfAnother(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.users["ada"] = user{"secret-password", []string{"app"}}
	f.fault = func(http.ResponseWriter, *http.Request) bool {
		time.Sleep(time.Second)
		return false
	}
	id := f.images("app", 1)[0]
	c := f.client(f.virtual())
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Resolve(t.Context(), id, amd64, &lender{err: broken}); !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
			if _, err := c.Resolve(t.Context(), id, amd64, ada); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
	})
}

// TestDeniedAndElsewhere goes on from a place that must not be asked to one that may.
func TestDeniedAndElsewhere(t *testing.T) {
	f := newFake(t, open)
	id := f.images("app", 1)[0]
	id.Candidates = append([]registry.Candidate{{Repo: "registry.example.com/app", Digest: id.ID}}, id.Candidates...)
	cfg := f.config()
	cfg.Deny = []string{"registry.example.com"}
	if image := resolve(t, f.client(cfg), id, amd64, nil); image.Repo != f.host()+"/app" {
		t.Errorf("image %+v", image)
	}
	f.want("GET manifest")
}

// TestLongService takes no book from a registry as the name of its token service: it is
// remembered.
func TestLongService(t *testing.T) {
	f := newFake(t, open)
	f.fault = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+name(f.tokens)+`/token",service="`+strings.Repeat("secret", 1000)+`"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	_, err := f.client(f.config()).Resolve(t.Context(), f.images("app", 1)[0], amd64, nil)
	if !errors.Is(err, registry.ErrTooLarge) || leaks(err) {
		t.Errorf("got %v", err)
	}
	f.want("GET manifest")
}

// TestCredentialsApart does not take one for another whose user and password read the
// same in one piece.
func TestCredentialsApart(t *testing.T) {
	f := newFake(t, basicAuth)
	f.users["ada"] = user{"secret", []string{"app"}}
	alike := &lender{credentials: []registry.Credential{{Username: "ad", Password: "asecret"}, {Username: "ada", Password: "secret"}}}
	resolve(t, f.client(f.config()), f.images("app", 1)[0], amd64, alike)
	f.want("GET manifest", "GET manifest", "GET manifest")
}

// TestEdition is another for another content of the same size, as a new password is, and
// when the file has gone.
func TestEdition(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	file := registry.NewConfigFile(path)
	seen := map[string]string{file.Edition(): "no file"}
	then := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for i, content := range []string{config("quay.io one"), config("quay.io two"), config("quay.io three")} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		at := then.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		if before, known := seen[file.Edition()]; known {
			t.Errorf("%s has the edition of %s", content, before)
		}
		if _, err := file.Lookup(t.Context(), "quay.io/app"); err != nil {
			t.Error(err)
		}
		seen[file.Edition()] = content
	}
	if len(seen) != 4 {
		t.Errorf("%d editions, want 4: a look-up must not change it", len(seen))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := seen[file.Edition()]; got != "no file" {
		t.Errorf("the edition without a file is that of %s", got)
	}
}
