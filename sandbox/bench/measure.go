package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// scrapes is of how many of /metrics the cost is measured.
const scrapes = 20

// measure runs clairwatch and prints what it has used.
func (c *cluster) measure(ctx context.Context, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintf(table, "%d pods of %.1f kB, %d images of %d findings, %d namespaces, GOMEMLIMIT %s\n",
		c.load.pods, float64(c.podBytes)/1000, c.load.images, c.load.findings, c.load.namespaces, c.load.memory)
	fmt.Fprintln(table, "phase\tCPU s\tmost MiB\tat its end MiB\trequests and messages")
	for _, phase := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"cold start, until all is told", c.coldStart},
		{fmt.Sprintf("%s without work", c.load.settle), c.idle},
		{fmt.Sprintf("%d scrapes", scrapes), c.scrape},
		{"restart, until all is known", c.restart},
		{fmt.Sprintf("%s without work", c.load.settle), c.idle},
	} {
		c.say("%s", phase.name)
		var before usage
		var process int
		if c.daemon != nil {
			process = c.daemon.PID()
			if err := forgetTop(process); err != nil {
				return err
			}
			var err error
			if before, err = usageOf(process); err != nil {
				return err
			}
		}
		told := c.messages()
		if err := phase.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
		after, err := usageOf(c.daemon.PID())
		if err != nil {
			return err
		}
		if c.daemon.PID() != process { // another one has begun
			before = usage{}
		}
		fmt.Fprintf(table, "%s\t%.2f\t%d\t%d\t%s\n", phase.name, (after.cpu - before.cpu).Seconds(), after.top, after.resident, c.requests(c.messages()-told))
	}
	return nil
}

// requests says what was asked since the last time.
func (c *cluster) requests(messages int) string {
	var parts []string
	for side, counts := range map[string]map[string]int{"Clair": c.clair.taken(), "registry": c.registry.taken()} {
		for _, what := range slices.Sorted(maps.Keys(counts)) {
			parts = append(parts, fmt.Sprintf("%s %s %d", side, what, counts[what]))
		}
	}
	slices.Sort(parts)
	return strings.Join(append(parts, fmt.Sprintf("Slack %d", messages)), ", ")
}

// messages is how many Slack has accepted.
func (c *cluster) messages() int {
	return c.slack.Counts("").Accepted
}

// coldStart starts a clairwatch that knows nothing, and waits until each channel was told.
func (c *cluster) coldStart(ctx context.Context) error {
	var err error
	env := []string{"GOMEMLIMIT=" + c.load.memory, "SSL_CERT_FILE=" + filepath.Join(c.Dir, "slack-ca.pem")}
	if c.daemon, err = c.StartDaemon(ctx, c.binary, []string{"--config", c.config}, env); err != nil {
		return err
	}
	return c.await(ctx, "each channel to be told", time.Second, func() bool {
		for n := range c.load.namespaces {
			if c.slack.Counts(slackstand.Path(c.namespaceOf(n))).Accepted == 0 {
				return false
			}
		}
		return true
	})
}

// idle leaves it alone.
func (c *cluster) idle(ctx context.Context) error { return pause(ctx, c.load.settle) }

// scrape reads /metrics.
func (c *cluster) scrape(ctx context.Context) error {
	for range scrapes {
		if _, err := c.metrics(ctx); err != nil {
			return err
		}
	}
	return nil
}

// restart ends it, as a rollout does, and starts another one.
func (c *cluster) restart(ctx context.Context) error {
	if err := c.daemon.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := c.daemon.Wait(ctx); err != nil {
		return err
	}
	if err := c.daemon.Start(ctx); err != nil {
		return err
	}
	want := fmt.Sprintf("clairwatch_images{state=\"scanned\"} %d\n", c.load.images)
	return c.await(ctx, "all images to be known", seldom, func() bool {
		text, err := c.metrics(ctx)
		return err == nil && strings.Contains(text, want)
	})
}

// mostMetrics bounds what is read of them, in bytes.
const mostMetrics = 64 << 20

// metrics reads what clairwatch says of itself.
func (c *cluster) metrics(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.DaemonAddr+"/metrics", nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("reading the metrics: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, mostMetrics+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the metrics: %w", err)
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("reading the metrics: %s: %s", response.Status, text)
	case len(text) > mostMetrics:
		return "", fmt.Errorf("reading the metrics: more than %d bytes", mostMetrics)
	}
	return string(text), nil
}

// patience is how long anything is waited for.
const patience = 20 * time.Minute

// seldom is how often clairwatch itself is asked whether it is so far: each time is a scrape, which costs it something.
const seldom = 10 * time.Second

// await waits until something is so, which it looks at again and again, and fails when clairwatch has ended.
func (c *cluster) await(ctx context.Context, what string, every time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !done() {
		if c.daemon.PID() == 0 {
			return fmt.Errorf("clairwatch has ended:\n%s", c.daemon.Tail(20))
		}
		if err := pause(ctx, every); err != nil {
			return fmt.Errorf("waiting for %s: %w\n%s", what, err, c.daemon.Tail(20))
		}
	}
	return nil
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
