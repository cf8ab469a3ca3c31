// Package limits tests what clairwatch does at its limits: a namespace with 5,000 images, reports of 20 MB and of more
// than it takes, a settings ConfigMap as large as there can be, and 10,000 notifications. It is a process of its own with
// the memory that the manifest gives it, beside a real API server; the Clair, the registry and the Slack count what they
// are asked. Nothing depends on how long anything takes.
package limits

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/sandbox/load"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// patience bounds every wait. It is no expectation of how long something takes.
const patience = 5 * time.Minute

// often is how often is looked whether something is so.
const often = 500 * time.Millisecond

// groupWait is the setting, which ships with 30 s; quiet is how long is watched for a message that must not come.
const (
	groupWait = 2 * time.Second
	quiet     = 2 * groupWait
)

// The namespaces, by their numbers: one with many images, some with an image each that has a large report, one with an
// image whose report is larger than clairwatch takes, and one with nothing out of the ordinary.
const (
	crowded   = 0
	large     = 1
	largeOnes = 4
	huge      = large + largeOnes
	calm      = huge + 1
	all       = calm + 1
)

// crowd is how many images the crowded namespace has, and few how many the calm one has.
const (
	crowd = 5_000
	few   = 4
)

// numberOf is the namespace of an app.
func numberOf(app int) int {
	switch {
	case app < crowd:
		return crowded
	case app <= crowd+largeOnes:
		return large + app - crowd
	}
	return calm
}

// calmOnes are the images of the calm namespace.
func calmOnes() []int {
	var apps []int
	for app := range few {
		apps = append(apps, crowd+largeOnes+1+app)
	}
	return apps
}

// findingsOf is how many findings an image has.
func findingsOf(image int) int {
	switch app := image % (crowd + largeOnes + 1 + few); {
	case app < crowd:
		return 3
	case app < crowd+largeOnes:
		return 22_000 // 20 MB
	case app == crowd+largeOnes:
		return 38_000 // above 32 MiB
	}
	return 10
}

// cluster is what the parts share.
type cluster struct {
	*load.Cluster
	given given
	// keys are those of the settings.
	keys map[string]string
	// scanned is how many images have been.
	scanned int
	// heard is how many messages each channel has had that were looked at.
	heard map[string]int
}

// TestLimits is one story with one cluster. The parts need their order.
func TestLimits(t *testing.T) {
	c := open(t)
	t.Run("a namespace above maxImages", c.crowd)
	t.Run("a namespace with 5,000 images", c.crowdLet)
	t.Run("large reports", c.largeReports)
	t.Run("a ConfigMap as large as there can be", c.fullSettings)
	t.Run("a ConfigMap full of mistakes", c.mistakes)
	t.Run("10,000 notifications", c.notifications)
}

// open starts everything but clairwatch, whose settings name no namespace.
func open(t *testing.T) *cluster {
	t.Helper()
	given := givenByManifest(t)
	images := crowd + largeOnes + 1 + few
	c, err := load.Start(t.Context(), load.Options{
		Size:       load.Size{Pods: images, Images: images, Namespaces: all, Findings: 1},
		FindingsOf: findingsOf,
		NumberOf:   numberOf,
		Clairs:     all,
		Memory:     given.goal,
		Config:     map[string]any{"groupWait": groupWait.String(), "dataEvery": "5s", "dataQuiet": "5s", "log": map[string]any{"format": "text"}},
		Log:        t.Logf,
	})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() && c.Daemon != nil {
			t.Logf("the log of clairwatch ends with:\n%s", c.Daemon.Tail(20))
		}
		must(t, c.Stop())
	})
	must(t, c.WriteSettings(t.Context(), nil))
	must(t, c.Launch(t.Context()))
	return &cluster{Cluster: c, given: given, keys: make(map[string]string), heard: make(map[string]int)}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// threshold has nothing but what is critical be told.
const threshold = "minSeverity: Critical\n"

// channel is the one of a namespace, which is its name too.
func channel(n int) string { return fmt.Sprintf("team-%d", n) }

// edit changes the settings.
func (c *cluster) edit(t *testing.T, change func(keys map[string]string)) {
	t.Helper()
	change(c.keys)
	must(t, c.WriteSettings(t.Context(), c.keys))
}

// watch has namespaces be looked at.
func (c *cluster) watch(t *testing.T, namespaces ...int) {
	t.Helper()
	c.edit(t, func(keys map[string]string) {
		for _, n := range namespaces {
			keys[channel(n)] = c.Scanner(n)
			if n == calm { // which is edited later
				keys[channel(n)] += threshold
			}
		}
	})
}

// until waits until the metrics are so.
func (c *cluster) until(t *testing.T, what string, hold func(stage.Metrics) bool) {
	t.Helper()
	c.await(t, what, func() bool {
		m, err := c.Metrics(t.Context())
		return err == nil && hold(m)
	})
}

// await waits until something is so.
func (c *cluster) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, c.Await(ctx, what, often, done))
}

// untilScanned waits until so many more images were scanned, the others are in a state, and nothing is to be told.
func (c *cluster) untilScanned(t *testing.T, more int, state string, others int) {
	t.Helper()
	c.scanned += more
	c.until(t, fmt.Sprintf("%d images to be scanned and %d %s", c.scanned, others, state), func(m stage.Metrics) bool {
		return m[`clairwatch_images{state="scanned"}`] == float64(c.scanned) && m[`clairwatch_images{state="`+state+`"}`] == float64(others) &&
			m.Sum("clairwatch_images") == float64(c.scanned+others) && m["clairwatch_news_pending"] == 0
	})
	must(t, load.Pause(t.Context(), quiet))
}

// hears returns the messages that a channel has had since the last time, of which there have to be so many.
func (c *cluster) hears(t *testing.T, channel string, want int) []string {
	t.Helper()
	messages := c.Slack.Messages(slackstand.Path(channel))
	from := c.heard[channel]
	c.heard[channel] = len(messages)
	var texts []string
	for _, m := range messages[from:] {
		texts = append(texts, slackstand.Render(m, slackstand.Style{}))
	}
	if len(texts) != want {
		t.Errorf("%s has had %d messages, want %d:\n%s", channel, len(texts), want, strings.Join(texts, "\n"))
	}
	return texts
}

// wellFormed fails for what Slack has refused, other than for coming too fast.
func (c *cluster) wellFormed(t *testing.T) {
	t.Helper()
	for _, r := range c.Slack.Refusals("") {
		if r.Status != http.StatusTooManyRequests {
			t.Errorf("Slack refused a message of %d bytes: %s", len(r.Payload), r.Reason)
		}
	}
}

// logged is what clairwatch has logged so far.
func (c *cluster) logged(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(c.Daemon.LogPath())
	must(t, err)
	return string(text)
}

// lines counts the lines of a log with some text.
func lines(log, text string) int { return strings.Count(log, text) }

// page asks for one of the pages, as JSON.
func (c *cluster) page(t *testing.T, path string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.PagesAddr+path, nil)
	must(t, err)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	must(t, err)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", path, response.Status, text)
	}
	must(t, json.Unmarshal(text, into))
}

// same fails where counts are not as they are to be.
func same(t *testing.T, got load.Tally, want map[string]int) {
	t.Helper()
	for _, kind := range slices.Sorted(maps.Keys(want)) {
		if got.Requests(kind) != want[kind] {
			t.Errorf("%s: %d requests, want %d", kind, got.Requests(kind), want[kind])
		}
	}
}
