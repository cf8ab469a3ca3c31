package findings

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/quay/claircore"
)

func TestUpdates(t *testing.T) {
	f := func(pkg, installed, fixed, name string, s Severity, cvss float64) Finding {
		return Finding{Package: pkg, Installed: installed, FixedIn: fixed, Name: name, Severity: s, CVSS: cvss}
	}
	deb := func(pkg, installed, fixed, name string) Finding {
		return Finding{Package: pkg, Installed: installed, FixedIn: fixed, Name: name, Updater: "debian/updater"}
	}
	for _, c := range []struct {
		name string
		in   []Finding
		want []string
	}{
		{"none", nil, nil},
		{"one update ends several findings", []Finding{
			f("curl", "7", "8", "CVE-1", claircore.Low, 0), f("curl", "7", "8", "CVE-2", claircore.High, 0), f("curl", "7", "8", "CVE-3", claircore.Medium, 0),
		}, []string{"curl 7 8 3 CVE-2"}},
		{"two fixes of one package are two updates", []Finding{
			f("curl", "7", "8", "CVE-1", claircore.Low, 0), f("curl", "7", "9", "CVE-2", claircore.High, 0),
		}, []string{"curl 7 9 1 CVE-2", "curl 7 8 1 CVE-1"}},
		{"the latest of two fixes brings the other", []Finding{
			deb("openssl", "3.0.9-1", "3.0.17-1~deb12u3", "CVE-1"), deb("openssl", "3.0.9-1", "3.0.18-1~deb12u2", "CVE-2"), deb("openssl", "3.0.9-1", "3.0.9-1+deb12u1", "CVE-3"),
			deb("openssl", "3.0.9-1", "", "CVE-4"),
		}, []string{"openssl 3.0.9-1 3.0.18-1~deb12u2 3 CVE-3", "openssl 3.0.9-1  1 CVE-4"}},
		{"what is no version stays apart", []Finding{
			deb("openssl", "1", "2", "CVE-1"), deb("openssl", "1", "next one", "CVE-2"), deb("openssl", "1", "10", "CVE-3"),
		}, []string{"openssl 1 10 2 CVE-3", "openssl 1 next one 1 CVE-2"}},
		{"Alpine has an order of its own", []Finding{
			{Package: "a", Installed: "1.2.0-r0", FixedIn: "1.2.0-r10", Name: "CVE-1", Updater: "alpine-main-v3.20-updater"},
			{Package: "a", Installed: "1.2.0-r0", FixedIn: "1.2.0_git20240101-r0", Name: "CVE-2", Updater: "alpine-main-v3.20-updater"},
			{Package: "a", Installed: "1.2.0-r0", FixedIn: "1.2.0-r9", Name: "CVE-3", Updater: "alpine-main-v3.20-updater"},
		}, []string{"a 1.2.0-r0 1.2.0_git20240101-r0 3 CVE-3"}},
		{"what can be done comes first", []Finding{
			f("a", "1", "", "CVE-1", claircore.Critical, 10), f("b", "1", "2", "CVE-2", claircore.Low, 0),
		}, []string{"b 1 2 1 CVE-2", "a 1  1 CVE-1"}},
		{"then severity, score, number, name", []Finding{
			f("d", "1", "2", "CVE-1", claircore.High, 7), f("c", "1", "2", "CVE-1", claircore.High, 7),
			f("e", "1", "2", "CVE-1", claircore.High, 7), f("e", "1", "2", "CVE-2", claircore.High, 7),
			f("f", "1", "2", "CVE-1", claircore.High, 8), f("g", "1", "2", "CVE-1", claircore.Critical, 0),
		}, []string{"g 1 2 1 CVE-1", "f 1 2 1 CVE-1", "e 1 2 2 CVE-2", "c 1 2 1 CVE-1", "d 1 2 1 CVE-1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // forwards and backwards
				var got []string
				for _, u := range Updates(c.in) {
					got = append(got, fmt.Sprintf("%s %s %s %d %s", u.Package, u.Installed, u.FixedIn, u.Findings, u.Worst.Name))
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("\n got %q\nwant %q", got, c.want)
				}
				slices.Reverse(c.in)
			}
		})
	}
}

func TestSummarize(t *testing.T) {
	r := Report{Digest: "sha256:a", Distribution: "Debian 12", Packages: 9, Covered: true}
	for i := range 20 {
		fixed := ""
		if i < 8 {
			fixed = "2"
		}
		r.Findings = append(r.Findings, Finding{Name: "CVE-1", Package: fmt.Sprint("p", i), Installed: "1", FixedIn: fixed, Severity: claircore.High})
	}
	for rows, want := range map[int]int{-1: 0, 0: 0, 5: 5, 8: 8, 100: 8} {
		s := r.Summarize(rows, Rules{})
		if len(s.Updates) != want || s.AllUpdates != 8 {
			t.Errorf("%d rows: %d of %d updates", rows, len(s.Updates), s.AllUpdates)
		}
		for _, u := range s.Updates {
			if u.FixedIn == "" {
				t.Errorf("%d rows: lists %s, which has no fix, although others have", rows, u.Package)
			}
		}
		if cap(s.Updates) > 2*max(want, 1) {
			t.Errorf("%d rows: keeps %d updates in memory", rows, cap(s.Updates))
		}
		s.Updates = nil
		if want := (Summary{Digest: "sha256:a", Distribution: "Debian 12", Packages: 9, Covered: true, Counts: Counts{High: 20, Fixable: 8}, AllUpdates: 8, Unfixed: r.Findings[8]}); !reflect.DeepEqual(s, want) {
			t.Errorf("got %+v, want %+v", s, want)
		}
	}
	r.Findings = r.Findings[8:]
	if s := r.Summarize(5, Rules{}); len(s.Updates) != 5 || s.AllUpdates != 0 || s.Updates[0].Package != "p10" {
		t.Errorf("without a fix the worst are listed: %+v", s)
	}
	r.Findings = nil
	if s := r.Summarize(5, Rules{}); len(s.Updates) != 0 || s.Counts != (Counts{}) {
		t.Errorf("of nothing: %+v", s)
	}
}

func TestCounts(t *testing.T) {
	var fs []Finding
	for i, s := range Severities {
		for range i + 1 {
			fs = append(fs, Finding{Severity: s})
		}
	}
	fs[0].FixedIn, fs[5].FixedIn = "1", "1"
	got := Count(fs)
	want := Counts{Critical: 1, High: 2, Medium: 3, Low: 4, Negligible: 5, Unknown: 6, Fixable: 2}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.Total() != 21 {
		t.Errorf("total %d", got.Total())
	}
	for i, s := range Severities {
		if got.Of(s) != i+1 {
			t.Errorf("%d of %s", got.Of(s), s)
		}
	}
	if sum, twice := got.Add(want), (Counts{2, 4, 6, 8, 10, 12, 4}); sum != twice || got != want {
		t.Errorf("sum %+v of %+v", sum, got)
	}
	if w, any := got.Worst(); w != claircore.Critical || !any {
		t.Errorf("worst %v, %t", w, any)
	}
	if w, any := (Counts{Unknown: 1, Low: 1}).Worst(); w != claircore.Low || !any {
		t.Errorf("worst %v, %t", w, any)
	}
	if _, any := (Counts{}).Worst(); any {
		t.Error("nothing has a worst")
	}
}

func TestCountsCompare(t *testing.T) {
	inOrder := []Counts{
		{Critical: 2}, {Critical: 1, High: 1, Unknown: 9}, {Critical: 1, High: 1, Unknown: 1, Fixable: 2},
		{Critical: 1, High: 1, Unknown: 1, Fixable: 1}, {Critical: 1, High: 1}, {High: 100}, {Medium: 1}, {Low: 1}, {Negligible: 1}, {Unknown: 1}, {},
	}
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got := a.Compare(b); got != cmp.Compare(i, j) {
				t.Errorf("%+v to %+v: %d", a, b, got)
			}
		}
	}
}

// A card about what is new must not name an older version than the one before it.
func TestSummarizePart(t *testing.T) {
	old := Finding{Name: "CVE-1", Package: "expat", Installed: "1", FixedIn: "2.5.0-1+deb12u2", Updater: "debian/updater", Severity: claircore.High}
	disclosed := Finding{Name: "CVE-2", Package: "expat", Installed: "1", FixedIn: "2.5.0-1+deb12u1", Updater: "debian/updater", Severity: claircore.High}
	npm := Finding{Name: "CVE-3", Package: "left-pad", Installed: "1", FixedIn: "1.2.0", Updater: "osv", Severity: claircore.High}
	other := Finding{Name: "CVE-4", Package: "left-pad", Installed: "1", FixedIn: "2.0.0", Updater: "osv", Severity: claircore.High}
	r := Report{Findings: []Finding{old, disclosed, npm, other}}
	s := r.SummarizePart([]Finding{disclosed, npm}, 8, Rules{})
	if len(s.Updates) != 2 || s.Updates[0].FixedIn != old.FixedIn || s.Updates[0].Findings != 1 || s.Updates[1].FixedIn != npm.FixedIn || s.Counts.Total() != 2 {
		t.Errorf("got %+v", s)
	}
}
