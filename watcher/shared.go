package watcher

import (
	"slices"
	"time"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
)

// A Scanner of _all has a destination in each namespace, so that a namespace can get a key of its own and go on where it
// stopped. But who reads its channel hears of an image once, not again with each namespace that a sidecar comes to. What was
// told under a key of its own, or was kept from the channel, nobody shares.

// sharing returns the destinations of a Scanner of _all that run an image of which its channel was told, but for one of
// them; none where that one is no such Scanner's.
func (w *Watcher) sharing(d ledger.Destination, digest string) []ledger.Sharer {
	assigned := w.assigned.Load()
	if !assigned.isOfAll(d.Key) {
		return nil
	}
	return slices.DeleteFunc(w.book.Sharers(digest), func(o ledger.Sharer) bool {
		return o.Destination == d || o.Name != d.Name || !assigned.isOfAll(o.Key)
	})
}

// share gives a destination the record of an image that its Scanner was told of in another namespace, and says whether
// there is one. It waits for no write: after a stop it is found again. Who reads the channel was told when the first of
// them was.
func (w *Watcher) share(l listener, of subjectOf, digest string) (findings.Record, bool) {
	sharing := w.sharing(l.destination, digest)
	for _, o := range sharing {
		record, told := w.book.Record(o.Destination, digest)
		if !told { // it has just been forgotten
			continue
		}
		w.book.Remember([]ledger.Told{{Destination: l.destination, Digest: digest, Name: of.name, Change: record, Shared: true, At: w.since(sharing, digest)}})
		w.book.SetJobs(l.destination, digest, of.jobs)
		for _, k := range []kind{kindReport, kindIndexed} {
			w.pending.withdraw(topic{l.destination, k, subject{digest: digest}})
		}
		return record, true
	}
	return findings.Record{}, false
}

// since returns the first time at which any of some destinations was told of an image; zero when none of them is known.
func (w *Watcher) since(sharing []ledger.Sharer, digest string) time.Time {
	var first time.Time
	for _, o := range sharing {
		first = earlier(first, w.book.Since(o.Destination, digest))
	}
	return first
}

// runsElsewhere says whether an image that was told of in one namespace of _all runs in another one, of which its end will
// be told: then it is not gone for who reads the channel.
func (w *Watcher) runsElsewhere(d ledger.Destination, digest string, running []image) bool {
	sharing := w.sharing(d, digest)
	return slices.ContainsFunc(running, func(img image) bool {
		return slices.ContainsFunc(sharing, func(o ledger.Sharer) bool {
			return o.Key == img.namespace && !o.Jobs && w.hears(o.Destination, img)
		})
	})
}

// endsElsewhere says whether the end of an image is told of another namespace of _all, where it runs, or was found to be
// missing later. It is the sweep's: nobody else knows what is missing.
func (w *Watcher) endsElsewhere(d ledger.Destination, digest string, now time.Time) bool {
	return slices.ContainsFunc(w.sharing(d, digest), func(o ledger.Sharer) bool {
		since := w.missing[heldImage{o.Destination, digest}]
		return !o.Jobs && (since.IsZero() || now.Sub(since) < w.cfg.RemovalGrace)
	})
}

// ofNamespace are the causes that another namespace need not have, for the same image.
var ofNamespace = [...]Cause{CauseUnauthorized, CausePullSecret, CauseOverLimit}

// sharingFailure returns the other destinations of a Scanner of _all whose channel was told that an image cannot be
// scanned, for a cause that is the image's own. There are none for a destination that is no such Scanner's.
func (w *Watcher) sharingFailure(d ledger.Destination, img ledger.Image, cause Cause) []ledger.Destination {
	assigned := w.assigned.Load()
	if slices.Contains(ofNamespace[:], cause) || !assigned.isOfAll(d.Key) {
		return nil
	}
	return slices.DeleteFunc(w.book.FailureSharers(img), func(o ledger.Destination) bool {
		f, _ := w.book.Failure(o, img)
		return o == d || o.Name != d.Name || !assigned.isOfAll(o.Key) ||
			cause != "" && f.Cause != string(cause) || slices.Contains(ofNamespace[:], Cause(f.Cause))
	})
}

// sharesFailure says whether a Scanner of _all was told in another namespace that an image cannot be scanned, and why.
func (w *Watcher) sharesFailure(d ledger.Destination, img ledger.Image, cause Cause) bool {
	return len(w.sharingFailure(d, img, cause)) > 0
}

// endsOfFailures are the failures that a message of one destination ends for the others: those of a cause, or of any when
// there is a report.
func (w *Watcher) endsOfFailures(d ledger.Destination, img ledger.Image, cause Cause) []ledger.Told {
	var ends []ledger.Told
	for _, o := range w.sharingFailure(d, img, cause) {
		ends = append(ends, ledger.Told{Destination: o, Image: img})
	}
	return ends
}
