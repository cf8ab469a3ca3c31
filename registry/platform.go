package registry

import (
	"strconv"
	"strings"
)

// Platform is what a node runs, in the words of an image index. The zero value
// says that it is not known.
type Platform struct {
	OS           string // "linux"; "" matches any
	Architecture string // "amd64"; "" is an unknown platform
	Variant      string // "v7"; "" is the architecture's usual one
}

// String is the platform as os/arch/variant, "unknown" for the zero value.
func (p Platform) String() string {
	if p == (Platform{}) {
		return "unknown"
	}
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// normal is a platform in the one spelling in which containerd compares platforms (its
// platforms.Normalize); tools write several. Variants are compared by their level.
func normal(os, arch, variant string) Platform {
	p := Platform{strings.ToLower(os), strings.ToLower(arch), strings.ToLower(variant)}
	if p.OS == "macos" {
		p.OS = "darwin"
	}
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	case "i386":
		p.Architecture, p.Variant = "386", ""
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	return p
}

// compatible lists the second choice of a node whose architecture an index lacks,
// as containerd has it.
func compatible(arch string) string {
	switch arch {
	case "amd64":
		return "386"
	case "arm64":
		return "arm"
	}
	return ""
}

// rank says how well the platform of an index's child suits p: 0 is best, a
// negative rank does not suit. It follows containerd's order: the node's own
// variant, then older ones; newer ones only where the node's is not known. Both are
// normal.
func (p Platform) rank(child Platform) int {
	if child.OS != "" && p.OS != "" && child.OS != p.OS {
		return -1
	}
	worse := 0
	want := level(p.Architecture, p.Variant)
	switch child.Architecture {
	case p.Architecture:
	case compatible(p.Architecture):
		worse = 1000
		want = level(child.Architecture, "")
		if child.Architecture == "arm" {
			want = 8
		}
	default:
		return -1
	}
	behind := want - level(child.Architecture, child.Variant)
	if behind >= 0 {
		return worse + behind
	}
	if p.Variant == "" {
		return worse + 100 - behind
	}
	return -1
}

// level is the number of a variant ("v7": 7); where there is none the one that
// the architecture's images have by convention.
func level(arch, variant string) int {
	if n, err := strconv.Atoi(strings.TrimPrefix(variant, "v")); err == nil && n >= 0 && n < 100 {
		return n
	}
	switch arch {
	case "arm":
		return 7
	case "arm64":
		return 8
	case "amd64":
		return 1
	}
	return 0
}
