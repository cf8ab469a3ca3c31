package memory

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// leaseDuration is how long a leader is waited for that gives no sign of life: shorter than anyone would set it.
const leaseDuration = "4s"

// two runs two daemons at once. One tells; when it dies, and when it freezes, the other goes on.
func (c *cluster) two(t *testing.T) {
	const namespace = "two"
	c.begin(t)
	must(t, c.Watch(c.wait(t), namespace, c.gate.Scanner(namespace)))
	apps := c.take(t, 6)
	c.run(t, namespace, apps[0])
	leader := c.launch(t, c.elected(t, "a"))
	c.leads(t, leader)
	standby := c.launch(t, c.elected(t, "b"))
	c.told(t, leader, namespace, apps[0].name, 1)

	// Both see a new image; one tells.
	must(t, standby.AwaitAlive(c.wait(t)))
	c.run(t, namespace, apps[1])
	c.told(t, leader, namespace, apps[1].name, 1)
	c.settled(t, leader, 0)

	// The leader is killed while there is something new.
	must(t, leader.Kill())
	c.run(t, namespace, apps[2])
	c.leads(t, standby)
	c.told(t, standby, namespace, apps[2].name, 1)
	c.settled(t, standby, 0)

	// The one that was killed is started again, and stands by. Then the leader freezes for longer than the Lease
	// lasts.
	must(t, leader.Start(c.wait(t)))
	leader, standby = standby, leader
	must(t, standby.AwaitAlive(c.wait(t)))
	must(t, leader.Pause())
	c.run(t, namespace, apps[3])
	c.leads(t, standby)
	c.told(t, standby, namespace, apps[3].name, 1)
	c.settled(t, standby, 0)
	c.run(t, namespace, apps[4]) // it sees this one, too, when it goes on
	must(t, leader.Resume())
	var exit *exec.ExitError
	if err := leader.Wait(c.wait(t)); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the daemon that was frozen ended with %v, want exit code 1; its log ends with:\n%s", err, leader.Tail(40))
	}
	c.told(t, standby, namespace, apps[4].name, 1)

	// Whatever was told twice has been by the time that one thing more is told.
	c.run(t, namespace, apps[5])
	c.told(t, standby, namespace, apps[5].name, 1)
	c.settled(t, standby, 0)
	for _, a := range apps {
		c.times(t, namespace, a.name, 1)
	}
	if now, err := c.Leader(c.wait(t)); err != nil || now != standby.Name {
		t.Errorf("%q leads (%v), want %q", now, err, standby.Name)
	}
}

// elected is how one of two daemons is run.
func (c *cluster) elected(t *testing.T, name string) stage.Setup {
	t.Helper()
	address, err := c.Address()
	must(t, err)
	return stage.Setup{Name: name, Listen: address, Config: map[string]any{
		"leaderElection": map[string]any{"identity": name, "duration": leaseDuration},
	}}
}

// leads waits until a daemon holds the Lease.
func (c *cluster) leads(t *testing.T, d *stage.Daemon) {
	t.Helper()
	c.await(t, d, d.Name+" to lead", func(ctx context.Context) bool {
		leader, err := c.Leader(ctx)
		return err == nil && leader == d.Name
	})
}
