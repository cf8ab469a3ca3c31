package load

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// GOGC is that of the manifest, which clairwatch is run with.
const GOGC = "50"

// Launch starts clairwatch, which knows nothing yet.
func (c *Cluster) Launch(ctx context.Context) error {
	env := []string{"GOGC=" + GOGC, "GOMEMLIMIT=" + c.Memory, "SSL_CERT_FILE=" + filepath.Join(c.Dir, "slack-ca.pem")}
	var err error
	c.Daemon, err = c.StartDaemon(ctx, c.binary, []string{"--config", c.config}, env)
	return err
}

// Relaunch ends clairwatch, as a rollout does, and starts another one, with Config as it is then.
func (c *Cluster) Relaunch(ctx context.Context) error {
	if err := c.Daemon.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := c.Daemon.Wait(ctx); err != nil {
		return err
	}
	if err := c.writeConfig(); err != nil {
		return err
	}
	return c.Daemon.Start(ctx)
}

// Traffic is what clairwatch has asked, and what Slack has accepted of it.
type Traffic struct {
	API, Clair, Registry, Slack Tally
}

// Traffic returns what was asked since the last call.
func (c *Cluster) Traffic() Traffic {
	return Traffic{API: c.api.taken(), Clair: c.clair.taken(), Registry: c.registry.taken(), Slack: c.slack()}
}

// slack counts the messages that were accepted since the last call.
func (c *Cluster) slack() Tally {
	messages := c.Slack.Messages("")
	tally := make(Tally)
	if fresh := messages[c.seen:]; len(fresh) > 0 {
		count := Count{Requests: len(fresh)}
		for _, m := range fresh {
			count.Sent += int64(len(m.Payload))
		}
		tally["message"] = count
	}
	c.seen = len(messages)
	return tally
}

// Metrics reads what clairwatch says of itself.
func (c *Cluster) Metrics(ctx context.Context) (stage.Metrics, error) {
	return stage.ReadMetrics(ctx, c.DaemonAddr)
}

// patience is how long anything is waited for.
const patience = 30 * time.Minute

// Await waits until something is so, which it looks at again and again, and fails when clairwatch has ended.
func (c *Cluster) Await(ctx context.Context, what string, every time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !done() {
		if c.Daemon.PID() == 0 {
			return fmt.Errorf("clairwatch has ended:\n%s", c.Daemon.Tail(20))
		}
		if err := Pause(ctx, every); err != nil {
			return fmt.Errorf("waiting for %s: %w\n%s", what, err, c.Daemon.Tail(20))
		}
	}
	return nil
}

// AwaitMetrics waits until the metrics are so. Each look at them is a scrape, which costs clairwatch something.
func (c *Cluster) AwaitMetrics(ctx context.Context, every time.Duration, what string, hold func(stage.Metrics) bool) error {
	return c.Await(ctx, what, every, func() bool {
		metrics, err := c.Metrics(ctx)
		return err == nil && hold(metrics)
	})
}

// Pause waits.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Told is how many messages the channel of an app has, by the app's number.
func (c *Cluster) Told(app int) int {
	return c.Slack.Counts(slackstand.Path(c.NamespaceOf(app))).Accepted
}
