package findings

import (
	"slices"
	"strings"
	"testing"

	"github.com/quay/claircore"
)

// Two versions of a package are one vulnerability to whoever counts fixes.
func TestFixable(t *testing.T) {
	fs := []Finding{
		{Name: "CVE-2", source: "a", Installed: "1", FixedIn: "3"},
		{Name: "CVE-1", source: "a", Installed: "1", FixedIn: "3"},
		{Name: "CVE-2", source: "a", Installed: "2", FixedIn: "3"},
		{Name: "CVE-3", source: "a", Installed: "1"},
	}
	want := []ID{fs[0].ID(), fs[1].ID()}
	slices.Sort(want)
	if got := Fixable(fs); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// Of two sights of one finding the one that says what it is about is kept.
func TestDistinctKeepsTheDescription(t *testing.T) {
	const said = "An attacker can read memory."
	fs := distinct([]Finding{
		{Name: "CVE-1", source: "a", Installed: "1", Description: said},
		{Name: "CVE-1", source: "a", Installed: "1"},
	})
	if len(fs) != 1 || fs[0].Description != said {
		t.Errorf("got %+v", fs)
	}
}

// Summaries wait for Slack, many at a time: they keep neither the descriptions nor what points into them.
func TestSummaryKeepsNoDescription(t *testing.T) {
	long := strings.Repeat("x", 1<<10)
	r := Report{Covered: true, Findings: []Finding{
		{Name: "CVE-1", Package: "a", source: "a", Installed: "1", FixedIn: "2", Severity: claircore.High, Description: long},
		{Name: "CVE-2", Package: "b", source: "b", Installed: "1", Severity: claircore.High, Description: long},
	}}
	rules := Rules{MinSeverity: claircore.Low}
	s := r.Summarize(8, rules)
	if len(s.Updates) != 1 || s.Updates[0].Worst.Name != "CVE-1" || s.Unfixed.Name != "CVE-2" {
		t.Fatalf("got %+v", s)
	}
	if s.Updates[0].Worst.Description != "" || s.Unfixed.Description != "" {
		t.Errorf("keeps what the advisories say: %+v", s)
	}
	if !s.Rules.Equal(rules) {
		t.Errorf("was made of the rules %+v", s.Rules)
	}
	if r.Findings[0].Description != long || r.Findings[1].Description != long {
		t.Error("the report has lost its descriptions")
	}
}
