package memory

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/gate"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

const (
	// restartImages is how many images run; restartUnscannable are those of them that cannot be scanned.
	restartImages, restartUnscannable = 300, 12
)

// restart has a daemon tell of many images, ends it and starts it again: it asks Clair once for each report, and
// does nothing else.
func (c *cluster) restart(t *testing.T) {
	const namespace = "restart"
	c.begin(t)
	c.taken = 0
	scannable := c.take(t, restartImages-restartUnscannable)
	unscannable := c.unscannable(t, namespace)
	c.unindex(t, scannable)
	c.run(t, namespace, scannable...)
	c.run(t, namespace, unscannable...)
	must(t, c.Watch(c.wait(t), namespace, c.gate.Scanner(namespace)))
	d := c.launch(t, stage.Setup{Config: map[string]any{"refresh": "1h"}})
	c.told(t, d, namespace, fmt.Sprintf("%d images", restartImages), 1)
	c.told(t, d, namespace, "could not be scanned", 1)
	c.settled(t, d, 0)

	for i, end := range []struct {
		name string
		stop func() error
	}{
		{"in order", func() error {
			if err := d.Signal(syscall.SIGTERM); err != nil {
				return err
			}
			return d.Wait(c.wait(t))
		}},
		{"killed", d.Kill},
	} {
		t.Run(end.name, func(t *testing.T) {
			must(t, end.stop())
			messages := len(c.Slack.Messages(""))
			c.gate.Forget()
			must(t, d.Start(c.wait(t)))
			must(t, c.gate.Wait(c.wait(t), reports, len(scannable)))
			c.settled(t, d, 0)
			// What is run now is told when all that runs has been looked at: nothing more comes then.
			marker := c.app(t, restartImages-restartUnscannable+i)
			c.run(t, namespace, marker)
			c.told(t, d, namespace, marker.name, 1)
			c.settled(t, d, 0)
			c.expectSilence(t, scannable, marker)
			scannable = append(scannable, marker)
			if now := len(c.Slack.Messages("")); now != messages+1 {
				t.Errorf("%d messages since the restart, want only that about %s", now-messages, marker.name)
			}
		})
	}
}

// expectSilence checks what was asked for since the restart, without what the marker took: each report once, and
// nothing else.
func (c *cluster) expectSilence(t *testing.T, scannable []app, marker app) {
	t.Helper()
	repository, _, _ := strings.Cut(marker.name, ":")
	asked := make(map[string]int)
	var registry, posts, writes []gate.Exchange
	marked := false // Slack has been told of the marker
	for _, e := range c.gate.Exchanges() {
		switch {
		case toSlack.Match(e):
			marked = true
		case reports.Match(e):
			asked[reportPath.ReplaceAllString(e.Path, "")]++
		case toRegistry.Match(e) && !strings.Contains(e.Path, repository):
			registry = append(registry, e)
		case indexing.Match(e):
			posts = append(posts, e)
		case (ledgerWrites.Match(e) || ledgerMaking.Match(e)) && !marked:
			writes = append(writes, e)
		}
	}
	if len(registry) > 0 {
		t.Errorf("%d requests to the registry, want none: %+v", len(registry), registry[:min(3, len(registry))])
	}
	if len(posts) > 1 { // the marker's
		t.Errorf("Clair was asked to index %d images, want only the marker", len(posts))
	}
	if len(writes) > 0 {
		t.Errorf("the ledger was written %d times before there was news, want never: %+v", len(writes), writes[0])
	}
	for _, a := range scannable {
		if n := asked[a.digest]; n != 1 {
			t.Errorf("Clair was asked %d times for the report of %s, want once", n, a.name)
		}
		delete(asked, a.digest)
	}
	delete(asked, marker.digest)
	if len(asked) > 0 {
		t.Errorf("Clair was asked for the reports of images that cannot be scanned: %v", asked)
	}
}

// unscannable makes images of three kinds that cannot be scanned: not in the registry any more, no image, and
// one that Clair refuses.
func (c *cluster) unscannable(t *testing.T, namespace string) []app {
	t.Helper()
	var apps []app
	for i := range restartUnscannable / 3 {
		lost := c.missing(fmt.Sprintf("%s/lost-%02d:1.0", namespace, i))
		chart, err := image.Chart(fmt.Sprint(i))
		must(t, err)
		rubble, err := image.Rubble(fmt.Sprint(i))
		must(t, err)
		apps = append(apps, lost,
			c.odd(t, fmt.Sprintf("%s/chart-%02d", namespace, i), chart),
			c.odd(t, fmt.Sprintf("%s/rubble-%02d", namespace, i), rubble))
	}
	return apps
}

// odd pushes something that is no image of the fleet.
func (c *cluster) odd(t *testing.T, repository string, artifact image.Artifact) app {
	t.Helper()
	name := repository + ":1.0"
	must(t, c.Push(c.wait(t), image.Sample{Name: name, Artifact: artifact}))
	digest, err := artifact.Digest()
	must(t, err)
	return app{name: name, ref: c.Image(name), digest: digest.String(), workload: strings.ReplaceAll(repository, "/", "-")}
}
