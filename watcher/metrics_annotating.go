package watcher

import "github.com/prometheus/client_golang/prometheus"

// annotatingStates has whether pods are annotated when it is asked.
type annotatingStates struct{ w *Watcher }

var annotatingDesc = prometheus.NewDesc("clairwatch_annotating",
	"Whether pods are annotated with what was told of them: 1 for the state that is.",
	[]string{"state"}, nil)

// Describe implements prometheus.Collector.
func (annotatingStates) Describe(ch chan<- *prometheus.Desc) { ch <- annotatingDesc }

// Collect implements prometheus.Collector.
func (s annotatingStates) Collect(ch chan<- prometheus.Metric) {
	now := s.w.annotator.state()
	for state, name := range annotatingNames {
		value := 0.0
		if annotating(state) == now {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(annotatingDesc, prometheus.GaugeValue, value, name)
	}
}
