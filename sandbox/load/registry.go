package load

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"github.com/quay/claircore"
)

// registryStand serves the manifests of images, and asks for no credentials.
type registryStand struct {
	manifests map[string]string // by digest
}

// kindAtRegistry is what a request asks of the registry.
func kindAtRegistry(r *http.Request) string {
	if strings.Contains(r.URL.Path, "/manifests/") {
		return "manifest"
	}
	return "other"
}

// imageManifest is the manifest of an image, by its number, and its digest.
func imageManifest(number int) (text, digest string) {
	layers := make([]string, 5)
	for i := range layers {
		seed := number*10 + i + 2*bases
		if i < 2 {
			seed = number%bases + i*bases // those of the base image
		}
		layers[i] = fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":%d,"digest":%q}`, 1_000_000+seed, layerDigest(seed))
	}
	text = fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2000,"digest":"sha256:%x"},"layers":[%s]}`,
		sha256.Sum256(fmt.Append(nil, "config", number)), strings.Join(layers, ","))
	return text, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))
}

func layerDigest(seed int) claircore.Digest {
	sum := sha256.Sum256(fmt.Append(nil, "layer", seed))
	digest, err := claircore.NewDigest(claircore.SHA256, sum[:])
	if err != nil {
		panic(err) // a sum of that length is one
	}
	return digest
}

// ServeHTTP implements http.Handler.
func (s *registryStand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, digest, isManifest := strings.Cut(r.URL.Path, "/manifests/")
	text, ok := s.manifests[digest]
	switch {
	case r.URL.Path == "/v2/":
		w.WriteHeader(http.StatusOK)
	case isManifest && ok:
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digest)
		_, _ = w.Write([]byte(text))
	default:
		http.NotFound(w, r)
	}
}
