package watcher

import (
	"fmt"
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/clairwatch/clairwatch/slack"
)

// fullSettings is the data of a settings ConfigMap that is as large as one can be: a mebibyte.
func fullSettings() map[string]string {
	data := make(map[string]string)
	for size := 0; ; {
		key := fmt.Sprintf("team-%05d", len(data))
		value := scanner(key)
		if size += len(key) + len(value); size > 1<<20 {
			return data
		}
		data[key] = value
	}
}

func benchWatcher(b *testing.B) *Watcher {
	w, err := New(Config{
		Kubernetes: newFakeKube(),
		Metadata:   metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme()),
		Metrics:    prometheus.NewRegistry(),
		Log:        newDiscardLog(),
		Webhook:    func(address string) (slack.Webhook, error) { return slack.ParseWebhook(address, nil) },
	})
	if err != nil {
		b.Fatal(err)
	}
	return w
}

// BenchmarkSettings puts a settings ConfigMap in force that is as large as one can be, after an edit of one key of it.
func BenchmarkSettings(b *testing.B) {
	w, data := benchWatcher(b), fullSettings()
	w.assign(&corev1.ConfigMap{Data: data})
	b.ReportMetric(float64(len(data)), "keys")
	edited := maps.Clone(data)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		edited["team-00000"] = scanner(fmt.Sprintf("edit%d", n))
		w.assign(&corev1.ConfigMap{Data: edited})
	}
	if n := len(w.assigned.Load().mistakes); n > 0 {
		b.Fatalf("%d keys have mistakes", n)
	}
	b.ReportMetric(float64(len(data)), "keys")
}

// BenchmarkNudge is what each look costs besides with such settings.
func BenchmarkNudge(b *testing.B) {
	w, data := benchWatcher(b), fullSettings()
	w.assign(&corev1.ConfigMap{Data: data})
	b.ReportAllocs()
	for b.Loop() {
		w.nudge("team-00000")
	}
}
