package watcher

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/settings"
)

func newDiscardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestMetrics(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.ImageMetrics = true
		r.start()
		gatherer, ok := r.cfg.Metrics.(prometheus.Gatherer)
		if !ok {
			t.Fatal("the registry cannot be read")
		}
		families, err := gatherer.Gather()
		r.check(err)
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		r.check(err)
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		// Every series of labels with closed sets of values exists from the start.
		got := make(map[string]int)
		for _, f := range families {
			got[f.GetName()] = len(f.GetMetric())
		}
		want := map[string]int{
			"clairwatch_scans_total":                      2 + len(Causes),
			"clairwatch_messages_total":                   len(messageKinds) * len(messageOutcomes),
			"clairwatch_settings_mistakes":                0, // one for each key that cannot be read
			"clairwatch_notifications_total":              len(hints),
			"clairwatch_news_pending":                     1,
			"clairwatch_news_dropped_total":               1,
			"clairwatch_news_pending_age_seconds":         1,
			"clairwatch_images":                           len(States()),
			"clairwatch_images_untried_age_seconds":       1,
			"clairwatch_scan_duration_seconds":            2,
			"clairwatch_last_scan_timestamp_seconds":      1,
			"clairwatch_findings":                         0, // 12 for each namespace with a report
			"clairwatch_image_findings_left_out":          1,
			"clairwatch_synced":                           1,
			"clairwatch_watch_errors_total":               3,
			"clairwatch_clair_requests_total":             7 * 13,
			"clairwatch_channels":                         len(channelStateNames),
			"clairwatch_leader":                           1,
			"clairwatch_annotating":                       len(annotatingNames),
			"clairwatch_annotations_total":                len(annotationOutcomes),
			"clairwatch_clair_deleted_total":              1,
			"clairwatch_ledger_writes_total":              3,
			"clairwatch_ledger_unreadable_total":          1,
			"clairwatch_ledger_bytes":                     ledger.Shards,
			"clairwatch_ledger_records":                   1,
			"clairwatch_ledger_left_out":                  1,
			"workqueue_depth":                             2,
			"workqueue_adds_total":                        2,
			"workqueue_retries_total":                     2,
			"workqueue_queue_duration_seconds":            2,
			"workqueue_work_duration_seconds":             2,
			"workqueue_unfinished_work_seconds":           2,
			"workqueue_longest_running_processor_seconds": 2,
		}
		for name, n := range want {
			if got[name] != n {
				t.Errorf("%s has %d series, want %d", name, got[name], n)
			}
		}
		for name := range got {
			if _, known := want[name]; !known {
				t.Errorf("%s is not described here", name)
			}
		}
	})
}

func TestMetricsCount(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop"), "blog": "no scanner"})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		if got := r.metric("clairwatch_images", "scanned"); got != 1 {
			t.Errorf("%v images are scanned, want 1", got)
		}
		if got := r.metric("clairwatch_scans_total", "ok"); got != 1 {
			t.Errorf("%v scans, want 1", got)
		}
		if got := r.metric("clairwatch_news_pending"); got != 1 {
			t.Errorf("%v pieces of news are pending, want 1", got)
		}
		if got := r.metric("clairwatch_settings_mistakes", "blog"); got != 1 {
			t.Errorf("%v mistakes, want 1", got)
		}
		r.pass(settled)
		if got := r.metric("clairwatch_messages_total", "report", "ok"); got != 1 {
			t.Errorf("%v reports were sent, want 1", got)
		}
		r.delete("shop", "app-0")
		if got := r.metric("clairwatch_images", "scanned"); got != 0 {
			t.Errorf("%v images are scanned, want 0", got)
		}
		if got := r.metric("clairwatch_scans_total", "ok"); got != 1 {
			t.Errorf("forgetting an image counts as a scan: %v", got)
		}
	})
}

// The keys that have a mistake are labels only as far as they are names of namespaces, and not without end.
func TestMetricOfMistakes(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		data := map[string]string{"Web_One": "", "Web_Two": "", "_defaults": "name: x", "inherits": scanner("x")}
		for i := range 150 {
			data[fmt.Sprintf("ns-%03d", i)] = "no scanner"
		}
		r.settings(data)
		r.start()
		for label, want := range map[string]float64{"(no namespace)": 2, "_defaults": 1, "ns-000": 1, "ns-097": 1, "(more)": 52} {
			if got := r.metric("clairwatch_settings_mistakes", label); got != want {
				t.Errorf("%s: %v mistakes, want %v", label, got, want)
			}
		}
		r.settings(map[string]string{"shop": scanner("shop")})
		families, err := r.cfg.Metrics.(prometheus.Gatherer).Gather()
		r.check(err)
		for _, f := range families {
			if f.GetName() == "clairwatch_settings_mistakes" {
				t.Errorf("mistakes that are mended: %v", f)
			}
		}
	})
}

// While settings are put in force a scrape sees the mistakes of before or those of now, and never none: they are those
// of the assignment.
func TestMistakesAreThoseInForce(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": "no scanner"})
		r.start()
		for _, mistakes := range []settings.Mistakes{{"blog": errors.New("no")}, {}} {
			now := *r.w.assigned.Load()
			now.mistakes = mistakes
			r.w.assigned.Store(&now)
			got := series(t, r.cfg.Metrics, "clairwatch_settings_mistakes")
			if len(got) != len(mistakes) || got["blog"] != float64(len(mistakes)) {
				t.Errorf("mistakes %v have %v", mistakes, got)
			}
		}
	})
}
