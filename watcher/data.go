package watcher

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
)

const (
	// dataWhole is how old the list of updaters may be that Clair says is still the same, once it has been for a
	// while: its tag is that of the update that began last, which need not be the one that ended last.
	dataWhole = 10 * time.Minute
	// dataRetry is when a Clair is asked again that did not say.
	dataRetry = 5 * time.Second
	// awayPatience is how long a Clair may give no answer before that is told: one that is upgraded moves its
	// databases on before it answers.
	awayPatience = 5 * time.Minute
)

// dataTimes say how often a Clair is asked for its data, and when that is complete enough to be told.
type dataTimes struct {
	// every is how old what is known may be when a report is judged by it.
	every time.Duration
	// quiet is how long no updater must have been new; most is after which time it is told all the same.
	quiet, most time.Duration
}

// data is what a Clair has to find vulnerabilities with. A Clair that has just been set up has its updaters
// one after another, and answers from the first one on.
type data struct {
	// state is its index_state: which scanners it looks into images with.
	state string
	// updaters are those whose data it has, in order; nil when it does not say.
	updaters []findings.ID
	// names are what they are called.
	names []string
	// edition is another number whenever state or updaters or an update of theirs are other ones, while this process
	// runs; zero when the Clair does not say.
	edition uint64
	// loading says that more updaters are to be expected, for the time left if no further one comes; late, that
	// they have been for too long.
	loading, late bool
	left          time.Duration
}

// loadingError says that a Clair is still loading its data. What it says is not told for the first time then.
type loadingError struct{ left time.Duration }

func (e loadingError) Error() string { return "Clair is still loading its data" }

// awayError says that a Clair does not say what data it has, and is not asked for anything else.
type awayError struct {
	err   error
	since time.Time
	// lasting says that it has been so for awayPatience.
	lasting bool
}

func (e *awayError) Error() string { return e.err.Error() }
func (e *awayError) Unwrap() error { return e.err }

// answered is what a Clair has said last.
type answered struct {
	at time.Time
	// newest is when the newest of its updates of vulnerabilities began, by its own clock; zero when it does not say, or
	// has none.
	newest time.Time
	// loading says that it has not all of its data yet, or none.
	loading bool
}

// dataEvents are called by a dataSource. They must not block.
type dataEvents struct {
	// changed: the state is another one, but for the first time, or the data has been the same for a while after it
	// became another one.
	changed func()
	// away: the Clair does not answer any more. lasting: it has not for awayPatience. back: it does again.
	away, lasting func(*awayError)
	back          func(after time.Duration)
	// hidden: it does not say what data it has, and probably never will.
	hidden func()
}

// dataSource asks a Clair for its data, not more often than is needed.
type dataSource struct {
	events dataEvents
	// turn is held by who asks. Nobody waits for it while the Clair is away, so that the images of one that hangs do
	// not keep those of others waiting.
	turn chan struct{}
	// gone is why it is away; nil when it is not.
	gone atomic.Pointer[awayError]
	// last is what it said when it last answered; nil while it has not.
	last atomic.Pointer[answered]

	// What follows belongs to who holds turn.

	// began and asked are when it was asked last, and when it had answered.
	began, asked time.Time
	state        string
	// next is another state that it has shown since a time, and nothing else. While a Clair of several replicas
	// is upgraded it shows now one and now the other, and each change would have everything indexed anew.
	next  string
	since time.Time
	// updates is the last list, which was read when Clair's clock said updates.Now and ours at; zero when the
	// Clair does not have one.
	updates clair.Updates
	at      time.Time
	says    bool
	edition uint64
	// ids and names are those of updates, as data has them. They are replaced and never changed.
	ids   []findings.ID
	names []string
	// appeared is when updaters came into the list that were not in the one before. Clair dates an update by
	// its beginning, which can be long before.
	appeared map[string]time.Time
	// changed is when the state last was another one than before.
	changed time.Time
	// stirred is when the data first became another one since all images were looked at, and fresh when it last did;
	// zero when it did not. An update of several sources takes Clair a while.
	stirred, fresh time.Time
}

func newDataSource(events dataEvents) *dataSource {
	return &dataSource{events: events, turn: make(chan struct{}, 1)}
}

// read returns what a Clair has, as it was times.every ago or later. The report that it is for is to be asked for
// afterwards: an updater that comes in between is then new the next time, instead of never. An error is an
// *awayError, or that of ctx.
func (s *dataSource) read(ctx context.Context, c Clair, times dataTimes) (data, error) {
	return s.readIf(ctx, c, times, func() (string, bool) {
		wait := times.every
		if s.gone.Load() != nil {
			wait = min(wait, dataRetry)
		}
		return s.tag(times), s.asked.IsZero() || time.Since(s.asked) >= wait
	})
}

// readSince returns what a Clair has, as it was at a time or later.
func (s *dataSource) readSince(ctx context.Context, c Clair, times dataTimes, t time.Time) (data, error) {
	return s.readIf(ctx, c, times, func() (string, bool) { return s.tag(times), !s.began.After(t) })
}

// readNow returns what a Clair has now.
func (s *dataSource) readNow(ctx context.Context, c Clair, times dataTimes) (data, error) {
	return s.readIf(ctx, c, times, func() (string, bool) { return "", true })
}

// readIf returns what is known of a Clair, which is asked first, with a tag, where that is due.
func (s *dataSource) readIf(ctx context.Context, c Clair, times dataTimes, due func() (tag string, is bool)) (data, error) {
	if err := s.take(ctx); err != nil {
		return data{}, err
	}
	defer s.release()
	if tag, is := due(); is {
		if err := s.ask(ctx, c, times, tag); err != nil {
			return data{}, err
		}
	}
	if gone := s.gone.Load(); gone != nil {
		return data{}, gone
	}
	d := s.assess(times)
	s.last.Store(&answered{at: s.asked, newest: s.updates.Newest(), loading: d.loading})
	return d, nil
}

// tag is what the list of updaters is asked for with, which saves it while it is the same; empty when it is not to be
// relied on.
func (s *dataSource) tag(times dataTimes) string {
	if time.Since(s.at) >= dataWhole || time.Since(later(s.changed, s.fresh)) < max(times.quiet, times.every) {
		return ""
	}
	return s.updates.ETag
}

func (s *dataSource) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	if gone := s.gone.Load(); gone != nil {
		return gone
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *dataSource) release() { <-s.turn }

// ask renews what is known. It notes whether the Clair answers, unless it was ctx that ended.
func (s *dataSource) ask(ctx context.Context, c Clair, times dataTimes, tag string) error {
	began := time.Now()
	err := s.renew(ctx, c, times, tag)
	if err != nil && ctx.Err() != nil {
		return err
	}
	s.began, s.asked = began, time.Now()
	was := s.gone.Load()
	if err == nil {
		s.gone.Store(nil)
		if was != nil {
			s.events.back(time.Since(was.since))
		}
		return nil
	}
	now := &awayError{err: err, since: time.Now()}
	if was != nil {
		now.since = was.since
		now.lasting = time.Since(now.since) >= awayPatience
	}
	s.gone.Store(now)
	switch {
	case was == nil:
		s.events.away(now)
	case now.lasting && !was.lasting:
		s.events.lasting(now)
	}
	return now
}

func (s *dataSource) renew(ctx context.Context, c Clair, times dataTimes, tag string) error {
	state, err := c.State(ctx)
	if err != nil && (!hidden(err) || clair.IsKind(err, clair.Unauthorized)) { // who may not see this may see nothing
		return err
	}
	updates, err := c.Updates(ctx, tag)
	if err != nil && !hidden(err) {
		return err
	}
	first := s.changed.IsZero()
	changed := s.adopt(state, first, times) || first
	switch {
	case err != nil:
		if first || s.says {
			s.events.hidden()
		}
		s.updates, s.says = clair.Updates{}, false
	case !updates.Unchanged:
		if !s.says || !slices.EqualFunc(updates.Updaters, s.updates.Updaters, sameUpdate) {
			s.edition++
		}
		if !first {
			s.stir(updates.Updaters)
		}
		s.notice(updates.Updaters)
		s.list(updates)
	}
	if changed {
		s.changed = time.Now()
		s.edition++
	}
	if s.settled(times) || changed && !first {
		s.events.changed()
	}
	return nil
}

// list takes over a list of updaters.
func (s *dataSource) list(updates clair.Updates) {
	s.updates, s.at, s.says = updates, time.Now(), true
	s.ids, s.names = make([]findings.ID, 0, len(updates.Updaters)), make([]string, 0, len(updates.Updaters))
	for _, u := range updates.Updaters {
		s.ids = append(s.ids, findings.NameID(u.Name))
		s.names = append(s.names, u.Name)
	}
	slices.Sort(s.ids)
}

func sameUpdate(a, b clair.Updater) bool { return a.Name == b.Name && a.Last.Equal(b.Last) }

// stir notes that an updater has newer data than before, or is new: what enriches vulnerabilities is listed before it
// can be read.
func (s *dataSource) stir(now []clair.Updater) {
	if !slices.ContainsFunc(now, func(u clair.Updater) bool {
		return !slices.ContainsFunc(s.updates.Updaters, func(o clair.Updater) bool { return sameUpdate(o, u) })
	}) {
		return
	}
	s.fresh = time.Now()
	if s.stirred.IsZero() {
		s.stirred = s.fresh
	}
}

// settled says, once, that newer data has stayed the same for a while, or has changed for too long to be waited for.
func (s *dataSource) settled(times dataTimes) bool {
	if s.stirred.IsZero() || time.Since(s.fresh) < times.quiet && time.Since(s.stirred) < times.most {
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

// adopt takes over a state that Clair shows, and says whether it is another one now.
func (s *dataSource) adopt(state string, first bool, times dataTimes) bool {
	switch {
	case state == s.state, state == "" && !first: // a gateway that hides it for a moment
		s.next = ""
		return false
	case !first && state != s.next:
		s.next, s.since = state, time.Now()
	}
	if !first && time.Since(s.since) < times.quiet {
		return false
	}
	s.state, s.next = state, ""
	return true
}

// hidden says that a gateway does not let us see what is internal to a Clair. It can be done without.
func hidden(err error) bool {
	return clair.IsKind(err, clair.NotFound) || clair.IsKind(err, clair.Unauthorized) || clair.IsKind(err, clair.Invalid)
}

// notice notes the updaters that are not in the list so far.
func (s *dataSource) notice(now []clair.Updater) {
	for _, u := range now {
		if !s.says || slices.Contains(s.names, u.Name) { // of a first list Clair says how long they have been there
			continue
		}
		if s.appeared == nil {
			s.appeared = make(map[string]time.Time)
		}
		s.appeared[u.Name] = time.Now()
	}
}

// assess says what the data is good for now.
func (s *dataSource) assess(times dataTimes) data {
	d := data{state: s.state}
	if !s.says {
		return d
	}
	d.edition, d.updaters, d.names = s.edition, s.ids, s.names
	now := time.Now()
	if !s.updates.Now.IsZero() { // by Clair's clock, as the times are
		now = s.updates.Now.Add(time.Since(s.at))
	}
	var oldest, newest time.Time // when the first and the last updater came
	for _, u := range s.updates.Updaters {
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
	switch {
	case times.quiet <= 0:
	case s.updates.Newest().IsZero(): // what enriches them finds nothing by itself
		d.loading, d.left = true, times.quiet
	case now.Sub(newest) >= times.quiet:
	case now.Sub(oldest) >= times.most:
		d.late = true
	default:
		d.loading, d.left = true, min(times.quiet-now.Sub(newest), times.most-now.Sub(oldest))
	}
	return d
}

// report is what a Clair with this data says of an image.
func (d data) report(vr *claircore.VulnerabilityReport) findings.Report {
	r := findings.FromClair(vr)
	r.Covered = findings.Covered(vr, d.names)
	return r
}

// basis is what a report rests on that was made with this data.
func (d data) basis(base string) findings.Basis {
	return findings.Basis{Clair: findings.NameID(base), State: d.state, Updaters: d.updaters}
}

// clairEvents are what is done when the data of a Clair changes, or whether it answers.
func (w *Watcher) clairEvents(base string) clairEvents {
	log := w.log.With("clair", base)
	// Those that could not be looked at are one message when they can be again.
	lookAtFailed := func() { w.lookTogether(w.progress.in(State(CauseClairUnavailable), w.imagesAt(base))) }
	data := dataEvents{
		changed: func() {
			imgs := w.imagesAt(base)
			log.Info("this Clair has newer data, or other scanners: its images are looked at again", "images", len(imgs))
			w.lookTogether(imgs)
		},
		away: func(err *awayError) {
			log.Warn("this Clair does not answer, or refuses; its images wait", "error", err)
			if detailed, ok := errors.AsType[*clair.Error](err); ok && detailed.Detail() != "" {
				log.Debug("clair said", "detail", detailed.Detail())
			}
		},
		// Each image notices at its own time. Told together they are one message.
		lasting: func(*awayError) { w.lookAllAt(base) },
		back: func(after time.Duration) {
			log.Info("this Clair answers again", "after", after.Round(time.Second))
			lookAtFailed()
		},
		hidden: func() {
			if w.cfg.Refresh > 0 {
				log.Info("this Clair does not say when its data changes: reports are fetched again every refresh", "refresh", w.cfg.Refresh)
				return
			}
			log.Warn("this Clair does not say when its data changes, and refresh is 0s: what is newly disclosed is found by its notifier alone")
		},
	}
	return clairEvents{dataEvents: data, unmuted: func(after time.Duration) {
		log.Info("this Clair gives reports again", "after", after.Round(time.Second))
		lookAtFailed()
	}}
}

// mostProbes is how many Clairs are asked about their data at once.
const mostProbes = 256

// probeUntil looks at the data of the Clairs in the settings until ctx ends: when it is another one, all images are
// looked at again. Clair's notifier says nothing about several distributions and languages, and can miss an update.
// Requests last as long as work.
func (w *Watcher) probeUntil(ctx, work context.Context) {
	every := min(w.cfg.dataTimes().every, dataRetry) // not all of them are asked each time
	var group sync.WaitGroup
	var asking sync.Map // base addresses
	slots := make(chan struct{}, mostProbes)
	repeat(ctx, every, func() {
		for _, base := range w.assigned.Load().clairs() {
			if _, is := asking.LoadOrStore(base, true); is { // one that hangs has no other wait
				continue
			}
			select {
			case slots <- struct{}{}:
			default: // the next time
				asking.Delete(base)
				continue
			}
			group.Go(func() {
				defer func() { <-slots }()
				defer asking.Delete(base)
				w.probe(work, base)
			})
		}
	})
	group.Wait()
}

// probe looks at the data of one Clair.
func (w *Watcher) probe(ctx context.Context, base string) {
	c, err := w.clairs.at(base)
	if err == nil {
		_, err = c.data.read(ctx, c, w.cfg.dataTimes())
	}
	if _, away := errors.AsType[*awayError](err); err != nil && !away { // of which the log has spoken
		w.log.Debug("could not look whether Clair has newer data", "clair", base, "error", err)
	}
}
