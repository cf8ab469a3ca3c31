package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// TestManyLayers asks for each layer of an image that has more of them than one operation
// may otherwise send requests.
func TestManyLayers(t *testing.T) {
	f := newFake(t, basicAuth)
	f.redirect = true
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	c := f.client(f.config())
	image := resolve(t, c, f.identify("app", "1", f.image("app", "1", 60)), amd64, ada)
	f.requests()
	sources, _, err := c.Sources(t.Context(), image, ada, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(f.requests()); got != 60 {
		t.Errorf("%d requests for 60 layers", got)
	}
	fetchAll(t, image, sources)
}

// TestSourcesWhenTheTokenServerMoved has the registry asked for the new one, though it is
// known with what credential its repository opens.
func TestSourcesWhenTheTokenServerMoved(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.public = []string{"app"}
	id := f.images("app", 1)[0]
	const before = "before.example.com"
	var moved atomic.Bool
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if moved.Load() || r.Header.Get("Authorization") != "" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+before+`/token?extra=1",service="fake"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	cfg := f.virtual()
	cfg.Registries = append(cfg.Registries, registry.Registry{Host: before, Insecure: true})
	cfg.Transport.(inProcess)[before] = func(w http.ResponseWriter, r *http.Request) {
		if moved.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		f.serveToken(w, r)
	}
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		image := resolve(t, c, id, amd64, nil)
		moved.Store(true)
		time.Sleep(2 * time.Minute) // the token has ended
		f.requests()
		if _, _, err := c.Sources(t.Context(), image, nil, 0); err != nil {
			t.Error(err)
		}
		if got := f.requests(); !slices.Contains(got, "token") {
			t.Errorf("the token server of now was not asked: %q", got)
		}
	})
}

// TestRefusedLayer does not go on with a password that has been changed since it opened
// the repository, where the next one is right.
func TestRefusedLayer(t *testing.T) {
	f := newFake(t, basicAuth)
	f.redirect = true
	f.users["ada"] = user{"secret-old", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-old"}, {Username: "ada", Password: "secret-new"}}}
	c := f.client(f.config())
	image := resolve(t, c, f.images("app", 1)[0], amd64, ada)
	f.users["ada"] = user{"secret-new", []string{"app"}}
	f.requests()
	if _, _, err := c.Sources(t.Context(), image, ada, 0); err != nil && !errors.Is(err, registry.ErrUnauthorized) {
		t.Errorf("got %v", err)
	}
	sources, _, err := c.Sources(t.Context(), image, ada, 0)
	if err != nil {
		t.Fatal(err)
	}
	fetchAll(t, image, sources)
}

// TestLayersOnTheirAccount asks for layers as who has the password, whom the limit of
// those without does not concern, and for no more than a byte of each.
func TestLayersOnTheirAccount(t *testing.T) {
	f := newFake(t, basicAuth)
	f.redirect, f.public = true, []string{"public"}
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	var limit limiter
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") && r.Header.Get("Range") != "bytes=0-0" {
			t.Errorf("a whole layer is asked for: %q", r.Header.Get("Range"))
		}
		return r.Header.Get("Authorization") == "" && limit.fault(w, r)
	}
	public := f.images("public", 1)[0]
	c := f.client(f.virtual())
	image := resolve(t, c, f.images("app", 1)[0], amd64, ada)
	limit.on.Store(true)
	var limited *registry.RateLimitedError
	if _, err := c.Resolve(t.Context(), public, amd64, nil); !errors.As(err, &limited) {
		t.Errorf("got %v", err)
	}
	f.requests()
	if _, _, err := c.Sources(t.Context(), image, ada, 0); err != nil {
		t.Error(err)
	}
	f.want("GET blob")
}

// TestManyCredentials tries thirty-two and no more.
func TestManyCredentials(t *testing.T) {
	f := newFake(t, basicAuth)
	f.users["ada"] = user{"secret-password", []string{"app"}}
	id := f.images("app", 1)[0]
	for wrong, resolves := range map[int]bool{31: true, 32: false} {
		l := &lender{}
		for i := range wrong {
			l.credentials = append(l.credentials, registry.Credential{Username: "ada", Password: fmt.Sprint("secret", i)})
		}
		l.credentials = append(l.credentials, registry.Credential{Username: "ada", Password: "secret-password"})
		_, err := f.client(f.config()).Resolve(t.Context(), id, amd64, l)
		if (err == nil) != resolves || err != nil && !errors.Is(err, registry.ErrUnauthorized) {
			t.Errorf("behind %d: got %v", wrong, err)
		}
		if got := len(f.requests()); got != 33 {
			t.Errorf("behind %d: %d requests, want one without any and thirty-two", wrong, got)
		}
	}
}

// TestMaxManifest reads a manifest that is as large as it may be, and none that is larger.
func TestMaxManifest(t *testing.T) {
	f := newFake(t, open)
	id := f.images("app", 1)[0]
	size := len(f.manifest("app", "app:0", 1))
	for most, want := range map[int]error{size: nil, size - 1: registry.ErrTooLarge} {
		cfg := f.config()
		cfg.MaxManifest = int64(most)
		if _, err := f.client(cfg).Resolve(t.Context(), id, amd64, nil); !errors.Is(err, want) {
			t.Errorf("%d bytes of %d: got %v", size, most, err)
		}
	}
}

// TestSlowTokenServer has a token end so long after it was asked for as its server says:
// nobody knows when on its way it was made.
func TestSlowTokenServer(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.lifetime, f.public = 5*time.Minute, []string{"app"}
	id := f.images("app", 1)[0]
	cfg := f.virtual()
	cfg.Transport.(inProcess)[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) {
		f.serveToken(w, r)
		time.Sleep(20 * time.Second)
	}
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		image := resolve(t, c, id, amd64, nil)
		if _, until, err := c.Sources(t.Context(), image, nil, 0); err != nil || time.Until(until) != 280*time.Second {
			t.Errorf("sources hold for %s, want what is left of five minutes; %v", time.Until(until), err)
		}
	})
}

// TestRefusedWithAFreshToken asks for no second one where the registry has just refused the
// first: it was not the token's age.
func TestRefusedWithAFreshToken(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	ids := f.images("app", 2)
	c := f.client(f.virtual())
	synctest.Test(t, func(t *testing.T) {
		resolve(t, c, ids[0], amd64, ada)
		time.Sleep(2 * time.Minute) // the token has ended
		f.users["ada"] = user{"secret-password", nil}
		f.requests()
		if _, err := c.Resolve(t.Context(), ids[1], amd64, ada); !errors.Is(err, registry.ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
		f.want("token", "GET manifest", "token", "GET manifest") // hers, and nobody's
	})
}
