package findings

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// ID identifies a finding across reports: a hash of the advisory's name and the source package. Clair's
// own ids are numbers of its database and change when it is rebuilt.
//
// Its 64 bits matter within one image: among 10,000 findings two share an ID once in 4e11 images.
type ID uint64

// ID returns the identity of the finding.
func (f Finding) ID() ID {
	return NameID(f.Name + "\x00" + f.source) // neither part can contain a zero in a package database
}

// NameID is the identity of something with a name: an updater, or the address of a Clair.
func NameID(name string) ID {
	sum := sha256.Sum256([]byte(name))
	return ID(binary.BigEndian.Uint64(sum[:8]))
}

// Entry is what is remembered of one finding.
type Entry struct {
	ID ID
	// Severity is the highest with which it was known: where a score is missing for a while the severity
	// falls and rises again, which is no news.
	Severity Severity
	// Told says that a message has counted it; one that the rules held back has not been told, and one that is
	// ignored counts as not told, whatever was before (but see Rules.Settled).
	Told bool
	// Absent says that a report that was believed did not hold it any more. It is kept while the image
	// runs, so that its return is no news.
	Absent bool
	// Hushed says, in a change of a record, that what was told counts as not told from now on, because it is
	// ignored. Of a record itself it says nothing, and is not kept.
	Hushed bool
}

// hush takes back that it was told.
func (e Entry) hush() Entry {
	e.Told, e.Hushed = false, e.Told
	return e
}

// Basis is what the report behind a record rests on.
type Basis struct {
	// Clair is the NameID of the Clair's address; zero when not known.
	Clair ID
	// State is the Clair's index_state when the report was made, or when the image was indexed where that is
	// known to have been another one; empty when not known.
	State string
	// Updaters are the NameIDs of the updaters whose data the Clair had, in order. Nil: it did not say.
	Updaters []ID
}

// Record is what one destination has been told about one image, with what the rules held back: every
// finding of the reports that were believed. Its zero value is a record of no findings, which differs
// from having no record.
type Record struct {
	Basis Basis
	// Entries are in the order of their IDs, each once.
	Entries []Entry
}

// NewRecord returns a record of entries in any order. Of several with one ID the worst one counts.
func NewRecord(basis Basis, entries []Entry) Record {
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(b.Severity, a.Severity), compareBool(a.Told, b.Told),
			compareBool(!a.Absent, !b.Absent), compareBool(a.Hushed, b.Hushed))
	})
	return Record{Basis: basis, Entries: slices.CompactFunc(entries, func(a, b Entry) bool { return a.ID == b.ID })}
}

// Record returns what is remembered once the report has been told under some rules.
func (r Report) Record(basis Basis, rules Rules) Record {
	entries := make([]Entry, 0, len(r.Findings))
	for _, j := range rules.judge().each(r.Findings) {
		entries = append(entries, Entry{ID: j.id, Severity: j.finding.Severity, Told: j.verdict == passes})
	}
	return NewRecord(basis, entries)
}

// tellAll returns what is remembered of findings that a message tells.
func tellAll(fs []Finding) []Entry {
	es := make([]Entry, len(fs))
	for i, f := range fs {
		es[i] = Entry{ID: f.ID(), Severity: f.Severity, Told: true}
	}
	return es
}

// Find returns the entry of a finding.
func (r Record) Find(id ID) (Entry, bool) {
	i, found := slices.BinarySearchFunc(r.Entries, id, func(e Entry, id ID) int { return cmp.Compare(e.ID, id) })
	if !found {
		return Entry{}, false
	}
	e := r.Entries[i]
	e.Hushed = false
	return e, true
}

// With returns the record after a change of it: entries that the change holds are added, become told when
// they are told there and untold when they are hushed there, and are absent when they are absent there. A basis that
// the change does not know stays. Neither is changed.
//
// Of two changes it makes one that does what they do one after the other, which is why what is hushed stays so.
func (r Record) With(change Record) Record {
	with := Record{Basis: change.Basis, Entries: make([]Entry, 0, len(r.Entries)+len(change.Entries))}
	if with.Basis.Clair == 0 {
		with.Basis = r.Basis
	}
	i := 0
	for _, c := range change.Entries {
		for ; i < len(r.Entries) && r.Entries[i].ID < c.ID; i++ {
			with.Entries = append(with.Entries, r.Entries[i])
		}
		if i < len(r.Entries) && r.Entries[i].ID == c.ID {
			was := r.Entries[i]
			c.Told, c.Hushed = c.Told || was.Told && !c.Hushed, c.Hushed || was.Hushed && !c.Told
			c.Severity = max(c.Severity, r.Entries[i].Severity)
			i++
		}
		with.Entries = append(with.Entries, c)
	}
	with.Entries = append(with.Entries, r.Entries[i:]...)
	return with
}

// Covers says whether the record holds all that a change would tell.
func (r Record) Covers(change Record) bool {
	for _, c := range change.Entries {
		e, ok := r.Find(c.ID)
		if !ok || c.Told && !e.Told || c.Hushed && e.Told || c.Severity > e.Severity || c.Absent && !e.Absent || c.Told && !c.Absent && e.Absent {
			return false
		}
	}
	b := change.Basis
	return b.Clair == 0 || r.Basis.Clair == b.Clair && r.Basis.State == b.State && r.Basis.hasAll(b.Updaters)
}

// Equal says whether two bases are the same.
func (b Basis) Equal(o Basis) bool {
	return b.Clair == o.Clair && b.State == o.State && (b.Updaters == nil) == (o.Updaters == nil) && slices.Equal(b.Updaters, o.Updaters)
}

// Renews says whether a report with this basis is not to be compared finding by finding with a record of an
// earlier one: another Clair, or another set of scanners, sees other packages.
func (b Basis) Renews(before Basis) bool {
	if b.Clair == 0 || before.Clair == 0 {
		return false
	}
	return b.Clair != before.Clair || b.State != "" && before.State != "" && b.State != before.State
}

// provesAbsence says whether a finding that this later basis does not show is gone: only if no updater has
// gone with it, as after a Clair's database was made anew.
func (b Basis) provesAbsence(before Basis) bool {
	return b.Updaters != nil && before.Updaters != nil && b.hasAll(before.Updaters)
}

func (b Basis) hasAll(updaters []ID) bool {
	for _, u := range updaters {
		if !b.has(u) {
			return false
		}
	}
	return true
}

func (b Basis) has(updater ID) bool {
	_, found := slices.BinarySearch(b.Updaters, updater)
	return found
}
