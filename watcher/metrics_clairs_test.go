package watcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/slack"
)

// clairSeries is a metric of a Clair; -1 where there is none.
func (r *rig) clairSeries(name, base string) float64 {
	r.t.Helper()
	v, has := series(r.t, r.cfg.Metrics, name)[base]
	if !has {
		return -1
	}
	return v
}

func TestClairMetrics(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		began := time.Now()
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{
			{Name: "debian/updater", Vulnerabilities: true, First: began.Add(-72 * time.Hour), Last: began.Add(-time.Hour)},
			{Name: "alpine-main", Vulnerabilities: true, First: began.Add(-72 * time.Hour), Last: began.Add(-2 * time.Hour)},
			{Name: "clair.epss", First: began.Add(-72 * time.Hour), Last: began.Add(-time.Minute)}, // which finds nothing
		}
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scannerAt(secondBase, "blog"), "none": scannerAt("http://not.there/", "none")})
		r.run(podOf("shop", "app", 1))
		r.start()
		r.pass(2 * dataRetry)
		probed := r.clairSeries("clairwatch_clair_probe_timestamp_seconds", clairBase)
		if probed < float64(began.Unix()) || probed > float64(time.Now().Unix()) {
			t.Errorf("probed at %v", probed)
		}
		for _, want := range []struct {
			name, base string
			value      float64
		}{
			{"clairwatch_clair_up", clairBase, 1},
			{"clairwatch_clair_loading", clairBase, 0},
			{"clairwatch_clair_data_timestamp_seconds", clairBase, float64(began.Add(-time.Hour).Unix())},
			// It does not say what data it has.
			{"clairwatch_clair_up", secondBase, 1},
			{"clairwatch_clair_data_timestamp_seconds", secondBase, -1},
			// Nobody can ask it.
			{"clairwatch_clair_up", "http://not.there/", 0},
			{"clairwatch_clair_probe_timestamp_seconds", "http://not.there/", -1},
		} {
			if got := r.clairSeries(want.name, want.base); got != want.value {
				t.Errorf("%s of %s is %v, want %v", want.name, want.base, got, want.value)
			}
		}

		c.set(func(c *fakeClair) { c.away = &clair.Error{Op: "asking", Kind: clair.Temporary} })
		r.pass(2 * time.Minute)
		if got := r.clairSeries("clairwatch_clair_up", clairBase); got != 0 {
			t.Errorf("up is %v while it does not answer", got)
		}
		if got := r.clairSeries("clairwatch_clair_data_timestamp_seconds", clairBase); got != float64(began.Add(-time.Hour).Unix()) {
			t.Errorf("its data is of %v", got)
		}
		c.set(func(c *fakeClair) { c.away, c.updaters = nil, slices.Clone(c.updaters[2:]) })
		r.pass(2 * time.Minute)
		if up, loading := r.clairSeries("clairwatch_clair_up", clairBase), r.clairSeries("clairwatch_clair_loading", clairBase); up != 1 || loading != 1 {
			t.Errorf("with scores alone up is %v and loading %v", up, loading)
		}
		if got := r.clairSeries("clairwatch_clair_data_timestamp_seconds", clairBase); got != -1 {
			t.Errorf("with scores alone its data is of %v", got)
		}
		c.set(func(c *fakeClair) { c.updaters = []clair.Updater{} })
		r.pass(2 * time.Minute)
		if up, loading := r.clairSeries("clairwatch_clair_up", clairBase), r.clairSeries("clairwatch_clair_loading", clairBase); up != 1 || loading != 1 {
			t.Errorf("without data up is %v and loading %v", up, loading)
		}
		r.settings(map[string]string{"shop": scannerAt(secondBase, "shop")})
		if got := r.clairSeries("clairwatch_clair_up", clairBase); got != -1 {
			t.Errorf("a Clair that is not in the settings is %v", got)
		}
	})
}

// A Clair that says what data it has, and gives no reports, is not up.
func TestMuteClairIsNotUp(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.clairs[clairBase].fail = func(call string) error {
			if call == "report" {
				return &clair.Error{Op: "fetching", Kind: clair.Temporary}
			}
			return nil
		}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app", 1))
		r.start()
		r.pass(20 * time.Minute)
		if got := r.clairSeries("clairwatch_clair_up", clairBase); got != 0 {
			t.Errorf("up is %v", got)
		}
		r.clairs[clairBase].set(func(c *fakeClair) { c.fail = nil })
		r.pass(time.Hour)
		if got := r.clairSeries("clairwatch_clair_up", clairBase); got != 1 {
			t.Errorf("up is %v when it gives reports again", got)
		}
	})
}

func TestManyClairs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		settings := make(map[string]string)
		for i := range mostClairs + 20 {
			base := fmt.Sprintf("http://clair-%03d/", i)
			settings[fmt.Sprintf("ns-%03d", i)] = scannerAt(base, "channel")
			r.clairs[base] = newFakeClair()
			r.clairs[base].updaters = []clair.Updater{{Name: "debian/updater", Vulnerabilities: true, First: time.Unix(1, 0), Last: time.Unix(int64(5000-i), 0)}}
		}
		r.settings(settings)
		r.start()
		r.pass(2 * dataRetry)
		up := series(t, r.cfg.Metrics, "clairwatch_clair_up")
		if len(up) != mostClairs+1 || up[theRest] != 1 || up["http://clair-099/"] != 1 {
			t.Errorf("%d series, the rest is %v", len(up), up[theRest])
		}
		if got := r.clairSeries("clairwatch_clair_data_timestamp_seconds", theRest); got != 5000-mostClairs-19 {
			t.Errorf("the oldest data of the rest is of %v", got)
		}
		probed := r.clairSeries("clairwatch_clair_probe_timestamp_seconds", theRest)
		// One that hides its updates does not hide how old those of another one are.
		r.clairs["http://clair-105/"].set(func(c *fakeClair) { c.updaters = nil })
		r.pass(2 * time.Minute)
		if got := r.clairSeries("clairwatch_clair_data_timestamp_seconds", theRest); got != 5000-mostClairs-19 {
			t.Errorf("with one that hides its updates the oldest data of the rest is of %v", got)
		}
		r.clairs["http://clair-110/"].set(func(c *fakeClair) { c.away = &clair.Error{Kind: clair.Temporary} })
		r.pass(2 * time.Minute)
		if got := r.clairSeries("clairwatch_clair_up", theRest); got != 0 {
			t.Errorf("one of the rest is away, and up is %v", got)
		}
		if got := r.clairSeries("clairwatch_clair_probe_timestamp_seconds", theRest); got < probed || got > float64(time.Now().Add(-time.Minute).Unix()) {
			t.Errorf("the rest was last asked at %v, which is not when the one that is away was", got)
		}
	})
}

func TestClairRequests(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{{Name: "debian/updater", Vulnerabilities: true, First: time.Now().Add(-time.Hour), Last: time.Now().Add(-time.Hour)}}
		c.slow = 7 * time.Second
		c.indexed[digest(2)] = true
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app", 1), podOf("shop", "other", 2))
		r.start()
		r.pass(settled)
		if r.metric("clairwatch_last_scan_timestamp_seconds") < float64(time.Now().Add(-settled).Unix()) {
			t.Error("the last scan is older than this test")
		}
		for labels, want := range map[[2]string]float64{
			{askReport, "not_found"}: 1, {askReport, outcomeOK}: 2, {askIndex, outcomeOK}: 1, {askIndex, "index_failed"}: 0,
		} {
			if got := r.metric("clairwatch_clair_requests_total", labels[:]...); got != want {
				t.Errorf("%v: %v, want %v", labels, got, want)
			}
		}
		for _, operation := range []string{askState, askUpdates} {
			if r.metric("clairwatch_clair_requests_total", operation, outcomeOK) == 0 {
				t.Errorf("no %s was counted", operation)
			}
		}
		// One image was indexed, which takes some seconds; one was not.
		for indexed, want := range map[string]float64{"true": c.slow.Seconds(), "false": 0} {
			count, sum := r.histogram("clairwatch_scan_duration_seconds", indexed)
			if count != 1 || sum != want {
				t.Errorf("indexed %s: %d scans of %v seconds", indexed, count, sum)
			}
		}
	})
}

// While a Clair has no time for a report nobody has begun to get one.
func TestScanDurationIsWithoutWaiting(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const images, lag = 4, 10 * time.Second
		c := r.clairs[clairBase]
		c.slots, c.reportSlots, c.reportLag = images, 1, lag
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(10 * time.Minute)
		// Each is asked about once before it is indexed, and once after that.
		if count, sum := r.histogram("clairwatch_scan_duration_seconds", "true"); count != images || sum > images*2*lag.Seconds() {
			t.Errorf("%d scans of %v seconds, want %d of %v", count, sum, images, images*2*lag.Seconds())
		}
	})
}

// histogram reads one by the value of its label.
func (r *rig) histogram(name, label string) (count uint64, sum float64) {
	r.t.Helper()
	families, err := r.cfg.Metrics.(prometheus.Gatherer).Gather()
	r.check(err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
			}
		}
	}
	r.t.Fatalf("no histogram %s of %s", name, label)
	return 0, 0
}

func TestClairOutcomes(t *testing.T) {
	seen := make(map[string]bool)
	for kind := clair.Temporary; kind <= clair.NoKey; kind++ {
		o := clairOutcome(fmt.Errorf("image x: %w", &clair.Error{Kind: kind}))
		if o == "" || seen[o] {
			t.Errorf("kind %d is %q", kind, o)
		}
		seen[o] = true
	}
	if len(seen) != len(clairOutcomes) {
		t.Errorf("%d outcomes of %d kinds", len(clairOutcomes), len(seen))
	}
	if got := clairOutcome(fmt.Errorf("fetching: %w", errGrace)); got != outcomeAbandoned {
		t.Errorf("what was cut short is %s", got)
	}
}

// What waits has an age, of the news and of the images that nobody has tried.
func TestMetricsOfWaiting(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		ages := func(when string, news, untried, pending float64) {
			t.Helper()
			for name, want := range map[string]float64{
				"clairwatch_news_pending_age_seconds": news, "clairwatch_images_untried_age_seconds": untried,
			} {
				if got := r.metric(name); got != want {
					t.Errorf("%s: %s is %v, want %v", when, name, got, want)
				}
			}
			if got := r.metric("clairwatch_namespace_news_pending", "shop"); got != pending {
				t.Errorf("%s: %v wait in the shop, want %v", when, got, pending)
			}
		}
		c := r.clairs[clairBase]
		c.slow = time.Minute
		r.slack.set(func(slack.Webhook) error { return &slack.Error{Kind: slack.Channel, Status: 404} })
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.run(podOf("shop", "app", 1))
		r.start()
		r.pass(20 * time.Second)
		ages("while it is indexed", 0, 20, 0)
		r.pass(100 * time.Second)
		ages("while Slack refuses", 60, 0, 1)
		if got := series(t, r.cfg.Metrics, "clairwatch_namespace_news_pending"); len(got) != 1 {
			t.Errorf("news of %v", got)
		}
		r.slack.set(nil)
		r.pass(20 * time.Minute)
		ages("when it is told", 0, 0, 0)
	})
}
