package main

import (
	"slices"
	"sync"
	"time"
)

// stay is what the churner has asked the API server for: a time in which an image runs in a namespace.
type stay struct {
	namespace, image string
	// job says that nothing but Jobs run it.
	job bool
	// asked is when the first pod was asked for; ended is when the last was deleted, and settled when the world was next
	// seen to have come to rest. Zero: not yet.
	asked, ended, settled time.Time
}

// published is something that became known, and when.
type published struct {
	cve string
	// begun is when Clair was given it; done is when it had it.
	begun, done time.Time
}

// stop is an end of the daemon at which the last that Slack took may not have been recorded: it was killed, frozen, or
// without the API server.
type stop struct {
	// since is from when on it may not have been; at is a moment at which it had ended, and the next one had not begun.
	since, at time.Time
}

// journal is what happened, as those who had it happen write it down. Its methods may be called concurrently.
type journal struct {
	mu        sync.Mutex
	stays     []*stay
	published []published
	stops     []stop
}

// begin notes that a namespace runs an image from now on. One that runs already stays as it is.
func (j *journal) begin(namespace, image string, job bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.at(namespace, image) == nil {
		j.stays = append(j.stays, &stay{namespace: namespace, image: image, job: job, asked: time.Now()})
	}
}

// end notes that a namespace runs an image no longer.
func (j *journal) end(namespace, image string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r := j.at(namespace, image); r != nil {
		r.ended = time.Now()
	}
}

// at is the present stay of an image; j.mu is held.
func (j *journal) at(namespace, image string) *stay {
	for _, r := range j.stays {
		if r.namespace == namespace && r.image == image && r.ended.IsZero() {
			return r
		}
	}
	return nil
}

// settle notes that the world has come to rest.
func (j *journal) settle() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.stays {
		if !r.ended.IsZero() && r.settled.IsZero() {
			r.settled = time.Now()
		}
	}
}

func (j *journal) publish(p published) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.published = append(j.published, p)
}

func (j *journal) stop(s stop) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stops = append(j.stops, s)
}

// evidence is a copy of the journal, for the checker.
func (j *journal) evidence() evidence {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := evidence{published: slices.Clone(j.published), stops: slices.Clone(j.stops)}
	for _, r := range j.stays {
		e.stays = append(e.stays, *r)
	}
	return e
}
