package watcher

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clairwatch/clairwatch/settings"
)

// metrics are the watcher's. Label values come from closed sets, and every series exists from the
// start, so that rates do too.
type metrics struct {
	scans    *prometheus.CounterVec
	messages *prometheus.CounterVec
	dropped  prometheus.Counter
	deleted  prometheus.Counter
	mistakes *prometheus.GaugeVec
	// notifications are Clair's webhooks.
	notifications *prometheus.CounterVec
}

// messageOutcomes are the labels of what became of a message.
var messageOutcomes = [...]string{"ok", "simplified", "unsaid", "temporary", "rate_limited", "payload", "channel"}

func newMetrics(reg prometheus.Registerer, w *Watcher) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		scans: f.NewCounterVec(prometheus.CounterOpts{
			Name: "clairwatch_scans_total",
			Help: "Scans of an image in a namespace, by outcome: ok, waiting for Clair's data, or why it failed.",
		}, []string{"outcome"}),
		messages: f.NewCounterVec(prometheus.CounterOpts{
			Name: "clairwatch_messages_total",
			Help: "Messages sent to Slack, by kind and outcome.",
		}, []string{"kind", "outcome"}),
		dropped: f.NewCounter(prometheus.CounterOpts{
			Name: "clairwatch_news_dropped_total",
			Help: "Pieces of news about images that run no more, dropped because their channel took nothing for two days.",
		}),
		deleted: f.NewCounter(prometheus.CounterOpts{
			Name: "clairwatch_clair_deleted_total",
			Help: "Images deleted from Clairs because nothing runs them any more.",
		}),
		mistakes: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clairwatch_settings_mistakes",
			Help: "Keys of the settings ConfigMap with a mistake, by key: 1 for each. Those that are no name of a namespace share a key, and so do those beyond a hundred.",
		}, []string{"key"}),
	}
	m.notifications = f.NewCounterVec(prometheus.CounterOpts{
		Name: "clairwatch_notifications_total",
		Help: "Webhooks received at /notify, by what became of them.",
	}, []string{"outcome"})
	for _, h := range hints {
		m.notifications.WithLabelValues(string(h))
	}
	for _, o := range append([]string{"ok", "waiting"}, causeLabels()...) {
		m.scans.WithLabelValues(o)
	}
	for _, k := range messageKinds {
		for _, o := range messageOutcomes {
			m.messages.WithLabelValues(k, o)
		}
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clairwatch_news_pending",
		Help: "Pieces of news that Slack has not accepted yet.",
	}, func() float64 { return float64(w.pending.count()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clairwatch_leader",
		Help: "1 while this replica tells, 0 while it stands by.",
	}, func() float64 {
		if w.leading.Load() {
			return 1
		}
		return 0
	})
	reg.MustRegister(imageStates{w.progress}, channelStates{w})
	return m
}

func causeLabels() []string {
	var labels []string
	for _, c := range Causes {
		labels = append(labels, string(c))
	}
	return labels
}

// imageStates counts the running images by state when it is asked.
type imageStates struct{ progress *progress }

var imagesDesc = prometheus.NewDesc("clairwatch_images",
	"Images that run in a namespace with a Scanner, each once in each namespace and for each platform, by state.",
	[]string{"state"}, nil)

// Describe implements prometheus.Collector.
func (imageStates) Describe(ch chan<- *prometheus.Desc) { ch <- imagesDesc }

// Collect implements prometheus.Collector.
func (s imageStates) Collect(ch chan<- prometheus.Metric) {
	counts := s.progress.count()
	for _, state := range States() {
		ch <- prometheus.MustNewConstMetric(imagesDesc, prometheus.GaugeValue, float64(counts[state]), string(state))
	}
}

// mostMistakes bounds how many keys have a label of their own.
const mostMistakes = 100

// setMistakes counts the keys that cannot be read by their names. Those that no namespace can have share a label, and
// so do those beyond mostMistakes.
func (m *metrics) setMistakes(mistakes settings.Mistakes) {
	m.mistakes.Reset()
	labels := make(map[string]struct{})
	for _, key := range mistakes.Keys() {
		if errors.Is(mistakes[key], settings.ErrDefaults) { // one mistake for all
			continue
		}
		label := shownKey(key)
		if _, has := labels[label]; !has && len(labels) == mostMistakes {
			label = "(more)"
		} else {
			labels[label] = struct{}{}
		}
		m.mistakes.WithLabelValues(label).Inc()
	}
}

// shownKey is a key of the settings as others than the log have it: one that no namespace can have may be anything.
func shownKey(key string) string {
	if key != settings.AllKey && key != settings.DefaultsKey && len(validation.IsDNS1123Label(key)) > 0 {
		return "(no namespace)"
	}
	return key
}

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
