package findings

import "slices"

// Part is one thing that a difference has to tell.
type Part struct {
	// Findings are those concerned, worst first.
	Findings []Finding
	// Ignored are those that would be among them if nothing were ignored: what counts as not told from now on is among
	// what is Visible or Renewed. There are none where nothing is told.
	Ignored []ID
	// Change is what has to be added to the record once they are told.
	Change Record
}

// Entries returns what is remembered of the findings once they are told, each once.
func (p Part) Entries() []Entry { return NewRecord(Basis{}, tellAll(p.Findings)).Entries }

// Difference is what a report says that a destination has not been told.
type Difference struct {
	// Disclosed are findings that nobody knew when the image was last looked at.
	Disclosed Part
	// Sourced are findings of an updater that the Clair did not have then: old ones for the most part.
	Sourced Part
	// Visible are findings that the rules held back so far, or ignored: they are other rules, an ignore has ended, or
	// a fix was published.
	Visible Part
	// Rose are findings whose severity has become a higher one.
	Rose Part
	// Renewed are all new findings where the report comes from another Clair, or from other scanners, so
	// that nothing can be said of each of them.
	Renewed Part
	// Withdrawn are findings that were told and are gone: those who publish the advisories have corrected them.
	// A record does not know their names, so that the part has no Findings.
	Withdrawn Part
	// Returned are findings that were withdrawn and are reported again.
	Returned Part
	// Vanished are, where Renewed is told, those that were told and are gone.
	Vanished []Entry
	// Silent is what is to be added to the record without a message; empty when there is nothing. It takes back
	// that findings were told which are ignored now: when they no longer are they are Visible. It does so at once:
	// before a message is accepted the image can be looked at again, by when what is ignored is settled.
	Silent Record
}

// Compare returns what a report with a basis says beyond the record, under some rules. What is told and
// accepted changes the record by the part's Change; until then it is found again.
func (r Record) Compare(report Report, basis Basis, rules Rules) Difference {
	if basis.Renews(r.Basis) {
		return r.renew(report, basis, rules)
	}
	var d Difference
	var silent []Entry
	hushed := make(map[*Part][]Entry) // what is to be added to the record of what a part would tell and is ignored
	judge := rules.judge()
	seen := make(map[ID]bool, len(report.Findings))
	for _, j := range judge.each(report.Findings) {
		id, f := j.id, *j.finding
		seen[id] = true
		e, known := r.Find(id)
		if e.Told && judge.takesBack(j) {
			e = e.hush()
			silent = append(silent, e)
		}
		rises := rules.rises(e.Severity, f.Severity)
		held := e
		held.ID, held.Absent = id, false
		// A rise that the rules hold back is still to be told when they no longer do.
		if !held.Told {
			held.Severity = max(e.Severity, f.Severity)
		}
		var part *Part // that tells it, if the rules let it pass
		switch {
		case known && e.Told && !e.Absent && !rises:
		case known && e.Told && !rises:
			part = &d.Returned
		case !known && r.Basis.Updaters != nil && !r.Basis.has(NameID(f.Updater)):
			part = &d.Sourced
		case !known:
			part = &d.Disclosed
		case rises:
			part = &d.Rose
		default:
			part = &d.Visible
		}
		changed := !known || held != e
		switch {
		case part != nil && j.verdict == passes:
			part.Findings = append(part.Findings, f)
		case part != nil && judge.onlyIgnores(j):
			part.Ignored = append(part.Ignored, id)
			if changed {
				hushed[part] = append(hushed[part], held)
			}
		case changed:
			silent = append(silent, held)
		}
	}
	if basis.provesAbsence(r.Basis) {
		var told []Entry
		for _, e := range r.vanished(seen) {
			if e.Told {
				told = append(told, e)
			} else {
				silent = append(silent, e)
			}
		}
		d.Withdrawn.Change = NewRecord(Basis{}, told)
	}
	for _, p := range []*Part{&d.Disclosed, &d.Sourced, &d.Visible, &d.Rose, &d.Returned} {
		if len(p.Findings) == 0 {
			p.Ignored = nil
			silent = append(silent, hushed[p]...)
			continue
		}
		// What is ignored is not known before the rest is told: whoever looks again until then counts it again.
		p.Change = NewRecord(Basis{}, append(tellAll(p.Findings), hushed[p]...))
	}
	d.Silent = NewRecord(Basis{}, silent)
	// Before the new updaters' findings are told they must stay new.
	switch next := r.Basis.followedBy(basis); {
	case len(d.Sourced.Findings) > 0:
		d.Sourced.Change.Basis = next
	case !next.Equal(r.Basis):
		d.Silent.Basis = next
	}
	return d
}

// followedBy returns the basis after a report that was compared with a record of this one. An updater that
// was seen once stays: that it is missing for a while must make nothing of its findings.
func (b Basis) followedBy(now Basis) Basis {
	if now.Clair == 0 {
		return b
	}
	switch {
	case now.Updaters == nil:
		now.Updaters = b.Updaters
	case b.Updaters != nil:
		now.Updaters = union(b.Updaters, now.Updaters)
	}
	if now.State == "" {
		now.State = b.State
	}
	return now
}

// renew compares with the report of another Clair, or of other scanners.
func (r Record) renew(report Report, basis Basis, rules Rules) Difference {
	var d Difference
	var change, hushed []Entry
	var ignored []ID
	judge := rules.judge()
	seen := make(map[ID]bool, len(report.Findings))
	for _, j := range judge.each(report.Findings) {
		id, f := j.id, *j.finding
		seen[id] = true
		e, known := r.Find(id)
		if e.Told && judge.takesBack(j) {
			e = e.hush()
			hushed = append(hushed, e)
		}
		is := Entry{ID: id, Severity: max(e.Severity, f.Severity), Told: e.Told, Hushed: e.Hushed}
		switch {
		case j.verdict == passes && !e.Told:
			is.Told = true
			d.Renewed.Findings = append(d.Renewed.Findings, f)
		case !e.Told && judge.onlyIgnores(j):
			ignored = append(ignored, id)
		}
		if !known || is != e {
			change = append(change, is)
		}
	}
	gone := r.vanished(seen)
	if basis.Clair == r.Basis.Clair && !basis.provesAbsence(r.Basis) {
		gone = nil
	}
	d.Vanished = slices.DeleteFunc(slices.Clone(gone), func(e Entry) bool { return !e.Told })
	record := NewRecord(basis, slices.Concat(hushed, change, gone))
	if len(d.Renewed.Findings) == 0 && len(d.Vanished) == 0 {
		d.Silent = record
		return d
	}
	d.Silent = NewRecord(Basis{}, hushed)
	d.Renewed.Change, d.Renewed.Ignored = record, ignored
	return d
}

// vanished returns what the record holds and a report does not, marked as absent.
func (r Record) vanished(seen map[ID]bool) []Entry {
	var gone []Entry
	for _, e := range r.Entries {
		if !e.Absent && !seen[e.ID] {
			e.Absent = true
			gone = append(gone, e)
		}
	}
	return gone
}

// IsEmpty says that the record would change nothing.
func (r Record) IsEmpty() bool { return len(r.Entries) == 0 && r.Basis.Clair == 0 }

// union merges two ordered lists.
func union(a, b []ID) []ID {
	u := append(append([]ID{}, a...), b...)
	slices.Sort(u)
	return slices.Compact(u)
}
