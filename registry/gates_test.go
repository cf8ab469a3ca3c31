package registry

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestGateStaysClosed is not opened by the answer to what was asked before it closed,
// and not earlier by a shorter time than the longest that was named.
func TestGateStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGates(30 * time.Second)
		a := account{registry: "quay.io"}
		var early []*pass
		for range 4 {
			p, err := g.enter(t.Context(), a, other)
			if err != nil {
				t.Fatal(err)
			}
			early = append(early, p)
		}
		answer := func(p *pass, status int, retryAfter string, wait time.Duration) {
			t.Helper()
			if got := p.answered(status, http.Header{"Retry-After": {retryAfter}}); got != wait {
				t.Errorf("%d and %q: wait %s, want %s", status, retryAfter, got, wait)
			}
			p.leave()
		}
		answer(early[0], http.StatusTooManyRequests, "300", 5*time.Minute)
		time.Sleep(time.Minute)
		answer(early[1], http.StatusTooManyRequests, "90", 4*time.Minute)
		answer(early[2], http.StatusTooManyRequests, "", 4*time.Minute)
		answer(early[3], http.StatusOK, "", 0)
		_, err := g.enter(t.Context(), a, other)
		if limited, ok := errors.AsType[*RateLimitedError](err); !ok || limited.RetryAfter != 4*time.Minute {
			t.Errorf("got %v", err)
		}
	})
}

// TestRefusedTogether makes the pause longer once for requests that were under way
// together, also where they are answered when it is over, and lets none of them open or
// close what the next one has found.
func TestRefusedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGates(10 * time.Minute)
		a := account{registry: "quay.io"}
		enter := func() *pass {
			t.Helper()
			p, err := g.enter(t.Context(), a, other)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		refused := func(p *pass, retryAfter string, wait time.Duration) {
			t.Helper()
			p.answered(http.StatusTooManyRequests, http.Header{"Retry-After": {retryAfter}})
			p.leave()
			if got := g.gates[a].all.wait(time.Now(), 0); got != wait {
				t.Errorf("closed for %s, want %s", got, wait)
			}
		}
		first, second, third, fourth := enter(), enter(), enter(), enter()
		refused(first, "", time.Minute)
		time.Sleep(61 * time.Second)
		refused(second, "", 0)
		trying := enter()
		refused(third, "30", 30*time.Second)
		refused(trying, "", 30*time.Second)
		time.Sleep(30 * time.Second)
		refused(enter(), "", time.Minute) // twice the last one, and at least the first
		time.Sleep(time.Minute)
		open := enter()
		open.answered(http.StatusOK, nil)
		open.leave()
		first, second = enter(), enter()
		refused(fourth, "", 0)
		refused(first, "", 2*time.Minute)
		time.Sleep(2 * time.Minute)
		refused(second, "", 0)
		refused(enter(), "", 4*time.Minute)
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
