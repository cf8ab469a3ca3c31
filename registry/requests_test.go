package registry_test

import (
	"errors"
	"testing"

	"github.com/clairwatch/clairwatch/registry"
)

// TestRequestsOfTenLayers counts what an image of ten layers costs at each kind of
// registry until Clair can be given all of them: the first one there, the second of
// its repository, one of another repository, one that has been resolved before, by
// this process or, as the ledger has it, by the one before.
func TestRequestsOfTenLayers(t *testing.T) {
	tests := []struct {
		name                               string
		mode                               mode
		redirect, index                    bool
		cold, warm, another, again, memory int
		err                                error
	}{
		{name: "tokens, image", mode: tokenAuth, cold: 3, warm: 1, another: 2, memory: 3},
		{name: "tokens, index", mode: tokenAuth, index: true, cold: 4, warm: 2, another: 3, memory: 3},
		{name: "tokens, redirecting, image", mode: tokenAuth, redirect: true, cold: 3, warm: 1, another: 2, memory: 3},
		{name: "tokens, redirecting, index", mode: tokenAuth, redirect: true, index: true, cold: 4, warm: 2, another: 3, memory: 3},
		// The one more is that of the first layer, which shows that a password is needed.
		{name: "passwords, image", mode: basicAuth, cold: 2 + 1, warm: 1 + 1, another: 1 + 1, again: 1, memory: 2 + 1, err: registry.ErrForward},
		{name: "passwords, index", mode: basicAuth, index: true, cold: 3 + 1, warm: 2 + 1, another: 2 + 1, again: 1, memory: 2 + 1, err: registry.ErrForward},
		{name: "passwords, redirecting, image", mode: basicAuth, redirect: true, cold: 2 + 10, warm: 1 + 10, another: 1 + 10, again: 10, memory: 2 + 10},
		{name: "passwords, redirecting, index", mode: basicAuth, redirect: true, index: true, cold: 3 + 10, warm: 2 + 10, another: 2 + 10, again: 10, memory: 2 + 10},
		{name: "open, image", mode: open, cold: 1, warm: 1, another: 1, memory: 1},
		{name: "open, index", mode: open, index: true, cold: 2, warm: 2, another: 2, memory: 1},
		{name: "open, redirecting, image", mode: open, redirect: true, cold: 1, warm: 1, another: 1, memory: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.mode)
			f.redirect = tt.redirect
			f.users["ada"] = user{"secret-password", []string{"team/app", "team/other"}}
			ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
			push := func(repo, tag string) registry.Identity {
				if !tt.index {
					return f.identify(repo, tag, f.image(repo, tag, 10))
				}
				index, _ := f.indexOf(10, repo, tag, "linux/amd64", "linux/arm64")
				return f.identify(repo, tag, index)
			}
			first, second, other := push("team/app", "1"), push("team/app", "2"), push("team/other", "1")
			c := f.client(f.config())
			var image *registry.Image
			layers := func(c *registry.Client) {
				t.Helper()
				sources, _, err := c.Sources(t.Context(), image, ada, 0)
				if !errors.Is(err, tt.err) || err == nil && len(sources) != 10 {
					t.Fatalf("%d sources, %v; want 10, %v", len(sources), err, tt.err)
				}
			}
			cost := func(when string, want int) {
				t.Helper()
				if got := f.requests(); len(got) != want {
					t.Errorf("%s: %d requests, want %d: %q", when, len(got), want, got)
				}
			}
			for _, of := range []struct {
				when string
				id   registry.Identity
				want int
			}{
				{"cold", first, tt.cold}, {"warm", second, tt.warm}, {"another repository", other, tt.another},
				{"again", first, tt.again},
			} {
				image = resolve(t, c, of.id, amd64, ada)
				layers(c)
				cost(of.when, of.want)
			}
			resolve(t, c, second, amd64, ada)
			cost("known", 0) // its layers are not needed where Clair knows it
			restarted := f.client(f.config())
			layers(restarted)
			cost("after a restart", tt.memory)
		})
	}
}

// TestOneRequestForEachLayer asks once for one that is listed twice.
func TestOneRequestForEachLayer(t *testing.T) {
	f := newFake(t, basicAuth)
	f.redirect = true
	f.users["ada"] = user{"secret-password", []string{"app"}}
	ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	c := f.client(f.config())
	image := *resolve(t, c, f.identify("app", "1", f.image("app", "1", 2)), amd64, ada)
	f.requests()
	image.Layers = append(image.Layers, image.Layers...)
	sources, _, err := c.Sources(t.Context(), &image, ada, 0)
	if err != nil || len(sources) != 4 || sources[0].URI != sources[2].URI {
		t.Errorf("%v, %v", sources, err)
	}
	f.want("GET blob", "GET blob")
}
