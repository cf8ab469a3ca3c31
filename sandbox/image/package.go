package image

import (
	"fmt"
	"slices"
)

// Package is one installed binary package.
type Package struct {
	// Name of the binary package, as in "libssl3".
	Name string
	// Version of the binary package, as in "3.0.9-1".
	Version string
	// Source is the package (Debian) or origin (Alpine) that it was built
	// from, which is what advisories name; empty means the same as Name.
	Source string
	// SourceVersion is the version of Source where it differs from Version, as
	// after a Debian rebuild ("+b1"); empty means the same. Alpine has none.
	SourceVersion string
}

func (p Package) source() string {
	if p.Source == "" {
		return p.Name
	}
	return p.Source
}

// Upgrade returns a copy of packages in which everything that was built from
// source has the version given. It is an error when nothing was.
func Upgrade(packages []Package, source, version string) ([]Package, error) {
	upgraded := slices.Clone(packages)
	found := false
	for i, p := range upgraded {
		if p.source() == source {
			upgraded[i].Version, upgraded[i].SourceVersion = version, ""
			found = true
		}
	}
	if !found {
		return nil, fmt.Errorf("upgrading %s to %s: no package is built from it", source, version)
	}
	return upgraded, nil
}
