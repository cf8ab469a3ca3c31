package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
)

// reading is what a Clair says of an image.
type reading struct {
	report findings.Report
	basis  findings.Basis
	// at is when the report had come.
	at time.Time
	// edition is that of the data that it was made with; a younger one may have come by now.
	edition uint64
	// loading says that more is to be expected of the Clair soon; late, that it has been for too long.
	loading, late bool
	// inLine says that the image waits for a slot to be indexed anew; until then this is what is known.
	inLine bool
}

// inquiry is one look at an image at one Clair.
type inquiry struct {
	*service
	base     string
	image    image
	identity registry.Identity
	// name is the image as its pods name it.
	name string
	// submitted is set when the Clair has indexed the image in this look.
	submitted *bool
	// idle is for how long this look has waited until the Clair had time for a report.
	idle *time.Duration
}

// Report is that of the Clair.
func (q inquiry) Report(ctx context.Context, digest string) (*claircore.VulnerabilityReport, error) {
	began := time.Now()
	err := q.permit(ctx)
	*q.idle += time.Since(began)
	if err != nil {
		return nil, err
	}
	defer func() { <-q.permits }()
	return q.report(ctx, digest)
}

// answer is what a Clair says of an image without indexing it.
type answer struct {
	data data
	// report is nil when the image is to be indexed first.
	report *claircore.VulnerabilityReport
	// notFound is the digest of which Clair has said that it does not know it; it may be empty.
	notFound string
	// anew is the index_state under which it was indexed, where that is not the one of now.
	anew string
}

// readReport gets the report of an image from a Clair, and has it indexed first where Clair does not know it, or
// has other scanners than when it came to know it. A known image costs one request.
func (w *Watcher) readReport(ctx context.Context, base string, img image, identity registry.Identity, name string) (reading, error) {
	c, err := w.clairs.at(base)
	if err != nil {
		return reading{}, err
	}
	q := inquiry{service: c, base: base, image: img, identity: identity, name: name, submitted: new(bool), idle: new(time.Duration)}
	began := time.Now()
	r, err := w.inquire(ctx, q)
	if err != nil {
		return reading{}, fmt.Errorf("image %s: %w", name, err)
	}
	w.metrics.durations.WithLabelValues(strconv.FormatBool(*q.submitted)).Observe((time.Since(began) - *q.idle).Seconds())
	return r, nil
}

func (w *Watcher) inquire(ctx context.Context, q inquiry) (reading, error) {
	a, err := w.ask(ctx, q)
	if err != nil {
		return reading{}, err
	}
	d := a.data
	r := reading{basis: d.basis(q.base), edition: d.edition, loading: d.loading, late: d.late}
	switch {
	case a.anew != "":
		a.report, r.inLine, err = w.reportAnew(ctx, q, a, &r.basis)
	case a.report == nil:
		a.report, err = w.indexAndReport(ctx, q, a)
	}
	if err != nil {
		return reading{}, err
	}
	if d.loading {
		w.progress.markIndexed(q.image, q.base)
	}
	r.report, r.at = d.report(a.report), time.Now()
	return r, nil
}

// ask asks a Clair what it says of an image by now, when it is the image's turn. One that has a slot to be indexed
// does not wait once more.
func (w *Watcher) ask(ctx context.Context, q inquiry) (answer, error) {
	called, resolves := q.indexing.isCalled(q.image), q.resolving.isCalled(q.image)
	if !called && !resolves {
		if !q.reading.enter(q.image, nil, w.progress.isDue(q.image) && !w.progress.isUntried(q.image)) {
			return answer{}, errUnread
		}
		defer q.reading.exit(q.image, nil)
	}
	d, err := q.data.read(ctx, q, w.cfg.dataTimes())
	if err != nil {
		return answer{}, err
	}
	w.sayLoading(q, d)
	if d.loading && w.progress.isIndexed(q.image, q.base) && !w.isTold(q.image, q.base) {
		return answer{}, loadingError{d.left} // nobody is to hear of it yet
	}
	a := answer{data: d, anew: w.indexedUnder(q.image, q.base, d.basis(q.base))}
	switch {
	case a.anew != "" && called && !d.loading: // it is asked when the image has been indexed
	case a.anew != "":
		a.report, err = q.Report(ctx, w.book.Manifest(q.image.inLedger()))
		switch notFound := clair.IsKind(err, clair.NotFound); {
		case notFound && d.loading: // its database was made anew, and it is indexed when there is data
			err = loadingError{d.left}
		case notFound: // it was deleted meanwhile, and is about to be indexed
			err = nil
		}
	case (resolves || q.indexing.remembered(q.image) != nil) && !w.isTold(q.image, q.base): // known not to be there
	default:
		a.notFound, a.report, err = w.known(ctx, q)
	}
	return a, err
}

// sayLoading logs, once, that first reports wait for a Clair's data.
func (w *Watcher) sayLoading(q inquiry, d data) {
	if !d.loading {
		q.waited.Store(false)
		return
	}
	if q.waited.CompareAndSwap(false, true) {
		w.log.Info("this Clair is still loading its data: first reports wait until no source has been new to it for dataQuiet",
			"clair", q.base, "sources", len(d.updaters), "dataQuiet", w.cfg.DataQuiet)
	}
}

// isTold says whether a listener at a Clair was told of an image.
func (w *Watcher) isTold(img image, base string) bool {
	digest := w.book.Manifest(img.inLedger())
	return digest != "" && slices.ContainsFunc(w.listeners(img), func(l listener) bool {
		return l.clair == base && w.book.Has(l.destination, digest)
	})
}

// indexedUnder returns the index_state under which an image was last indexed, where it is not that of the
// basis any more; otherwise it is empty.
func (w *Watcher) indexedUnder(img image, base string, now findings.Basis) string {
	digest := w.book.Manifest(img.inLedger())
	if digest == "" || now.State == "" || w.progress.isIndexedUnder(img, base, now.State) {
		return ""
	}
	for _, l := range w.listeners(img) {
		r, told := w.book.Record(l.destination, digest)
		if told && r.Basis.Clair == now.Clair && r.Basis.State != "" && r.Basis.State != now.State {
			return r.Basis.State
		}
	}
	return ""
}

// reportAnew returns the report of an image after it was indexed anew. While Clair has no slot for that, or no
// data yet, and when it fails, it is the report of what the old scanners saw, and the basis says so.
func (w *Watcher) reportAnew(ctx context.Context, q inquiry, a answer, basis *findings.Basis) (vr *claircore.VulnerabilityReport, inLine bool, err error) {
	var failed error
	if !a.data.loading {
		resolved := q.indexing.remembered(q.image)
		if resolved == nil {
			resolved, failed = w.askRegistry(ctx, q)
		}
		if failed == nil && !q.indexing.enter(q.image, resolved, true) {
			failed = errInLine
		}
		if failed == nil {
			defer q.indexing.exit(q.image, resolved)
			if _, failed = w.index(ctx, q, resolved); failed == nil {
				w.progress.markIndexedUnder(q.image, q.base, basis.State)
				vr, err = q.Report(ctx, w.book.Manifest(q.image.inLedger()))
				return vr, false, err
			}
		}
	}
	inLine = errors.Is(failed, errInLine)
	if a.report == nil && !inLine {
		a.report, err = q.Report(ctx, w.book.Manifest(q.image.inLedger()))
	}
	if a.report == nil {
		return nil, false, cmp.Or(failed, err)
	}
	if failed != nil && !inLine { // its turn comes with the next look
		w.log.Debug("image cannot be indexed anew", "namespace", q.image.namespace, "image", q.name, "error", failed)
	}
	basis.State = a.anew
	return a.report, inLine, nil
}

// indexAndReport returns the report of an image that Clair does not know, when it has a slot to index it.
func (w *Watcher) indexAndReport(ctx context.Context, q inquiry, a answer) (*claircore.VulnerabilityReport, error) {
	resolved := q.indexing.remembered(q.image)
	if resolved == nil {
		var err error
		if resolved, err = w.askRegistry(ctx, q); err != nil {
			return nil, err
		}
		w.book.SetManifest(q.image.inLedger(), resolved.Digest)
		if vr, err := w.noteCreation(ctx, q, resolved.Digest, a.notFound); vr != nil || err != nil {
			return vr, err
		}
	}
	if !q.indexing.enter(q.image, resolved, false) {
		return nil, errInLine
	}
	defer q.indexing.exit(q.image, resolved)
	if q.indexed.has(resolved.Digest) { // for another namespace, since this one was asked about
		if vr, err := q.Report(ctx, resolved.Digest); !clair.IsKind(err, clair.NotFound) && !clair.IsKind(err, clair.NotReady) {
			return vr, err
		}
	}
	indexed, err := w.index(ctx, q, resolved)
	if err != nil {
		return nil, err
	}
	w.progress.markIndexedUnder(q.image, q.base, a.data.state)
	w.log.Debug("image indexed", "namespace", q.image.namespace, "image", q.name, "digest", indexed.Digest)
	vr, err := q.Report(ctx, indexed.Digest)
	loading := a.data.loading || clair.IsKind(err, clair.NotReady)
	wanted := slices.ContainsFunc(w.listeners(q.image), func(l listener) bool { return l.tell.Indexed })
	if (loading || wanted) && w.progress.markIndexed(q.image, q.base) {
		w.tellIndexed(q, indexed, loading)
	}
	return vr, err
}

// askRegistry asks a registry for the manifest of an image, when it is the image's turn: which registry that is its pods
// say, and one that hangs is to keep nobody else waiting.
func (w *Watcher) askRegistry(ctx context.Context, q inquiry) (*registry.Image, error) {
	if !q.resolving.enter(q.image, nil, false) {
		return nil, errInLine
	}
	defer q.resolving.exit(q.image, nil)
	w.clairs.leave(q.image)
	return w.cfg.Registry.Resolve(ctx, q.identity, q.image.platform, w.credentials(q.image))
}

// noteCreation notes that an image which is about to be indexed becomes ours to delete, if it does: the Clair is
// one to delete from and does not know the image. Where it does its report is returned. asked is what it
// said it did not know; it may be the digest of an index, and empty.
func (w *Watcher) noteCreation(ctx context.Context, q inquiry, digest, asked string) (*claircore.VulnerabilityReport, error) {
	if !slices.Contains(w.cfg.DeleteFrom, q.base) {
		return nil, nil
	}
	if asked != digest {
		vr, err := q.Report(ctx, digest)
		switch {
		case err == nil:
			return vr, nil
		case clair.IsKind(err, clair.NotReady): // it does not say; then it is not ours
			return nil, nil
		case !clair.IsKind(err, clair.NotFound):
			return nil, err
		}
	}
	w.book.SetCreated(findings.NameID(q.base), digest, true)
	return nil, nil
}

// known returns the report of an image that Clair has indexed before; nil when it is to be indexed. Then notFound
// is the digest of which Clair has said that it does not know it.
func (w *Watcher) known(ctx context.Context, q inquiry) (notFound string, vr *claircore.VulnerabilityReport, err error) {
	ask := cmp.Or(w.book.Manifest(q.image.inLedger()), manifestDigest(q.identity))
	if ask == "" {
		return "", nil, nil
	}
	vr, err = q.Report(ctx, ask)
	switch {
	case err == nil:
		w.book.SetManifest(q.image.inLedger(), ask)
		return "", vr, nil
	case clair.IsKind(err, clair.NotFound):
		return ask, nil, nil
	case clair.IsKind(err, clair.NotReady) && !w.progress.isIndexed(q.image, q.base):
		// Its data takes Clair minutes to load; the image can be indexed meanwhile.
		return "", nil, nil
	}
	return "", nil, err
}

// manifestDigest returns the digest to ask Clair for before anything is known about an image. It may be
// that of an index, which Clair does not know; a config id never is a manifest.
func manifestDigest(id registry.Identity) string {
	if id.Config != "" {
		return ""
	}
	return id.ID
}

// index has Clair index an image that has a slot. Only then are tokens made: they would not outlast the wait.
func (w *Watcher) index(ctx context.Context, q inquiry, resolved *registry.Image) (findings.Report, error) {
	w.clairs.leave(q.image)
	ir, err := w.submit(ctx, q, resolved)
	if clair.IsKind(err, clair.LayerUnauthorized) {
		// A token ends while Clair works on other images. One new one, at once, is the remedy; if that
		// does not help, time might.
		w.cfg.Registry.Renew(resolved)
		ir, err = w.submit(ctx, q, resolved)
	}
	if err != nil {
		return findings.Report{}, err
	}
	*q.submitted = true
	q.indexed.put(resolved.Digest)
	return findings.Indexed(ir), nil
}

// submit gives Clair an image with freshly made layer addresses and tokens.
func (w *Watcher) submit(ctx context.Context, q inquiry, img *registry.Image) (*claircore.IndexReport, error) {
	sources, _, err := w.cfg.Registry.Sources(ctx, img, w.credentials(q.image), 0)
	if err != nil {
		return nil, err
	}
	layers := make([]clair.Layer, len(img.Layers))
	for i, l := range img.Layers {
		layers[i] = clair.Layer{Digest: l.Digest, URI: sources[i].URI, Header: sources[i].Header}
	}
	return q.Index(ctx, img.Digest, layers)
}

// causeLoading is what the ledger holds instead of a failure's cause while all that a destination knows of an image
// is that Clair has indexed it and is still loading its data.
const causeLoading = "loading"

// tellIndexed adds that Clair has indexed an image whose report is not there yet.
func (w *Watcher) tellIndexed(q inquiry, indexed findings.Report, loading bool) {
	img := q.image
	for _, l := range w.listeners(img) {
		if l.clair != q.base || !l.tell.Indexed && !(loading && l.tell.Report) {
			continue
		}
		if w.book.Has(l.destination, indexed.Digest) || len(w.sharing(l.destination, indexed.Digest)) > 0 {
			continue // it has been indexed before, and the destination has its report
		}
		if loading && w.knowsLoading(l.destination, indexed.Digest, img) {
			continue // the daemon before this one has said so
		}
		n := &news{
			kind:        kindIndexed,
			destination: l.destination,
			subject:     subject{digest: indexed.Digest},
			image:       img,
			name:        q.name,
			clair:       q.base,
			summary:     indexed.Summarize(0, findings.Rules{}),
			loading:     loading,
		}
		if loading {
			n.told = ledger.Told{Destination: l.destination, Image: img.inLedger(), Failure: ledger.Failure{Cause: causeLoading}}
		}
		w.tell(n)
	}
}

// knowsLoading says whether a destination was told that an image waits for Clair's data, under whatever id.
func (w *Watcher) knowsLoading(d ledger.Destination, digest string, img image) bool {
	return slices.ContainsFunc(append(w.book.Images(digest), img.inLedger()), func(i ledger.Image) bool {
		known, _ := w.book.Failure(d, i)
		return known.Cause == causeLoading
	})
}
