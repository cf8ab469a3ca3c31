package watcher

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

// The one version that ends a vulnerability in all images is in the message, and so is which version is installed.
func TestOneDisclosedSaysTheFix(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.pass(settled)
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(1, 2)
		r.pass(settled)
		r.wantTexts("Now watching", "CVE-2026-31415…2 running images; fixed in 3.0.2…3.0.1")
	})
}

// How many of many have a fix is counted over all of them, not only over those with a name.
func TestManyDisclosedSayHowManyHaveAFix(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2), podOf("shop", "app-2", 2))
		r.start()
		r.pass(settled)
		var many []vulnerability
		for n := range 2 * worstNamed {
			many = append(many, vulnerability{name: fmt.Sprintf("CVE-2026-2%03d", n), severity: claircore.High})
		}
		r.disclose(many...)(1, 2)
		r.pass(settled)
		r.wantTexts("Now watching", "48 vulnerabilities newly disclosed in 2 running images: 48 high; 48 of 48 fixable…3 pods")
	})
}

// The rules of two namespaces see different parts of one image: it is one image all the same.
func TestDisclosedInOneImageToTwoRules(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("all") + "minSeverity: High\n", "blog": scanner("all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		n := len(r.slack.all())
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High}, vulnerability{name: "CVE-2026-31416", severity: claircore.Low})(1)
		r.pass(settled)
		got := r.slack.all()[n:]
		if len(got) == 0 {
			t.Fatal("nothing was told")
		}
		for _, m := range got {
			if !strings.Contains(m.text, "app1:v1: ") || strings.Contains(m.text, "running image") {
				t.Errorf("got %q", m.text)
			}
		}
	})
}

// An image that ended before its turn came is told with where it ran.
func TestDisclosedInWhatHasEnded(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("all"), "blog": scanner("all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-1", 2))
		r.start()
		r.pass(settled)
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(1, 2)
		r.delete("blog", "app-1")
		r.pass(settled)
		r.wantTexts("Now watching", "CVE-2026-31415…2 running images…app2:v1…\"blog\"")
	})
}

// Of what advisories say only as much is kept as a message can show.
func TestWorstOf(t *testing.T) {
	long := strings.Repeat("x", 2*longestDescription)
	var fs []findings.Finding
	for n := range 2 * worstNamed {
		fs = append(fs, findings.Finding{Name: fmt.Sprint("CVE-", n), Description: long})
	}
	worst := worstOf(fs)
	if len(worst) != worstNamed {
		t.Fatalf("%d findings, want %d", len(worst), worstNamed)
	}
	for i, f := range worst {
		want := 0
		if i == 0 {
			want = longestDescription
		}
		if f.Name != fs[i].Name || len(f.Description) != want {
			t.Errorf("%d: %s with %d bytes, want %d", i, f.Name, utf8.RuneCountInString(f.Description), want)
		}
		if fs[i].Description != long {
			t.Fatal("the report has lost its descriptions")
		}
	}
	if got := worstOf([]findings.Finding{{Description: "short"}}); len(got) != 1 || got[0].Description != "short" {
		t.Errorf("got %+v", got)
	}
}
