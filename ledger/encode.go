package ledger

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/clairwatch/clairwatch/findings"
)

// Encode returns the bytes of a shard, with the term of the leader that writes them, and the version to tell
// Saved when they are stored.
//
// A shard that has become too large gives items to others. So that a stop in between loses none of them, the
// shards named by before have to be stored before these bytes are: encoded in the same way, and told to Saved.
// When all shards are full, items are left out: see Stats.
func (b *Book) Encode(shard int, term uint64) (data []byte, version uint64, before []int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.shards[shard]
	for {
		raw, packed, things := b.encode(shard)
		lighter := s.weight / 2
		if len(packed) <= maxPacked && things <= maxThings {
			data, err := seal(term, raw, packed)
			if err != nil {
				return nil, 0, nil, fmt.Errorf("encoding shard %d of the ledger: %w", shard, err)
			}
			s.bytes, s.encoded = len(data), s.weight
			if len(data) <= b.limit {
				return data, s.changed, b.before(shard), nil
			}
			lighter = s.weight * b.full() / len(data)
		}
		if !b.relieve(shard, lighter) {
			return nil, 0, nil, fmt.Errorf("encoding shard %d of the ledger: the names of its %d destinations take more than %d bytes",
				shard, len(b.standing(shard)), b.limit)
		}
	}
}

// standing returns the destinations that a shard names, in order.
func (b *Book) standing(shard int) []*destination {
	var ds []*destination
	for _, d := range b.destinations {
		if d.in[shard] > 0 || d.home == shard {
			ds = append(ds, d)
		}
	}
	slices.SortFunc(ds, func(a, b *destination) int { return a.compare(b.Destination) })
	return ds
}

// sorted returns the items of a shard in the order in which they are written. Images with much in common have
// to be near one another, since flate looks back 32 KiB, which is a hundred images. They probably have the same
// lowest finding: its ID is a hash.
func (b *Book) sorted(shard int) (records, failures []*item) {
	lowest := make(map[*item]findings.ID)
	for _, it := range b.shards[shard].items {
		if it.manifest == nil {
			failures = append(failures, it)
			continue
		}
		records = append(records, it)
		id := findings.ID(math.MaxUint64)
		for _, e := range it.entries {
			id = min(id, b.dictionary.ids[e.place()])
		}
		lowest[it] = id
	}
	slices.SortFunc(records, func(a, b *item) int {
		return cmp.Or(cmp.Compare(lowest[a], lowest[b]), cmp.Compare(a.manifest.digest, b.manifest.digest), a.of.compare(b.of.Destination))
	})
	slices.SortFunc(failures, func(a, b *item) int {
		return cmp.Or(a.image.compare(b.image), a.of.compare(b.of.Destination))
	})
	return records, failures
}

// encode returns the two parts of the bytes of a shard as it is, and how many things it lists.
func (b *Book) encode(shard int) (raw, packed []byte, things int) {
	e := encoder{
		ids:          b.dictionary.ids,
		places:       make([]uint32, len(b.dictionary.ids)),
		destinations: make(map[*destination]int),
		manifests:    make(table[*manifest]),
		bases:        make(table[*findings.Basis]),
		clairs:       make(table[findings.ID]),
		platforms:    make(table[string]),
		names:        make(table[string]),
		times:        make(table[int64]),
		causes:       make(table[string]),
	}
	standing := b.standing(shard)
	e.count(len(standing))
	for _, d := range standing {
		e.destinations[d] = len(e.destinations)
		e.text(d.Key)
		e.text(d.Name)
		e.time(d.absent)
	}
	records, failures := b.sorted(shard)
	e.count(len(records))
	for _, it := range records {
		e.record(it)
	}
	e.count(len(failures))
	for _, it := range failures {
		e.failure(it)
	}
	return e.raw, e.packed, e.things
}

// table numbers what was written before, from 1.
type table[T comparable] map[T]int

// encoder writes what a shard holds.
type encoder struct {
	// packed is what will be compressed. raw is what no compression makes smaller: hashes.
	packed, raw []byte
	things      int

	ids          []findings.ID        // of the dictionary
	places       []uint32             // for each of them, its number among those written, from 1
	severity     []findings.Severity  // of those written, in the first record that has them
	destinations map[*destination]int // from 0: all of them are written first
	manifests    table[*manifest]
	bases        table[*findings.Basis]
	clairs       table[findings.ID]
	platforms    table[string]
	names        table[string]
	times        table[int64] // since when records are there: those of one message began together
	causes       table[string]
}

func (e *encoder) number(n int)       { e.packed = binary.AppendUvarint(e.packed, uint64(n)) }
func (e *encoder) time(t int64)       { e.packed = binary.AppendUvarint(e.packed, uint64(t)) }
func (e *encoder) hash(h findings.ID) { e.raw = binary.BigEndian.AppendUint64(e.raw, uint64(h)) }

// count writes how many things follow.
func (e *encoder) count(n int) {
	e.things += n
	e.number(n)
}

func (e *encoder) text(s string) {
	e.number(len(s))
	e.packed = append(e.packed, s...)
}

// refer writes the number of something that was written before. It says whether that is so; if not it writes
// a zero, and the thing has to follow.
func refer[T comparable](e *encoder, t table[T], thing T) bool {
	n := t[thing]
	e.number(n)
	if n == 0 {
		t[thing] = len(t) + 1
	}
	return n != 0
}

// How a digest is written.
const (
	digestText   = iota // as it is
	digestSHA256        // its 32 bytes
	digestSame          // not at all: it is that of the manifest
)

// digest writes a digest, or the id of an image with the digest of a manifest.
func (e *encoder) digest(digest, manifest string) {
	encoded, ok := strings.CutPrefix(digest, sha256Prefix)
	sum, err := hex.DecodeString(encoded)
	switch {
	case digest == manifest:
		e.number(digestSame)
	case ok && err == nil && len(sum) == 32 && strings.ToLower(encoded) == encoded:
		e.number(digestSHA256)
		e.raw = append(e.raw, sum...)
	default:
		e.number(digestText)
		e.text(digest)
	}
}

const sha256Prefix = "sha256:"

func (e *encoder) manifest(m *manifest) {
	if refer(e, e.manifests, m) {
		return
	}
	e.digest(m.digest, "")
	e.count(len(m.images))
	for _, i := range m.images {
		e.image(i, m.digest)
	}
	e.count(len(m.created))
	for _, clair := range m.created {
		e.clair(clair)
	}
}

func (e *encoder) image(i Image, manifest string) {
	e.digest(i.ID, manifest)
	if !refer(e, e.platforms, i.Platform) {
		e.text(i.Platform)
	}
}

func (e *encoder) clair(clair findings.ID) {
	if !refer(e, e.clairs, clair) {
		e.hash(clair)
	}
}

func (e *encoder) basis(basis *findings.Basis) {
	if refer(e, e.bases, basis) {
		return
	}
	e.clair(basis.Clair)
	e.text(basis.State)
	if basis.Updaters == nil {
		e.number(0)
		return
	}
	e.number(len(basis.Updaters) + 1)
	for _, u := range basis.Updaters {
		e.hash(u)
	}
}

// Flags of a record, above a bit for each severity that says whether its findings were told.
const (
	recordJobs = 1 << (worst + 1 + iota)
	recordGone
	recordShared
	recordSince // from version 2 on
)

// recordFlags returns all flags that a record of a version of the format can have.
func recordFlags(v byte) int {
	if v == 1 {
		return recordSince - 1
	}
	return 2*recordSince - 1
}

func (e *encoder) record(it *item) {
	e.number(e.destinations[it.of])
	e.manifest(it.manifest)
	e.basis(it.basis)
	if !refer(e, e.names, it.name) {
		e.text(it.name)
	}
	told := usuallyTold(it.entries)
	flags := told
	if it.jobs {
		flags |= recordJobs
	}
	if it.gone != 0 {
		flags |= recordGone
	}
	if it.record.shared {
		flags |= recordShared
	}
	if it.since != 0 {
		flags |= recordSince
	}
	e.number(flags)
	if it.gone != 0 {
		e.time(it.gone)
	}
	if it.since != 0 && !refer(e, e.times, it.since) {
		e.time(it.since)
	}
	e.entries(it.entries, told)
}

// entries writes the findings of a record: the distances of their numbers, then the severities of those that
// are written for the first time, then which of them are otherwise than usual, and how.
//
// Findings are numbered in the order in which they are written first, which puts those of a base image next to
// one another. In the order of their hashes each of these would take 7 bytes in place of 8. But for 625 images on
// 200 base images the lists would take 164 KB in place of 107, twice what that saves.
func (e *encoder) entries(entries []entry, told int) {
	known := len(e.severity)
	numbered := make([]entry, len(entries))
	for i, en := range entries {
		n := e.places[en.place()]
		if n == 0 {
			e.hash(e.ids[en.place()])
			e.severity = append(e.severity, en.severity())
			n = uint32(len(e.severity))
			e.places[en.place()] = n
		}
		numbered[i] = entry(n-1)<<placeShift | en&flagBits
	}
	slices.Sort(numbered)
	e.number(len(numbered))
	next := uint32(0)
	for _, en := range numbered {
		e.number(int(en.place() - next))
		next = en.place() + 1
	}
	for _, s := range e.severity[known:] {
		e.number(int(s))
	}
	var unusual []int
	for i, en := range numbered {
		if en&flagBits != usual(e.severity[en.place()], told) {
			unusual = append(unusual, i)
		}
	}
	e.number(len(unusual))
	at := 0
	for _, i := range unusual {
		e.number(i - at)
		e.number(int(numbered[i] & flagBits))
		at = i + 1
	}
}

// usual returns the flags of most findings of a severity: present, and told as most of it are.
func usual(s findings.Severity, told int) entry {
	return newEntry(0, findings.Entry{Severity: s, Told: told&(1<<s) != 0})
}

// usuallyTold returns the severities of which most findings were told, a bit for each.
func usuallyTold(entries []entry) int {
	var balance [worst + 1]int
	for _, en := range entries {
		if en.told() {
			balance[en.severity()]++
		} else {
			balance[en.severity()]--
		}
	}
	told := 0
	for s, n := range balance {
		if n > 0 {
			told |= 1 << s
		}
	}
	return told
}

// These go before the cause of a failure that was kept from its destination, or was told for others too, so that the form
// of the bytes is what it was. No cause begins with them.
const (
	unheardCause = "unheard "
	sharedCause  = "shared "
)

func (e *encoder) failure(it *item) {
	e.number(e.destinations[it.of])
	e.image(it.image, "")
	cause := it.cause
	if it.unheard {
		cause = unheardCause + cause
	}
	if it.failure.shared {
		cause = sharedCause + cause
	}
	if !refer(e, e.causes, cause) {
		e.text(cause)
	}
	e.time(it.next)
	e.time(it.gone)
}
