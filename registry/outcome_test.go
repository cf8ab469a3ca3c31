package registry_test

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"

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
