package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/quay/claircore"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
)

// This file is where the words of Kubernetes, registries, Clair and findings meet.

// Registry finds the manifest of an image and says where its layers are.
type Registry interface {
	Resolve(ctx context.Context, id registry.Identity, p registry.Platform, c registry.Credentials) (*registry.Image, error)
	Sources(ctx context.Context, img *registry.Image, c registry.Credentials, left time.Duration) ([]registry.Source, time.Time, error)
	Renew(img *registry.Image)
}

// Clair indexes images, reports their vulnerabilities and says which ones changed.
type Clair interface {
	Report(ctx context.Context, digest string) (*claircore.VulnerabilityReport, error)
	Index(ctx context.Context, digest string, layers []clair.Layer) (*claircore.IndexReport, error)
	Notified(ctx context.Context, id uuid.UUID) ([]string, error)
	DeleteNotification(ctx context.Context, id uuid.UUID) error
	// Slots is how many images it is to be asked to index at once; at least one.
	Slots() int
}

var (
	_ Registry = (*registry.Client)(nil)
	_ Clair    = (*clair.Client)(nil)
)

const (
	// updateRows is how many updates a message lists.
	updateRows = 8
	// mostSpecs bounds the different names under which one image is asked for.
	mostSpecs = 4
)

// outcome is what came of a scan.
type outcome struct {
	// name is the image as its pods name it.
	name string
	// state is what the reports say; empty when there is none.
	state State
	// failures are the Clairs without a report.
	failures []failure
	// inLine are the Clairs that have no slot for the image yet.
	inLine []string
}

// failure is why a Clair has no report of an image: for its own reasons, or the registry's.
type failure struct {
	clair string
	err   error
}

// scan makes what is known and told about an image right, whatever was the reason to look at it.
func (w *Watcher) scan(ctx context.Context, img image, pods []*corev1.Pod, listeners []listener) outcome {
	identity, name, unclear := identify(pods, img)
	o := outcome{name: name}
	for _, base := range clairsOf(listeners) {
		if unclear != nil {
			o.failures = append(o.failures, failure{base, unclear})
			continue
		}
		report, err := w.report(ctx, base, img, identity, name)
		if errors.Is(err, errInLine) {
			o.inLine = append(o.inLine, base)
			continue
		}
		if err != nil {
			o.failures = append(o.failures, failure{base, err})
			continue
		}
		if o.state == "" || !report.Covered {
			o.state = StateScanned
			if !report.Covered {
				o.state = StateNotCovered
			}
		}
		for _, l := range listeners {
			if l.clair == base {
				w.compare(ctx, l, img, name, report)
			}
		}
	}
	return o
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
func identify(pods []*corev1.Pod, img image) (registry.Identity, string, error) {
	var specs []container
	for _, pod := range pods {
		for c := range containers(pod) {
			if imageID(c) == img.id && !slices.Contains(specs, c) {
				specs = append(specs, c)
			}
		}
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

// report gets the report of an image from a Clair, and has it indexed first where Clair does not know
// it. A known image costs one request.
func (w *Watcher) report(ctx context.Context, base string, img image, identity registry.Identity, name string) (findings.Report, error) {
	c, err := w.clairs.at(base)
	if err != nil {
		return findings.Report{}, err
	}
	resolved := c.line.remembered(img)
	if resolved == nil {
		vr, err := w.known(ctx, c, base, img, identity)
		if err != nil {
			return findings.Report{}, fmt.Errorf("image %s: %w", name, err)
		}
		if vr != nil {
			return findings.FromClair(vr), nil
		}
		if resolved, err = w.cfg.Registry.Resolve(ctx, identity, img.platform, w.cfg.Credentials); err != nil {
			return findings.Report{}, fmt.Errorf("image %s: %w", name, err)
		}
		w.cfg.Ledger.RememberManifest(img.id, img.platform, resolved.Digest)
	}
	indexed, err := w.index(ctx, c, img, resolved)
	if err != nil {
		return findings.Report{}, fmt.Errorf("image %s: %w", name, err)
	}
	w.log.Debug("image indexed", "namespace", img.namespace, "image", name, "digest", indexed.Digest)
	vr, err := c.Report(ctx, indexed.Digest)
	if loading := clair.IsKind(err, clair.NotReady); (loading || w.cfg.TellIndexed) && w.progress.markIndexed(img, base) {
		w.tellIndexed(base, img, name, indexed, loading)
	}
	if err != nil {
		return findings.Report{}, fmt.Errorf("image %s: %w", name, err)
	}
	return findings.FromClair(vr), nil
}

// known returns the report of an image that Clair has indexed before; nil when it is to be indexed.
func (w *Watcher) known(ctx context.Context, c *service, base string, img image, identity registry.Identity) (*claircore.VulnerabilityReport, error) {
	ask := cmp.Or(w.cfg.Ledger.Manifest(img.id, img.platform), manifestDigest(identity))
	if ask == "" {
		return nil, nil
	}
	vr, err := c.Report(ctx, ask)
	switch {
	case err == nil:
		w.cfg.Ledger.RememberManifest(img.id, img.platform, ask)
		return vr, nil
	case clair.IsKind(err, clair.NotFound):
		return nil, nil
	case clair.IsKind(err, clair.NotReady) && !w.progress.isIndexed(img, base):
		// Its data takes Clair minutes to load; the image can be indexed meanwhile.
		return nil, nil
	}
	return nil, err
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

// compare adds to a channel's news what its destination has not been told.
func (w *Watcher) compare(ctx context.Context, l listener, img image, name string, report findings.Report) {
	w.withdrawFailure(l.destination, img)
	n := &news{
		kind:        kindReport,
		destination: l.destination,
		subject:     Subject{Digest: report.Digest},
		image:       img,
		name:        name,
		clair:       l.clair,
	}
	n.told = Told{Destination: l.destination, Subject: n.subject, Record: report.Record()}
	if record, told := w.cfg.Ledger.Record(l.destination, report.Digest); told {
		disclosed := record.Disclosed(report)
		if len(disclosed) == 0 {
			w.pending.withdraw(topic{l.destination, kindDisclosed, n.subject})
			w.clearFailure(ctx, l.destination, img)
			return
		}
		n.kind = kindDisclosed
		n.told.Record = record.Join(n.told.Record)
		report.Findings = disclosed
	}
	n.summary = report.Summarize(updateRows)
	if !w.cfg.TellIndexed { // the report says all of it
		w.pending.withdraw(topic{l.destination, kindIndexed, n.subject})
	}
	w.tell(n)
}

// tellIndexed adds that Clair has indexed an image whose report is not there yet.
func (w *Watcher) tellIndexed(base string, img image, name string, indexed findings.Report, loading bool) {
	for _, l := range w.assigned.Load().of(img.namespace) {
		if l.clair != base {
			continue
		}
		if _, told := w.cfg.Ledger.Record(l.destination, indexed.Digest); told {
			continue // it has been indexed before, and the destination has its report
		}
		w.tell(&news{
			kind:        kindIndexed,
			destination: l.destination,
			subject:     Subject{Digest: indexed.Digest},
			image:       img,
			name:        name,
			clair:       base,
			summary:     indexed.Summarize(0),
			loading:     loading,
		})
	}
}

// tellFailure adds that a Clair has no report of an image, unless its destinations know. lasting says that
// the cause is there to stay; a passing one is told to those who know of no failure.
func (w *Watcher) tellFailure(img image, name, clair string, cause Cause, lasting bool) {
	s := failureOf(img)
	for _, l := range w.assigned.Load().of(img.namespace) {
		known := w.cfg.Ledger.Failure(l.destination, s)
		if l.clair != clair || known == cause || known != "" && !lasting {
			continue
		}
		w.tell(&news{
			kind:        kindFailed,
			destination: l.destination,
			subject:     s,
			image:       img,
			name:        name,
			told:        Told{Destination: l.destination, Subject: s, Cause: cause},
		})
	}
}

// failureOf is the subject of an image that could not be scanned.
func failureOf(img image) Subject { return Subject{Image: img.id, Platform: img.platform} }

// withdrawFailure takes back that an image could not be scanned.
func (w *Watcher) withdrawFailure(d Destination, img image) {
	w.pending.withdraw(topic{d, kindFailed, failureOf(img)})
}

// clearFailure has the ledger forget a failure that is over, so that the next one is told again.
func (w *Watcher) clearFailure(ctx context.Context, d Destination, img image) {
	s := failureOf(img)
	if w.cfg.Ledger.Failure(d, s) == "" {
		return
	}
	if err := w.cfg.Ledger.Remember(ctx, []Told{{Destination: d, Subject: s}}); err != nil {
		w.log.Debug("could not record that a failure is over", "namespace", img.namespace, "image", img.id, "error", err)
	}
}

// settle decides what happens next to an image that was scanned.
func (w *Watcher) settle(ctx context.Context, img image, o outcome) {
	if len(o.failures) == 0 && len(o.inLine) > 0 { // it is called when it has a slot
		w.metrics.scans.WithLabelValues("waiting").Inc()
		if o.state != "" { // another Clair has a report
			w.progress.reach(img, o.state)
		}
		return
	}
	if len(o.failures) == 0 {
		w.images.Forget(img)
		w.progress.reach(img, o.state)
		w.metrics.scans.WithLabelValues("ok").Inc()
		if w.cfg.Refresh > 0 { // spread out, as all are first scanned at the start
			w.images.AddAfter(img, wait.Jitter(w.cfg.Refresh, 0.2))
		}
		return
	}
	if ctx.Err() != nil { // the process ends; the next one starts over
		return
	}
	log := w.log.With("namespace", img.namespace, "image", img.id)
	verdicts := make([]verdict, len(o.failures))
	var failed verdict // the first that is more than waiting
	var errs []error
	for i, f := range o.failures {
		verdicts[i] = judge(f.err)
		if failed.cause == "" {
			failed = verdicts[i]
		}
		errs = append(errs, f.err)
		if detailed, ok := errors.AsType[interface {
			error
			Detail() string
		}](f.err); ok && detailed.Detail() != "" {
			log.Debug("clair said", "detail", detailed.Detail())
		}
	}
	if failed.cause == "" { // waiting is not failing
		w.metrics.scans.WithLabelValues("waiting").Inc()
		log.Debug("image waits", "reason", errors.Join(errs...))
		if o.state != "" { // another Clair has a report
			w.progress.reach(img, o.state)
		}
		w.retry(img, verdicts)
		return
	}
	w.metrics.scans.WithLabelValues(string(failed.cause)).Inc()
	now, changed := w.progress.fail(img, State(failed.cause), failed.resting)
	level := slog.LevelDebug
	if changed { // an hour of retries says nothing new
		level = slog.LevelWarn
	}
	log.Log(ctx, level, "image could not be scanned", "cause", failed.cause, "failures", now.failures, "error", errors.Join(errs...))
	for i, v := range verdicts {
		if v.cause != "" && (v.lasting || now.failures >= patience) {
			w.tellFailure(img, o.name, o.failures[i].clair, v.cause, v.lasting || now.alike >= patience)
		}
	}
	w.retry(img, verdicts)
}

// retry queues an image again for the first of its verdicts that falls due. What waits together does not come
// back together.
func (w *Watcher) retry(img image, verdicts []verdict) {
	after := time.Duration(math.MaxInt64)
	for _, v := range verdicts {
		if v.cause == "" {
			v.after = wait.Jitter(v.after, 0.2)
		}
		after = min(after, v.after)
	}
	if after > 0 {
		w.images.Forget(img)
		w.images.AddAfter(img, after)
		return
	}
	w.images.AddRateLimited(img)
}
