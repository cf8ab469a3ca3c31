// Package image makes container images with real package databases, without a
// container engine, and pushes them to a registry.
//
// The same [Spec] always gives the same digest: every time stamp is fixed and
// every list is sorted.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Release says which distribution an image is made of.
type Release string

// The releases that images can be made of. None is an image without operating
// system: no os-release, no package database.
const (
	None      Release = ""
	Bookworm  Release = "bookworm"    // Debian 12
	Bullseye  Release = "bullseye"    // Debian 11
	Alpine320 Release = "alpine-3.20" // Alpine Linux 3.20
)

// Spec describes an image for one platform.
type Spec struct {
	// Release is the distribution; the zero value is [None], with which Base
	// and App must be empty.
	Release Release
	// Arch is Go's name of the architecture, "amd64" or "arm64"; empty means
	// amd64. The operating system is always linux.
	Arch string
	// Base is installed in the first layer.
	Base []Package
	// App is installed in a second layer, whose package database lists Base
	// too, as a package manager leaves it. Empty means no such layer.
	App []Package
	// Distroless keeps the database of a Debian release in status.d, a file a
	// package, as images without a package manager do.
	Distroless bool
	// Files are laid over the rest in a layer of their own: path to content.
	// None means no such layer, unless the image would have no layer at all,
	// which is an error.
	Files map[string]string
	// RepeatLayer lists the last layer twice, as builders do that copy the
	// same files twice.
	RepeatLayer bool
}

// created is the time stamp of everything in every image.
func created() time.Time { return time.Date(2024, time.June, 1, 12, 0, 0, 0, time.UTC) }

// Debian makes a Debian 12 image for linux/amd64 with one layer and these packages.
func Debian(packages ...Package) (v1.Image, error) {
	return Build(Spec{Release: Bookworm, Base: packages})
}

// Alpine makes an Alpine 3.20 image for linux/amd64 with one layer and these packages.
func Alpine(packages ...Package) (v1.Image, error) {
	return Build(Spec{Release: Alpine320, Base: packages})
}

// Build makes the image that spec describes.
func Build(spec Spec) (v1.Image, error) {
	if spec.Arch == "" {
		spec.Arch = "amd64"
	}
	contents, err := layers(spec)
	if err != nil {
		return nil, fmt.Errorf("making an image: %w", err)
	}
	addenda := make([]mutate.Addendum, 0, len(contents)+1)
	for _, files := range contents {
		layer, err := compress(files)
		if err != nil {
			return nil, fmt.Errorf("making a layer: %w", err)
		}
		addenda = append(addenda, mutate.Addendum{
			Layer:   layer,
			History: v1.History{Created: v1.Time{Time: created()}, CreatedBy: "COPY . /"},
		})
	}
	if spec.RepeatLayer {
		addenda = append(addenda, addenda[len(addenda)-1])
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, addenda...)
	if err != nil {
		return nil, fmt.Errorf("adding layers: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's config: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", spec.Arch
	config.Created = v1.Time{Time: created()}
	config.Config.Cmd = []string{"/app/server"}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("writing the image's config: %w", err)
	}
	return image, nil
}

// Index makes an index of images, each for the platform that its config names.
func Index(images ...v1.Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, image := range images {
		config, err := image.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("making an index: reading an image's config: %w", err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture}},
		})
	}
	return index, nil
}

// content is what one layer holds: path to content; a path that ends in "/" is
// an empty directory.
type content map[string]string

func layers(spec Spec) ([]content, error) {
	var all []content
	switch spec.Release {
	case None:
		if len(spec.Base)+len(spec.App) > 0 {
			return nil, fmt.Errorf("packages need a release")
		}
	case Bookworm, Bullseye:
		all = append(all, debianLayer(spec, nil, spec.Base))
		if len(spec.App) > 0 {
			all = append(all, debianLayer(spec, spec.Base, spec.App))
		}
		maps.Copy(all[0], osRelease(spec.Release))
	case Alpine320:
		all = append(all, alpineLayer(spec, spec.Base))
		if len(spec.App) > 0 {
			all = append(all, alpineLayer(spec, slices.Concat(spec.Base, spec.App)))
		}
		maps.Copy(all[0], osRelease(spec.Release))
	default:
		return nil, fmt.Errorf("unknown release %q", spec.Release)
	}
	if len(spec.Files) > 0 {
		all = append(all, spec.Files)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("an image needs a release or files")
	}
	return all, nil
}

// osRelease is the file as the release ships it, which Clair tells
// distributions by.
func osRelease(r Release) content {
	switch r {
	case Bookworm:
		return content{"etc/os-release": `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/"
SUPPORT_URL="https://www.debian.org/support"
BUG_REPORT_URL="https://bugs.debian.org/"
`}
	case Bullseye:
		return content{"etc/os-release": `PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"
NAME="Debian GNU/Linux"
VERSION_ID="11"
VERSION="11 (bullseye)"
VERSION_CODENAME=bullseye
ID=debian
HOME_URL="https://www.debian.org/"
SUPPORT_URL="https://www.debian.org/support"
BUG_REPORT_URL="https://bugs.debian.org/"
`}
	case Alpine320:
		return content{"etc/os-release": `NAME="Alpine Linux"
ID=alpine
VERSION_ID=3.20.0
PRETTY_NAME="Alpine Linux v3.20"
HOME_URL="https://alpinelinux.org/"
BUG_REPORT_URL="https://gitlab.alpinelinux.org/alpine/aports/-/issues"
`}
	}
	return nil
}

// debianLayer is what dpkg leaves behind that installs added beside present.
func debianLayer(spec Spec, present, added []Package) content {
	files := content{}
	if spec.Distroless {
		for _, p := range added {
			files["var/lib/dpkg/status.d/"+p.Name] = stanza(spec.Arch, p, false)
		}
		return files
	}
	var status strings.Builder
	for _, p := range slices.SortedFunc(slices.Values(slices.Concat(present, added)), byName) {
		status.WriteString(stanza(spec.Arch, p, true))
		status.WriteString("\n")
	}
	files["var/lib/dpkg/status"] = status.String()
	// Clair takes the folder for a dpkg database only when info is there too.
	for _, p := range added {
		document := "usr/share/doc/" + p.Name + "/copyright"
		text := "Package " + p.Name + " " + p.Version + "\n"
		sum := md5.Sum([]byte(text))
		files[document] = text
		files["var/lib/dpkg/info/"+p.Name+".list"] = "/.\n/usr\n/usr/share/doc/" + p.Name + "\n/" + document + "\n"
		files["var/lib/dpkg/info/"+p.Name+".md5sums"] = hex.EncodeToString(sum[:]) + "  " + document + "\n"
	}
	return files
}

// stanza is a package's paragraph of dpkg's database.
func stanza(arch string, p Package, managed bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Package: %s\n", p.Name)
	if managed {
		b.WriteString("Status: install ok installed\n")
	}
	fmt.Fprintf(&b, "Priority: optional\nMaintainer: Debian <debian-devel@lists.debian.org>\nArchitecture: %s\n", arch)
	switch {
	case p.SourceVersion != "":
		fmt.Fprintf(&b, "Source: %s (%s)\n", p.source(), p.SourceVersion)
	case p.source() != p.Name:
		fmt.Fprintf(&b, "Source: %s\n", p.source())
	}
	fmt.Fprintf(&b, "Version: %s\nDescription: %s\n", p.Version, p.Name)
	return b.String()
}

// alpineLayer is what apk leaves behind once all packages are installed.
func alpineLayer(spec Spec, packages []Package) content {
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[spec.Arch]
	if arch == "" {
		arch = spec.Arch
	}
	var installed strings.Builder
	for _, p := range slices.SortedFunc(slices.Values(packages), byName) {
		sum := sha1.Sum([]byte(p.Name + p.Version + arch)) // apk's "Q1" is SHA-1
		// As apk writes it, the folders last: Clair does not read the last line
		// of a paragraph.
		fmt.Fprintf(&installed, "C:Q1%s\nP:%s\nV:%s\nA:%s\nS:1\nI:1\nT:%s\nU:https://alpinelinux.org/\nL:MIT\no:%s\nt:%d\nc:%x\nF:usr\n\n",
			base64.StdEncoding.EncodeToString(sum[:]), p.Name, p.Version, arch, p.Name, p.source(), created().Unix(), sum)
	}
	return content{"lib/apk/db/installed": installed.String()}
}

func byName(a, b Package) int { return strings.Compare(a.Name, b.Name) }

// compress packs files, and the folders that they are in, into a layer.
func compress(files content) (v1.Layer, error) {
	folders := map[string]bool{}
	for name := range files {
		for dir := path.Dir(strings.TrimSuffix(name, "/")); dir != "."; dir = path.Dir(dir) {
			folders[dir+"/"] = true
		}
		if strings.HasSuffix(name, "/") {
			folders[name] = true
		}
	}
	var packed bytes.Buffer
	archive := tar.NewWriter(&packed)
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: created()}); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, "/") {
			continue
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: created()}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(archive, files[name]); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(packed.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}
