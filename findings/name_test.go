package findings

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNamesOfAdvisories(t *testing.T) {
	for _, c := range []struct {
		f                Finding
		name             string
		called, mentions bool
	}{
		{Finding{Name: "CVE-2026-0001"}, "cve-2026-0001", true, false},
		{Finding{Name: "CVE-2026-00012"}, "CVE-2026-0001", false, false},
		{Finding{Name: "RHSA-2024:2679: libxml2 security update (Moderate)"}, "rhsa-2024:2679", true, false},
		{Finding{Name: "RHSA-2024:2679: libxml2 security update (Moderate)"}, "RHSA-2024", false, false},
		{Finding{Name: "GHSA-1", Link: "https://nvd.nist.gov/vuln/detail/CVE-2026-0001"}, "CVE-2026-0001", false, true},
		{Finding{Name: "GHSA-1", Link: "https://example.com/?id=CVE-2026-0001#x"}, "cve-2026-0001", false, true},
		{Finding{Name: "GHSA-1", Description: "Fixes CVE-2026-0001."}, "CVE-2026-0001", false, true},
		{Finding{Name: "GHSA-1", Description: "(CVE-2026-0001, CVE-2026-0002): é"}, "CVE-2026-0002", false, true},
		{Finding{Name: "GHSA-1", Description: "CVE-2026-00012, XCVE-2026-0001, éCVE-2026-0001"}, "CVE-2026-0001", false, false},
		{Finding{Name: "GHSA-1", Description: "as of 2026"}, "2026", false, true},
		{Finding{Name: "GHSA-1"}, "", false, false},
	} {
		if called, mentions := c.f.IsCalled(c.name), c.f.Mentions(c.name); called != c.called || mentions != c.mentions {
			t.Errorf("%s in %+v: called %t, mentioned %t", c.name, c.f, called, mentions)
		}
	}
}

func TestOtherNames(t *testing.T) {
	var many []string
	for i := range 2 * mostOtherNames {
		many = append(many, fmt.Sprintf("CVE-2026-%04d", i))
	}
	for _, c := range []struct {
		f    Finding
		want []string
	}{
		{Finding{Name: "CVE-2026-0001"}, nil},
		{Finding{Name: "CVE-2026-0001", Link: "https://nvd.nist.gov/vuln/detail/CVE-2026-0001", Description: "cve-2026-0001 is well-known."}, nil},
		{Finding{Name: "GHSA-2h4p-vjrc-8xpq", Link: "https://nvd.nist.gov/vuln/detail/CVE-2026-0001?a-1#b"}, []string{"CVE-2026-0001"}},
		{Finding{Name: "CVE-2026-0001", Link: "https://github.com/a/b/security/advisories/GHSA-aaaa-bbbb-cccc"}, []string{"GHSA-aaaa-bbbb-cccc"}},
		{Finding{Name: "RHSA-2024:2679: libxml2 security update (Moderate)", Description: "RHSA-2024:2679 (CVE-2024-25062), see rhba-2024:1."},
			[]string{"CVE-2024-25062", "rhba-2024:1"}},
		{Finding{Name: "GO-2026-0001", Description: "aka: CVE-2026-0001, cve-2026-0001 and CVE-2026-0002."}, []string{"CVE-2026-0001", "CVE-2026-0002"}},
		{Finding{Name: "X", Description: "DSA-5678-1 DLA-3456-1 USN-6789-1 ELSA-2024-1234 PYSEC-2024-1 RUSTSEC-2024-0001 SUSE-SU-2024:1234-1 GO-2024-2598 TEMP-0841856-B18BAF"},
			[]string{"DSA-5678-1", "DLA-3456-1", "USN-6789-1", "ELSA-2024-1234", "PYSEC-2024-1", "RUSTSEC-2024-0001", "SUSE-SU-2024:1234-1", "GO-2024-2598", "TEMP-0841856-B18BAF"}},
		{Finding{Name: "X", Description: "ALAS2023-2024-512; ALPINE-CVE-2024-6119, RHEA-2024:1"}, []string{"ALAS2023-2024-512", "ALPINE-CVE-2024-6119", "RHEA-2024:1"}},
		// Words that are no such names, and names that are no words.
		{Finding{Name: "X", Description: "well-known, x86-64, SHA-1, go-1.2024, 2024-06-01, CVE-2026, CVE-, -, --, GHSA-1, GHSA-aaaa.bbbb-cccc, MY-2026-0001"},
			[]string{"CVE-2026"}},
		{Finding{Name: "X", Description: "XCVE-2026-0001 éCVE-2026-0001 CVE-2026-0001_x CVE-2026-0001é"}, nil},
		{Finding{Name: "X", Description: "\xe2\x82CVE-2026-0001\xff …CVE-2026-0002…"}, []string{"CVE-2026-0001", "CVE-2026-0002"}},
		{Finding{Name: "X", Description: "CVE-2026-" + strings.Repeat("1", longestOtherName)}, nil},
		{Finding{Name: "X", Description: strings.Join(many, " ")}, many[:mostOtherNames]},
	} {
		got := c.f.OtherNames()
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v:\ngot  %q\nwant %q", c.f, got, c.want)
		}
		wantMentioned(t, c.f, got)
	}
}

// wantMentioned checks other names of a finding by what a search for them does.
func wantMentioned(t *testing.T, f Finding, names []string) {
	t.Helper()
	if len(names) > mostOtherNames {
		t.Errorf("%d names", len(names))
	}
	for i, n := range names {
		if !f.Mentions(n) || f.IsCalled(n) || len(n) > longestOtherName {
			t.Errorf("%q of %+v: mentioned %t, its own %t", n, f, f.Mentions(n), f.IsCalled(n))
		}
		if slices.ContainsFunc(names[:i], func(o string) bool { return strings.EqualFold(o, n) }) {
			t.Errorf("%q twice", n)
		}
	}
}

func FuzzOtherNames(f *testing.F) {
	f.Add("CVE-2026-0001", "https://example.com/GHSA-aaaa-bbbb-cccc", "see RHSA-2024:2679, éCVE-2026-0002")
	f.Add("RHSA-2024:2679: title", "", "\xe2\x82CVE-2026-0001\xff -USN-6789-1- CVE-2026-0001:")
	f.Fuzz(func(t *testing.T, name, link, description string) {
		finding := Finding{Name: name, Link: link, Description: description}
		wantMentioned(t, finding, finding.OtherNames())
	})
}

// BenchmarkOtherNames reads a description of a usual length.
func BenchmarkOtherNames(b *testing.B) {
	f := Finding{
		Name: "CVE-2026-0001", Link: "https://security-tracker.debian.org/tracker/CVE-2026-0001",
		Description: strings.Repeat("Issue summary: an application that does certificate name checks may read an invalid memory address, a well-known type-confusion. ", 6) + "(GHSA-aaaa-bbbb-cccc)",
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(f.OtherNames()) != 1 {
			b.Fatal(f.OtherNames())
		}
	}
}
