package watcher

import "github.com/prometheus/client_golang/prometheus"

// newsStates says what news waits when it is asked. A replica that stands by tells nothing: with it nothing waits.
type newsStates struct{ w *Watcher }

var (
	newsDesc = prometheus.NewDesc("clairwatch_news_pending",
		"Pieces of news that Slack has not accepted yet; 0 for a replica that stands by.", nil, nil)
	newsAgeDesc = prometheus.NewDesc("clairwatch_news_pending_age_seconds",
		"How long the oldest piece of news has waited for Slack to accept it; 0 when none waits, and for a replica that stands by.", nil, nil)
	namespaceNewsDesc = prometheus.NewDesc("clairwatch_namespace_news_pending",
		"Pieces of news about each namespace that Slack has not accepted yet. Those of namespaces beyond a thousand share one.",
		[]string{"namespace"}, nil)
)

// Describe implements prometheus.Collector.
func (newsStates) Describe(ch chan<- *prometheus.Desc) {
	ch <- newsDesc
	ch <- newsAgeDesc
	ch <- namespaceNewsDesc
}

// Collect implements prometheus.Collector.
func (n newsStates) Collect(ch chan<- prometheus.Metric) {
	pending, age := 0, 0.0
	counts := make(map[string]int)
	if n.w.leading.Load() {
		pending, age, counts = n.w.pending.count(), secondsSince(n.w.pending.oldest()), n.w.pending.byNamespace()
		for _, namespace := range n.w.progress.namespaces() {
			counts[namespace] += 0 // nothing waits, which is to be seen too
		}
	}
	ch <- prometheus.MustNewConstMetric(newsDesc, prometheus.GaugeValue, float64(pending))
	ch <- prometheus.MustNewConstMetric(newsAgeDesc, prometheus.GaugeValue, age)
	for namespace, count := range bounded(counts, func(a, b int) int { return a + b }) {
		ch <- prometheus.MustNewConstMetric(namespaceNewsDesc, prometheus.GaugeValue, float64(count), namespace)
	}
}
