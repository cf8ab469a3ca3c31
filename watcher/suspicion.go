package watcher

import (
	"sync"
	"time"
)

const (
	// suspectAfter is how long a Clair must have given no report before one image's failure is taken for that of all.
	suspectAfter = 2 * time.Minute
	// suspectPause is how often at the most all images are looked at because of one: it may be the only one.
	suspectPause = time.Hour
)

// suspicion is that a Clair gives no reports at all, although it says what data it has, or a gateway hides that. The
// images notice at their own times; looked at together they are one message.
type suspicion struct {
	mu sync.Mutex
	// since is when it arose; zero while there is none. last is when one last arose.
	since, last time.Time
	// answered is when the Clair last answered when it was asked for a report.
	answered time.Time
}

// arise says whether there is one now that an image has failed several times, and whether it is new.
func (s *suspicion) arise(now time.Time) (is, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() {
		return true, false
	}
	if now.Sub(s.answered) < suspectAfter || !s.last.IsZero() && now.Sub(s.last) < suspectPause {
		return false, false
	}
	s.since, s.last = now, now
	return true, true
}

// is says whether there is one.
func (s *suspicion) is() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.since.IsZero()
}

// clear notes that the Clair has answered. It says whether there was a suspicion until now, and for how long.
func (s *suspicion) clear(now time.Time) (after time.Duration, was bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = now
	if s.since.IsZero() {
		return 0, false
	}
	after = now.Sub(s.since)
	s.since = time.Time{}
	return after, true
}
