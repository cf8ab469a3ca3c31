package findings

// Summary is what a message needs of a report: counts and a few rows. It stays small whatever the
// report was, so that many can wait for a channel.
type Summary struct {
	// Digest, Distribution, Packages and Covered are those of the report.
	Digest       string
	Distribution string
	Packages     int
	Covered      bool
	// Counts counts the findings that the rules let pass.
	Counts Counts
	// Hidden counts those that the rules hold back, Ignored those that they ignore.
	Hidden, Ignored Counts
	// Rules are those of which it was made, without what they ignore: that can be a long list, as Settled can.
	Rules Rules
	// Updates are the first of the updates to make, worst first.
	Updates []Update
	// AllUpdates is the number of all updates with a fix, listed or not.
	AllUpdates int
	// Unfixed is the worst finding without a fix, where the updates are those with one; zero when there is
	// none.
	Unfixed Finding
}

// Summarize keeps the counts and at most rows updates of what the rules let pass; zero and less keep none.
// When something is fixable it lists only what has a fix; otherwise what is worst.
func (r Report) Summarize(rows int, rules Rules) Summary {
	return r.SummarizePart(r.Findings, rows, rules)
}

// SummarizePart is a Summarize of some of the findings, worst first. The updates are to the versions that also
// end what else is known of their packages: who follows the latest message must not undo what an earlier one said.
func (r Report) SummarizePart(part []Finding, rows int, rules Rules) Summary {
	var by [ignores + 1][]Finding
	judge := rules.judge()
	for _, f := range part {
		v := judge.of(f)
		by[v] = append(by[v], f)
	}
	pass := by[passes]
	rules.Ignore, rules.Settled = nil, nil
	s := Summary{
		Digest:       r.Digest,
		Distribution: r.Distribution,
		Packages:     r.Packages,
		Covered:      r.Covered,
		Counts:       Count(pass),
		Hidden:       Count(by[heldBack]),
		Ignored:      Count(by[ignores]),
		Rules:        rules,
	}
	us := Updates(pass)
	if len(part) < len(r.Findings) {
		raise(us, Updates(r.Findings))
	}
	for _, u := range us {
		if u.FixedIn != "" {
			s.AllUpdates++
		}
	}
	if s.AllUpdates > 0 {
		us = us[:s.AllUpdates]
		for _, f := range pass { // worst first
			if !f.Fixable() {
				s.Unfixed = f
				break
			}
		}
	}
	// A copy, so that the summary does not keep the whole report in memory.
	s.Updates = append([]Update(nil), us[:min(max(rows, 0), len(us))]...)
	for i := range s.Updates {
		s.Updates[i].Worst.Description = ""
	}
	s.Unfixed.Description = ""
	return s
}

// raise brings updates to the version to which all brings the same package, where that is one version.
func raise(us, all []Update) {
	type installed struct{ pkg, version string }
	fixes := make(map[installed][]string)
	for _, u := range all {
		if u.FixedIn != "" {
			at := installed{u.Package, u.Installed}
			fixes[at] = append(fixes[at], u.FixedIn)
		}
	}
	for i, u := range us {
		if fixed := fixes[installed{u.Package, u.Installed}]; u.FixedIn != "" && len(fixed) == 1 {
			us[i].FixedIn = fixed[0]
		}
	}
}
