package findings

import (
	"testing"

	"github.com/quay/claircore"
)

// What is as severe as it has to be is not below that, also where its severity is unknown: then it lacks a fix.
func TestFateAtTheThreshold(t *testing.T) {
	r := Report{Findings: []Finding{
		{Name: "CVE-2026-0001", Package: "openssl", Severity: claircore.Medium},
		{Name: "CVE-2026-0002", Package: "openssl", Severity: claircore.Unknown},
	}}
	for _, c := range []struct {
		unknownAs Severity
		unknown   Fate
	}{{claircore.Medium, WithoutFix}, {claircore.High, WithoutFix}, {claircore.Low, BelowMinSeverity}} {
		fates := make(map[string]Fate)
		for _, j := range r.Judge(Rules{MinSeverity: claircore.Medium, UnknownAs: c.unknownAs, OnlyFixable: true}) {
			fates[j.Finding.Name] = j.Fate
		}
		if fates["CVE-2026-0001"] != WithoutFix || fates["CVE-2026-0002"] != c.unknown {
			t.Errorf("unknown as %v: %v", c.unknownAs, fates)
		}
	}
}
