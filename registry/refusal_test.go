package registry_test

import (
	"errors"
	"testing"

	"github.com/clairwatch/clairwatch/registry"
)

// TestRefusedElsewhereToo remembers a refusal for its repository and its image only, and
// what the first of several places has refused where the second one serves.
func TestRefusedElsewhereToo(t *testing.T) {
	f := newFake(t, basicAuth)
	f.users["ada"] = user{"secret-password", []string{"app", "mirror"}}
	f.users["eve"] = user{"secret-eve", nil}
	both := &lender{credentials: []registry.Credential{{Username: "eve", Password: "secret-eve"}, {Username: "ada", Password: "secret-password"}}}
	app, mirror := f.images("app", 2), f.images("mirror", 1)[0]
	c := f.client(f.config())
	const m = "GET manifest"
	resolve(t, c, app[0], amd64, both)
	f.want(m, m, m)
	c.Renew(&registry.Image{Repo: f.host() + "/other"}) // forgets nothing of this one
	gone := registry.Identity{ID: mirror.ID, Candidates: append([]registry.Candidate{{Repo: f.host() + "/app", Digest: mirror.ID}}, mirror.Candidates...)}
	resolve(t, c, gone, amd64, both)
	f.want(m, m, m, m, m) // ada first, eve, nobody; then eve and ada
	resolve(t, c, gone, amd64, both)
	f.want()
	resolve(t, c, app[1], amd64, both)
	f.want(m, m)
}

// TestRenewAsksAgain forgets who was refused in the image's repository, and in no other.
func TestRenewAsksAgain(t *testing.T) {
	f := newFake(t, tokenAuth)
	stale := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-old"}}}
	ids := append(f.images("app", 1), f.images("other", 1)...)
	c := f.client(f.config())
	for range 2 {
		for _, id := range ids {
			if _, err := c.Resolve(t.Context(), id, amd64, stale); !errors.Is(err, registry.ErrUnauthorized) {
				t.Errorf("got %v", err)
			}
		}
	}
	f.requests()
	c.Renew(&registry.Image{Repo: f.host() + "/app"})
	for _, id := range ids {
		if _, err := c.Resolve(t.Context(), id, amd64, stale); !errors.Is(err, registry.ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
	}
	f.want("token", "token", "GET manifest")
}
