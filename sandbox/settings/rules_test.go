package settings

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// Lines of a Scanner.
const (
	high        = "minSeverity: High\n"
	medium      = "minSeverity: Medium\n"
	ignoreCVE   = "ignore: [{id: " + ignoredCVE + ", package: glibc, reason: not reachable}]\n"
	fixableOnly = "onlyFixable: true\n"
)

// What messages say of what they leave out, and of what they no longer do.
const (
	belowMinimum = "below this channel's minimum severity (%s)"
	noLonger     = " no longer held back or ignored by this channel's settings"
)

// threshold raises it, and lowers it in two steps, the first of them with kubectl: only what was held back meanwhile is
// told then.
func (c *cluster) threshold(t *testing.T) {
	before := c.run(t, "threshold", 1)
	c.edit(t, "threshold", c.scanner("threshold"))
	c.hears(t, "threshold", before[0].name+" is running with 3 high, 3 medium", "!more are")
	c.silently(t, "threshold", c.scanner("threshold", high), before...)
	a := c.run(t, "threshold", 1)
	c.hears(t, "threshold", a[0].name+" is running with 3 high", fmt.Sprintf("%d more are "+belowMinimum, belowHigh, "high"))
	all := append(before, a...)

	from := c.now()
	if !c.kubectl(t, "threshold", high, medium) {
		c.edit(t, "threshold", c.scanner("threshold", medium))
	}
	c.looked(t, from, all...)
	c.hears(t, "threshold", vulnerabilities(inMedium)+" in "+a[0].name+" are"+noLonger, "!"+before[0].name)
	c.silently(t, "threshold", c.scanner("threshold", high), all...)
	c.silently(t, "threshold", c.scanner("threshold", medium), all...)
	c.edit(t, "threshold", c.scanner("threshold"))
	c.hears(t, "threshold", vulnerabilities(inLow)+" in "+a[0].name+" are"+noLonger)
}

// ignoredForNow ignores something, and says later that it is until a time that is near.
func (c *cluster) ignoredForNow(t *testing.T) {
	before := c.run(t, "until", 1)
	c.edit(t, "until", c.scanner("until"))
	c.hears(t, "until", before[0].name+" is running with")
	c.silently(t, "until", c.scanner("until", ignoreCVE), before...)
	a := c.run(t, "until", 1)
	c.hears(t, "until", a[0].name+" is running with 2 high", "1 more is ignored by this channel's settings")

	end := nextSecond()
	c.edit(t, "until", c.scanner("until", ignoredUntil(end)))
	c.hears(t, "until", "1 vulnerability in 2 images is"+noLonger, ignoredCVE, a[0].name, before[0].name)
	messages := c.Slack.Messages(slackstand.Path("until"))
	if at := messages[len(messages)-1].Time; at.Before(end) {
		t.Errorf("what is ignored until %v is told at %v", end, at)
	}
	// One that has ended means nothing.
	c.silently(t, "until", c.scanner("until"), append(before, a...)...)
}

// nextSecond is a time a second ahead, or a little more, that can be written in the settings.
func nextSecond() time.Time { return time.Now().Add(2 * time.Second).Truncate(time.Second) }

// ignoredUntil is a line of a Scanner that ignores something until a time, to the second.
func ignoredUntil(end time.Time) string {
	return fmt.Sprintf("ignore: [{id: %s, until: %s}]\n", ignoredCVE, end.UTC().Format(time.RFC3339))
}

// ignoredByHand ignores a package, in the images of a pattern, and takes that out again.
func (c *cluster) ignoredByHand(t *testing.T) {
	before, a := c.run(t, "ignored", 1)[0], c.take(t)
	pattern, _, _ := strings.Cut(a.name, ":")
	c.edit(t, "ignored", c.scanner("ignored"))
	c.hears(t, "ignored", before.name+" is running with")
	ignore := fmt.Sprintf("ignore: [{package: openssl, image: %q}]\n", pattern)
	c.silently(t, "ignored", c.scanner("ignored", ignore), before)
	c.runPod(t, "ignored", nil, a)
	c.hears(t, "ignored", a.name+" is running with 2 high", fmt.Sprintf("%d more are ignored by this channel's settings", inOpenSSL))
	c.edit(t, "ignored", c.scanner("ignored"))
	c.hears(t, "ignored", vulnerabilities(inOpenSSL)+" in "+a.name+" are"+noLonger)
}

// onlyFixable wants only what has a fix, and then all.
func (c *cluster) onlyFixable(t *testing.T) {
	before := c.run(t, "fixable", 1)
	c.edit(t, "fixable", c.scanner("fixable"))
	c.hears(t, "fixable", before[0].name+" is running with")
	c.silently(t, "fixable", c.scanner("fixable", fixableOnly), before...)
	a := c.run(t, "fixable", 1)
	c.hears(t, "fixable", a[0].name+" is running with", fmt.Sprintf("%d more are without a fix yet", inLow))
	c.edit(t, "fixable", c.scanner("fixable"))
	c.hears(t, "fixable", vulnerabilities(inLow)+" in "+a[0].name+" are"+noLonger)
}

// kinds turns kinds of news off and on. What was not told is not told later.
func (c *cluster) kinds(t *testing.T) {
	const off = "tell: {report: false, removed: false, disclosed: false, failed: false}\n"
	apps := c.run(t, "kinds", 1)
	c.edit(t, "kinds", c.scanner("kinds", high))
	c.hears(t, "kinds", apps[0].name+" is running with 3 high")
	c.silently(t, "kinds", c.scanner("kinds", high, off), apps...)
	c.silently(t, "kinds", c.scanner("kinds", off), apps...) // which would be visible
	from := c.now()
	apps = append(apps, c.run(t, "kinds", 2)...)
	c.looked(t, from, apps[1:]...)
	c.nothingElse(t)
	c.remove(t, "kinds", apps[1])
	gone := c.RegistryHost + "/team/gone:1.0"
	c.Kubelet.Force(gone, c.RegistryHost+"/team/gone@sha256:"+strings.Repeat("ab", 32))
	c.runPod(t, "kinds", nil, app{name: "team/gone:1.0", ref: gone, workload: "team-gone"})
	c.await(t, "an image that is not found", func(ctx context.Context) bool {
		m, err := c.daemon.Metrics(ctx)
		return err == nil && m[`clairwatch_images{state="not_found"}`] == 1
	})
	// What has ended later, and is told of in another namespace, shows that this has been noticed.
	marker := c.take(t)
	c.runPod(t, "added", nil, marker)
	c.hears(t, "added", marker.name+" is running with")
	c.remove(t, "added", marker)
	c.hears(t, "added", marker.name+" is no longer running")

	from = c.now()
	c.edit(t, "kinds", c.scanner("kinds"))
	c.looked(t, from, apps[0], apps[2])
	a := c.run(t, "kinds", 1)[0]
	c.hears(t, "kinds", a.name+" is running with", "!"+apps[2].name)
	c.remove(t, "kinds", a)
	c.hears(t, "kinds", a.name+" is no longer running")
}
