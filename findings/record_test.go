package findings

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/quay/claircore"
)

// anyReport makes a report of a small world, so that findings are shared between reports.
func anyReport(r *rand.Rand) Report {
	var fs []Finding
	for range r.IntN(12) {
		fs = append(fs, Finding{
			Name:      string(rune('A' + r.IntN(4))),
			Package:   "p",
			Installed: string(rune('1' + r.IntN(2))),
			source:    string(rune('s' + r.IntN(3))),
			FixedIn:   []string{"", "9"}[r.IntN(2)],
			Severity:  Severities[r.IntN(len(Severities))],
			Updater:   string(rune('u' + r.IntN(2))),
		})
	}
	return Report{Findings: distinct(fs)}
}

func anyRules(r *rand.Rand) Rules {
	rules := Rules{MinSeverity: Severities[r.IntN(len(Severities))], UnknownAs: Severities[r.IntN(len(Severities))], OnlyFixable: r.IntN(3) == 0}
	for range r.IntN(3) {
		i := Ignore{ID: string(rune('A' + r.IntN(4))), Package: string(rune('s' + r.IntN(3)))}
		switch r.IntN(4) {
		case 0:
			i.ID = ""
		case 1:
			i.Package = ""
		}
		rules.Ignore = append(rules.Ignore, i)
	}
	return rules
}

// basisWith is that of a Clair with some updaters.
func basisWith(updaters ...string) Basis {
	b := Basis{Clair: NameID("http://clair/"), State: "s1", Updaters: []ID{}}
	for _, u := range updaters {
		b.Updaters = append(b.Updaters, NameID(u))
	}
	slices.Sort(b.Updaters)
	return b
}

// news are the parts of a difference that everybody is told; parts are also those for who wants to hear of withdrawals.
func (d Difference) news() []Part {
	return []Part{d.Disclosed, d.Sourced, d.Visible, d.Rose, d.Renewed}
}

func (d Difference) parts() []Part { return append(d.news(), d.Returned, d.Withdrawn) }

// after is the record once everything has been told, and what goes without saying.
func (d Difference) after(r Record) Record {
	r = r.With(d.Silent)
	for _, p := range d.parts() {
		r = r.With(p.Change)
	}
	return r
}

// Whatever a destination was told before: after the difference is told there is none, nothing is told twice,
// and what passes the rules has been told.
func TestCompareProperties(t *testing.T) {
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 0))
		bases := []Basis{basisWith("u"), basisWith("u", "v"), basisWith(), {}, {Clair: NameID("other"), State: "s1"}, {Clair: NameID("http://clair/"), State: "s2", Updaters: []ID{}}}
		record := anyReport(r).Record(bases[r.IntN(len(bases))], anyRules(r))
		for step := range 5 {
			report, basis, rules := anyReport(r), bases[r.IntN(len(bases))], anyRules(r)
			before := Record{record.Basis, slices.Clone(record.Entries)}
			d := record.Compare(report, basis, rules)
			if !reflect.DeepEqual(record, before) {
				t.Fatalf("seed %d, step %d: Compare changed the record", seed, step)
			}
			named := map[ID]bool{}
			for _, p := range d.parts() {
				if !slices.IsSortedFunc(pointers(p.Findings), compare) {
					t.Fatalf("seed %d: not in order: %v", seed, p.Findings)
				}
				if len(p.Findings) > 0 && p.Change.IsEmpty() {
					t.Fatalf("seed %d: %d findings and no change", seed, len(p.Findings))
				}
				// What is gone has no names: that is told of in counts.
				gone := slices.ContainsFunc(p.Change.Entries, func(e Entry) bool { return e.Told && e.Absent })
				if len(p.Findings) == 0 && !gone && !p.Change.IsEmpty() {
					t.Fatalf("seed %d: %d findings and the change %v", seed, len(p.Findings), p.Change)
				}
				for _, f := range p.Findings {
					if named[f.ID()] {
						t.Fatalf("seed %d: told twice: %v", seed, f)
					}
					named[f.ID()] = true
					if !rules.Pass(f) {
						t.Fatalf("seed %d: told what the rules hold back: %v", seed, f)
					}
					if e, known := record.Find(f.ID()); known && e.Told && !e.Absent && !rules.rises(e.Severity, f.Severity) {
						t.Fatalf("seed %d: told again: %v", seed, f)
					}
				}
				if !p.Change.IsEmpty() && record.Covers(p.Change) {
					t.Fatalf("seed %d: a record that lacks something is said to cover it", seed)
				}
			}
			next := kept(d.after(record))
			for _, f := range report.Findings {
				e, known := next.Find(f.ID())
				if !known || e.Absent || rules.Pass(f) && !e.Told {
					t.Fatalf("seed %d: %v is %+v, %t afterwards", seed, f, e, known)
				}
			}
			ignored := map[ID]bool{}
			for _, j := range rules.judge().each(report.Findings) {
				ignored[j.id] = j.verdict == ignores
			}
			for _, e := range record.Entries {
				if now, known := next.Find(e.ID); !known || e.Told && now.Told == ignored[e.ID] {
					t.Fatalf("seed %d: forgot %+v", seed, e)
				}
			}
			again := next.Compare(report, basis, rules)
			for i, p := range again.parts() {
				// A first look at which updaters there are lets the second one see what is absent.
				if !p.Change.IsEmpty() && i != len(again.parts())-1 {
					t.Fatalf("seed %d, step %d: told and told again: %+v", seed, step, p)
				}
			}
			if last := again.after(next).Compare(report, basis, rules); !last.Silent.IsEmpty() || !last.Withdrawn.Change.IsEmpty() {
				t.Fatalf("seed %d, step %d: told and still changed: %+v, %+v", seed, step, last.Silent, last.Withdrawn)
			}
			if !next.Covers(d.Disclosed.Change) || !next.Covers(d.Rose.Change) {
				t.Fatalf("seed %d: a change is not covered after it was made", seed)
			}
			record = next
		}
	}
}

func TestCompare(t *testing.T) {
	find := func(name string, s Severity, updater string) Finding {
		return Finding{Name: name, Package: "openssl", source: "openssl", Severity: s, Updater: updater}
	}
	const low, high, critical = claircore.Low, claircore.High, claircore.Critical
	debian, both := basisWith("debian"), basisWith("debian", "osv")
	all, loud := Rules{}, Rules{MinSeverity: high, UnknownAs: claircore.Medium}
	a, b, c := find("A", high, "debian"), find("B", low, "debian"), find("C", critical, "osv")
	report := func(fs ...Finding) Report { return Report{Findings: distinct(fs)} }

	type want struct {
		disclosed, sourced, visible, rose, renewed string
		vanished, withdrawn                        int
		silent                                     int // entries
	}
	for name, test := range map[string]struct {
		record Record
		report Report
		basis  Basis
		rules  Rules
		want   want
	}{
		"nothing new":                             {report(a, b).Record(debian, all), report(a, b), debian, all, want{}},
		"disclosed":                               {report(b).Record(debian, all), report(a, b), debian, all, want{disclosed: "A"}},
		"disclosed below the threshold":           {report(a).Record(debian, loud), report(a, b), debian, loud, want{silent: 1}},
		"a new source":                            {report(a).Record(debian, all), report(a, c), both, all, want{sourced: "C"}},
		"a known source":                          {report(a).Record(both, all), report(a, c), both, all, want{disclosed: "C"}},
		"a lower threshold":                       {report(a, b).Record(debian, loud), report(a, b), debian, all, want{visible: "B"}},
		"a higher threshold":                      {report(a, b).Record(debian, all), report(a, b), debian, loud, want{}},
		"a threshold up and down":                 {report(a, b).Record(debian, all), report(a, b), debian, all, want{}},
		"a higher severity":                       {report(b).Record(debian, all), report(find("B", critical, "debian")), debian, all, want{rose: "B"}},
		"a higher severity that now counts":       {report(b).Record(debian, loud), report(find("B", high, "debian")), debian, loud, want{rose: "B"}},
		"a lower severity":                        {report(a).Record(debian, all), report(find("A", low, "debian")), debian, all, want{}},
		"a severity that was not known":           {report(find("A", 0, "debian")).Record(debian, loud), report(a), debian, loud, want{rose: "A"}},
		"unknown, then as bad as taken for":       {report(find("A", 0, "debian")).Record(debian, Rules{UnknownAs: high}), report(a), debian, Rules{UnknownAs: high}, want{}},
		"vanished":                                {report(a, b).Record(debian, all), report(a), debian, all, want{withdrawn: 1}},
		"vanished before it was told":             {report(a, b).Record(debian, loud), report(a), debian, loud, want{silent: 1}},
		"vanished with its updater":               {report(a, c).Record(both, all), report(a), debian, all, want{}},
		"vanished from a Clair that does not say": {report(a, b).Record(Basis{Clair: debian.Clair}, all), report(a), Basis{Clair: debian.Clair}, all, want{}},
		"another Clair":                           {report(a, b).Record(Basis{Clair: 1, State: "s1"}, all), report(a, c), both, all, want{renewed: "C", vanished: 1}},
		"another Clair that says the same":        {report(a, b).Record(Basis{Clair: 1, State: "s1"}, all), report(a, b), both, all, want{}},
		"other scanners":                          {report(a).Record(debian, all), report(a, c), Basis{Clair: debian.Clair, State: "s2", Updaters: both.Updaters}, all, want{renewed: "C"}},
		"other scanners, held back":               {report(a).Record(debian, loud), report(a, b), Basis{Clair: debian.Clair, State: "s2"}, loud, want{silent: 1}},
		"a record without a basis":                {report(a).Record(Basis{}, all), report(a, b), debian, all, want{disclosed: "B"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := test.record.Compare(test.report, test.basis, test.rules)
			names := func(p Part) (s string) {
				for _, f := range p.Findings {
					s += f.Name
				}
				return s
			}
			got := want{names(d.Disclosed), names(d.Sourced), names(d.Visible), names(d.Rose), names(d.Renewed), len(d.Vanished), len(d.Withdrawn.Change.Entries), len(d.Silent.Entries)}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// What comes back is no news: neither a finding that a correction had taken away, nor all of a database that
// was made anew.
func TestReturn(t *testing.T) {
	report := Report{Findings: []Finding{{Name: "A", source: "a", Severity: claircore.High, Updater: "debian"}}}
	record := report.Record(basisWith("debian"), Rules{})
	for name, without := range map[string]Basis{"corrected": basisWith("debian"), "reset": basisWith(), "reset, other first": basisWith("osv")} {
		t.Run(name, func(t *testing.T) {
			r := record
			for _, step := range []struct {
				report Report
				basis  Basis
			}{{Report{}, without}, {report, basisWith("debian")}, {Report{}, without}, {report, basisWith("debian", "osv")}} {
				d := r.Compare(step.report, step.basis, Rules{})
				for _, p := range d.news() {
					if len(p.Findings) > 0 {
						t.Fatalf("told %v", p.Findings)
					}
				}
				r = d.after(r)
			}
		})
	}
}

// While the findings of a new updater wait to be told the record must not know the updater: they would be told
// as newly disclosed after a restart.
func TestSourceStaysNew(t *testing.T) {
	record := Report{}.Record(basisWith("debian"), Rules{})
	old := Finding{Name: "C", source: "c", Severity: claircore.High, Updater: "osv"}
	fresh := Finding{Name: "D", source: "d", Severity: claircore.High, Updater: "debian"}
	now := basisWith("debian", "osv")
	d := record.Compare(Report{Findings: []Finding{old, fresh}}, now, Rules{})
	record = record.With(d.Silent).With(d.Disclosed.Change)
	d = record.Compare(Report{Findings: []Finding{old, fresh}}, now, Rules{})
	if len(d.Sourced.Findings) != 1 || len(d.Disclosed.Findings) != 0 {
		t.Errorf("got %+v", d)
	}
}

func TestRecordKeepsTheWorstOfSeveralVersions(t *testing.T) {
	r := Report{Findings: distinct([]Finding{
		{Name: "CVE-1", source: "a", Installed: "1", Severity: claircore.Low},
		{Name: "CVE-1", source: "a", Installed: "2", Severity: claircore.High},
	})}
	if got := r.Record(Basis{}, Rules{}).Entries; len(got) != 1 || got[0].Severity != claircore.High || got[0].ID != r.Findings[0].ID() {
		t.Errorf("got %v", got)
	}
}

func TestRules(t *testing.T) {
	for _, test := range []struct {
		rules Rules
		s     Severity
		pass  bool
	}{
		{Rules{}, claircore.Unknown, true},
		{Rules{}, claircore.Low, true},
		{Rules{MinSeverity: claircore.High}, claircore.Medium, false},
		{Rules{MinSeverity: claircore.High}, claircore.High, true},
		{Rules{MinSeverity: claircore.High}, claircore.Unknown, false},
		{Rules{MinSeverity: claircore.Medium, UnknownAs: claircore.Medium}, claircore.Unknown, true},
		{Rules{MinSeverity: claircore.Critical, UnknownAs: claircore.Critical}, claircore.High, false},
	} {
		if got := test.rules.Pass(Finding{Severity: test.s}); got != test.pass {
			t.Errorf("%+v, %v: %t", test.rules, test.s, got)
		}
	}
}

// The identity must not hang on what comes and goes: the number of packages of one source, the version,
// the severity.
func TestID(t *testing.T) {
	f := Finding{Name: "CVE-1", Package: "libssl3", Installed: "3.0.11", FixedIn: "3.1", Severity: claircore.High, CVSS: 7, Updater: "debian/updater", Link: "https://example.com/", source: "openssl"}
	same := Finding{Name: "CVE-1", Package: "openssl", Installed: "3.0.12", Severity: claircore.Low, Updater: "osv", source: "openssl"}
	if f.ID() != same.ID() {
		t.Error("the same finding has two identities")
	}
	for _, other := range []Finding{
		{Name: "CVE-2", source: "openssl"}, {Name: "CVE-1", source: "curl"}, {Name: "CVE-1o", source: "penssl"}, {},
	} {
		if f.ID() == other.ID() {
			t.Errorf("%+v has the identity of another finding", other)
		}
	}
	// Records outlive the program that wrote them: the identity may never change.
	if want := ID(0x7874036f136b5bdf); f.ID() != want {
		t.Errorf("got %#x", f.ID())
	}
}
