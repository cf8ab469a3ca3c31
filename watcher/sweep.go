package watcher

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/clairwatch/clairwatch/ledger"
)

const (
	// sweepEvery is how often what the ledger holds is compared with what runs, and what there is to delete is
	// looked for; more often where the times are short by which that goes.
	sweepEvery = time.Minute
	// saveEvery is how often changes are written that no message waits for.
	saveEvery = 10 * time.Minute
	// goneFor is how long the record of an image is kept that runs no longer: its return is no news until then.
	goneFor = 30 * 24 * time.Hour
	// absentFor is how long the records of a destination are kept that the settings do not have any more.
	absentFor = 7 * 24 * time.Hour
)

// heldImage is an image of which a destination was told.
type heldImage struct {
	destination ledger.Destination
	digest      string
}

// sweepUntil sweeps until ctx ends. Requests last as long as work.
func (w *Watcher) sweepUntil(ctx, work context.Context) {
	saved := time.Now()
	w.ended = saved
	w.presented = w.edition()
	w.sayCredentials()
	repeat(ctx, tenthOf(w.cfg.RemovalGrace), func() {
		w.rereadWebhooks()
		w.lookAtEnded(time.Now())
		w.sweep(time.Now())
		w.warnOfFullLedger()
		w.lookAtMended(work)
		w.lookAtRefused()
		w.giveBackMemory()
		if time.Since(saved) < saveEvery {
			return
		}
		saved = time.Now()
		if err := w.shards.verify(work); err != nil {
			w.log.Debug("could not read the ledger again", "error", err)
		}
		if err := w.shards.saveDirty(work); err != nil {
			w.log.Debug("could not record changes; they are recorded with the next message", "error", err)
		}
	})
}

// repeat does something again and again until ctx ends: for the first time after a period, and each time that long
// after the end of the time before.
func repeat(ctx context.Context, period time.Duration, do func()) {
	timer := time.NewTimer(period)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			do()
			timer.Reset(period)
		}
	}
}

// warnOfFullLedger logs once that the ledger has no room for some records.
func (w *Watcher) warnOfFullLedger() {
	left := w.book.Stats().LeftOut
	if left > 0 && !w.ledgerFull {
		w.log.Warn("the ledger is full: what it leaves out is told again after a restart", "leftOut", left)
	}
	w.ledgerFull = left > 0
}

// tenthOf is how often something is looked at that goes by a time: a tenth of it, but at the most every
// tenth of a second, and at least every sweepEvery.
func tenthOf(grace time.Duration) time.Duration {
	return min(max(grace/10, time.Second/10), sweepEvery)
}

// sweep makes what the ledger holds right about what runs and who listens. It goes by the state alone, so it
// also finds what happened while no daemon ran.
func (w *Watcher) sweep(now time.Time) {
	assigned := w.assigned.Load()
	running, unclear := w.byManifest(), w.unresolved()
	for _, d := range w.book.Destinations() {
		if _, listens := assigned.channel(d); !listens {
			w.sweepAbsent(assigned, d, now)
			continue
		}
		w.book.SetAbsent(d, time.Time{})
		w.sweepImages(d, running, unclear, now)
		w.sweepFailures(d, now)
		w.sweepVanished(assigned, d)
	}
	w.judged.sweep(func(h heldImage) bool { return len(running[h.digest]) > 0 || w.book.Has(h.destination, h.digest) })
	maps.DeleteFunc(w.missing, func(h heldImage, _ time.Time) bool {
		_, listens := assigned.channel(h.destination)
		return !listens
	})
}

// sweepAbsent forgets a destination that the settings have not had for absentFor. A key with a mistake is not
// absent.
func (w *Watcher) sweepAbsent(assigned *assignment, d ledger.Destination, now time.Time) {
	if assigned.inDoubt(d.Key) {
		return
	}
	since := w.book.Absent(d)
	switch {
	case since.IsZero():
		w.book.SetAbsent(d, now)
	case now.Sub(since) >= max(absentFor, w.keptForDeletion()):
		w.book.ForgetDestination(d)
	}
}

// sweepVanished forgets a destination that no key names, as those of _all, when nothing of it is left: namespaces come and
// go, and _all would have the ledger know all that ever were. What was told there has been forgotten before it, goneFor
// after the last pod.
func (w *Watcher) sweepVanished(assigned *assignment, d ledger.Destination) {
	if _, own := assigned.byNamespace[d.Key]; own || len(w.pods.in(d.Key)) > 0 || w.pending.has([]ledger.Destination{d}) {
		return
	}
	w.book.ForgetEmpty(d)
}

// keptForDeletion is how long records must be kept that say what there is to delete from a Clair.
func (w *Watcher) keptForDeletion() time.Duration {
	if len(w.cfg.DeleteFrom) == 0 {
		return 0
	}
	return w.cfg.DeleteGrace + time.Hour
}

// sweepImages finds what a destination was told of that has gone, and what has come back.
//
// unclear are the repositories of the images that run in each namespace and whose manifest is not known, because
// they were not tried yet or cannot be found: each can be one that seems to be gone, under another id.
func (w *Watcher) sweepImages(d ledger.Destination, running map[string][]image, unclear map[string][]string, now time.Time) {
	for _, held := range w.book.Held(d) {
		key := heldImage{d, held.Digest}
		of := slices.DeleteFunc(slices.Clone(running[held.Digest]), func(img image) bool {
			return img.namespace != d.Key || !w.hears(d, img)
		})
		switch {
		case len(of) > 0:
			delete(w.missing, key)
			w.pending.withdraw(topic{d, kindRemoved, subject{digest: held.Digest}})
			if !held.Gone.IsZero() {
				w.book.SetGone(d, held.Digest, time.Time{})
				w.book.SetJobs(d, held.Digest, onlyJobs(w.podsRunning(of))) // how it runs this time
			} else if held.Jobs && !onlyJobs(w.podsRunning(of)) {
				w.book.SetJobs(d, held.Digest, false)
			}
		case !held.Gone.IsZero():
			delete(w.missing, key)
			if now.Sub(held.Gone) >= max(goneFor, w.keptForDeletion()) {
				w.book.Forget(d, held.Digest)
			}
		case mayBe(held, unclear[d.Key]):
		case w.missing[key].IsZero():
			w.missing[key] = now // and not more: an image that is about to be noted may be this one
		case now.Sub(w.missing[key]) >= w.cfg.RemovalGrace:
			w.gone(d, held, now)
		}
	}
}

// unresolved returns the repositories of the images whose manifest is not known, by namespace.
func (w *Watcher) unresolved() map[string][]string {
	repositories := make(map[string][]string)
	for _, img := range w.progress.filter(func(img image) bool { return w.book.Manifest(img.inLedger()) == "" }) {
		for _, pod := range w.running(img) {
			for c := range containers(pod) {
				if c.id == img.id {
					repositories[img.namespace] = append(repositories[img.namespace], repositoryOf(c.spec))
				}
			}
		}
	}
	return repositories
}

// mayBe says whether an image that seems to be gone may run as one of those whose manifest is not known.
func mayBe(held ledger.Held, unclear []string) bool {
	return slices.Contains(unclear, repositoryOf(held.Name))
}

// hears says whether a destination wants to hear of an image as it is used now.
func (w *Watcher) hears(d ledger.Destination, img image) bool {
	return slices.ContainsFunc(w.listeners(img), func(l listener) bool { return l.destination == d })
}

// repositoryOf is the name of an image without its tag and digest.
func repositoryOf(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name
}

// gone has a destination told that an image runs no longer, unless only Jobs ran it, which end, or it runs where nobody
// looks any more, or the destination does not want to hear of that, or is to hear it of another namespace.
func (w *Watcher) gone(d ledger.Destination, held ledger.Held, now time.Time) {
	if held.Jobs || w.isUsed(d.Key, held.Digest) || !w.wants(d, kindRemoved) || w.endsElsewhere(d, held.Digest, now) {
		w.pending.withdraw(topic{d, kindRemoved, subject{digest: held.Digest}}) // of before somebody thought better of it
		w.book.SetGone(d, held.Digest, now)
		return
	}
	w.tell(&news{
		kind:        kindRemoved,
		destination: d,
		subject:     subject{digest: held.Digest},
		image:       image{namespace: d.Key},
		name:        held.Name,
		told:        ledger.Told{Destination: d, Digest: held.Digest},
	})
}

// isUsed says whether any pod of a namespace has an image, whether anybody looks at it or not.
func (w *Watcher) isUsed(namespace, digest string) bool {
	for range w.users(namespace, digest) {
		return true
	}
	return false
}

// users yields the pods of a namespace that have an image, with the id by which each does, whether anybody looks at it
// or not. A manifest can run under several ids, for one its own digest and that of an index.
func (w *Watcher) users(namespace, digest string) iter.Seq2[string, *pod] {
	return func(yield func(string, *pod) bool) {
		for _, i := range w.book.Images(digest) {
			for _, pod := range w.pods.with(namespace, i.ID) {
				if w.nodes.platform(pod.node.Value()).String() == i.Platform && !yield(i.ID, pod) {
					return
				}
			}
		}
	}
}

// podsRunning returns the pods of images.
func (w *Watcher) podsRunning(imgs []image) []*pod {
	var pods []*pod
	for _, img := range imgs {
		pods = append(pods, w.running(img)...)
	}
	return pods
}

// sweepFailures forgets failures of images that have not run for goneFor. Until then the image of a Job that
// comes and goes is told of once.
func (w *Watcher) sweepFailures(d ledger.Destination, now time.Time) {
	held := w.book.HeldFailures(d)
	if len(held) == 0 {
		return
	}
	running := make(map[ledger.Image]bool)
	for _, img := range w.progress.filterIn(d.Key, func(image) bool { return true }) {
		running[img.inLedger()] = true
	}
	for _, f := range held {
		switch {
		case running[f.Image]:
			if !f.Gone.IsZero() {
				w.book.SetFailureGone(d, f.Image, time.Time{})
			}
		case f.Gone.IsZero():
			w.book.SetFailureGone(d, f.Image, now)
		case now.Sub(f.Gone) >= goneFor:
			w.book.ForgetFailure(d, f.Image)
		}
	}
}
