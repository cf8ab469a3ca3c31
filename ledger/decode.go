package ledger

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/clairwatch/clairwatch/findings"
)

// page is what the bytes of a shard say.
type page struct {
	destinations []pageDestination
	records      []pageRecord
	failures     []pageFailure
	manifests    []*pageManifest
	ids          []findings.ID // the dictionary of its entries
}

type pageDestination struct {
	Destination
	absent int64
}

type pageManifest struct {
	digest  string
	images  []Image
	created []findings.ID
}

type pageRecord struct {
	of       int // of the destinations
	manifest *pageManifest
	name     string
	basis    *findings.Basis
	entries  []entry
	since    int64
	jobs     bool
	shared   bool
	gone     int64
}

type pageFailure struct {
	of int
	failure
	gone int64
}

// decode reads what seal was given, of a version from oldest on. It allocates a small multiple of its input at most.
func decode(v byte, raw, packed []byte) (page, error) {
	d := decoder{flags: recordFlags(v), raw: raw, packed: packed}
	p := page{
		destinations: list(&d, d.destination),
		records:      list(&d, d.record),
		failures:     list(&d, d.failure),
	}
	if d.err == nil && len(d.raw)+len(d.packed) > 0 {
		d.fail("more than it says")
	}
	p.manifests, p.ids = d.manifests, d.ids
	if d.err == nil && p.repeats() {
		d.fail("one thing twice")
	}
	if d.err != nil {
		return page{}, fmt.Errorf("decoding: %w", d.err)
	}
	return p, nil
}

// repeats says whether anything is listed twice.
func (p page) repeats() bool {
	type named struct {
		of    int
		named any
	}
	return !distinct(p.ids, func(id findings.ID) findings.ID { return id }) ||
		!distinct(p.destinations, func(d pageDestination) Destination { return d.Destination }) ||
		!distinct(p.manifests, func(m *pageManifest) string { return m.digest }) ||
		!distinct(p.records, func(r pageRecord) named { return named{r.of, r.manifest} }) ||
		!distinct(p.failures, func(f pageFailure) named { return named{f.of, f.image} })
}

func distinct[T any, K comparable](things []T, key func(T) K) bool {
	seen := make(map[K]bool, len(things))
	for _, t := range things {
		seen[key(t)] = true
	}
	return len(seen) == len(things)
}

// decoder reads what an encoder wrote. After the first error it reads zeros.
type decoder struct {
	flags       int // those that a record can have
	packed, raw []byte
	things      int // how many were listed
	err         error

	destinations int // how many
	ids          []findings.ID
	severity     []findings.Severity
	manifests    []*pageManifest
	bases        []*findings.Basis
	clairs       []findings.ID
	platforms    []string
	names        []string
	times        []int64
	causes       []string
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%s: %w", what, ErrUnreadable)
	}
	d.packed, d.raw = nil, nil
}

func (d *decoder) number(most int) int {
	n, size := binary.Uvarint(d.packed)
	if size <= 0 || n > uint64(most) {
		d.fail("a number out of range")
		return 0
	}
	d.packed = d.packed[size:]
	return int(n)
}

// count reads the number of things that follow, each of which takes a byte at least.
func (d *decoder) count() int { return d.number(len(d.packed)) }

func (d *decoder) time() int64 { return int64(d.number(maxTime)) }

func (d *decoder) text() string {
	n := d.count()
	if d.err != nil || n > len(d.packed) {
		d.fail("a text that is cut off")
		return ""
	}
	s := string(d.packed[:n])
	d.packed = d.packed[n:]
	return s
}

// hashes reads n bytes of the raw part.
func (d *decoder) hashes(n int) []byte {
	if n > len(d.raw) {
		d.fail("a hash that is cut off")
		return make([]byte, n)
	}
	h := d.raw[:n]
	d.raw = d.raw[n:]
	return h
}

func (d *decoder) hash() findings.ID { return findings.ID(binary.BigEndian.Uint64(d.hashes(8))) }

// known reads the number of something that was read before and returns it, or reads it by another function.
func known[T any](d *decoder, table *[]T, read func() T) T {
	n := d.number(len(*table))
	if n > 0 {
		return (*table)[n-1]
	}
	thing := read()
	if d.err == nil {
		*table = append(*table, thing)
	}
	return thing
}

// list reads how many things follow, and them.
func list[T any](d *decoder, read func() T) []T {
	var things []T
	n := d.count()
	d.things += n
	if d.things > maxThings {
		d.fail("too many things")
		return nil
	}
	for range n {
		thing := read()
		if d.err != nil {
			return nil
		}
		things = append(things, thing)
	}
	return things
}

func (d *decoder) destination() pageDestination {
	d.destinations++
	return pageDestination{Destination: Destination{Key: d.text(), Name: d.text()}, absent: d.time()}
}

// of reads the number of a destination.
func (d *decoder) of() int {
	if d.destinations == 0 {
		d.fail("something of no destination")
		return 0
	}
	return d.number(d.destinations - 1)
}

func (d *decoder) digest(manifest string) string {
	switch d.number(digestSame) {
	case digestSame:
		return manifest
	case digestSHA256:
		return sha256Prefix + hex.EncodeToString(d.hashes(32))
	default:
		return d.text()
	}
}

func (d *decoder) manifest() *pageManifest {
	return known(d, &d.manifests, func() *pageManifest {
		m := &pageManifest{digest: d.digest("")}
		m.images = list(d, func() Image { return d.image(m.digest) })
		m.created = list(d, d.clair)
		return m
	})
}

func (d *decoder) image(manifest string) Image {
	return Image{ID: d.digest(manifest), Platform: known(d, &d.platforms, d.text)}
}

func (d *decoder) clair() findings.ID { return known(d, &d.clairs, d.hash) }

func (d *decoder) basis() *findings.Basis {
	return known(d, &d.bases, func() *findings.Basis {
		basis := &findings.Basis{Clair: d.clair(), State: d.text()}
		n := d.number(1 + len(d.raw)/8)
		if n == 0 {
			return basis
		}
		basis.Updaters = make([]findings.ID, n-1)
		for i := range basis.Updaters {
			basis.Updaters[i] = d.hash()
		}
		return basis
	})
}

func (d *decoder) record() pageRecord {
	r := pageRecord{of: d.of(), manifest: d.manifest(), basis: d.basis(), name: known(d, &d.names, d.text)}
	flags := d.number(d.flags)
	r.jobs, r.shared = flags&recordJobs != 0, flags&recordShared != 0
	if flags&recordGone != 0 {
		r.gone = d.time()
	}
	if flags&recordSince != 0 {
		r.since = known(d, &d.times, d.time)
	}
	r.entries = d.entries(flags)
	return r
}

func (d *decoder) entries(told int) []entry {
	n := d.count()
	entries := make([]entry, n)
	known := len(d.severity)
	next := 0
	for i := range entries {
		place := next + d.number(len(d.ids)-next)
		if place == len(d.ids) {
			d.ids = append(d.ids, d.hash())
		}
		entries[i] = entry(place) << placeShift
		next = place + 1
		if d.err != nil {
			return nil
		}
	}
	for range d.ids[known:] {
		d.severity = append(d.severity, findings.Severity(d.number(int(worst))))
	}
	if d.err != nil {
		return nil
	}
	for i, en := range entries {
		entries[i] = en | usual(d.severity[en.place()], told)
	}
	at := 0
	for range d.count() {
		at += d.number(n)
		flags := entry(d.number(flagBits))
		if d.err != nil || at >= n || flags>>severityShift > entry(worst) {
			d.fail("an unusual finding that is not there")
			return nil
		}
		entries[at] = entries[at]&^flagBits | flags
		at++
	}
	return entries
}

func (d *decoder) failure() pageFailure {
	f := pageFailure{
		of:      d.of(),
		failure: failure{image: d.image(""), cause: known(d, &d.causes, d.text), next: d.time()},
		gone:    d.time(),
	}
	f.cause, f.shared = strings.CutPrefix(f.cause, sharedCause)
	f.cause, f.unheard = strings.CutPrefix(f.cause, unheardCause)
	return f
}
