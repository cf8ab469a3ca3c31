package watcher

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
)

// having is who has a name, as "image: names", in order.
func (r *rig) having(name string) []string {
	r.t.Helper()
	var all []string
	having := r.w.Having(name)
	for _, d := range slices.Sorted(maps.Keys(having)) {
		line := d[len(d)-1:] + ":"
		for _, f := range having[d] {
			line += " " + f.Name
			if f.Description != "" || f.Layer != "" || f.Installed != "3.0.1" || f.Package != "openssl" {
				r.t.Errorf("%s has %+v", d, f)
			}
			if !f.IsCalled(name) {
				line += "?"
			}
		}
		all = append(all, line)
	}
	return all
}

func TestHaving(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const link = "https://nvd.nist.gov/vuln/detail/CVE-2026-0001"
		c := r.clairs[clairBase]
		c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.High}, {name: "CVE-2026-0002", severity: claircore.Low}}
		c.found[digest(2)] = []vulnerability{{name: "GHSA-aaaa-bbbb-cccc", severity: claircore.High, links: link}}
		c.found[digest(3)] = []vulnerability{{name: "RHSA-2026:0003: a title", severity: claircore.High}}
		c.found[digest(4)] = []vulnerability{
			{name: "GHSA-dddd-eeee-ffff", severity: claircore.Critical, links: link}, {name: "CVE-2026-0001", severity: claircore.Low, unfixed: true},
		}
		c.found[digest(5)] = nil
		// What another Clair says, which reports the same beside something worse.
		second := r.clairs[secondBase]
		second.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.High}, {name: "CVE-2026-0002", severity: claircore.Critical}}
		r.settings(map[string]string{"shop": bothClairs("shop"), "blog": scanner("blog") + "minSeverity: Critical\n"})
		r.registry.manifests[digest(9)] = map[registry.Platform]string{amd64: digest(1)}
		r.run(podOf("shop", "a", 1), podOf("blog", "a", 1), podOf("shop", "by-index", 9), podOf("blog", "b", 2), podOf("blog", "c", 3), podOf("blog", "d", 4), podOf("blog", "e", 5),
			podOf("other", "a", 6))
		r.start()
		r.pass(settled)
		for name, want := range map[string][]string{
			"CVE-2026-0001":       {"1: CVE-2026-0001", "2: GHSA-aaaa-bbbb-cccc?", "4: GHSA-dddd-eeee-ffff? CVE-2026-0001"},
			"cve-2026-0001":       {"1: CVE-2026-0001", "2: GHSA-aaaa-bbbb-cccc?", "4: GHSA-dddd-eeee-ffff? CVE-2026-0001"},
			"CVE-2026-0002":       {"1: CVE-2026-0002"},
			"GHSA-aaaa-bbbb-cccc": {"2: GHSA-aaaa-bbbb-cccc"},
			"rhsa-2026:0003":      {"3: RHSA-2026:0003: a title"},
			"CVE-2026":            nil,
			"openssl":             nil,
			"":                    nil,
		} {
			if got := r.having(name); !slices.Equal(got, want) {
				t.Errorf("%q: got %q, want %q", name, got, want)
			}
		}
		if got := r.w.Having("CVE-2026-0002")[digest(1)]; len(got) != 1 || got[0].Severity != claircore.Critical {
			t.Errorf("of two Clairs: %+v", got)
		}

		r.delete("blog", "b")
		if got := r.having("GHSA-aaaa-bbbb-cccc"); got != nil {
			t.Errorf("of what is gone: %q", got)
		}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.pass(settled)
		if got := r.w.Having("CVE-2026-0002")[digest(1)]; len(got) != 1 || got[0].Severity != claircore.Low {
			t.Errorf("of the Clair that the settings have: %+v", got)
		}
		if got := r.having("CVE-2026-0001"); !slices.Equal(got, []string{"1: CVE-2026-0001"}) {
			t.Errorf("of the namespace that the settings have: %q", got)
		}
		r.stop()
		if got := r.w.Having("CVE-2026-0001"); got != nil {
			t.Errorf("when it leads no more: %v", got)
		}
	})
}

// What a description mentions is found although no description is kept.
func TestHavingByDescription(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "a", 1), podOf("shop", "b", 2))
		r.start()
		r.pass(settled)
		img := image{namespace: "shop", id: digest(1), platform: amd64}
		r.w.progress.markFound(img, clairBase, reportedOf([]findings.Finding{
			{Name: "GO-2026-0001", Package: "a", Description: "Also known as CVE-2026-0007 (GHSA-aaaa-bbbb-cccc)."},
		}, "app"))
		for _, name := range []string{"CVE-2026-0007", "ghsa-aaaa-bbbb-cccc", "GO-2026-0001"} {
			if got := r.w.Having(name); len(got) != 1 || len(got[digest(1)]) != 1 || got[digest(1)][0].Description != "" {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
}

// BenchmarkHaving looks for a name in 5,000 images of 120 findings each.
func BenchmarkHaving(b *testing.B) {
	const images, shapes = 5000, 50
	w := newBenchWatcher(b)
	assigned := &assignment{byNamespace: map[string][]listener{"shop": {{clair: clairBase}}}}
	var found [shapes]reported
	for i := range found {
		found[i] = reportedOf(manyFindings(i), "app")
	}
	for n := range images {
		img := image{namespace: "shop", id: digest(n)}
		w.progress.start(img)
		w.book.SetManifest(img.inLedger(), img.id)
		f := found[n%shapes]
		packed := *f.packed
		f.packed = &packed // which no other one shares
		w.progress.markFound(img, clairBase, f)
	}
	w.assigned.Store(assigned)
	w.leading.Store(true)
	b.ReportAllocs()
	for b.Loop() {
		if got := w.Having("CVE-2026-00042"); len(got) != images {
			b.Fatalf("%d images", len(got))
		}
	}
}

// manyFindings are those of an image, by its number: 120 in packages of versions of its own.
func manyFindings(image int) []findings.Finding {
	var fs []findings.Finding
	for n := range 120 {
		fs = append(fs, findings.Finding{
			Name: fmt.Sprintf("CVE-2026-%05d", n), Package: fmt.Sprintf("library-%d", n/3), Installed: fmt.Sprintf("3.%d.%d", image, n/3),
			FixedIn: "9", Severity: claircore.High, Updater: "debian/updater", Link: fmt.Sprintf("https://security-tracker.debian.org/tracker/CVE-2026-%05d", n),
		})
	}
	return fs
}

// What has the same report in several namespaces is kept once.
func TestPackedIsShared(t *testing.T) {
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
		kept := make(map[*findings.Packed]int)
		for _, held := range r.w.progress.packed(r.w.inForce()) {
			kept[held.packed]++
		}
		if counts := slices.Sorted(maps.Values(kept)); !slices.Equal(counts, []int{1, 1, 5}) {
			t.Errorf("images by their findings: %v", counts)
		}
	})
}

// The findings of all images together have a bound. What is beyond is counted and not kept, until there is room again.
func TestPackedIsBounded(t *testing.T) {
	p := newProgress()
	var fs []findings.Finding
	for i := range 10_000 {
		fs = append(fs, findings.Finding{Name: fmt.Sprintf("CVE-2026-%05d", i), Severity: claircore.High})
	}
	large := reportedOf(fs, "app")
	size := large.packed.Size()
	most := packedMost / size
	at := func(n int) image { return image{namespace: fmt.Sprint(n), id: "sha256:1"} }
	for n := range most + 1 {
		p.start(at(n))
		for range 2 { // as the next look does
			if kept := p.markFound(at(n), "a", large); kept != (n < most) {
				t.Fatalf("image %d of %d is kept: %t", n, most, kept)
			}
		}
	}
	if p.packedSize != most*size {
		t.Errorf("%d bytes are kept, want %d", p.packedSize, most*size)
	}
	if found := p.found(func(string, string) bool { return true })[at(most)]; found.breakdown != large.breakdown || found.packed.Size() != 0 {
		t.Errorf("of the last one there is %+v", found)
	}
	p.forget(at(0))
	if !p.markFound(at(most), "a", large) {
		t.Error("there is no room when one has gone")
	}
	for n := range most + 1 {
		p.forget(at(n))
	}
	if p.packedSize != 0 {
		t.Errorf("%d bytes are kept of nothing", p.packedSize)
	}
}
