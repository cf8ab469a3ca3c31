package findings

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/quay/claircore"
)

// anyReport makes a report of a small world, so that findings are shared between reports.
func anyReport(r *rand.Rand) Report {
	var fs []Finding
	for range r.IntN(12) {
		fs = append(fs, Finding{
			Name:      string(rune('A' + r.IntN(4))),
			Package:   "p",
			Installed: string(rune('1' + r.IntN(2))),
			source:    string(rune('s' + r.IntN(3))),
			Severity:  Severities[r.IntN(len(Severities))],
		})
	}
	return Report{Findings: distinct(fs)}
}

func TestRecordProperties(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		a, b := anyReport(r), anyReport(r)
		ra, rb := a.Record(), b.Record()

		if d := ra.Disclosed(a); len(d) != 0 {
			t.Fatalf("seed %d: told and disclosed all the same: %v", seed, d)
		}
		if d := (Record{}).Disclosed(a); !reflect.DeepEqual(d, a.Findings) {
			t.Fatalf("seed %d: a record of nothing discloses %v of %v", seed, d, a.Findings)
		}
		d := ra.Disclosed(b)
		if !slices.IsSortedFunc(d, compare) {
			t.Fatalf("seed %d: not in order: %v", seed, d)
		}
		for _, f := range b.Findings {
			_, told := ra.Severities[f.ID()]
			if told == slices.Contains(d, f) {
				t.Fatalf("seed %d: told %t, disclosed %t: %v", seed, told, !told, f)
			}
		}

		before := maps.Clone(ra.Severities)
		j := ra.Join(rb)
		if len(j.Disclosed(a))+len(j.Disclosed(b)) != 0 {
			t.Fatalf("seed %d: a joined record lost what one of the two held", seed)
		}
		for id, s := range j.Severities {
			if own, ok := ra.Severities[id]; ok && own != s || !ok && rb.Severities[id] != s {
				t.Fatalf("seed %d: severity %v of a finding comes from nowhere", seed, s)
			}
		}
		if !maps.Equal(before, ra.Severities) {
			t.Fatalf("seed %d: Join changed its receiver", seed)
		}
		if !reflect.DeepEqual(j.Join(j), j) || !reflect.DeepEqual(j.Join(rb), j) {
			t.Fatalf("seed %d: joining again adds something", seed)
		}
	}
}

func TestRecordKeepsTheWorstOfSeveralVersions(t *testing.T) {
	r := Report{Findings: distinct([]Finding{
		{Name: "CVE-1", source: "a", Installed: "1", Severity: claircore.Low},
		{Name: "CVE-1", source: "a", Installed: "2", Severity: claircore.High},
	})}
	if got := r.Record().Severities; len(got) != 1 || got[r.Findings[0].ID()] != claircore.High {
		t.Errorf("got %v", got)
	}
}

// The identity must not hang on what comes and goes: the number of packages of one source, the version,
// the severity.
func TestID(t *testing.T) {
	f := Finding{Name: "CVE-1", Package: "libssl3", Installed: "3.0.11", FixedIn: "3.1", Severity: claircore.High, CVSS: 7, Updater: "debian/updater", Link: "https://example.com/", source: "openssl"}
	same := Finding{Name: "CVE-1", Package: "openssl", Installed: "3.0.12", Severity: claircore.Low, Updater: "osv", source: "openssl"}
	if f.ID() != same.ID() {
		t.Error("the same finding has two identities")
	}
	for _, other := range []Finding{
		{Name: "CVE-2", source: "openssl"}, {Name: "CVE-1", source: "curl"}, {Name: "CVE-1o", source: "penssl"}, {},
	} {
		if f.ID() == other.ID() {
			t.Errorf("%+v has the identity of another finding", other)
		}
	}
	// Records outlive the program that wrote them: the identity may never change.
	if want := (ID{0x78, 0x74, 0x03, 0x6f, 0x13, 0x6b, 0x5b, 0xdf, 0xb0, 0x81, 0x1b, 0x56, 0x1b, 0x6d, 0x85, 0xb4}); f.ID() != want {
		t.Errorf("got %#v", f.ID())
	}
}
