package image

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Artifact is what a registry stores under a name: a [v1.Image] or a [v1.ImageIndex].
type Artifact interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}

// Push uploads artifact as reference, "host:port/repository:tag", over plain
// HTTP where the registry speaks it, and returns its digest: that of the
// manifest or of the index. A nil keychain is
// anonymous.
func Push(ctx context.Context, reference string, artifact Artifact, keychain authn.Keychain) (v1.Hash, error) {
	ref, err := name.ParseReference(reference, name.Insecure, name.StrictValidation)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("pushing an image: %w", err)
	}
	if keychain == nil {
		keychain = authn.NewMultiKeychain() // knows no credentials
	}
	if err := remote.Push(ref, artifact, remote.WithContext(ctx), remote.WithAuthFromKeychain(keychain)); err != nil {
		return v1.Hash{}, fmt.Errorf("pushing %s: %w", ref, err)
	}
	digest, err := artifact.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("digest of %s: %w", ref, err)
	}
	return digest, nil
}
