package findings

import (
	"slices"
	"strings"

	"github.com/quay/claircore"
)

// servedDistributions are those for which Clair 4.9 has an updater and a matcher: the DIDs that claircore's matchers
// compare with (claircore matchers/defaults, */matcher.go), and a part of the names of the updaters that have data for
// each (*/updater.go, Name). Red Hat's is not one of them: its matcher goes by repository, and finds nothing in an
// image whose repositories Clair could not tell.
var servedDistributions = map[string][]string{
	"alpine": {"alpine"}, "amzn": {"aws"}, "debian": {"debian"}, "ol": {"oracle"}, "opensuse": {"suse"},
	"opensuse-leap": {"suse"}, "photon": {"photon"}, "sles": {"suse"}, "ubuntu": {"ubuntu"},
}

// servedRepositories are the repositories for which it has both, by name or, for Red Hat's, by key. npm
// is none: Clair indexes its packages and has no matcher for them.
var servedRepositories = map[string][]string{
	"go": {"osv"}, "maven": {"osv"}, "pypi": {"osv", "pyup"}, "rubygems": {"osv"},
	"rhel-cpe-repository": {"rhel", "RHEL"}, "rhcc-container-repository": {"rhel", "rhcc"},
}

// Covered says whether a Clair could have found anything: any recognized package belongs to a distribution or a
// repository that Clair has data for. updaters are the names of those whose data this one has; nil means that it does
// not say, and that it has what a Clair can have.
func Covered(vr *claircore.VulnerabilityReport, updaters []string) bool {
	if len(vr.PackageVulnerabilities) > 0 {
		return true
	}
	for id := range vr.Packages {
		for _, e := range vr.Environments[id] {
			if e == nil {
				continue
			}
			if served(vr.Distributions[e.DistributionID], updaters) {
				return true
			}
			for _, rid := range e.RepositoryIDs {
				r := vr.Repositories[rid]
				if r != nil && (anyHas(updaters, servedRepositories[r.Name]) || anyHas(updaters, servedRepositories[r.Key])) {
					return true
				}
			}
		}
	}
	return false
}

// served says whether Clair has data for a distribution. Debian's testing and unstable name no version, and
// its updater loads releases only (claircore debian/updater.go).
func served(d *claircore.Distribution, updaters []string) bool {
	return d != nil && anyHas(updaters, servedDistributions[d.DID]) && (d.DID != "debian" || d.VersionID != "")
}

// anyHas says whether one of some words is a part of one of some names. Of no names at all nobody knows.
func anyHas(names, words []string) bool {
	if names == nil {
		return len(words) > 0
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(name, word) })
	})
}
