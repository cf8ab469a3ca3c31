// Command bench measures what clairwatch costs: as its own process, with the settings that it ships with, against a real
// API server, and beside a Clair, a registry and a Slack that answer at once and count what they are asked. So what is
// measured is clairwatch, and nothing that it waits for. It prints Markdown, beside each figure its goal.
//
//	go run ./bench                                             # three sizes, one after the other: half an hour
//	go run ./bench -pods 10000 -images 1000 -namespaces 50     # one
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/clairwatch/clairwatch/sandbox/load"
)

// plan is what is measured.
type plan struct {
	load.Options
	// settle is how long clairwatch is left alone before its memory counts as settled, and its CPU as idle.
	settle time.Duration
	// rolled is how many pods a second are replaced, for how long.
	rolled  int
	rolling time.Duration
	// grace is the setting removalGrace: less than what is shipped, because that would only be waited for.
	grace time.Duration
	// often is how often clairwatch is asked whether it is so far: by so much a phase may seem to last longer.
	often time.Duration
}

// sizes are what is measured when nothing else is asked for.
var sizes = []load.Size{
	{Pods: 1_000, Images: 100, Namespaces: 5},
	{Pods: 10_000, Images: 1_000, Namespaces: 50},
	{Pods: 100_000, Images: 5_000, Namespaces: 200},
}

// memoryFor is the GOMEMLIMIT that docs/operating.md gives to so many pods.
func memoryFor(pods int) string {
	if pods > 50_000 {
		return "400MiB"
	}
	return "200MiB"
}

func main() {
	var p plan
	flag.IntVar(&p.Pods, "pods", 0, "pods that run; 0: all sizes, one after the other")
	flag.IntVar(&p.Images, "images", 1_000, "images that they run, where pods says how many those are")
	flag.IntVar(&p.Namespaces, "namespaces", 50, "namespaces that they run in, each with a channel of its own, likewise")
	flag.IntVar(&p.Findings, "findings", 120, "findings of each image")
	flag.BoolVar(&p.Annotated, "annotated", false, "have all pods annotated, and clairwatch see it")
	imageMetrics := flag.Bool("metrics-images", false, "the setting metrics.images")
	maxImages := flag.Int("max-images", 2_000, "the setting maxImages")
	flag.StringVar(&p.Memory, "memory", "", "GOMEMLIMIT of clairwatch; empty: 200MiB, and 400MiB above 50,000 pods")
	flag.DurationVar(&p.settle, "settle", 2*time.Minute, "how long it is left alone before its memory counts as settled, and its CPU as idle")
	flag.IntVar(&p.rolled, "roll", 20, "pods that are replaced each second")
	flag.DurationVar(&p.rolling, "rolling", time.Minute, "for how long; 0: not at all")
	flag.DurationVar(&p.grace, "removal-grace", time.Minute, "the setting removalGrace, which ships with 10 minutes")
	verbose := flag.Bool("v", false, "say what is being done")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *verbose {
		p.Log = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	}
	p.often = 10 * time.Second
	p.Config = map[string]any{
		"removalGrace": p.grace.String(),
		"maxImages":    *maxImages,
		"metrics":      map[string]any{"images": *imageMetrics},
	}
	if err := run(ctx, p, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures one size, or all of them.
func run(ctx context.Context, p plan, out io.Writer) error {
	if p.Pods > 0 {
		_, err := measure(ctx, p, out)
		return err
	}
	var all []result
	for _, size := range sizes {
		size.Findings = p.Findings
		p.Size = size
		r, err := measure(ctx, p, out)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	return writeGrowth(out, all)
}

// measure measures one size and prints what it found.
func measure(ctx context.Context, p plan, out io.Writer) (result, error) {
	p.Memory = cmp.Or(p.Memory, memoryFor(p.Pods))
	c, err := load.Start(ctx, p.Options)
	if err != nil {
		return result{}, err
	}
	r, err := (&bench{Cluster: c, plan: p}).phases(ctx)
	if stopped := c.Stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return result{}, err
	}
	return r, r.write(out)
}
