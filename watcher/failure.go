package watcher

import (
	"slices"
	"time"

	"github.com/clairwatch/clairwatch/ledger"
)

// tellFailure adds that a Clair has no report of an image, unless its destinations know. lasting says that
// the cause is there to stay; a passing one is told to those who know of no failure. next is when it is tried
// again, where that is not soon.
func (w *Watcher) tellFailure(img image, name, clair string, cause Cause, lasting bool, next time.Time) {
	for _, l := range w.listeners(img) {
		if l.clair != clair {
			continue
		}
		known, _ := w.book.Failure(l.destination, img.inLedger())
		if known.Cause == causeLoading {
			known = ledger.Failure{}
		}
		if known.Cause == string(cause) || known.Cause != "" && !lasting {
			if !next.IsZero() {
				w.book.SetNext(l.destination, img.inLedger(), next)
			}
			continue
		}
		// Who knows that it fails, though for another cause, is to hear when it no longer does.
		unknown := known.Cause == "" || known.Unheard
		failure := ledger.Failure{Cause: string(cause), Next: next, Unheard: unknown && !wants(l.tell, kindFailed)}
		if w.sharesFailure(l.destination, img.inLedger(), cause) {
			failure.Unheard = false
			w.withdrawFailure(l.destination, img)
			w.book.Remember([]ledger.Told{{Destination: l.destination, Image: img.inLedger(), Failure: failure, Shared: true}})
			continue
		}
		w.tellOrNote(l, &news{
			kind:        kindFailed,
			destination: l.destination,
			subject:     failureOf(img),
			image:       img,
			name:        name,
			cause:       cause,
			told:        ledger.Told{Destination: l.destination, Image: img.inLedger(), Failure: failure},
		})
	}
}

// failureOf is the subject of an image that cannot be scanned, or could not be.
func failureOf(img image) subject { return subject{image: img.inLedger()} }

// withdrawFailure takes back that an image could not be scanned.
func (w *Watcher) withdrawFailure(d ledger.Destination, img image) {
	w.pending.withdraw(topic{d, kindFailed, failureOf(img)})
}

// mendable are the causes that may be mended while no daemon runs, or by starting it with other settings: there may be
// room in the namespace now, the credentials that were missing, or a registry that is allowed.
var mendable = [...]Cause{CauseOverLimit, CauseUnauthorized, CausePullSecret, CauseCredentials, CauseDenied, CausePasswordOnly}

// toldFailure returns when to try an image again that could not be scanned by the daemon before this one, and
// why it could not; an empty cause says to look at it now. All listeners must know.
func (w *Watcher) toldFailure(img image, listeners []listener) (next time.Time, cause Cause) {
	digest := w.book.Manifest(img.inLedger())
	for _, l := range listeners {
		f, told := w.book.Failure(l.destination, img.inLedger())
		if !told || !f.Next.After(time.Now()) || slices.Contains(mendable[:], Cause(f.Cause)) {
			return time.Time{}, ""
		}
		if w.book.Has(l.destination, digest) {
			return time.Time{}, "" // since then it could be
		}
		if next.IsZero() || f.Next.Before(next) {
			next, cause = f.Next, Cause(f.Cause)
		}
	}
	return next, cause
}

// tellRecovery adds that an image which a destination knows has a report again, if that one heard that it could not be
// scanned. Whoever does not know the image gets the report, which says as much. Until Slack has accepted it the
// ledger has the failure, from which the daemon after this one tells it.
func (w *Watcher) tellRecovery(l listener, of subjectOf) {
	d := l.destination
	switch known, told := w.book.Failure(d, of.image.inLedger()); {
	case !told:
	case known.Cause == causeLoading || known.Unheard:
		w.book.ForgetFailure(d, of.image.inLedger())
	default:
		w.tellOrNote(l, &news{
			kind:        kindRecovered,
			destination: d,
			subject:     failureOf(of.image),
			image:       of.image,
			name:        of.name,
			cause:       Cause(known.Cause),
			told:        ledger.Told{Destination: d, Image: of.image.inLedger()},
		})
	}
}

// withdrawRecoveries takes back that an image is scanned again at a Clair, of which it has no report after all.
func (w *Watcher) withdrawRecoveries(img image, clair string) {
	for _, l := range w.listeners(img) {
		if l.clair == clair {
			w.withdrawRecovery(l.destination, img)
		}
	}
}

// withdrawRecovery takes back that an image is scanned again.
func (w *Watcher) withdrawRecovery(d ledger.Destination, img image) {
	w.pending.withdraw(topic{d, kindRecovered, failureOf(img)})
}

// knowsFailure says whether all listeners at a Clair were told of a failure.
func (w *Watcher) knowsFailure(img image, clair string, cause Cause) bool {
	return !slices.ContainsFunc(w.listeners(img), func(l listener) bool {
		known, _ := w.book.Failure(l.destination, img.inLedger())
		return l.clair == clair && known.Cause != string(cause)
	})
}
