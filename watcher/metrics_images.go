package watcher

import "github.com/prometheus/client_golang/prometheus"

// imageStates counts the running images by state when it is asked. A replica that stands by counts none: it looks at
// none.
type imageStates struct{ w *Watcher }

var (
	imagesDesc = prometheus.NewDesc("clairwatch_images",
		"Images that run in a namespace with a Scanner, each once in each namespace and for each platform, by state.",
		[]string{"state"}, nil)
	untriedAgeDesc = prometheus.NewDesc("clairwatch_images_untried_age_seconds",
		"For how long the image has waited, since it began to run or this replica to lead, that has not been tried for the longest time; 0 when all have been, and for a replica that stands by.",
		nil, nil)
)

// Describe implements prometheus.Collector.
func (imageStates) Describe(ch chan<- *prometheus.Desc) {
	ch <- imagesDesc
	ch <- untriedAgeDesc
}

// Collect implements prometheus.Collector.
func (s imageStates) Collect(ch chan<- prometheus.Metric) {
	var counts map[State]int
	waits := 0.0
	if s.w.leading.Load() {
		counts, waits = s.w.progress.count(), secondsSince(s.w.progress.oldestUntried())
	}
	for _, state := range States() {
		ch <- prometheus.MustNewConstMetric(imagesDesc, prometheus.GaugeValue, float64(counts[state]), string(state))
	}
	ch <- prometheus.MustNewConstMetric(untriedAgeDesc, prometheus.GaugeValue, waits)
}
