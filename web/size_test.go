package web

import (
	"net/url"
	"runtime"
	"testing"

	"github.com/clairwatch/clairwatch/findings"
)

// largeCluster has 10,000 images.
func largeCluster() *fixture {
	return &fixture{cluster: Cluster{Leads: true}, images: toldImages(10_000), channels: manyChannels, clairs: manyClairs, having: manyHaving()}
}

// BenchmarkOverview makes the first page of 10,000 images.
func BenchmarkOverview(b *testing.B) {
	h := newPages(b, largeCluster())
	for name, query := range map[string]string{
		"all": "", "sorted": "sort=name&order=desc&page=20", "filtered": "severity=high&fixable=yes&q=web-1&sort=since",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = get(b, h, "/", query).Body.Len()
			}
			b.ReportMetric(float64(size), "bytes/page")
		})
	}
}

// TestViewsKeepNothing shows that the memory after 200 views of everything is that of before.
func TestViewsKeepNothing(t *testing.T) {
	source := largeCluster()
	source.report = apiSource().report
	source.images = source.images[:500]
	h := newPages(t, source)
	kept := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // also what pools keep from one to the next
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	view := func(i int) {
		query := url.Values{"q": {"web-" + string(rune('0'+i%10))}, "sort": {columns()[i%len(columns())].Word}}.Encode()
		for _, path := range []string{"/", "/images/" + source.images[i].Digest, "/api/v1/overview", "/api/v1/images", "/api/v1/namespaces"} {
			asked := ""
			if path == "/" || path == "/api/v1/images" {
				asked = query
			}
			if w := get(t, h, path, asked); w.Code != 200 {
				t.Fatalf("%s?%s: %d", path, asked, w.Code)
			}
		}
	}
	for i := range 20 {
		view(i)
	}
	before := kept()
	for i := range 200 {
		view(i)
	}
	const most = 256 << 10
	if after := kept(); after > before+most {
		t.Errorf("%d bytes before, %d after 200 views", before, after)
	}
	runtime.KeepAlive(source)
}

// BenchmarkVulnerability makes the page of what 1,000 of 10,000 images have.
func BenchmarkVulnerability(b *testing.B) {
	source := largeCluster()
	having := make(map[string][]findings.Finding)
	for i := range 1000 {
		having[digestOf(10*i)] = []findings.Finding{{Name: "CVE-2026-0001", Package: "openssl", Installed: "3.0.2", FixedIn: "3.0.9", Severity: findings.Severities[i%3]}}
	}
	source.having = map[string]map[string][]findings.Finding{"CVE-2026-0001": having}
	h := newPages(b, source)
	b.ReportAllocs()
	for b.Loop() {
		b.ReportMetric(float64(get(b, h, "/vulnerabilities/CVE-2026-0001", "").Body.Len()), "bytes/page")
	}
}
