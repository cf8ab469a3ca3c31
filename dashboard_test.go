package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// board is what counts of deploy/grafana.json.
type board struct {
	Title, UID    string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct {
			Name, Type, Definition string
		}
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               struct{ UID string }
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Instant, Range            bool
		Datasource                struct{ UID string }
	}
	FieldConfig struct {
		Defaults struct {
			NoValue    string
			Thresholds struct{ Steps []step }
		}
	}
}

// step is a colour, and the value from which on a stat has it; nil: below all others, and where there is no value.
type step struct {
	Color string
	Value *float64
}

// TestDashboard compares deploy/grafana.json with the metrics that there are, and says what each panel must have.
func TestDashboard(t *testing.T) {
	const source = "${datasource}"
	var b board
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana.json")), &b); err != nil {
		t.Fatal(err)
	}
	if b.Title == "" || b.UID == "" || b.SchemaVersion < 39 {
		t.Errorf("%q, %q, schema %d", b.Title, b.UID, b.SchemaVersion)
	}
	have := everyMetric(t)
	var variables []string
	for _, v := range b.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" {
			checkQuery(t, "variable "+v.Name, v.Definition, have)
		}
	}
	if got := strings.Join(variables, " "); got != "datasource namespace" {
		t.Errorf("variables: %s", got)
	}
	ids, titles := make(map[int]bool), make(map[string]bool)
	var taken [1000][24]string // rows and columns of the grid
	shown := make(map[string]bool)
	for _, p := range b.Panels {
		if ids[p.ID] || p.ID <= 0 || titles[p.Title] || p.Title == "" {
			t.Errorf("panel %d %q: its id or title is not its own", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				if x >= 24 || taken[y][x] != "" {
					t.Fatalf("%q is where %q is, or beyond the edge", p.Title, taken[y][min(x, 23)])
				}
				taken[y][x] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 || p.Datasource.UID != source {
			t.Errorf("%q has no description, no query or another source", p.Title)
		}
		refs := make(map[string]bool)
		for _, target := range p.Targets {
			if refs[target.RefID] || target.Datasource.UID != source {
				t.Errorf("%q: query %q", p.Title, target.RefID)
			}
			refs[target.RefID] = true
			for _, m := range checkQuery(t, p.Title, target.Expr, have) {
				shown[m] = true
			}
			if strings.Contains(target.Expr, "vector(") {
				t.Errorf("%q has a value when nothing is scraped: %s", p.Title, target.Expr)
			}
		}
		if p.Type == "stat" {
			checkStat(t, p)
		}
	}
	if len(shown) < 20 {
		t.Errorf("only %d metrics are shown", len(shown))
	}
}

// checkStat has a panel show what is now, and not look well when nobody knows: not by the last value of the range that is
// shown, nor by a zero or a green where there is none.
func checkStat(t *testing.T, p panel) {
	t.Helper()
	for _, target := range p.Targets {
		if !target.Instant || target.Range {
			t.Errorf("%q shows a value that may be a day old", p.Title)
		}
	}
	shown := p.FieldConfig.Defaults
	if shown.NoValue == "" || shown.NoValue == "0" {
		t.Errorf("%q shows %q where there is no value", p.Title, shown.NoValue)
	}
	if steps := shown.Thresholds.Steps; len(steps) < 2 || steps[0].Value != nil || strings.Contains(steps[0].Color, "green") {
		t.Errorf("%q has the colours %v, the first of which it has where there is no value", p.Title, steps)
	}
}
