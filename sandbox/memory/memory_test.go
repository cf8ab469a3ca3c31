// Package memory tests what clairwatch remembers: it is killed, restarted, doubled, and its servers change
// behind its back, and no team may hear anything twice or miss anything. All servers are real but Slack.
package memory

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/clairwatch/clairwatch/sandbox/gate"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// patience bounds every wait. It is no expectation of how long something takes.
const patience = 3 * time.Minute

// fleetSize is how many images there are to run.
const fleetSize = 300

// TestMemory has one cluster for all of its parts, because most of their time would be its start. Each part
// begins with a clairwatch that remembers nothing, and with namespaces of its own.
func TestMemory(t *testing.T) {
	ctx := t.Context()
	s, err := stage.Start(ctx, stage.Options{Log: t.Logf, Race: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	g, err := s.OpenGate()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	c := &cluster{Stage: s, gate: g, used: make(map[string]bool)}
	fleet, err := image.Fleet(fleetSize)
	if err != nil {
		t.Fatal(err)
	}
	must(t, s.Push(ctx, fleet...))
	c.fleet = fleet

	t.Run("killed", c.killed)
	t.Run("restart", c.restart)
	t.Run("two", c.two)
	t.Run("downtime", c.downtime)
	t.Run("destinations", c.destinations)
	t.Run("deletion", c.deletion)
}

// The exchanges that the parts look at.
var (
	ledgerPath = regexp.MustCompile(`^/api/v1/namespaces/clairwatch/configmaps/` + stage.LedgerPrefix + `\d+$`)
	leasePath  = regexp.MustCompile(`^/apis/coordination.k8s.io/v1/namespaces/clairwatch/leases(/clairwatch)?$`)
	reportPath = regexp.MustCompile(`^/matcher/api/v1/vulnerability_report/`)
	indexPath  = regexp.MustCompile(`^/indexer/api/v1/index_report$`)

	// A shard is made without what it is to hold, and then written.
	ledgerMaking    = gate.Pattern{Server: stage.API, Methods: []string{"PATCH"}, Path: ledgerPath}
	ledgerWrites    = gate.Pattern{Server: stage.API, Methods: []string{"PUT"}, Path: ledgerPath}
	reports         = gate.Pattern{Server: stage.Clair, Methods: []string{"GET"}, Path: reportPath}
	indexing        = gate.Pattern{Server: stage.Clair, Methods: []string{"POST"}, Path: indexPath}
	toRegistry      = gate.Pattern{Server: stage.Registry}
	toSlack         = gate.Pattern{Server: stage.Slack}
	acceptedBySlack = gate.Pattern{Server: stage.Slack, Done: true}
)

// cluster is what the parts of the test share.
type cluster struct {
	*stage.Stage
	gate  *stage.Gate
	fleet []image.Sample
	// taken is how many images of the fleet the parts have had: each has its own.
	taken int
	// used are the namespaces in which something runs.
	used map[string]bool
}

// app is an image of the fleet.
type app struct {
	// name is how messages name it; ref is the image as pods do.
	name, ref string
	// digest is that of its manifest.
	digest string
	// repository is where it is, with the registry's host; image is itself. They are those of the fleet alone.
	repository string
	image      v1.Image
	// workload is the name of what runs it.
	workload string
}

// take returns images that nobody has had.
func (c *cluster) take(t *testing.T, n int) []app {
	t.Helper()
	if c.taken+n > len(c.fleet) {
		c.taken = 0 // those of earlier parts, of which a daemon that remembers nothing has not heard
	}
	apps := make([]app, n)
	for i := range apps {
		apps[i] = c.app(t, c.taken)
		c.taken++
	}
	return apps
}

func (c *cluster) app(t *testing.T, i int) app {
	t.Helper()
	sample := c.fleet[i]
	img := sample.Artifact.(v1.Image)
	digest, err := img.Digest()
	must(t, err)
	repository, _, _ := strings.Cut(sample.Name, ":")
	return app{
		name: sample.Name, ref: c.Image(sample.Name), digest: digest.String(),
		repository: c.RegistryHost + "/" + repository, image: img,
		workload: strings.ReplaceAll(repository, "/", "-"),
	}
}

// missing is an image that runs and is not in the registry any more.
func (c *cluster) missing(name string) app {
	repository, _, _ := strings.Cut(name, ":")
	a := app{name: name, ref: c.RegistryHost + "/" + name, workload: strings.ReplaceAll(repository, "/", "-")}
	a.digest = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name)))
	c.Kubelet.Force(a.ref, c.RegistryHost+"/"+repository+"@"+a.digest)
	return a
}

// begin takes the memory of all parts before this one away. The namespaces of theirs are not watched any more,
// and nothing runs there.
func (c *cluster) begin(t *testing.T) {
	t.Helper()
	must(t, c.Forget(c.wait(t)))
	must(t, c.WatchOnly(c.wait(t), nil))
	for namespace := range c.used {
		must(t, c.RemoveAll(c.wait(t), namespace))
	}
	clear(c.used)
	c.gate.Forget()
}

// run runs images in a namespace and waits until they do.
func (c *cluster) run(t *testing.T, namespace string, apps ...app) {
	t.Helper()
	ctx := c.wait(t)
	c.used[namespace] = true
	for _, a := range apps {
		must(t, c.Run(ctx, stage.Workload{Namespace: namespace, Name: a.workload, Image: a.ref}))
	}
	for _, a := range apps {
		must(t, c.AwaitRunning(ctx, namespace, a.workload, 1))
	}
}

// remove ends what runs an image in a namespace.
func (c *cluster) remove(t *testing.T, namespace string, apps ...app) {
	t.Helper()
	for _, a := range apps {
		must(t, c.Remove(c.wait(t), stage.Workload{Namespace: namespace, Name: a.workload}))
	}
}

// config is that of a daemon: impatient, and with an identity that stays the same when it is started again.
func config(identity string, more map[string]any) map[string]any {
	c := map[string]any{
		"groupWait":      "100ms",
		"groupMax":       "30s",
		"refresh":        "2s",
		"removalGrace":   "1s",
		"deleteGrace":    "2s",
		"leaderElection": map[string]any{"identity": identity},
	}
	maps.Copy(c, more)
	return c
}

// launch starts a daemon that is killed when the part of the test ends.
func (c *cluster) launch(t *testing.T, setup stage.Setup) *stage.Daemon {
	t.Helper()
	if setup.Name == "" {
		setup.Name = "daemon"
	}
	setup.Gate = c.gate
	setup.Config = config(setup.Name, setup.Config)
	d, err := c.Launch(c.wait(t), setup)
	must(t, err)
	t.Cleanup(func() {
		if err := d.Kill(); err != nil {
			t.Error(err)
		}
		for _, bad := range []string{"DATA RACE", "panic:", "/services/T00000000"} {
			if log, err := d.Log(); err != nil || strings.Contains(log, bad) {
				t.Errorf("the log of %s has %q, or cannot be read (%v)", d.Name, bad, err)
			}
		}
	})
	return d
}

// settled waits until a daemon has looked at n images, and at all that run, and has told and recorded what
// there was to tell. What an image gives to tell waits before the image counts as looked at.
func (c *cluster) settled(t *testing.T, d *stage.Daemon, n int) {
	t.Helper()
	c.await(t, d, fmt.Sprintf("all of %d images to be told and recorded", n), func(ctx context.Context) bool {
		metrics, err := d.Metrics(ctx)
		if err != nil {
			return false
		}
		tried := 0.0
		for series, v := range metrics {
			if strings.HasPrefix(series, "clairwatch_images{") && !strings.Contains(series, "untried") {
				tried += v
			}
		}
		return tried >= float64(n) && metrics[`clairwatch_images{state="untried"}`] == 0 && metrics["clairwatch_news_pending"] == 0
	})
}

// told waits until a channel was told n times of something, and returns the messages.
func (c *cluster) told(t *testing.T, d *stage.Daemon, channel, text string, n int) []slackstand.Message {
	t.Helper()
	c.await(t, d, fmt.Sprintf("message %d of %s in %s", n, text, channel), func(context.Context) bool {
		return len(c.Told(channel, text)) >= n
	})
	return c.Told(channel, text)
}

// says checks the n-th message, from 0, about an image.
func (c *cluster) says(t *testing.T, channel string, a app, n int, want string) {
	t.Helper()
	messages := c.Told(channel, a.name)
	if len(messages) <= n {
		t.Errorf("%s was told of %s %d times, want more than %d", channel, a.name, len(messages), n)
		return
	}
	if shown := slackstand.Render(messages[n], slackstand.Style{Width: 160}); !strings.Contains(shown, want) {
		t.Errorf("message %d about %s in %s lacks %q:\n%s", n, a.name, channel, want, shown)
	}
}

// times checks how often a channel was told of something.
func (c *cluster) times(t *testing.T, channel, text string, want int) {
	t.Helper()
	got := c.Told(channel, text)
	if len(got) == want {
		return
	}
	var shown strings.Builder
	for _, m := range got {
		shown.WriteString(slackstand.Render(m, slackstand.Style{}))
	}
	t.Errorf("%s was told of %s %d times, want %d:\n%s", channel, text, len(got), want, shown.String())
}

// await polls a condition that nothing announces.
func (c *cluster) await(t *testing.T, d *stage.Daemon, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx := c.wait(t)
	err := stage.Await(ctx, what, func() (bool, error) { return holds(ctx), nil })
	if err != nil {
		t.Fatalf("%v; the log of %s ends with:\n%s", err, d.Name, d.Tail(40))
	}
}

// wait returns a context that ends when patience does.
func (c *cluster) wait(t *testing.T) context.Context {
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
