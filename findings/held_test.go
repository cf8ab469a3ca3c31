package findings

import (
	"slices"
	"testing"

	"github.com/quay/claircore"
)

func TestHold(t *testing.T) {
	finding := func(name, pkg string, severity Severity, fixedIn string) Finding {
		return Finding{Name: name, Package: pkg, source: pkg, Installed: "1", Severity: severity, FixedIn: fixedIn}
	}
	twice := finding("CVE-2026-0001", "openssl", claircore.Critical, "2")
	twice.Installed = "0"
	r := Report{Findings: []Finding{
		finding("CVE-2026-0001", "openssl", claircore.Critical, "2"), twice,
		finding("CVE-2026-0002", "openssl", claircore.High, ""),
		finding("CVE-2026-0003", "zlib", claircore.Low, "2"),
		finding("CVE-2026-0004", "zlib", claircore.Low, ""),
		finding("CVE-2026-0005", "glibc", claircore.Unknown, "2"),
		finding("CVE-2026-0006", "glibc", claircore.High, "2"),
		finding("CVE-2026-0007", "bash", claircore.High, "2"),
	}}
	rules := Rules{MinSeverity: claircore.Medium, UnknownAs: claircore.Medium, OnlyFixable: true, Ignore: []Ignore{
		{Reason: "about nothing"}, {ID: "cve-2026-0006"}, {Package: "glibc"}, {ID: "CVE-2026-0006", Package: "glibc"}, {ID: "CVE-2026-9999"},
	}}
	for name, c := range map[string]struct {
		rules Rules
		want  Held
	}{
		"none": {Rules{}, Held{Passing: Counts{Critical: 1, High: 3, Low: 2, Unknown: 1}, Ignored: []Counts{}}},
		"all": {rules, Held{
			Passing: Counts{Critical: 1, High: 1}, BySeverity: Counts{Low: 2}, WithoutFix: Counts{High: 1},
			Ignored: []Counts{{}, {High: 1}, {Unknown: 1}, {}, {}},
		}},
	} {
		got := r.Hold(c.rules)
		if got.Passing != c.want.Passing || got.BySeverity != c.want.BySeverity || got.WithoutFix != c.want.WithoutFix ||
			!slices.Equal(got.Ignored, c.want.Ignored) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}
