package disclosure

import (
	"fmt"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/clairwatch/clairwatch/sandbox/gate"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
)

const (
	// fleetSize is how many images run that all have the same vulnerability.
	fleetSize = 60
	// reportsAtOnce is for how many reports a Clair is asked at once by default.
	reportsAtOnce = 2
)

// many has one thing become known about many images: that is one message, and Clair is not asked for all of their
// reports at once.
func (c *cluster) many(t *testing.T) {
	samples, err := image.Fleet(fleetSize)
	must(t, err)
	must(t, c.Push(c.wait(t), samples...))
	apps := make([]app, len(samples))
	for i, sample := range samples {
		apps[i] = c.app(t, sample.Name, sample.Artifact.(v1.Image))
	}
	c.run(t, fleet, apps...)
	c.watch(t, fleet, c.exact, tellWithdrawn) // all of them are new at once
	c.hears(t, fleet, fmt.Sprintf("%d images", fleetSize))

	from := c.now()
	c.publish(t, c.exact, vulnerability.DebianUpdater, gnutls2025)
	c.hears(t, fleet, gnutls2025, fmt.Sprintf("%d running images", fleetSize))
	c.hears(t, exactDebian, image.ShopWorker, "1 newly disclosed", gnutls2025)
	c.looked(t, from, c.exact, apps...)
	c.notification(t, from, c.exact) // that of all of them has come, and is not taken for that of the next part
	reports := gate.Pattern{Server: c.exact.server, Path: reportPath}
	if got := c.gate.AtOnce(reports, from); got != reportsAtOnce {
		t.Errorf("Clair was asked for %d reports at once, want %d", got, reportsAtOnce)
	}
	must(t, c.Watch(c.wait(t), fleet, "")) // what follows is quicker without them
}
