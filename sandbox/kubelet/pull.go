package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// canonical is an image's name as containerd shows it in a status: with the
// registry, "library/" and the tag that stand for what was left out.
func canonical(image string) string {
	ref, err := name.ParseReference(image)
	if err != nil {
		return image
	}
	if ref.Context().RegistryStr() != name.DefaultRegistry {
		return ref.Name()
	}
	// Docker Hub's registry goes by its short name everywhere in Kubernetes.
	return "docker.io/" + ref.Context().RepositoryStr() + ref.Name()[len(ref.Context().Name()):]
}

// pull asks the registry for an image and returns its imageID as containerd
// reports it: the repository and the digest that the reference led to, which is
// the index's where there is one. The error reads as the kubelet's message.
func (k *Kubelet) pull(ctx context.Context, image, arch string) (string, error) {
	ref, err := name.ParseReference(image, name.Insecure)
	if err != nil {
		return "", errInvalidName
	}
	found, err := k.find(ctx, ref, canonical(image), arch)
	if err != nil {
		return "", err
	}
	repository := ref.Context().Name()
	if ref.Context().RegistryStr() == name.DefaultRegistry {
		repository = "docker.io/" + ref.Context().RepositoryStr()
	}
	return repository + "@" + found.Digest.String(), nil
}

// find asks the registry for an image that a node of an architecture can run.
func (k *Kubelet) find(ctx context.Context, ref name.Reference, shown, arch string) (*remote.Descriptor, error) {
	found, err := remote.Get(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(k.keychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
	if err != nil {
		return nil, refused(shown, ref, err)
	}
	if found.MediaType.IsIndex() {
		if err := hasPlatform(found, arch); err != nil {
			return nil, fmt.Errorf("failed to pull and unpack image %q: %w", shown, err)
		}
	}
	return found, nil
}

// errInvalidName is the kubelet's word for what is no image name.
var errInvalidName = errors.New("invalid reference format")

// errNoPlatform is containerd's word for an index without the node's platform.
var errNoPlatform = errors.New("no match for platform in manifest: not found")

func hasPlatform(found *remote.Descriptor, arch string) error {
	index, err := found.ImageIndex()
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, m := range manifest.Manifests {
		if m.Platform != nil && m.Platform.OS == "linux" && m.Platform.Architecture == arch {
			return nil
		}
	}
	return errNoPlatform
}

// refused words a registry's refusal as containerd does.
func refused(shown string, ref name.Reference, err error) error {
	prefix := fmt.Sprintf("failed to pull and unpack image %q: failed to resolve reference %q", shown, shown)
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s: failed to do request: %w", prefix, err)
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%s: %s: not found", prefix, shown)
	case http.StatusUnauthorized:
		return fmt.Errorf("%s: pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials", prefix)
	case http.StatusForbidden:
		return fmt.Errorf("%s: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed", prefix)
	}
	return fmt.Errorf("%s: unexpected status from GET request to %s: %d %s", prefix, ref.Context().RegistryStr(), answer.StatusCode, http.StatusText(answer.StatusCode))
}
