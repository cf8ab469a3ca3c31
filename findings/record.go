package findings

import (
	"crypto/sha256"
	"maps"
)

// ID identifies a finding across reports: a hash of the advisory's name and the source package, wide
// enough that a collision is not a concern. Clair's own ids are numbers of its database and change when
// it is rebuilt.
type ID [16]byte

// ID returns the identity of the finding.
func (f Finding) ID() ID {
	h := sha256.New()
	h.Write([]byte(f.Name))
	h.Write([]byte{0}) // neither part can contain it in a package database
	h.Write([]byte(f.source))
	return ID(h.Sum(nil)[:16])
}

// Record is what one destination has been told about one image: every finding of the last report that
// was believed. Its zero value is a record of no findings, which differs from having no record.
type Record struct {
	// Severities holds the severity with which each finding was last reported.
	Severities map[ID]Severity
}

// Record returns what is remembered once the report has been told.
func (r Report) Record() Record {
	rec := Record{Severities: make(map[ID]Severity, len(r.Findings))}
	for _, f := range r.Findings {
		// Several installed versions of one package share an ID: the worst one counts, and comes first.
		if _, seen := rec.Severities[f.ID()]; !seen {
			rec.Severities[f.ID()] = f.Severity
		}
	}
	return rec
}

// Disclosed returns the findings of the report that the record does not hold, worst first.
func (r Record) Disclosed(report Report) []Finding {
	var fs []Finding
	for _, f := range report.Findings {
		if _, told := r.Severities[f.ID()]; !told {
			fs = append(fs, f)
		}
	}
	return fs
}

// Join adds what the record lacks from another one, so that neither's news is told again. Where both
// hold a finding the severity is that of r. Neither is changed.
func (r Record) Join(o Record) Record {
	j := Record{Severities: make(map[ID]Severity, len(r.Severities)+len(o.Severities))}
	maps.Copy(j.Severities, o.Severities)
	maps.Copy(j.Severities, r.Severities)
	return j
}
