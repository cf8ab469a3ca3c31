package watcher

import (
	"slices"
	"time"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/settings"
)

// wants says whether a channel hears of a kind of news.
func wants(t settings.Tell, k kind) bool {
	switch k {
	case kindIndexed:
		return t.Indexed
	case kindReport:
		return t.Report
	case kindWithdrawn, kindReturned:
		return t.Withdrawn
	case kindFailed, kindRecovered:
		return t.Failed
	case kindRemoved:
		return t.Removed
	}
	return t.Disclosed // all that comes up about images that run
}

// wants says whether a destination hears of a kind of news.
func (w *Watcher) wants(d ledger.Destination, k kind) bool {
	return slices.ContainsFunc(w.assigned.Load().of(d.Key), func(l listener) bool {
		return l.destination == d && wants(l.tell, k)
	})
}

// tellOrNote tells news, or remembers it as told where its destination does not want to hear of its kind: so that
// nothing of it is news when somebody wants to later.
func (w *Watcher) tellOrNote(l listener, n *news) {
	if wants(l.tell, n.kind) {
		w.tell(n)
		return
	}
	w.pending.withdraw(n.topic())
	w.note([]*news{n}, false)
}

// lookAtEnded queues the images of the namespaces in which somebody has ignored something until now.
func (w *Watcher) lookAtEnded(now time.Time) {
	assigned := w.assigned.Load()
	var imgs []image
	for _, ns := range w.progress.namespaces() {
		if slices.ContainsFunc(assigned.of(ns), func(l listener) bool { return l.ends(w.ended, now) }) {
			imgs = append(imgs, w.progress.filterIn(ns, func(image) bool { return true })...)
		}
	}
	w.ended = now
	if len(imgs) > 0 {
		w.log.Info("something was ignored until now: its images are looked at again", "images", len(imgs))
		w.lookTogether(imgs)
	}
}

// ends says whether anything is ignored until a time after the first and not after the second.
func (l listener) ends(after, until time.Time) bool {
	next := l.rules.Next(after)
	return !next.IsZero() && !next.After(until)
}
