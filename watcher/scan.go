package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/quay/claircore"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
)

// This file is where the words of Kubernetes, registries, Clair and findings meet.

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

const (
	// updateRows is how many updates a message lists.
	updateRows = 8
	// worstNamed is how many single findings news keeps of an image.
	worstNamed = 24
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
	// done are the Clairs with a report or a failure, of which nothing is in line.
	done []string
	// inLine are the Clairs that have no slot for the image yet; unread are those of them that were not even asked what
	// they know of it. away are those that do not answer: what stands in line there stays.
	inLine, unread, away []string
	// retry is when what has failed is tried again, where that is settled although the look goes on; zero otherwise.
	retry time.Duration
}

// failure is why a Clair has no report of an image: for its own reasons, or the registry's.
type failure struct {
	clair string
	err   error
}

// scan makes what is known and told about an image right, whatever was the reason to look at it. o is what came of the
// look so far: of a Clair that is done nothing is asked again.
func (w *Watcher) scan(ctx context.Context, img image, pods []*corev1.Pod, listeners []listener, o outcome) outcome {
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
func identify(pods []*corev1.Pod, img image) (registry.Identity, string, error) {
	var specs []container
	for _, pod := range pods {
		for c := range containers(pod) {
			if imageID(c) != img.id {
				continue
			}
			if c.outdated { // the name may be that of the image to come
				c.spec = ""
			}
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

// subjectOf is what a report is about, as far as news needs it.
type subjectOf struct {
	image image
	name  string
	jobs  bool
	clair string
}

// compare adds to a channel's news what its destination has not been told. It says false when that has to wait
// until Clair has all of its data.
func (w *Watcher) compare(ctx context.Context, l listener, of subjectOf, r reading) bool {
	w.withdrawFailure(l.destination, of.image)
	record, told := w.book.Record(l.destination, r.report.Digest)
	if r.loading && (!told || r.basis.Renews(record.Basis)) {
		return false
	}
	if !told {
		n := w.newsOf(l, of, kindReport, r, r.report.Findings, r.report.Record(r.basis, l.rules))
		n.loading = r.late
		if !w.cfg.TellIndexed { // the report says all of it
			w.pending.withdraw(topic{l.destination, kindIndexed, n.subject})
		}
		w.tell(n)
		return true
	}
	w.tellRecovery(l.destination, of)
	difference := record.Compare(r.report, r.basis, l.rules)
	if !difference.Withdrawn.Change.IsEmpty() {
		// What Clair had before the report it need not have had for it: of a database that was emptied in between
		// everything seems to be withdrawn.
		r.basis.Updaters = w.updatersSince(ctx, of.clair, r.at)
		difference = record.Compare(r.report, r.basis, l.rules)
	}
	if !l.tell.Withdrawn {
		difference.Silent = difference.Silent.With(difference.Withdrawn.Change).With(difference.Returned.Change)
		difference.Withdrawn, difference.Returned = findings.Part{}, findings.Part{}
	}
	if !difference.Silent.IsEmpty() {
		w.book.Change(l.destination, r.report.Digest, difference.Silent)
	}
	for _, part := range []struct {
		kind kind
		findings.Part
	}{
		{kindDisclosed, difference.Disclosed},
		{kindRose, difference.Rose},
		{kindVisible, difference.Visible},
		{kindSourced, difference.Sourced},
		{kindRenewed, difference.Renewed},
		{kindReturned, difference.Returned},
		{kindWithdrawn, difference.Withdrawn},
	} {
		if part.Change.IsEmpty() {
			w.pending.withdraw(topic{l.destination, part.kind, subject{digest: r.report.Digest}})
			continue
		}
		n := w.newsOf(l, of, part.kind, r, part.Findings, part.Change)
		// What one image's turn brings to light others have as well: looked at now, they are one message.
		if part.kind == kindDisclosed && !w.progress.isDue(of.image) && !w.pending.holds(n.topic()) {
			w.lookAllAt(of.clair)
		}
		n.share = findings.Share{
			Entries: part.Change.Entries, Fixable: findings.Fixable(part.Findings), Named: worstOf(part.Findings),
		}
		switch part.kind {
		case kindSourced:
			n.updaters = updatersOf(part.Findings)
		case kindRenewed: // whose change holds also what goes without saying
			n.share.Entries, n.gone = part.Entries(), difference.Vanished
		case kindWithdrawn: // which have no names any more
			_, n.summary.Counts = findings.Spreads([]findings.Share{n.share})
		}
		w.tell(n)
	}
	return true
}

// updatersSince returns those whose data a Clair has, as it was at a time or later; nil when it does not say.
func (w *Watcher) updatersSince(ctx context.Context, base string, t time.Time) []findings.ID {
	c, err := w.clairs.at(base)
	if err != nil {
		return nil
	}
	d, err := c.data.readSince(ctx, c, w.cfg.dataTimes(), t)
	if err != nil {
		return nil
	}
	return d.updaters
}

// newsOf is a piece of news about some findings of a report.
func (w *Watcher) newsOf(l listener, of subjectOf, k kind, r reading, about []findings.Finding, change findings.Record) *news {
	return &news{
		kind:        k,
		destination: l.destination,
		subject:     subject{digest: r.report.Digest},
		image:       of.image,
		name:        of.name,
		clair:       of.clair,
		rules:       l.rules,
		summary:     r.report.SummarizePart(about, updateRows, l.rules),
		jobs:        of.jobs,
		told:        ledger.Told{Destination: l.destination, Digest: r.report.Digest, Name: of.name, Change: change},
	}
}

// worstOf returns the worst of some findings. Only the first one is ever shown with what its advisory says.
func worstOf(fs []findings.Finding) []findings.Finding {
	worst := slices.Clone(fs[:min(len(fs), worstNamed)])
	for i := range worst {
		description := worst[i].Description
		worst[i].Description = ""
		if i == 0 { // a copy, so that it does not keep a long one in memory
			worst[i].Description = strings.Clone(description[:min(len(description), longestDescription)])
		}
	}
	return worst
}

// updatersOf names the updaters of findings.
func updatersOf(fs []findings.Finding) []string {
	var names []string
	for _, f := range fs {
		if f.Updater != "" && !slices.Contains(names, f.Updater) {
			names = append(names, f.Updater)
		}
	}
	slices.Sort(names)
	return names
}

// tellFailure adds that a Clair has no report of an image, unless its destinations know. lasting says that
// the cause is there to stay; a passing one is told to those who know of no failure. next is when it is tried
// again, where that is not soon.
func (w *Watcher) tellFailure(img image, name, clair string, cause Cause, lasting bool, next time.Time) {
	for _, l := range w.assigned.Load().of(img.namespace) {
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
		w.tell(&news{
			kind:        kindFailed,
			destination: l.destination,
			subject:     failureOf(img),
			image:       img,
			name:        name,
			cause:       cause,
			told: ledger.Told{Destination: l.destination, Image: img.inLedger(), Failure: ledger.Failure{
				Cause: string(cause), Next: next,
			}},
		})
	}
}

// failureOf is the subject of an image that cannot be scanned, or could not be.
func failureOf(img image) subject { return subject{image: img.inLedger()} }

// withdrawFailure takes back that an image could not be scanned.
func (w *Watcher) withdrawFailure(d ledger.Destination, img image) {
	w.pending.withdraw(topic{d, kindFailed, failureOf(img)})
}

// toldFailure returns when to try an image again that could not be scanned by the daemon before this one, and
// why it could not; an empty cause says to look at it now. All listeners must know.
func (w *Watcher) toldFailure(img image, listeners []listener) (next time.Time, cause Cause) {
	digest := w.book.Manifest(img.inLedger())
	for _, l := range listeners {
		f, told := w.book.Failure(l.destination, img.inLedger())
		if !told || !f.Next.After(time.Now()) || f.Cause == string(CauseOverLimit) { // there may be room now
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

// tellRecovery adds that an image which a destination knows has a report again, if that one was told that it could not
// be scanned. Whoever does not know the image gets the report, which says as much. Until Slack has accepted it the
// ledger has the failure, from which the daemon after this one tells it.
func (w *Watcher) tellRecovery(d ledger.Destination, of subjectOf) {
	switch known, told := w.book.Failure(d, of.image.inLedger()); {
	case !told:
	case known.Cause == causeLoading:
		w.book.ForgetFailure(d, of.image.inLedger())
	default:
		w.tell(&news{
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
	for _, l := range w.assigned.Load().of(img.namespace) {
		if l.clair == clair {
			w.withdrawRecovery(l.destination, img)
		}
	}
}

// withdrawRecovery takes back that an image is scanned again.
func (w *Watcher) withdrawRecovery(d ledger.Destination, img image) {
	w.pending.withdraw(topic{d, kindRecovered, failureOf(img)})
}

// pause has the look at an image go on when the Clairs that could not be asked have time for it. What has failed so
// far is not kept back for that.
func (w *Watcher) pause(ctx context.Context, img image, o outcome) {
	if len(o.failures) > 0 && ctx.Err() == nil {
		due := w.progress.isDue(img)
		o.retry = w.settleFailures(ctx, img, o)
		o.failures = nil
		if due { // what is still to come belongs to the rest
			w.progress.markDue([]image{img})
		}
	}
	w.rounds.pause(img, o)
	if !w.clairs.wait(img, o.unread) { // it gave up its place while it was indexed elsewhere
		w.images.Add(img)
	}
}

// settle decides what happens next to an image that was scanned.
func (w *Watcher) settle(ctx context.Context, img image, o outcome) {
	if o.retry > 0 && len(o.failures) == 0 { // its state is that of what has failed
		w.progress.markLooked(img)
		w.images.AddAfter(img, o.retry)
		return
	}
	if len(o.failures) == 0 && len(o.inLine) > 0 { // it is called when it has a slot
		w.metrics.scans.WithLabelValues("waiting").Inc()
		if o.state != "" { // another Clair has a report, or this one has that of before
			w.progress.reach(img, o.state)
			w.refreshLater(img)
		}
		return
	}
	if len(o.failures) == 0 {
		w.images.Forget(img)
		w.progress.reach(img, o.state)
		w.metrics.scans.WithLabelValues("ok").Inc()
		w.refreshLater(img)
		return
	}
	if ctx.Err() != nil { // the process ends; the next one starts over
		return
	}
	w.settleFailures(ctx, img, o)
}

// refreshLater has an image looked at again when its report is old.
func (w *Watcher) refreshLater(img image) {
	if w.cfg.Refresh > 0 { // spread out, as all are first scanned at the start
		w.images.AddAfter(img, wait.Jitter(w.cfg.Refresh, 0.2))
	}
}

// settleFailures decides what happens next to an image of which some Clair has no report, and returns when it is
// looked at again.
func (w *Watcher) settleFailures(ctx context.Context, img image, o outcome) time.Duration {
	log := w.log.With("namespace", img.namespace, "image", img.id, "clair", o.failures[0].clair)
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
		return w.retry(img, verdicts)
	}
	w.metrics.scans.WithLabelValues(string(failed.cause)).Inc()
	now, changed := w.progress.fail(img, State(failed.cause), failed.resting)
	level := slog.LevelDebug
	if changed && !failed.shared && !w.clairs.isSuspected(o.failures[0].clair) { // an hour of retries says nothing new
		level = slog.LevelWarn
	}
	log.Log(ctx, level, "image could not be scanned", "cause", failed.cause, "failures", now.failures, "error", errors.Join(errs...))
	for i := range verdicts { // its images are looked at when a Clair is back; this one might have missed that
		if verdicts[i].shared && !w.clairs.isAway(o.failures[i].clair) {
			verdicts[i].after = 0
		}
	}
	var next time.Time
	after := w.retry(img, verdicts)
	if after > 2*lastRetry {
		next = time.Now().Add(after)
	}
	for i, v := range verdicts {
		if v.cause == "" {
			continue
		}
		w.withdrawRecoveries(img, o.failures[i].clair) // before the ledger is asked what is known
		ripe := !v.shared && now.failures >= patience
		suspected := w.suspect(img, o.failures[i], v, ripe)
		if v.lasting || ripe || suspected {
			w.tellFailure(img, o.name, o.failures[i].clair, v.cause, v.lasting || now.alike >= patience, next)
		}
	}
	return after
}

// knowsFailure says whether all listeners at a Clair were told of a failure.
func (w *Watcher) knowsFailure(img image, clair string, cause Cause) bool {
	return !slices.ContainsFunc(w.assigned.Load().of(img.namespace), func(l listener) bool {
		known, _ := w.book.Failure(l.destination, img.inLedger())
		return l.clair == clair && known.Cause != string(cause)
	})
}

// suspect says whether a failure is probably that of all images of a Clair. When that becomes so all of them are
// looked at. ripe says that the image has failed for long.
func (w *Watcher) suspect(img image, f failure, v verdict, ripe bool) bool {
	if v.cause != CauseClairUnavailable || v.shared {
		return false
	}
	if !ripe || w.knowsFailure(img, f.clair, v.cause) {
		return w.clairs.isSuspected(f.clair)
	}
	is, isNew := w.clairs.suspect(f.clair)
	if isNew {
		w.log.Warn("this Clair gives no reports; its images wait", "clair", f.clair, "error", f.err)
		w.lookAllAt(f.clair)
	}
	return is
}

// retry queues an image again for the first of its verdicts that falls due, and returns after what time. What
// waits together does not come back together.
func (w *Watcher) retry(img image, verdicts []verdict) time.Duration {
	after := time.Duration(math.MaxInt64)
	for _, v := range verdicts {
		if v.cause == "" {
			v.after = wait.Jitter(v.after, 0.2)
		}
		after = min(after, v.after)
	}
	if after > 0 {
		w.images.Forget(img)
	} else {
		after = w.imageBackoff.When(img)
	}
	w.images.AddAfter(img, after)
	return after
}
