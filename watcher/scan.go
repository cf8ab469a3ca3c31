package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/registry"
)

// Registry finds the manifest of an image and says where its layers are.
type Registry interface {
	Resolve(ctx context.Context, id registry.Identity, p registry.Platform, c registry.Credentials) (*registry.Image, error)
	Sources(ctx context.Context, img *registry.Image, c registry.Credentials, left time.Duration) ([]registry.Source, time.Time, error)
	Renew(img *registry.Image)
}

// Clair indexes images, reports their vulnerabilities, says with what data and which ones changed, and forgets
// images.
type Clair interface {
	Report(ctx context.Context, digest string) (*claircore.VulnerabilityReport, error)
	Index(ctx context.Context, digest string, layers []clair.Layer) (*claircore.IndexReport, error)
	State(ctx context.Context) (string, error)
	Updates(ctx context.Context, etag string) (clair.Updates, error)
	Delete(ctx context.Context, digests []string) (deleted []string, err error)
	Notified(ctx context.Context, id uuid.UUID) ([]string, error)
	DeleteNotification(ctx context.Context, id uuid.UUID) error
	// Slots are how many images it is to be asked to index at once, and for how many reports; at least one each.
	Slots() (indexing, reports int)
}

var (
	_ Registry = (*registry.Client)(nil)
	_ Clair    = (*clair.Client)(nil)
)

// mostSpecs bounds the different names under which one image is asked for.
const mostSpecs = 4

// outcome is what came of a scan.
type outcome struct {
	// name is the image as its pods name it.
	name string
	// state is what the reports say; empty when there is none.
	state State
	// failures are the Clairs without a report.
	failures []failure
	// done are the Clairs with a report or a failure, of which nothing is in line.
	done []string
	// inLine are the Clairs that have no slot for the image yet; unread are those of them that were not even asked what
	// they know of it. away are those that do not answer: what stands in line there stays.
	inLine, unread, away []string
	// retry is when what has failed or waits is tried again, where that is settled although the look goes on; zero
	// otherwise. failed says that something has failed.
	retry  time.Duration
	failed bool
}

// failure is why a Clair has no report of an image: for its own reasons, or the registry's.
type failure struct {
	clair string
	err   error
}

// scan makes what is known and told about an image right, whatever was the reason to look at it. o is what came of the
// look so far: of a Clair that is done nothing is asked again.
func (w *Watcher) scan(ctx context.Context, img image, pods []*pod, listeners []listener, o outcome) outcome {
	identity, name, unclear := identify(pods, img)
	if unclear == nil && !w.progress.admit(img, w.cfg.MaxImages) {
		unclear = errOverLimit
	}
	o.name, o.inLine, o.unread = name, nil, nil
	for _, base := range clairsOf(listeners) {
		if slices.Contains(o.done, base) {
			continue
		}
		if unclear != nil {
			o.failures = append(o.failures, failure{base, unclear})
			continue
		}
		r, err := w.readReport(ctx, base, img, identity, name)
		if errors.Is(err, errInLine) {
			o.inLine = append(o.inLine, base)
			if errors.Is(err, errUnread) {
				o.unread = append(o.unread, base)
			}
			continue
		}
		if err != nil {
			if _, away := errors.AsType[*awayError](err); away {
				o.away = append(o.away, base)
			}
			o.failures = append(o.failures, failure{base, err})
			o.done = append(o.done, base)
			continue
		}
		of := subjectOf{image: img, name: name, jobs: onlyJobs(pods), clair: base}
		waits := false
		for _, l := range listeners {
			if l.clair == base && !w.compare(ctx, l, of, r) {
				waits = true
			}
		}
		if waits { // the next look knows for how long
			o.failures = append(o.failures, failure{base, loadingError{}})
			o.done = append(o.done, base)
			continue
		}
		if !w.progress.markFound(img, base, reportedOf(r.report.Findings, name)) && !w.unkept.Swap(true) {
			w.log.Warn("the findings of so many images take more memory than they may: the pages do not know of all images which vulnerabilities they have",
				"image", name, "limitBytes", packedMost)
		}
		if r.inLine {
			o.inLine = append(o.inLine, base)
		} else {
			w.progress.markRead(img, base, r.edition)
			o.done = append(o.done, base)
		}
		if o.state == "" || !r.report.Covered {
			o.state = StateScanned
			if !r.report.Covered {
				o.state = StateNotCovered
			}
		}
	}
	return o
}

// wasScanned says whether any listener was told of an image, under whatever id it ran then.
func (w *Watcher) wasScanned(img image, listeners []listener) bool {
	digest := w.book.Manifest(img.inLedger())
	return digest != "" && slices.ContainsFunc(listeners, func(l listener) bool { return w.book.Has(l.destination, digest) })
}

// clairsOf returns the Clairs that are to look at an image, each once.
func clairsOf(ls []listener) []string {
	var bases []string
	for _, l := range ls {
		if !slices.Contains(bases, l.clair) {
			bases = append(bases, l.clair)
		}
	}
	return bases
}

// identify reads from the pods of an image where it may be found, and under which name people know it.
func identify(pods []*pod, img image) (registry.Identity, string, error) {
	var specs []container
	for _, pod := range pods {
		for c := range containers(pod) {
			if c.id != img.id {
				continue
			}
			if c.outdated { // the name may be that of the image to come
				c.spec = ""
			}
			c.kind = ordinaryContainer // it makes no difference to where the image is
			if !slices.Contains(specs, c) {
				specs = append(specs, c)
			}
		}
	}
	if named := slices.DeleteFunc(slices.Clone(specs), func(c container) bool { return c.outdated }); len(named) > 0 {
		specs = named
	}
	slices.SortFunc(specs, func(a, b container) int {
		return cmp.Or(cmp.Compare(a.spec, b.spec), cmp.Compare(a.imageID, b.imageID))
	})
	specs = specs[:min(len(specs), mostSpecs)]
	if len(specs) == 0 { // the index has just found pods by this id
		return registry.Identity{}, img.id, fmt.Errorf("image %s: %w", img.id, registry.ErrNotPulled)
	}
	name := cmp.Or(specs[0].spec, img.id)
	var all registry.Identity
	var firstErr error
	for _, c := range specs {
		identity, err := registry.Identify(c.spec, c.imageID)
		if err != nil {
			firstErr = cmp.Or(firstErr, err)
			continue
		}
		all.ID, all.Config = identity.ID, identity.Config
		for _, candidate := range identity.Candidates {
			if !slices.Contains(all.Candidates, candidate) {
				all.Candidates = append(all.Candidates, candidate)
			}
		}
	}
	if all.ID == "" {
		return all, name, fmt.Errorf("image %s: %w", name, firstErr)
	}
	return all, name, nil
}
