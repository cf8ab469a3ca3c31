package image_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/clairwatch/clairwatch/sandbox/image"
)

// files reads what each layer holds; a folder's name ends in "/".
func files(t *testing.T, built v1.Image) []map[string]string {
	t.Helper()
	layers, err := built.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for archive := tar.NewReader(content); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			found[header.Name] = string(text)
		}
		content.Close()
		all = append(all, found)
	}
	return all
}

func TestBuild(t *testing.T) {
	zlib := image.Package{Name: "zlib1g", Version: "1:1.2.13.dfsg-1", Source: "zlib"}
	rebuilt := image.Package{Name: "login", Version: "1:4.13+dfsg1-1+b1", Source: "shadow", SourceVersion: "1:4.13+dfsg1-1"}
	tests := []struct {
		name string
		spec image.Spec
		want []map[string]string // for each layer, files and a part of their content
	}{
		{"debian", image.Spec{Release: image.Bookworm, Base: []image.Package{zlib}, App: []image.Package{rebuilt}}, []map[string]string{
			{
				"etc/os-release":                   "VERSION_CODENAME=bookworm\n",
				"var/lib/dpkg/status":              "Package: zlib1g\nStatus: install ok installed\nPriority: optional\nMaintainer: Debian <debian-devel@lists.debian.org>\nArchitecture: amd64\nSource: zlib\nVersion: 1:1.2.13.dfsg-1\n",
				"var/lib/dpkg/info/":               "",
				"var/lib/dpkg/info/zlib1g.md5sums": "usr/share/doc/zlib1g/copyright\n",
			},
			{
				"var/lib/dpkg/status":             "Source: shadow (1:4.13+dfsg1-1)\nVersion: 1:4.13+dfsg1-1+b1\n",
				"var/lib/dpkg/info/login.list":    "/usr/share/doc/login/copyright\n",
				"usr/share/doc/login/copyright":   "login",
				"usr/share/doc/login/":            "",
				"var/lib/dpkg/info/":              "",
				"var/lib/dpkg/info/login.md5sums": "usr/share/doc/login/copyright\n",
			},
		}},
		{"alpine for arm64", image.Spec{Release: image.Alpine320, Arch: "arm64", Base: []image.Package{{Name: "libssl3", Version: "3.3.0-r2", Source: "openssl"}}}, []map[string]string{
			{
				"etc/os-release":       "PRETTY_NAME=\"Alpine Linux v3.20\"\n",
				"lib/apk/db/installed": "\nP:libssl3\nV:3.3.0-r2\nA:aarch64\nS:1\nI:1\nT:libssl3\nU:https://alpinelinux.org/\nL:MIT\no:openssl\nt:1717243200\n",
			},
		}},
		{"distroless", image.Spec{Release: image.Bookworm, Distroless: true, Base: []image.Package{zlib}}, []map[string]string{
			{"etc/os-release": "ID=debian", "var/lib/dpkg/status.d/zlib1g": "Package: zlib1g\nPriority"},
		}},
		{"no packages", image.Spec{Files: map[string]string{"app/server": "x"}, RepeatLayer: true}, []map[string]string{
			{"app/": "", "app/server": "x"}, {"app/": "", "app/server": "x"},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			built, err := image.Build(test.spec)
			if err != nil {
				t.Fatal(err)
			}
			got := files(t, built)
			if len(got) != len(test.want) {
				t.Fatalf("%d layers, want %d", len(got), len(test.want))
			}
			for i, want := range test.want {
				for path, part := range want {
					if text, ok := got[i][path]; !ok || !strings.Contains(text, part) {
						t.Errorf("layer %d: %s is %q, want it to hold %q", i, path, text, part)
					}
				}
			}
			again, err := image.Build(test.spec)
			if err != nil {
				t.Fatal(err)
			}
			first, err := built.Digest()
			if err != nil {
				t.Fatal(err)
			}
			if second, err := again.Digest(); err != nil || first != second {
				t.Errorf("built twice: %s and %s, %v", first, second, err)
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	for want, spec := range map[string]image.Spec{
		"packages need a release":           {Base: image.AlpineBase()},
		"an image needs a release or files": {},
		`unknown release "trixie"`:          {Release: "trixie"},
	} {
		if _, err := image.Build(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", spec, err, want)
		}
	}
}

func TestUpgrade(t *testing.T) {
	base := image.BookwormBase()
	upgraded, err := image.Upgrade(base, "util-linux", "2.38.1-5+deb12u1")
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for i, p := range upgraded {
		if p != base[i] {
			changed++
			if p.Source != "util-linux" || p.Version != "2.38.1-5+deb12u1" || p.SourceVersion != "" {
				t.Errorf("upgraded %+v to %+v", base[i], p)
			}
		}
	}
	if changed != 3 {
		t.Errorf("%d packages changed, want 3", changed)
	}
	if _, err := image.Upgrade(base, "nginx", "1"); err == nil {
		t.Error("upgrading what is not installed: no error")
	}
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	samples, err := image.Samples()
	if err != nil {
		t.Fatal(err)
	}
	digests := map[v1.Hash]string{}
	for _, sample := range samples {
		reference := host + "/" + sample.Name
		pushed, err := image.Push(t.Context(), reference, sample.Artifact, authn.DefaultKeychain)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := digests[pushed]; ok {
			t.Errorf("%s and %s are the same image", sample.Name, other)
		}
		digests[pushed] = sample.Name
		ref, err := name.ParseReference(reference)
		if err != nil {
			t.Fatal(err)
		}
		found, err := remote.Get(ref, remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if found.Digest != pushed {
			t.Errorf("%s: pushed %s, the registry has %s", sample.Name, pushed, found.Digest)
		}
		if found.MediaType.IsIndex() {
			index, err := found.ImageIndex()
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Index(index); err != nil {
				t.Errorf("%s: %v", sample.Name, err)
			}
			continue
		}
		pulled, err := found.Image()
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(pulled); err != nil {
			t.Errorf("%s: %v", sample.Name, err)
		}
	}
	if want := []string{
		image.PaymentsLedger, image.PaymentsLegacy, image.PlatformGate, image.PlatformProxy,
		image.PlatformStatic, image.ShopAPI, image.ShopWeb, image.ShopWorker,
	}; !slices.Equal(slices.Sorted(maps.Values(digests)), want) {
		t.Errorf("samples are %v", digests)
	}
	if _, err := image.Push(t.Context(), "no/registry", samples[0].Artifact, nil); err == nil || !strings.Contains(fmt.Sprint(err), "pushing") {
		t.Errorf("pushing without a registry: %v", err)
	}
}

// TestFleet makes images that are all different, the same ones each time, and what is no image.
func TestFleet(t *testing.T) {
	const n = 40
	seen := make(map[string]string)
	for range 2 {
		fleet, err := image.Fleet(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range fleet {
			digest, err := s.Artifact.Digest()
			if err != nil {
				t.Fatal(err)
			}
			if before, ok := seen[digest.String()]; ok && before != s.Name {
				t.Errorf("%s and %s are one image", before, s.Name)
			}
			seen[digest.String()] = s.Name
		}
	}
	if len(seen) != n {
		t.Errorf("%d images, want %d", len(seen), n)
	}
	for _, odd := range []func(string) (v1.Image, error){image.Chart, image.Rubble} {
		digests := make(map[string]bool)
		for _, name := range []string{"a", "b", "a"} {
			img, err := odd(name)
			if err != nil {
				t.Fatal(err)
			}
			digest, err := img.Digest()
			if err != nil {
				t.Fatal(err)
			}
			digests[digest.String()] = true
		}
		if len(digests) != 2 {
			t.Errorf("two names are %d manifests", len(digests))
		}
	}
}
