// Package disclosure tests that who runs an image hears of what becomes known about it: once, whichever way it is
// found, and nothing that is not so. All servers are real but Slack, and no report is fetched again because time has
// passed: what is found is found by Clair's webhook or by the probe.
package disclosure

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/gate"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// patience bounds every wait. It is no expectation of how long something takes.
const patience = 2 * time.Minute

// quiet is how long all channels are watched at the end for a message that must not come: several probes, and twice
// the daemon's groupWait.
const quiet = 4 * time.Second

// exactClair is the second Clair behind the gate.
const exactClair gate.Server = "exact clair"

// The channels, which are also the namespaces. Those of a Clair are named after it.
const (
	summaryDebian = "summary-debian"
	summaryAlpine = "summary-alpine"
	exactDebian   = "exact-debian"
	exactAlpine   = "exact-alpine"
	// corrections runs what summaryDebian runs, and wants to hear what is taken back; summaryDebian does not.
	corrections = "corrections"
	newcomers   = "newcomers"
	fleet       = "fleet"
)

// The exchanges that the parts look at.
var (
	reportPath       = regexp.MustCompile(`^/matcher/api/v1/vulnerability_report/`)
	notificationPath = regexp.MustCompile(`^/notifier/api/v1/notification/`)
	updatesPath      = regexp.MustCompile(`^/matcher/api/v1/internal/update_operation$`)
	// probePath is what the probe asks for; nothing else comes by itself.
	probePath = regexp.MustCompile(`^/indexer/api/v1/index_state$|` + updatesPath.String())
)

// TestDisclosure is one long story with one cluster, because most of the time of each part would be its start, and
// because what was told in one part must not be told again in another. The parts need their order.
func TestDisclosure(t *testing.T) {
	c := open(t)
	t.Run("what runs already", c.begin)
	t.Run("a new source", c.newSource)
	t.Run("disclosed", c.disclosed)
	t.Run("two updates in one poll", c.twoInOnePoll)
	t.Run("withdrawn", c.withdrawn)
	t.Run("nobody runs it", c.nobodyRunsIt)
	t.Run("hints that are replayed", c.replayed)
	t.Run("deleted from Clair", c.deleted)
	t.Run("data that is gone and comes back", c.emptied)
	t.Run("Postgres away", c.postgresAway)
	t.Run("Clair frozen", c.frozen)
	t.Run("many images", c.many)
	t.Run("a notification that is made again", c.madeAgain)
	t.Run("standby", c.standby)
	t.Run("the webhook alone", c.webhookAlone)
	t.Run("nothing further", c.nothingFurther)
}

// cluster is what the parts share.
type cluster struct {
	*stage.Stage
	// whole is the test that the parts are of.
	whole *testing.T
	gate  *stage.Gate
	// summary is the Clair whose notifier names the worst of what changed in an image, as Clair does by default;
	// exact is the one whose notifier names all of it.
	summary, exact *source
	samples        map[string]app
	// daemon is the one that tells, when it is not the turn of others.
	daemon *stage.Daemon
	// heard is how many messages each channel has had that were looked at.
	heard map[string]int
}

// source is a Clair, and what has been published of what it will know.
type source struct {
	*sandbox.ClairServer
	server  gate.Server
	address string // through the gate
	facts   []vulnerability.Fact
	// secret are the names of what each updater has not published.
	secret map[string][]string
}

// app is an image that runs.
type app struct {
	// name is how messages name it; ref is the image as pods do.
	name, ref string
	// digest is that of its manifest.
	digest     string
	repository string // with the registry's host
	image      v1.Image
}

// open starts everything but a daemon.
func open(t *testing.T) *cluster {
	t.Helper()
	ctx := t.Context()
	s, err := stage.Start(ctx, stage.Options{Log: t.Logf, Race: true, NoData: true})
	must(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	g, err := s.OpenGate()
	must(t, err)
	t.Cleanup(g.Close)
	c := &cluster{Stage: s, whole: t, gate: g, samples: make(map[string]app), heard: make(map[string]int)}
	samples, err := image.Samples()
	must(t, err)
	for _, sample := range samples {
		if img, single := sample.Artifact.(v1.Image); single {
			c.samples[sample.Name] = c.app(t, sample.Name, img)
		}
	}
	facts, err := vulnerability.Facts(vulnerability.Second)
	must(t, err)
	c.summary = &source{
		ClairServer: s.Clair(), server: stage.Clair, address: g.ClairURL, facts: facts,
		secret: map[string][]string{
			vulnerability.DebianUpdater: {openssl2024, curl2024, xz2025, krb2024, openssl2025, openssl2026},
			vulnerability.AlpineUpdater: {openssl2024, musl2025},
		},
	}
	c.exact = &source{
		server: exactClair, facts: facts,
		secret: map[string][]string{
			vulnerability.DebianUpdater: {openssl2024, openssl2025, xz2025, krb2024, gnutls2025, openssl2026},
			vulnerability.AlpineUpdater: {openssl2024, busybox2025},
		},
	}
	c.exact.ClairServer, err = s.AddClair(ctx, sandbox.ClairOptions{DisableSummary: true})
	must(t, err)
	c.exact.address, err = g.Open(exactClair, c.exact.URL, nil)
	must(t, err)
	return c
}

// What is published in the parts, each once by each updater to each Clair.
const (
	openssl2024 = "CVE-2024-6119"
	krb2024     = "CVE-2024-37371"
	curl2024    = "CVE-2024-8096" // of what runs only Alpine's images have curl
	musl2025    = "CVE-2025-26519"
	busybox2025 = "CVE-2025-46394"
	xz2025      = "CVE-2025-31115"
	gnutls2025  = "CVE-2025-32990"
	openssl2025 = "CVE-2025-9230"
	openssl2026 = "CVE-2025-15467"
)

func (c *cluster) app(t *testing.T, name string, img v1.Image) app {
	t.Helper()
	digest, err := img.Digest()
	must(t, err)
	repository, _, _ := strings.Cut(name, ":")
	return app{name: name, ref: c.Image(name), digest: digest.String(), repository: c.RegistryHost + "/" + repository, image: img}
}

// publish has an updater publish what was secret, and gives it to a Clair; with no name it gives what is published
// already. Nothing of the other updaters is in the bundle.
func (c *cluster) publish(t *testing.T, s *source, updater string, names ...string) {
	t.Helper()
	s.secret[updater] = slices.DeleteFunc(s.secret[updater], func(name string) bool { return slices.Contains(names, name) })
	c.give(t, s, updater)
}

// withdraw has an updater take back what it has published.
func (c *cluster) withdraw(t *testing.T, s *source, updater, name string) {
	t.Helper()
	s.secret[updater] = append(s.secret[updater], name)
	c.give(t, s, updater)
}

// give gives a Clair all that some updaters have published.
func (c *cluster) give(t *testing.T, s *source, updaters ...string) {
	t.Helper()
	facts := s.facts
	for _, updater := range []string{vulnerability.DebianUpdater, vulnerability.AlpineUpdater, vulnerability.CVSSEnricher} {
		if !slices.Contains(updaters, updater) {
			facts = vulnerability.Withhold(facts, updater)
		} else if secret := s.secret[updater]; len(secret) > 0 {
			facts = vulnerability.Withhold(facts, updater, secret...)
		}
	}
	must(t, c.ImportFacts(c.wait(t), s.ClairServer, facts))
}

// watch gives a namespace a Scanner whose channel has its name, and more settings.
func (c *cluster) watch(t *testing.T, namespace string, s *source, more string) {
	t.Helper()
	scanner := strings.Replace(c.gate.Scanner(namespace), c.gate.ClairURL, s.address, 1)
	must(t, c.Watch(c.wait(t), namespace, scanner+more))
}

// tellWithdrawn has a channel hear what is taken back. All but one have it, so that nothing is taken back by mistake
// without a word.
const tellWithdrawn = "tell: {withdrawn: true}\n"

// run runs images in a namespace and waits until they do.
func (c *cluster) run(t *testing.T, namespace string, apps ...app) {
	t.Helper()
	ctx := c.wait(t)
	workload := func(a app) string {
		name, _, _ := strings.Cut(a.name, ":")
		return strings.ReplaceAll(name, "/", "-")
	}
	for _, a := range apps {
		must(t, c.Run(ctx, stage.Workload{Namespace: namespace, Name: workload(a), Image: a.ref}))
	}
	for _, a := range apps {
		must(t, c.AwaitRunning(ctx, namespace, workload(a), 1))
	}
}

// launch starts a daemon that looks for newer data as often as it may, and is killed when the test ends.
func (c *cluster) launch(t *testing.T, setup stage.Setup, more map[string]any) *stage.Daemon {
	t.Helper()
	setup.Gate = c.gate
	clair := func(s *source) map[string]any {
		return map[string]any{
			"url": s.address,
			// Clair's notifier knows nothing of the gate.
			"callbackAliases": []string{s.URL},
			"reportTimeout":   "3s", // which is how long a frozen one is waited for
		}
	}
	setup.Config = map[string]any{
		"groupWait":      "1s",
		"groupMax":       "30s",
		"refresh":        "0s",
		"dataEvery":      "1s",
		"leaderElection": map[string]any{"identity": setup.Name, "duration": "18s"}, // who follows looks every 2 s
		"clairs":         []map[string]any{clair(c.summary), clair(c.exact)},
	}
	maps.Copy(setup.Config, more)
	d, err := c.Launch(c.wait(t), setup)
	must(t, err)
	c.whole.Cleanup(func() {
		if err := d.Kill(); err != nil {
			c.whole.Error(err)
		}
		for _, bad := range []string{"DATA RACE", "panic:", "/services/T00000000"} {
			if log, err := d.Log(); err != nil || strings.Contains(log, bad) {
				c.whole.Errorf("the log of %s has %q, or cannot be read (%v)", d.Name, bad, err)
			}
		}
	})
	return d
}

// hears waits for the next message of a channel, and checks what it says. That there was none in between that is not
// looked at is seen by that, and by [cluster.nothingFurther].
func (c *cluster) hears(t *testing.T, channel string, parts ...string) {
	t.Helper()
	n := c.heard[channel]
	messages, err := c.Slack.WaitOn(c.wait(t), channel, n+1)
	if err != nil {
		t.Fatalf("%s: %v; the log of %s ends with:\n%s", channel, err, c.daemon.Name, c.daemon.Tail(60))
	}
	c.heard[channel] = n + 1
	shown := slackstand.Render(messages[n], slackstand.Style{Width: 160})
	for _, p := range parts {
		if !strings.Contains(shown, p) {
			t.Errorf("message %d of %s lacks %q:\n%s", n+1, channel, p, shown)
		}
	}
}

// nothingFurther watches all channels for a while, and checks that each has had the messages that were looked at and
// no others.
func (c *cluster) nothingFurther(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	all := 0
	for _, n := range c.heard {
		all += n
	}
	if _, err := c.Slack.Wait(ctx, "", all+1); err != nil {
		return
	}
	for _, channel := range slices.Sorted(maps.Keys(c.heard)) {
		for i, m := range c.Slack.Messages(slackstand.Path(channel)) {
			if i >= c.heard[channel] {
				t.Errorf("message %d of %s should not be there:\n%s", i+1, channel, slackstand.Render(m, slackstand.Style{Width: 160}))
			}
		}
	}
	t.Errorf("more than %d messages", all)
}

// now is the end of what the gate has noted so far, for since.
func (c *cluster) now() int { return len(c.gate.Exchanges()) }

// since returns the exchanges with a Clair from a moment on whose path is one of some.
func (c *cluster) since(from int, s *source, path *regexp.Regexp) []gate.Exchange {
	return slices.DeleteFunc(c.gate.Exchanges()[from:], func(e gate.Exchange) bool {
		return e.Server != s.server || !path.MatchString(e.Path)
	})
}

// looked waits until a Clair has answered for the report of each image since a moment, and nothing is left to look at.
func (c *cluster) looked(t *testing.T, from int, s *source, apps ...app) {
	t.Helper()
	c.await(t, "all images to be looked at", func(ctx context.Context) bool {
		answered := make(map[string]bool)
		for _, e := range c.since(from, s, reportPath) {
			if e.Status > 0 {
				answered[reportPath.ReplaceAllString(e.Path, "")] = true
			}
		}
		return !slices.ContainsFunc(apps, func(a app) bool { return !answered[a.digest] }) && c.idle(ctx)
	})
}

// idle says whether the daemon has nothing to look at.
func (c *cluster) idle(ctx context.Context) bool {
	m, err := c.daemon.Metrics(ctx)
	return err == nil && m[`workqueue_depth{name="images"}`] == 0 && m[`workqueue_unfinished_work_seconds{name="images"}`] == 0 &&
		m["clairwatch_news_pending"] == 0
}

// settled waits until both Clairs have been asked whether their data is newer, from now on, and nothing is left to look
// at.
func (c *cluster) settled(t *testing.T) {
	t.Helper()
	from := c.now()
	c.await(t, "a probe, and nothing left to look at", func(ctx context.Context) bool {
		for _, s := range []*source{c.summary, c.exact} {
			if !slices.ContainsFunc(c.since(from, s, updatesPath), func(e gate.Exchange) bool { return e.Status > 0 }) {
				return false
			}
		}
		return c.idle(ctx)
	})
}

// notified counts the webhooks of an outcome that a daemon had.
func (c *cluster) notified(t *testing.T, d *stage.Daemon, outcome string) float64 {
	t.Helper()
	m, err := d.Metrics(c.wait(t))
	must(t, err)
	return m[fmt.Sprintf("clairwatch_notifications_total{outcome=%q}", outcome)]
}

// awaitNotified waits until a daemon had a number of webhooks of an outcome.
func (c *cluster) awaitNotified(t *testing.T, d *stage.Daemon, outcome string, least float64) {
	t.Helper()
	c.await(t, fmt.Sprintf("%v webhooks that are %s", least, outcome), func(context.Context) bool {
		return c.notified(t, d, outcome) >= least
	})
}

// await polls a condition that nothing announces.
func (c *cluster) await(t *testing.T, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx := c.wait(t)
	if err := stage.Await(ctx, what, func() (bool, error) { return holds(ctx), nil }); err != nil {
		t.Fatalf("%v; the log of %s ends with:\n%s", err, c.daemon.Name, c.daemon.Tail(60))
	}
}

// wait returns a context that ends when patience does.
func (c *cluster) wait(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
