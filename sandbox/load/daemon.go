package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

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

// Metrics are the lines that clairwatch says of itself, by the name with its labels.
type Metrics map[string]float64

// Sum adds up all series of a name.
func (m Metrics) Sum(name string) float64 {
	var sum float64
	for series, value := range m {
		if bare, _, _ := strings.Cut(series, "{"); bare == name {
			sum += value
		}
	}
	return sum
}

// mostMetrics bounds what is read of them, in bytes.
const mostMetrics = 64 << 20

// Metrics reads what clairwatch says of itself.
func (c *Cluster) Metrics(ctx context.Context) (Metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.DaemonAddr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, mostMetrics+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the metrics: %w", err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("reading the metrics: %s: %s", response.Status, text)
	case len(text) > mostMetrics:
		return nil, fmt.Errorf("reading the metrics: more than %d bytes", mostMetrics)
	}
	metrics := make(Metrics)
	for line := range strings.Lines(string(text)) {
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		if metrics[line[:at]], err = strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err != nil {
			return nil, fmt.Errorf("reading the metrics: %q: %w", line, err)
		}
	}
	return metrics, nil
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
func (c *Cluster) AwaitMetrics(ctx context.Context, every time.Duration, what string, hold func(Metrics) bool) error {
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
