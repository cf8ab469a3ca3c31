// Package watcher keeps what teams were told in step with what runs: it watches pods, has their images
// scanned, compares the findings with what was told, and tells the rest. It alone knows Kubernetes.
//
// Every cause ends in the same key of the same queue: an image in a namespace. Handling a key makes the
// world right whatever the cause was.
package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
)

// senders is how many channels are sent to at once, so that a few that do not answer hold up no other.
// A key of the settings has 50 at the most.
const senders = 128

// mostLooks is how many images are looked at at once. Nobody waits in a look without a slot for what is waited for: see
// line. So this is only for what nobody expects, such as a hundred Clairs that hang.
const mostLooks = 1024

// nodePatience is how long a pod waits for its node to become known. Nodes are listed before pods, so
// this happens only when both are new.
const nodePatience = time.Minute

// errGrace is why work in hand ends when the watcher has been stopped for too long.
var errGrace = errors.New("stopping: the grace period is over")

// Watcher is the daemon's heart. Make one with New and Run it once.
type Watcher struct {
	cfg      Config
	log      *slog.Logger
	metrics  *metrics
	pods     *pods
	settings cache.TypedSharedIndexInformer[*corev1.ConfigMap]
	nodes    *nodes
	clairs   *clairs

	lease   *lease
	leading atomic.Bool
	// leadingSince is when it began to lead, in seconds since 1970.
	leadingSince atomic.Int64
	book         *ledger.Book // what was told
	shards       *shards      // where that is kept
	// The sweep's own: since when images do not run of which the ledger says that they do, and whether the log
	// has said that the ledger is full.
	missing    map[heldImage]time.Time
	ledgerFull bool
	// forgotten are the destinations of which the ledger knows nothing because a part of it could not be read.
	forgotten map[ledger.Destination]bool
	// fromBefore are the images that ran when we began to lead and have not been looked at.
	fromBefore imageSet

	images   workqueue.TypedRateLimitingInterface[image]     // queue 1: what to look at
	channels workqueue.TypedDelayingInterface[slack.Webhook] // queue 2: whom to tell
	// imageBackoff is that of queue 1.
	imageBackoff workqueue.TypedRateLimiter[image]
	// channelBackoff is apart from its queue, because a channel that failed is not to be tried before its
	// time when more news comes.
	channelBackoff workqueue.TypedRateLimiter[slack.Webhook]

	assigned  atomic.Pointer[assignment]
	assigning sync.Mutex // held while settings are put in force
	// written is the settings ConfigMap; nil: there is none. Guarded by assigning.
	written *corev1.ConfigMap
	// reassigned has something in it after settings were put in force.
	reassigned chan struct{}
	// ended is until when ignores have been looked for that have ended; the sweep's own.
	ended     time.Time
	progress  *progress
	judged    judgements
	rounds    rounds
	pending   *pending
	unwatched sync.Map    // namespaces without a Scanner of which the log has spoken
	unkept    atomic.Bool // the log has said that findings are not kept for want of room
	unpinned  sync.Map    // namespaces with image volumes that cannot be identified of which the log has spoken

	// looks counts those since memory was last given back, by freeMemory.
	looks      atomic.Int64
	freeMemory func()

	annotator   *annotator // nil: pods are not annotated
	pullSecrets *pullSecrets
	secretsUsed sync.Map // of an image the secretsUse when it was last looked at or compared
	// presented is the edition of the daemon's own credentials with which images were looked at; the sweep's own.
	presented string

	read chan readNotification // what is to be deleted at Clair
	// hintRate is how many webhooks a second may have Clair asked in the long run.
	hintRate rate.Limit

	mu         sync.Mutex
	deliveries map[slack.Webhook]delivery

	// The handlers have seen the list.
	settingsSeen, nodesSeen, podsSeen cache.DoneChecker
}

// New returns a Watcher that has not begun to watch.
func New(cfg Config) (*Watcher, error) {
	w := &Watcher{
		cfg:        cfg,
		log:        cfg.Log,
		progress:   newProgress(),
		pending:    newPending(),
		deliveries: make(map[slack.Webhook]delivery),
		read:       make(chan readNotification, mostDeletions),
		hintRate:   hintsPerSecond,
		book:       ledger.New(),
		missing:    make(map[heldImage]time.Time),
		reassigned: make(chan struct{}, 1),
		judged:     judgements{of: make(map[heldImage]judgement)},
		freeMemory: debug.FreeOSMemory,
	}
	w.lease = newLease(cfg.Kubernetes, cfg.Namespace, cfg.Lease, cfg.Log)
	w.cfg.Lease = w.lease.cfg // with what its zero values mean
	w.shards = newShards(cfg.Kubernetes, cfg.Namespace, cfg.SettingsName, w.book, w.lease, cfg.Metrics, cfg.Log)
	w.pullSecrets = newPullSecrets(cfg.Kubernetes, secretSweeps*tenthOf(cfg.RemovalGrace))
	w.clairs = newClairs(cfg.workers(), w.dial, func(img image) { w.images.Add(img) }, w.clairEvents)
	w.assigned.Store(&assignment{})
	w.metrics = newMetrics(cfg.Metrics, w)
	queues := newQueueMetrics(cfg.Metrics)
	w.imageBackoff = newBackoff[image]()
	w.images = newImageQueue(w.imageBackoff, queues)
	w.channels = workqueue.NewTypedDelayingQueueWithConfig(
		workqueue.TypedDelayingQueueConfig[slack.Webhook]{Name: "channels", MetricsProvider: queues})
	w.channelBackoff = newBackoff[slack.Webhook]()

	if cfg.AnnotatePods {
		w.annotator = newAnnotator(w, queues)
	}
	var err error
	if w.nodes, err = newNodes(cfg.Metadata); err != nil {
		return nil, err
	}
	if w.pods, err = newPods(cfg.Kubernetes, cfg.AnnotatePods, cfg.Log); err != nil {
		return nil, err
	}
	for resource, informer := range map[string]cache.SharedIndexInformer{"pods": w.pods.informer, "nodes": w.nodes.informer} {
		if err := w.countWatchErrors(resource, informer); err != nil {
			return nil, err
		}
	}
	w.settings = newSettingsInformer(cfg.Kubernetes, cfg.Namespace, cfg.SettingsName)
	if err := w.countWatchErrors("settings", w.settings); err != nil {
		return nil, err
	}
	return w, w.handle()
}

// handle registers the handlers. They only add keys to queue 1.
func (w *Watcher) handle() error {
	settingsSeen, err := w.settings.AddTypedEventHandler(w.settingsHandler())
	if err != nil {
		return fmt.Errorf("watching settings: %w", err)
	}
	nodesSeen, err := w.nodes.onChange(func(node string) {
		for _, pod := range w.pods.on(node) {
			w.appeared(pod)
			w.disappeared(pod) // as one whose node is not known
		}
	})
	if err != nil {
		return fmt.Errorf("watching nodes: %w", err)
	}
	podsSeen, err := w.pods.informer.AddEventHandler(w.podHandler())
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	w.settingsSeen, w.nodesSeen, w.podsSeen = settingsSeen.HasSyncedChecker(), nodesSeen.HasSyncedChecker(), podsSeen.HasSyncedChecker()
	return nil
}

// lookAllAt queues the images that a Clair reports on, together: what comes of it is one piece of news.
func (w *Watcher) lookAllAt(base string) { w.lookTogether(w.imagesAt(base)) }

// lookTogether queues images to be looked at from the beginning for one reason.
func (w *Watcher) lookTogether(imgs []image) {
	for _, img := range imgs { // first: a look that takes the mark away is one from the beginning
		w.rounds.begin(img)
	}
	w.progress.markDue(imgs)
	for _, img := range imgs {
		w.images.Add(img)
	}
}

// lookAnew queues an image to be looked at from the beginning, at all of its Clairs, also where a look has begun.
func (w *Watcher) lookAnew(img image) {
	w.rounds.begin(img)
	w.images.Add(img)
}

// look queues an image. A node that is not known yet is given time to become so. Who does not lead only notes
// what runs, and queues all of it when it begins to.
func (w *Watcher) look(img image) {
	if !w.leading.Load() {
		return
	}
	w.rounds.begin(img)
	if img.platform == (registry.Platform{}) && w.progress.isUntried(img) {
		w.images.AddAfter(img, nodePatience)
		return
	}
	w.images.Add(img)
}

// running returns the pods that run an image where anybody looks at it, from the cache.
func (w *Watcher) running(img image) []*pod {
	ls := w.assigned.Load().of(img.namespace)
	pods := w.using(img)
	if len(ls) == 0 || slices.ContainsFunc(ls, func(l listener) bool { return l.look == settings.DefaultLook() }) {
		return pods
	}
	return slices.DeleteFunc(pods, func(pod *pod) bool { return !seenBy(ls, pod, img.id) })
}

// using returns the pods that have an image, whether anybody looks at it or not, from the cache.
func (w *Watcher) using(img image) []*pod {
	var on []*pod
	for _, pod := range w.pods.with(img.namespace, img.id) {
		if w.nodes.platform(pod.node.Value()) == img.platform {
			on = append(on, pod)
		}
	}
	return on
}

// Synced says whether the handlers have seen everything that existed at the start.
func (w *Watcher) Synced() bool {
	return cache.IsDone(w.settingsSeen) && cache.IsDone(w.nodesSeen) && cache.IsDone(w.podsSeen)
}

// Run watches until ctx ends, and tells while it leads. At the end it lets scans and messages in hand finish
// within the grace period; what is still queued is found again by the next start. It returns nil when it was
// stopped that way, and an error when another one leads in its place.
func (w *Watcher) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// Settings and nodes come first: without them a pod's images would be looked at twice.
	var informers sync.WaitGroup
	defer informers.Wait()
	informers.Go(func() { w.settings.RunWithContext(ctx) })
	informers.Go(func() { w.nodes.informer.RunWithContext(ctx) })
	defer w.images.ShutDown()
	defer w.channels.ShutDown()
	defer w.annotator.shutDown()
	if !cache.WaitFor(ctx, "", w.settingsSeen, w.nodesSeen) {
		return nil
	}
	informers.Go(func() { w.pods.informer.RunWithContext(ctx) })
	if !cache.WaitFor(ctx, "", w.podsSeen) {
		return nil
	}
	if w.assigned.Load().isEmpty() {
		w.log.Warn("no namespace is watched: give the settings ConfigMap a key with the name of a namespace",
			"configMap", w.cfg.Namespace+"/"+w.cfg.SettingsName)
	}
	err := w.lease.run(ctx, w.lead)
	stop() // the informers go on when the Lease is lost, and are waited for below
	return err
}

// lead tells until ctx ends.
func (w *Watcher) lead(ctx context.Context) error {
	if err := w.shards.load(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	w.rereadWebhooks() // who stands by does not follow the files
	w.leadingSince.Store(time.Now().Unix())
	w.forgotten = w.forgottenDestinations()
	w.progress.waitFromNow()
	w.leading.Store(true) // from here on the handlers queue what they note; nobody takes it out yet
	defer w.leading.Store(false)
	known := w.progress.filter(func(image) bool { return true })
	slices.SortFunc(known, compareImages) // so that two starts do the same
	for _, img := range known {
		if w.wasScanned(img, w.listeners(img)) {
			w.progress.admitKnown(img)
		}
	}
	for _, img := range known {
		w.fromBefore.put(img)
		w.look(img)
	}
	remembered := w.book.Stats()
	w.log.Info("watching", "destinations", remembered.Destinations, "records", remembered.Records)

	work, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	var wg sync.WaitGroup
	wg.Go(func() { drain(ctx, w.images, mostLooks, func(img image) { w.work(work, img) }) })
	wg.Go(func() { drain(ctx, w.channels, senders, func(ch slack.Webhook) { w.flush(work, ch) }) })
	wg.Go(func() { w.sayMistakesUntil(ctx) })
	wg.Go(func() { w.deleteRead(ctx) })
	wg.Go(func() { w.sweepUntil(ctx, work) })
	wg.Go(func() { w.probeUntil(ctx, work) })
	wg.Go(func() { w.deleteUntil(ctx, work) })
	wg.Go(func() { w.annotator.run(ctx, work) })
	<-ctx.Done()
	w.images.ShutDown()
	w.channels.ShutDown()
	w.annotator.shutDown()
	if errors.Is(context.Cause(ctx), errLeaseLost) { // another one is at it already
		w.leading.Store(false)
		abort(errLeaseLost)
	}
	defer time.AfterFunc(w.cfg.Grace, func() { abort(errGrace) }).Stop()
	wg.Wait()
	if err := w.shards.saveDirty(work); err != nil {
		w.log.Debug("could not record everything at the end; the next start finds it again", "error", err)
	}
	return nil
}

// forgottenDestinations are those of the settings that are not in the ledger, where a part of it could not be
// read.
func (w *Watcher) forgottenDestinations() map[ledger.Destination]bool {
	forgotten := make(map[ledger.Destination]bool)
	if !w.shards.damaged.Load() {
		return forgotten
	}
	for _, d := range w.assigned.Load().destinations(w.pods.namespaces()) {
		if !w.book.Known(d) {
			forgotten[d] = true
		}
	}
	return forgotten
}

// drain handles keys until the queue is shut down, so many at once at the most, each in a goroutine of its own. A queue
// that is shut down still hands out what it holds; that is left for the next start.
func drain[K comparable](ctx context.Context, queue workqueue.TypedInterface[K], most int, handle func(K)) {
	var handling sync.WaitGroup
	defer handling.Wait()
	places := make(chan struct{}, most)
	for {
		places <- struct{}{}
		key, shutdown := queue.Get()
		if shutdown {
			return
		}
		handling.Go(func() {
			defer func() { <-places }()
			if ctx.Err() == nil {
				handle(key)
			}
			queue.Done(key)
		})
	}
}

// work looks at one image and decides what happens to it next.
func (w *Watcher) work(ctx context.Context, img image) {
	w.looks.Add(1)
	began := w.progress.beginLook()
	pods, listeners := w.running(img), w.listeners(img)
	if len(pods) > 0 && len(listeners) > 0 {
		if w.fromBefore.take(img) {
			if next, cause := w.toldFailure(img, listeners); cause != "" {
				w.progress.fail(img, State(cause), true)
				w.progress.plan(img, next)
				w.progress.markLooked(img, began)
				w.images.AddAfter(img, time.Until(next))
				w.nudge(img.namespace)
				return
			}
		}
		o := w.scan(ctx, img, pods, listeners, w.rounds.resume(img))
		w.clairs.abandon(img, append(o.away, o.inLine...))
		if len(o.unread) > 0 {
			w.pause(ctx, img, o)
		} else {
			w.settle(ctx, img, o)
			w.progress.markLooked(img, began)
			for _, pod := range pods { // nothing is sent of what was told elsewhere, or is not wanted
				w.annotator.look(pod)
			}
		}
	} else {
		w.clairs.abandon(img, nil)
		w.dismiss(img)
	}
	w.nudge(img.namespace)
}

// dismiss forgets an image that no longer runs, or that nobody wants to hear about. What is known about it is
// told all the same; that it could not be scanned, or that it is again, is of no use to anybody any more.
func (w *Watcher) dismiss(img image) {
	for _, l := range w.assigned.Load().of(img.namespace) {
		w.withdrawFailure(l.destination, img)
		w.withdrawRecovery(l.destination, img)
	}
	w.images.Forget(img)
	w.rounds.forget(img)
	w.fromBefore.take(img)
	w.secretsUsed.Delete(img)
	if next, waits := w.progress.forget(img); waits {
		w.look(next)
	}
	// A pod that has appeared before this found the image known and left it at that.
	for _, pod := range w.running(img) {
		w.appeared(pod)
	}
}
