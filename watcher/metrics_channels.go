package watcher

import "github.com/prometheus/client_golang/prometheus"

// channelStates counts the channels by how they fare when it is asked.
type channelStates struct{ w *Watcher }

var channelsDesc = prometheus.NewDesc("clairwatch_channels",
	"Slack channels of the settings by how their last message fared: ok, or why it was not accepted.",
	[]string{"state"}, nil)

// Describe implements prometheus.Collector.
func (channelStates) Describe(ch chan<- *prometheus.Desc) { ch <- channelsDesc }

// Collect implements prometheus.Collector.
func (s channelStates) Collect(ch chan<- prometheus.Metric) {
	counts := make(map[channelState]int)
	for channel := range s.w.assigned.Load().webhooks() {
		counts[stateOf(s.w.delivery(channel))]++
	}
	for _, state := range channelStateNames {
		ch <- prometheus.MustNewConstMetric(channelsDesc, prometheus.GaugeValue, float64(counts[state]), string(state))
	}
}
