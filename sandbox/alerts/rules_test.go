// Package alerts tests the alerts and the dashboard in the folder deploy: that promtool takes them, that each alert fires
// when it is to and not otherwise, and, with a real Prometheus that scrapes a real clairwatch, that what goes wrong in a
// cluster fires the right one, which ends when that is mended.
package alerts

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/sandbox"
)

// The files that are tested.
const (
	rulesPath     = "../../deploy/alerts.yaml"
	dashboardPath = "../../deploy/grafana.json"
)

// rules are the alerts of the file, or what else Prometheus takes as rules.
type rules struct {
	Groups []group `json:"groups"`
}

type group struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

type rule struct {
	Alert         string            `json:"alert,omitempty"`
	Record        string            `json:"record,omitempty"`
	Expr          string            `json:"expr"`
	For           string            `json:"for,omitempty"`
	KeepFiringFor string            `json:"keep_firing_for,omitempty"`
	Labels        map[string]string `json:"labels,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// fetch makes sure that there is a Prometheus, or skips the test.
func fetch(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Prometheus")
	}
	if err := sandbox.FetchPrometheus(t.Context(), t.Logf); errors.Is(err, sandbox.ErrNoPrometheus) && os.Getenv("CI") == "" {
		t.Skip(err) // where a change is judged it is an error
	} else if err != nil {
		t.Fatal(err)
	}
}

// readRules reads the alerts and lets something be changed in each.
func readRules(t *testing.T, change func(*rule)) rules {
	t.Helper()
	text, err := os.ReadFile(rulesPath)
	must(t, err)
	var r rules
	must(t, yaml.UnmarshalStrict(text, &r))
	if len(r.Groups) != 1 || len(r.Groups[0].Rules) == 0 {
		t.Fatalf("%d groups", len(r.Groups))
	}
	for i := range r.Groups[0].Rules {
		change(&r.Groups[0].Rules[i])
	}
	return r
}

// write writes YAML into a file of that name in a folder.
func write(t *testing.T, folder, name string, v any) string {
	t.Helper()
	text, err := yaml.Marshal(v)
	must(t, err)
	path := filepath.Join(folder, name)
	must(t, os.WriteFile(path, text, 0o600))
	return path
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if output, err := sandbox.Promtool(t.Context(), args...); err != nil {
		t.Errorf("%v:\n%s", err, output)
	}
}

// TestRules has promtool check the alerts, and play in testdata when each fires and when it does not.
func TestRules(t *testing.T) {
	fetch(t)
	promtool(t, "check", "rules", rulesPath)

	folder := t.TempDir()
	bare := readRules(t, func(r *rule) { r.Annotations = nil }) // which would have to be repeated word for word
	write(t, folder, "alerts.yaml", bare)
	text, err := os.ReadFile("testdata/alerts.yaml")
	must(t, err)
	plays := filepath.Join(folder, "test.yaml")
	must(t, os.WriteFile(plays, text, 0o600))
	promtool(t, "test", "rules", plays)

	var file struct {
		Tests []struct {
			Alerts []struct {
				Name     string           `json:"alertname"`
				Expected []map[string]any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	must(t, yaml.Unmarshal(text, &file))
	fires, silent := make(map[string]bool), make(map[string]bool)
	for _, play := range file.Tests {
		for _, a := range play.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Expected) > 0
			silent[a.Name] = silent[a.Name] || len(a.Expected) == 0
		}
	}
	for _, r := range bare.Groups[0].Rules {
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("%s is not tested to fire, or not to be silent: %v, %v", r.Alert, fires[r.Alert], silent[r.Alert])
		}
		delete(fires, r.Alert)
	}
	if len(fires) > 0 {
		t.Errorf("tested are %v, which there are not", fires)
	}
}

// queries are those of the dashboard, by where they are, with values for its variables.
func queries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(dashboardPath)
	must(t, err)
	var board struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				RefID string `json:"refId"`
				Expr  string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	must(t, json.Unmarshal(text, &board))
	all := make(map[string]string)
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all[p.Title+" "+target.RefID] = strings.NewReplacer("$__rate_interval", "30m", "$namespace", ".*").Replace(target.Expr)
		}
	}
	if len(all) < 30 {
		t.Fatalf("the dashboard has %d queries", len(all))
	}
	return all
}

// TestQueries has promtool check the queries of the dashboard.
func TestQueries(t *testing.T) {
	fetch(t)
	g := group{Name: "dashboard"}
	for _, query := range queries(t) {
		g.Rules = append(g.Rules, rule{Record: fmt.Sprintf("query:%d", len(g.Rules)), Expr: query})
	}
	promtool(t, "check", "rules", write(t, t.TempDir(), "queries.yaml", rules{Groups: []group{g}}))
}

// TestScrapeConfig has promtool check what docs/operating.md says about scraping, but for how replicas are found: Debian's
// Prometheus is built without Kubernetes.
func TestScrapeConfig(t *testing.T) {
	fetch(t)
	page, err := os.ReadFile("../../docs/operating.md")
	must(t, err)
	_, block, found := strings.Cut(string(page), "```yaml\nscrape_configs:\n")
	block, _, ends := strings.Cut(block, "```")
	const finds = "kubernetes_sd_configs: [{role: endpointslice, namespaces: {names: [clairwatch]}}]"
	if !found || !ends || !strings.Contains(block, finds) {
		t.Fatalf("the page has no scrape_configs with %s", finds)
	}
	block = strings.Replace(block, finds, "static_configs: [{targets: [127.0.0.1]}]", 1)
	path := filepath.Join(t.TempDir(), "prometheus.yaml")
	must(t, os.WriteFile(path, []byte("scrape_configs:\n"+block), 0o600))
	promtool(t, "check", "config", path)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
