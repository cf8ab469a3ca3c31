package findings

import (
	"testing"

	"github.com/quay/claircore"
)

// An image is not called clean by a Clair that has no data for what is in it.
func TestCoveredByWhatClairHas(t *testing.T) {
	// The names as a real Clair 4.9 has them.
	full := []string{
		"alpine-main-v3.20-updater", "aws-AL2-updater", "clair.cvss", "debian/updater", "oracle-2024-updater", "osv/go", "osv/pypi",
		"photon-updater-4.0", "rhel-vex", "suse-updater-suse.linux.enterprise.server.15", "ubuntu/updater/jammy",
	}
	for did, one := range map[string]string{
		"alpine": full[0], "amzn": full[1], "debian": full[3], "ol": full[4], "photon": full[7], "sles": full[9], "opensuse-leap": full[9], "ubuntu": full[10],
		"arch": "",
	} {
		vr := &claircore.VulnerabilityReport{
			Packages:      map[string]*claircore.Package{"1": {ID: "1", Name: "openssl"}},
			Distributions: map[string]*claircore.Distribution{"1": {ID: "1", DID: did, VersionID: "12"}},
			Environments:  map[string][]*claircore.Environment{"1": {{DistributionID: "1"}}},
		}
		checkCovered(t, did, vr, full, one)
	}
	for repository, one := range map[string]string{"go": full[5], "pypi": full[6], "rhel-cpe-repository": full[8], "npm": ""} {
		vr := &claircore.VulnerabilityReport{
			Packages:     map[string]*claircore.Package{"1": {ID: "1", Name: "a"}},
			Repositories: map[string]*claircore.Repository{"1": {ID: "1", Key: repository}},
			Environments: map[string][]*claircore.Environment{"1": {{RepositoryIDs: []string{"1"}}}},
		}
		checkCovered(t, repository, vr, full, one)
	}
}

func checkCovered(t *testing.T, name string, vr *claircore.VulnerabilityReport, full []string, one string) {
	t.Helper()
	var others []string
	for _, u := range full {
		if words := append(servedDistributions[name], servedRepositories[name]...); !anyHas([]string{u}, words) {
			others = append(others, u)
		}
	}
	for _, c := range []struct {
		what     string
		updaters []string
		want     bool
	}{
		{"a Clair that does not say", nil, one != ""},
		{"one with everything", full, one != ""},
		{"one with its updater alone", []string{one}, one != ""},
		{"one without", others, false},
		{"one without any", []string{}, false},
	} {
		if got := Covered(vr, c.updaters); got != c.want {
			t.Errorf("%s and %s: %v", name, c.what, got)
		}
	}
	vr.PackageVulnerabilities = map[string][]string{"1": {"1"}}
	if !Covered(vr, others) {
		t.Errorf("%s: something was found, and it is not covered", name)
	}
}
