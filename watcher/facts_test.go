package watcher

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

// What is kept of findings is all of them but their descriptions and layers, and those of equal reports are equal.
func TestFacts(t *testing.T) {
	report := findings.FromClair(reportOf(digest(1),
		vulnerability{name: "CVE-2026-0001", severity: claircore.Critical, updater: "debian/updater", links: "https://example.com/CVE-2026-0001"},
		vulnerability{name: "RHSA-2026:0002: title", severity: claircore.Low, unfixed: true},
	))
	fs := slices.Clone(report.Findings)
	for i, version := range []string{"3.0.1", "", "3.0.1", "3.0.0\x00", "2"} { // of a package that is there in several versions
		f := fs[0]
		f.Installed, f.Layer, f.Description = version, digest(7), "also GHSA-aaaa-bbbb-cccc"
		f.CVSS = float64(i)
		fs = append(fs, f)
	}
	findings.Sort(fs)
	kept := factsOf(fs)
	for i, f := range fs {
		f.Layer, f.Description = "", ""
		if f.Installed == "3.0.0\x00" {
			f.Installed = "3.0.0"
		}
		if got := kept.finding(i); got != f {
			t.Errorf("got  %+v\nwant %+v", got, f)
		}
	}
	if !kept.equal(factsOf(fs)) {
		t.Error("the same report again is another one")
	}
	for i := range fs {
		for _, change := range []func(*findings.Finding){
			func(f *findings.Finding) { f.Installed = "9" }, func(f *findings.Finding) { f.CVSS = 9.9 }, func(f *findings.Finding) { f.Description = "CVE-2026-9999" },
		} {
			other := slices.Clone(fs)
			change(&other[i])
			if kept.equal(factsOf(other)) {
				t.Errorf("a report with another %+v is the same", other[i])
			}
		}
	}
	if kept.equal(factsOf(fs[1:])) || kept.equal(factsOf(nil)) || !factsOf(nil).equal(factsOf(nil)) {
		t.Error("a report with less is the same")
	}
}

// The worst findings of a report are kept where it has more than can be.
func TestFactsAreBounded(t *testing.T) {
	var fs []findings.Finding
	for i := range mostFacts + 2 {
		fs = append(fs, findings.Finding{Name: "CVE-2026-0001", Package: "a", Installed: fmt.Sprintf("%06d", i), Severity: claircore.Low})
	}
	fs[mostFacts+1].Severity = claircore.Critical
	findings.Sort(fs)
	kept := factsOf(fs)
	if n := len(kept.said); n != mostFacts || kept.finding(0) != fs[0] || kept.finding(n-1) != fs[n-1] {
		t.Errorf("%d are kept, from %+v to %+v", n, kept.finding(0), kept.finding(n-1))
	}
}

// What has the same report in several namespaces is kept once.
func TestFactsAreShared(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"_all": scanner("all"), "lab": scannerAt(secondBase, "lab")})
		for n := range 5 {
			r.run(podOf(fmt.Sprintf("ns-%d", n), "app", 1))
		}
		r.run(podOf("ns-0", "other", 2), podOf("lab", "app", 1))
		r.start()
		r.pass(settled)
		r.w.lookAllAt(clairBase) // the same once more
		r.pass(settled)
		kept := make(map[*facts]int)
		for _, held := range r.w.progress.facts(r.w.counts()) {
			kept[held.facts]++
		}
		if counts := slices.Sorted(maps.Values(kept)); !slices.Equal(counts, []int{1, 1, 5}) {
			t.Errorf("images by their facts: %v", counts)
		}
	})
}
