package watcher

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/settings"
)

// clairs are the Clairs in the settings. Their clients are made when first needed.
type clairs struct {
	dial func(base string) (Clair, error)
	// resolves is for how many images of one namespace that a Clair is to index registries are asked at once.
	resolves int
	// call has an image looked at that has a slot now.
	call func(image)
	// events are what is done when the data of a Clair changes, or whether it answers.
	events func(base string) clairEvents

	mu     sync.Mutex
	byBase map[string]*service
}

// clairEvents are called when something about a Clair changes. They must not block.
type clairEvents struct {
	dataEvents
	// unmuted: it was suspected to give no reports, and has given one.
	unmuted func(after time.Duration)
}

// service is one Clair, the lines of those that want something of it, and what is known of its data.
type service struct {
	Clair
	// indexing are those that want it to index an image, reading those that want to know what it says of one. resolving
	// are those of which it knows nothing, so that a registry is to be asked for them first.
	indexing, reading, resolving *line
	// indexed are the manifests that it has indexed for us last.
	indexed digests
	// permits are the reports that may be asked for at once: also by who has a slot to index, and by the pages.
	permits chan struct{}

	data *dataSource
	// mute is the suspicion that it gives no reports at all; unmuted is called when it does again.
	mute    suspicion
	unmuted func(after time.Duration)
	// waited is set once the log has said that first reports wait for its data.
	waited atomic.Bool
}

func newClairs(
	resolves int, dial func(base string) (Clair, error), call func(image), events func(base string) clairEvents,
) *clairs {
	return &clairs{dial: dial, resolves: resolves, call: call, events: events, byBase: make(map[string]*service)}
}

// dial makes a client for what is at a base address. One that the settings have no more, from which there is still
// something to delete, is a Clair.
func (w *Watcher) dial(base string) (Clair, error) {
	name := cmp.Or(w.assigned.Load().backend(base), settings.BackendClair)
	backend := w.cfg.Backends[name]
	if backend == nil {
		return nil, fmt.Errorf("there is no backend %q", name)
	}
	client, err := backend(base)
	if err != nil {
		return nil, err
	}
	return countedClair{client, w.metrics.clairRequests}, nil
}

// at returns the Clair at a base address.
func (c *clairs) at(base string) (*service, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.byBase[base]; ok {
		return s, nil
	}
	client, err := c.dial(base)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoClair, err)
	}
	indexing, reports := client.Slots()
	events := c.events(base)
	s := &service{
		Clair:     client,
		indexing:  newLine(indexing, c.call),
		reading:   newLine(reports, c.call),
		resolving: newSharedLine(c.resolves, c.call),
		permits:   make(chan struct{}, max(reports, 1)),
		data:      newDataSource(events.dataEvents),
		unmuted:   events.unmuted,
	}
	c.byBase[base] = s
	return s, nil
}

// Report is that of the Clair, of which no more are asked for at once than it is to give.
func (s *service) Report(ctx context.Context, digest string) (*claircore.VulnerabilityReport, error) {
	if err := s.permit(ctx); err != nil {
		return nil, err
	}
	defer func() { <-s.permits }()
	return s.report(ctx, digest)
}

// permit waits until the Clair has time for one more report.
func (s *service) permit(ctx context.Context) error {
	select {
	case s.permits <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// report is Report for who has a permit.
func (s *service) report(ctx context.Context, digest string) (*claircore.VulnerabilityReport, error) {
	vr, err := s.Clair.Report(ctx, digest)
	if !isMute(err) {
		if after, was := s.mute.clear(time.Now()); was {
			s.unmuted(after)
		}
	}
	return vr, err
}

// isMute says that an error is that of a Clair that does not answer, rather than what it answers about an image.
func isMute(err error) bool {
	return err != nil && (!isClair(err) || judge(err).cause == CauseClairUnavailable)
}

// abandon has an image wait at no Clair but some: it is gone, it has what it waited for, or the settings
// have changed.
func (c *clairs) abandon(img image, except []string) {
	for _, l := range c.lines(except) {
		l.abandon(img)
	}
}

// leave has an image that is about to be resolved or indexed, which can take long, wait to be read nowhere: a slot that is
// kept for it meanwhile would be taken from all that wait there.
func (c *clairs) leave(img image) {
	c.mu.Lock()
	var ls []*line
	for _, s := range c.byBase {
		ls = append(ls, s.reading)
	}
	c.mu.Unlock()
	for _, l := range ls {
		l.abandon(img)
	}
}

// wait says whether an image waits to be read at each of some Clairs.
func (c *clairs) wait(img image, at []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.ContainsFunc(at, func(base string) bool {
		s := c.byBase[base]
		return s != nil && !s.reading.has(img)
	})
}

// suspect says whether a Clair is to be suspected to give no reports at all, and whether that is new.
func (c *clairs) suspect(base string) (is, isNew bool) {
	if s := c.known(base); s != nil {
		return s.mute.arise(time.Now())
	}
	return false, false
}

// isSuspected says whether a Clair is suspected to give no reports at all.
func (c *clairs) isSuspected(base string) bool {
	s := c.known(base)
	return s != nil && s.mute.is()
}

// known returns a Clair of which there is a client already; otherwise nil.
func (c *clairs) known(base string) *service {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byBase[base]
}

// isAway says whether a Clair does not answer.
func (c *clairs) isAway(base string) bool { return !c.awaySince(base).IsZero() }

// awaySince is since when a Clair does not answer; zero: it does, or was never asked.
func (c *clairs) awaySince(base string) time.Time {
	s := c.known(base)
	if s == nil {
		return time.Time{}
	}
	gone := s.data.gone.Load()
	if gone == nil {
		return time.Time{}
	}
	return gone.since
}

func (c *clairs) lines(except []string) []*line {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ls []*line
	for base, s := range c.byBase {
		if !slices.Contains(except, base) {
			ls = append(ls, s.reading, s.resolving, s.indexing)
		}
	}
	return ls
}
