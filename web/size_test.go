package web

import (
	"net/url"
	"runtime"
	"testing"
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
		for _, path := range []string{"/", "/images/" + digestOf(i), "/api/v1/overview", "/api/v1/images", "/api/v1/namespaces"} {
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
