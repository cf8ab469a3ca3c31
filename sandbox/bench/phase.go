package main

import (
	"context"
	"fmt"
	"time"

	"github.com/clairwatch/clairwatch/sandbox/load"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// phase is what clairwatch has used and asked while something went on.
type phase struct {
	name string
	// wall is how long it took, waits included.
	wall time.Duration
	// cpu is that of the whole process.
	cpu time.Duration
	// top is its most memory, resident that at the end, in MiB.
	top, resident int
	traffic       load.Traffic
}

// The phases, by their names.
const (
	coldStart = "cold start, until all is told"
	settled   = "settled"
	scraped   = "20 scrapes"
	restart   = "restart, until all is known"
	rested    = "settled again"
	churn     = "churn"
	removal   = "removal, until all is told"
)

// scrapes is of how many of /metrics the cost is measured.
const scrapes = 20

// bench is a cluster that is being measured.
type bench struct {
	*load.Cluster
	plan plan
	// rollout is what was replaced.
	rollout load.Rollout
}

// phases measures them one after the other.
func (b *bench) phases(ctx context.Context) (result, error) {
	r := result{plan: b.plan, podBytes: b.PodBytes}
	for _, p := range []struct {
		name string
		run  func(context.Context) error
	}{
		{coldStart, b.coldStart},
		{settled, b.rest},
		{scraped, b.scrape},
		{restart, b.restart},
		{rested, b.rest},
		{churn, b.churn},
		{removal, b.removal},
	} {
		b.Log("%s", p.name)
		measured, err := b.measure(ctx, p.run)
		if err != nil {
			return result{}, fmt.Errorf("%s: %w", p.name, err)
		}
		measured.name = p.name
		r.phases = append(r.phases, measured)
	}
	r.rollout = b.rollout
	return r, nil
}

func (b *bench) measure(ctx context.Context, run func(context.Context) error) (phase, error) {
	process, before := 0, load.Usage{}
	if b.Daemon != nil {
		process = b.Daemon.PID()
		if err := load.ForgetTop(process); err != nil {
			return phase{}, err
		}
		var err error
		if before, err = load.UsageOf(process); err != nil {
			return phase{}, err
		}
	}
	began := time.Now()
	if err := run(ctx); err != nil {
		return phase{}, err
	}
	wall := time.Since(began)
	after, err := load.UsageOf(b.Daemon.PID())
	if err != nil {
		return phase{}, err
	}
	if b.Daemon.PID() != process { // another one has begun
		before = load.Usage{}
	}
	return phase{wall: wall, cpu: after.CPU - before.CPU, top: after.Top, resident: after.Resident, traffic: b.Traffic()}, nil
}

// coldStart starts a clairwatch that knows nothing, and waits until each channel was told and nothing is left to tell: a
// second message, and what is written down of the last one, are of this phase, too.
func (b *bench) coldStart(ctx context.Context) error {
	if err := b.Launch(ctx); err != nil {
		return err
	}
	if err := b.awaitAll(ctx, make([]int, b.Namespaces)); err != nil {
		return err
	}
	return b.awaitKnown(ctx, b.looked())
}

// awaitAll waits until each channel was told more than before.
func (b *bench) awaitAll(ctx context.Context, before []int) error {
	return b.Await(ctx, "each channel to be told", time.Second, func() bool {
		for n, told := range b.told() {
			if told == before[n] {
				return false
			}
		}
		return true
	})
}

// told is how many messages each channel has.
func (b *bench) told() []int {
	told := make([]int, b.Namespaces)
	for n := range told {
		told[n] = b.Told(n)
	}
	return told
}

// rest leaves it alone.
func (b *bench) rest(ctx context.Context) error { return load.Pause(ctx, b.plan.settle) }

// scrape reads /metrics.
func (b *bench) scrape(ctx context.Context) error {
	for range scrapes {
		if _, err := b.Metrics(ctx); err != nil {
			return err
		}
	}
	return nil
}

// restart ends it, as a rollout does, and starts another one.
func (b *bench) restart(ctx context.Context) error {
	if err := b.Relaunch(ctx); err != nil {
		return err
	}
	return b.awaitKnown(ctx, b.looked())
}

// looked is how many of the images are within the limit of their namespace.
func (b *bench) looked() int {
	most, _ := b.plan.Config["maxImages"].(int)
	if most == 0 {
		return b.Images
	}
	looked := 0
	for n := range b.Namespaces {
		looked += min(most, (b.Images-n+b.Namespaces-1)/b.Namespaces)
	}
	return looked
}

// awaitKnown waits until so many images have a report and nothing is to be told.
func (b *bench) awaitKnown(ctx context.Context, images int) error {
	return b.AwaitMetrics(ctx, b.plan.often, fmt.Sprintf("%d images to be known", images), func(m stage.Metrics) bool {
		return m[`clairwatch_images{state="scanned"}`] == float64(images) && m[`clairwatch_images{state="untried"}`] == 0 &&
			m["clairwatch_news_pending"] == 0
	})
}

// churn replaces pods, and waits until the images that came are told, and those that went.
func (b *bench) churn(ctx context.Context) error {
	if b.plan.rolling <= 0 {
		return nil
	}
	var err error
	if b.rollout, err = b.Roll(ctx, b.plan.rolled, b.plan.rolling); err != nil {
		return err
	}
	if err := load.Pause(ctx, b.plan.grace+b.plan.grace/5+late); err != nil {
		return err
	}
	return b.awaitKnown(ctx, b.looked())
}

// late is what clairwatch may take to see that an image is gone, beyond removalGrace and the two looks at a tenth of that
// between which it has to pass.
const late = 5 * time.Second

// removal removes all pods, and waits until each channel knows.
func (b *bench) removal(ctx context.Context) error {
	before := b.told()
	if err := b.RemoveAll(ctx); err != nil {
		return err
	}
	if err := b.awaitAll(ctx, before); err != nil {
		return err
	}
	return b.AwaitMetrics(ctx, b.plan.often, "nothing to run and nothing to be told", func(m stage.Metrics) bool {
		return m.Sum("clairwatch_images") == 0 && m["clairwatch_news_pending"] == 0
	})
}
