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
	// onChange is called then, but for the first time. It must not block.
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
	if time.Since(s.at) >= dataWhole || time.Since(s.changed) < max(quiet.wait, dataEvery) {
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
		changed = s.notice(updates.Updaters) || changed
		s.updates, s.at, s.says = updates, time.Now(), true
	}
	if changed {
		s.changed = time.Now()
	}
	if changed && !first {
		s.onChange()
	}
	return nil
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
