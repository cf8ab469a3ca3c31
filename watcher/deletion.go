package watcher

import (
	"context"
	"slices"
	"time"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
)

const (
	// deleteRetry is how long a Clair is left alone after a failure; it doubles up to deleteAgain.
	deleteRetry = time.Minute
	// deleteAgain is when a Clair is asked again to delete an image that it did not delete. It does not say why:
	// it may not have it any more, or be at it.
	deleteAgain = 24 * time.Hour
	// mostDeleted is how many images a Clair is asked to delete with one request.
	mostDeleted = 100
)

// deletions are what became of the requests to one Clair to delete images.
type deletions struct {
	clair findings.ID
	// asked is when it was asked to delete an image.
	asked map[string]time.Time
	// notBefore is when it may be asked next, pause how long it was left alone last. Zero: it answers.
	notBefore time.Time
	pause     time.Duration
}

// deleteUntil deletes from the Clairs that allow it, until ctx ends, what this daemon had them index and nothing runs
// any more. Requests last as long as work.
func (w *Watcher) deleteUntil(ctx, work context.Context) {
	if len(w.cfg.DeleteFrom) == 0 {
		return
	}
	of := make(map[string]*deletions)
	for _, base := range w.cfg.DeleteFrom {
		of[base] = &deletions{clair: findings.NameID(base), asked: make(map[string]time.Time)}
	}
	repeat(ctx, tenthOf(w.cfg.DeleteGrace), func() {
		for base, d := range of {
			if err := w.deleteUnused(work, base, d, time.Now()); err != nil {
				if d.pause == 0 && work.Err() == nil {
					w.log.Warn("could not delete from Clair what runs no longer; it is tried again", "error", err)
				}
				d.fail(err, time.Now())
			}
		}
	})
}

// fail leaves a Clair alone for a while.
func (d *deletions) fail(err error, now time.Time) {
	d.pause = min(max(2*d.pause, deleteRetry), deleteAgain)
	if clair.IsKind(err, clair.NotFound) || clair.IsKind(err, clair.Unauthorized) { // it does not offer that
		d.pause = deleteAgain
	}
	d.notBefore = now.Add(d.pause)
}

// deleteUnused has a Clair delete some of the images that nothing runs any more.
func (w *Watcher) deleteUnused(ctx context.Context, base string, d *deletions, now time.Time) error {
	if now.Before(d.notBefore) {
		return nil
	}
	unused := slices.DeleteFunc(w.unused(d.clair, now), func(digest string) bool {
		asked, once := d.asked[digest]
		return once && now.Sub(asked) < deleteAgain
	})
	unused = w.unusedStill(unused[:min(len(unused), mostDeleted)])
	if len(unused) == 0 {
		return nil
	}
	c, err := w.clairs.at(base)
	if err != nil {
		return err
	}
	deleted, err := c.Delete(ctx, unused)
	if err != nil {
		return err
	}
	d.notBefore, d.pause = time.Time{}, 0
	for digest, asked := range d.asked {
		if now.Sub(asked) >= deleteAgain {
			delete(d.asked, digest)
		}
	}
	for _, digest := range unused {
		d.asked[digest] = now
	}
	for _, digest := range deleted {
		w.book.SetCreated(d.clair, digest, false)
	}
	w.metrics.deleted.Add(float64(len(deleted)))
	w.log.Info("deleted from Clair what runs no longer", "clair", base, "images", deleted)
	return nil
}

// unused returns the images, in order, that were created in a Clair by this daemon and have been gone for
// DeleteGrace, for every destination.
func (w *Watcher) unused(clair findings.ID, now time.Time) []string {
	assigned := w.assigned.Load()
	last := make(map[string]time.Time) // when it went
	runs := make(map[string]bool)
	for _, d := range w.book.Destinations() {
		_, listens := assigned.channel(d)
		absent := w.book.Absent(d)
		for _, held := range w.book.Held(d) {
			gone := held.Gone
			if gone.IsZero() && !listens {
				gone = absent
			}
			if gone.IsZero() {
				runs[held.Digest] = true
			}
			if gone.After(last[held.Digest]) {
				last[held.Digest] = gone
			}
		}
	}
	var unused []string
	for digest, gone := range last {
		if !runs[digest] && w.book.Created(clair, digest) && now.Sub(gone) >= w.cfg.DeleteGrace {
			unused = append(unused, digest)
		}
	}
	slices.Sort(unused)
	return unused
}

// unusedStill returns those of some manifests that no pod of the cluster runs, watched or not.
func (w *Watcher) unusedStill(digests []string) []string {
	ids := make(map[string]bool)
	for _, pod := range w.pods.all() {
		for _, id := range imageIDs(pod) {
			ids[id] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(digests), func(digest string) bool {
		return ids[digest] || slices.ContainsFunc(w.book.Images(digest), func(i ledger.Image) bool { return ids[i.ID] })
	})
}
