// Package registries tests what clairwatch asks registries for, and what it hands to
// Clair of the layers that it finds there, with Debian's docker-registry as a process of
// its own and with a real Clair.
package registries

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/gate"
	"github.com/clairwatch/clairwatch/sandbox/image"
)

// TestRegistries has one registry of each kind, and a Clair.
func TestRegistries(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postgres, Clair and registries")
	}
	if err := sandbox.FetchDockerRegistry(t.Context(), t.Logf); errors.Is(err, sandbox.ErrNoDockerRegistry) && os.Getenv("CI") == "" {
		t.Skip(err) // where a change is judged it is an error
	} else if err != nil {
		t.Fatal(err)
	}
	box, err := sandbox.Start(t.Context(), sandbox.Options{Parts: []sandbox.Part{sandbox.Clair}, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Stop(); err != nil {
			t.Errorf("stopping the sandbox: %v", err)
		}
	})
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			s := newSite(t, box, k)
			t.Run("image", func(t *testing.T) { testRequests(s.of(t), false, k.image) })
			t.Run("index", func(t *testing.T) { testRequests(s.of(t), true, k.index) })
			t.Run("Clair", func(t *testing.T) { testLayers(s.of(t)) })
			if k.auth != sandbox.NoAuth {
				t.Run("wrong password", func(t *testing.T) { testWrongPassword(s.of(t)) })
			}
			if k.auth == sandbox.Tokens && !k.resolve && !k.refused {
				t.Run("token", func(t *testing.T) { testToken(s.of(t)) })
				t.Run("void token", func(t *testing.T) { testVoidToken(s.of(t)) })
			}
		})
	}
}

var (
	amd64 = registry.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = registry.Platform{OS: "linux", Architecture: "arm64"}
)

// Where a store can be.
const (
	anotherHost = "localhost" // for who asks by name
	anotherPort = "127.0.0.1" // of the registry's host
)

// kind is a kind of registry, with what the settings say about it.
type kind struct {
	name             string
	auth             sandbox.RegistryAuth
	store            string // as in sandbox.RegistryOptions
	forward, resolve bool   // as in registry.Registry

	image, index costs
	sources      error // what there is instead of sources; nil: they are there
	refused      bool  // Clair does not get the layers with them
}

// site is a registry of a kind with what is needed to ask it.
type site struct {
	*testing.T
	kind
	*sandbox.DebianRegistry
	gate  *gate.Gate // notes who asks the registry's servers, Clair as well
	clair *sandbox.ClairServer
	asker *clair.Client
}

func newSite(t *testing.T, box *sandbox.Sandbox, k kind) *site {
	g := gate.New("")
	t.Cleanup(g.Close)
	r, err := box.AddRegistry(t.Context(), sandbox.RegistryOptions{Auth: k.auth, Store: k.store, Gate: g})
	if err != nil {
		t.Fatal(err)
	}
	asker, err := clair.New(clair.Config{URL: box.ClairURL})
	if err != nil {
		t.Fatal(err)
	}
	return &site{T: t, kind: k, DebianRegistry: r, gate: g, clair: box.Clair(), asker: asker}
}

// of is the site for another test.
func (s site) of(t *testing.T) *site {
	s.T = t
	return &s
}

// client is clairwatch's, which knows nothing yet.
func (s *site) client() *registry.Client {
	s.Helper()
	cfg := registry.Config{Registries: []registry.Registry{
		{Host: s.Host, Insecure: true, ForwardPassword: s.forward, ResolveLayers: s.resolve},
	}}
	for _, host := range []string{s.TokenHost, s.StoreHost} {
		if host != "" { // on loopback, where only what is listed may be
			cfg.Registries = append(cfg.Registries, registry.Registry{Host: host, Insecure: true})
		}
	}
	if err := cfg.Validate(); err != nil {
		s.Fatal(err)
	}
	c := registry.New(cfg)
	s.Cleanup(c.Close)
	return c
}

// credentials are those of a docker config with the user's password.
func (s *site) credentials() registry.Credentials {
	s.Helper()
	text, err := s.Credentials()
	if err != nil {
		s.Fatal(err)
	}
	path := filepath.Join(s.TempDir(), "config.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.Fatal(err)
	}
	return registry.NewConfigFile(path)
}

// layers is how many layers images have here.
const layers = 10

// newImage makes one that has the Alpine package given, and no layer of another's but
// where that has the same package.
func (s *site) newImage(contents image.Package, arch string, layers int) v1.Image {
	s.Helper()
	img, err := image.Build(image.Spec{Release: image.Alpine320, Arch: arch, Base: []image.Package{contents}})
	for range layers - 1 {
		if err != nil {
			break
		}
		var layer v1.Layer
		if layer, err = random.Layer(1000, types.OCIUncompressedLayer); err == nil {
			img, err = mutate.AppendLayers(img, layer)
		}
	}
	if err != nil {
		s.Fatal(err)
	}
	return img
}

// labelled is another image with the same layers.
func (s *site) labelled(img v1.Image, label string) v1.Image {
	s.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		s.Fatal(err)
	}
	config = config.DeepCopy()
	config.Config.Labels = map[string]string{"label": label}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		s.Fatal(err)
	}
	return img
}

// push uploads an image, or an index, and returns what containerd says of a container
// that runs it.
func (s *site) push(repo, tag string, artifact image.Artifact) registry.Identity {
	s.Helper()
	name := s.Host + "/" + repo
	digest, err := image.Push(s.Context(), name+":"+tag, artifact, s.Keychain())
	if err != nil {
		s.Fatal(err)
	}
	id, err := registry.Identify(name+":"+tag, name+"@"+digest.String())
	if err != nil {
		s.Fatal(err)
	}
	return id
}

func (s *site) find(c *registry.Client, id registry.Identity, p registry.Platform) *registry.Image {
	s.Helper()
	img, err := c.Resolve(s.Context(), id, p, s.credentials())
	if err != nil {
		s.Fatal(err)
	}
	return img
}
