package findings

import "strings"

// Fate is what some rules do with a finding.
type Fate uint8

// The fates. Of several rules that are about a finding the first of these counts that is true: who ignores it has
// decided about it, whatever else there is.
const (
	// Ignored: an entry of Rules.Ignore is about it.
	Ignored Fate = iota + 1
	// BelowMinSeverity: it is less severe than Rules.MinSeverity.
	BelowMinSeverity
	// WithoutFix: it has no published fix, and Rules.OnlyFixable is set.
	WithoutFix
	// Passes: nothing keeps it from being told.
	Passes
)

// Ruling is what some rules do with a finding.
type Ruling struct {
	Fate Fate
	// Ignore is the place in Rules.Ignore of the first entry that is about it; zero where it is not Ignored.
	Ignore int
	// Settled says that it is Ignored and stays told if it has been: see Rules.Settled.
	Settled bool
}

// Judged is a finding with what some rules do with it.
type Judged struct {
	Finding Finding
	Ruling
}

// Judge says what some rules do with what the report has: one finding for each ID, as a Record has it, worst first.
func (r Report) Judge(rules Rules) []Judged {
	judge := rules.judge()
	each := judge.each(r.Findings)
	all := make([]Judged, len(each))
	for i, f := range each {
		all[i] = Judged{*f.finding, judge.rule(f)}
	}
	return all
}

// rule says what becomes of a finding.
func (j judge) rule(f judged) Ruling {
	switch {
	case f.verdict == passes:
		return Ruling{Fate: Passes}
	case f.verdict == ignores:
		return Ruling{Fate: Ignored, Ignore: j.ignored.first(*f.finding), Settled: !j.takesBack(f)}
	case j.rules.effective(f.finding.Severity) < j.rules.MinSeverity:
		return Ruling{Fate: BelowMinSeverity}
	default:
		return Ruling{Fate: WithoutFix}
	}
}

// Case is a report to be judged by many rules: which of its findings have one ID is found out once.
type Case struct {
	findings []Finding
	ids      []ID
	// of is the place in ids of each finding's.
	of []int32
}

// Case makes the report ready to be judged by many rules. Its findings must not change any more.
func (r Report) Case() Case {
	c := Case{findings: r.Findings, of: make([]int32, len(r.Findings))}
	places := make(map[ID]int32, len(r.Findings))
	for i, f := range r.Findings {
		id := f.ID()
		place, seen := places[id]
		if !seen {
			place = int32(len(c.ids))
			places[id] = place
			c.ids = append(c.ids, id)
		}
		c.of[i] = place
	}
	return c
}

// IDs are those of the report's findings, each once. They belong to the Case.
func (c Case) IDs() []ID { return c.ids }

// Place is where the IDs have that of one of the report's findings.
func (c Case) Place(finding int) int { return int(c.of[finding]) }

// Judge says what some rules do with each of the IDs, as Report.Judge does.
func (c Case) Judge(rules Rules) []Ruling {
	judge := rules.judge()
	all := make([]Ruling, len(c.ids))
	chosen := make([]judged, len(c.ids))
	for i := range c.findings {
		f := judged{finding: &c.findings[i], verdict: judge.of(c.findings[i])}
		if at := &chosen[c.of[i]]; at.finding == nil || f.verdict < at.verdict {
			*at = f
		}
	}
	for place, f := range chosen {
		all[place] = judge.rule(f)
	}
	return all
}

// Names says which part of a finding an ignore names: the advisory, and the package or its source package. What the
// ignore leaves empty names any. When it ends, and which images it is about, makes no difference.
func (i Ignore) Names(f Finding) (advisory, pkg bool) {
	return i.ID == "" || strings.EqualFold(i.ID, f.Name), i.Package == "" || i.Package == f.Package || i.Package == f.source
}
