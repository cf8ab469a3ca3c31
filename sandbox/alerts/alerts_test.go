package alerts

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

const (
	// patience bounds every wait. It is no expectation of how long something takes.
	patience = 3 * time.Minute
	// lasts is what the test has each alert wait for before it fires, and go on where it does, instead of minutes and hours.
	lasts = "2s"
	// looks is how often Prometheus is to have looked at a healthy cluster.
	looks = 8
	// shop is a namespace and its channel.
	shop = "shop"
)

// TestAlerts has one thing after the other go wrong in a cluster that is healthy.
func TestAlerts(t *testing.T) {
	fetch(t)
	c := open(t)
	t.Run("healthy", c.healthy)
	t.Run("Clair away", c.clairAway)
	t.Run("settings broken", c.settingsBroken)
	t.Run("scans failing", c.scansFailing)
	t.Run("Slack away", c.slackAway)
	t.Run("webhook dead", c.webhookDead)
	t.Run("clairwatch down", c.down)
	t.Run("dashboard", c.dashboard)
}

// cluster is what the parts share.
type cluster struct {
	*stage.Stage
	daemon     *stage.Daemon
	prometheus *sandbox.Prometheus
}

// open starts everything, and waits until all is well.
func open(t *testing.T) *cluster {
	t.Helper()
	s, err := stage.Start(t.Context(), stage.Options{Log: t.Logf, Race: true})
	must(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{Stage: s}
	must(t, c.Watch(c.wait(t), shop, c.Scanner(shop)))
	for _, name := range []string{image.ShopAPI, image.ShopWorker} {
		c.run(t, shop, name)
	}
	c.daemon, err = c.Launch(c.wait(t), stage.Setup{Config: map[string]any{
		"groupWait":      "200ms",
		"dataEvery":      "1s",
		"leaderElection": map[string]any{"identity": "daemon"}, // which stays the same when it is started again
	}})
	must(t, err)
	must(t, c.daemon.AwaitReady(c.wait(t)))
	c.hears(t, shop, 1)
	c.await(t, "Clair to be asked", func(ctx context.Context) bool {
		m, err := c.daemon.Metrics(ctx)
		return err == nil && m[fmt.Sprintf("clairwatch_clair_up{clair=%q}", c.ClairURL+"/")] == 1
	})
	short := readRules(t, func(r *rule) {
		r.For = lasts
		if r.KeepFiringFor != "" {
			r.KeepFiringFor = lasts
		}
	})
	c.prometheus, err = c.AddPrometheus(c.wait(t), c.daemon.Addr, write(t, t.TempDir(), "alerts.yaml", short))
	must(t, err)
	c.await(t, "the first metrics", func(ctx context.Context) bool {
		n, err := c.prometheus.Query(ctx, "clairwatch_leader")
		return err == nil && n == 1
	})
	return c
}

// run runs a sample image and waits until it does.
func (c *cluster) run(t *testing.T, namespace, sample string) {
	t.Helper()
	name := strings.NewReplacer("/", "-", ":", "-", ".", "-").Replace(sample)
	must(t, c.Run(c.wait(t), stage.Workload{Namespace: namespace, Name: name, Image: c.Image(sample)}))
	must(t, c.AwaitRunning(c.wait(t), namespace, name, 1))
}

// hears waits until a channel has had n messages.
func (c *cluster) hears(t *testing.T, channel string, n int) {
	t.Helper()
	if _, err := c.Slack.WaitOn(c.wait(t), channel, n); err != nil {
		t.Fatalf("%s: %v; the log of the daemon ends with:\n%s", channel, err, c.daemon.Tail(60))
	}
}

// healthy has Prometheus look at it for a while: no alert fires, and none is about to.
func (c *cluster) healthy(t *testing.T) {
	seen := make(map[time.Time]bool)
	c.await(t, "Prometheus to look at the rules", func(ctx context.Context) bool {
		at, err := c.prometheus.Evaluated(ctx)
		must(t, err)
		alerts, err := c.prometheus.Alerts(ctx)
		must(t, err)
		if len(seen) > 1 && len(alerts) > 0 { // the first look may be older than the first metrics
			t.Fatalf("alerts of a healthy cluster: %v", alerts)
		}
		seen[at] = true
		return len(seen) > looks
	})
}

// clairAway ends Clair, and starts it again.
func (c *cluster) clairAway(t *testing.T) {
	must(t, c.Clair().Stop())
	a := c.fires(t, "ClairAway")
	if !strings.Contains(a.Annotations["summary"], c.ClairURL) {
		t.Errorf("nobody can tell which Clair is away: %s", a.Annotations["summary"])
	}
	must(t, c.Clair().Start(c.wait(t)))
	c.ends(t)
}

// settingsBroken writes a key that is no Scanner, as with an editor.
func (c *cluster) settingsBroken(t *testing.T) {
	must(t, c.Watch(c.wait(t), "blog", "clairBaseURL: "+c.ClairURL))
	if a := c.fires(t, "SettingsMistake"); a.Labels["key"] != "blog" {
		t.Errorf("the key is %q", a.Labels["key"])
	}
	must(t, c.Watch(c.wait(t), "blog", ""))
	c.ends(t)
}

// scansFailing ends the registry before Clair has seen an image that runs, and starts it again.
func (c *cluster) scansFailing(t *testing.T) {
	const namespace = "platform"
	c.run(t, namespace, image.PlatformGate)
	must(t, c.Process(sandbox.Registry).Stop())
	must(t, c.Watch(c.wait(t), namespace, c.Scanner(namespace)))
	a := c.fires(t, "ScansFailing")
	if !strings.HasPrefix(a.Annotations["summary"], "33.33% of") { // one of three
		t.Errorf("the summary is %q", a.Annotations["summary"])
	}
	must(t, c.Process(sandbox.Registry).Start(c.wait(t)))
	c.hears(t, namespace, 1)
	c.ends(t)
}

// slackAway has Slack answer with errors.
func (c *cluster) slackAway(t *testing.T) {
	c.Slack.FailNext(slackstand.Path(shop), math.MaxInt, slackstand.Answer{Status: 503, Body: "service_unavailable"})
	before := c.Slack.Counts(slackstand.Path(shop)).Accepted
	c.run(t, shop, image.ShopWeb)
	c.fires(t, "SlackAway")
	c.Slack.Mend(slackstand.Path(shop))
	c.hears(t, shop, before+1)
	c.ends(t)
}

// webhookDead has somebody revoke a webhook, and put another one in its place.
func (c *cluster) webhookDead(t *testing.T) {
	const other = "shop-again"
	c.Slack.FailNext(slackstand.Path(shop), math.MaxInt, slackstand.Answer{Status: 404, Body: "no_service"})
	c.run(t, shop, image.PlatformGate)
	c.fires(t, "ChannelBroken")
	must(t, c.Watch(c.wait(t), shop, c.Scanner(other)))
	c.hears(t, other, 1)
	c.ends(t)
}

// down kills clairwatch, and starts it again.
func (c *cluster) down(t *testing.T) {
	must(t, c.daemon.Kill())
	c.fires(t, "ClairwatchDown")
	must(t, c.daemon.Start(c.wait(t)))
	must(t, c.daemon.AwaitReady(c.wait(t)))
	c.ends(t)
}

// dashboard asks all that the dashboard asks: after all of that nothing there stays empty. The daemon has just been started
// again, and looks at its images once more.
func (c *cluster) dashboard(t *testing.T) {
	for where, query := range queries(t) {
		c.await(t, where+" not to be empty", func(ctx context.Context) bool {
			n, err := c.prometheus.Query(ctx, query)
			must(t, err)
			return n > 0
		})
	}
}

// fires waits until an alert fires. No other does.
func (c *cluster) fires(t *testing.T, name string) sandbox.Alert {
	t.Helper()
	var found sandbox.Alert
	c.await(t, name+" to fire", func(ctx context.Context) bool {
		firing := c.firing(ctx, t)
		if others := slices.DeleteFunc(slices.Collect(maps.Keys(firing)), func(other string) bool { return other == name }); len(others) > 0 {
			t.Errorf("%q fire too", others)
		}
		var is bool
		found, is = firing[name]
		return is
	})
	for key, text := range found.Annotations {
		if text == "" || strings.Contains(text, "{{") || strings.Contains(text, "<no value>") || strings.Contains(text, "error") && key == "summary" {
			t.Errorf("%s of %s is %q", key, name, text)
		}
	}
	return found
}

// ends waits until no alert fires any more, and none is about to.
func (c *cluster) ends(t *testing.T) {
	t.Helper()
	c.await(t, "all alerts to end", func(ctx context.Context) bool {
		alerts, err := c.prometheus.Alerts(ctx)
		must(t, err)
		return len(alerts) == 0
	})
}

// firing returns the alerts that fire, by name.
func (c *cluster) firing(ctx context.Context, t *testing.T) map[string]sandbox.Alert {
	t.Helper()
	alerts, err := c.prometheus.Alerts(ctx)
	must(t, err)
	firing := make(map[string]sandbox.Alert)
	for _, a := range alerts {
		if a.State == "firing" {
			firing[a.Labels["alertname"]] = a
		}
	}
	return firing
}

// await polls a condition that nothing announces.
func (c *cluster) await(t *testing.T, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx := c.wait(t)
	if err := stage.Await(ctx, what, func() (bool, error) { return holds(ctx), nil }); err != nil {
		t.Fatalf("%v; the log of the daemon ends with:\n%s", err, c.daemon.Tail(60))
	}
}

// wait returns a context that ends when patience does.
func (c *cluster) wait(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
