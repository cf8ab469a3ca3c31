package registry

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestLeftByOthers takes from what a registry has left the pulls under way of which its
// answer may not know yet, and lets somebody ask only when none of them is left who could
// bring the answer.
func TestLeftByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGates(30 * time.Second)
		a := account{registry: "docker.io"}
		enter := func() *pass {
			t.Helper()
			p, err := g.enter(t.Context(), a, pull)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		left := func(p *pass, n int) {
			p.answered(http.StatusOK, http.Header{"Ratelimit-Limit": {"100;w=21600"}, "Ratelimit-Remaining": {fmt.Sprint(n)}})
			p.leave()
		}
		slow, quick := enter(), enter()
		left(quick, 12) // two more than are kept, of which the slow one may take one
		last := enter()
		if _, err := g.enter(t.Context(), a, pull); !rateLimited(err) {
			t.Errorf("a third one pulls: %v", err)
		}
		last.leave() // without an answer
		if g.sounds(a) {
			t.Error("somebody asks while the slow one pulls")
		}
		slow.leave()
		if !g.sounds(a) {
			t.Error("nobody asks whether there are more")
		}
	})
}

// TestZones hide no address: which interface leads there does not matter.
func TestZones(t *testing.T) {
	g := newGuard(Config{DenyAddresses: []string{"fd12::/64"}}, nil)
	for address, listed := range map[string]bool{"fd00:ec2::254%eth0": true, "fd12::1%eth0": false, "::1%lo": false} {
		a, err := netip.ParseAddr(address)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.check(a, listed, "x"); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestHelperKnowsNone however a helper spells it.
func TestHelperKnowsNone(t *testing.T) {
	program(t, "polite", `echo "Credentials not found in the vault."; exit 1`)
	found, err := docker(t, `{"credsStore":"polite"}`).Lookup(t.Context(), "quay.io/app")
	if err != nil || len(found) != 0 {
		t.Errorf("got %v, %v", found, err)
	}
}

// TestOneGateForAllSpellings of a host: a tenant's spelling does not get round its limit.
func TestOneGateForAllSpellings(t *testing.T) {
	c := New(Config{})
	accounts := make(map[account]bool)
	for _, repo := range []string{"quay.io/app", "Quay.IO/app"} {
		p, err := c.place(c.operation(nil), repo)
		if err != nil {
			t.Fatal(err)
		}
		accounts[p.account(Credential{})] = true
	}
	if len(accounts) != 1 {
		t.Errorf("%d accounts at one registry", len(accounts))
	}
}
