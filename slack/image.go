package slack

import (
	"slices"
	"strings"
)

// Image is a running image as people know it.
type Image struct {
	// Name is how the pods name it, for example registry.example.com/shop/checkout:v2.14.0. Empty: the
	// digest stands in.
	Name string
	// Digest is the digest of the platform manifest, sha256:<64 hex>. Empty: not shown.
	Digest string
	// Platform is the platform where it matters which one is meant, for example linux/arm64. Empty: not
	// shown.
	Platform string
}

// nameless is shown for an image without name and digest.
const nameless = "an image without a name"

// short is what people call the image: repository and tag without the registry's host, which the footer
// shows. A digest is there only when nothing else tells versions apart.
func (i Image) short(n int) string {
	name, tag, digest := i.parts()
	_, path := splitHost(name)
	switch {
	case path == "" && digest == "":
		path = shortDigest(clean(i.Digest))
	case path == "":
		path = shortDigest(digest)
	case tag != "":
		path += ":" + tag
	case digest != "":
		path += "@" + shortDigest(digest)
	}
	if path == "" {
		path = nameless
	}
	return clip(path, n)
}

// named is the short name with the platform, where that is to be shown.
func (i Image) named(n int) string {
	if p := brief(i.Platform, longestCell/2); p != "" {
		return i.short(n) + " (" + p + ")"
	}
	return i.short(n)
}

// repository is the name with its host, without tag and digest; empty when there is none.
func (i Image) repository() string {
	name, _, _ := i.parts()
	return name
}

// parts splits the cleaned name into repository, tag and digest. Only what pods can hold is expected,
// but nothing is refused: the rest just reads less well.
func (i Image) parts() (repository, tag, digest string) {
	name := clean(i.Name)
	if isDigest(name) {
		return "", "", name // the bare id that a container runtime shows for an image without a name
	}
	name, digest, _ = strings.Cut(name, "@")
	// A colon before the last slash belongs to the port of the host.
	if c := strings.LastIndexByte(name, ':'); c > strings.LastIndexByte(name, '/') {
		name, tag = name[:c], name[c+1:]
	}
	return name, tag, digest
}

// splitHost takes the registry's host off a repository by the rule of the container tools: the first
// part is a host if it has a dot or a port, or is localhost. Docker Hub's official images lose their
// library/ too, as everyone knows them without.
func splitHost(repository string) (host, path string) {
	first, rest, ok := strings.Cut(repository, "/")
	if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" {
		return "", repository
	}
	if first == "docker.io" {
		rest = strings.TrimPrefix(rest, "library/")
	}
	return first, rest
}

func isDigest(s string) bool {
	hex := s
	if algorithm, rest, ok := strings.Cut(s, ":"); ok && slices.Contains([]string{"sha256", "sha512"}, algorithm) {
		hex = rest
	}
	return len(hex) >= 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// shortDigest keeps the 12 digits that people compare.
func shortDigest(digest string) string {
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok {
		algorithm, hex = "sha256", digest
	}
	if hex == "" {
		return ""
	}
	return clip(algorithm, 10) + ":" + string([]rune(hex)[:min(12, len([]rune(hex)))])
}
