package registry_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// dumb answers nothing while it is set, and counts who comes.
type dumb struct {
	inProcess
	err  error
	came int
}

func (d *dumb) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.err != nil {
		d.came++
		return nil, d.err
	}
	return d.inProcess.RoundTrip(r)
}

// TestUnanswered leaves a registry alone that does not answer: after three requests for
// five seconds, and then, when one more has got no answer, twice as long, up to a minute.
func TestUnanswered(t *testing.T) {
	f, other := newFake(t, open), newFake(t, open)
	ids, elsewhere := f.images("app", 20), other.images("app", 1)[0]
	d := &dumb{inProcess: inProcess{f.host(): f.serveRegistry}, err: errors.New("connection refused")}
	cfg := f.config()
	cfg.Transport = d
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		away := func(wait time.Duration) {
			t.Helper()
			came := d.came
			for _, id := range ids {
				_, err := c.Resolve(t.Context(), id, amd64, nil)
				u, ok := errors.AsType[*registry.UnansweredError](err)
				if !ok || registry.Permanent(err) || u.Registry != f.host() || u.RetryAfter != wait || !strings.Contains(err.Error(), "connection refused") {
					t.Fatalf("got %v, want to wait %s", err, wait)
				}
			}
			if d.came != came {
				t.Errorf("%d requests", d.came-came)
			}
		}
		fail := func() {
			t.Helper()
			_, err := c.Resolve(t.Context(), ids[0], amd64, nil)
			if _, ok := errors.AsType[*registry.UnansweredError](err); ok || err == nil {
				t.Fatalf("got %v", err)
			}
		}
		for range 3 {
			fail()
		}
		for _, wait := range []time.Duration{5, 10, 20, 40, 60, 60} {
			away(wait * time.Second)
			time.Sleep(wait * time.Second)
			fail()
		}
		// Others are asked.
		if _, err := c.Resolve(t.Context(), elsewhere, amd64, nil); errors.As(err, new(*registry.UnansweredError)) {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		// Who leaves has found nothing out.
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := c.Resolve(gone, ids[0], amd64, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		d.err = nil
		for _, id := range ids {
			resolve(t, c, id, amd64, nil)
		}
		// It is forgotten.
		d.err = errors.New("connection refused")
		c.Renew(&registry.Image{Repo: f.host() + "/app"})
		ids = f.unknown(3)
		for range 3 {
			fail()
		}
		away(5 * time.Second)
	})
}

// unknown are images that nobody has pushed.
func (f *fake) unknown(n int) []registry.Identity {
	var ids []registry.Identity
	for i := range n {
		ids = append(ids, f.identify("app", "1", sum([]byte{byte(i)})))
	}
	return ids
}

// TestUnansweredTogether closes for the first pause however many find out together, and
// takes only that for no answer which is none.
func TestUnansweredTogether(t *testing.T) {
	tests := []struct {
		name   string
		status int // 0: none
		away   bool
	}{
		{"no answer", 0, true}, {"bad gateway", 502, true}, {"unavailable", 503, true}, {"gateway timeout", 504, true},
		{"broken", 500, false}, {"not found", 404, false}, {"forbidden", 403, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, open)
			ids := f.unknown(16)
			cfg := f.config()
			cfg.Transport = slow{by: 29 * time.Second, handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(tt.status) }}
			if tt.status == 0 {
				cfg.Transport = silent{}
			}
			c := f.client(cfg)
			synctest.Test(t, func(t *testing.T) {
				var wg sync.WaitGroup
				for _, id := range ids {
					wg.Go(func() {
						if _, err := c.Resolve(t.Context(), id, amd64, nil); err == nil {
							t.Error("resolved")
						}
					})
				}
				wg.Wait()
				_, err := c.Resolve(t.Context(), f.unknown(17)[16], amd64, nil)
				u, ok := errors.AsType[*registry.UnansweredError](err)
				if ok != tt.away || ok && u.RetryAfter != 5*time.Second {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestUnansweredTokens leaves the token server alone, not what the registry gives without.
func TestUnansweredTokens(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.public = []string{"app"}
	id := f.images("app", 1)[0]
	cfg := f.virtual()
	cfg.Transport.(inProcess)[name(f.tokens)] = func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	c := f.client(cfg)
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			if _, err := c.Resolve(t.Context(), id, amd64, nil); err == nil || registry.Permanent(err) {
				t.Errorf("got %v", err)
			}
		}
		f.requests()
		_, err := c.Resolve(t.Context(), id, amd64, nil)
		if u, ok := errors.AsType[*registry.UnansweredError](err); !ok || !u.TokenServer || u.Registry != f.host() {
			t.Errorf("got %v", err)
		}
		f.want()
		time.Sleep(5 * time.Second)
		cfg.Transport.(inProcess)[name(f.tokens)] = f.serveToken
		resolve(t, c, id, amd64, nil)
	})
}
