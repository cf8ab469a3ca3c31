package ledger

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

// digestOf returns a digest that looks like one.
func digestOf(name string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))) }

// show returns all that a book says, in an order that depends on nothing else.
func show(b *Book) string {
	var s strings.Builder
	for _, d := range b.Destinations() {
		fmt.Fprintf(&s, "%s/%s absent %v\n", d.Key, d.Name, b.Absent(d))
		for _, h := range b.Held(d) {
			record, ok := b.Record(d, h.Digest)
			fmt.Fprintf(&s, "  %v since %v %v %v\n", h, b.Since(d, h.Digest), ok, record)
			for _, i := range b.Images(h.Digest) {
				fmt.Fprintf(&s, "    %v %s\n", i, b.Manifest(i))
			}
			for clair := range findings.ID(5) {
				fmt.Fprintf(&s, "    created in %d: %t\n", clair, b.Created(clair, h.Digest))
			}
		}
		for _, h := range b.HeldFailures(d) {
			fmt.Fprintf(&s, "  %v\n", h)
		}
	}
	return s.String()
}

// load returns a new book of what is stored.
func load(t testing.TB, stored map[int][]byte) *Book {
	t.Helper()
	b := New()
	for s := range Shards {
		if data, ok := stored[s]; ok {
			if _, err := b.Load(s, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b
}

// world makes random changes of a book, in a world so small that they meet.
type world struct {
	*rand.Rand
	findings, digests int
}

func (w *world) destination() Destination {
	return Destination{Key: fmt.Sprint("shop-", w.IntN(4)), Name: []string{"default", "ops"}[w.IntN(2)]}
}

func (w *world) digest() string {
	n := w.IntN(w.digests)
	if n%7 == 0 {
		return fmt.Sprint("sha512:", n)
	}
	return digestOf(fmt.Sprint(n))
}

func (w *world) image() Image {
	n := w.IntN(w.digests)
	return Image{
		ID:       []string{digestOf(fmt.Sprint(n)), digestOf(fmt.Sprint("config", n)), fmt.Sprint("SHA256:", n), ""}[w.IntN(4)],
		Platform: []string{"linux/amd64", "linux/arm64/v8"}[w.IntN(2)],
	}
}

func (w *world) time() time.Time {
	if w.IntN(3) == 0 {
		return time.Time{}
	}
	return time.Unix(1_790_000_000+w.Int64N(100_000), 0).UTC()
}

func (w *world) record() findings.Record {
	basis := findings.Basis{Clair: findings.ID(w.IntN(4)), State: []string{"", "a", "b"}[w.IntN(3)]}
	if w.IntN(3) > 0 {
		basis.Updaters = []findings.ID{findings.ID(w.IntN(3)), 1 << 63}[:w.IntN(3)]
	}
	var entries []findings.Entry
	for range w.IntN(2 * w.findings / 3) {
		// The hash of a number is as good as that of a name.
		id := findings.NameID(fmt.Sprint(w.IntN(w.findings)))
		entries = append(entries, findings.Entry{ID: id, Severity: findings.Severity(w.IntN(6)), Told: w.IntN(4) > 0, Absent: w.IntN(5) == 0})
	}
	return findings.NewRecord(basis, entries)
}

func (w *world) told() Told {
	t := Told{Destination: w.destination()}
	if w.IntN(4) > 0 {
		t.Digest, t.Change = w.digest(), w.record()
		t.Name = []string{"", "shop/web:1", "shop/web:2"}[w.IntN(3)]
		t.Shared, t.At = t.Name == "shop/web:2", w.time()
		return t
	}
	t.Image = w.image()
	if w.IntN(3) > 0 {
		t.Failure = Failure{Cause: []string{"unauthorized", "not found"}[w.IntN(2)], Next: w.time(), Unheard: w.IntN(3) == 0}
		t.Shared = !t.Failure.Unheard
	}
	return t
}

// change changes something. It returns what was told, and the shards that have to be written for it.
func (w *world) change(b *Book) (told []Told, shards []int) {
	switch w.IntN(12) {
	case 0:
		b.SetManifest(w.image(), w.digest())
	case 1:
		b.SetCreated(findings.ID(w.IntN(4)), w.digest(), w.IntN(3) > 0)
	case 2:
		b.Change(w.destination(), w.digest(), w.record())
	case 3:
		b.SetGone(w.destination(), w.digest(), w.time())
	case 4:
		b.SetJobs(w.destination(), w.digest(), w.IntN(2) == 0)
	case 5:
		b.SetFailureGone(w.destination(), w.image(), w.time())
	case 6:
		b.SetNext(w.destination(), w.image(), w.time())
	case 7:
		b.SetAbsent(w.destination(), w.time())
	default:
		for range 1 + w.IntN(4) {
			told = append(told, w.told())
		}
		shards = b.Remember(told)
	}
	return told, shards
}

// forget forgets something.
func (w *world) forget(b *Book) {
	switch w.IntN(8) {
	case 0:
		b.ForgetDestination(w.destination())
	case 1, 2:
		b.ForgetFailure(w.destination(), w.image())
	default:
		b.Forget(w.destination(), w.digest())
	}
}

func TestTold(t *testing.T) {
	shop, ops := Destination{Key: "shop", Name: "default"}, Destination{Key: "ops", Name: "default"}
	image := Image{ID: digestOf("index"), Platform: "linux/amd64"}
	one := findings.Entry{ID: 1, Severity: 3, Told: true}
	two := findings.Entry{ID: 2, Severity: 5}
	basis := findings.Basis{Clair: 7, State: "state", Updaters: []findings.ID{}}
	next := time.Date(2026, 11, 1, 12, 0, 0, 999, time.UTC)
	b := New()

	if b.Known(shop) || b.Remember(nil) != nil {
		t.Error("something is known at the start")
	}
	first := b.Remember([]Told{{Destination: shop, Digest: digestOf("a"), Change: findings.NewRecord(basis, []findings.Entry{one})}})
	if len(first) != 1 || !b.Known(shop) || b.Known(ops) {
		t.Errorf("shards %v, known %t %t", first, b.Known(shop), b.Known(ops))
	}
	b.Remember([]Told{{Destination: shop, Digest: digestOf("a"), Change: findings.NewRecord(findings.Basis{}, []findings.Entry{two})}})
	record, ok := b.Record(shop, digestOf("a"))
	if !ok || !record.Basis.Equal(basis) || !slices.Equal(record.Entries, []findings.Entry{one, two}) {
		t.Errorf("the record is %v", record)
	}
	for _, c := range []struct{ told, want string }{{"", ""}, {"shop/web:1", "shop/web:1"}, {"", "shop/web:1"}, {"shop/web:2", "shop/web:2"}} {
		b.Remember([]Told{{Destination: shop, Digest: digestOf("a"), Name: c.told}})
		if held := b.Held(shop); len(held) != 1 || held[0].Name != c.want {
			t.Errorf("told as %q, held: %v", c.told, held)
		}
	}
	if _, ok := b.Record(ops, digestOf("a")); ok {
		t.Error("what one destination was told counts for another")
	}
	b.Remember([]Told{{Destination: ops, Image: image, Failure: Failure{Cause: "not found", Next: next}}})
	if f, ok := b.Failure(ops, image); !ok || f != (Failure{Cause: "not found", Next: next.Truncate(time.Second)}) {
		t.Errorf("the failure is %v, %t", f, ok)
	}
	b.Remember([]Told{{Destination: ops, Image: image}})
	if f, ok := b.Failure(ops, image); ok || !b.Known(ops) {
		t.Errorf("the failure is over, but there is %v; known: %t", f, b.Known(ops))
	}

	stored := make(map[int][]byte)
	write(t, b, stored, b.Dirty())
	if got := load(t, stored); !got.Known(ops) || show(got) != show(b) {
		t.Errorf("loaded:\n%s\nof:\n%s", show(got), show(b))
	}
	b.ForgetDestination(ops)
	write(t, b, stored, b.Dirty())
	if got := load(t, stored); got.Known(ops) || !got.Known(shop) {
		t.Errorf("loaded after it was forgotten:\n%s", show(got))
	}
}

// What was told once more, or is set as it was, must not be written once more: a restart writes nothing.
func TestNothingChanged(t *testing.T) {
	for seed := range uint64(40) {
		w := &world{rand.New(rand.NewPCG(seed, 1)), 30, 6}
		b := New()
		var all []Told
		for range 30 {
			told, _ := w.change(b)
			all = append(all, told...)
		}
		last := make(map[string]Told) // of several of one failure the last one stays
		for _, told := range all {
			last[fmt.Sprint(told.Destination, told.Digest, told.Image)] = told
		}
		stored := make(map[int][]byte)
		write(t, b, stored, b.Dirty())
		b = load(t, stored)
		if d := b.Dirty(); d != nil {
			t.Fatalf("seed %d: dirty after the start: %v", seed, d)
		}
		before := show(b)
		for _, d := range b.Destinations() {
			b.SetAbsent(d, b.Absent(d))
			for _, h := range b.Held(d) {
				record, _ := b.Record(d, h.Digest)
				b.SetGone(d, h.Digest, h.Gone)
				b.SetJobs(d, h.Digest, h.Jobs)
				b.Change(d, h.Digest, record)
				if shards := b.Remember([]Told{{Destination: d, Digest: h.Digest, Name: h.Name, Change: record, At: time.Unix(1, 0)}}); shards != nil {
					t.Fatalf("seed %d: told once more, to be written: %v", seed, shards)
				}
				for _, i := range b.Images(h.Digest) {
					b.SetManifest(i, b.Manifest(i))
				}
				for clair := range findings.ID(5) {
					b.SetCreated(clair, h.Digest, b.Created(clair, h.Digest))
				}
			}
			for _, h := range b.HeldFailures(d) {
				b.SetFailureGone(d, h.Image, h.Gone)
				b.SetNext(d, h.Image, h.Next)
				b.Remember([]Told{{Destination: d, Image: h.Image, Failure: h.Failure, Shared: h.Failure.Shared}})
			}
		}
		b.Forget(Destination{Key: "nobody"}, digestOf("0"))
		b.ForgetDestination(Destination{Key: "nobody"})
		b.SetAbsent(Destination{Key: "nobody"}, time.Unix(1, 0))
		if d := b.Dirty(); d != nil || show(b) != before {
			t.Fatalf("seed %d: dirty without a change: %v", seed, d)
		}
	}
}

// Told a second time because the write failed, the shards to write are the same ones.
func TestToldAgain(t *testing.T) {
	shop := Destination{Key: "shop", Name: "default"}
	image := Image{ID: digestOf("index"), Platform: "linux/amd64"}
	for name, told := range map[string]Told{
		"findings": {Destination: shop, Digest: digestOf("a")},
		"failure":  {Destination: shop, Image: image, Failure: Failure{Cause: "not found"}},
		"over":     {Destination: shop, Image: image},
	} {
		b := New()
		b.Remember([]Told{{Destination: shop, Image: image, Failure: Failure{Cause: "unauthorized"}}})
		write(t, b, make(map[int][]byte), b.Dirty())
		first := b.Remember([]Told{told})
		second := b.Remember([]Told{told})
		if len(first) != 1 || !slices.Equal(first, second) {
			t.Errorf("%s: to be written at first %v, then %v", name, first, second)
		}
		_, version, _, err := b.Encode(first[0], 1)
		if err != nil {
			t.Fatal(err)
		}
		b.Change(shop, digestOf("a"), findings.NewRecord(findings.Basis{Clair: 1}, nil))
		b.SetNext(shop, image, time.Unix(1, 0))
		changed := name != "over"
		b.Saved(first[0], version)
		if dirty := b.Dirty() != nil; dirty != changed {
			t.Errorf("%s: changed while it was written: %t, dirty: %t", name, changed, dirty)
		}
		_, later, _, err := b.Encode(first[0], 1)
		if err != nil {
			t.Fatal(err)
		}
		b.Saved(first[0], later)
		b.Saved(first[0], version)
		if dirty := b.Dirty(); dirty != nil {
			t.Errorf("%s: an earlier version was saved as well, dirty: %v", name, dirty)
		}
	}
}

func TestManifests(t *testing.T) {
	shop := Destination{Key: "shop", Name: "default"}
	index := Image{ID: digestOf("index"), Platform: "linux/amd64"}
	config := Image{ID: digestOf("config"), Platform: "linux/amd64"}
	b := New()
	b.SetManifest(index, digestOf("a"))
	b.SetManifest(config, digestOf("a"))
	b.SetCreated(7, digestOf("a"), true)
	if d := b.Dirty(); d != nil {
		t.Errorf("no record, but dirty: %v", d)
	}
	b.Remember([]Told{{Destination: shop, Digest: digestOf("a"), Change: findings.NewRecord(findings.Basis{Clair: 7}, nil)}})
	stored := make(map[int][]byte)
	write(t, b, stored, b.Dirty())
	b = load(t, stored)
	if got := b.Manifest(index); got != digestOf("a") {
		t.Errorf("the manifest is %q", got)
	}
	if got := b.Images(digestOf("a")); len(got) != 2 || !b.Created(7, digestOf("a")) || b.Created(8, digestOf("a")) {
		t.Errorf("images %v, created %t", got, b.Created(7, digestOf("a")))
	}
	b.SetManifest(index, "")
	if got := b.Images(digestOf("a")); !slices.Equal(got, []Image{config}) || b.Manifest(index) != "" {
		t.Errorf("images %v after one of them is not known any more", got)
	}
	b.SetManifest(index, digestOf("a"))
	b.SetManifest(config, digestOf("b"))
	b.SetCreated(7, digestOf("a"), false)
	if got := b.Images(digestOf("a")); !slices.Equal(got, []Image{index}) || b.Manifest(config) != digestOf("b") {
		t.Errorf("images %v after one of them became another", got)
	}
	write(t, b, stored, b.Dirty())
	b = load(t, stored)
	if b.Created(7, digestOf("a")) || b.Manifest(config) != "" {
		t.Errorf("created %t, and %q of a manifest without a record", b.Created(7, digestOf("a")), b.Manifest(config))
	}
}

// What is never told must not fill the memory.
func TestUnrecordedManifests(t *testing.T) {
	b := New()
	for i := range 2 * maxUnrecorded {
		b.SetManifest(Image{ID: fmt.Sprint(i)}, fmt.Sprint("digest of ", i))
	}
	if n := len(b.manifests); n != maxUnrecorded || len(b.images) != n || len(b.unrecorded) != n {
		t.Errorf("%d manifests of %d images are kept", n, len(b.images))
	}
	if b.Manifest(Image{ID: fmt.Sprint(2*maxUnrecorded - 1)}) == "" {
		t.Error("the latest one is forgotten")
	}
	d := Destination{Key: "shop"}
	for i := range 2 * maxUnrecorded {
		for _, digest := range []string{fmt.Sprint("digest of ", i%10), fmt.Sprint("other digest ", i)} {
			b.Remember([]Told{{Destination: d, Digest: digest}})
			b.Forget(d, digest)
		}
	}
	b.Remember([]Told{{Destination: d, Digest: "long recorded"}})
	for i := range maxUnrecorded + 1 {
		b.SetManifest(Image{ID: fmt.Sprint("image ", i)}, fmt.Sprint("digest ", i))
	}
	b.Forget(d, "long recorded")
	if b.manifests["long recorded"] == nil {
		t.Error("a manifest is forgotten at once with its last record")
	}
	for i := range maxUnrecorded {
		b.SetManifest(Image{ID: fmt.Sprint("last image ", i)}, fmt.Sprint("last digest ", i))
	}
	if b.manifests["long recorded"] != nil {
		t.Error("a manifest that has had a record once is kept for ever")
	}
	if len(b.unrecorded) > maxUnrecorded || len(b.manifests) > maxUnrecorded || len(b.images) > maxUnrecorded {
		t.Errorf("%d manifests without a record are kept, %d in all, of %d images", len(b.unrecorded), len(b.manifests), len(b.images))
	}
}

func TestStats(t *testing.T) {
	b := New()
	d := Destination{Key: "shop", Name: "default"}
	entries := []findings.Entry{{ID: 1}, {ID: 2}}
	b.Remember([]Told{
		{Destination: d, Digest: digestOf("a"), Change: findings.NewRecord(findings.Basis{}, entries)},
		{Destination: d, Digest: digestOf("b"), Change: findings.NewRecord(findings.Basis{}, entries[:1])},
		{Destination: d, Image: Image{ID: "c"}, Failure: Failure{Cause: "not found"}},
	})
	data, _, _, err := b.Encode(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := Stats{Destinations: 1, Records: 2, Failures: 1, Findings: 3}
	want.Bytes[0] = len(data)
	if got := b.Stats(); got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
}

func TestConcurrentUse(t *testing.T) {
	b := New()
	b.limit = 2 << 10
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			w := &world{rand.New(rand.NewPCG(seed, 2)), 30, 20}
			for range 40 {
				w.change(b)
				w.forget(b)
				show(b)
				for _, s := range b.Dirty() {
					data, version, _, err := b.Encode(s, 1)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := b.Load(s, data); err != nil {
						t.Error(err)
						return
					}
					b.Saved(s, version)
				}
				b.Stats()
			}
		})
	}
	wg.Wait()
}

// What was not told is not known to anybody, and what is gone is not there.
func TestWhatWasTold(t *testing.T) {
	b, d := New(), Destination{Key: "shop", Name: "default"}
	const loading, digest = "loading", "sha256:aa"
	if b.HasTold(d, loading) || b.Has(d, digest) {
		t.Error("something was told before anything was")
	}
	b.Remember([]Told{{Destination: d, Image: Image{ID: "x"}, Failure: Failure{Cause: loading}}})
	if b.HasTold(d, loading) || !b.HasTold(d, "other") {
		t.Error("a failure that does not count is counted, or one that does is not")
	}
	b.Remember([]Told{{Destination: d, Image: Image{ID: "y"}, Failure: Failure{Cause: "not found", Unheard: true}}})
	if f, known := b.Failure(d, Image{ID: "y"}); b.HasTold(d, loading) || !known || !f.Unheard || f.Cause != "not found" {
		t.Errorf("a failure that nobody heard of counts as heard, or is not known: %+v", f)
	}
	b.Remember([]Told{{Destination: d, Digest: digest, Change: findings.NewRecord(findings.Basis{}, []findings.Entry{
		{ID: 1, Severity: claircore.Critical, Told: true},
		{ID: 2, Severity: claircore.Critical, Told: true, Absent: true},
		{ID: 3, Severity: claircore.High},
		{ID: 4, Severity: claircore.High, Absent: true},
		{ID: 5, Severity: claircore.Low, Told: true},
	})}})
	got, told := b.Told(d, digest)
	if want := (findings.Counts{Critical: 1, Low: 1}); !told || got != want {
		t.Errorf("got %+v, %t, want %+v", got, told, want)
	}
	if _, told := b.Told(d, "sha256:bb"); told || !b.Has(d, digest) || !b.HasTold(d, loading) {
		t.Error("what was told is mistaken")
	}
}

// What is ignored was not told any more. That is stored, and said again it changes nothing.
func TestHushed(t *testing.T) {
	b, d, digest := New(), Destination{Key: "shop", Name: "default"}, digestOf("a")
	told := findings.Entry{ID: 1, Severity: claircore.High, Told: true}
	other := findings.Entry{ID: 2, Severity: claircore.Low, Told: true}
	b.Remember([]Told{{Destination: d, Digest: digest, Change: findings.NewRecord(findings.Basis{Clair: 7}, []findings.Entry{told, other})}})
	stored := make(map[int][]byte)
	write(t, b, stored, b.Dirty())
	hush := findings.NewRecord(findings.Basis{}, []findings.Entry{{ID: 1, Severity: claircore.High, Hushed: true}})
	b.Change(d, digest, hush)
	if len(b.Dirty()) != 1 {
		t.Fatal("what was taken back need not be stored")
	}
	write(t, b, stored, b.Dirty())
	want := []findings.Entry{{ID: 1, Severity: claircore.High}, other}
	for name, b := range map[string]*Book{"changed": b, "loaded": load(t, stored)} {
		b.Change(d, digest, hush)
		b.Remember([]Told{{Destination: d, Digest: digest, Change: hush}})
		if len(b.Dirty()) > 0 {
			t.Errorf("%s: taken back once more it has to be stored once more", name)
		}
		if record, _ := b.Record(d, digest); !slices.Equal(record.Entries, want) {
			t.Errorf("%s: the record is %+v", name, record)
		}
		if counts, _ := b.Told(d, digest); counts != (findings.Counts{Low: 1}) {
			t.Errorf("%s: counts %+v", name, counts)
		}
	}

	// A state of before says that it was told: nothing is told twice because of that.
	older := New()
	older.Remember([]Told{{Destination: d, Digest: digest, Change: findings.NewRecord(findings.Basis{Clair: 7}, []findings.Entry{told, other})}})
	for shard, data := range stored {
		if _, err := older.Load(shard, data); err != nil {
			t.Fatal(err)
		}
	}
	if record, _ := older.Record(d, digest); !slices.Equal(record.Entries, []findings.Entry{told, other}) {
		t.Errorf("joined to %+v", record)
	}
}

// A destination is forgotten when nothing is left of it, also in what is stored.
func TestForgetEmpty(t *testing.T) {
	b, d := New(), Destination{Key: "shop", Name: "default"}
	image, digest := Image{ID: "x"}, "sha256:aa"
	b.Remember([]Told{{Destination: d, Image: image, Failure: Failure{Cause: "not found"}}, {Destination: d, Digest: digest}})
	for _, forget := range []func(){func() {}, func() { b.Forget(d, digest) }} {
		forget()
		if b.ForgetEmpty(d); !b.Known(d) {
			t.Fatal("forgotten, though something was told")
		}
	}
	b.ForgetFailure(d, image)
	for _, s := range b.Dirty() {
		_, version, _, err := b.Encode(s, 1)
		if err != nil {
			t.Fatal(err)
		}
		b.Saved(s, version)
	}
	b.ForgetEmpty(d)
	if b.Known(d) || len(b.Dirty()) != 1 {
		t.Errorf("known: %v; shards to be written: %v", b.Known(d), b.Dirty())
	}
	b.ForgetEmpty(d)
}

// Only what a record or a failure began with says for whom else it was told.
func TestShared(t *testing.T) {
	b := New()
	shop, blog, ops := Destination{"shop", "default"}, Destination{"blog", "default"}, Destination{"ops", "default"}
	image := Image{ID: "config", Platform: "linux/amd64"}
	b.Remember([]Told{
		{Destination: shop, Digest: digestOf("a"), Shared: true},
		{Destination: blog, Digest: digestOf("a")},
		{Destination: ops, Digest: digestOf("a"), Shared: true},
		{Destination: shop, Image: image, Failure: Failure{Cause: "not found"}, Shared: true},
		{Destination: blog, Image: image, Failure: Failure{Cause: "not found"}},
	})
	b.Remember([]Told{{Destination: shop, Digest: digestOf("a"), Name: "shop/web:1"}, {Destination: blog, Digest: digestOf("a"), Shared: true}})
	b.SetJobs(ops, digestOf("a"), true)
	stored := make(map[int][]byte)
	want := func(sharers []Sharer, failing ...Destination) {
		t.Helper()
		write(t, b, stored, b.Dirty())
		for _, b := range []*Book{b, load(t, stored)} {
			got := b.Sharers(digestOf("a"))
			slices.SortFunc(got, func(a, b Sharer) int { return a.compare(b.Destination) })
			if !slices.Equal(got, sharers) || len(b.Sharers(digestOf("b"))) > 0 {
				t.Errorf("%v share the record, want %v", got, sharers)
			}
			if got := b.FailureSharers(image); !slices.Equal(got, failing) {
				t.Errorf("%v share the failure, want %v", got, failing)
			}
		}
	}
	want([]Sharer{{ops, true}, {shop, false}}, shop)
	b.SetGone(shop, digestOf("a"), time.Unix(1, 0))
	b.SetFailureGone(shop, image, time.Unix(1, 0))
	want([]Sharer{{ops, true}})
	b.SetFailureGone(shop, image, time.Time{})
	b.Remember([]Told{{Destination: shop, Image: image, Failure: Failure{Cause: "denied"}}}) // for another reason it is another one
	want([]Sharer{{ops, true}})
}

// Since when a record is there says what it began with. It is stored, and nothing that comes later moves it.
func TestSince(t *testing.T) {
	b, d, digest := New(), Destination{Key: "shop", Name: "default"}, digestOf("a")
	began := time.Date(2026, 11, 1, 12, 0, 0, 999, time.FixedZone("CET", 3600))
	later := began.Add(time.Hour)
	finding := findings.NewRecord(findings.Basis{Clair: 7}, []findings.Entry{{ID: 1, Severity: claircore.High, Told: true}})
	image := Image{ID: digest, Platform: "linux/amd64"}
	stored := make(map[int][]byte)
	want := func(what string, want time.Time) {
		t.Helper()
		write(t, b, stored, b.Dirty())
		for name, b := range map[string]*Book{"kept": b, "loaded": load(t, stored)} {
			if got := b.Since(d, digest); got != want {
				t.Errorf("%s, %s: since %v, want %v", what, name, got, want)
			}
		}
	}
	want("before anything was told", time.Time{})
	b.Remember([]Told{{Destination: d, Image: image, Failure: Failure{Cause: "not found"}, At: began}})
	want("told that it could not be scanned", time.Time{})
	b.Remember([]Told{{Destination: d, Image: image, At: began}, {Destination: d, Digest: digest, At: began}})
	want("told with nothing in it", began.Truncate(time.Second).UTC())
	b.Remember([]Told{{Destination: d, Digest: digest, Name: "shop/web:1", Change: finding, Shared: true, At: later}})
	b.Change(d, digest, findings.NewRecord(findings.Basis{Clair: 8}, []findings.Entry{{ID: 2, Severity: claircore.High}}))
	b.SetJobs(d, digest, true)
	want("told more of it", began.Truncate(time.Second).UTC())
	b.SetGone(d, digest, later)
	want("gone", began.Truncate(time.Second).UTC())
	b.SetGone(d, digest, time.Time{})
	b.Remember([]Told{{Destination: d, Digest: digest, Change: finding, At: later}})
	want("back again", began.Truncate(time.Second).UTC())
	b.Forget(d, digest)
	want("forgotten", time.Time{})
	b.Remember([]Told{{Destination: d, Digest: digest, Change: finding}})
	b.Remember([]Told{{Destination: d, Digest: digest, Change: finding, At: later}})
	want("told at a time that is not known, and later", time.Time{})
	if other := (Destination{Key: "blog", Name: "default"}); !b.Since(other, digest).IsZero() || !b.Since(d, digestOf("b")).IsZero() {
		t.Error("what was told to nobody has a time")
	}
}

// Of two records of one image the one that is there for longer says since when; one that does not know says nothing.
func TestSinceOfTwo(t *testing.T) {
	d, digest := Destination{Key: "shop", Name: "default"}, digestOf("a")
	early, late := time.Unix(1_790_000_000, 0).UTC(), time.Unix(1_790_000_001, 0).UTC()
	for _, c := range []struct{ own, other, want time.Time }{
		{early, early, early}, {early, late, early}, {late, early, early}, {time.Time{}, late, late}, {late, time.Time{}, late}, {},
	} {
		b, other := New(), New()
		stored := make(map[int][]byte)
		write(t, other, stored, other.Remember([]Told{{Destination: d, Digest: digest, At: c.other}}))
		write(t, b, make(map[int][]byte), b.Remember([]Told{{Destination: d, Digest: digest, At: c.own}}))
		for shard, data := range stored {
			if _, err := b.Load(shard, data); err != nil {
				t.Fatal(err)
			}
		}
		write(t, b, stored, b.Dirty())
		if got := load(t, stored).Since(d, digest); b.Since(d, digest) != c.want || got != c.want {
			t.Errorf("%v and %v: since %v, stored %v", c.own, c.other, b.Since(d, digest), got)
		}
	}
}
