package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/clairwatch/clairwatch/ledger"
)

const (
	// nameLabel and componentLabel are how what we create can be told from what others do.
	nameLabel      = "app.kubernetes.io/name"
	componentLabel = "app.kubernetes.io/component"
	// fieldManager is who we are in the managed fields of what we write.
	fieldManager = "clairwatch"

	// shardKey is the key of a shard's ConfigMap that its bytes are under.
	shardKey = "ledger"
	// shardTimeout is how long one request may last that reads or writes a shard.
	shardTimeout = 15 * time.Second
	// shardReaders is how many shards are read at once. Each may be 700 KiB.
	shardReaders = 4
	// mostRounds is how often a write is tried that others come in between of.
	mostRounds = 5
	// mostSteps is how many writes one save may take. Each shard may have to wait for others, but not in a
	// circle.
	mostSteps = 4 * ledger.Shards
)

// shards keeps a ledger in ConfigMaps. Only the leader reads and writes them.
//
// Each write names the version that it replaces, so that it can undo nobody's: what somebody else has
// written in between is joined with ours first. Two cannot go on like that for long, because each shard
// has the term of the leader who wrote it.
//
// The term is the number of times that the Lease had changed hands, or the highest that was read from a
// shard when that is more: a Lease that was deleted begins with 0 again. Who reads a higher one than its own
// has a successor, and stops. A lower or an equal one tells nothing, because a Lease may have been deleted
// and a leader started again, and so the Lease itself is asked before anything is joined: who does not hold
// it stops. That is what makes it safe; the term makes it sure even for who cannot see that Lease any more.
// After a Lease was deleted a leader can meet the higher term of an earlier one, who had not written it yet
// or whose shards were deleted too. It stops, is started again, and has that term then.
//
// An earlier leader's write can still come first, where its successor has not written. It does no harm: it
// says what Slack has accepted, and the successor joins it. A start by itself writes nothing.
type shards struct {
	client            corev1client.ConfigMapInterface
	namespace, prefix string
	book              *ledger.Book
	lease             *lease
	metrics           *ledgerMetrics
	log               *slog.Logger

	// decoding is held while a shard is read into the book at the start: bytes that somebody has made up can take
	// much memory for a moment.
	decoding sync.Mutex

	term uint64 // that we write; load sets it
	// damaged is set when load could not understand a shard.
	damaged atomic.Bool
	all     [ledger.Shards]shard
}

// shard is what is known of a ConfigMap.
type shard struct {
	// turn has a place for who reads or writes it; what follows is theirs.
	turn chan struct{}
	// stored is the ConfigMap as it was read or written last, without what it holds. Nil: there is none.
	stored *corev1.ConfigMap
	term   uint64 // that load found in it
}

// newShards returns the shards of a ledger that belongs to a settings ConfigMap. Nothing is read yet.
func newShards(kube Kubernetes, namespace, settingsName string, book *ledger.Book, l *lease, reg prometheus.Registerer, log *slog.Logger) *shards {
	s := &shards{
		client:    kube.CoreV1().ConfigMaps(namespace),
		namespace: namespace,
		prefix:    settingsName + "-ledger-",
		book:      book,
		lease:     l,
		metrics:   newLedgerMetrics(reg, book),
		log:       log,
	}
	for n := range s.all {
		s.all[n].turn = make(chan struct{}, 1)
	}
	return s
}

// name is the name of a shard's ConfigMap.
func (s *shards) name(n int) string { return s.prefix + strconv.Itoa(n) }

// load reads all shards into the book. While the API server does not answer it tries again, until ctx ends:
// then it returns why. What cannot be understood is warned about and left out.
func (s *shards) load(ctx context.Context) error {
	left := make([]int, ledger.Shards)
	for n := range left {
		left[n] = n
	}
	for wait := time.Second; len(left) > 0; wait = min(2*wait, time.Minute) {
		var err error
		if left, err = s.readAll(ctx, left); err == nil {
			break
		}
		if ctx.Err() == nil {
			s.log.Warn("the ledger cannot be read; nothing is told before it is", "error", err, "again", wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("reading the ledger: %w", context.Cause(ctx))
		}
	}
	s.term = s.lease.term()
	for n := range s.all {
		s.term = max(s.term, s.all[n].term)
	}
	return nil
}

// readAll reads some shards, a few at once. It returns those that could not be read, and why one of them
// could not.
func (s *shards) readAll(ctx context.Context, numbers []int) (left []int, err error) {
	var errs [ledger.Shards]error
	var group errgroup.Group
	group.SetLimit(shardReaders)
	for _, n := range numbers {
		group.Go(func() error {
			errs[n] = s.read(ctx, n)
			return errs[n]
		})
	}
	err = group.Wait()
	return slices.DeleteFunc(numbers, func(n int) bool { return errs[n] == nil }), err
}

// read reads a shard into the book.
func (s *shards) read(ctx context.Context, n int) error {
	found, err := s.get(ctx, n)
	if err != nil || found == nil {
		return err
	}
	if data := found.BinaryData[shardKey]; len(data) > 0 {
		s.all[n].term, _ = ledger.Term(data) // also that of a version later than ours: its successor writes a higher one
		s.decoding.Lock()
		_, err = s.book.Load(n, data)
		s.decoding.Unlock()
		if err != nil {
			s.damaged.Store(true)
			s.warn(n, err, "the destinations in it are told an inventory")
		}
	}
	s.keep(n, found)
	return nil
}

// saveDirty writes all shards with changes that are not stored yet. One that cannot be written keeps no
// other from it.
func (s *shards) saveDirty(ctx context.Context) error {
	var errs []error
	for _, n := range s.book.Dirty() {
		if ctx.Err() != nil {
			return fmt.Errorf("writing the ledger: %w", context.Cause(ctx))
		}
		errs = append(errs, s.save(ctx, []int{n}))
	}
	return errors.Join(errs...)
}

// verify reads the stored shards again, and has what somebody has deleted or edited written anew: nothing else
// would until the next message of its destinations, and a restart before forgets them.
func (s *shards) verify(ctx context.Context) error {
	for n := range s.all {
		if err := s.verifyOne(ctx, n); err != nil {
			return fmt.Errorf("verifying the ledger: %w", err)
		}
	}
	return nil
}

func (s *shards) verifyOne(ctx context.Context, n int) error {
	shard := &s.all[n]
	select {
	case shard.turn <- struct{}{}:
		defer func() { <-shard.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if shard.stored == nil {
		return nil
	}
	found, err := s.get(ctx, n)
	switch {
	case err != nil:
		return err
	case found == nil:
		s.log.Warn("a ConfigMap of the ledger has been deleted; it is written anew, from memory", "configMap", s.namespace+"/"+s.name(n))
		shard.stored = nil
	case found.ResourceVersion == shard.stored.ResourceVersion:
		return nil
	default:
		if err := s.join(ctx, n, found); err != nil {
			return err
		}
	}
	s.book.Touch(n)
	return nil
}

// save returns when what the book holds of some shards is stored, whoever has written it. They are written
// in the order given. Nothing is tried again but what others came in between of: with an error some of it
// may be stored, and the caller saves again. A leader who has a successor loses the Lease by it, and gets
// errLeaseLost.
func (s *shards) save(ctx context.Context, numbers []int) error {
	queue := slices.Clone(numbers)
	for step := 0; len(queue) > 0; step++ {
		if step == mostSteps {
			return fmt.Errorf("writing the ledger: %d writes were not enough for the shards %v", step, queue)
		}
		before, err := s.write(ctx, queue[0])
		if err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
		if len(before) > 0 {
			queue = slices.Concat(before, queue)
			continue
		}
		queue = queue[1:]
	}
	return nil
}

// write writes a shard unless all of it is stored already, as it is when who had the turn before has
// written our change too. It writes nothing when others have to be written before, and returns these.
func (s *shards) write(ctx context.Context, n int) (before []int, err error) {
	shard := &s.all[n]
	select {
	case shard.turn <- struct{}{}:
		defer func() { <-shard.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if !slices.Contains(s.book.Dirty(), n) {
		return nil, nil
	}
	for range mostRounds {
		if shard.stored == nil {
			if err := s.create(ctx, n); err != nil {
				return nil, err
			}
		}
		data, version, before, err := s.book.Encode(n, s.term)
		if err != nil {
			return nil, err
		}
		if len(before) > 0 {
			return before, nil
		}
		err = s.update(ctx, n, data)
		switch {
		case err == nil:
			s.book.Saved(n, version)
			return nil, nil
		case apierrors.IsNotFound(err): // somebody has deleted it
			shard.stored = nil
		case apierrors.IsConflict(err):
			found, err := s.get(ctx, n)
			if err != nil {
				return nil, err
			}
			if err := s.join(ctx, n, found); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
	return nil, fmt.Errorf("ConfigMap %s: others write it all the time", s.name(n))
}

// get reads a ConfigMap. It is nil when there is none.
func (s *shards) get(ctx context.Context, n int) (*corev1.ConfigMap, error) {
	ctx, cancel := context.WithTimeout(ctx, shardTimeout)
	defer cancel()
	found, err := s.client.Get(ctx, s.name(n), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, s.explain("reading", n, err)
	}
	return found, nil
}

// create sees to it that the ConfigMap exists, and joins what it holds if it did before.
//
// It is a server-side apply because that carries the name, so that a Role can confine it; a POST does not.
// An apply can also not say that nothing must be there yet, and so it has the labels alone: what holds
// something already keeps it. All bytes are written by update, which can say what it replaces.
func (s *shards) create(ctx context.Context, n int) error {
	labels := map[string]string{nameLabel: "clairwatch", componentLabel: "ledger"}
	request, cancel := context.WithTimeout(ctx, shardTimeout)
	defer cancel()
	found, err := s.client.Apply(request, applycorev1.ConfigMap(s.name(n), s.namespace).WithLabels(labels),
		metav1.ApplyOptions{FieldManager: fieldManager, Force: true}) // our labels are ours
	if err != nil {
		s.metrics.writes.WithLabelValues(writeFailed).Inc()
		return s.explain("creating", n, err)
	}
	if len(found.BinaryData[shardKey]) == 0 {
		s.keep(n, found)
		return nil
	}
	return s.join(ctx, n, found)
}

// update replaces what a ConfigMap holds, if it is still as we know it.
func (s *shards) update(ctx context.Context, n int, data []byte) error {
	next := s.all[n].stored.DeepCopy()
	next.BinaryData = map[string][]byte{shardKey: data}
	ctx, cancel := context.WithTimeout(ctx, shardTimeout)
	defer cancel()
	stored, err := s.client.Update(ctx, next, metav1.UpdateOptions{FieldManager: fieldManager})
	if err != nil {
		outcome := writeFailed
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			outcome = writeConflict
		}
		s.metrics.writes.WithLabelValues(outcome).Inc()
		return s.explain("writing", n, err)
	}
	s.metrics.writes.WithLabelValues(writeOK).Inc()
	s.keep(n, stored)
	return nil
}

// join takes in what somebody else has written, unless that is a later leader: then we lead no more. Nil:
// the ConfigMap has been deleted.
func (s *shards) join(ctx context.Context, n int, found *corev1.ConfigMap) error {
	if found == nil {
		s.all[n].stored = nil
		return nil
	}
	data := found.BinaryData[shardKey]
	if term, err := ledger.Term(data); err == nil && term > s.term {
		s.lease.lose()
		return fmt.Errorf("ConfigMap %s has term %d, ours is %d: %w", s.name(n), term, s.term, errLeaseLost)
	}
	if err := s.lease.holds(ctx); err != nil {
		return fmt.Errorf("ConfigMap %s has been written by somebody else: %w", s.name(n), err)
	}
	if len(data) > 0 {
		if _, err := s.book.Load(n, data); err != nil {
			s.warn(n, err, "it is written anew, from memory")
		}
	}
	s.keep(n, found)
	return nil
}

// keep notes the version that the next write replaces.
func (s *shards) keep(n int, found *corev1.ConfigMap) {
	s.all[n].stored = &corev1.ConfigMap{ObjectMeta: found.ObjectMeta}
	s.all[n].stored.ManagedFields = nil // the API server keeps them by itself
}

// warn tells of a shard that cannot be understood.
func (s *shards) warn(n int, err error, effect string) {
	s.metrics.unreadable.Inc()
	s.log.Warn("a ConfigMap of the ledger cannot be read", "configMap", s.namespace+"/"+s.name(n), "error", err, "effect", effect)
}

// explain says which request failed, and what to do when it will not do by itself.
func (s *shards) explain(doing string, n int, err error) error {
	hint := ""
	switch {
	case apierrors.IsForbidden(err):
		hint = " (apply the manifest of this version, which has the rights)"
	case apierrors.IsInvalid(err): // immutable, for example
		hint = " (delete it: it is created again)"
	}
	return fmt.Errorf("%s ConfigMap %s/%s%s: %w", doing, s.namespace, s.name(n), hint, err)
}

// What can become of a write.
const (
	writeOK       = "ok"
	writeConflict = "conflict"
	writeFailed   = "failed"
)

// ledgerMetrics are the ledger's.
type ledgerMetrics struct {
	book       *ledger.Book
	writes     *prometheus.CounterVec
	unreadable prometheus.Counter
}

func newLedgerMetrics(reg prometheus.Registerer, book *ledger.Book) *ledgerMetrics {
	f := promauto.With(reg)
	m := &ledgerMetrics{
		book: book,
		writes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "clairwatch_ledger_writes_total",
			Help: "Writes of a ConfigMap of the ledger by outcome: ok, conflict (somebody else had written or deleted it), failed.",
		}, []string{"outcome"}),
		unreadable: f.NewCounter(prometheus.CounterOpts{
			Name: "clairwatch_ledger_unreadable_total",
			Help: "ConfigMaps of the ledger that could not be understood when they were read.",
		}),
	}
	for _, outcome := range []string{writeOK, writeConflict, writeFailed} {
		m.writes.WithLabelValues(outcome)
	}
	reg.MustRegister(m)
	return m
}

var (
	ledgerBytesDesc = prometheus.NewDesc("clairwatch_ledger_bytes",
		"Size of what each ConfigMap of the ledger holds.", []string{"shard"}, nil)
	ledgerRecordsDesc = prometheus.NewDesc("clairwatch_ledger_records",
		"Images that destinations were told about and that the ledger remembers.", nil, nil)
	ledgerLeftOutDesc = prometheus.NewDesc("clairwatch_ledger_left_out",
		"Records that are not stored because the ledger is full; a restart forgets them.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m *ledgerMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- ledgerBytesDesc
	ch <- ledgerRecordsDesc
	ch <- ledgerLeftOutDesc
}

// Collect implements prometheus.Collector.
func (m *ledgerMetrics) Collect(ch chan<- prometheus.Metric) {
	stats := m.book.Stats()
	for n, bytes := range stats.Bytes {
		ch <- prometheus.MustNewConstMetric(ledgerBytesDesc, prometheus.GaugeValue, float64(bytes), strconv.Itoa(n))
	}
	ch <- prometheus.MustNewConstMetric(ledgerRecordsDesc, prometheus.GaugeValue, float64(stats.Records))
	ch <- prometheus.MustNewConstMetric(ledgerLeftOutDesc, prometheus.GaugeValue, float64(stats.LeftOut))
}
