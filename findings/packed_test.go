package findings

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/quay/claircore"
)

// asPacked is a finding as Packed has it.
func asPacked(f Finding) Finding {
	f.Layer, f.Description = "", ""
	f.CVSS = math.Round(f.CVSS*10) / 10
	return f
}

func TestPacked(t *testing.T) {
	for _, name := range []string{"alpine.json", "debian.json", "enriched.json", "big.json.gz"} {
		fs := FromClair(decode(t, recording(t, name))).Findings
		if len(fs) == 0 {
			t.Fatalf("%s has no findings", name)
		}
		got := Pack(fs).all()
		if len(got) != len(fs) {
			t.Fatalf("%s: %d of %d findings", name, len(got), len(fs))
		}
		for i, f := range fs {
			if got[i] != asPacked(f) || got[i].ID() != f.ID() {
				t.Errorf("%s: got  %+v\nwant %+v", name, got[i], asPacked(f))
			}
		}
	}
	if p := Pack(nil); p != (Packed{}) || p.all() != nil || p.About("CVE-2026-0001") != nil {
		t.Error("there is something in nothing")
	}
}

// Two that are packed are the same where their findings are.
func TestPackedIsEqual(t *testing.T) {
	fs := []Finding{
		{Name: "CVE-2026-0001", Package: "a", source: "b", Installed: "1", FixedIn: "2", Severity: claircore.High, CVSS: 7.5, Updater: "u", Link: "https://example.com/CVE-2026-0001"},
		{Name: "CVE-2026-0002", Package: "a", source: "b", Installed: "1", Severity: claircore.Low, Updater: "u", Description: "also GHSA-aaaa-bbbb-cccc"},
	}
	for i := range fs {
		for _, change := range []func(*Finding){
			func(f *Finding) { f.Name += "9" }, func(f *Finding) { f.Package = "9" }, func(f *Finding) { f.source = "9" },
			func(f *Finding) { f.Installed = "9" }, func(f *Finding) { f.FixedIn = "9" }, func(f *Finding) { f.Severity = claircore.Critical },
			func(f *Finding) { f.CVSS = 9.9 }, func(f *Finding) { f.Updater = "9" }, func(f *Finding) { f.Link = "https://example.com/9" },
			func(f *Finding) { f.Description = "CVE-2026-9999" },
		} {
			other := slices.Clone(fs)
			change(&other[i])
			if Pack(fs) == Pack(other) {
				t.Errorf("those with %+v are the same", other[i])
			}
		}
	}
	if Pack(fs) == Pack(fs[:1]) || Pack(fs) != Pack(slices.Clone(fs)) {
		t.Error("fewer are the same, or the same are others")
	}
}

func TestPackedAbout(t *testing.T) {
	const link = "https://security-tracker.debian.org/tracker/"
	p := Pack([]Finding{
		{Name: "CVE-2026-0001", Link: link + "CVE-2026-0001", Package: "openssl", Updater: "debian/updater"},
		{Name: "GHSA-aaaa-bbbb-cccc", Link: "https://nvd.nist.gov/vuln/detail/CVE-2026-0001"},
		{Name: "RHSA-2026:0003: openssl security update"},
		{Name: "GO-2026-0001", Description: "Also known as CVE-2026-0007 (GHSA-dddd-eeee-ffff)."},
	})
	for name, want := range map[string][]string{
		"CVE-2026-0001":       {"CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"},
		"cve-2026-0001":       {"CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"},
		"ghsa-AAAA-bbbb-cccc": {"GHSA-aaaa-bbbb-cccc"},
		"rhsa-2026:0003":      {"RHSA-2026:0003: openssl security update"},
		"CVE-2026-0007":       {"GO-2026-0001"},
		"GHSA-dddd-eeee-ffff": {"GO-2026-0001"},
		// Words of links and descriptions that are no names of vulnerabilities, and parts of names.
		"https": nil, "tracker": nil, "security-tracker.debian.org": nil, "vuln": nil, "known": nil, "Also": nil,
		"CVE": nil, "CVE-2026": nil, "CVE-2026-000": nil, "openssl": nil, "debian/updater": nil, "": nil, " ": nil,
	} {
		var got []string
		for _, f := range p.About(name) {
			got = append(got, f.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if f := p.About("CVE-2026-0001")[0]; f.Link != link+"CVE-2026-0001" || f.Package != "openssl" {
		t.Errorf("it is %+v", f)
	}
}

// The worst findings are kept where there are more than can be.
func TestPackedIsBounded(t *testing.T) {
	var fs []Finding
	for i := range 40_000 {
		fs = append(fs, Finding{Name: fmt.Sprintf("CVE-2026-%05d", i), Package: "a", Installed: fmt.Sprint(i), Link: "https://example.com/" + fmt.Sprint(i)})
	}
	p := Pack(fs)
	got := p.all()
	if size := len(p.text); size > PackedLimit+3*10 || size < PackedLimit*9/10 {
		t.Errorf("%d bytes", size)
	}
	if n := len(got); n < 4_000 || !slices.Equal(got, fs[:n]) {
		t.Errorf("%d findings are kept", n)
	}
	long := strings.Repeat("x", PackedLimit)
	for _, f := range []Finding{{Name: long}, {Package: long}, {Installed: long}, {FixedIn: long}, {Updater: long}, {Link: long}, {source: long}} {
		if p := Pack([]Finding{fs[0], f, fs[1]}); !slices.Equal(p.all(), fs[:1]) {
			t.Errorf("%d bytes are kept", len(p.text))
		}
	}
}

// FuzzPacked packs what nobody publishes.
func FuzzPacked(f *testing.F) {
	f.Add("CVE-2026-0001", "openssl", "openssl", "3.0.1", "3.0.2", "debian/updater", "https://example.com/CVE-2026-0001", "also GHSA-aaaa-bbbb-cccc", 7.5, uint8(4))
	f.Add("", "", "", "", "", "", "", "", 0.0, uint8(0))
	f.Add("a", "a", "a", "a", "a", "a", "aaa", "a-1234", 10.0, uint8(5))
	f.Fuzz(func(t *testing.T, name, pkg, source, installed, fixed, updater, address, description string, score float64, severity uint8) {
		if !(score >= 0 && score <= 10) {
			return
		}
		one := Finding{
			Name: name, Package: pkg, source: source, Installed: installed, FixedIn: fixed, Updater: updater, Link: link(address),
			Description: description, CVSS: score, Severity: Severity(severity % 6),
		}
		fs := []Finding{one, {Name: "CVE-2026-0002", Package: pkg}, one}
		p := Pack(fs)
		for i, got := range p.all() {
			if got != asPacked(fs[i]) {
				t.Errorf("got  %+v\nwant %+v", got, asPacked(fs[i]))
			}
		}
		for _, other := range append(one.OtherNames(), name) {
			if other != "" && len(p.About(other)) == 0 && len(p.all()) > 0 {
				t.Errorf("nothing is about %q", other)
			}
		}
	})
}

// BenchmarkPack packs the findings of reports, each of 120 in packages of its own versions.
func BenchmarkPack(b *testing.B) {
	const each = 120
	var fs []Finding
	for n := range each {
		fs = append(fs, Finding{
			Name: fmt.Sprintf("CVE-2026-%05d", n), Package: fmt.Sprintf("library-%d", n/3), source: fmt.Sprintf("library-%d", n/3),
			Installed: fmt.Sprintf("3.0.%d-1~deb12u2", n/3), FixedIn: fmt.Sprintf("3.1.%d-1~deb12u3", n/3), Severity: claircore.High, CVSS: 7.5,
			Updater: "debian/updater", Link: fmt.Sprintf("https://security-tracker.debian.org/tracker/CVE-2026-%05d", n),
			Description: "Issue summary: applications that do certificate name checks, as TLS clients do, may read an invalid memory address, " +
				"which ends the application. Impact summary: abnormal termination can be a denial of service. See GHSA-aaaa-bbbb-cccc.",
		})
	}
	var p Packed
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			p = Pack(fs)
		}
		b.ReportMetric(float64(len(p.text))/each, "B/finding")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*each), "ns/finding")
	})
	for _, name := range []string{"CVE-2026-00042", "CVE-2026-99999"} {
		b.Run("about/"+name, func(b *testing.B) {
			p = Pack(fs)
			b.ReportAllocs()
			for b.Loop() {
				p.About(name)
			}
		})
	}
}
