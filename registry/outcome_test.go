package registry_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// counted are outcomes, each once for each request.
type counted struct {
	mu  sync.Mutex
	all map[registry.Outcome]int
}

func (c *counted) count(o registry.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = make(map[registry.Outcome]int)
	}
	c.all[o]++
}

func TestOutcomes(t *testing.T) {
	type outcomes = map[registry.Outcome]int
	const most = 10 << 10 // bytes of a manifest
	answering := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			return true
		}
	}
	for _, tt := range []struct {
		name  string
		mode  mode
		fault func(http.ResponseWriter, *http.Request) bool
		// twice has somebody ask again, who is not let through.
		twice bool
		want  outcomes
	}{
		{name: "open", want: outcomes{registry.OutcomeOK: 1}},
		{name: "tokens", mode: tokenAuth, want: outcomes{registry.OutcomeUnauthorized: 1, registry.OutcomeOK: 2}},
		{name: "gone", fault: answering(404), want: outcomes{registry.OutcomeNotFound: 1}},
		{name: "forbidden", fault: answering(403), want: outcomes{registry.OutcomeUnauthorized: 1}},
		{name: "too many", fault: answering(429), twice: true, want: outcomes{registry.OutcomeRateLimited: 1}},
		{name: "broken", fault: answering(500), want: outcomes{registry.OutcomeFailed: 1}},
		{name: "cut off", want: outcomes{registry.OutcomeUnanswered: 1}, fault: func(http.ResponseWriter, *http.Request) bool {
			panic(http.ErrAbortHandler)
		}},
		{name: "cut off in the body", want: outcomes{registry.OutcomeUnanswered: 1}, fault: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "{")
			return true
		}},
		{name: "too large", want: outcomes{registry.OutcomeFailed: 1}, fault: func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, strings.Repeat(" ", most+1))
			return true
		}},
		{name: "denied", want: outcomes{registry.OutcomeDenied: 1}, fault: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusTemporaryRedirect)
			return true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.mode)
			f.public = []string{"team/app"}
			id := f.identify("team/app", "1", f.image("team/app", "1", 1))
			f.fault = tt.fault
			cfg, got := f.config(), new(counted)
			cfg.MaxManifest = most
			cfg.Count = got.count
			c := f.client(cfg)
			_, err := c.Resolve(t.Context(), id, amd64, nil)
			if (tt.fault != nil) != (err != nil) {
				t.Errorf("error %v", err)
			}
			if tt.twice {
				if _, err := c.Resolve(t.Context(), id, amd64, nil); err == nil {
					t.Error("let through")
				}
			}
			if !maps.Equal(got.all, tt.want) {
				t.Errorf("counted %v, want %v", got.all, tt.want)
			}
			for o := range got.all {
				if !slices.Contains(registry.Outcomes[:], o) {
					t.Errorf("%s is no outcome", o)
				}
			}
		})
	}
}

// A request that its caller ends says nothing about the registry, wherever it is by then; one that takes too long does.
func TestOutcomesOfSlowAnswers(t *testing.T) {
	errEnough := errors.New("enough")
	beginning := roundTrip(func(r *http.Request) (*http.Response, error) { // and no end
		body, write := io.Pipe()
		context.AfterFunc(r.Context(), func() { write.CloseWithError(r.Context().Err()) })
		return &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: body, Request: r}, nil
	})
	ends := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(time.Second, func() { cancel(errEnough) })
		return ctx, func() { cancel(nil) }
	}
	lasts := func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }
	for _, tt := range []struct {
		name      string
		transport http.RoundTripper
		caller    func(context.Context) (context.Context, context.CancelFunc)
		timeout   time.Duration // of a request
		want      registry.Outcome
	}{
		{"no answer, ended", silent{}, ends, time.Minute, registry.OutcomeAbandoned},
		{"half an answer, ended", beginning, ends, time.Minute, registry.OutcomeAbandoned},
		{"no answer in time", silent{}, lasts, time.Minute, registry.OutcomeUnanswered},
		{"half an answer in time", beginning, lasts, time.Minute, registry.OutcomeUnanswered},
		{"no answer in the time for one image", silent{}, lasts, time.Hour, registry.OutcomeUnanswered},
		{"half an answer in the time for one image", beginning, lasts, time.Hour, registry.OutcomeUnanswered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, open)
			id := f.identify("app", "1", f.image("app", "1", 1))
			cfg, got := f.config(), new(counted)
			cfg.Timeout, cfg.Transport, cfg.Count = tt.timeout, tt.transport, got.count
			c := f.client(cfg)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := tt.caller(t.Context())
				defer cancel()
				if _, err := c.Resolve(ctx, id, amd64, nil); err == nil {
					t.Error("no error")
				}
			})
			if want := map[registry.Outcome]int{tt.want: 1}; !maps.Equal(got.all, want) {
				t.Errorf("counted %v, want %v", got.all, want)
			}
		})
	}
}
