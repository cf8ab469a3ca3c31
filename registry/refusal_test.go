package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
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

// TestWordsOfRefusals say what a registry has said, and to whom credentials can be given.
func TestWordsOfRefusals(t *testing.T) {
	stale := []registry.Credential{{Username: "ada", Password: "secret-old"}}
	many := make([]registry.Credential, 16)
	for i := range many {
		many[i] = registry.Credential{Username: "ada", Password: fmt.Sprint("secret", i)}
	}
	tests := []struct {
		name        string
		mode        mode
		deny        int
		credentials []registry.Credential
		candidates  int
		want        string
	}{
		{"nobody's", tokenAuth, 0, nil, 1, "unauthorized at registry R for repository R/app: add an image pull secret to the pod, or credentials for it to the daemon's docker config (dockerConfig)"},
		{"refused", tokenAuth, 0, stale, 1, "unauthorized at registry R for repository R/app: it refused the credentials of the pod's image pull secrets and of the daemon's docker config (dockerConfig); renew them"},
		{"missing", basicAuth, http.StatusNotFound, stale, 1, "manifest D not found at registry R for repository R/app: push it again if it was deleted there, or add credentials that may see it to the image pull secrets of the pod or to the daemon's docker config (dockerConfig)"},
		{"too many", basicAuth, http.StatusNotFound, many, 3, "unauthorized at registry R for repository R/app2: given up after 40 requests, because it redirects too often or refuses too many credentials: keep only those that are right in the pod's image pull secrets and the daemon's docker config (dockerConfig)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.mode)
			f.deny = tt.deny
			id := f.images("app", 1)[0]
			for i := 1; i < tt.candidates; i++ {
				id.Candidates = append(id.Candidates, registry.Candidate{Repo: fmt.Sprintf("%s/app%d", f.host(), i), Digest: id.ID})
			}
			_, err := f.client(f.config()).Resolve(t.Context(), id, amd64, &lender{credentials: tt.credentials})
			if err == nil || !registry.Permanent(err) {
				t.Fatalf("got %v", err)
			}
			if got := strings.NewReplacer(f.host(), "R", id.ID, "D").Replace(err.Error()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
