package watcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// reportedPrefix begins the annotations that say what was told of a pod: the name of a container follows, and the value
// is the digest of the manifest that it ran.
const reportedPrefix = "reported.clairwatch.io/"

const (
	// annotationsPerSecond bounds the requests that annotate: the API server has better things to do.
	annotationsPerSecond = 5
	// annotateAfter is how long a pod waits before it is annotated: what is told of its containers one after the other is
	// one request, and the cache has what the last one wrote.
	annotateAfter = 2 * time.Second
	// annotateTries is how often it is tried in a row.
	annotateTries = 5
	// annotateTimeout is how long one request may last.
	annotateTimeout = 10 * time.Second
	// confinedFor is when it is tried again whether the right is confined, and all pods are looked at; confinedAgain is
	// when it is while it is not, or after the API server has refused something.
	confinedFor   = time.Hour
	confinedAgain = time.Minute
)

// annotating is whether pods are annotated, and why they are not.
type annotating int32

const (
	annotatingWaiting annotating = iota // for a pod to try it on, or to lead
	annotatingOff
	annotatingOn
	annotatingUnconfined
	annotatingForbidden
	annotatingUnchecked
)

// annotatingNames are the labels of these states.
var annotatingNames = [...]string{"waiting", "off", "on", "unconfined", "forbidden", "unchecked"}

// annotationOutcomes are the labels of what became of a request to annotate a pod.
var annotationOutcomes = [...]string{"ok", "gone", "forbidden", "failed"}

// annotator writes on pods which of their images were told, for people and other tools. Whoever may write a pod can
// write the same, so nothing is believed of it: what is there already is looked at only to write nothing twice.
//
// It annotates only while a trial shows that the right to patch pods is confined to that. A nil one does nothing.
type annotator struct {
	w *Watcher
	// queue holds the pods to annotate, and confinementTurn, which is there, or comes when it is due at the latest, to
	// wake a worker that has nothing else to do.
	queue   workqueue.TypedRateLimitingInterface[cache.ObjectName]
	limit   *rate.Limiter
	now     atomic.Int32           // an annotating
	written *prometheus.CounterVec // requests by outcome

	// What follows belongs to the one worker. due is when the confinement is tried next, whatever waits in the queue; said
	// of which state the log has spoken last, off while of none; looked when all pods were looked at, and complained says
	// that the log has spoken of a pod that cannot be annotated since.
	due        time.Time
	said       annotating
	looked     time.Time
	complained bool
}

// confinementTurn is the key in the queue of pods that stands for none.
var confinementTurn = cache.ObjectName{}

func newAnnotator(w *Watcher, queues workqueue.MetricsProvider) *annotator {
	return &annotator{
		w: w,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(newBackoff[cache.ObjectName](),
			workqueue.TypedRateLimitingQueueConfig[cache.ObjectName]{Name: "pods", MetricsProvider: queues}),
		limit:   rate.NewLimiter(annotationsPerSecond, 1),
		written: w.metrics.annotations,
		said:    annotatingOff,
	}
}

// state says whether pods are annotated.
func (a *annotator) state() annotating {
	if a == nil {
		return annotatingOff
	}
	return annotating(a.now.Load())
}

// shutDown has run end.
func (a *annotator) shutDown() {
	if a != nil {
		a.queue.ShutDown()
	}
}

// run annotates until ctx ends and the queue is shut down. A request in hand lasts as long as work.
func (a *annotator) run(ctx, work context.Context) {
	if a == nil {
		return
	}
	a.queue.Add(confinementTurn)
	drain(ctx, a.queue, 1, func(name cache.ObjectName) {
		if !time.Now().Before(a.due) { // its turn may stand behind thousands of pods
			a.confine(ctx)
		}
		if name == confinementTurn {
			a.queue.AddAfter(confinementTurn, time.Until(a.due))
			return
		}
		a.annotate(ctx, work, name)
	})
}

// confineSoon has the confinement tried in a minute at the latest. That it is refused again puts it off no further.
func (a *annotator) confineSoon() {
	if due := time.Now().Add(confinedAgain); due.Before(a.due) {
		a.due = due
		a.queue.AddAfter(confinementTurn, confinedAgain)
	}
}

// look has a pod annotated if it is to be. While pods are not annotated it notes nothing: all are looked at when they
// are again.
func (a *annotator) look(pod *pod) {
	if a.state() == annotatingOn && a.w.leading.Load() && len(a.w.unreported(pod)) > 0 {
		a.queue.AddAfter(cache.NewObjectName(pod.namespace(), pod.name), annotateAfter)
	}
}

// lookAtTold has the pods annotated of whose images a message was recorded.
func (a *annotator) lookAtTold(ns []*news) {
	if a == nil {
		return
	}
	for _, n := range ns {
		if n.kind != kindReport { // only reports are about images that nobody was told of
			continue
		}
		for _, pod := range a.w.users(n.destination.Key, n.subject.digest) {
			a.look(pod)
		}
	}
}

// lookAtAll has all pods annotated that are to be.
func (a *annotator) lookAtAll() {
	a.looked, a.complained = time.Now(), false
	for _, namespace := range a.w.pods.namespaces() {
		for _, pod := range a.w.pods.in(namespace) {
			a.look(pod)
		}
	}
}

// annotate annotates one pod.
func (a *annotator) annotate(ctx, work context.Context, name cache.ObjectName) {
	pod := a.w.pods.named(name)
	if pod == nil || a.state() != annotatingOn {
		a.queue.Forget(name)
		return
	}
	due := a.w.unreported(pod)
	if len(due) == 0 {
		a.queue.Forget(name)
		return
	}
	if a.limit.Wait(ctx) != nil {
		return
	}
	outcome := "ok"
	switch err := a.patch(work, pod.id(), due); {
	case err == nil:
		a.queue.Forget(name)
	case apierrors.IsNotFound(err) || isOther(err): // one that has its name is looked at by itself
		outcome = "gone"
		a.queue.Forget(name)
	case apierrors.IsForbidden(err):
		outcome = "forbidden"
		if isNoRight(err, name.Name) {
			a.turn(annotatingForbidden, err)
		}
		a.confineSoon()
		a.retry(name, err)
	default:
		outcome = "failed"
		a.retry(name, err)
	}
	a.written.WithLabelValues(outcome).Inc()
}

// retry tries a pod again later, a few times.
func (a *annotator) retry(name cache.ObjectName, err error) {
	if a.queue.NumRequeues(name) < annotateTries-1 {
		a.queue.AddRateLimited(name)
		return
	}
	a.queue.Forget(name)
	log := a.w.log.Debug
	if !a.complained && a.state() == annotatingOn {
		log, a.complained = a.w.log.Warn, true
	}
	log("a pod cannot be annotated; it is tried again within an hour, as are others of which the log does not speak",
		"namespace", name.Namespace, "pod", name.Name, "error", err)
}

// patch writes annotations on a pod, and on no other one of its name. It says nothing of the version, because nothing
// that others write matters to it.
func (a *annotator) patch(ctx context.Context, pod PodID, annotations map[string]string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "annotations": annotations}})
	if err != nil {
		return fmt.Errorf("writing annotations: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, annotateTimeout)
	defer cancel()
	_, err = a.w.cfg.Kubernetes.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}

// confine tries whether the right is confined, and looks at all pods when they are to be annotated from now on, or an
// hour is over.
func (a *annotator) confine(ctx context.Context) {
	pods := a.sample()
	err := errNoPod
	if len(pods) > 0 {
		err = CheckConfinement(ctx, a.w.cfg.Kubernetes, pods)
	}
	if ctx.Err() != nil {
		return
	}
	before := a.state()
	switch {
	case err == nil:
		a.turn(annotatingOn, nil)
	case errors.Is(err, ErrUnconfined):
		a.turn(annotatingUnconfined, err)
	case errors.Is(err, ErrNoRight):
		a.turn(annotatingForbidden, err)
	case errors.Is(err, errNoPod):
		a.turn(annotatingWaiting, err)
	default:
		a.turn(annotatingUnchecked, err)
	}
	if a.state() != annotatingOn {
		a.due = time.Now().Add(confinedAgain)
		return
	}
	if before != annotatingOn || time.Since(a.looked) >= confinedFor {
		a.lookAtAll()
	}
	a.due = a.looked.Add(confinedFor) // a trial in between, after a refusal, puts off no look at all pods
}

// turn notes whether pods are annotated, and logs what is new.
func (a *annotator) turn(now annotating, err error) {
	a.now.Store(int32(now))
	if now == a.said || errors.Is(err, errNoPod) {
		return
	}
	a.said = now
	switch now {
	case annotatingOn:
		a.w.log.Info("pods are annotated with what was told of their images")
	case annotatingForbidden:
		a.w.log.Warn("no pod is annotated, because there is no right to do so: kubectl apply -f deploy/annotate.yaml grants it, and confines it", "error", err)
	case annotatingUnconfined:
		a.w.log.Warn("no pod is annotated, because the right to do so is not confined: kubectl apply -f deploy/annotate.yaml confines it, and kubectl delete clusterrolebinding clairwatch-annotate takes it back", "error", err)
	default:
		a.w.log.Warn("no pod is annotated, because it cannot be tried whether the right to do so is confined; it is tried again", "error", err)
	}
}

// sample returns a few pods at random on which the confinement can be tried.
func (a *annotator) sample() []PodID {
	var pods []PodID
	seen, assigned := 0, a.w.assigned.Load()
	for _, namespace := range a.w.pods.namespaces() {
		if len(assigned.of(namespace)) == 0 {
			continue
		}
		for _, pod := range a.w.pods.in(namespace) {
			if isFinished(pod) {
				continue
			}
			if seen++; len(pods) < confinementPods {
				pods = append(pods, pod.id())
			} else if i := rand.IntN(seen); i < len(pods) {
				pods[i] = pod.id()
			}
		}
	}
	return pods
}

// sha256Digest is what the value of an annotation is.
var sha256Digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// unreported returns the annotations that a pod lacks: for each of its containers whose image was told to everybody who
// hears of it. Image volumes have none, since a volume can have the name of a container.
func (w *Watcher) unreported(pod *pod) map[string]string {
	ls := w.assigned.Load().of(pod.namespace())
	if len(ls) == 0 || isFinished(pod) {
		return nil
	}
	var due map[string]string
	platform := w.nodes.platform(pod.node.Value())
	for _, h := range pod.pieces {
		p := h.Value()
		if p.kind == imageVolume {
			continue
		}
		digest := w.book.Manifest(image{id: p.id, platform: platform}.inLedger())
		if !sha256Digest.MatchString(digest) || pod.saysReported(p.name, digest) || !w.isReported(ls, pod, p.container, digest) {
			continue
		}
		if due == nil {
			due = make(map[string]string)
		}
		due[reportedPrefix+p.name] = digest
	}
	return due
}

// isReported says whether all of some listeners that hear of a container were told of its image, and any does.
func (w *Watcher) isReported(ls []listener, pod *pod, c container, digest string) bool {
	told := false
	for _, l := range ls {
		if !seesPod(l.look, pod) || !seesContainer(l.look, c) {
			continue
		}
		if told = w.book.Has(l.destination, digest); !told {
			return false
		}
	}
	return told
}
