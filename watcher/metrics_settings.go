package watcher

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clairwatch/clairwatch/settings"
)

// mostMistakes bounds how many keys have a label of their own.
const mostMistakes = 100

// settingsMistakes counts the keys of the settings that cannot be read when it is asked. A scrape never sees one version
// of the settings half: that a mistake stays is what an alert waits for.
type settingsMistakes struct{ w *Watcher }

var mistakesDesc = prometheus.NewDesc("clairwatch_settings_mistakes",
	"Keys of the settings ConfigMap with a mistake, by key: 1 for each. Those that are no name of a namespace share a key, and so do those beyond a hundred.",
	[]string{"key"}, nil)

// Describe implements prometheus.Collector.
func (settingsMistakes) Describe(ch chan<- *prometheus.Desc) { ch <- mistakesDesc }

// Collect implements prometheus.Collector.
func (s settingsMistakes) Collect(ch chan<- prometheus.Metric) {
	for key, count := range mistakesByLabel(s.w.assigned.Load().mistakes) {
		ch <- prometheus.MustNewConstMetric(mistakesDesc, prometheus.GaugeValue, float64(count), key)
	}
}

// mistakesByLabel counts the keys that cannot be read by their names. Those that no namespace can have share a label, and
// so do those beyond mostMistakes.
func mistakesByLabel(mistakes settings.Mistakes) map[string]int {
	counts := make(map[string]int)
	for _, key := range mistakes.Keys() {
		if errors.Is(mistakes[key], settings.ErrDefaults) { // one mistake for all
			continue
		}
		label := shownKey(key)
		if counts[label] == 0 && len(counts) >= mostMistakes {
			label = theRest
		}
		counts[label]++
	}
	return counts
}

// shownKey is a key of the settings as others than the log have it: one that no namespace can have may be anything.
func shownKey(key string) string {
	if key != settings.AllKey && key != settings.DefaultsKey && len(validation.IsDNS1123Label(key)) > 0 {
		return "(no namespace)"
	}
	return key
}
