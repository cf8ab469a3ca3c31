package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var hexes = strings.Repeat("0123456789abcdef", 4)

func TestDecode(t *testing.T) {
	d := func(mediaType string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":"sha256:%s","size":1}`, mediaType, hexes)
	}
	const layer, config = "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.config.v1+json"
	image := func(config, layers string) string {
		return `{"schemaVersion":2,"config":` + config + `,"layers":[` + layers + `]}`
	}
	tests := []struct {
		name, body string
		err        error
		index      bool
	}{
		{name: "image", body: image(d(config), d(layer))},
		{name: "docker", body: image(d("application/vnd.docker.container.image.v1+json"), d("application/vnd.docker.image.rootfs.diff.tar.gzip"))},
		{name: "foreign layer", body: image(d(config), d("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"))},
		{name: "zstd", body: image(d(config), d("application/vnd.oci.image.layer.v1.tar+zstd"))},
		{name: "old config type", body: image(d("application/octet-stream"), d(layer))},
		{name: "index", body: `{"schemaVersion":2,"manifests":[` + d("application/vnd.oci.image.manifest.v1+json") + `]}`, index: true},
		{name: "index by content, whatever it says it is", body: `{"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[` + d("x") + `]}`, index: true},
		{name: "both", body: `{"manifests":[` + d("x") + `],"config":` + d(config) + `}`, err: ErrInvalid},
		{name: "both by layers", body: `{"manifests":[],"layers":[]}`, err: ErrInvalid},
		{name: "neither", body: `{"schemaVersion":2}`, err: ErrInvalid},
		{name: "schema 1", body: `{"schemaVersion":1,"fsLayers":[{"blobSum":"x"}]}`, err: ErrUnsupported},
		{name: "artifact manifest", body: `{"blobs":[]}`, err: ErrUnsupported},
		{name: "artifact by its config", body: image(d("application/vnd.cncf.helm.config.v1+json"), d(layer)), err: ErrUnsupported},
		{name: "artifact by its layer", body: image(d(config), d("application/vnd.in-toto+json")), err: ErrUnsupported},
		{name: "encrypted", body: image(d(config), d(layer+"+encrypted")), err: ErrUnsupported},
		{name: "no layers", body: image(d(config), ""), err: ErrUnsupported},
		{name: "as many layers as a node can mount", body: image(d(config), strings.Repeat(d(layer)+",", 511)+d(layer))},
		{name: "more layers", body: image(d(config), strings.Repeat(d(layer)+",", 512)+d(layer)), err: ErrTooLarge},
		{name: "digest that climbs", body: strings.Replace(image(d(config), d(layer)), hexes, "../../x", 1), err: ErrInvalid},
		{name: "digest that is none", body: strings.Replace(image(d(config), d(layer)), "sha256:", "md5:", 1), err: ErrInvalid},
		{name: "negative size", body: strings.Replace(image(d(config), d(layer)), `"size":1`, `"size":-1`, 1), err: ErrInvalid},
		{name: "no JSON", body: "<html>", err: ErrInvalid},
		{name: "empty", err: ErrInvalid},
		{name: "null", body: "null", err: ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := decode([]byte(tt.body))
			if err == nil && !m.isIndex() {
				err = m.runnable()
			}
			if !errors.Is(err, tt.err) || err == nil && m.isIndex() != tt.index {
				t.Errorf("got %+v, %v; want %v", m, err, tt.err)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	all := []string{"linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/amd64/v3", "linux/amd64", "linux/arm64/v8", "linux/386", "windows/amd64", "linux/ppc64le", "unknown/unknown"}
	node := func(s string) Platform {
		part := append(strings.Split(s, "/"), "", "")
		return Platform{OS: part[0], Architecture: part[1], Variant: part[2]}
	}
	tests := []struct {
		name, node string
		children   []string // "": no platform
		want       string
		err        error
	}{
		{name: "amd64", node: "linux/amd64", children: all, want: "linux/amd64"},
		{name: "amd64/v1 by name", node: "linux/amd64", children: []string{"linux/amd64/v2", "linux/amd64/v1"}, want: "linux/amd64/v1"},
		{name: "amd64, only newer", node: "linux/amd64", children: []string{"linux/amd64/v3", "linux/amd64/v2", "linux/arm"}, want: "linux/amd64/v2"},
		{name: "amd64/v2 never newer", node: "linux/amd64/v2", children: []string{"linux/amd64/v3", "linux/amd64/v1"}, want: "linux/amd64/v1"},
		{name: "amd64/v2, all newer", node: "linux/amd64/v2", children: []string{"linux/amd64/v3", "linux/arm"}, err: ErrUnsupported},
		{name: "arm, unknown variant", node: "linux/arm", children: all, want: "linux/arm/v7"},
		{name: "arm/v6", node: "linux/arm/v6", children: all, want: "linux/arm/v6"},
		{name: "arm/v6, only v5 and v7", node: "linux/arm/v6", children: []string{"linux/arm/v7", "linux/arm/v5"}, want: "linux/arm/v5"},
		{name: "arm64", node: "linux/arm64", children: all, want: "linux/arm64/v8"},
		{name: "arm64 without variant", node: "linux/arm64/v8", children: []string{"linux/arm64", "linux/amd64"}, want: "linux/arm64"},
		{name: "arm64 runs arm", node: "linux/arm64", children: []string{"linux/arm/v6", "linux/arm/v7", "linux/amd64"}, want: "linux/arm/v7"},
		{name: "amd64 runs 386", node: "linux/amd64", children: []string{"linux/arm", "linux/386"}, want: "linux/386"},
		{name: "amd64 before 386", node: "linux/amd64", children: []string{"linux/386", "linux/amd64/v2"}, want: "linux/amd64/v2"},
		{name: "no such", node: "linux/s390x", children: all, err: ErrUnsupported},
		{name: "no such, one child", node: "linux/s390x", children: []string{"linux/amd64"}, err: ErrUnsupported},
		{name: "one child without platform", node: "linux/arm64", children: []string{""}, want: ""},
		{name: "several, some without platform", node: "linux/arm64", children: []string{"", "linux/arm64"}, want: "linux/arm64"},
		{name: "several without platform", node: "linux/arm64", children: []string{"", ""}, err: ErrUnsupported},
		{name: "unknown node, one child", node: "", children: []string{"linux/arm64", "unknown/unknown"}, want: "linux/arm64"},
		{name: "unknown node", node: "", children: all, err: ErrUnknownPlatform},
		{name: "unknown node, Windows", node: "", children: []string{"windows/amd64"}, err: ErrUnsupported},
		{name: "only attestations", node: "linux/amd64", children: []string{"unknown/unknown"}, err: ErrUnsupported},
		{name: "empty", node: "linux/amd64", err: ErrUnsupported},
		{name: "called an attestation, first", node: "linux/amd64", children: []string{"linux/amd64/v1 attests", "linux/amd64"}, want: "linux/amd64/v1 attests"},
		{name: "only called an attestation", node: "linux/amd64", children: []string{"linux/arm64", "linux/amd64 attests"}, want: "linux/amd64 attests"},
		{name: "an attestation without platform", node: "linux/amd64", children: []string{" attests", ""}, want: ""},
		{name: "x86_64", node: "linux/amd64", children: []string{"linux/x86_64", "linux/amd64"}, want: "linux/x86_64"},
		{name: "x86-64", node: "linux/amd64", children: []string{"linux/386", "linux/x86-64"}, want: "linux/x86-64"},
		{name: "capitals", node: "linux/amd64", children: []string{"Linux/AMD64", "linux/amd64"}, want: "Linux/AMD64"},
		{name: "capitals of the variant", node: "linux/arm/v7", children: []string{"linux/arm/v6", "linux/arm/V7"}, want: "linux/arm/V7"},
		{name: "the node's spelling", node: "Linux/aarch64", children: []string{"linux/arm", "linux/arm64"}, want: "linux/arm64"},
		{name: "aarch64", node: "linux/arm64", children: []string{"linux/arm", "linux/aarch64"}, want: "linux/aarch64"},
		{name: "i386", node: "linux/386", children: []string{"linux/amd64", "linux/i386"}, want: "linux/i386"},
		{name: "armhf", node: "linux/arm/v7", children: []string{"linux/armel", "linux/armhf"}, want: "linux/armhf"},
		{name: "armel", node: "linux/arm/v6", children: []string{"linux/armhf", "linux/armel"}, want: "linux/armel"},
		{name: "no operating system", node: "linux/amd64", children: []string{"/amd64", "linux/amd64"}, want: "/amd64"},
		{name: "nothing said", node: "linux/amd64", children: []string{"/", "linux/amd64"}, want: "linux/amd64"},
		{name: "macos", node: "darwin/arm64", children: []string{"linux/arm64", "macos/arm64"}, want: "macos/arm64"},
		{name: "Windows in capitals", node: "", children: []string{"Windows/amd64"}, err: ErrUnsupported},
		{name: "unknown in capitals", node: "linux/amd64", children: []string{"Unknown/Unknown"}, err: ErrUnsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := []any{}
			for i, c := range tt.children {
				d := map[string]any{"digest": fmt.Sprintf("sha256:%064x", i), "size": 1}
				c, attests := strings.CutSuffix(c, " attests")
				if attests {
					d["annotations"] = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
				}
				if p := node(c); c != "" {
					d["platform"] = map[string]any{"os": p.OS, "architecture": p.Architecture, "variant": p.Variant}
				}
				list = append(list, d)
			}
			body, err := json.Marshal(map[string]any{"manifests": list})
			if err != nil {
				t.Fatal(err)
			}
			m, err := decode(body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.choose(node(tt.node))
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			var i int
			if _, err := fmt.Sscanf(got.Digest.Encoded(), "%x", &i); err != nil || tt.children[i] != tt.want {
				t.Errorf("got %s, want %s", tt.children[i], tt.want)
			}
		})
	}
}

// TestChooseSaysWhatIsThere names the platforms of an index that lacks the node's,
// in bounds, whatever stands in it.
func TestChooseSaysWhatIsThere(t *testing.T) {
	child := func(os, arch, variant string) descriptor {
		return descriptor{Platform: &v1.Platform{OS: os, Architecture: arch, Variant: variant}}
	}
	tests := []struct {
		children []descriptor
		want     string
	}{
		{[]descriptor{child("linux", "amd64", ""), child("linux", "arm", "v7"), {}, child("unknown", "unknown", "")},
			`unsupported image: no manifest for linux/s390x in the index, it has "linux/amd64", "linux/arm/v7", "unknown"`},
		{[]descriptor{child("a\n", strings.Repeat("b", 1<<20), "")},
			`unsupported image: no manifest for linux/s390x in the index, it has "a\n/` + strings.Repeat("b", 37) + `"`},
		{slices.Repeat([]descriptor{child("linux", "386", "")}, 1000),
			`unsupported image: no manifest for linux/s390x in the index, it has ` + strings.Repeat(`"linux/386", `, 12) + "988 more"},
	}
	for _, tt := range tests {
		m := &manifest{Manifests: tt.children}
		if _, err := m.choose(Platform{OS: "linux", Architecture: "s390x"}); err == nil || err.Error() != tt.want {
			t.Errorf("\n got %v\nwant %s", err, tt.want)
		}
	}
}

// FuzzDecode reads what a registry may send; whatever is accepted has layers with
// digests that make safe addresses.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"","digest":"sha256:`+hexes+`","size":1},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:`+hexes+`","size":1}]}`), "linux", "amd64")
	f.Add([]byte(`{"manifests":[{"digest":"sha256:`+hexes+`","size":1,"platform":{"os":"linux","architecture":"arm","variant":"v7"},"data":"e30="}]}`), "linux", "arm64")
	f.Fuzz(func(t *testing.T, body []byte, os, arch string) {
		m, err := decode(body)
		if err != nil {
			if !Permanent(err) {
				t.Errorf("%v is not permanent", err)
			}
			return
		}
		if m.isIndex() {
			child, err := m.choose(Platform{OS: os, Architecture: arch})
			if err == nil && !validDigest(child.Digest.String()) {
				t.Errorf("chose %+v", child)
			}
			return
		}
		if m.runnable() != nil {
			return
		}
		for _, l := range append(m.Layers, *m.Config) {
			if !validDigest(l.Digest.String()) || l.Size < 0 {
				t.Errorf("layer %+v", l)
			}
		}
	})
}
