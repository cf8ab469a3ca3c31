package registries

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
)

// n is a number of requests: for manifests and for layers at the registry, and for
// tokens at its token server.
type n struct{ manifests, layers, tokens int }

// costs are what images of ten layers cost until Clair can be given all of them: the
// first one at a registry, the second of its repository, one of another repository, the
// first one again, one that the process before had resolved, and one of which Clair was
// refused a layer.
type costs struct{ cold, warm, another, again, memory, renewed n }

// What each way to let somebody in costs where Clair can be sent to the registry.
var (
	openImage = costs{cold: n{1, 0, 0}, warm: n{1, 0, 0}, another: n{1, 0, 0}, memory: n{1, 0, 0}, renewed: n{1, 0, 0}}
	openIndex = costs{cold: n{2, 0, 0}, warm: n{2, 0, 0}, another: n{2, 0, 0}, memory: n{1, 0, 0}, renewed: n{1, 0, 0}}

	passwordsImage = costs{cold: n{2, 0, 0}, warm: n{1, 0, 0}, another: n{1, 0, 0}, memory: n{2, 0, 0}, renewed: n{1, 0, 0}}
	passwordsIndex = costs{cold: n{3, 0, 0}, warm: n{2, 0, 0}, another: n{2, 0, 0}, memory: n{2, 0, 0}, renewed: n{1, 0, 0}}

	tokensImage = costs{cold: n{2, 0, 1}, warm: n{1, 0, 0}, another: n{1, 0, 1}, memory: n{2, 0, 1}, renewed: n{1, 0, 1}}
	tokensIndex = costs{cold: n{3, 0, 1}, warm: n{2, 0, 0}, another: n{2, 0, 1}, memory: n{2, 0, 1}, renewed: n{1, 0, 1}}
)

// asking are the costs where in addition the registry is asked for so many layers.
func (c costs) asking(layers int) costs {
	for _, n := range []*n{&c.cold, &c.warm, &c.another, &c.again, &c.memory, &c.renewed} {
		n.layers += layers
	}
	return c
}

// kinds are all kinds of registries.
var kinds = []kind{
	{name: "open", image: openImage, index: openIndex},
	{name: "open with a store", store: anotherHost, image: openImage, index: openIndex},
	{
		// The one layer shows that a password is needed.
		name: "passwords", auth: sandbox.Passwords, sources: registry.ErrForward,
		image: passwordsImage.asking(1), index: passwordsIndex.asking(1),
	},
	{
		name: "passwords that Clair may have", auth: sandbox.Passwords, forward: true,
		image: passwordsImage, index: passwordsIndex,
	},
	{
		name: "passwords with a store", auth: sandbox.Passwords, store: anotherHost,
		image: passwordsImage.asking(layers), index: passwordsIndex.asking(layers),
	},
	{name: "tokens", auth: sandbox.Tokens, image: tokensImage, index: tokensIndex},
	{name: "tokens with a store", auth: sandbox.Tokens, store: anotherHost, image: tokensImage, index: tokensIndex},
	{
		name: "tokens with a store on its host", auth: sandbox.Tokens, store: anotherPort, refused: true,
		image: tokensImage, index: tokensIndex,
	},
	{
		name: "tokens with a store on its host, resolved", auth: sandbox.Tokens, store: anotherPort, resolve: true,
		image: tokensImage.asking(layers), index: tokensIndex.asking(layers),
	},
}

// cost counts the requests since the last call.
func (s *site) cost(when string, want n) {
	s.Helper()
	var got n
	var seen []string
	for _, e := range s.gate.Exchanges() {
		seen = append(seen, fmt.Sprintf("%s %s: %d", e.Method, e.Path, e.Status))
		switch {
		case e.Server == sandbox.BeforeTokens:
			got.tokens++
		case e.Server == sandbox.BeforeRegistry && strings.Contains(e.Path, "/blobs/"):
			got.layers++
		case e.Server == sandbox.BeforeRegistry && strings.Contains(e.Path, "/manifests/"):
			got.manifests++
		default:
			s.Errorf("%s: %s was asked for %s", when, e.Server, e.Path)
		}
	}
	if got != want {
		s.Errorf("%s: %+v requests, want %+v:\n%s", when, got, want, strings.Join(seen, "\n"))
	}
	s.gate.Forget()
}

// testRequests counts what images cost, or indexes.
func testRequests(s *site, index bool, want costs) {
	contents := image.Package{Name: "app", Version: "1-r0"}
	here, there := s.newImage(contents, "amd64", layers), s.newImage(contents, "arm64", layers)
	push := func(repo, tag string) (registry.Identity, v1.Image) {
		s.Helper()
		img := s.labelled(here, tag)
		if !index {
			return s.push(repo, tag, img), img
		}
		both, err := image.Index(img, there)
		if err != nil {
			s.Fatal(err)
		}
		return s.push(repo, tag, both), img
	}
	repo := fmt.Sprintf("team/counted-%t", index)
	first, pushed := push(repo, "1")
	second, _ := push(repo, "2")
	other, _ := push(repo+"-too", "1")
	s.gate.Forget()

	c, credentials := s.client(), s.credentials()
	var img *registry.Image
	sources := func(c *registry.Client) {
		s.Helper()
		found, _, err := c.Sources(s.Context(), img, credentials, 0)
		if !errors.Is(err, s.sources) || err == nil && len(found) != layers {
			s.Fatalf("%d sources, %v; want %d, %v", len(found), err, layers, s.sources)
		}
	}
	for _, step := range []struct {
		when string
		id   registry.Identity
		want n
	}{
		{"cold", first, want.cold}, {"warm", second, want.warm}, {"another repository", other, want.another},
		{"again", first, want.again},
	} {
		img = s.find(c, step.id, amd64)
		sources(c)
		s.cost(step.when, step.want)
	}
	s.find(c, second, amd64)
	s.cost("known to Clair", n{}) // which then needs no layers
	sources(s.client())
	s.cost("after a restart", want.memory)
	c.Renew(img)
	sources(c)
	s.cost("refused to Clair", want.renewed)

	s.same(s.find(c, first, amd64), pushed)
	if index { // has an image of its own on a node of another architecture
		s.same(s.find(c, first, arm64), there)
	}
}

// same compares what was found with what was pushed.
func (s *site) same(found *registry.Image, pushed v1.Image) {
	s.Helper()
	digest, err := pushed.Digest()
	if err != nil {
		s.Fatal(err)
	}
	if found.Digest != digest.String() || len(found.Layers) != layers {
		s.Errorf("found %s with %d layers, want %s with %d", found.Digest, len(found.Layers), digest, layers)
	}
}

// testWrongPassword asks with credentials that the registry does not take, and with none.
func testWrongPassword(s *site) {
	id := s.push("team/refused", "1", s.newImage(image.Package{Name: "app", Version: "1-r0"}, "amd64", 1))
	const password = "that-of-yesterday"
	for _, test := range []struct {
		name        string
		credentials registry.Credentials
		passwords   n // where these are wanted
		tokens      n
	}{
		{"wrong", lent{{Username: s.User, Password: password}}, n{manifests: 2}, n{manifests: 1, tokens: 2}},
		{"none", nil, n{manifests: 1}, n{manifests: 1, tokens: 1}},
		{"right ones beside", lent{{Username: s.User, Password: password}, {Username: s.User, Password: s.Password}},
			n{manifests: 3}, n{manifests: 2, tokens: 2}},
	} {
		s.gate.Forget()
		_, err := s.client().Resolve(s.Context(), id, amd64, test.credentials)
		switch {
		case test.name == "right ones beside":
			if err != nil {
				s.Errorf("%s: %v", test.name, err)
			}
		case !errors.Is(err, registry.ErrUnauthorized) || strings.Contains(err.Error(), password):
			s.Errorf("%s: %v, want %v, without the password", test.name, err, registry.ErrUnauthorized)
		}
		if s.auth == sandbox.Passwords {
			s.cost(test.name, test.passwords)
		} else {
			s.cost(test.name, test.tokens)
		}
	}
}

// lent are credentials for all repositories.
type lent []registry.Credential

// Lookup is registry.Credentials'.
func (l lent) Lookup(context.Context, string) ([]registry.Credential, error) { return l, nil }

// testToken shows that what Clair is given opens one repository to who pulls, although
// the user may push to all.
func testToken(s *site) {
	img := s.newImage(image.Package{Name: "app", Version: "1-r0"}, "amd64", 1)
	c := s.client()
	resolved := s.find(c, s.push("team/given", "1", img), amd64)
	s.push("team/hidden", "1", img)
	sources, until, err := c.Sources(s.Context(), resolved, s.credentials(), 0)
	if err != nil {
		s.Fatal(err)
	}
	if until.IsZero() {
		s.Error("the token never ends")
	}
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "team/given/manifests/1", http.StatusOK},
		{http.MethodPost, "team/given/blobs/uploads/", http.StatusUnauthorized},
		{http.MethodDelete, "team/given/manifests/" + resolved.Digest, http.StatusUnauthorized},
		{http.MethodGet, "team/hidden/manifests/1", http.StatusUnauthorized},
		{http.MethodGet, "team/hidden/blobs/" + resolved.Layers[0].Digest, http.StatusUnauthorized},
		{http.MethodPost, "team/hidden/blobs/uploads/?mount=" + resolved.Layers[0].Digest + "&from=team/given", http.StatusUnauthorized},
		{http.MethodGet, "_catalog", http.StatusUnauthorized},
	} {
		r, err := http.NewRequestWithContext(s.Context(), test.method, "http://"+s.Host+"/v2/"+test.path, nil)
		if err != nil {
			s.Fatal(err)
		}
		r.Header = sources[0].Header.Clone()
		r.Header.Set("Accept", string(types.OCIManifestSchema1))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			s.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != test.want {
			s.Errorf("%s %s: %d, want %d", test.method, test.path, resp.StatusCode, test.want)
		}
	}
}
