package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/clairwatch/clairwatch/findings"
)

// Load adds what the bytes of a shard hold, and returns the term of the leader that wrote them. Nothing that
// the book holds is lost: where both know something of a record, it is afterwards what either was told.
//
// At the start the shard is clean after it, unless something has to be repaired. After a write that
// conflicted with another leader's it is dirty.
//
// errors.Is says ErrUnreadable of bytes that are damaged or something else, ErrNewer of those that a later
// version wrote; nothing is added of either.
func (b *Book) Load(shard int, data []byte) (term uint64, err error) {
	term, v, raw, packed, err := unseal(data)
	if err != nil {
		return 0, fmt.Errorf("loading shard %d of the ledger: %w", shard, err)
	}
	p, err := decode(v, raw, packed)
	if err != nil {
		return 0, fmt.Errorf("loading shard %d of the ledger: %w", shard, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.shards[shard]
	if s.changed > 0 || len(s.items) > 0 {
		b.touch(shard)
	}
	places := make([]uint32, len(p.ids))
	for i, id := range p.ids {
		places[i] = b.dictionary.place(id)
	}
	of := make([]*destination, len(p.destinations))
	for i, d := range p.destinations {
		of[i] = b.loadDestination(shard, d)
	}
	for _, r := range p.records {
		for i, e := range r.entries {
			r.entries[i] = entry(places[e.place()])<<placeShift | e&flagBits
		}
		it := &item{of: of[r.of], gone: r.gone, record: record{
			manifest: b.manifest(r.manifest.digest),
			name:     r.name,
			basis:    b.bases.share(*r.basis),
			entries:  r.entries,
			since:    r.since,
			jobs:     r.jobs,
			shared:   r.shared,
		}}
		b.loadItem(shard, it, it.of.records[it.manifest.digest])
	}
	for _, f := range p.failures {
		it := &item{of: of[f.of], gone: f.gone, failure: f.failure}
		b.loadItem(shard, it, it.of.failures[it.image])
	}
	for _, m := range p.manifests {
		b.loadManifest(shard, m)
	}
	for _, d := range of {
		if d.in[shard] == 0 && d.home != shard {
			b.touch(shard) // it stands elsewhere now
		}
	}
	s.bytes, s.encoded = len(data), s.weight
	return term, nil
}

func (b *Book) loadDestination(shard int, p pageDestination) *destination {
	d := b.destinations[p.Destination]
	if d == nil {
		d = b.newDestination(p.Destination, shard)
		d.absent = p.absent
	}
	if d.absent != p.absent {
		d.absent = laterOrNever(d.absent, p.absent)
		b.touchDestination(d)
		b.touch(shard)
	}
	return d
}

// loadItem adds an item of a shard, of which the book may have one already.
func (b *Book) loadItem(shard int, it, own *item) {
	if own == nil {
		b.list(it)
		b.put(it, shard)
		return
	}
	if b.join(own, it) {
		b.touch(own.shard)
	}
	switch {
	case own.shard == shard:
	case own.shard == nowhere:
		b.leftOut = without(b.leftOut, own)
		b.put(own, shard)
		b.touch(shard)
	case b.waitsFor(own.shard, shard): // it is being moved here
		b.move(own, shard)
	default:
		b.touch(shard)
		b.shards[shard].needs[own.shard] = b.shards[own.shard].changed
	}
}

// join adds to an item what another one of the same thing holds. It says whether that made a difference.
func (b *Book) join(own, other *item) bool {
	before := *own
	own.gone = laterOrNever(own.gone, other.gone)
	if own.manifest == nil {
		if other.next > own.next {
			own.failure = other.failure
		}
		return own.gone != before.gone || own.failure != before.failure
	}
	own.jobs = own.jobs && other.jobs
	own.record.shared = own.record.shared && other.record.shared
	own.since = earliestKnown(own.since, other.since)
	own.name = cmp.Or(own.name, other.name)
	was := b.unpack(own.record)
	is := joined(was, b.unpack(other.record))
	if !slices.Equal(is.Entries, was.Entries) || !is.Basis.Equal(was.Basis) {
		packed := b.pack(own.manifest, is)
		own.basis, own.entries = packed.basis, packed.entries
		b.reweigh(own)
		return true
	}
	return own.gone != before.gone || own.jobs != before.jobs || own.record.shared != before.record.shared ||
		own.since != before.since || own.name != before.name
}

// joined returns a record of all that two records of one image hold. A finding is absent only if both say so. One that
// either says was told was told: if it was hushed since, because it is ignored, the next look hushes it again.
func joined(a, b findings.Record) findings.Record {
	// A record only grows: the one with more in it is the later one.
	if len(b.Entries) > len(a.Entries) || len(b.Entries) == len(a.Entries) && len(b.Basis.Updaters) > len(a.Basis.Updaters) {
		a, b = b, a
	}
	all := b.With(a)
	if a.Basis.Clair != 0 || b.Basis.Clair == 0 {
		all.Basis = a.Basis
	}
	for i, e := range all.Entries {
		if !e.Absent {
			continue
		}
		if own, ok := b.Find(e.ID); ok {
			all.Entries[i].Absent = own.Absent
		}
	}
	return all
}

// laterOrNever returns the later one of two times, of which zero is never.
func laterOrNever(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// earliestKnown returns the earlier one of two times, of which zero is not known.
func earliestKnown(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// loadManifest adds what a shard says of a manifest.
func (b *Book) loadManifest(shard int, p *pageManifest) {
	m := b.manifest(p.digest)
	images, created := len(m.images), len(m.created)
	for _, i := range p.images {
		if b.images[i] == nil {
			b.addImage(m, i)
		}
	}
	for _, clair := range p.created {
		if at, is := slices.BinarySearch(m.created, clair); !is {
			m.created = slices.Insert(m.created, at, clair)
		}
	}
	grown := len(m.images) > images || len(m.created) > created
	for _, it := range m.records {
		if grown && it.shard != shard {
			b.touch(it.shard)
		}
	}
	if !slices.Equal(m.images, p.images) || !slices.Equal(m.created, p.created) {
		b.touch(shard)
	}
}
