package watcher

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
)

// series are all of a metric, by the values of their labels in the order of the labels' names.
func series(t *testing.T, from prometheus.Registerer, name string) map[string]float64 {
	t.Helper()
	gatherer, ok := from.(prometheus.Gatherer)
	if !ok {
		t.Fatal("the registry cannot be read")
	}
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			all[strings.Join(values, " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all
}

// wantFindings checks clairwatch_findings, by "fixable namespace severity", but for what is zero.
func (r *rig) wantFindings(when string, want map[string]float64) {
	r.t.Helper()
	got := series(r.t, r.cfg.Metrics, "clairwatch_findings")
	for labels, n := range got {
		if n != want[labels] {
			r.t.Errorf("%s: %s is %v, want %v", when, labels, n, want[labels])
		}
	}
	for labels := range want {
		if _, has := got[labels]; !has {
			r.t.Errorf("%s: there is no %s", when, labels)
		}
	}
}

func TestFindingsMetric(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.found[digest(1)] = []vulnerability{
			{name: "CVE-1", severity: claircore.Critical}, {name: "CVE-2", severity: claircore.Critical, unfixed: true},
			{name: "CVE-3", severity: claircore.Low, unfixed: true}, {name: "CVE-4"},
		}
		c.found[digest(2)] = []vulnerability{{name: "CVE-1", severity: claircore.Critical}}
		c.found[digest(3)] = []vulnerability{}
		r.settings(map[string]string{"shop": scanner("shop") + "onlyFixable: true\nminSeverity: High\n", "blog": scanner("blog")})
		r.run(podOf("shop", "a", 1), podOf("shop", "b", 1), podOf("shop", "c", 2), podOf("blog", "a", 2), podOf("other", "a", 1))
		// The manifest of an image that runs anyway, by the digest of its index.
		byIndex := podOf("shop", "d", 9)
		r.registry.manifests[digest(9)] = map[registry.Platform]string{amd64: digest(1)}
		r.run(byIndex)
		r.start()
		want := map[string]float64{
			"true shop critical": 2, "false shop critical": 1, "false shop low": 1, "true shop unknown": 1,
			"true blog critical": 1,
		}
		r.wantFindings("at the start", want)
		if n := len(series(t, r.cfg.Metrics, "clairwatch_findings")); n != 2*2*len(findings.Severities) {
			t.Errorf("%d series", n)
		}

		r.delete("shop", "c")
		want["true shop critical"] = 1
		r.wantFindings("an image is gone", want)

		c.set(func(c *fakeClair) { c.found[digest(2)] = []vulnerability{} })
		r.w.lookAllAt(clairBase)
		r.pass(settled)
		want["true blog critical"] = 0
		r.wantFindings("a report has less", want)

		c.set(func(c *fakeClair) {
			c.fail = func(string) error { return &clair.Error{Op: "asking", Kind: clair.Temporary} }
		})
		r.w.lookAllAt(clairBase)
		r.pass(settled)
		r.wantFindings("the last report counts while there is none", want)

		r.settings(map[string]string{"shop": scanner("shop")})
		r.pass(settled)
		delete(want, "true blog critical")
		r.wantFindings("a namespace is not watched any more", want)
	})
}

// Of two Clairs the one counts that finds the worst, as long as the settings have it.
func TestFindingsOfTwoClairs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.clairs[clairBase].found[digest(1)] = []vulnerability{{name: "CVE-1", severity: claircore.High}, {name: "CVE-2", severity: claircore.High}}
		r.clairs[secondBase].found[digest(1)] = []vulnerability{{name: "CVE-1", severity: claircore.Critical}}
		r.settings(map[string]string{"shop": bothClairs("shop")})
		r.run(podOf("shop", "app", 1))
		r.start()
		r.wantFindings("both", map[string]float64{"true shop critical": 1})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.pass(settled)
		r.wantFindings("one", map[string]float64{"true shop high": 2})
	})
}

func TestBoundedNamespaces(t *testing.T) {
	counts := make(map[string]int)
	for i := range mostNamespaces {
		counts[fmt.Sprintf("ns-%04d", i)] = i + 1
	}
	add := func(a, b int) int { return a + b }
	if got := bounded(counts, add); len(got) != mostNamespaces || got["ns-0999"] != mostNamespaces {
		t.Errorf("%d namespaces become %d", len(counts), len(got))
	}
	counts["ns-1000"], counts["a"] = 5, 7
	got := bounded(counts, add)
	if len(got) != mostNamespaces+1 || got["a"] != 7 || got["ns-0998"] != 999 || got[theRest] != mostNamespaces+5 {
		t.Errorf("%d namespaces become %d: %d, %d, %d", len(counts), len(got), got["a"], got["ns-0998"], got[theRest])
	}
}

func TestSeverityLabels(t *testing.T) {
	for i, s := range findings.Severities {
		if severityLabels[i] != strings.ToLower(s.String()) {
			t.Errorf("%s is %s", s, severityLabels[i])
		}
	}
}

// Single images have series only where that is wanted.
func TestImageFindings(t *testing.T) {
	for _, on := range []bool{false, true} {
		t.Run(strconv.FormatBool(on), func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.cfg.ImageMetrics = on
				r.clairs[clairBase].found[digest(1)] = []vulnerability{
					{name: "CVE-1", severity: claircore.High}, {name: "CVE-2", severity: claircore.High, unfixed: true},
				}
				r.settings(map[string]string{"shop": scanner("shop")})
				r.run(podOf("shop", "app", 1))
				r.start()
				want := map[string]float64{digest(1) + " registry.example.com/shop/app1:v1 shop high": 2}
				if !on {
					want = nil
				}
				got := series(t, r.cfg.Metrics, "clairwatch_image_findings")
				if len(got) != len(want) || fmt.Sprint(got) != fmt.Sprint(map[string]float64(want)) && on {
					t.Errorf("got %v, want %v", got, want)
				}
				r.delete("shop", "app")
				if got := series(t, r.cfg.Metrics, "clairwatch_image_findings"); len(got) > 0 {
					t.Errorf("what is gone has %v", got)
				}
			})
		})
	}
}

// The worst images have series when there are too many for all, and names of any length make valid ones.
func TestImageFindingsAreBounded(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.ImageMetrics = true
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app", 1))
		r.start()
		const images = 2*mostImageSeries/len(findings.Severities) + 1
		var all breakdown
		for i := range all {
			all[i].fixable = 1
		}
		for n := range images {
			img := image{namespace: "shop", id: digest(n + 1000), platform: platformOf(nodeOf("node-1", "amd64"))}
			worse := all
			worse[0].unfixable = uint32(n)
			r.w.progress.start(img)
			r.w.progress.markFound(img, clairBase, reported{worse, fmt.Sprintf("shop/app%d:v1", n), &findings.Packed{}}) // of which no pod is looked for
			r.w.book.SetManifest(img.inLedger(), img.id)
		}
		got := series(t, r.cfg.Metrics, "clairwatch_image_findings")
		if len(got) != mostImageSeries {
			t.Errorf("%d series", len(got))
		}
		worst := fmt.Sprintf("%s shop/app%d:v1 shop critical", digest(images-1+1000), images-1)
		if n := got[worst]; n != float64(images) {
			t.Errorf("the worst image has %v, want %d", n, images)
		}
		left := series(t, r.cfg.Metrics, "clairwatch_image_findings_left_out")[""]
		if want := images*len(findings.Severities) + 1 - mostImageSeries; left != float64(want) {
			t.Errorf("%v are left out, want %d", left, want)
		}
	})
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.ImageMetrics = true
		r.settings(map[string]string{"shop": scanner("shop")})
		long := podOf("shop", "long", 1)
		long.Spec.Containers[0].Image = "registry.example.com/" + strings.Repeat("a", 2*longestImageLabel) + ":1"
		r.run(long)
		r.start()
		long.Spec.Containers[0].Image = long.Spec.Containers[0].Image[:longestImageLabel]
		want := digest(1) + " " + long.Spec.Containers[0].Image + " shop critical"
		if got := series(t, r.cfg.Metrics, "clairwatch_image_findings"); len(got) != 1 || got[want] != 1 {
			t.Errorf("got %v, want %s", got, want)
		}
	})
}
