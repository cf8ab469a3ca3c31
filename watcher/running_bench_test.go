package watcher

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quay/claircore"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/settings"
)

// BenchmarkRunning lists 10,000 images of 20,000 pods, each with a report of which a channel was told.
func BenchmarkRunning(b *testing.B) {
	const namespaces, images, podsOfEach, entries = 100, 10_000, 2, 60
	w := newBenchWatcher(b)
	var known []findings.Entry
	for i := range entries {
		known = append(known, findings.Entry{ID: findings.ID(i + 1), Severity: claircore.High, Told: true})
	}
	assigned := &assignment{byNamespace: make(map[string][]listener)}
	for n := range images {
		namespace := fmt.Sprintf("ns-%d", n%namespaces)
		to := ledger.Destination{Key: namespace, Name: "default"}
		assigned.byNamespace[namespace] = []listener{{destination: to, clair: clairBase, look: settings.DefaultLook()}}
		for i := range podsOfEach {
			if err := w.pods.informer.GetIndexer().Add(newPod(podOf(namespace, fmt.Sprintf("app-%d-%d", n, i), n), false)); err != nil {
				b.Fatal(err)
			}
		}
		img := image{namespace: namespace, id: digest(n)}
		w.progress.start(img)
		w.book.SetManifest(img.inLedger(), img.id)
		w.book.Remember([]ledger.Told{{Destination: to, Digest: img.id, Change: findings.NewRecord(findings.Basis{Clair: 1}, known)}})
		found := reported{name: fmt.Sprintf("registry.example.com/shop/app%d:v1", n), packed: &findings.Packed{}}
		found.breakdown[n%len(found.breakdown)].fixable = uint32(n)
		w.progress.markFound(img, clairBase, found)
	}
	w.assigned.Store(assigned)
	w.leading.Store(true)
	b.ReportAllocs()
	for b.Loop() {
		if all := w.Running(); len(all) != images || !all[0].Told {
			b.Fatalf("%d images, %+v", len(all), all[0])
		}
	}
}

// newBenchWatcher is a Watcher that nothing runs.
func newBenchWatcher(b *testing.B) *Watcher {
	b.Helper()
	w, err := New(Config{
		Kubernetes: newFakeKube(), Metadata: metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme()),
		Metrics: prometheus.NewRegistry(), Log: newDiscardLog(),
	})
	if err != nil {
		b.Fatal(err)
	}
	return w
}
