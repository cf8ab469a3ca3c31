package web

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

// TestOccurrence shows what counts as having a vulnerability: what runs and is called so, each digest once.
func TestOccurrence(t *testing.T) {
	images := listed()
	twice := images[0]
	twice.Name = "ghcr.io/shop/copy:1"
	twice.Pods = 7
	images = append(images, twice)
	called := func(s findings.Severity) findings.Finding {
		return findings.Finding{Name: "CVE-2026-1", Package: "p", Severity: s}
	}
	mentions := findings.Finding{Name: "GHSA-1: a title", Package: "q", Link: "https://example.com/CVE-2026-1"}
	o := newOccurrence("cve-2026-1", map[string][]findings.Finding{
		digestOf(1):   {called(claircore.Low), called(claircore.High)},
		digestOf(3):   {mentions, called(claircore.Critical)},
		digestOf(4):   {mentions},
		digestOf(999): {called(claircore.Critical), mentions}, // does not run any more
		"":            {called(claircore.Critical)},
	}, images)
	var got []string
	for _, a := range o.called {
		got = append(got, fmt.Sprint(a.name, " ", len(a.names), " ", a.pods, " ", a.findings[0].Severity))
	}
	if want := "ghcr.io/shop/web:3 1 2 Critical|docker.io/library/nginx:1 2 7 High"; strings.Join(got, "|") != want {
		t.Errorf("%q, want %s", got, want)
	}
	if o.also != 1 || len(o.mentioned) != 2 || o.unread != 2 || o.uncovered != 1 || o.nowhere() {
		t.Errorf("%+v", o)
	}
	if ends := o.ends(); len(ends) != 1 || ends[0].images != 2 {
		t.Errorf("%+v", ends)
	}
	if names := o.otherNames(); len(names) != 1 || names[0].images != 2 || !slices.Equal(names[0].packages, []string{"q"}) {
		t.Errorf("%+v", names)
	}
	if !newOccurrence("x", map[string][]findings.Finding{digestOf(999): {mentions}}, images).nowhere() {
		t.Error("something that ended counts")
	}
}

// TestSameEverywhere shows that the page of a vulnerability, the first page and the API say the same of it.
func TestSameEverywhere(t *testing.T) {
	source := opensslSource()
	having := source.having["CVE-2024-6119"]
	having[digestOf(999)] = having[digestOf(2)] // does not run any more
	source.images = append(source.images, source.images[4])
	source.images[40].Name = "ghcr.io/shop/copy:1"
	h := newPages(t, source)
	var a apiVulnerabilityAnswer
	decodeStrictly(t, get(t, h, "/api/v1/vulnerabilities/ cve-2024-6119 ", "").Body.String(), &a)
	if a.Total != 3 || len(a.Items) != 3 || len(a.Mentioned) != 2 || a.NotRead != 6 || a.NotCovered != 2 || a.Severity != "high" || a.CVSS != 7.5 {
		t.Errorf("%+v", a)
	}
	page := get(t, h, "/vulnerabilities/CVE-2024-6119", "").Body.String()
	for _, says := range []string{"3 images have it", "6 images may have it of which no report was read", "2 images may have it that nobody checks", "<caption>3 images, "} {
		if !strings.Contains(page, says) {
			t.Errorf("the page does not say %q", says)
		}
	}
	last := -1
	for _, item := range a.Items {
		at := strings.Index(page, `"../images/`+item.Digest+`"`)
		if at <= last {
			t.Errorf("%s is not at its place in the page", item.Digest)
		}
		last = at
	}
	if page := get(t, h, "/", "q=CVE-2024-6119").Body.String(); !strings.Contains(page, "3 images have <bdi>CVE-2024-6119</bdi>, and 2 more have what mentions it") {
		t.Error("the first page says something else")
	}
	if n := strings.Count(page, `href="../vulnerabilities/RHSA-2024:6783"`); n != 1 {
		t.Errorf("%d links to what has a title", n)
	}
}
