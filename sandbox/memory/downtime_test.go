package memory

import (
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
)

// downtime changes everything while no daemon runs: the next one tells all of it, once.
func (c *cluster) downtime(t *testing.T) {
	const namespace = "downtime"
	c.begin(t)
	must(t, c.Watch(c.wait(t), namespace, c.gate.Scanner(namespace)))
	apps := c.take(t, 6)
	stays, goes, comes, last := apps[0], apps[1:3], apps[3:5], apps[5]
	c.run(t, namespace, stays)
	c.run(t, namespace, goes...)
	d := c.launch(t, stage.Setup{})
	c.told(t, d, namespace, stays.name, 1)
	for _, a := range goes {
		c.told(t, d, namespace, a.name, 1)
	}
	c.settled(t, d, 0)
	must(t, d.Kill())

	c.remove(t, namespace, goes...)
	c.run(t, namespace, comes...)
	must(t, c.Import(c.wait(t), vulnerability.Second))
	must(t, d.Start(c.wait(t)))
	for _, a := range comes {
		c.told(t, d, namespace, a.name, 1)
	}
	c.told(t, d, namespace, stays.name, 2)
	c.told(t, d, namespace, goes[0].name, 2)
	c.settled(t, d, 0)
	c.says(t, namespace, stays, 1, "newly disclosed")
	for _, a := range goes {
		c.told(t, d, namespace, a.name, 2)
		c.says(t, namespace, a, 1, "no longer running")
	}

	c.run(t, namespace, last)
	c.told(t, d, namespace, last.name, 1)
	c.settled(t, d, 0)
	c.times(t, namespace, stays.name, 2)
	for _, a := range goes {
		c.times(t, namespace, a.name, 2)
	}
	for _, a := range append(comes, last) {
		c.times(t, namespace, a.name, 1)
	}
}
