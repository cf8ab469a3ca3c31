package findings

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quay/claircore"
)

func TestFates(t *testing.T) {
	finding := func(name, pkg string, severity Severity, fixedIn string) Finding {
		return Finding{Name: name, Package: pkg, source: pkg, Installed: "1", Severity: severity, FixedIn: fixedIn}
	}
	twice := finding("CVE-2026-0001", "openssl", claircore.Critical, "2")
	twice.Installed = "0"
	unfixed := finding("CVE-2026-0002", "openssl", claircore.High, "2")
	unfixed.Installed, unfixed.FixedIn = "0", ""
	r := Report{Findings: []Finding{
		finding("CVE-2026-0001", "openssl", claircore.Critical, "2"), twice,
		unfixed, finding("CVE-2026-0002", "openssl", claircore.High, "2"),
		finding("CVE-2026-0008", "openssl", claircore.High, ""),
		finding("CVE-2026-0003", "zlib", claircore.Low, "2"),
		finding("CVE-2026-0004", "zlib", claircore.Low, ""),
		finding("CVE-2026-0005", "glibc", claircore.Unknown, "2"),
		finding("CVE-2026-0006", "glibc", claircore.High, "2"),
		finding("CVE-2026-0007", "bash", claircore.Unknown, "2"),
	}}
	ignore := []Ignore{
		{Reason: "about nothing"}, {ID: "cve-2026-0006"}, {Package: "glibc"}, {ID: "CVE-2026-0006", Package: "glibc"}, {ID: "CVE-2026-9999"},
	}
	for name, c := range map[string]struct {
		rules Rules
		want  []string
	}{
		"none": {Rules{}, []string{"0001 4", "0002 4", "0008 4", "0003 4", "0004 4", "0005 4", "0006 4", "0007 4"}},
		"all": {Rules{MinSeverity: claircore.Medium, UnknownAs: claircore.Medium, OnlyFixable: true, Ignore: ignore},
			[]string{"0001 4", "0002 4", "0008 3", "0003 2", "0004 2", "0005 1 by 2", "0006 1 by 1", "0007 4"}},
		"unknown as low": {Rules{MinSeverity: claircore.Medium, UnknownAs: claircore.Low},
			[]string{"0001 4", "0002 4", "0008 4", "0003 2", "0004 2", "0005 2", "0006 4", "0007 2"}},
	} {
		var got []string
		for _, j := range r.Judge(c.rules) {
			s := fmt.Sprintf("%s %d", strings.TrimPrefix(j.Finding.Name, "CVE-2026-"), j.Fate)
			if j.Ignore > 0 {
				s += fmt.Sprintf(" by %d", j.Ignore)
			}
			got = append(got, s)
			if passes := c.rules.Pass(j.Finding); passes != (j.Fate == Passes) {
				t.Errorf("%s: %+v is to be told: %t", name, j, passes)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestIgnoreNames(t *testing.T) {
	f := Finding{Name: "CVE-2026-0001", Package: "libssl3", source: "openssl"}
	for i, want := range map[Ignore][2]bool{
		{ID: "cve-2026-0001"}:                       {true, true},
		{ID: "CVE-2026-0002"}:                       {false, true},
		{Package: "libssl3"}:                        {true, true},
		{Package: "openssl"}:                        {true, true},
		{Package: "LIBSSL3"}:                        {true, false},
		{ID: "CVE-2026-0001", Package: "zlib"}:      {true, false},
		{ID: "CVE-2026-0002", Package: "zlib"}:      {false, false},
		{ID: "CVE-2026-0001", Image: "no such one"}: {true, true},
	} {
		if advisory, pkg := i.Names(f); advisory != want[0] || pkg != want[1] {
			t.Errorf("%+v: %t, %t, want %v", i, advisory, pkg, want)
		}
	}
}

// Judging the same report by several rules says of each finding what judging it by one does.
func TestCase(t *testing.T) {
	var fs []Finding
	for i := range 40 {
		f := Finding{
			Name: fmt.Sprintf("CVE-2026-%04d", i%13), Package: "libssl3", source: []string{"openssl", "zlib"}[i%2],
			Installed: fmt.Sprint(i % 5), Severity: Severities[i%len(Severities)],
		}
		if i%3 > 0 {
			f.FixedIn = "2"
		}
		fs = append(fs, f)
	}
	Sort(fs)
	r := Report{Findings: fs}
	of := r.Case()
	ignore := []Ignore{{ID: "CVE-2026-0003", Package: "openssl"}, {Package: "zlib", Image: "shop/*"}, {ID: "cve-2026-0003"}, {ID: "CVE-2026-0004"}}
	for _, rules := range []Rules{
		{}, {MinSeverity: claircore.Medium}, {OnlyFixable: true, UnknownAs: claircore.High, MinSeverity: claircore.High},
		{Ignore: ignore}, {Ignore: ignore, Settled: ignore[1:2], MinSeverity: claircore.Low},
	} {
		want := make(map[ID]Ruling)
		for _, j := range r.Judge(rules) {
			want[j.Finding.ID()] = j.Ruling
		}
		got := of.Judge(rules)
		if len(got) != len(want) || len(got) != len(of.IDs()) {
			t.Fatalf("%+v: %d rulings of %d IDs, want %d", rules, len(got), len(of.IDs()), len(want))
		}
		for i, f := range fs {
			id := of.IDs()[of.Place(i)]
			if id != f.ID() || got[of.Place(i)] != want[id] {
				t.Errorf("%+v: %+v is %+v, want %+v", rules, f, got[of.Place(i)], want[id])
			}
		}
	}
}
