package ledger

import (
	"encoding/binary"
	"slices"

	"github.com/clairwatch/clairwatch/findings"
)

// entry is a findings.Entry in four bytes: the place of its ID in the dictionary, and in the lowest five
// bits its severity and whether it was told and is absent.
type entry uint32

const (
	entryAbsent   entry = 1 << 0
	entryTold     entry = 1 << 1
	severityShift       = 2
	placeShift          = 5
	flagBits            = 1<<placeShift - 1
)

func newEntry(place uint32, e findings.Entry) entry {
	packed := entry(place)<<placeShift | entry(min(e.Severity, worst))<<severityShift
	if e.Told {
		packed |= entryTold
	}
	if e.Absent {
		packed |= entryAbsent
	}
	return packed
}

func (e entry) place() uint32               { return uint32(e >> placeShift) }
func (e entry) severity() findings.Severity { return findings.Severity(e >> severityShift & 7) }
func (e entry) told() bool                  { return e&entryTold != 0 }
func (e entry) absent() bool                { return e&entryAbsent != 0 }

// worst is the highest severity.
const worst = findings.Severity(5)

// dictionary gives every finding that is known a number. It only grows: what is in no record any more is
// lost with the process, and a year's new advisories are a few megabytes.
type dictionary struct {
	ids    []findings.ID
	places map[findings.ID]uint32
}

func newDictionary() dictionary { return dictionary{places: make(map[findings.ID]uint32)} }

// place returns the place of a finding, a new one if need be. An entry has room for 134 million.
func (d *dictionary) place(id findings.ID) uint32 {
	place, ok := d.places[id]
	if !ok {
		place = uint32(len(d.ids))
		d.ids = append(d.ids, id)
		d.places[id] = place
	}
	return place
}

// bases holds every basis once: a Clair's images have few different ones.
type bases map[string]*findings.Basis

func (b bases) share(basis findings.Basis) *findings.Basis {
	key := binary.BigEndian.AppendUint64(nil, uint64(basis.Clair))
	if basis.Updaters != nil {
		key = append(key, 1)
	}
	for _, u := range basis.Updaters {
		key = binary.BigEndian.AppendUint64(key, uint64(u))
	}
	key = append(append(key, 0), basis.State...)
	shared := b[string(key)]
	if shared == nil {
		basis.Updaters = slices.Clone(basis.Updaters)
		shared = &basis
		b[string(key)] = shared
	}
	return shared
}

// pack returns a record as it is kept.
func (b *Book) pack(m *manifest, r findings.Record) record {
	entries := make([]entry, len(r.Entries))
	for i, e := range r.Entries {
		entries[i] = newEntry(b.dictionary.place(e.ID), e)
	}
	return record{manifest: m, basis: b.bases.share(r.Basis), entries: entries}
}

// unpack returns a record as it was.
func (b *Book) unpack(r record) findings.Record {
	entries := make([]findings.Entry, len(r.entries))
	for i, e := range r.entries {
		entries[i] = findings.Entry{ID: b.dictionary.ids[e.place()], Severity: e.severity(), Told: e.told(), Absent: e.absent()}
	}
	basis := *r.basis
	basis.Updaters = slices.Clone(basis.Updaters)
	return findings.NewRecord(basis, entries)
}
