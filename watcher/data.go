package watcher

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
)

const (
	// dataEvery is how old what is known of a Clair's data may be when a report is judged by it.
	dataEvery = time.Minute
	// dataWhole is how old the list of updaters may be that Clair says is still the same, once it has been for a
	// while: its tag is that of the update that began last, which need not be the one that ended last.
	dataWhole = 10 * time.Minute
	// dataRetry is when a Clair is asked again that did not say.
	dataRetry = 5 * time.Second
)

// quietTimes say when a Clair's data is complete enough to be told for the first time.
type quietTimes struct {
	// wait is how long no updater must have been new; most is after which time it is told all the same.
	wait, most time.Duration
}

// data is what a Clair has to find vulnerabilities with. A Clair that has just been set up has its updaters
// one after another, and answers from the first one on.
type data struct {
	// state is its index_state: which scanners it looks into images with.
	state string
	// updaters are those whose data it has, in order; nil when it does not say.
	updaters []findings.ID
	// loading says that more updaters are to be expected, for the time left if no further one comes; late, that
	// they have been for too long.
	loading, late bool
	left          time.Duration
}

// loadingError says that a Clair is still loading its data. What it says is not told for the first time then.
type loadingError struct{ left time.Duration }

func (e loadingError) Error() string { return "Clair is still loading its data" }

// dataSource asks a Clair for its data, at most every dataEvery.
type dataSource struct {
	mu    sync.Mutex
	asked time.Time
	err   error
	state string
	// next is another state that it has shown since a time, and nothing else. While a Clair of several replicas
	// is upgraded it shows now one and now the other, and each change would have everything indexed anew.
	next  string
	since time.Time
	// updates is the last list, which was read when Clair's clock said updates.Now and ours at; zero when the
	// Clair does not have one.
	updates clair.Updates
	at      time.Time
	says    bool
	// appeared is when updaters came into the list that were not in the one before. Clair dates an update by
	// its beginning, which can be long before.
	appeared map[string]time.Time
	// changed is when the list or the state last was another one than before.
	changed time.Time
	// stirred is when the data first became another one since all images were looked at, and fresh when it last did;
	// zero when it did not. An update of several sources takes Clair a while.
	stirred, fresh time.Time
	// onChange is called when the list or the state is another one, but for the first time, and when the data has
	// been the same for a while after it became another one. It must not block.
	onChange func()
}

// read returns what a Clair has now. The report that it is for is to be asked for afterwards: an updater that
// comes in between is then new the next time, instead of never.
func (s *dataSource) read(ctx context.Context, c Clair, quiet quietTimes) (data, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := dataEvery
	if s.err != nil {
		wait = dataRetry
	}
	if s.asked.IsZero() || time.Since(s.asked) >= wait {
		s.err = s.ask(ctx, c, quiet)
		s.asked = time.Now()
	}
	if s.err != nil {
		return data{}, s.err
	}
	return s.assess(quiet), nil
}

// ask renews what is known. s.mu is held.
func (s *dataSource) ask(ctx context.Context, c Clair, quiet quietTimes) error {
	state, err := c.State(ctx)
	if err != nil && !hidden(err) {
		return fmt.Errorf("asking Clair for its state: %w", err)
	}
	tag := s.updates.ETag
	if time.Since(s.at) >= dataWhole || time.Since(later(s.changed, s.fresh)) < max(quiet.wait, dataEvery) {
		tag = ""
	}
	updates, err := c.Updates(ctx, tag)
	if err != nil && !hidden(err) {
		return fmt.Errorf("asking Clair for its updates: %w", err)
	}
	first := s.changed.IsZero()
	changed := s.adopt(state, first, quiet) || first
	switch {
	case err != nil:
		s.updates, s.says = clair.Updates{}, false
	case !updates.Unchanged:
		s.stir(updates.Updaters)
		changed = s.notice(updates.Updaters) || changed
		s.updates, s.at, s.says = updates, time.Now(), true
	}
	if changed {
		s.changed = time.Now()
	}
	if s.settled(quiet) || changed && !first {
		s.onChange()
	}
	return nil
}

// stir notes that an updater has newer data than before. s.mu is held.
func (s *dataSource) stir(now []clair.Updater) {
	if !s.says || !slices.ContainsFunc(now, func(u clair.Updater) bool {
		return slices.ContainsFunc(s.updates.Updaters, func(o clair.Updater) bool { return o.Name == u.Name && !o.Last.Equal(u.Last) })
	}) {
		return
	}
	s.fresh = time.Now()
	if s.stirred.IsZero() {
		s.stirred = s.fresh
	}
}

// settled says, once, that newer data has stayed the same for a while, or has changed for too long to be waited for.
// s.mu is held.
func (s *dataSource) settled(quiet quietTimes) bool {
	if s.stirred.IsZero() || time.Since(s.fresh) < quiet.wait && time.Since(s.stirred) < quiet.most {
		return false
	}
	s.stirred = time.Time{}
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// adopt takes over a state that Clair shows, and says whether it is another one now. s.mu is held.
func (s *dataSource) adopt(state string, first bool, quiet quietTimes) bool {
	switch {
	case state == s.state:
		s.next = ""
		return false
	case !first && state != s.next:
		s.next, s.since = state, time.Now()
	}
	if !first && time.Since(s.since) < quiet.wait {
		return false
	}
	s.state, s.next = state, ""
	return true
}

// hidden says that a gateway does not let us see what is internal to a Clair. It can be done without.
func hidden(err error) bool {
	return clair.IsKind(err, clair.NotFound) || clair.IsKind(err, clair.Unauthorized) || clair.IsKind(err, clair.Invalid)
}

// notice notes the updaters that are not in the list so far, and says whether there are any. s.mu is held.
func (s *dataSource) notice(now []clair.Updater) bool {
	any := false
	for _, u := range now {
		if slices.ContainsFunc(s.updates.Updaters, func(o clair.Updater) bool { return o.Name == u.Name }) {
			continue
		}
		any = true
		if !s.says { // how long they have been there is what Clair says
			continue
		}
		if s.appeared == nil {
			s.appeared = make(map[string]time.Time)
		}
		s.appeared[u.Name] = time.Now()
	}
	return any
}

// assess says what the data is good for now. s.mu is held.
func (s *dataSource) assess(quiet quietTimes) data {
	d := data{state: s.state}
	if !s.says {
		return d
	}
	d.updaters = make([]findings.ID, 0, len(s.updates.Updaters))
	now := time.Now()
	if !s.updates.Now.IsZero() { // by Clair's clock, as the times are
		now = s.updates.Now.Add(time.Since(s.at))
	}
	var oldest, newest time.Time // when the first and the last updater came
	for _, u := range s.updates.Updaters {
		d.updaters = append(d.updaters, findings.NameID(u.Name))
		if oldest.IsZero() || u.First.Before(oldest) {
			oldest = u.First
		}
		since := u.First
		if at, noticed := s.appeared[u.Name]; noticed {
			since = now.Add(-time.Since(at))
		}
		if since.After(newest) {
			newest = since
		}
	}
	slices.Sort(d.updaters)
	switch {
	case quiet.wait <= 0:
	case len(d.updaters) == 0:
		d.loading, d.left = true, quiet.wait
	case now.Sub(newest) >= quiet.wait:
	case now.Sub(oldest) >= quiet.most:
		d.late = true
	default:
		d.loading, d.left = true, min(quiet.wait-now.Sub(newest), quiet.most-now.Sub(oldest))
	}
	return d
}

// basis is what a report rests on that was made with this data.
func (d data) basis(base string) findings.Basis {
	return findings.Basis{Clair: findings.NameID(base), State: d.state, Updaters: d.updaters}
}

// probeUntil looks at the data of the Clairs in the settings until ctx ends: when it is another one, all images are
// looked at again. Clair's notifier says nothing about several distributions and languages, and can miss an update.
// Requests last as long as work.
func (w *Watcher) probeUntil(ctx, work context.Context) {
	repeat(ctx, dataEvery, func() {
		var group sync.WaitGroup
		for _, base := range w.assigned.Load().clairs() {
			group.Go(func() { w.probe(work, base) })
		}
		group.Wait()
	})
}

// probe looks at the data of one Clair. That one does not answer is told by the images that wait for it.
func (w *Watcher) probe(ctx context.Context, base string) {
	c, err := w.clairs.at(base)
	if err == nil {
		_, err = c.data.read(ctx, c, w.cfg.quiet())
	}
	if err != nil {
		w.log.Debug("could not look whether Clair has newer data", "clair", base, "error", err)
	}
}
