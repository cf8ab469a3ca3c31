package watcher

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/clairwatch/clairwatch/registry"
)

// pause has the look at an image go on when the Clairs that could not be asked have time for it. What has failed so
// far is not kept back for that.
func (w *Watcher) pause(ctx context.Context, img image, o outcome) {
	if len(o.failures) > 0 && ctx.Err() == nil {
		o.retry, o.failed = w.settleFailures(ctx, img, o)
		o.failures = nil
	}
	w.rounds.pause(img, o)
	if !w.clairs.wait(img, o.unread) { // it gave up its place while it was indexed
		w.images.Add(img)
	}
}

// settle decides what happens next to an image that was scanned.
func (w *Watcher) settle(ctx context.Context, img image, o outcome) {
	if len(o.failures) > 0 {
		if ctx.Err() != nil { // the process ends; the next one starts over
			return
		}
		_, o.failed = w.settleFailures(ctx, img, o)
	}
	switch {
	case o.failed: // its state is that of what has failed
	case len(o.failures) > 0 || len(o.inLine) > 0 || o.retry > 0: // it waits, and is called when it has a slot
		w.metrics.scans.WithLabelValues("waiting").Inc()
		if o.state != "" { // another Clair has a report, or this one has that of before
			w.progress.reach(img, o.state)
		}
	default:
		w.images.Forget(img)
		w.progress.reach(img, o.state)
		w.metrics.scans.WithLabelValues("ok").Inc()
		w.metrics.lastScan.SetToCurrentTime()
	}
	if o.retry > 0 { // of the queue's times the earliest counts
		w.images.AddAfter(img, o.retry)
	}
	if o.state != "" {
		w.refreshLater(img)
	}
}

// refreshLater has an image looked at again when its report is old.
func (w *Watcher) refreshLater(img image) {
	if w.cfg.Refresh > 0 { // spread out, as all are first scanned at the start
		w.images.AddAfter(img, wait.Jitter(w.cfg.Refresh, 0.2))
	}
}

// settleFailures decides what happens next to an image of which some Clair has no report. It returns when the image is
// looked at again, and whether anything has failed: waiting is not failing.
func (w *Watcher) settleFailures(ctx context.Context, img image, o outcome) (after time.Duration, failed bool) {
	verdicts := make([]verdict, len(o.failures))
	worst := -1 // the first that is more than waiting
	var errs []error
	for i, f := range o.failures {
		verdicts[i] = judge(f.err)
		if verdicts[i].shared && !w.clairs.isAway(f.clair) {
			verdicts[i].after = 0 // its images were looked at when it came back; this one might have missed that
		}
		if worst < 0 && verdicts[i].cause != "" {
			worst = i
		}
		errs = append(errs, f.err)
		if detailed, ok := errors.AsType[interface {
			error
			Detail() string
		}](f.err); ok && detailed.Detail() != "" {
			w.log.Debug("clair said", "clair", f.clair, "detail", detailed.Detail())
		}
	}
	log := w.log.With("namespace", img.namespace, "image", img.id, "clair", o.failures[max(worst, 0)].clair)
	after = w.retry(img, verdicts)
	if worst < 0 {
		log.Debug("image waits", "reason", errors.Join(errs...))
		w.progress.plan(img, time.Now().Add(after))
		return after, o.failed
	}
	v := verdicts[worst]
	w.sayForbidden(ctx, o.failures[worst].err)
	now, changed := w.progress.step(img), false
	if !o.failed { // one look fails once
		w.metrics.scans.WithLabelValues(string(v.cause)).Inc()
		now, changed = w.progress.fail(img, State(v.cause), v.resting)
	}
	w.progress.plan(img, time.Now().Add(after))
	artifact := w.isArtifact(img, o.failures)
	level := slog.LevelDebug
	switch {
	case !changed || v.shared || w.clairs.isSuspected(o.failures[worst].clair): // an hour of retries says nothing new
	case artifact && v.cause == CauseUnsupported:
		level = slog.LevelInfo
	default:
		level = slog.LevelWarn
	}
	if use, _ := w.useOf(img); use.lacks != "" && slices.Contains(refusedStates[:], State(v.cause)) {
		log = log.With("pullSecrets", use.lacks)
	}
	log.Log(ctx, level, "image could not be scanned", "cause", v.cause, "failures", now.failures, "error", errors.Join(errs...))
	var next time.Time
	if after > 2*lastRetry {
		next = time.Now().Add(after)
	}
	for i, v := range verdicts {
		if v.cause == "" {
			continue
		}
		w.withdrawRecoveries(img, o.failures[i].clair) // before the ledger is asked what is known
		if artifact && v.cause == CauseUnsupported {
			continue
		}
		ripe := !v.shared && now.failures >= patience
		suspected := w.suspect(img, o.failures[i], v, ripe)
		if v.lasting || ripe || suspected {
			w.tellFailure(img, o.name, o.failures[i].clair, v.cause, v.lasting || now.alike >= patience, next)
		}
	}
	return after, true
}

// isArtifact says whether what is no image to its registry is there only as a volume. Then it is counted and nobody
// is told: an image volume may as well hold a model or a policy, which is as it should be and nothing to be mended.
func (w *Watcher) isArtifact(img image, fs []failure) bool {
	unsupported := func(f failure) bool { return errors.Is(f.err, registry.ErrUnsupported) }
	return slices.ContainsFunc(fs, unsupported) && onlyMounted(w.running(img), img.id)
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
