package settings

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// namespaceAdded gives a key to a namespace whose images have run for a while, of which the log has said that nobody
// watches them. The same key in other words is no change.
func (c *cluster) namespaceAdded(t *testing.T) {
	apps := c.run(t, "added", 2)
	c.logs(t, 0, `msg="namespace is not watched: it has no key in the settings" namespace=added`)
	c.nothingElse(t)
	c.edit(t, "added", c.scanner("added"))
	c.hears(t, "added", "Now watching 2 images in added", apps[0].name, apps[1].name)
	c.silentlySame(t, "added", "# ours\n"+c.scanner("added", "minSeverity: unknown\nignore: []\n"))
}

// namespaceRemoved takes the key of a namespace away, and gives it back. What has happened meanwhile is told then.
func (c *cluster) namespaceRemoved(t *testing.T) {
	apps := c.run(t, "removed", 2)
	c.edit(t, "removed", c.scanner("removed"))
	c.hears(t, "removed", "Now watching 2 images in removed")
	from := c.logged(t)
	c.edit(t, "removed", "")
	c.logs(t, from, `msg="settings in force" .*removed=\[removed\]`)
	c.remove(t, "removed", apps[0])
	a := c.run(t, "removed", 1)[0]
	c.logs(t, from, `msg="namespace is not watched: it has no key in the settings" namespace=removed`)
	c.nothingElse(t)
	c.edit(t, "removed", c.scanner("removed"))
	c.next(t, "removed", a.name+" is running with")
	c.hears(t, "removed", apps[0].name+" is no longer running")
}

// allOthers has one channel for all namespaces without a key. One opts out and comes back, another one gets its own.
func (c *cluster) allOthers(t *testing.T) {
	one, other := c.run(t, "others-a", 1)[0], c.run(t, "others-b", 1)[0]
	c.edit(t, "_all", c.scanner("all"))
	c.hears(t, "all", "Now watching 2 images in 2 namespaces", one.name, other.name)

	from := c.logged(t)
	c.edit(t, "_all", c.scanner("all", "colour: red\n"))
	c.logs(t, from, mistake+"_all .*"+inForce)
	c.event(t, reasonMistake, "_all.colour (line 5): no such field")
	c.mistaken(t, "_all")
	another := c.run(t, "others-c", 1)[0]
	c.hears(t, "all", another.name+" is running with")
	c.edit(t, "_all", c.scanner("all"))
	c.logs(t, from, mended+"_all")
	c.mistaken(t)

	seen := c.now() // the same image in one more of the namespaces
	must(t, c.Run(c.wait(t), stage.Workload{Namespace: "others-d", Name: one.workload, Image: one.ref}))
	must(t, c.AwaitRunning(c.wait(t), "others-d", one.workload, 1))
	c.looked(t, seen, one)
	c.nothingElse(t)

	from = c.logged(t)
	c.edit(t, "others-a", "# nobody\n")
	c.logs(t, from, `msg="settings in force" .*added=\[others-a\]`)
	hidden := c.run(t, "others-a", 1)[0]
	b := c.run(t, "others-b", 1)[0]
	c.hears(t, "all", b.name+" is running with", "!"+hidden.name)
	c.edit(t, "others-a", "")
	c.hears(t, "all", hidden.name+" is running with")

	c.silently(t, "others-b", c.scanner("own"), other, b)
	a := c.run(t, "others-b", 1)[0]
	c.hears(t, "own", a.name+" is running with")
	c.silently(t, "others-b", "", other, b, a)
	a = c.run(t, "others-b", 1)[0]
	c.hears(t, "all", a.name+" is running with")
	from = c.logged(t)
	c.edit(t, "_all", "")
	c.logs(t, from, `msg="settings in force" .*removed=\[_all\]`)
	c.nothingElse(t)
}

// defaults has two namespaces inherit what they do not say themselves.
func (c *cluster) defaults(t *testing.T) {
	one, other := c.run(t, "inherits", 1), c.run(t, "differs", 1)
	c.edit(t, "inherits", c.scanner("inherits"))
	c.hears(t, "inherits", one[0].name+" is running with")
	c.edit(t, "differs", c.scanner("differs", "onlyFixable: false\n"))
	c.hears(t, "differs", other[0].name+" is running with")

	clair := "clairBaseUrl: " + c.gate.ClairURL + "\n"
	c.silentlySame(t, "_defaults", clair)
	c.silentlySame(t, "inherits", "slackWebhookUrl: "+c.gate.Webhook("inherits")+"\n")
	c.silently(t, "_defaults", clair+fixableOnly, one...)
	a := c.run(t, "inherits", 1)[0]
	c.hears(t, "inherits", a.name+" is running with", fmt.Sprintf("%d more are without a fix yet", inLow))
	a = c.run(t, "differs", 1)[0]
	c.hears(t, "differs", a.name+" is running with", "!more are")
}

// configMapGone deletes the ConfigMap, as who installs clairwatch anew does, and makes it again.
func (c *cluster) configMapGone(t *testing.T) {
	configMaps := c.Client.CoreV1().ConfigMaps(stage.Namespace)
	settings, err := configMaps.Get(c.wait(t), stage.Namespace, metav1.GetOptions{})
	must(t, err)
	from := c.logged(t)
	must(t, configMaps.Delete(c.wait(t), stage.Namespace, metav1.DeleteOptions{}))
	c.logs(t, from, `level=WARN msg="the settings ConfigMap is gone; no namespace is watched"`)
	a := c.run(t, "added", 1)[0]
	c.logs(t, from, `msg="namespace is not watched: it has no key in the settings" namespace=added`)
	c.nothingElse(t)
	settings.ResourceVersion = ""
	_, err = configMaps.Create(c.wait(t), settings, metav1.CreateOptions{})
	must(t, err)
	c.hears(t, "added", a.name+" is running with")
}
