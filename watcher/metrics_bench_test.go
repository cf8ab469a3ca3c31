package watcher

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/clairwatch/clairwatch/findings"
)

// BenchmarkGather is a scrape of a cluster of 100,000 pods that run 5,000 images, with series of single images.
func BenchmarkGather(b *testing.B) {
	const namespaces, images, podsOfEach = 100, 5000, 20
	reg := prometheus.NewRegistry()
	w, err := New(Config{
		Kubernetes: newFakeKube(), Metadata: metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme()),
		Metrics: reg, ImageMetrics: true, Log: newDiscardLog(),
	})
	if err != nil {
		b.Fatal(err)
	}
	assigned := &assignment{byNamespace: make(map[string][]listener)}
	for n := range images {
		namespace := fmt.Sprintf("ns-%d", n%namespaces)
		assigned.byNamespace[namespace] = []listener{{clair: clairBase}}
		for i := range podsOfEach {
			if err := w.pods.informer.GetIndexer().Add(newPod(podOf(namespace, fmt.Sprintf("app-%d-%d", n, i), n), false)); err != nil {
				b.Fatal(err)
			}
		}
		img := image{namespace: namespace, id: digest(n)}
		w.progress.start(img)
		w.book.SetManifest(img.inLedger(), img.id)
		found := reported{name: fmt.Sprintf("registry.example.com/shop/app%d:v1", n), packed: &findings.Packed{}}
		found.breakdown[n%len(found.breakdown)].fixable = uint32(n)
		w.progress.markFound(img, clairBase, found)
	}
	w.assigned.Store(assigned)
	w.leading.Store(true)
	b.ReportAllocs()
	for b.Loop() {
		families, err := reg.Gather()
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range families {
			if n := len(f.GetMetric()); f.GetName() == "clairwatch_image_findings" && n < images-1 { // one has no findings
				b.Fatalf("%d series of images", n)
			}
		}
	}
}
