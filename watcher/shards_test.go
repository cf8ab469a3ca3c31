package watcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/quay/claircore"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
)

// keeper is a leader with its ledger.
type keeper struct {
	*leading
	*shards
	t        *testing.T
	registry *prometheus.Registry
}

// keep makes a replica the leader and has it load the ledger.
func keep(t *testing.T, r *replica) *keeper {
	t.Helper()
	k := &keeper{t: t, leading: run(t, r, 0, nil), registry: prometheus.NewRegistry()}
	k.begin(t)
	k.shards = newShards(r.kube, "clairwatch", "clairwatch", ledger.New(), r.lease, k.registry, r.logger())
	if err := k.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

// shop is a destination. All that it is told about is in one shard.
var shop = ledger.Destination{Key: "shop", Name: "default"}

// toldShop is that a destination was told of an image that could not be scanned.
func toldShop(image string) []ledger.Told {
	return []ledger.Told{{Destination: shop, Image: ledger.Image{ID: image}, Failure: ledger.Failure{Cause: "not_found"}}}
}

// tell remembers that shop was told of an image, and saves it.
func (k *keeper) tell(image string) error {
	return k.save(k.t.Context(), k.book.Remember(toldShop(image)))
}

// knows says whether shop was told of an image.
func (k *keeper) knows(image string) bool {
	_, knows := k.book.Failure(shop, ledger.Image{ID: image})
	return knows
}

func (k *keeper) mustTell(images ...string) {
	k.t.Helper()
	for _, image := range images {
		if err := k.tell(image); err != nil {
			k.t.Fatal(err)
		}
	}
}

// gather returns the metrics, each by its name and the values of its labels.
func (k *keeper) gather() map[string]float64 {
	k.t.Helper()
	families, err := k.registry.Gather()
	if err != nil {
		k.t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return got
}

func (k *keeper) metric(name string) float64 {
	k.t.Helper()
	value, ok := k.gather()[name]
	if !ok {
		k.t.Errorf("there is no metric %s", name)
	}
	return value
}

// wantStored checks of which images a daemon that starts now knows that they were told.
func (c *cluster) wantStored(images ...string) {
	c.t.Helper()
	book := ledger.New()
	for n := range ledger.Shards {
		c.mu.Lock()
		m, _ := c.objects[fmt.Sprintf("clairwatch-ledger-%d", n)].(*corev1.ConfigMap)
		c.mu.Unlock()
		if m == nil || len(m.BinaryData) == 0 {
			continue
		}
		if _, err := book.Load(n, m.BinaryData["ledger"]); err != nil {
			c.t.Error(err)
		}
	}
	var got []string
	for _, held := range book.HeldFailures(shop) {
		got = append(got, held.ID)
	}
	slices.Sort(got)
	if slices.Sort(images); !slices.Equal(got, images) {
		c.t.Errorf("stored is %q, want %q", got, images)
	}
}

// shardOf is the name of the one ConfigMap that the ledger has.
func (c *cluster) shardOf() string {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.objects {
		if strings.HasPrefix(name, "clairwatch-ledger-") {
			names = append(names, name)
		}
	}
	if len(names) != 1 {
		c.t.Fatalf("the ledger is in %q, want one", names)
	}
	return names[0]
}

// setBytes has a person write a shard.
func (c *cluster) setBytes(name string, data []byte) {
	edit(c, name, func(m *corev1.ConfigMap) { m.BinaryData = map[string][]byte{"ledger": data} })
}

// bytesOf is what a leader with a term would have written.
func bytesOf(t *testing.T, term uint64, images ...string) []byte {
	t.Helper()
	book := ledger.New()
	for _, image := range images {
		book.Remember(toldShop(image))
	}
	data, _, _, err := book.Encode(book.Dirty()[0], term)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func termOf(t *testing.T, c *cluster, name string) uint64 {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	term, err := ledger.Term(c.objects[name].(*corev1.ConfigMap).BinaryData["ledger"])
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func inCluster(t *testing.T, test func(*testing.T, *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newCluster(t)) })
}

func TestShardsRestart(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		a := keep(t, c.replica(LeaseConfig{Identity: "pod"}))
		a.mustTell("web", "api")
		name := c.shardOf()
		edit(c, name, func(m *corev1.ConfigMap) {
			if m.Labels[nameLabel] != "clairwatch" || m.Labels[componentLabel] != "ledger" {
				t.Errorf("labels %v", m.Labels)
			}
			m.Annotations = map[string]string{"note": "somebody's"}
		})
		a.mustTell("more") // conflicts with the note, and keeps it
		edit(c, name, func(m *corev1.ConfigMap) {
			if m.Annotations["note"] != "somebody's" {
				t.Error("somebody's annotation is gone")
			}
		})
		a.finish(t, nil)
		c.wantStored("web", "api", "more")
		before := c.count(name)
		b := keep(t, c.replica(LeaseConfig{Identity: "pod"}))
		if !b.knows("web") || !b.knows("more") || b.knows("other") {
			t.Error("it does not know what its predecessor told")
		}
		if err := b.saveDirty(t.Context()); err != nil {
			t.Error(err)
		}
		b.finish(t, nil)
		if after := c.count(name); after != before {
			t.Errorf("a restart writes %d times", after-before)
		}
	})
}

// TestShardsOfTwo has two daemons without an election write the same shard.
func TestShardsOfTwo(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		a, b := keep(t, c.replica(LeaseConfig{Off: true})), keep(t, c.replica(LeaseConfig{Off: true}))
		a.mustTell("web")
		b.mustTell("api") // creates it, and finds what a has written
		c.wantStored("web", "api")
		a.mustTell("more") // conflicts
		c.wantStored("web", "api", "more")
		if got := a.metric("clairwatch_ledger_writes_total conflict"); got != 1 {
			t.Errorf("%v conflicts are counted, want 1", got)
		}
		c.shardOf()
		a.finish(t, nil)
		b.finish(t, nil)
	})
}

func TestShardsOfSuccessor(t *testing.T) {
	for name, test := range map[string]struct {
		term   uint64
		holder string
		lost   bool
	}{
		"later term":                      {9, "a", true},
		"same term, Lease of another one": {3, "x", true},
		"same term, own Lease":            {3, "a", false},
		"earlier term, Lease of another":  {2, "x", true},
		"earlier term, own Lease":         {2, "a", false},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) {
				first := keep(t, c.replica(LeaseConfig{Identity: "a"}))
				first.mustTell("web")
				shard := c.shardOf()
				c.setBytes(shard, bytesOf(t, 3, "web"))
				first.finish(t, nil)
				a := keep(t, c.replica(LeaseConfig{Identity: "a"}))
				a.mustTell("api")
				if got := termOf(t, c, shard); got != 3 {
					t.Fatalf("it writes with term %d, want 3", got)
				}
				c.setBytes(shard, bytesOf(t, test.term, "other"))
				edit(c, "clairwatch", func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = &test.holder })
				err := a.tell("more")
				if !test.lost {
					if err != nil || happened(a.ended) {
						t.Errorf("it stopped with %v", err)
					}
					c.wantStored("web", "api", "other", "more")
					a.finish(t, nil)
					return
				}
				if !errors.Is(err, errLeaseLost) || !happened(a.ended) || !errors.Is(a.cause, errLeaseLost) {
					t.Errorf("got %v, and its work goes on or ended with %v", err, a.cause)
				}
				c.wantStored("other")
				a.finish(t, errLeaseLost)
			})
		})
	}
}

// TestShardsTerm takes the higher one of the Lease's and the stored one: a Lease may have been deleted.
func TestShardsTerm(t *testing.T) {
	for _, test := range []struct {
		stored      uint64
		transitions int32
		want        uint64
	}{{7, 0, 7}, {7, 11, 12}, {0, 4, 5}} { // getting the Lease from nobody is one more
		inCluster(t, func(t *testing.T, c *cluster) {
			first := keep(t, c.replica(LeaseConfig{}))
			first.mustTell("web")
			first.finish(t, nil)
			c.setBytes(c.shardOf(), bytesOf(t, test.stored, "web"))
			edit(c, "clairwatch", func(l *coordinationv1.Lease) { l.Spec.LeaseTransitions = &test.transitions })
			a := keep(t, c.replica(LeaseConfig{}))
			a.mustTell("api")
			if got := termOf(t, c, c.shardOf()); got != test.want {
				t.Errorf("%+v: term %d", test, got)
			}
			a.finish(t, nil)
		})
	}
}

func TestShardsLeaseUnknown(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		a := keep(t, c.replica(LeaseConfig{Identity: "a"}))
		a.mustTell("web")
		c.setBytes(c.shardOf(), bytesOf(t, 0, "other"))
		c.mu.Lock()
		c.refuse["clairwatch"] = apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "clairwatch", errors.New("no rule"))
		c.mu.Unlock()
		if err := a.tell("api"); err == nil || errors.Is(err, errLeaseLost) {
			t.Errorf("got %v, want that the Lease cannot be read", err)
		}
		c.wantStored("other")
		c.mu.Lock()
		delete(c.refuse, "clairwatch")
		c.mu.Unlock()
		if err := a.saveDirty(t.Context()); err != nil {
			t.Error(err)
		}
		c.wantStored("web", "other", "api")
		a.finish(t, nil)
	})
}

func TestShardsDeleted(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		a := keep(t, c.replica(LeaseConfig{}))
		a.mustTell("web")
		c.delete(c.shardOf())
		a.mustTell("api")
		c.wantStored("web", "api")
		// Deleted, and created again by somebody else with something.
		name := c.shardOf()
		c.delete(name)
		b := keep(t, c.replica(LeaseConfig{Off: true}))
		b.mustTell("other")
		a.mustTell("more")
		c.wantStored("web", "api", "other", "more")
		a.finish(t, nil)
		b.finish(t, nil)
	})
}

func TestShardsUnreadable(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		first := keep(t, c.replica(LeaseConfig{}))
		first.mustTell("web")
		first.finish(t, nil)
		name := c.shardOf()
		c.setBytes(name, []byte("something else"))
		a := keep(t, c.replica(LeaseConfig{}))
		if a.knows("web") {
			t.Error("it knows what cannot be read")
		}
		if log := a.leading.log.String(); !strings.Contains(log, "configMap=clairwatch/"+name) || !strings.Contains(log, "are told an inventory") {
			t.Errorf("the log does not say it:\n%s", log)
		}
		a.mustTell("web")
		c.wantStored("web")
		// While it runs it knows better.
		c.setBytes(name, []byte("something else"))
		a.mustTell("api")
		c.wantStored("web", "api")
		// Somebody empties it.
		edit(c, name, func(m *corev1.ConfigMap) {
			m.BinaryData, m.Data = nil, map[string]string{"ledger": "text"}
		})
		a.mustTell("more")
		c.wantStored("web", "api", "more")
		if got := a.metric("clairwatch_ledger_unreadable_total"); got != 2 {
			t.Errorf("%v are counted as unreadable, want 2", got)
		}
		a.finish(t, nil)
	})
}

func TestShardsLoadWaits(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		first := keep(t, c.replica(LeaseConfig{Off: true}))
		first.mustTell("web")
		first.finish(t, nil)
		r := c.replica(LeaseConfig{Off: true})
		r.link.set(true, 0)
		time.AfterFunc(10*time.Minute, func() { r.link.set(false, 0) })
		begin := time.Now()
		a := keep(t, r)
		if waited := time.Since(begin); waited < 10*time.Minute || waited > 13*time.Minute {
			t.Errorf("loaded after %v, want after 10 minutes and a pause", waited)
		}
		if n := strings.Count(r.log.String(), "the ledger cannot be read"); n < 5 || n > 15 {
			t.Errorf("the log says it %d times in ten minutes", n)
		}
		if !a.knows("web") {
			t.Error("it does not know what is stored")
		}
		r.link.set(true, 0)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errGrace)
		defer cancel()
		if err := a.load(ctx); !errors.Is(err, errGrace) {
			t.Errorf("got %v, want why it was ended", err)
		}
		a.finish(t, nil)
	})
}

// TestShardsCovered has many save while one write is under way: the next write is for all of them.
func TestShardsCovered(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		a := keep(t, c.replica(LeaseConfig{Off: true}))
		a.mustTell("first")
		before := c.count(c.shardOf())
		a.link.set(false, time.Second)
		done := make(chan error)
		names := []string{"first"}
		for i := range 20 {
			names = append(names, fmt.Sprintf("image-%d", i))
			go func() { done <- a.tell(names[i+1]) }()
			synctest.Wait()
		}
		for range 20 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if writes := c.count(c.shardOf()) - before; writes != 2 {
			t.Errorf("%d writes for 20 changes, want 2", writes)
		}
		c.wantStored(names...)
		a.finish(t, nil)
	})
}

func TestShardsDeadlines(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		a := keep(t, c.replica(LeaseConfig{Off: true}))
		a.mustTell("web")
		a.link.set(true, 0)
		first := make(chan error, 1)
		go func() { first <- a.tell("api") }()
		synctest.Wait()
		// Who waits for its turn gives up when it is told to.
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errGrace)
		defer cancel()
		if err := a.save(ctx, a.book.Dirty()); !errors.Is(err, errGrace) {
			t.Errorf("got %v, want why it was ended", err)
		}
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v from an API server that does not answer", err)
		}
		// The write was carried out and only the answer was lost: that is no conflict with anybody.
		a.link.set(false, time.Minute)
		if err := a.saveDirty(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v from an API server that answers too late", err)
		}
		a.link.set(false, 0)
		if err := a.saveDirty(t.Context()); err != nil {
			t.Error(err)
		}
		if len(a.book.Dirty()) > 0 {
			t.Error("not everything is saved")
		}
		c.wantStored("web", "api")
		a.finish(t, nil)
	})
}

func TestShardsAlwaysConflict(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		a := keep(t, c.replica(LeaseConfig{Off: true}))
		a.mustTell("web")
		name := c.shardOf()
		c.refuse[name] = apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, name, errors.New("always"))
		if err := a.tell("api"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want that it gives up", err)
		}
		if got := a.metric("clairwatch_ledger_writes_total conflict"); got != mostRounds {
			t.Errorf("%v tries, want %d", got, mostRounds)
		}
		a.finish(t, nil)
	})
}

// TestShardsRefused has one shard that cannot be written: the others are all the same.
func TestShardsRefused(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		a := keep(t, c.replica(LeaseConfig{Off: true}))
		a.mustTell("web")
		name := c.shardOf()
		for text, refusal := range map[string]error{
			"delete it: it is created again": apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, name, nil), // immutable
			"apply the manifest":             apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, name, errors.New("no rule")),
		} {
			c.refuse[name] = refusal
			if err := a.tell(text); err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want %q", err, text)
			}
		}
		a.fill(1, 1) // another destination, in another shard
		if err := a.saveDirty(t.Context()); err == nil {
			t.Error("the refusal is not returned")
		}
		if dirty := a.book.Dirty(); len(dirty) != 1 || a.name(dirty[0]) != name {
			t.Errorf("shards %v are not saved, want the one that is refused", dirty)
		}
		delete(c.refuse, name)
		if err := a.saveDirty(t.Context()); err != nil || len(a.book.Dirty()) > 0 {
			t.Errorf("got %v, and %v are not saved", err, a.book.Dirty())
		}
		a.finish(t, nil)
	})
}

// fill has another destination told of images, with findings that nothing else has. It saves nothing.
func (k *keeper) fill(images, each int) {
	random := rand.New(rand.NewPCG(1, uint64(each)))
	var told []ledger.Told
	for i := range images {
		entries := make([]findings.Entry, each)
		for j := range entries {
			entries[j] = findings.Entry{ID: findings.ID(random.Uint64()), Severity: claircore.High, Told: true}
		}
		told = append(told, ledger.Told{
			Destination: ledger.Destination{Key: "blog", Name: "default"},
			Digest:      fmt.Sprintf("sha256:%064x", i),
			Change:      findings.NewRecord(findings.Basis{}, entries),
		})
	}
	k.book.Remember(told)
}

// TestShardsOutgrown has a destination outgrow its shard: what is moved is stored where it goes before it is
// not where it was.
func TestShardsOutgrown(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		a := keep(t, c.replica(LeaseConfig{Off: true}))
		stored := make(map[int][]byte)
		last := 0
		c.written = func(name string) {
			var n int
			if _, err := fmt.Sscanf(name, "clairwatch-ledger-%d", &n); err != nil {
				t.Error(err)
			}
			stored[n] = c.objects[name].(*corev1.ConfigMap).BinaryData["ledger"]
			book := ledger.New()
			for n, data := range stored {
				if len(data) > 0 {
					if _, err := book.Load(n, data); err != nil {
						t.Error(err)
					}
				}
			}
			known := book.Stats().Records
			if known < last {
				t.Errorf("with the write of %s %d records become %d", name, last, known)
			}
			last = known
		}
		for _, findings := range []int{3, 300} { // all in one shard at first
			a.fill(500, findings)
			dirty := a.book.Dirty()
			slices.Reverse(dirty) // the order is not left to the caller
			if err := a.save(t.Context(), dirty); err != nil {
				t.Fatal(err)
			}
			if err := a.saveDirty(t.Context()); err != nil { // what was moved meanwhile
				t.Fatal(err)
			}
		}
		a.finish(t, nil)
		if got := a.book.Stats(); len(stored) < 2 || got.LeftOut > 0 {
			t.Errorf("%d ConfigMaps, %d records left out: nothing was outgrown", len(stored), got.LeftOut)
		}
		b := keep(t, c.replica(LeaseConfig{Off: true}))
		if got, want := b.book.Stats(), a.book.Stats(); got.Records != want.Records || got.Findings != want.Findings {
			t.Errorf("after a restart it knows %d records with %d findings, want %d with %d", got.Records, got.Findings, want.Records, want.Findings)
		}
		if dirty := b.book.Dirty(); len(dirty) > 0 {
			t.Errorf("a restart has to write %v", dirty)
		}
		b.finish(t, nil)
	})
}

func TestLedgerMetrics(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		a := keep(t, c.replica(LeaseConfig{Off: true}))
		a.fill(1, 1)
		if err := a.saveDirty(t.Context()); err != nil {
			t.Error(err)
		}
		families, err := a.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
			t.Errorf("%v %v", problems, err)
		}
		want := map[string]float64{
			"clairwatch_ledger_writes_total ok": 1, "clairwatch_ledger_writes_total conflict": 0, "clairwatch_ledger_writes_total failed": 0,
			"clairwatch_ledger_unreadable_total": 0, "clairwatch_ledger_records": 1, "clairwatch_ledger_left_out": 0,
		}
		size := len(c.objects[c.shardOf()].(*corev1.ConfigMap).BinaryData["ledger"])
		for n := range ledger.Shards {
			want[fmt.Sprintf("clairwatch_ledger_bytes %d", n)] = 0
			if a.name(n) == c.shardOf() {
				want[fmt.Sprintf("clairwatch_ledger_bytes %d", n)] = float64(size)
			}
		}
		if got := a.gather(); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		a.finish(t, nil)
	})
}
