package watcher

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the watcher's own counts; what can be seen from its state is collected when it is asked for. Label values
// come from closed sets, and each of their series exists from the start, so that rates do too. Namespaces, images, Clairs
// and keys of the settings are no closed sets: they have series while there is something to say of them, and not without
// end.
type metrics struct {
	scans    *prometheus.CounterVec
	messages *prometheus.CounterVec
	dropped  prometheus.Counter
	deleted  prometheus.Counter
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

// scanBuckets are seconds: a report takes some milliseconds, indexing up to a quarter of an hour.
var scanBuckets = [...]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900}

// messageOutcomes are the labels of what became of a message.
var messageOutcomes = [...]string{"ok", "simplified", "unsaid", "temporary", "rate_limited", "payload", "channel"}

// theRest is the label of what has none of its own, because there is too much.
const theRest = "(more)"

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
		annotations: f.NewCounterVec(prometheus.CounterOpts{
			Name: "clairwatch_annotations_total",
			Help: "Requests to annotate a pod, by outcome.",
		}, []string{"outcome"}),
		notifications: f.NewCounterVec(prometheus.CounterOpts{
			Name: "clairwatch_notifications_total",
			Help: "Webhooks received at /notify, by what became of them.",
		}, []string{"outcome"}),
		durations: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "clairwatch_scan_duration_seconds",
			Help:    "How long it took to get an image's report from a Clair, by whether it had to be indexed for that; without waiting until that Clair has time.",
			Buckets: scanBuckets[:],
		}, []string{"indexed"}),
		lastScan: f.NewGauge(prometheus.GaugeOpts{
			Name: "clairwatch_last_scan_timestamp_seconds",
			Help: "When an image was last looked at with success, in seconds since 1970; 0 before the first.",
		}),
		clairRequests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "clairwatch_clair_requests_total",
			Help: "What Clairs were asked, by what that was and how it ended.",
		}, []string{"operation", "outcome"}),
		watchErrors: f.NewCounterVec(prometheus.CounterOpts{
			Name: "clairwatch_watch_errors_total",
			Help: "Times that listing something of the Kubernetes API, or beginning to watch it, failed: what happens there is not seen until it does not. A watch whose connection is refused, or that is answered with too many requests, is tried again without being counted.",
		}, []string{"resource"}),
	}
	zero(m.scans, append([]string{"ok", "waiting"}, texts(Causes[:])...))
	zero(m.messages, messageKinds[:], messageOutcomes[:])
	zero(m.annotations, annotationOutcomes[:])
	zero(m.notifications, texts(hints[:]))
	zero(m.durations, []string{"true", "false"})
	zero(m.clairRequests, clairOperations[:], append(clairOutcomes[:], outcomeOK, outcomeAbandoned))
	zero(m.watchErrors, watched[:])
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clairwatch_leader",
		Help: "1 while this replica tells, 0 while it stands by.",
	}, func() float64 { return oneIf(w.leading.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clairwatch_synced",
		Help: "1 when everything has been seen that ran at the start.",
	}, func() float64 { return oneIf(w.Synced()) })
	reg.MustRegister(settingsMistakes{w}, channelStates{w}, clairStates{w}, imageStates{w}, namespaceFindings{w}, newsStates{w}, annotatingStates{w})
	if w.cfg.ImageMetrics {
		reg.MustRegister(imageFindings{w})
	}
	return m
}

// zero has every series of a metric exist whose labels have closed sets of values: those of each label, in their order.
func zero[M any](metric interface{ WithLabelValues(...string) M }, values ...[]string) {
	combinations := [][]string{nil}
	for _, of := range values {
		var longer [][]string
		for _, c := range combinations {
			for _, value := range of {
				longer = append(longer, append(c[:len(c):len(c)], value))
			}
		}
		combinations = longer
	}
	for _, c := range combinations {
		metric.WithLabelValues(c...)
	}
}

// texts are some values as labels.
func texts[S ~string](values []S) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = string(v)
	}
	return all
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
