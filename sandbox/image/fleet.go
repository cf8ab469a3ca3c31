package image

import (
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// fleetBases is how many images of a fleet have a base layer of their own: as in
// a cluster, many applications stand on few bases.
const fleetBases = 12

// Fleet makes n small Debian 12.0 images that are all different, named
// "fleet/app-000:1.0" and so on. Each has libc6 and libgnutls30, and with them
// findings of all severities in the first edition of the vulnerability data, and
// a new one of high severity in the second.
func Fleet(n int) ([]Sample, error) {
	var all, others []Package // the packages of each image, and those that tell the bases apart
	for _, p := range BookwormBase() {
		if p.Name == "libc6" || p.Name == "libgnutls30" {
			all = append(all, p)
		} else {
			others = append(others, p)
		}
	}
	fleet := make([]Sample, n)
	for i := range fleet {
		name := fmt.Sprintf("fleet/app-%03d:1.0", i)
		first := i % fleetBases
		packages := slices.Concat(all, others[first:first+2])
		var err error
		if fleet[i], err = single(name, false, Spec{Release: Bookworm, Base: packages}); err != nil {
			return nil, fmt.Errorf("making a fleet of images: %w", err)
		}
	}
	return fleet, nil
}

// Chart makes what registries keep beside images and nothing can run: a Helm
// chart's manifest. Name tells several apart.
func Chart(name string) (v1.Image, error) {
	chart, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte("chart "+name), "application/vnd.cncf.helm.chart.content.v1.tar+gzip"))
	if err != nil {
		return nil, fmt.Errorf("making a chart: %w", err)
	}
	return mutate.ConfigMediaType(mutate.MediaType(chart, types.OCIManifestSchema1), "application/vnd.cncf.helm.config.v1+json"), nil
}

// Rubble makes an image whose only layer is no archive, which Clair refuses. Name
// tells several apart.
func Rubble(name string) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	rubble, err := mutate.AppendLayers(base, static.NewLayer([]byte("no archive: "+name), types.OCIUncompressedLayer))
	if err != nil {
		return nil, fmt.Errorf("making rubble: %w", err)
	}
	return rubble, nil
}
