package watcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/cache"

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
	// annotations are requests to annotate a pod.
	annotations *prometheus.CounterVec
	// notifications are Clair's webhooks.
	notifications *prometheus.CounterVec
	// durations are those of looks at an image that have led to a report, lastScan is when one last ended well.
	durations *prometheus.HistogramVec
	lastScan  prometheus.Gauge
	// clairRequests are what Clairs were asked.
	clairRequests *prometheus.CounterVec
	watchErrors   *prometheus.CounterVec
}

// watched are what is watched, as a label of errors.
var watched = [...]string{"pods", "nodes", "settings"}

// scanBuckets are seconds: a report takes some milliseconds, indexing up to a quarter of an hour.
var scanBuckets = [...]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900}

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
	m.annotations = f.NewCounterVec(prometheus.CounterOpts{
		Name: "clairwatch_annotations_total",
		Help: "Requests to annotate a pod, by outcome.",
	}, []string{"outcome"})
	for _, o := range annotationOutcomes {
		m.annotations.WithLabelValues(o)
	}
	m.notifications = f.NewCounterVec(prometheus.CounterOpts{
		Name: "clairwatch_notifications_total",
		Help: "Webhooks received at /notify, by what became of them.",
	}, []string{"outcome"})
	m.durations = f.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "clairwatch_scan_duration_seconds",
		Help:    "How long it took to get an image's report from a Clair, by whether it had to be indexed for that; without waiting in line.",
		Buckets: scanBuckets[:],
	}, []string{"indexed"})
	m.lastScan = f.NewGauge(prometheus.GaugeOpts{
		Name: "clairwatch_last_scan_timestamp_seconds",
		Help: "When an image was last looked at with success, in seconds since 1970; 0 before the first.",
	})
	m.clairRequests = f.NewCounterVec(prometheus.CounterOpts{
		Name: "clairwatch_clair_requests_total",
		Help: "What Clairs were asked, by what that was and how it ended.",
	}, []string{"operation", "outcome"})
	m.watchErrors = f.NewCounterVec(prometheus.CounterOpts{
		Name: "clairwatch_watch_errors_total",
		Help: "Times that the Kubernetes API did not let us list or watch something: what happens there is not seen until it does.",
	}, []string{"resource"})
	for _, resource := range watched {
		m.watchErrors.WithLabelValues(resource)
	}
	for _, indexed := range []string{"true", "false"} {
		m.durations.WithLabelValues(indexed)
	}
	for _, operation := range clairOperations {
		for _, outcome := range append(clairOutcomes[:], outcomeOK, outcomeAbandoned) {
			m.clairRequests.WithLabelValues(operation, outcome)
		}
	}
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
		Name: "clairwatch_news_pending_age_seconds",
		Help: "How long the oldest piece of news has waited for Slack to accept it; 0 when none waits.",
	}, func() float64 { return secondsSince(w.pending.oldest()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clairwatch_images_untried_age_seconds",
		Help: "How long ago the image began to run that has not been tried for the longest time; 0 when all have been, and for a replica that stands by.",
	}, func() float64 {
		if !w.leading.Load() {
			return 0
		}
		return secondsSince(w.progress.oldestUntried())
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clairwatch_leader",
		Help: "1 while this replica tells, 0 while it stands by.",
	}, func() float64 { return oneIf(w.leading.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clairwatch_synced",
		Help: "1 when everything has been seen that ran at the start.",
	}, func() float64 { return oneIf(w.Synced()) })
	reg.MustRegister(imageStates{w}, channelStates{w}, namespaceNews{w}, clairStates{w}, namespaceFindings{w}, annotatingStates{w})
	if w.cfg.ImageMetrics {
		reg.MustRegister(imageFindings{w})
	}
	return m
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// secondsSince is how long ago something was; 0 when it was never.
func secondsSince(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return time.Since(t).Seconds()
}

// countWatchErrors has it counted and logged, in place of client-go, when the API server does not let an informer list or
// watch. Ends that are in order, after which it lists or watches again, do not count.
func (w *Watcher) countWatchErrors(resource string, informer cache.SharedIndexInformer) error {
	counter := w.metrics.watchErrors.WithLabelValues(resource)
	err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || ctx.Err() != nil {
			w.log.Debug("a watch has ended, and is begun again", "resource", resource, "error", err)
			return
		}
		counter.Inc()
		w.log.Warn("the Kubernetes API does not let us watch: what happens there is not seen until it does; it is tried again",
			"resource", resource, "error", err)
	})
	if err != nil {
		return fmt.Errorf("counting the errors of watching %s: %w", resource, err)
	}
	return nil
}

func causeLabels() []string {
	var labels []string
	for _, c := range Causes {
		labels = append(labels, string(c))
	}
	return labels
}

// imageStates counts the running images by state when it is asked. A replica that stands by counts none: it looks at
// none.
type imageStates struct{ w *Watcher }

var imagesDesc = prometheus.NewDesc("clairwatch_images",
	"Images that run in a namespace with a Scanner, each once in each namespace and for each platform, by state.",
	[]string{"state"}, nil)

// Describe implements prometheus.Collector.
func (imageStates) Describe(ch chan<- *prometheus.Desc) { ch <- imagesDesc }

// Collect implements prometheus.Collector.
func (s imageStates) Collect(ch chan<- prometheus.Metric) {
	var counts map[State]int
	if s.w.leading.Load() {
		counts = s.w.progress.count()
	}
	for _, state := range States() {
		ch <- prometheus.MustNewConstMetric(imagesDesc, prometheus.GaugeValue, float64(counts[state]), string(state))
	}
}

// theRest is the label of what has none of its own, because there is too much.
const theRest = "(more)"

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
			label = theRest
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
