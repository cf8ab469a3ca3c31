package registry

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// accepted is the Accept header of a manifest request.
const accepted = string(types.OCIManifestSchema1) + ", " + string(types.DockerManifestSchema2) + ", " +
	string(types.OCIImageIndex) + ", " + string(types.DockerManifestList)

// manifest is an index or an image's manifest. Which of the two is told by its
// content: some registries send a wrong Content-Type.
type manifest struct {
	SchemaVersion int             `json:"schemaVersion"`
	Manifests     []descriptor    `json:"manifests"` // of an index
	Config        *descriptor     `json:"config"`    // of an image
	Layers        []descriptor    `json:"layers"`
	FSLayers      json.RawMessage `json:"fsLayers"` // of schema 1
	Blobs         json.RawMessage `json:"blobs"`    // of an artifact manifest
}

type descriptor struct {
	MediaType   types.MediaType   `json:"mediaType"`
	Digest      digest.Digest     `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *v1.Platform      `json:"platform"`
	Annotations map[string]string `json:"annotations"`
	Data        []byte            `json:"data"` // the content itself, embedded
}

// decode reads a manifest. Its errors are [ErrInvalid] and [ErrUnsupported].
func decode(body []byte) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	switch {
	case m.SchemaVersion == 1 || m.FSLayers != nil:
		return nil, fmt.Errorf("%w: schema 1; push it again with a newer tool", ErrUnsupported)
	case m.Manifests != nil && (m.Config != nil || m.Layers != nil):
		return nil, fmt.Errorf("%w: an index that is also an image", ErrInvalid)
	case m.Manifests == nil && m.Config == nil && m.Blobs != nil:
		return nil, fmt.Errorf("%w: an artifact, not an image", ErrUnsupported)
	case m.Manifests == nil && m.Config == nil:
		return nil, fmt.Errorf("%w: neither an index nor an image", ErrInvalid)
	}
	all := append(m.Manifests[:len(m.Manifests):len(m.Manifests)], m.Layers...)
	if m.Config != nil {
		all = append(all, *m.Config)
	}
	for _, d := range all {
		if !validDigest(d.Digest.String()) || d.Size < 0 {
			return nil, fmt.Errorf("%w: a digest or a size is none", ErrInvalid)
		}
	}
	return &m, nil
}

func (m *manifest) isIndex() bool { return m.Manifests != nil }

// maxLayers is more than a node can mount one over the other: overlayfs takes 500.
const maxLayers = 512

// runnable says why m is no image that Clair can index.
func (m *manifest) runnable() error {
	switch m.Config.MediaType {
	// The last four stand in old images; what they are was never doubted.
	case types.OCIConfigJSON, types.DockerConfigJSON, "application/octet-stream", "application/json", "text/html", "":
	default:
		return fmt.Errorf("%w: its config is %q, not that of an image", ErrUnsupported, m.Config.MediaType)
	}
	if len(m.Layers) == 0 {
		return fmt.Errorf("%w: it has no layers", ErrUnsupported)
	}
	if len(m.Layers) > maxLayers {
		return fmt.Errorf("%w: it has more than %d layers", ErrTooLarge, maxLayers)
	}
	for _, l := range m.Layers {
		// zstd has two types more than the library's list.
		if !l.MediaType.IsLayer() && l.MediaType != "application/vnd.docker.image.rootfs.diff.tar.zstd" &&
			l.MediaType != "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd" {
			return fmt.Errorf("%w: a layer is %q, not that of an image", ErrUnsupported, l.MediaType)
		}
	}
	return nil
}

// choose picks the child of an index that a node of platform p runs, as
// containerd does. Whether a child is an image shows in its config's media type,
// not here: some tools write that type into an ordinary child's artifactType.
//
// Nor does it show in an annotation: a child that a node would run is looked at,
// whatever it calls itself, or that would hide it from us.
func (m *manifest) choose(p Platform) (descriptor, error) {
	p = normal(p.OS, p.Architecture, p.Variant)
	images := slices.DeleteFunc(slices.Clone(m.Manifests), descriptor.attests)
	if len(images) == 0 {
		return descriptor{}, fmt.Errorf("%w: it has no image", ErrUnsupported)
	}
	if len(images) == 1 && (p.Architecture == "" || images[0].Platform == nil) {
		return linux(images[0])
	}
	if p.Architecture == "" {
		return descriptor{}, fmt.Errorf("%w: it has %d images and the platform of the node is not known; allow the daemon to watch nodes", ErrUnknownPlatform, len(images))
	}
	best, found := -1, descriptor{}
	for _, d := range images {
		if d.Platform == nil {
			continue
		}
		if r := p.rank(d.platform()); r >= 0 && (best < 0 || r < best) {
			best, found = r, d
		}
	}
	if best < 0 {
		return descriptor{}, fmt.Errorf("%w: no manifest for %s in the index, it has %s", ErrUnsupported, p, platforms(images))
	}
	return linux(found)
}

// platform is d's as it is compared; the zero value where d has none.
func (d descriptor) platform() Platform {
	if d.Platform == nil {
		return Platform{}
	}
	return normal(d.Platform.OS, d.Platform.Architecture, d.Platform.Variant)
}

// attests says that d is about another child of its index and that no node runs it.
func (d descriptor) attests() bool {
	if d.Platform == nil {
		return d.Annotations["vnd.docker.reference.type"] == "attestation-manifest"
	}
	return d.platform() == Platform{OS: "unknown", Architecture: "unknown"}
}

// platforms names those of an index's images, a few of them where there are many.
func platforms(images []descriptor) string {
	const most = 12
	var names []string
	for _, d := range images[:min(len(images), most)] {
		name := Platform{}.String()
		if d.Platform != nil {
			name = Platform{d.Platform.OS, d.Platform.Architecture, d.Platform.Variant}.String()
		}
		names = append(names, fmt.Sprintf("%.40q", name)) // somebody else's text
	}
	if more := len(images) - most; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// linux refuses a child that only Windows runs.
func linux(d descriptor) (descriptor, error) {
	if d.platform().OS == "windows" {
		return descriptor{}, fmt.Errorf("%w: Clair knows no Windows", ErrUnsupported)
	}
	return d, nil
}

// verify checks that body has the digest want. Its error is worth a retry: what
// stands in between may have answered in the registry's place.
func verify(body []byte, want string) error {
	if got := digest.Digest(want).Algorithm().FromBytes(body); got.String() != want {
		return fmt.Errorf("the content has the digest %s, not %s: a proxy in between may have changed it", got, want)
	}
	return nil
}
