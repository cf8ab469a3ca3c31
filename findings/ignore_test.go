package findings

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/quay/claircore"
)

var ignoreDay = time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)

func TestRulesAt(t *testing.T) {
	const registry = "registry.example.com:5000/shop/web:1.4@sha256:0a"
	for name, c := range map[string]struct {
		image  string
		ignore Ignore
		after  time.Duration // ignoreDay
		holds  bool
	}{
		"of all images":              {registry, Ignore{ID: "CVE-1"}, 0, true},
		"of the image":               {registry, Ignore{Image: "shop/web"}, 0, true},
		"of a folder":                {registry, Ignore{Image: "shop/*"}, 0, true},
		"of another folder":          {registry, Ignore{Image: "blog/*"}, 0, false},
		"a star is no slash":         {registry, Ignore{Image: "*"}, 0, false},
		"the registry is left out":   {registry, Ignore{Image: "registry.example.com:5000/*/*"}, 0, false},
		"the tag is left out":        {registry, Ignore{Image: "shop/web:1.4"}, 0, false},
		"a port and no tag":          {"localhost:5000/web", Ignore{Image: "web"}, 0, true},
		"localhost":                  {"localhost/web:1", Ignore{Image: "web"}, 0, true},
		"a digest and no tag":        {"ghcr.io/acme/api@sha256:0a", Ignore{Image: "acme/api"}, 0, true},
		"no registry":                {"acme/api:1", Ignore{Image: "acme/*"}, 0, true},
		"Docker's own":               {"nginx:1.27", Ignore{Image: "nginx"}, 0, true},
		"Docker's own, in full":      {"nginx:1.27", Ignore{Image: "library/nginx"}, 0, true},
		"Docker's own by its host":   {"docker.io/library/nginx", Ignore{Image: "nginx"}, 0, true},
		"Docker's own by host alone": {"docker.io/nginx", Ignore{Image: "library/nginx"}, 0, true},
		"another library":            {"ghcr.io/library/nginx", Ignore{Image: "nginx"}, 0, false},
		"a pattern that is none":     {registry, Ignore{Image: "shop/[web"}, 0, false},
		"no name":                    {"", Ignore{Image: "shop/*"}, 0, false},
		"no name, of all":            {"", Ignore{}, 0, true},
		"before its end":             {registry, Ignore{Until: ignoreDay}, -1, true},
		"at its end":                 {registry, Ignore{Until: ignoreDay}, 0, false},
		"after its end":              {registry, Ignore{Until: ignoreDay}, time.Hour, false},
		"before its end, another":    {registry, Ignore{Until: ignoreDay, Image: "blog/*"}, -1, false},
	} {
		other := Ignore{ID: "CVE-2", Reason: "of all images"}
		r := Rules{MinSeverity: claircore.High, OnlyFixable: true, Ignore: []Ignore{c.ignore, other}}
		before := slices.Clone(r.Ignore)
		want := Rules{MinSeverity: claircore.High, OnlyFixable: true, Ignore: []Ignore{other}}
		if c.holds {
			want = r
		}
		if got := r.At(c.image, ignoreDay.Add(c.after)); !got.Equal(want) {
			t.Errorf("%s: got %+v", name, got)
		}
		if !slices.Equal(r.Ignore, before) {
			t.Errorf("%s: the rules were changed: %+v", name, r)
		}
	}
}

// An image that runs under two names has one record: what it says must not hang on which of them was looked at.
func TestRulesAtSeveralNames(t *testing.T) {
	r := Rules{Ignore: []Ignore{{ID: "CVE-1", Image: "shop/*"}, {ID: "CVE-2", Image: "*/web"}, {ID: "CVE-3"}}}
	for _, names := range [][]string{{"shop/web:1", "mirror/web:1"}, {"mirror/web:1", "shop/web:1"}} {
		at := r
		for _, name := range names {
			at = at.At(name, ignoreDay)
		}
		if !slices.Equal(at.Ignore, r.Ignore[1:]) {
			t.Errorf("%v: got %+v", names, at)
		}
	}
}

func TestRulesNext(t *testing.T) {
	until := func(days ...int) (is []Ignore) {
		for _, d := range days {
			i := Ignore{ID: "CVE-1", Image: "shop/*"}
			if d >= 0 {
				i.Until = ignoreDay.AddDate(0, 0, d)
			}
			is = append(is, i)
		}
		return is
	}
	const never = -1
	for _, c := range []struct {
		ignore []Ignore
		now    int // days
		want   int
	}{
		{nil, 0, never}, {until(never), 0, never}, {until(0), 0, never}, {until(1), 0, 1}, {until(1), 1, never},
		{until(3, never, 1, 2), 0, 1}, {until(3, never, 1, 2), 1, 2}, {until(3, never, 1, 2), 2, 3}, {until(3, never, 1, 2), 3, never},
	} {
		want := time.Time{}
		if c.want != never {
			want = ignoreDay.AddDate(0, 0, c.want)
		}
		if got := (Rules{Ignore: c.ignore}).Next(ignoreDay.AddDate(0, 0, c.now)); !got.Equal(want) {
			t.Errorf("%v on day %d: got %v, want %v", c.ignore, c.now, got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	low := Finding{Name: "CVE-2023-4911", Package: "libc6", source: "glibc", Severity: claircore.Low}
	fixed := low
	fixed.FixedIn = "2"
	ghsa := low
	ghsa.Name = "GHSA-2c8p-x7jq-v5gh"
	strict := Rules{MinSeverity: claircore.High}
	ignore := func(r Rules, is ...Ignore) Rules {
		r.Ignore = is
		return r
	}
	for name, c := range map[string]struct {
		rules Rules
		f     Finding
		want  verdict
	}{
		"all":                           {Rules{}, low, passes},
		"not severe enough":             {strict, low, heldBack},
		"no fix":                        {Rules{OnlyFixable: true}, low, heldBack},
		"a fix":                         {Rules{OnlyFixable: true}, fixed, passes},
		"a fix, not severe enough":      {Rules{OnlyFixable: true, MinSeverity: claircore.High}, fixed, heldBack},
		"by id":                         {ignore(Rules{}, Ignore{ID: "CVE-2023-4911"}), low, ignores},
		"in other letters":              {ignore(Rules{}, Ignore{ID: "cve-2023-4911"}), low, ignores},
		"in capitals":                   {ignore(Rules{}, Ignore{ID: "GHSA-2C8P-X7JQ-V5GH"}), ghsa, ignores},
		"another id":                    {ignore(Rules{}, Ignore{ID: "CVE-2023-491"}), low, passes},
		"by package":                    {ignore(Rules{}, Ignore{Package: "libc6"}), low, ignores},
		"by source package":             {ignore(Rules{}, Ignore{Package: "glibc"}), low, ignores},
		"a part of a package":           {ignore(Rules{}, Ignore{Package: "libc"}), low, passes},
		"by both":                       {ignore(Rules{}, Ignore{ID: "CVE-2023-4911", Package: "libc6"}), low, ignores},
		"by id and source package":      {ignore(Rules{}, Ignore{ID: "CVE-2023-4911", Package: "glibc"}), low, ignores},
		"of another package":            {ignore(Rules{}, Ignore{ID: "CVE-2023-4911", Package: "musl"}), low, passes},
		"another id of the package":     {ignore(Rules{}, Ignore{ID: "CVE-2023-1", Package: "glibc"}), low, passes},
		"one of several":                {ignore(Rules{}, Ignore{ID: "CVE-2023-1"}, Ignore{Package: "glibc"}), low, ignores},
		"about nothing":                 {ignore(Rules{}, Ignore{Reason: "all of it"}), low, passes},
		"about nothing, of no name":     {ignore(Rules{}, Ignore{}), Finding{}, passes},
		"ignored and not severe enough": {ignore(strict, Ignore{Package: "glibc"}), low, ignores},
		"ignored and without a fix":     {ignore(Rules{OnlyFixable: true}, Ignore{Package: "glibc"}), low, ignores},
	} {
		if got := c.rules.judge().of(c.f); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
		if got := c.rules.Pass(c.f); got != (c.want == passes) {
			t.Errorf("%s: passes %t", name, got)
		}
	}
}

// A package can be installed in two versions, of which one is fixed, or under two names, of which one is ignored.
func TestOneOfTwoVersionsPasses(t *testing.T) {
	first := Finding{Name: "CVE-1", source: "a", Package: "a-bin", Installed: "1", Severity: claircore.High}
	second := first
	second.Package, second.Installed, second.FixedIn = "a-lib", "2", "3"
	r := Report{Findings: distinct([]Finding{first, second})}
	for name, c := range map[string]struct {
		rules Rules
		told  bool
		want  Summary
	}{
		"fixable":        {Rules{OnlyFixable: true}, true, Summary{Counts: Counts{High: 1, Fixable: 1}, Hidden: Counts{High: 1}}},
		"not ignored":    {Rules{Ignore: []Ignore{{Package: "a-bin"}}}, true, Summary{Counts: Counts{High: 1, Fixable: 1}, Ignored: Counts{High: 1}}},
		"ignored":        {Rules{Ignore: []Ignore{{Package: "a"}}}, false, Summary{Ignored: Counts{High: 2, Fixable: 1}}},
		"each otherwise": {Rules{OnlyFixable: true, Ignore: []Ignore{{Package: "a-lib"}}}, false, Summary{Hidden: Counts{High: 1}, Ignored: Counts{High: 1, Fixable: 1}}},
	} {
		if got := r.Record(Basis{}, c.rules).Entries; len(got) != 1 || got[0].Told != c.told {
			t.Errorf("%s: remembers %+v", name, got)
		}
		got := r.Summarize(8, c.rules)
		if got.Counts != c.want.Counts || got.Hidden != c.want.Hidden || got.Ignored != c.want.Ignored {
			t.Errorf("%s: counts %+v, hides %+v, ignores %+v", name, got.Counts, got.Hidden, got.Ignored)
		}
		if got.Rules.Ignore != nil {
			t.Errorf("%s: keeps the list of what is ignored", name)
		}
	}
	// What is held back stays told, what is ignored does not: one version that is held back is enough to keep it.
	told := r.Record(Basis{}, Rules{})
	mixed := Rules{OnlyFixable: true, Ignore: []Ignore{{Package: "a-lib"}}}
	if d := told.Compare(r, Basis{}, mixed); d.told() != "" || !d.Silent.IsEmpty() {
		t.Errorf("got %+v", d)
	}
}

// look is one look at an image: what it has, and under which rules.
type look struct {
	name   string
	report Report
	basis  Basis
	rules  Rules
	want   string // the parts that are told, with the findings
}

// told names the parts of a difference that have something to tell.
func (d Difference) told() (s string) {
	for _, p := range []struct {
		name string
		Part
	}{
		{"disclosed", d.Disclosed}, {"sourced", d.Sourced}, {"visible", d.Visible}, {"rose", d.Rose},
		{"renewed", d.Renewed}, {"returned", d.Returned},
	} {
		if len(p.Findings) == 0 {
			continue
		}
		s += " " + p.name
		for _, f := range p.Findings {
			s += " " + f.Name
		}
	}
	if n := len(d.Withdrawn.Change.Entries); n > 0 {
		s += fmt.Sprint(" withdrawn ", n)
	}
	if n := len(d.Vanished); n > 0 {
		s += fmt.Sprint(" vanished ", n)
	}
	if s == "" {
		return ""
	}
	return s[1:]
}

func TestCompareIgnored(t *testing.T) {
	const low, high, critical = claircore.Low, claircore.High, claircore.Critical
	find := func(name, fixed string, s Severity) Finding {
		return Finding{Name: name, Package: "p", source: "p", FixedIn: fixed, Severity: s, Updater: "debian"}
	}
	a, b, c := find("A", "", high), find("B", "", high), find("C", "", high)
	of := func(fs ...Finding) Report { return Report{Findings: distinct(fs)} }
	here, other, more := basisWith("debian"), basisWith("debian"), basisWith("debian", "osv")
	other.Clair = 1
	all, only := Rules{}, Rules{OnlyFixable: true}
	ignoring := func(r Rules) Rules {
		r.Ignore = []Ignore{{ID: "A"}}
		return r
	}
	not := ignoring(all)
	loud := Rules{MinSeverity: critical}
	osv := a
	osv.Updater = "osv"

	inSome := Rules{Ignore: []Ignore{{ID: "A", Image: "shop/*"}}}
	oneName := inSome // it runs under no other name any more
	oneName.Settled = inSome.Ignore
	settled := not
	settled.Settled = not.Ignore
	// Others than were in force at the last look, and not about this, or about this all the same.
	otherwise := func(settled ...Ignore) Rules {
		r := inSome
		r.Settled = settled
		return r
	}
	reworded := otherwise(Ignore{ID: "a", Image: "shop/*", Reason: "no shell", Until: ignoreDay})
	broader := otherwise(inSome.Ignore...)
	broader.Ignore = append(slices.Clone(inSome.Ignore), Ignore{Package: "p", Image: "shop/*"})
	unrelated := otherwise(inSome.Ignore...)
	unrelated.Ignore = append(slices.Clone(inSome.Ignore), Ignore{ID: "C"}, Ignore{ID: "D", Image: "shop/*"})

	for name, looks := range map[string][]look{
		"in some images, and the names are others": {
			{"first", of(a, b), here, all, ""}, {"one name", of(a, b), here, oneName, ""}, {"both", of(a, b), here, all, ""},
		},
		"in some images, and it rises under one name": {
			{"first", of(find("A", "", low)), here, all, ""}, {"one name", of(a), here, oneName, ""}, {"both", of(a), here, all, "rose A"},
		},
		"in some images, and renewed under one name": {
			{"first", of(a, b), here, all, ""}, {"one name", of(a, b), other, oneName, ""}, {"both", of(a, b), other, all, ""},
		},
		"in some images, and disclosed under one name": {
			{"first", of(b), here, all, ""}, {"one name", of(a, b), here, oneName, ""}, {"both", of(a, b), here, all, "visible A"},
		},
		"in some images, one name, and an edit of the reason": {
			{"first", of(a, b), here, all, ""}, {"one name", of(a, b), here, reworded, ""}, {"both", of(a, b), here, all, ""},
		},
		"in some images, one name, and another ignore": {
			{"first", of(a, b), here, all, ""}, {"one name", of(a, b), here, unrelated, ""}, {"both", of(a, b), here, all, ""},
		},
		"in some images, one name, and another ignore of it": {
			{"first", of(a, b), here, all, ""}, {"one name", of(a, b), here, broader, ""}, {"both", of(a, b), here, all, "visible B A"},
		},
		"in some images, one name, and it was of others": {
			{"first", of(a, b), here, all, ""}, {"one name", of(a, b), here, otherwise(Ignore{ID: "A", Image: "blog/*"}), ""},
			{"both", of(a, b), here, all, "visible A"},
		},
		"in some images, one name, and it was of another package": {
			{"first", of(a, b), here, all, ""}, {"one name", of(a, b), here, otherwise(Ignore{ID: "A", Package: "q", Image: "shop/*"}), ""},
			{"both", of(a, b), here, all, "visible A"},
		},
		"in some images, added when it rises beside another": {
			{"first", of(find("A", "", low), find("B", "", low)), here, all, ""}, {"added", of(a, b), here, inSome, "rose B"},
			{"ended", of(a, b), here, all, "visible A"},
		},
		"in some images, added when it returns beside another": {
			{"first", of(a, b, c), here, all, ""}, {"withdrawn", of(c), here, all, "withdrawn 2"}, {"added", of(a, b, c), here, inSome, "returned B"},
			{"ended", of(a, b, c), here, all, "visible A"},
		},
		"in some images, added when another one is renewed": {
			{"first", of(a, b), here, all, ""}, {"added", of(a, b, c), other, inSome, "renewed C"}, {"ended", of(a, b, c), other, all, "visible A"},
		},
		"in some images, added when another one is disclosed": {
			{"first", of(a, b), here, all, ""}, {"added", of(a, b, c), here, inSome, "disclosed C"}, {"ended", of(a, b, c), here, all, "visible A"},
		},
		"in some images, added": {
			{"first", of(a, b), here, all, ""}, {"added", of(a, b), here, inSome, ""}, {"again", of(a, b), here, oneName, ""},
			{"ended", of(a, b), here, all, "visible A"},
		},
		"in all images, as before": {
			{"first", of(a, b), here, all, ""}, {"told since", of(a, b), here, settled, ""}, {"ended", of(a, b), here, all, "visible A"},
		},
		"added, and removed": {
			{"first", of(a, b), here, all, ""},
			{"added", of(a, b), here, not, ""}, {"still", of(a, b), here, not, ""},
			{"removed", of(a, b), here, all, "visible A"}, {"told", of(a, b), here, all, ""},
			{"added again", of(a, b), here, not, ""}, {"removed again", of(a, b), here, all, "visible A"},
		},
		"from the beginning": {
			{"first", of(a, b), here, not, ""}, {"again", of(a, b), here, not, ""},
			{"ended", of(a, b), here, all, "visible A"}, {"told", of(a, b), here, all, ""},
		},
		"disclosed while it is ignored": {
			{"first", of(b), here, not, ""}, {"disclosed", of(a, b), here, not, ""}, {"ended", of(a, b), here, all, "visible A"},
		},
		"of a new source while it is ignored": {
			{"first", of(b), here, not, ""}, {"sourced", of(osv, b), more, not, ""}, {"ended", of(osv, b), more, all, "visible A"},
		},
		"rises while it is ignored": {
			{"first", of(find("A", "", low)), here, all, ""}, {"added", of(find("A", "", low)), here, not, ""},
			{"rose", of(find("A", "", critical)), here, not, ""}, {"ended", of(find("A", "", critical)), here, all, "visible A"},
			{"told", of(find("A", "", critical)), here, all, ""},
		},
		"rises when it is ignored": {
			{"first", of(find("A", "", low)), here, all, ""}, {"both", of(a), here, not, ""}, {"ended", of(a), here, all, "visible A"},
		},
		"rises when that ends": {
			{"first", of(find("A", "", low)), here, not, ""}, {"both", of(a), here, all, "rose A"}, {"told", of(a), here, all, ""},
		},
		"withdrawn while it is ignored": {
			{"first", of(a, b), here, all, ""}, {"added", of(a, b), here, not, ""}, {"withdrawn", of(b), here, not, ""},
			{"ended", of(b), here, all, ""}, {"back", of(a, b), here, all, "visible A"},
		},
		"withdrawn before it is ignored": {
			{"first", of(a, b), here, all, ""}, {"withdrawn", of(b), here, all, "withdrawn 1"}, {"added", of(b), here, not, ""},
			{"back", of(a, b), here, not, ""}, {"ended", of(a, b), here, all, "visible A"},
		},
		"away while it is ignored": {
			{"first", of(a, b), here, all, ""}, {"withdrawn", of(b), here, all, "withdrawn 1"}, {"added", of(b), here, not, ""},
			{"ended", of(b), here, all, ""}, {"back", of(a, b), here, all, "returned A"},
		},
		"renewed while it is ignored": {
			{"first", of(a, b), here, all, ""}, {"added", of(a, b), here, not, ""}, {"renewed", of(a, b), other, not, ""},
			{"ended", of(a, b), other, all, "visible A"},
		},
		"renewed when it is ignored": {
			{"first", of(a, b), here, all, ""}, {"both", of(a, b), other, not, ""}, {"ended", of(a, b), other, all, "visible A"},
		},
		"renewed when that ends": {
			{"first", of(a, b), here, not, ""}, {"both", of(a, b), other, all, "renewed A"}, {"told", of(a, b), other, all, ""},
		},
		"renewed, and not seen": {
			{"first", of(a, b), here, all, ""}, {"added", of(a, b), here, not, ""}, {"renewed", of(b), other, not, ""},
		},
		"ignored and held back": {
			{"first", of(a), here, all, ""}, {"both", of(a), here, ignoring(loud), ""}, {"ended", of(a), here, loud, ""},
			{"lowered", of(a), here, all, "visible A"},
		},
		"held back only": {
			{"first", of(a), here, all, ""}, {"raised", of(a), here, loud, ""}, {"lowered", of(a), here, all, ""},
			{"no fix", of(a), here, only, ""}, {"any", of(a), here, all, ""},
		},
		"a fix is published": {
			{"first", of(a, b), here, only, ""}, {"fixed", of(find("A", "2", high), b), here, only, "visible A"},
			{"told", of(find("A", "2", high), b), here, only, ""}, {"taken back", of(a, b), here, only, ""},
			{"fixed again", of(find("A", "2", high), b), here, only, ""},
		},
		"a fix is disclosed at once": {
			{"first", of(b), here, only, ""}, {"fixed", of(find("A", "2", high), b), here, only, "disclosed A"},
		},
		"a fix while it is ignored": {
			{"first", of(a), here, ignoring(only), ""}, {"fixed", of(find("A", "2", high)), here, ignoring(only), ""},
			{"ended", of(find("A", "2", high)), here, only, "visible A"}, {"told", of(find("A", "2", high)), here, only, ""},
		},
		"a fix after it was ignored": {
			{"first", of(a), here, all, ""}, {"added", of(a), here, ignoring(only), ""}, {"ended", of(a), here, only, ""},
			{"fixed", of(find("A", "2", high)), here, only, "visible A"},
		},
		"a rise that waits for a fix": {
			{"first", of(find("A", "", low)), here, all, ""}, {"rose", of(a), here, only, ""}, {"fixed", of(find("A", "2", high)), here, only, "rose A"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := looks[0].report.Record(looks[0].basis, looks[0].rules)
			for _, l := range looks[1:] {
				d := r.Compare(l.report, l.basis, l.rules)
				if got := d.told(); got != l.want {
					t.Fatalf("%s: got %q, want %q", l.name, got, l.want)
				}
				// Before a message is accepted it can be looked at again, by what is settled then.
				rules := l.rules
				rules.Settled = rules.Ignore
				if d.told() != "" {
					looked := r.With(d.Silent)
					twice := looked.Compare(l.report, l.basis, rules)
					if !reflect.DeepEqual(parts(twice), parts(d)) {
						t.Fatalf("%s: looked at twice it is %+v, want %+v", l.name, parts(twice), parts(d))
					}
					if one, two := kept(d.after(r)), kept(twice.after(looked)); !reflect.DeepEqual(two, one) {
						t.Fatalf("%s: looked at twice it leaves %+v, want %+v", l.name, two, one)
					}
				}
				r = d.after(r)
				if again := r.Compare(l.report, l.basis, l.rules); again.told() != "" || !again.Silent.IsEmpty() {
					t.Fatalf("%s: told %q and changed again: %+v", l.name, again.told(), again.Silent)
				}
			}
		})
	}
}

// parts are the findings of each part of a difference, and what is ignored besides.
func parts(d Difference) (all [][2][]ID) {
	for _, p := range d.parts() {
		var found []ID
		for _, f := range p.Findings {
			found = append(found, f.ID())
		}
		all = append(all, [2][]ID{found, p.Ignored})
	}
	return all
}

// A change says what it takes back until it has reached a record, also by way of other changes.
func TestHush(t *testing.T) {
	const high = claircore.High
	entry := func(told, hushed bool) Record {
		return NewRecord(Basis{}, []Entry{{ID: 1, Severity: high, Told: told, Hushed: hushed}})
	}
	told, untold, hush := entry(true, false), entry(false, false), entry(false, true)
	if told.Covers(hush) || !untold.Covers(hush) {
		t.Error("a record covers what it has not taken back, or does not cover what it has")
	}
	states, changes := []Record{{}, told, untold}, []Record{{}, told, untold, hush}
	for _, state := range states {
		for _, first := range changes {
			for _, second := range changes {
				one, both := kept(state.With(first).With(second)), kept(state.With(first.With(second)))
				if !reflect.DeepEqual(one, both) {
					t.Errorf("%v with %v and %v: one by one %v, together %v", state, first, second, one, both)
				}
				if e, ok := both.Find(1); reflect.DeepEqual(second, hush) && e.Told || reflect.DeepEqual(second, told) && !e.Told || !ok && len(both.Entries) > 0 {
					t.Errorf("%v with %v and %v: %v", state, first, second, both)
				}
			}
		}
	}
}

// kept is a record as a ledger keeps it.
func kept(r Record) Record {
	r.Entries = slices.Clone(r.Entries)
	for i := range r.Entries {
		r.Entries[i].Hushed = false
	}
	return r
}

// What is told follows from what people know, of each finding for itself: they know what a message told them of, with
// the severity that it had, until it is ignored.
func TestCompareKnowledge(t *testing.T) {
	type knowledge struct {
		seen, knows, absent bool
		severity            Severity
	}
	basis := basisWith("u", "v")
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 7))
		people := map[ID]*knowledge{}
		record := Report{}.Record(basis, Rules{})
		for step := range 8 {
			report, rules := anyReport(r), anyRules(r)
			least := map[ID]verdict{}
			severity := map[ID]Severity{}
			for _, f := range report.Findings { // one finding at a time, one rule at a time
				v := passes
				switch {
				case slices.ContainsFunc(rules.Ignore, func(i Ignore) bool {
					return (i.ID == "" || i.ID == f.Name) && (i.Package == "" || i.Package == f.Package || i.Package == f.source)
				}):
					v = ignores
				case rules.OnlyFixable && f.FixedIn == "", rules.effective(f.Severity) < rules.MinSeverity:
					v = heldBack
				}
				if was, seen := least[f.ID()]; !seen || v < was { // worst first
					least[f.ID()], severity[f.ID()] = v, f.Severity
				}
			}
			want := map[string]int{}
			for id, v := range least {
				p := people[id]
				if p == nil {
					p = &knowledge{}
					people[id] = p
				}
				rises := rules.rises(p.severity, severity[id])
				switch {
				case v == ignores:
					p.knows = false
				case v == heldBack:
				case !p.seen:
					want["disclosed"]++
				case rises:
					want["rose"]++
				case !p.knows:
					want["visible"]++
				case p.absent:
					want["returned"]++
				}
				if !p.knows || v == passes && (rises || p.absent) { // what a message says, or nobody has heard yet
					p.severity = max(p.severity, severity[id])
				}
				p.seen, p.absent, p.knows = true, false, p.knows || v == passes
			}
			for id, p := range people {
				if _, there := least[id]; !there && !p.absent {
					p.absent = true
					if p.knows {
						want["withdrawn"]++
					}
				}
			}
			d := record.Compare(report, basis, rules)
			got := map[string]int{}
			for name, n := range map[string]int{
				"disclosed": len(d.Disclosed.Findings), "sourced": len(d.Sourced.Findings), "visible": len(d.Visible.Findings), "rose": len(d.Rose.Findings),
				"renewed": len(d.Renewed.Findings), "returned": len(d.Returned.Findings), "withdrawn": len(d.Withdrawn.Change.Entries),
			} {
				if n > 0 {
					got[name] = n
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, step %d: told %v, want %v", seed, step, got, want)
			}
			record = kept(d.after(record))
			for _, e := range record.Entries {
				if p := people[e.ID]; e.Told != p.knows || e.Absent != p.absent {
					t.Fatalf("seed %d, step %d: remembers %+v of %+v", seed, step, e, *p)
				}
			}
		}
	}
}

// many are n findings, and half a hundred ignores of some of them and as many of others.
func many(n int) (Report, Rules) {
	var r Report
	for i := range n {
		r.Findings = append(r.Findings, Finding{
			Name: fmt.Sprintf("CVE-2026-%05d", i), Package: fmt.Sprint("p", i%40), source: fmt.Sprint("s", i%40),
			Severity: Severities[i%len(Severities)], Updater: "debian",
		})
	}
	Sort(r.Findings)
	var rules Rules
	for i := range 50 {
		rules.Ignore = append(rules.Ignore, Ignore{ID: fmt.Sprintf("CVE-2026-%05d", 3*i)}, Ignore{ID: fmt.Sprint("CVE-2020-", i), Package: "p1"})
	}
	return r, rules
}

// Each image of a cluster is compared again and again: what a long list of ignores costs is its index.
func TestIgnoresAllocateOnce(t *testing.T) {
	report, rules := many(300)
	basis := basisWith("debian")
	record := report.Record(basis, rules)
	without := testing.AllocsPerRun(20, func() { record.Compare(report, basis, Rules{MinSeverity: claircore.Critical}) })
	with := testing.AllocsPerRun(20, func() { record.Compare(report, basis, rules) })
	if most := without + 100; with > most {
		t.Errorf("%.0f allocations with 100 ignores, %.0f without", with, without)
	}
}

func BenchmarkCompare(b *testing.B) {
	report, rules := many(300)
	basis := basisWith("debian")
	record := report.Record(basis, rules)
	b.ReportAllocs()
	for b.Loop() {
		record.Compare(report, basis, rules.At("registry.example.com/shop/web:1", ignoreDay))
	}
}

// What a part says was ignored is what it would tell besides if nothing were, and it does so until it is told.
func TestCompareCountsIgnored(t *testing.T) {
	ids := func(p Part) []ID {
		var ids []ID
		for _, f := range p.Findings {
			ids = append(ids, f.ID())
		}
		return ids
	}
	bases := []Basis{basisWith("u"), basisWith("u", "v"), {Clair: NameID("other"), State: "s1"}}
	counted := make([]int, len(Difference{}.parts()))
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 11))
		record := anyReport(r).Record(bases[r.IntN(len(bases))], anyRules(r))
		report, basis, rules := anyReport(r), bases[r.IntN(len(bases))], anyRules(r)
		seen := make(map[ID]bool)
		report.Findings = slices.DeleteFunc(report.Findings, func(f Finding) bool { // of a package in several versions one counts
			again := seen[f.ID()]
			seen[f.ID()] = true
			return again
		})
		d := record.Compare(report, basis, rules)
		looked := record.With(d.Silent).Compare(report, basis, rules)
		rules.Ignore = nil
		for i, e := range record.Entries { // as what is ignored counts as not told before anything is told
			record.Entries[i].Told = e.Told && !slices.ContainsFunc(d.Silent.Entries, func(s Entry) bool { return s.ID == e.ID && s.Hushed })
		}
		all := record.Compare(report, basis, rules)
		for i, p := range d.parts() {
			var want []ID
			if len(p.Findings) > 0 || i == 4 && len(d.Vanished) > 0 {
				told := ids(p)
				want = slices.DeleteFunc(ids(all.parts()[i]), func(id ID) bool { return slices.Contains(told, id) })
			}
			slices.Sort(want)
			if got := slices.Sorted(slices.Values(p.Ignored)); !slices.Equal(got, want) {
				t.Fatalf("seed %d, part %d: %v, want %v", seed, i, got, want)
			}
			for _, id := range want { // what else is ignored by then would be visible
				if !slices.Contains(looked.parts()[i].Ignored, id) {
					t.Fatalf("seed %d, part %d: %v is not counted when it is looked at again", seed, i, id)
				}
			}
			counted[i] += len(want)
		}
	}
	if i := slices.Index(counted[:5], 0); i >= 0 {
		t.Errorf("part %d never ignored anything: %v", i, counted)
	}
}
