package ledger

import (
	"slices"
	"time"
)

// failure is why an image could not be scanned.
type failure struct {
	image   Image
	cause   string
	next    int64
	unheard bool
	shared  bool
}

// Failure returns what a destination was told of an image that could not be scanned, and false when it was
// told nothing of it or when it is over.
func (b *Book) Failure(d Destination, i Image) (Failure, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	it := b.failureOf(d, i)
	if it == nil {
		return Failure{}, false
	}
	return it.failure.export(), true
}

// HeldFailures returns the images that could not be scanned for a destination, in order.
func (b *Book) HeldFailures(d Destination) []HeldFailure {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.destinations[d]
	if known == nil {
		return nil
	}
	held := make([]HeldFailure, 0, len(known.failures))
	for image, it := range known.failures {
		held = append(held, HeldFailure{Image: image, Failure: it.failure.export(), Gone: timeOf(it.gone)})
	}
	slices.SortFunc(held, func(a, b HeldFailure) int { return a.Image.compare(b.Image) })
	return held
}

func (f failure) export() Failure {
	return Failure{Cause: f.cause, Next: timeOf(f.next), Unheard: f.unheard, Shared: f.shared}
}

// SetFailureGone says since when a destination does not run an image that could not be scanned; zero when it
// does.
func (b *Book) SetFailureGone(d Destination, i Image, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setGone(b.failureOf(d, i), unix(since))
}

// SetNext says when to try again an image that could not be scanned.
func (b *Book) SetNext(d Destination, i Image, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it := b.failureOf(d, i); it != nil && it.next != unix(next) {
		it.next = unix(next)
		b.touch(it.shard)
	}
}

// ForgetFailure forgets a failure.
func (b *Book) ForgetFailure(d Destination, i Image) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it := b.failureOf(d, i); it != nil {
		b.drop(it)
		b.takeBack()
	}
}

func (b *Book) failureOf(d Destination, i Image) *item {
	if known := b.destinations[d]; known != nil {
		return known.failures[i]
	}
	return nil
}

// failure is that of what was told.
func (t Told) failure() failure {
	return failure{image: t.Image, cause: t.Failure.Cause, next: unix(t.Failure.Next), unheard: t.Failure.Unheard, shared: t.Shared}
}
