// Command bench measures what clairwatch costs: as its own process, with the settings that it ships with, against a real
// API server, and beside a Clair, a registry and a Slack that answer at once and count what they are asked. So what is
// measured is clairwatch, and nothing that it waits for. What it asks of the API server is not counted.
//
//	go run ./bench -pods 10000 -images 1000 -namespaces 50
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// load is what the cluster runs.
type load struct {
	pods, images, namespaces int
	// findings is how many each image has.
	findings int
	// annotated has each pod carry the annotation that clairwatch writes when it is let, and lets it.
	annotated bool
	// imageMetrics is the setting metrics.images.
	imageMetrics bool
	// memory is GOMEMLIMIT, as in the manifest.
	memory string
	// settle is how long clairwatch is left alone before its memory counts as settled, and its CPU as idle.
	settle time.Duration
}

func main() {
	var l load
	flag.IntVar(&l.pods, "pods", 10_000, "pods that run")
	flag.IntVar(&l.images, "images", 1_000, "images that they run")
	flag.IntVar(&l.namespaces, "namespaces", 50, "namespaces that they run in, each with a channel of its own")
	flag.IntVar(&l.findings, "findings", 120, "findings of each image")
	flag.BoolVar(&l.annotated, "annotated", false, "have all pods annotated, and clairwatch see it")
	flag.BoolVar(&l.imageMetrics, "metrics-images", false, "the setting metrics.images")
	flag.StringVar(&l.memory, "memory", "200MiB", "GOMEMLIMIT of clairwatch")
	flag.DurationVar(&l.settle, "settle", 2*time.Minute, "how long it is left alone before its memory counts as settled, and its CPU as idle")
	verbose := flag.Bool("v", false, "say what is being done")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	say := func(string, ...any) {}
	if *verbose {
		say = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	}
	if err := run(ctx, l, say); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures a cold start, the time after it, scrapes and a restart, and prints them.
func run(ctx context.Context, l load, say func(string, ...any)) error {
	if l.images < l.namespaces || l.pods < l.images || l.namespaces < 1 {
		return fmt.Errorf("%d pods, %d images, %d namespaces: want at least a namespace, an image for each, and a pod for each image", l.pods, l.images, l.namespaces)
	}
	if l.findings < 1 || l.findings > mostFindings {
		return fmt.Errorf("%d findings: want 1 to %d", l.findings, mostFindings)
	}
	c, err := start(ctx, l, say)
	if err != nil {
		return err
	}
	err = c.measure(ctx, os.Stdout)
	if stopped := c.stop(); err == nil {
		err = stopped
	}
	return err
}
