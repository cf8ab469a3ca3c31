package registry

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestReadAllowance(t *testing.T) {
	tests := []struct {
		limit, remaining string
		said             bool
		free             int
		pause            time.Duration
	}{
		{limit: "100;w=21600", remaining: "76;w=21600", said: true, free: 66, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "11;w=21600", said: true, free: 1, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "10;w=21600", said: true, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "0", said: true, pause: 36 * time.Minute},
		{limit: "5", remaining: "2", said: true, free: 1, pause: time.Minute},
		{limit: "5", remaining: "1", said: true, pause: time.Minute},
		{remaining: " 3 ; x ; w=60", said: true, free: 3, pause: 6 * time.Second},
		{remaining: "1;w=2", said: true, free: 1, pause: time.Second},
		{remaining: "1;w=2147483647", said: true, free: 1, pause: time.Hour},
		{remaining: "1;w=99999999999;w=x", said: true, free: 1, pause: time.Minute},
		{limit: "many", remaining: "4", said: true, free: 4, pause: time.Minute},
		{limit: "100;w=21600"},
		{limit: "100", remaining: "-1"},
		{limit: "100", remaining: "99999999999"},
		{limit: "100", remaining: "few"},
	}
	for _, tt := range tests {
		header := make(http.Header)
		header.Set("ratelimit-limit", tt.limit)
		header.Set("ratelimit-remaining", tt.remaining)
		a, said := readAllowance(header)
		if said != tt.said || said && (a.free() != tt.free || a.pause() != tt.pause) {
			t.Errorf("%q of %q: %+v, %v: %d free, pause %s", tt.remaining, tt.limit, a, said, a.free(), a.pause())
		}
	}
}

// FuzzReadAllowance keeps no less than a tenth, and pauses for a second to an hour.
func FuzzReadAllowance(f *testing.F) {
	f.Add("100;w=21600", "76;w=21600")
	f.Add("2147483647", "0;w=2147483647")
	f.Fuzz(func(t *testing.T, limit, remaining string) {
		a, _ := readAllowance(http.Header{"Ratelimit-Limit": {limit}, "Ratelimit-Remaining": {remaining}})
		if free := a.free(); free < 0 || free > 0 && 10*(a.remaining-free) < a.limit {
			t.Errorf("%+v: %d free", a, free)
		}
		if p := a.pause(); p < time.Second || p > time.Hour {
			t.Errorf("%+v: pause %s", a, p)
		}
	})
}

// TestGatesAreFew forgets what it can when there are too many, and nothing that is in
// use.
func TestGatesAreFew(t *testing.T) {
	g := newGates(time.Second)
	enter := func(registry string) *pass {
		t.Helper()
		p, err := g.enter(t.Context(), account{registry: registry}, pull)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	busy := enter("busy")
	limited := http.Header{"Retry-After": {"3600"}}
	for i := range 2 * maxRemembered {
		p := enter(fmt.Sprint(i))
		p.answered(http.StatusTooManyRequests, limited)
		p.leave()
	}
	if len(g.gates) > maxRemembered || g.gates[busy.account] != busy.gate {
		t.Errorf("%d gates, and the one in use is %v", len(g.gates), g.gates[busy.account])
	}
	busy.leave()
	if _, kept := g.gates[busy.account]; kept || len(g.rooms) != 0 {
		t.Errorf("a gate is kept of which nothing is known (%v), or %d registries", kept, len(g.rooms))
	}
}
