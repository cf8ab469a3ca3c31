package registry_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// slow carries requests to a handler and holds each answer back for a while.
type slow struct {
	by      time.Duration
	handler http.HandlerFunc
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(s.by):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	s.handler(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// TestTarpit ends an operation at a registry that lets each request take nearly as long
// as one may, which is a passing trouble that names the registry.
func TestTarpit(t *testing.T) {
	f := newFake(t, basicAuth)
	f.redirect = true
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := registry.Credential{Username: "ada", Password: "secret-password"}
	id := f.identify("app", "1", f.image("app", "1", 40))
	many := &lender{}
	for i := range 15 {
		many.credentials = append(many.credentials, registry.Credential{Username: fmt.Sprint("user", i), Password: "secret-old"})
	}
	cfg := f.config()
	client := func(by time.Duration) *registry.Client {
		cfg.Transport = slow{by: by, handler: f.serveRegistry}
		return registry.New(cfg)
	}
	passes := func(t *testing.T, err error) {
		t.Helper()
		if err == nil || registry.Permanent(err) || leaks(err) || !strings.Contains(err.Error(), f.host()) || !strings.Contains(err.Error(), "longer than 2m0s") {
			t.Errorf("got %v", err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		_, err := client(29*time.Second).Resolve(t.Context(), id, amd64, many)
		passes(t, err)
		if took := time.Since(begun); took != 2*time.Minute {
			t.Errorf("it took %s", took)
		}

		with := &lender{credentials: []registry.Credential{ada}}
		c := client(29 * time.Second)
		image := resolve(t, c, id, amd64, with)
		begun = time.Now()
		_, _, err = c.Sources(t.Context(), image, with, 0)
		passes(t, err)
		if took := time.Since(begun); took != 2*time.Minute {
			t.Errorf("the sources took %s", took)
		}

		// The caller's own reason comes first.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err = c.Sources(ctx, image, with, 0); err == nil || strings.Contains(err.Error(), "2m0s") {
			t.Errorf("got %v", err)
		}

		// One that is only slow has the layers asked for four at a time.
		c = client(8 * time.Second)
		begun = time.Now()
		sources, _, err := c.Sources(t.Context(), image, with, 0)
		if err != nil || len(sources) != 40 {
			t.Fatalf("%d sources, %v", len(sources), err)
		}
		for i, s := range sources {
			if !strings.Contains(s.URI, image.Layers[i].Digest) {
				t.Errorf("layer %d is at %s", i, s)
			}
		}
		if took := time.Since(begun); took != (2+1+10)*8*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
