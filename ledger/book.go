// Package ledger remembers what every destination was told, and turns it into few bytes and back.
//
// It is pure: no network, no clock, no Kubernetes.
package ledger

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// Book is the ledger in memory. It is safe for concurrent use.
//
// It is stored in pieces, its shards. A method that changes something makes the shards dirty in which it is
// stored. To write them is the caller's part: see Encode.
type Book struct {
	mu           sync.Mutex
	dictionary   dictionary
	bases        bases
	destinations map[Destination]*destination
	manifests    map[string]*manifest
	images       map[Image]*manifest
	unrecorded   []*manifest // longest without a record first; some may have got one since
	shards       [Shards]shard
	leftOut      []*item // those that no shard has room for
	limit        int     // Limit, but for tests
}

// destination is one that is known.
type destination struct {
	Destination
	home     int         // the shard that its next item goes to; it stands there itself
	in       [Shards]int // how many of its items are in each shard
	absent   int64       // Unix time; zero: a Scanner is it
	records  map[string]*item
	failures map[Image]*item
}

// item is a record or a failure of a destination. All of it is in one shard.
type item struct {
	of     *destination
	shard  int // nowhere: it is left out
	weight int // what it counted when it was put there
	gone   int64
	record
	failure
}

// record is what a destination was told about an image that was scanned.
type record struct {
	manifest *manifest // nil: the item is a failure
	name     string
	basis    *findings.Basis
	entries  []entry // in no order
	since    int64   // Unix time; zero: not known
	jobs     bool
	shared   bool
}

// New returns an empty book.
func New() *Book {
	return &Book{
		dictionary:   newDictionary(),
		bases:        make(bases),
		destinations: make(map[Destination]*destination),
		manifests:    make(map[string]*manifest),
		images:       make(map[Image]*manifest),
		limit:        Limit,
	}
}

// Known says whether anything was ever told to a destination. It stays so until ForgetDestination.
func (b *Book) Known(d Destination) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.destinations[d] != nil
}

// Destinations returns all that are known, in order.
func (b *Book) Destinations() []Destination {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Keys(b.destinations), Destination.compare)
}

func (d Destination) compare(o Destination) int {
	return cmp.Or(cmp.Compare(d.Key, o.Key), cmp.Compare(d.Name, o.Name))
}

// Absent returns since when no Scanner is the destination; zero while one is, and for one that is not known.
func (b *Book) Absent(d Destination) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.destinations[d]; known != nil {
		return timeOf(known.absent)
	}
	return time.Time{}
}

// SetAbsent says since when no Scanner is a destination; zero when one is. It does nothing for one that is
// not known.
func (b *Book) SetAbsent(d Destination, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.destinations[d]; known != nil && known.absent != unix(since) {
		known.absent = unix(since)
		b.touchDestination(known)
	}
}

// Record returns what a destination was told about the image with a manifest digest, and false when it was
// told nothing of it.
func (b *Book) Record(d Destination, digest string) (findings.Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	it := b.recordOf(d, digest)
	if it == nil {
		return findings.Record{}, false
	}
	return b.unpack(it.record), true
}

// Remember adds what was told and returns the shards that have to be written for it, in the order in which to
// write them. Told again it changes nothing, and returns those of them that still have to be written.
func (b *Book) Remember(told []Told) []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var concerned [Shards]bool
	for _, t := range told {
		d := b.know(t.Destination)
		if it := b.apply(d, t); it != nil {
			if it.shard != nowhere {
				concerned[it.shard] = true
			}
			continue
		}
		// What is over may stand in any shard of the destination.
		concerned[d.home] = true
		for s, n := range d.in {
			concerned[s] = concerned[s] || n > 0
		}
	}
	b.takeBack()
	return b.unsaved(concerned)
}

// apply adds one thing that was told. It returns the item of it; nil when there is none.
func (b *Book) apply(d *destination, t Told) *item {
	switch it := d.failures[t.Image]; {
	case t.Digest != "":
		if it := d.records[t.Digest]; it != nil {
			b.change(it, t.Change)
			b.rename(it, t.Name)
			return it
		}
		it := &item{of: d, record: b.pack(b.manifest(t.Digest), t.Change)}
		it.name, it.since, it.record.shared = t.Name, unix(t.At), t.Shared
		b.add(it)
		return it
	case t.Failure.Cause == "" && it != nil:
		b.drop(it)
		return nil
	case t.Failure.Cause == "":
		return nil
	case it == nil:
		it = &item{of: d, failure: t.failure()}
		b.add(it)
		return it
	default:
		if f := t.failure(); it.failure != f {
			it.failure = f
			b.touch(it.shard)
		}
		return it
	}
}

// Change changes a record without a message: nobody waits for it to be written. Without a record it does
// nothing.
func (b *Book) Change(d Destination, digest string, change findings.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it := b.recordOf(d, digest); it != nil {
		b.change(it, change)
	}
}

func (b *Book) change(it *item, change findings.Record) {
	record := b.unpack(it.record)
	changed := b.pack(it.manifest, record.With(change))
	with := b.unpack(changed) // what was hushed is untold now, which may be what it was before
	if slices.Equal(with.Entries, record.Entries) && with.Basis.Equal(record.Basis) {
		return
	}
	it.basis, it.entries = changed.basis, changed.entries
	b.reweigh(it)
	b.touch(it.shard)
}

func (b *Book) rename(it *item, name string) {
	if name != "" && name != it.name {
		it.name = name
		b.touch(it.shard)
	}
}

// HasTold says whether a destination was told of an image: of its findings, or, and heard it, that it could not be scanned
// for any cause but one.
func (b *Book) HasTold(d Destination, but string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.destinations[d]
	if known == nil {
		return false
	}
	if len(known.records) > 0 {
		return true
	}
	for _, it := range known.failures {
		if it.failure.cause != but && !it.failure.unheard {
			return true
		}
	}
	return false
}

// Has says whether there is a record, without unpacking it.
func (b *Book) Has(d Destination, digest string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.recordOf(d, digest) != nil
}

// Told counts by severity what a record says that was told and was there when it was last looked at, and says
// whether there is one. Which of it has a fix is not remembered.
func (b *Book) Told(d Destination, digest string) (findings.Counts, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	it := b.recordOf(d, digest)
	if it == nil {
		return findings.Counts{}, false
	}
	var c findings.Counts
	for _, e := range it.entries {
		if e.told() && !e.absent() {
			c = c.Plus(e.severity())
		}
	}
	return c, true
}

// Since returns when the record of an image began: At of the first Told with its digest. It is never moved by what is
// told later, nor by a time in which the image did not run, as long as the record is kept. Zero says that there is no
// record, or that it is not known: a record that version 1 of the format has stored does not say.
//
// A record begins with the first message about an image even where that held back all of its findings and told it in
// one quiet line, or where the destination does not hear of new images: it is when the destination was through with it.
func (b *Book) Since(d Destination, digest string) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it := b.recordOf(d, digest); it != nil {
		return timeOf(it.since)
	}
	return time.Time{}
}

// Held returns the records of a destination, in the order of their digests.
func (b *Book) Held(d Destination) []Held {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.destinations[d]
	if known == nil {
		return nil
	}
	held := make([]Held, 0, len(known.records))
	for digest, it := range known.records {
		held = append(held, Held{Digest: digest, Name: it.name, Clair: it.basis.Clair, Gone: timeOf(it.gone), Jobs: it.jobs, Shared: it.record.shared})
	}
	slices.SortFunc(held, func(a, b Held) int { return cmp.Compare(a.Digest, b.Digest) })
	return held
}

// SetGone says since when a destination does not run the image of a record; zero when it does.
func (b *Book) SetGone(d Destination, digest string, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setGone(b.recordOf(d, digest), unix(since))
}

func (b *Book) setGone(it *item, since int64) {
	if it != nil && it.gone != since {
		it.gone = since
		b.touch(it.shard)
	}
}

// SetJobs says whether only Jobs ran the image of a record.
func (b *Book) SetJobs(d Destination, digest string, only bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it := b.recordOf(d, digest); it != nil && it.jobs != only {
		it.jobs = only
		b.touch(it.shard)
	}
}

// Forget forgets a record.
func (b *Book) Forget(d Destination, digest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it := b.recordOf(d, digest); it != nil {
		b.drop(it)
		b.takeBack()
	}
}

// ForgetDestination forgets a destination and all that it was told.
func (b *Book) ForgetDestination(d Destination) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.destinations[d]
	if known == nil {
		return
	}
	for _, it := range known.records {
		b.drop(it)
	}
	for _, it := range known.failures {
		b.drop(it)
	}
	b.touch(known.home)
	delete(b.destinations, d)
	b.takeBack()
}

// ForgetEmpty forgets a destination of which the book has nothing but that it is known.
func (b *Book) ForgetEmpty(d Destination) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.destinations[d]
	if known == nil || len(known.records) > 0 || len(known.failures) > 0 {
		return
	}
	b.touch(known.home)
	delete(b.destinations, d)
}

// know returns a destination, which becomes known.
func (b *Book) know(d Destination) *destination {
	known := b.destinations[d]
	if known == nil {
		known = b.newDestination(d, b.emptiest())
		b.touch(known.home)
	}
	return known
}

func (b *Book) newDestination(d Destination, home int) *destination {
	known := &destination{Destination: d, home: home, records: make(map[string]*item), failures: make(map[Image]*item)}
	b.destinations[d] = known
	return known
}

func (b *Book) recordOf(d Destination, digest string) *item {
	if known := b.destinations[d]; known != nil {
		return known.records[digest]
	}
	return nil
}

// add adds an item and puts it into a shard. One that is too large for any is left out.
func (b *Book) add(it *item) {
	b.list(it)
	if weigh(it) > b.full() {
		b.leftOut = append(b.leftOut, it)
		return
	}
	shard := b.shardFor(it)
	b.put(it, shard)
	b.touch(shard)
}

// list makes an item known, in no shard as yet.
func (b *Book) list(it *item) {
	it.shard = nowhere
	if it.manifest == nil {
		it.of.failures[it.image] = it
		return
	}
	it.of.records[it.manifest.digest] = it
	it.manifest.records = append(it.manifest.records, it)
}

// drop forgets an item.
func (b *Book) drop(it *item) {
	if it.shard == nowhere {
		b.leftOut = without(b.leftOut, it)
	} else {
		b.touch(it.shard)
		b.take(it)
	}
	if it.manifest == nil {
		delete(it.of.failures, it.image)
	} else {
		delete(it.of.records, it.manifest.digest)
		it.manifest.records = without(it.manifest.records, it)
		b.keepUnrecorded(it.manifest)
	}
}

// without removes an item from a list. The newest are looked at first.
func without(items []*item, it *item) []*item {
	for i, at := range slices.Backward(items) {
		if at == it {
			return slices.Delete(items, i, i+1)
		}
	}
	return items
}

// maxTime is the last time that can be written, in the year 36812.
const maxTime = 1 << 40

// unix returns a time in seconds; zero for the zero time only.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return min(max(t.Unix(), 1), maxTime)
}

func timeOf(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}
