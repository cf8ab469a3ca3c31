package watcher

import (
	"slices"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
)

// A Scanner of _all has a destination in each namespace, so that a namespace can get a key of its own and go on where it
// stopped. But who reads its channel hears of an image once, not again with each namespace that a sidecar comes to.

// sharing returns the destinations of a Scanner of _all that run an image of which they were told, but for one of them;
// none where that one is no such Scanner's.
func (w *Watcher) sharing(d ledger.Destination, digest string) []ledger.Destination {
	assigned := w.assigned.Load()
	if !assigned.isOfAll(d.Key) {
		return nil
	}
	return slices.DeleteFunc(w.book.Holders(digest), func(o ledger.Destination) bool {
		return o == d || o.Name != d.Name || !assigned.isOfAll(o.Key)
	})
}

// share gives a destination the record of an image that its Scanner was told of in another namespace, and says whether
// there is one. It waits for no write: after a stop it is found again.
func (w *Watcher) share(l listener, of subjectOf, digest string) (findings.Record, bool) {
	for _, o := range w.sharing(l.destination, digest) {
		record, told := w.book.Record(o, digest)
		if !told { // it has just been forgotten
			continue
		}
		w.book.Remember([]ledger.Told{{Destination: l.destination, Digest: digest, Name: of.name, Change: record}})
		w.book.SetJobs(l.destination, digest, of.jobs)
		for _, k := range []kind{kindReport, kindIndexed} {
			w.pending.withdraw(topic{l.destination, k, subject{digest: digest}})
		}
		return record, true
	}
	return findings.Record{}, false
}

// isShared says whether an image of which a destination was told runs where another one of the same Scanner of _all is:
// then it is not gone for who reads its channel.
func (w *Watcher) isShared(d ledger.Destination, digest string, running []image) bool {
	sharing := w.sharing(d, digest)
	return slices.ContainsFunc(running, func(img image) bool {
		return slices.ContainsFunc(sharing, func(o ledger.Destination) bool { return o.Key == img.namespace && w.hears(o, img) })
	})
}

// ofNamespace are the causes that another namespace need not have, for the same image.
var ofNamespace = [...]Cause{CauseUnauthorized, CausePullSecret, CauseOverLimit}

// sharingFailure returns the other destinations of a Scanner of _all for which an image cannot be scanned, for a cause that
// is the image's own: what one is told of that holds for all. There are none for a destination that is no such Scanner's.
func (w *Watcher) sharingFailure(d ledger.Destination, img ledger.Image) []ledger.Destination {
	assigned := w.assigned.Load()
	if !assigned.isOfAll(d.Key) {
		return nil
	}
	return slices.DeleteFunc(w.book.FailedFor(img), func(o ledger.Destination) bool {
		f, _ := w.book.Failure(o, img)
		return o == d || o.Name != d.Name || !assigned.isOfAll(o.Key) || slices.Contains(ofNamespace[:], Cause(f.Cause))
	})
}

// sharedFailure returns what a Scanner of _all was told in another namespace of an image that cannot be scanned for the same
// cause, and whether it was.
func (w *Watcher) sharedFailure(d ledger.Destination, img ledger.Image, cause Cause) (shared ledger.Failure, told bool) {
	for _, o := range w.sharingFailure(d, img) {
		f, known := w.book.Failure(o, img)
		if !known || f.Cause != string(cause) {
			continue
		}
		if shared, told = f, true; !f.Unheard { // that one namespace heard of is what counts
			break
		}
	}
	return shared, told
}
