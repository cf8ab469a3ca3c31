package memory

import (
	"context"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/gate"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// otherClair is the second Clair behind the gate.
const otherClair gate.Server = "other clair"

// destinations has two teams run the same images, with other thresholds and other Clairs, and lets one thing
// after the other happen to the channel of one and the Clairs of both.
func (c *cluster) destinations(t *testing.T) {
	const strict, open = "strict", "open" // namespaces, and their channels
	c.begin(t)
	second, err := c.AddClair(c.wait(t), sandbox.ClairOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, second.Kill()) })
	address, err := c.gate.Open(otherClair, second.URL, nil)
	must(t, err)
	c.renew(t, c.Clair(), vulnerability.First)
	must(t, c.ImportInto(c.wait(t), second, vulnerability.First))

	strictly := func(clair string) string {
		return strings.Replace(c.gate.Scanner(strict), c.gate.ClairURL, clair, 1) + "minSeverity: High\n"
	}
	must(t, c.Watch(c.wait(t), strict, strictly(c.gate.ClairURL)))
	must(t, c.Watch(c.wait(t), open, strings.Replace(c.gate.Scanner(open), c.gate.ClairURL, address, 1)))
	apps := c.take(t, 5)
	shared, goes, comes, markers := apps[0], apps[1], apps[2], apps[3:]
	c.run(t, strict, shared, goes)
	c.run(t, open, shared)
	d := c.launch(t, stage.Setup{})
	for _, a := range []app{shared, goes} {
		c.told(t, d, strict, a.name, 1)
	}
	c.told(t, d, open, shared.name, 1)
	c.settled(t, d, 0)
	c.says(t, strict, shared, 0, "below this channel's minimum severity")
	if shown := slackstand.Render(c.Told(open, shared.name)[0], slackstand.Style{}); strings.Contains(shown, "minimum severity") {
		t.Errorf("something is held back from a channel without rules:\n%s", shown)
	}

	// Slack refuses one of the channels while there is news of three kinds, and over a restart.
	refused := slackstand.Path(strict)
	c.Slack.FailNext(refused, math.MaxInt, slackstand.Answer{Status: 500, Body: "rollup_error"})
	written := c.writes(t, d)
	c.run(t, strict, comes)
	c.run(t, open, comes)
	c.remove(t, strict, goes)
	must(t, c.Import(c.wait(t), vulnerability.Second)) // into the Clair of the one that is refused
	c.told(t, d, open, comes.name, 1)
	c.awaitRefusals(t, d, refused, 1)
	c.await(t, d, "what was told to be recorded", func(context.Context) bool { return c.writes(t, d) > written })
	must(t, d.Kill())
	must(t, d.Start(c.wait(t)))
	c.awaitRefusals(t, d, refused, 1)
	c.times(t, strict, comes.name, 0)
	c.Slack.Mend(refused)
	c.told(t, d, strict, comes.name, 1)
	c.told(t, d, strict, goes.name, 2)
	c.told(t, d, strict, shared.name, 2)
	c.settled(t, d, 0)
	c.says(t, strict, goes, 1, "no longer running")
	c.says(t, strict, shared, 1, "newly disclosed")
	for _, a := range []app{goes, shared} {
		c.times(t, strict, a.name, 2)
	}
	for _, a := range []app{shared, comes} {
		c.times(t, open, a.name, 1)
	}
	c.times(t, strict, comes.name, 1)

	// The same scanner is led to the other Clair, whose data is older.
	before := len(c.Slack.Messages(refused))
	must(t, c.Watch(c.wait(t), strict, strictly(address)))
	c.told(t, d, strict, "scanned by another Clair", 1)
	c.run(t, strict, markers[0])
	c.told(t, d, strict, markers[0].name, 1)
	c.settled(t, d, 0)
	if n := len(c.Slack.Messages(refused)) - before; n != 2 {
		t.Errorf("%d messages since the Clair was switched, want one about that, and one about %s", n, markers[0].name)
	}

	c.lostData(t, d, second, []string{strict, open}, []app{shared, comes}, markers[1])
}

// lostData takes a Clair's data away while it runs, and then its databases, and gives it back each time: nobody
// hears of it.
func (c *cluster) lostData(t *testing.T, d *stage.Daemon, clair *sandbox.ClairServer, namespaces []string, apps []app, marker app) {
	t.Helper()
	before := len(c.Slack.Messages(""))
	// asked waits until Clair has been asked for each image in each namespace once at least.
	asked := func(methods []string, path string) {
		t.Helper()
		for _, a := range apps {
			p := gate.Pattern{Server: otherClair, Methods: methods, Path: regexp.MustCompile(path + a.digest), Done: true}
			must(t, c.gate.Wait(c.wait(t), p, len(namespaces)+1))
		}
	}
	reported := func() { t.Helper(); asked(reports.Methods, reportPath.String()) }

	must(t, clair.Empty(c.wait(t)))
	c.gate.Forget()
	reported()
	must(t, c.ImportInto(c.wait(t), clair, vulnerability.First))
	c.gate.Forget()
	reported()

	must(t, clair.Reset(c.wait(t)))
	c.gate.Forget()
	indexed := gate.Pattern{Server: otherClair, Methods: indexing.Methods, Path: indexPath, Done: true}
	must(t, c.gate.Wait(c.wait(t), indexed, len(apps)))
	must(t, c.ImportInto(c.wait(t), clair, vulnerability.First))
	c.gate.Forget()
	reported()
	c.settled(t, d, 0)

	for _, namespace := range namespaces {
		c.run(t, namespace, marker)
		c.told(t, d, namespace, marker.name, 1)
	}
	c.settled(t, d, 0)
	if n := len(c.Slack.Messages("")) - before; n != len(namespaces) {
		t.Errorf("%d messages since Clair lost its data, want %d, about what was run last", n, len(namespaces))
	}
}

// renew gives a Clair new databases with an edition.
func (c *cluster) renew(t *testing.T, clair *sandbox.ClairServer, edition vulnerability.Edition) {
	t.Helper()
	must(t, clair.Reset(c.wait(t)))
	must(t, c.ImportInto(c.wait(t), clair, edition))
}

// writes counts what a daemon has written into the ledger.
func (c *cluster) writes(t *testing.T, d *stage.Daemon) float64 {
	t.Helper()
	metrics, err := d.Metrics(c.wait(t))
	must(t, err)
	return metrics[`clairwatch_ledger_writes_total{outcome="ok"}`]
}

// awaitRefusals waits until a channel has been refused n times more.
func (c *cluster) awaitRefusals(t *testing.T, d *stage.Daemon, path string, n int) {
	t.Helper()
	had := c.Slack.Counts(path).Refused
	c.await(t, d, "a message to be refused", func(_ context.Context) bool { return c.Slack.Counts(path).Refused >= had+n })
}
