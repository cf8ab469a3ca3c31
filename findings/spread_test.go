package findings

import (
	"testing"

	"github.com/quay/claircore"
)

func TestSpreads(t *testing.T) {
	f := func(name string, s Severity, installed, fixed string) Finding {
		return Finding{Name: name, Package: "openssl", source: "openssl", Severity: s, Installed: installed, FixedIn: fixed}
	}
	images := [][]Finding{
		{f("CVE-1", claircore.High, "3.0.1", "3.0.2"), f("CVE-2", claircore.High, "3.0.1", "")},
		{f("CVE-1", claircore.Critical, "3.0.0", "3.0.2"), f("CVE-3", claircore.Critical, "3.0.0", "3.0.2"), f("CVE-4", claircore.Low, "3.0.0", "3.0.2")},
		{f("CVE-2", claircore.High, "3.0.1", "3.3.1"), f("CVE-5", claircore.High, "3.0.1", "")},
	}
	var shares []Share
	for i, fs := range images {
		shares = append(shares, Share{Entries: tellAll(fs), Fixable: Fixable(fs), Named: images[i][:2]})
	}
	spreads, counts := Spreads(shares) // CVE-4 is counted and has no name
	want := []Spread{{images[1][0], 2, false}, {images[1][1], 1, false}, {images[2][0], 2, true}, {images[2][1], 1, false}}
	if len(spreads) != len(want) {
		t.Fatalf("got %v", spreads)
	}
	for i, s := range spreads {
		if s != want[i] {
			t.Errorf("%d: got %+v, want %+v", i, s, want[i])
		}
	}
	if want := (Counts{Critical: 2, High: 2, Low: 1, Fixable: 4}); counts != want {
		t.Errorf("got %+v, want %+v", counts, want)
	}
	if spreads, counts := Spreads(nil); spreads != nil || counts != (Counts{}) {
		t.Errorf("of nothing: %v, %v", spreads, counts)
	}
}

// A vulnerability that one image has in two versions is in one image.
func TestSpreadOfTwoVersions(t *testing.T) {
	fs := []Finding{
		{Name: "CVE-1", source: "a", Installed: "1", Severity: claircore.Low},
		{Name: "CVE-1", source: "a", Installed: "2", Severity: claircore.High},
	}
	spreads, counts := Spreads([]Share{{Entries: Part{Findings: fs}.Entries(), Named: fs}})
	if len(spreads) != 1 || spreads[0].Images != 1 || spreads[0].Finding.Severity != claircore.High || counts.Total() != 1 {
		t.Errorf("got %+v, %+v", spreads, counts)
	}
}

// An image whose fix is not known, because the finding is not among those that are named, may have another one.
func TestSpreadOfUnnamed(t *testing.T) {
	f := Finding{Name: "CVE-1", Package: "openssl", source: "openssl", FixedIn: "3.0.2"}
	shares := []Share{{Entries: tellAll([]Finding{f}), Named: []Finding{f}}, {Entries: tellAll([]Finding{f})}}
	spreads, counts := Spreads(shares)
	if len(spreads) != 1 || spreads[0].Images != 2 || !spreads[0].FixesDiffer || counts.Total() != 1 {
		t.Errorf("got %+v, %+v", spreads, counts)
	}
}

// Distributions call what they build from one source by different names.
func TestSpreadOverPackages(t *testing.T) {
	f := func(pkg string) Finding { return Finding{Name: "CVE-1", Package: pkg, source: "openssl"} }
	var shares []Share
	for _, pkg := range []string{"libssl3", "openssl", "libcrypto3", "libssl3"} {
		fs := []Finding{f(pkg)}
		shares = append(shares, Share{Entries: tellAll(fs), Named: fs})
	}
	spreads, _ := Spreads(shares)
	if len(spreads) != 1 || spreads[0].Images != 4 || spreads[0].Finding.Package != "openssl" {
		t.Errorf("got %+v", spreads)
	}
	if spreads, _ := Spreads(shares[:1]); spreads[0].Finding.Package != "libssl3" {
		t.Errorf("got %+v", spreads)
	}
}

// What one image ignores and another one is told of is told. What several ignore is one.
func TestOnlyIgnored(t *testing.T) {
	told := func(ids ...ID) (es []Entry) {
		for _, id := range ids {
			es = append(es, Entry{ID: id, Told: true})
		}
		return es
	}
	images := []Share{{Entries: told(1, 2), Ignored: []ID{3, 4}}, {Entries: told(3), Ignored: []ID{4, 5}}, {Entries: told(1)}}
	if got := OnlyIgnored(images); got != 2 {
		t.Errorf("%d, want those numbered 4 and 5", got)
	}
	if got := OnlyIgnored(nil); got != 0 {
		t.Errorf("%d of nothing", got)
	}
}
