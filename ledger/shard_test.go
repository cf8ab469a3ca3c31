package ledger

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// consistent says what is wrong with the counts that a book keeps; empty when nothing is.
func consistent(b *Book) string {
	seen := 0
	for s := range b.shards {
		weight := 0
		for _, it := range b.shards[s].items {
			if it.shard != s {
				return fmt.Sprintf("shard %d has an item of shard %d", s, it.shard)
			}
			weight += it.weight
			seen++
		}
		if weight != b.shards[s].weight {
			return fmt.Sprintf("shard %d weighs %d, not %d", s, b.shards[s].weight, weight)
		}
		if b.waitsFor(s, s) {
			return fmt.Sprintf("shard %d waits for itself", s)
		}
	}
	items := 0
	for _, d := range b.destinations {
		items += len(d.records) + len(d.failures)
		in := 0
		for _, n := range d.in {
			in += n
		}
		left := 0
		for _, it := range b.leftOut {
			if it.of == d {
				left++
			}
		}
		if in+left != len(d.records)+len(d.failures) {
			return fmt.Sprintf("%v has %d items in shards and %d left out", d.Destination, in, left)
		}
	}
	if items != seen+len(b.leftOut) {
		return fmt.Sprintf("%d items, of which %d in shards and %d left out", items, seen, len(b.leftOut))
	}
	return ""
}

// name is one thing that a destination was told.
type name struct {
	Destination
	Digest string
	Image  Image
}

// records returns every record and failure of a book.
func contents(b *Book) map[name]*item {
	all := make(map[name]*item)
	for _, d := range b.destinations {
		for digest, it := range d.records {
			all[name{d.Destination, digest, Image{}}] = it
		}
		for image, it := range d.failures {
			all[name{d.Destination, "", image}] = it
		}
	}
	return all
}

// holds says whether a record of one book is in another one with at least as much in it.
func holds(b *Book, n name, other *Book) bool {
	if n.Digest == "" {
		_, ok := b.Failure(n.Destination, n.Image)
		return ok
	}
	mine, ok := b.Record(n.Destination, n.Digest)
	theirs, _ := other.Record(n.Destination, n.Digest)
	for _, e := range theirs.Entries {
		own, found := mine.Find(e.ID)
		if !found || e.Told && !own.Told || e.Severity > own.Severity {
			return false
		}
	}
	return ok
}

// A stop between any two writes loses nothing that was stored, and invents nothing.
func TestCrashBetweenWrites(t *testing.T) {
	moved := 0
	for seed := range uint64(5) {
		w := &world{rand.New(rand.NewPCG(seed, 3)), 40, 40}
		b := New()
		b.limit = 1400
		stored := make(map[int][]byte)
		ever := make(map[name]bool)
		forgotten := make(map[name]bool)   // once: it may come back as it was stored, which is no harm
		left := make(map[Destination]bool) // destinations that were forgotten once
		was := New()
		for step := range 120 {
			// A shard that becomes smaller is one whose records grow, and faster.
			b.limit = 1400 - 6*step
			var told []Told
			var shards []int
			if w.IntN(6) == 0 {
				before, known := contents(b), b.Destinations()
				w.forget(b)
				for _, d := range known {
					left[d] = left[d] || !b.Known(d)
				}
				for n := range before {
					if _, ok := contents(b)[n]; !ok {
						forgotten[n] = true
					}
				}
			} else {
				told, shards = w.change(b)
			}
			for n := range contents(b) {
				ever[n] = true
			}
			for _, told := range told {
				if told.Digest == "" && told.Failure.Cause == "" {
					forgotten[name{told.Destination, "", told.Image}] = true
				}
			}
			if w.IntN(5) == 0 {
				shards = b.Dirty()
			}
			var save func(s int)
			save = func(s int) {
				data, version, before, err := b.Encode(s, 1)
				if err != nil {
					t.Fatal(err)
				}
				if len(data) > b.limit {
					t.Fatalf("seed %d: %d bytes", seed, len(data))
				}
				for _, s := range before {
					moved++
					save(s)
				}
				stored[s] = data
				b.Saved(s, version)

				// The process is killed here.
				is := load(t, stored)
				for n := range contents(was) {
					if !holds(is, n, was) && !forgotten[n] {
						t.Fatalf("seed %d: lost %v when shard %d was written after %v", seed, n, s, before)
					}
				}
				for _, d := range was.Destinations() {
					if !is.Known(d) && !left[d] {
						t.Fatalf("seed %d: lost %v when shard %d was written after %v", seed, d, s, before)
					}
				}
				for n := range contents(is) {
					if !ever[n] {
						t.Fatalf("seed %d: invented %v", seed, n)
					}
					if _, ok := contents(b)[n]; ok && !forgotten[n] && !holds(b, n, is) {
						t.Fatalf("seed %d: %v holds what was never told", seed, n)
					}
				}
				// A repair of what is found must not harm it either.
				repaired := maps.Clone(stored)
				is.limit = b.limit
				write(t, is, repaired, is.Dirty())
				if len(is.leftOut) > 0 {
					t.Fatalf("seed %d: this test is about a ledger with room, but %d are left out by the repair", seed, len(is.leftOut))
				}
				if again := load(t, repaired); show(again) != show(is) || again.Dirty() != nil {
					t.Fatalf("seed %d: repaired to\n%s\nfrom\n%s\ndirty %v", seed, show(again), show(is), again.Dirty())
				}
				was = is
			}
			for _, s := range shards {
				save(s)
			}
			if what := consistent(b); what != "" {
				t.Fatalf("seed %d: %s", seed, what)
			}
			if len(b.leftOut) > 0 {
				t.Fatalf("seed %d: this test is about a ledger with room, but %d are left out", seed, len(b.leftOut))
			}
			for _, told := range told {
				n := name{told.Destination, told.Digest, told.Image}
				if _, ok := contents(b)[n]; ok && !holds(was, n, b) {
					t.Fatalf("seed %d: %v is not stored when all shards are written that have to be: %v", seed, n, shards)
				}
				if !was.Known(told.Destination) {
					t.Fatalf("seed %d: %v is not known", seed, told.Destination)
				}
			}
		}
		for dirty := b.Dirty(); dirty != nil; dirty = b.Dirty() {
			write(t, b, stored, dirty)
		}
		if got := load(t, stored); show(got) != show(b) || got.Dirty() != nil {
			t.Fatalf("seed %d: stored is\n%s\nnot\n%s\ndirty %v", seed, show(got), show(b), got.Dirty())
		}
	}
	if moved < 10 {
		t.Errorf("%d times something was moved: the test tests too little", moved)
	}
}

// A destination that has no record stands in a shard all the same, and must stand in the next one before it is
// taken from there.
func TestHomeIsMovedSafely(t *testing.T) {
	b := New()
	b.limit = 4 << 10
	d := Destination{Key: "shop", Name: "default"}
	tell(b, d, 10, "a")
	b.Forget(d, digestOf("a"))
	stored := make(map[int][]byte)
	write(t, b, stored, b.Dirty())
	other := Destination{Key: "other", Name: "default"}
	b.know(other).home = 0
	for i := 0; b.destinations[other].home == 0; i++ {
		tell(b, other, 10, fmt.Sprint(i))
	}
	tell(b, d, 10, "b")
	home := b.destinations[d].home
	if home == 0 {
		t.Fatal("the destination has not been moved: the test tests nothing")
	}
	if _, _, before, err := b.Encode(0, 1); err != nil || !slices.Contains(before, home) {
		t.Errorf("before shard 0 these have to be written: %v, error %v; not %d", before, err, home)
	}
	if dirty := b.Dirty(); slices.Index(dirty, home) > slices.Index(dirty, 0) {
		t.Errorf("written in the order %v", dirty)
	}
}

// Two shards that wait for one another could never be written.
func TestNoCircle(t *testing.T) {
	b := New()
	b.limit = 4 << 10
	d := Destination{Key: "shop", Name: "default"}
	tell(b, d, 10, "a")
	write(t, b, make(map[int][]byte), b.Dirty())
	b.move(b.recordOf(d, digestOf("a")), 1)
	for i := range 40 {
		image := fmt.Sprint(i)
		tell(b, d, 10, image)
		if it := b.recordOf(d, digestOf(image)); it.shard != 1 {
			b.take(it)
			b.put(it, 1)
		}
		b.destinations[d].home = 0 // where there is room
	}
	b.touch(1)
	_, _, before, err := b.Encode(1, 1)
	if err != nil || len(before) == 0 || slices.Contains(before, 0) {
		t.Errorf("before shard 1 these have to be written: %v, error %v", before, err)
	}
	if what := consistent(b); what != "" {
		t.Error(what)
	}
}

// After a stop between two writes a thing can be in two shards. What is found in one of them only must be in the
// other one before that one is written without it.
func TestRepair(t *testing.T) {
	d, other := Destination{Key: "shop", Name: "default"}, Destination{Key: "other", Name: "default"}
	image := Image{ID: "config", Platform: "linux/amd64"}
	data := func(change func(*Book)) []byte {
		b := New()
		change(b)
		return encoded(t, b) // all of them know one destination first, which is in shard 0
	}
	for name, c := range map[string]struct {
		one, two      func(*Book)
		dirty, before []int
	}{
		"two destinations": {
			func(b *Book) { tell(b, d, 1, "a") },
			func(b *Book) { tell(b, other, 1, "a") }, nil, nil,
		},
		"one record twice": {
			func(b *Book) { tell(b, d, 1, "a") },
			func(b *Book) { tell(b, d, 1, "a") }, []int{1}, nil,
		},
		"more in the first one": {
			func(b *Book) { tell(b, d, 2, "a") },
			func(b *Book) { tell(b, d, 1, "a") }, []int{1}, nil,
		},
		"more in the second one": {
			func(b *Book) { tell(b, d, 1, "a") },
			func(b *Book) { tell(b, d, 2, "a") }, []int{0, 1}, []int{0},
		},
		"a destination twice": {
			func(b *Book) { tell(b, d, 1, "a") },
			func(b *Book) { tell(b, d, 1, "b") }, nil, nil,
		},
		"the name of a destination twice": {
			func(b *Book) { tell(b, d, 1, "a") },
			func(b *Book) { tell(b, d, 1, "a"); b.Forget(d, digestOf("a")) }, []int{1}, nil,
		},
		"absent in one": {
			func(b *Book) { tell(b, d, 1, "a"); b.SetAbsent(d, time.Unix(1, 0)) },
			func(b *Book) { tell(b, d, 1, "b") }, []int{0, 1}, nil,
		},
		"an image in the first one": {
			func(b *Book) { tell(b, d, 1, "a"); b.SetManifest(image, digestOf("a")) },
			func(b *Book) { tell(b, other, 1, "a") }, []int{1}, nil,
		},
		"an image in the second one": {
			func(b *Book) { tell(b, d, 1, "a") },
			func(b *Book) { tell(b, other, 1, "a"); b.SetManifest(image, digestOf("a")) }, []int{0}, nil,
		},
		"created in the second one": {
			func(b *Book) { tell(b, d, 1, "a") },
			func(b *Book) { tell(b, other, 1, "a"); b.SetCreated(7, digestOf("a"), true) }, []int{0}, nil,
		},
	} {
		b := New()
		for s, change := range []func(*Book){c.one, c.two} {
			if _, err := b.Load(s, data(change)); err != nil {
				t.Fatal(err)
			}
		}
		_, _, before, err := b.Encode(1, 1)
		if dirty := b.Dirty(); err != nil || !slices.Equal(dirty, c.dirty) || !slices.Equal(before, c.before) {
			t.Errorf("%s: dirty %v, before shard 1 %v, error %v", name, dirty, before, err)
		}
		stored := map[int][]byte{0: data(c.one), 1: data(c.two)}
		write(t, b, stored, b.Dirty())
		if again := load(t, stored); again.Dirty() != nil || show(again) != show(b) {
			t.Errorf("%s: repaired to\n%s\nnot\n%s\ndirty %v", name, show(again), show(b), again.Dirty())
		}
	}
}

// tell tells a destination of images that have n findings each that no other has.
func tell(b *Book, d Destination, n int, images ...string) {
	for _, image := range images {
		var entries []findings.Entry
		for i := range n {
			entries = append(entries, findings.Entry{ID: findings.NameID(fmt.Sprint(image, i)), Severity: 3, Told: true})
		}
		b.Remember([]Told{{Destination: d, Digest: digestOf(image), Change: findings.NewRecord(findings.Basis{}, entries)}})
	}
}

func TestOneShardUntilItIsFull(t *testing.T) {
	b := New()
	b.limit = 4 << 10
	stored := make(map[int][]byte)
	for d := range Shards {
		for i := range 5 {
			tell(b, Destination{Key: fmt.Sprint("ns-", d)}, 10, fmt.Sprint(d, "/", i))
		}
	}
	for _, d := range b.destinations {
		if d.in[d.home] != 5 {
			t.Errorf("%v is in shards %v", d.Destination, d.in)
		}
	}
	for s := range b.shards {
		if len(b.shards[s].items) != 5 {
			t.Errorf("shard %d has %d items, others have more", s, len(b.shards[s].items))
		}
	}
	big := Destination{Key: "ns-3"}
	for i := range 100 {
		tell(b, big, 10, fmt.Sprint("big ", i))
		write(t, b, stored, b.Dirty())
	}
	several := 0
	for _, n := range b.destinations[big].in {
		if n > 0 {
			several++
		}
	}
	if several < 3 || len(b.leftOut) > 0 || show(load(t, stored)) != show(b) {
		t.Errorf("%v is in shards %v, %d left out", big, b.destinations[big].in, len(b.leftOut))
	}
}

func TestAllShardsFull(t *testing.T) {
	b := New()
	b.limit = 1 << 10
	d := Destination{Key: "shop", Name: "default"}
	stored := make(map[int][]byte)
	var images []string
	save := func() {
		for dirty := b.Dirty(); dirty != nil; dirty = b.Dirty() {
			write(t, b, stored, dirty)
		}
		for s, data := range stored {
			if len(data) > b.limit {
				t.Fatalf("shard %d has %d bytes", s, len(data))
			}
		}
		if what := consistent(b); what != "" {
			t.Fatal(what)
		}
	}
	for i := 0; len(b.leftOut) == 0; i++ {
		images = append(images, fmt.Sprint("image ", i))
		tell(b, d, 10, images[i])
		save()
	}
	var left []string
	for _, image := range images {
		if b.destinations[d].records[digestOf(image)].shard == nowhere {
			left = append(left, image)
		}
	}
	if !slices.Equal(left, images[len(images)-len(left):]) {
		t.Errorf("the newest of %d images ought to be left out, not %v", len(images), left)
	}
	// What is left out is in memory all the same, and the rest is stored.
	is := load(t, stored)
	for _, image := range images {
		if _, ok := b.Record(d, digestOf(image)); !ok {
			t.Errorf("%s is not in memory", image)
		}
		if _, ok := is.Record(d, digestOf(image)); ok == slices.Contains(left, image) {
			t.Errorf("%s is stored: %t", image, ok)
		}
	}
	if n := b.Stats().LeftOut; n != len(left) {
		t.Errorf("%d left out, not %d", n, len(left))
	}

	// What has been gone for longest makes room.
	for i, image := range images[:20] {
		b.SetGone(d, digestOf(image), time.Unix(int64(1000-i), 0))
	}
	for i := range 5 {
		tell(b, d, 10, fmt.Sprint("later ", i))
		save()
	}
	is = load(t, stored)
	for i := range 5 {
		if _, ok := is.Record(d, digestOf(fmt.Sprint("later ", i))); !ok {
			t.Errorf("later image %d is not stored though others are gone", i)
		}
	}
	var gone []int
	for i, image := range images[:20] {
		if _, ok := is.Record(d, digestOf(image)); !ok {
			gone = append(gone, i)
		}
	}
	if len(gone) == 0 || len(gone) == 20 || gone[0]+len(gone) != 20 {
		t.Errorf("of 20 that are gone, the last of them for longest, these are left out: %v", gone)
	}
	for _, image := range images[20 : len(images)-len(left)] {
		if _, ok := is.Record(d, digestOf(image)); !ok {
			t.Errorf("%s runs and is not stored any more", image)
		}
	}

	// Room that becomes free is used.
	for _, image := range images[:20] {
		b.Forget(d, digestOf(image))
	}
	save()
	if n := b.Stats().LeftOut; n != 0 || show(load(t, stored)) != show(b) {
		t.Errorf("%d left out though there is room", n)
	}
}

func TestTooManyNames(t *testing.T) {
	b := New()
	b.limit = 100
	d := Destination{Key: digestOf("a"), Name: digestOf("b")}
	b.Remember([]Told{{Destination: d, Digest: digestOf("c")}})
	for range Shards {
		_, _, before, err := b.Encode(b.destinations[d].home, 1)
		if err != nil {
			return
		}
		if len(before) == 0 {
			break
		}
	}
	t.Error("more bytes than may be, and no error")
}

// One image must not drive all others out.
func TestTooManyFindings(t *testing.T) {
	b := New()
	b.limit = 100 << 10
	d := Destination{Key: "shop"}
	stored := make(map[int][]byte)
	tell(b, d, 10, "a", "b")
	b.SetGone(d, digestOf("a"), time.Unix(1, 0))
	tell(b, d, 13_000, "large")
	tell(b, d, 9_500, "nearly as large")
	tell(b, d, 10, "c")
	write(t, b, stored, b.Dirty())
	is := load(t, stored)
	for image, want := range map[string]bool{"a": true, "b": true, "c": true, "large": false, "nearly as large": true} {
		if _, ok := is.Record(d, digestOf(image)); ok != want {
			t.Errorf("image %s is stored: %t", image, ok)
		}
	}
	if n := b.Stats().LeftOut; n != 1 {
		t.Errorf("%d left out", n)
	}
	// Nor must one that grows.
	large, _ := b.Record(d, digestOf("large"))
	b.Change(d, digestOf("b"), large)
	write(t, b, stored, b.Dirty())
	is = load(t, stored)
	for image, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, ok := is.Record(d, digestOf(image)); ok != want {
			t.Errorf("image %s is stored: %t, after b has grown", image, ok)
		}
	}
}

// Another leader has written: what both were told stays, and the shard has to be written again.
func TestConflict(t *testing.T) {
	d := Destination{Key: "shop", Name: "default"}
	entry := func(id findings.ID, severity findings.Severity, told, absent bool) findings.Entry {
		return findings.Entry{ID: id, Severity: severity, Told: told, Absent: absent}
	}
	image := Image{ID: "config", Platform: "linux/amd64"}
	mine, theirs := New(), New()
	for _, b := range []*Book{mine, theirs} {
		basis := findings.Basis{Clair: 7, Updaters: []findings.ID{1, 2}}
		entries := []findings.Entry{entry(1, 3, true, false), entry(2, 2, false, true), entry(3, 5, true, true)}
		if b == theirs {
			entries = []findings.Entry{entry(1, 2, false, true), entry(2, 3, true, false), entry(3, 5, true, true), entry(4, 1, false, false)}
			basis.Clair = 8
		}
		b.Remember([]Told{
			{Destination: d, Digest: digestOf("a"), Change: findings.NewRecord(basis, entries)},
			{Destination: d, Image: image, Failure: Failure{Cause: "not found", Next: time.Unix(100, 0)}},
		})
		b.SetGone(d, digestOf("a"), time.Unix(50, 0))
		b.SetJobs(d, digestOf("a"), true)
		b.SetAbsent(d, time.Unix(60, 0))
		write(t, b, make(map[int][]byte), b.Dirty())
	}
	theirs.SetGone(d, digestOf("a"), time.Time{})
	theirs.SetJobs(d, digestOf("a"), false)
	theirs.SetAbsent(d, time.Time{})
	theirs.SetNext(d, image, time.Unix(200, 0))
	theirs.Remember([]Told{{Destination: d, Digest: digestOf("a"), Name: "shop/web:1"}, {Destination: d, Digest: digestOf("b")}})
	mine.Remember([]Told{{Destination: d, Digest: digestOf("c")}})
	data, _, _, err := theirs.Encode(0, 9)
	if err != nil {
		t.Fatal(err)
	}
	if term, err := mine.Load(0, data); term != 9 || err != nil {
		t.Fatalf("term %d, error %v", term, err)
	}
	record, _ := mine.Record(d, digestOf("a"))
	want := []findings.Entry{entry(1, 3, true, false), entry(2, 3, true, false), entry(3, 5, true, true), entry(4, 1, false, false)}
	if !slices.Equal(record.Entries, want) || record.Basis.Clair != 8 {
		t.Errorf("joined to %v", record)
	}
	held := mine.Held(d)
	if len(held) != 3 || slices.ContainsFunc(held, func(h Held) bool { return !h.Gone.IsZero() || h.Jobs }) || !mine.Absent(d).IsZero() {
		t.Errorf("held: %v, absent %v", held, mine.Absent(d))
	}
	if i := slices.IndexFunc(held, func(h Held) bool { return h.Digest == digestOf("a") }); held[i].Name != "shop/web:1" {
		t.Errorf("the image is named %q", held[i].Name)
	}
	if f, _ := mine.Failure(d, image); f.Next.Unix() != 200 {
		t.Errorf("the failure is %v", f)
	}
	if dirty := mine.Dirty(); !slices.Equal(dirty, []int{0}) {
		t.Errorf("dirty: %v", dirty)
	}
}

// A record only grows, so the basis of the larger one is the later one.
func TestJoinedBasis(t *testing.T) {
	none, one := []findings.Entry(nil), []findings.Entry{{ID: 1}}
	record := func(clair findings.ID, updaters int, entries []findings.Entry) findings.Record {
		return findings.Record{Basis: findings.Basis{Clair: clair, Updaters: []findings.ID{1, 2, 3}[:updaters]}, Entries: entries}
	}
	for name, c := range map[string]struct {
		a, b findings.Record
		want findings.ID
	}{
		"more findings":          {record(1, 0, one), record(2, 3, none), 1},
		"more findings, later":   {record(1, 3, none), record(2, 0, one), 2},
		"more updaters":          {record(1, 3, one), record(2, 2, one), 1},
		"more updaters, later":   {record(1, 2, one), record(2, 3, one), 2},
		"no Clair known":         {record(0, 2, one), record(2, 2, none), 2},
		"no Clair known, later":  {record(1, 2, none), record(0, 2, one), 1},
		"nobody knows the Clair": {record(0, 2, none), record(0, 2, one), 0},
	} {
		if got := joined(c.a, c.b); got.Basis.Clair != c.want {
			t.Errorf("%s: the Clair is %d", name, got.Basis.Clair)
		}
	}
}

// Two books that learn of each other know the same.
func TestJoinProperties(t *testing.T) {
	for seed := range uint64(60) {
		w := &world{rand.New(rand.NewPCG(seed, 4)), 20, 3}
		var books [2]*Book
		var stored [2]map[int][]byte
		for i := range books {
			books[i], stored[i] = New(), make(map[int][]byte)
			for range 15 {
				w.change(books[i])
			}
			write(t, books[i], stored[i], books[i].Dirty())
		}
		for i, b := range books {
			for s, data := range stored[1-i] {
				if _, err := b.Load(s, data); err != nil {
					t.Fatal(err)
				}
			}
			if what := consistent(b); what != "" {
				t.Fatalf("seed %d: %s", seed, what)
			}
		}
		for i, b := range books {
			both := contents(b)
			if len(both) != len(contents(books[1-i])) {
				t.Fatalf("seed %d: one has %d, the other %d", seed, len(both), len(contents(books[1-i])))
			}
			for n := range both {
				if !holds(b, n, books[1-i]) {
					t.Fatalf("seed %d: %v differs", seed, n)
				}
			}
			again := show(b)
			for s, data := range stored[1-i] {
				if _, err := b.Load(s, data); err != nil {
					t.Fatal(err)
				}
			}
			if show(b) != again {
				t.Fatalf("seed %d: the same again makes a difference", seed)
			}
		}
	}
}
