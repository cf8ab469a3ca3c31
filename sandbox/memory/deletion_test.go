package memory

import (
	"context"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// deletion removes images: what this daemon had Clair index and nothing runs any more is deleted from it, what
// runs elsewhere, watched or not, is not, nor what somebody else had it index.
func (c *cluster) deletion(t *testing.T) {
	const namespace, unwatched = "deletion", "deletion-elsewhere"
	c.begin(t)
	must(t, c.Watch(c.wait(t), namespace, c.gate.Scanner(namespace)))
	apps := c.take(t, 4)
	goes, elsewhere, foreign, last := apps[0], apps[1], apps[2], apps[3]
	c.unindex(t, []app{goes, elsewhere, last})
	must(t, c.Clair().Index(c.wait(t), foreign.repository, foreign.image))
	c.run(t, namespace, apps...)
	c.run(t, unwatched, elsewhere)
	d := c.launch(t, stage.Setup{Config: map[string]any{
		"clairs": []map[string]any{{"url": c.gate.ClairURL, "deleteFromClair": true}},
	}})
	for _, a := range apps {
		c.told(t, d, namespace, a.name, 1)
	}
	c.settled(t, d, 0)
	c.remove(t, namespace, goes, elsewhere, foreign)
	c.has(t, d, goes, false)
	// Those that must stay went before this one, whose deletion says that their time has come and gone.
	c.remove(t, namespace, last)
	c.has(t, d, last, false)
	for _, a := range []app{elsewhere, foreign} {
		c.has(t, d, a, true)
	}
}

// has waits until Clair knows an image, or does not.
func (c *cluster) has(t *testing.T, d *stage.Daemon, a app, want bool) {
	t.Helper()
	what := "Clair to know " + a.name
	if !want {
		what = a.name + " to be deleted from Clair"
	}
	c.await(t, d, what, func(ctx context.Context) bool {
		has, err := c.Clair().Has(ctx, a.digest)
		return err == nil && has == want
	})
}
