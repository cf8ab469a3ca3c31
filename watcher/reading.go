package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

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
	// loading says that more is to be expected of the Clair soon; late, that it has been for too long.
	loading, late bool
	// inLine says that the image waits for a slot to be indexed anew; until then this is what is known.
	inLine bool
}

// readReport gets the report of an image from a Clair, and has it indexed first where Clair does not know it, or
// has other scanners than when it came to know it. A known image costs one request.
func (w *Watcher) readReport(ctx context.Context, base string, img image, identity registry.Identity, name string) (reading, error) {
	c, err := w.clairs.at(base)
	if err != nil {
		return reading{}, err
	}
	d, err := c.data.read(ctx, c, w.cfg.quiet())
	if err != nil {
		return reading{}, fmt.Errorf("image %s: %w", name, err)
	}
	if d.loading && c.waited.CompareAndSwap(false, true) {
		w.log.Info("this Clair is still loading its data: first reports wait until no source has been new to it for dataQuiet",
			"clair", base, "sources", len(d.updaters), "dataQuiet", w.cfg.DataQuiet)
	} else if !d.loading {
		c.waited.Store(false)
	}
	if d.loading && w.progress.isIndexed(img, base) && !w.isTold(img, base) {
		return reading{}, fmt.Errorf("image %s: %w", name, loadingError{d.left}) // nobody is to hear of it yet
	}
	r := reading{basis: d.basis(base), loading: d.loading, late: d.late}
	var vr *claircore.VulnerabilityReport
	if old := w.indexedUnder(img, base, r.basis); old != "" {
		vr, r.inLine, err = w.reportAnew(ctx, c, base, img, identity, name, &r.basis, old, d)
	} else {
		vr, err = w.reported(ctx, c, base, img, identity, name, d)
	}
	if err != nil {
		return reading{}, fmt.Errorf("image %s: %w", name, err)
	}
	if d.loading {
		w.progress.markIndexed(img, base)
	}
	r.report = findings.FromClair(vr)
	return r, nil
}

// isTold says whether a listener at a Clair was told of an image.
func (w *Watcher) isTold(img image, base string) bool {
	digest := w.book.Manifest(img.inLedger())
	return digest != "" && slices.ContainsFunc(w.assigned.Load().of(img.namespace), func(l listener) bool {
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
	for _, l := range w.assigned.Load().of(img.namespace) {
		r, told := w.book.Record(l.destination, digest)
		if told && r.Basis.Clair == now.Clair && r.Basis.State != "" && r.Basis.State != now.State {
			return r.Basis.State
		}
	}
	return ""
}

// reportAnew returns the report of an image after it was indexed anew. While Clair has no slot for that, or no
// data yet, and when it fails, it is the report of what the old scanners saw, and the basis says so.
func (w *Watcher) reportAnew(ctx context.Context, c *service, base string, img image, identity registry.Identity, name string, basis *findings.Basis, old string, d data) (vr *claircore.VulnerabilityReport, inLine bool, err error) {
	var failed error
	if !d.loading {
		resolved := c.line.remembered(img)
		if resolved == nil {
			resolved, failed = w.cfg.Registry.Resolve(ctx, identity, img.platform, w.cfg.Credentials)
		}
		if failed == nil {
			_, failed = w.index(ctx, c, img, resolved)
		}
		if failed == nil {
			w.progress.markIndexedUnder(img, base, basis.State)
		}
	}
	vr, err = c.Report(ctx, w.book.Manifest(img.inLedger()))
	switch {
	case failed == nil && !d.loading:
		return vr, false, err
	case err == nil:
		basis.State = old
		if inLine = errors.Is(failed, errInLine); failed != nil && !inLine { // its turn comes with the next look
			w.log.Debug("image cannot be indexed anew", "namespace", img.namespace, "image", name, "error", failed)
		}
		return vr, inLine, nil
	case failed != nil:
		return nil, false, failed
	}
	return nil, false, err
}

// reported returns the report of an image that is indexed, or is after this.
func (w *Watcher) reported(ctx context.Context, c *service, base string, img image, identity registry.Identity, name string, d data) (*claircore.VulnerabilityReport, error) {
	resolved := c.line.remembered(img)
	if resolved == nil {
		asked, vr, err := w.known(ctx, c, base, img, identity)
		if vr != nil || err != nil {
			return vr, err
		}
		if resolved, err = w.cfg.Registry.Resolve(ctx, identity, img.platform, w.cfg.Credentials); err != nil {
			return nil, err
		}
		w.book.SetManifest(img.inLedger(), resolved.Digest)
		if vr, err = w.noteCreation(ctx, c, base, resolved.Digest, asked); vr != nil || err != nil {
			return vr, err
		}
	}
	indexed, err := w.index(ctx, c, img, resolved)
	if err != nil {
		return nil, err
	}
	w.progress.markIndexedUnder(img, base, d.state)
	w.log.Debug("image indexed", "namespace", img.namespace, "image", name, "digest", indexed.Digest)
	vr, err := c.Report(ctx, indexed.Digest)
	loading := d.loading || clair.IsKind(err, clair.NotReady)
	if (loading || w.cfg.TellIndexed) && w.progress.markIndexed(img, base) {
		w.tellIndexed(base, img, name, indexed, loading)
	}
	return vr, err
}

// noteCreation notes that an image which is about to be indexed becomes ours to delete, if it does: the Clair is
// one to delete from and does not know the image. Where it does its report is returned. asked is what it
// said it did not know; it may be the digest of an index, and empty.
func (w *Watcher) noteCreation(ctx context.Context, c *service, base, digest, asked string) (*claircore.VulnerabilityReport, error) {
	if !slices.Contains(w.cfg.DeleteFrom, base) {
		return nil, nil
	}
	if asked != digest {
		vr, err := c.Report(ctx, digest)
		switch {
		case err == nil:
			return vr, nil
		case clair.IsKind(err, clair.NotReady): // it does not say; then it is not ours
			return nil, nil
		case !clair.IsKind(err, clair.NotFound):
			return nil, err
		}
	}
	w.book.SetCreated(findings.NameID(base), digest, true)
	return nil, nil
}

// known returns the report of an image that Clair has indexed before; nil when it is to be indexed. Then notFound
// is the digest of which Clair has said that it does not know it.
func (w *Watcher) known(ctx context.Context, c *service, base string, img image, identity registry.Identity) (notFound string, vr *claircore.VulnerabilityReport, err error) {
	ask := cmp.Or(w.book.Manifest(img.inLedger()), manifestDigest(identity))
	if ask == "" {
		return "", nil, nil
	}
	vr, err = c.Report(ctx, ask)
	switch {
	case err == nil:
		w.book.SetManifest(img.inLedger(), ask)
		return "", vr, nil
	case clair.IsKind(err, clair.NotFound):
		return ask, nil, nil
	case clair.IsKind(err, clair.NotReady) && !w.progress.isIndexed(img, base):
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

// index has Clair index an image when it has a slot; errInLine says that it has none yet. Only then are
// tokens made: they would not outlast the wait.
func (w *Watcher) index(ctx context.Context, c *service, img image, resolved *registry.Image) (findings.Report, error) {
	if !c.line.enter(img, resolved) {
		return findings.Report{}, errInLine
	}
	defer c.line.exit()
	ir, err := w.submit(ctx, c, resolved)
	if clair.IsKind(err, clair.LayerUnauthorized) {
		// A token ends while Clair works on other images. One new one, at once, is the remedy; if that
		// does not help, time might.
		w.cfg.Registry.Renew(resolved)
		ir, err = w.submit(ctx, c, resolved)
	}
	if err != nil {
		return findings.Report{}, err
	}
	return findings.Indexed(ir), nil
}

// submit gives Clair an image with freshly made layer addresses and tokens.
func (w *Watcher) submit(ctx context.Context, c Clair, img *registry.Image) (*claircore.IndexReport, error) {
	sources, _, err := w.cfg.Registry.Sources(ctx, img, w.cfg.Credentials, 0)
	if err != nil {
		return nil, err
	}
	layers := make([]clair.Layer, len(img.Layers))
	for i, l := range img.Layers {
		layers[i] = clair.Layer{Digest: l.Digest, URI: sources[i].URI, Header: sources[i].Header}
	}
	return c.Index(ctx, img.Digest, layers)
}

// causeLoading is what the ledger holds instead of a failure's cause while all that a destination knows of an image
// is that Clair has indexed it and is still loading its data.
const causeLoading = "loading"

// tellIndexed adds that Clair has indexed an image whose report is not there yet.
func (w *Watcher) tellIndexed(base string, img image, name string, indexed findings.Report, loading bool) {
	for _, l := range w.assigned.Load().of(img.namespace) {
		if l.clair != base {
			continue
		}
		if w.book.Has(l.destination, indexed.Digest) {
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
			name:        name,
			clair:       base,
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
