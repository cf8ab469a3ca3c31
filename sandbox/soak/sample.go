package main

import (
	"context"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/clairwatch/clairwatch/sandbox/image"
)

// sample is what the daemon takes when the world is at rest.
type sample struct {
	goroutines float64
	// live is the heap after the last collection, and resident what the process holds (RSS), both in bytes.
	live, resident float64
}

// What a daemon may take more at any time of rest than at the first one. Connections that wait to be used again, each
// two goroutines, come and go.
const (
	moreGoroutines = 60
	moreLive       = 24 << 20
	moreResident   = 80 << 20
)

// sample notes what the daemon takes now.
func (s *soak) sample(ctx context.Context) error {
	m, err := s.keeper.daemon.Metrics(ctx)
	if err != nil {
		return err
	}
	// The heap is collected when it has grown to this, which by default is twice what was live.
	s.samples = append(s.samples, sample{
		goroutines: m["go_goroutines"], live: m["go_memstats_next_gc_bytes"] / 2, resident: m["process_resident_memory_bytes"],
	})
	return nil
}

// flat says whether nothing grew.
func flat(samples []sample) error {
	for i, now := range samples {
		first := samples[0]
		if now.goroutines > first.goroutines+moreGoroutines {
			return fmt.Errorf("after round %d there are %v goroutines, after the first %v", i, now.goroutines, first.goroutines)
		}
		if now.live > first.live+moreLive {
			return fmt.Errorf("after round %d the heap holds %.1f MiB, after the first %.1f", i, mib(now.live), mib(first.live))
		}
		if now.resident > first.resident+moreResident {
			return fmt.Errorf("after round %d the process holds %.0f MiB, after the first %.0f",
				i, mib(now.resident), mib(first.resident))
		}
	}
	return nil
}

func mib(bytes float64) float64 { return bytes / (1 << 20) }

// result is what there was.
type result struct {
	rounds, images, messages, published, ends int
	first, last                               sample
	took                                      time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("%d faults in %.0f s: %d runs of images, %d vulnerabilities published, %d messages, "+
		"%d unrecorded ends of the daemon; "+
		"goroutines %.0f at first, %.0f at last; heap %.1f MiB at first, %.1f at last; RSS %.0f MiB at first, %.0f at last",
		max(r.rounds-1, 0), r.took.Seconds(), r.images, r.published, r.messages, r.ends,
		r.first.goroutines, r.last.goroutines, mib(r.first.live), mib(r.last.live), mib(r.first.resident), mib(r.last.resident))
}

func (s *soak) result() result {
	e := s.journal.evidence()
	r := result{
		rounds: s.rounds, images: len(e.stays), messages: len(s.letters), published: len(e.published), ends: len(e.stops),
		took: time.Since(s.begun),
	}
	if n := len(s.samples); n > 0 {
		r.first, r.last = s.samples[0], s.samples[n-1]
	}
	return r
}

// digestOf is the digest of the manifest of an image for one platform.
func digestOf(sample image.Sample) (string, error) {
	img, ok := sample.Artifact.(v1.Image)
	if !ok {
		return "", fmt.Errorf("%s is for several platforms", sample.Name)
	}
	digest, err := img.Digest()
	return digest.String(), err
}
