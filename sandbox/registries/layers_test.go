package registries

import (
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/gate"
	"github.com/clairwatch/clairwatch/sandbox/image"
)

// pushOne pushes an image with a package of the site's own, so that Clair has seen no
// layer of it, and resolves it.
func (s *site) pushOne(c *registry.Client, name string) (*registry.Image, image.Package) {
	s.Helper()
	contents := image.Package{Name: name + "-of-" + strings.NewReplacer(" ", "-", ",", "").Replace(s.name), Version: "1-r0"}
	return s.find(c, s.push("team/"+name, "1", s.newImage(contents, "amd64", layers)), amd64), contents
}

// submit hands Clair an image with where its layers are.
func (s *site) submit(img *registry.Image, sources []registry.Source) (*claircore.IndexReport, error) {
	s.Helper()
	list := make([]clair.Layer, len(img.Layers))
	for i, l := range img.Layers {
		list[i] = clair.Layer{Digest: l.Digest, URI: sources[i].URI, Header: sources[i].Header}
	}
	return s.asker.Index(s.Context(), img.Digest, list)
}

// want is what Clair has to say of an image whose layers it has got.
func (s *site) want(contents image.Package, report *claircore.IndexReport, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%v: %s", err, detail(err))
	}
	if len(report.Packages) != 1 { // the client keeps of a package that there is one
		s.Errorf("Clair found %d packages, want %s alone", len(report.Packages), contents.Name)
	}
}

// detail is what Clair said.
func detail(err error) string {
	if e, ok := errors.AsType[*clair.Error](err); ok {
		return e.Detail()
	}
	return ""
}

// testLayers hands Clair an image. That it finds the package shows that it got the
// layers.
func testLayers(s *site) {
	c := s.client()
	img, contents := s.pushOne(c, "layers")
	sources, _, err := c.Sources(s.Context(), img, s.credentials(), 0)
	if s.sources != nil {
		if !errors.Is(err, s.sources) || len(sources) > 0 {
			s.Errorf("%d sources, %v; want none, %v", len(sources), err, s.sources)
		}
		// Clair keeps a report also of what it could not index.
		if asked, err := s.clair.Has(s.Context(), img.Digest); err != nil || asked {
			s.Errorf("Clair was asked to index the image: %v, %v", asked, err)
		}
		return
	}
	if err != nil {
		s.Fatal(err)
	}
	for _, source := range sources {
		if got, _, _ := strings.Cut(source.Header.Get("Authorization"), " "); got != s.scheme() {
			s.Errorf("Clair is given %q for %v, want %q", got, source, s.scheme())
		}
	}
	s.gate.Forget()
	report, err := s.submit(img, sources)
	if s.refused {
		if !clair.IsKind(err, clair.IndexFailed) {
			s.Errorf("%v: %s, want that Clair could not index it", err, detail(err))
		}
		if s.fetched(http.StatusBadRequest) == 0 {
			s.Error("the store refused nothing")
		}
		if asked, err := s.clair.Has(s.Context(), img.Digest); err != nil || !asked {
			s.Errorf("Clair was asked to index the image: %v, %v, want a report of why it could not", asked, err)
		}
		return
	}
	s.want(contents, report, err)
	if got := s.fetched(http.StatusOK); got != layers {
		s.Errorf("Clair fetched %d layers, want %d: %+v", got, layers, s.gate.Exchanges())
	}
}

// scheme is that of the authorization that Clair gets.
func (s *site) scheme() string {
	switch {
	case s.auth == sandbox.Tokens && !s.resolve:
		return "Bearer"
	case s.auth == sandbox.Passwords && s.forward:
		return "Basic"
	}
	return ""
}

// fetched counts the requests for layers that were answered so at the last server.
func (s *site) fetched(status int) int {
	last := gate.Pattern{Server: sandbox.BeforeRegistry, Path: regexp.MustCompile("/blobs/")}
	if s.store != "" {
		last.Server = sandbox.BeforeStore
	}
	count := 0
	for _, e := range s.gate.Matching(last) {
		if e.Status == status {
			count++
		}
	}
	return count
}

// testVoidToken has the token end that Clair gets. A new one is the remedy.
func testVoidToken(s *site) {
	c, credentials := s.client(), s.credentials()
	img, contents := s.pushOne(c, "void")
	if err := s.RevokeTokens(s.Context()); err != nil {
		s.Fatal(err)
	}
	submit := func(when string, cost n) (*claircore.IndexReport, error) {
		s.Helper()
		s.gate.Forget()
		sources, _, err := c.Sources(s.Context(), img, credentials, 0)
		if err != nil {
			s.Fatal(err)
		}
		s.cost(when, cost)
		return s.submit(img, sources)
	}
	if _, err := submit("the token of before", n{}); !clair.IsKind(err, clair.LayerUnauthorized) {
		s.Errorf("%v: %s, want that Clair is refused the layers", err, detail(err))
	}
	c.Renew(img)
	report, err := submit("a new token", n{manifests: 1, tokens: 1})
	s.want(contents, report, err)
}
