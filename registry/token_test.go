package registry_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// TestTokenServerOfOne goes on with the next credential where the token server has no
// sensible answer to one, and tells it where nothing opens.
func TestTokenServerOfOne(t *testing.T) {
	bad := registry.Credential{Username: "bad", Password: "secret"}
	ada := registry.Credential{Username: "ada", Password: "secret-password"}
	for _, tt := range []struct {
		name   string
		status int
	}{{"bad request", 400}, {"failure", 500}, {"no token", 200}} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tokenAuth)
			f.users["ada"] = user{"secret-password", []string{"app"}}
			ids := f.images("app", 2)
			cfg := f.virtual()
			cfg.Transport.(inProcess)[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) {
				if who, _, _ := r.BasicAuth(); who == "bad" {
					f.note("token")
					w.WriteHeader(tt.status)
					io.WriteString(w, "secret")
					return
				}
				f.serveToken(w, r)
			}
			_, err := f.client(cfg).Resolve(t.Context(), ids[0], amd64, &lender{credentials: []registry.Credential{bad}})
			if err == nil || registry.Permanent(err) || leaks(err) {
				t.Errorf("got %v", err)
			}
			f.requests()
			c := f.client(cfg)
			l := &lender{credentials: []registry.Credential{bad, ada}}
			image := resolve(t, c, ids[0], amd64, l)
			f.want("GET manifest", "token", "token", "GET manifest")
			if _, _, err := c.Sources(t.Context(), image, l, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTokenNotRenewed hands out no layers without a token where the token server refuses
// what it has served before.
func TestTokenNotRenewed(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.lifetime = 5 * time.Minute
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	id := f.images("app", 1)[0]
	cfg := f.virtual()
	status := 0
	cfg.Transport.(inProcess)[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) {
		if status != 0 {
			w.WriteHeader(status)
			return
		}
		f.serveToken(w, r)
	}
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		image := resolve(t, c, id, amd64, ada)
		time.Sleep(200 * time.Second) // what is left is too short for Clair, but long enough to pull
		for _, tt := range []struct {
			status    int
			permanent bool
		}{{http.StatusBadGateway, false}, {http.StatusUnauthorized, true}} {
			status = tt.status
			sources, _, err := c.Sources(t.Context(), image, ada, 0)
			if err == nil || registry.Permanent(err) != tt.permanent || errors.Is(err, registry.ErrUnauthorized) != tt.permanent {
				t.Errorf("%d: %d sources, %v", tt.status, len(sources), err)
			}
		}
		status = 0
		c.Renew(image)
		if _, _, err := c.Sources(t.Context(), image, ada, 0); err != nil {
			t.Error(err)
		}
	})
}
