package watcher

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/clairwatch/clairwatch/slack"
)

// gauges are the names of those of clairwatch that are not zero.
func gauges(t *testing.T, from prometheus.Registerer) []string {
	t.Helper()
	gatherer, ok := from.(prometheus.Gatherer)
	if !ok {
		t.Fatal("the registry cannot be read")
	}
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]struct{})
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if strings.HasPrefix(f.GetName(), "clairwatch_") && m.GetGauge().GetValue() != 0 {
				names[f.GetName()] = struct{}{}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Who stands by has no numbers that could be added to those of the leader: of what runs and what is told it counts
// nothing, whether it never led or leads no more. What it has is true of each replica, and read with max or min.
func TestMetricsOfAStandby(t *testing.T) {
	// The settings and whether they are followed are everybody's.
	never := []string{"clairwatch_annotating", "clairwatch_channels", "clairwatch_settings_mistakes", "clairwatch_synced"}
	// What it had done last, and the ledger that it had read.
	former := slices.Sorted(slices.Values(append([]string{
		"clairwatch_last_scan_timestamp_seconds", "clairwatch_ledger_bytes", "clairwatch_ledger_records",
	}, never...)))
	inRig(t, func(t *testing.T, r *rig) {
		leases := r.leases()
		r.cfg.ImageMetrics = true
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog"), "wrong": "no scanner"})
		r.slack.set(func(channel slack.Webhook) error {
			if blog, err := r.cfg.Webhook(webhook("blog")); err != nil || channel != blog {
				return err
			}
			return &slack.Error{Kind: slack.Channel, Status: http.StatusNotFound}
		})
		r.run(podOf("shop", "app", 1), podOf("blog", "app", 2))
		r.cfg.Lease = LeaseConfig{Name: "clairwatch", Identity: "a", Duration: 45 * time.Second}
		r.start()
		r.pass(settled)
		first, firstMetrics, endFirst := r.w, r.cfg.Metrics, r.end
		for _, name := range []string{
			"clairwatch_leader", "clairwatch_findings", "clairwatch_image_findings", "clairwatch_images", "clairwatch_clair_up",
			"clairwatch_news_pending", "clairwatch_news_pending_age_seconds", "clairwatch_namespace_news_pending",
		} {
			if !slices.Contains(gauges(t, firstMetrics), name) {
				t.Errorf("the leader has no %s", name)
			}
		}

		r.cfg.Lease.Identity = "b"
		r.start()
		defer func() { // the first one ends by itself
			_ = endFirst()
		}()
		r.pass(settled)
		if got := gauges(t, r.cfg.Metrics); !slices.Equal(got, never) {
			t.Errorf("who never led has %v, want %v", got, never)
		}

		// A look at an image, which takes no notice, keeps the former leader from its end.
		r.clairs[clairBase].set(func(c *fakeClair) { c.reportLag = 5 * time.Minute })
		r.run(podOf("shop", "other", 3))
		edit(leases, "clairwatch", func(l *coordinationv1.Lease) {
			other := "c"
			l.Spec.HolderIdentity = &other
		})
		r.pass(settled)
		if len(first.progress.count()) == 0 || first.pending.count() == 0 {
			t.Fatal("it has nothing that it could show")
		}
		if got := gauges(t, firstMetrics); !slices.Equal(got, former) {
			t.Errorf("who leads no more has %v, want %v", got, former)
		}
	})
}

// While a replica stands by it tries no image: that is no time that one has waited for.
func TestUntriedAgeAfterAFailover(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.leases()
		r.settings(map[string]string{"shop": scanner("shop")})
		r.cfg.Lease = LeaseConfig{Name: "clairwatch", Identity: "a", Duration: 45 * time.Second}
		r.start()
		r.run(podOf("shop", "app", 1))
		endFirst := r.end
		r.cfg.Lease.Identity = "b"
		r.start()
		r.pass(72 * time.Hour)
		r.clairs[clairBase].set(func(c *fakeClair) { c.reportLag = time.Hour })
		r.check(endFirst())
		r.pass(time.Minute)
		if got := r.metric("clairwatch_leader"); got != 1 {
			t.Fatalf("leader is %v", got)
		}
		if got := r.metric("clairwatch_images_untried_age_seconds"); got <= 0 || got > 60 {
			t.Errorf("an image has waited for %v s since a failover a minute ago", got)
		}
	})
}
