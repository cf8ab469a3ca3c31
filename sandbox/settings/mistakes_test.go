package settings

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// What the log says of a key with a mistake.
const (
	mistake   = `level=ERROR msg="mistake in the settings" key=`
	inForce   = ` effect="the last good settings stay in force"`
	allKept   = ` effect="all keys keep their last good settings"`
	unwatched = ` effect="the namespace is not watched until it is mended"`
	mended    = `msg="mistake in the settings is mended" key=`
)

// The reasons of Events on the ConfigMap.
const (
	reasonMistake = "SettingsMistake"
	reasonMended  = "SettingsMended"
)

// event waits for an Event on the ConfigMap. None ever has an address, or is about a key that only inherits a mistake.
func (c *cluster) event(t *testing.T, reason, text string) {
	t.Helper()
	c.await(t, "the Event "+reason+" "+text, func(ctx context.Context) bool {
		events, err := c.Client.CoreV1().Events(stage.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + stage.Namespace})
		if err != nil {
			return false
		}
		found := false
		for _, e := range events.Items {
			found = found || e.Reason == reason && strings.Contains(e.Message, text)
			if strings.Contains(e.Message, "/services/T") || strings.HasPrefix(e.Message, "inherits") {
				t.Errorf("there is an Event %s: %s", e.Reason, e.Message)
			}
		}
		return found
	})
}

// namespaceBroken makes two mistakes in a key. Its last good settings stay in force, and nobody else is harmed. After a
// restart nothing is told of it until it is mended, and nothing twice.
func (c *cluster) namespaceBroken(t *testing.T) {
	apps := c.run(t, "broken", 1)
	c.edit(t, "broken", c.scanner("broken", high))
	c.hears(t, "broken", apps[0].name+" is running with 3 high")

	from := c.logged(t)
	c.edit(t, "broken", strings.Replace(c.scanner("broken-other", "minSeverty: Low\n"), "backend: clair", "backend: trivy", 1))
	c.logs(t, from, mistake+`broken error="broken.backend \(line 1\): .*trivy.*broken.minSeverty \(line 5\): no such field; did you mean minSeverity\?"`+inForce)
	c.mistaken(t, "broken")
	c.event(t, reasonMistake, "broken.minSeverty (line 5): no such field; did you mean minSeverity?")
	apps = append(apps, c.run(t, "broken", 1)...)
	c.hears(t, "broken", apps[1].name+" is running with 3 high")
	other := c.run(t, "unharmed", 1)
	c.edit(t, "unharmed", c.scanner("unharmed"))
	c.hears(t, "unharmed", other[0].name+" is running with")

	from = c.logged(t)
	c.restarts(t)
	c.logs(t, from, mistake+`broken .*`+unwatched)
	c.mistaken(t, "broken")
	apps = append(apps, c.run(t, "broken", 1)...)
	other = append(other, c.run(t, "unharmed", 1)...)
	c.hears(t, "unharmed", other[1].name+" is running with")

	from = c.logged(t)
	c.edit(t, "broken", c.scanner("broken", medium))
	c.logs(t, from, mended+"broken")
	c.mistaken(t)
	c.event(t, reasonMended, "broken")
	c.next(t, "broken", apps[2].name+" is running with 3 high", "!"+apps[0].name, "!"+apps[1].name)
	c.hears(t, "broken", vulnerabilities(inMedium)+" in 2 images are"+noLonger)
}

// defaultsBroken makes a mistake in what all inherit: then each key stays as it was, whatever is written there.
func (c *cluster) defaultsBroken(t *testing.T) {
	clair := "clairBaseUrl: " + c.gate.ClairURL + "\n"
	webhook := func(channel string) string { return "slackWebhookUrl: " + c.gate.Webhook(channel) + "\n" }
	from := c.logged(t)
	c.edit(t, "_defaults", clair+"onlyFixable: maybe\n")
	c.logs(t, from, mistake+`_defaults error="_defaults.onlyFixable \(line 2\): .*`+allKept)
	c.mistaken(t, "_defaults")
	c.event(t, reasonMistake, "_defaults.onlyFixable (line 2): ")
	c.edit(t, "inherits", webhook("inherits-to"))
	c.edit(t, "differs", "# nobody\n")
	c.logs(t, from, `msg="settings in force" .*changed=\[differs\]`)
	c.edit(t, "harmless", "minSeverity: Hihg\n")
	c.logs(t, from, mistake+`harmless error="harmless.minSeverity .*did you mean High`)
	c.mistaken(t, "_defaults", "harmless")
	a := c.run(t, "inherits", 1)[0]
	c.hears(t, "inherits", a.name+" is running with", "2 more are without a fix yet")
	c.run(t, "differs", 1)
	c.seen(t)
	if log, err := c.daemon.Log(); err != nil || strings.Contains(log[from:], mistake+"inherits") {
		t.Errorf("the mistake in _defaults is said of who inherits from it, too (%v):\n%s", err, log[from:])
	}

	// After a restart nobody knows what the last good settings were.
	c.restarts(t)
	c.mistaken(t, "_defaults", "harmless")
	later := c.run(t, "unharmed", 1)[0]
	c.seen(t)
	from = c.logged(t)
	c.edit(t, "harmless", "")
	c.edit(t, "_defaults", clair)
	c.logs(t, from, mended+"_defaults")
	c.event(t, reasonMended, "_defaults")
	c.mistaken(t)
	c.next(t, "unharmed", later.name+" is running with")
	c.hears(t, "inherits-to", "2 vulnerabilities in 2 images are"+noLonger)
}

// restart kills the daemon, and while there is none the settings are edited, and what is ignored in another namespace is
// so no longer.
func (c *cluster) restart(t *testing.T) {
	apps, others := c.run(t, "restart", 1), c.run(t, "ended", 1)
	c.edit(t, "restart", c.scanner("restart", high))
	c.hears(t, "restart", apps[0].name+" is running with 3 high")
	c.edit(t, "ended", c.scanner("ended", ignoreCVE))
	c.hears(t, "ended", others[0].name+" is running with 2 high")
	c.restarts(t, func() {
		end := nextSecond()
		c.edit(t, "ended", c.scanner("ended", ignoredUntil(end)))
		c.edit(t, "restart", c.scanner("restart-to"))
		c.await(t, end.String(), func(context.Context) bool { return time.Now().After(end) })
	})
	c.next(t, "restart-to", vulnerabilities(belowHigh)+" in "+apps[0].name+" are"+noLonger)
	c.hears(t, "ended", "1 vulnerability in "+others[0].name+" is"+noLonger)
}
