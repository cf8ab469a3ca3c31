package disclosure

import (
	"context"
	"net/http"
	"syscall"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
)

// standby has Clair call the one of two daemons that does not tell: it says that all is well, so that nothing is
// held up, and the other one finds by the probe what there is.
func (c *cluster) standby(t *testing.T) {
	c.end(t)
	from := c.now()
	address, err := c.Address()
	must(t, err)
	leader := c.launch(t, stage.Setup{Name: "leader", Listen: address}, nil)
	c.daemon = leader
	c.leads(t, leader)
	// It never looks for newer data once it has begun: see webhookAlone.
	called := c.launch(t, stage.Setup{Name: "called"}, map[string]any{"dataEvery": "1h"})
	must(t, called.AwaitAlive(c.wait(t)))
	c.looked(t, from, c.exact, c.samples[image.ShopWorker], c.samples[image.ShopAPI])

	c.publish(t, c.exact, vulnerability.DebianUpdater, openssl2026)
	c.hears(t, exactDebian, image.ShopWorker, "1 newly disclosed", openssl2026)
	c.awaitNotified(t, called, "standby", 1)
	c.post(t, c.exact, unknownID, http.StatusOK)
	if now, err := c.Leader(c.wait(t)); err != nil || now != leader.Name {
		t.Errorf("%q leads (%v), want %q", now, err, leader.Name)
	}
	c.end(t)
	c.daemon = called
	c.leads(t, called)
}

// webhookAlone has Clair call a daemon that will not look by itself for an hour.
func (c *cluster) webhookAlone(t *testing.T) {
	c.await(t, "the daemon to have begun", c.begun)
	queued := c.notified(t, c.daemon, "queued")
	c.publish(t, c.summary, vulnerability.DebianUpdater, openssl2026)
	for _, channel := range []string{summaryDebian, corrections} {
		c.hears(t, channel, image.ShopWorker, "1 newly disclosed", openssl2026)
	}
	c.hears(t, newcomers, image.PlatformGate, "1 newly disclosed", openssl2026)
	c.awaitNotified(t, c.daemon, "queued", queued+1)
}

// begun says whether the daemon has looked at all that runs.
func (c *cluster) begun(ctx context.Context) bool {
	m, err := c.daemon.Metrics(ctx)
	return err == nil && m[`clairwatch_images{state="scanned"}`] > 0 && m[`clairwatch_images{state="untried"}`] == 0 && c.idle(ctx)
}

// end stops the daemon in order, so that another one can lead at once.
func (c *cluster) end(t *testing.T) {
	t.Helper()
	must(t, c.daemon.Signal(syscall.SIGTERM))
	if err := c.daemon.Wait(c.wait(t)); err != nil {
		t.Errorf("%s ended with %v", c.daemon.Name, err)
	}
}

// leads waits until a daemon holds the Lease.
func (c *cluster) leads(t *testing.T, d *stage.Daemon) {
	t.Helper()
	c.await(t, d.Name+" to lead", func(ctx context.Context) bool {
		leader, err := c.Leader(ctx)
		return err == nil && leader == d.Name
	})
}
