package main

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// alertRule is one of deploy/alerts.yaml.
type alertRule struct {
	Alert               string            `json:"alert"`
	Expr                string            `json:"expr"`
	For                 string            `json:"for"`
	KeepFiringFor       string            `json:"keep_firing_for"`
	Labels, Annotations map[string]string `json:",omitempty"`
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string      `json:"name"`
			Rules []alertRule `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, "deploy/alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 {
		t.Fatalf("%d groups", len(file.Groups))
	}
	return file.Groups[0].Rules
}

// TestAlerts compares deploy/alerts.yaml with the metrics that there are, and says what each rule must have.
func TestAlerts(t *testing.T) {
	have := everyMetric(t)
	for _, rule := range alertRules(t) {
		checkQuery(t, rule.Alert, rule.Expr, have)
		if d, err := time.ParseDuration(rule.For); err != nil || d < time.Minute {
			t.Errorf("%s: for is %q (%v)", rule.Alert, rule.For, err)
		}
		if d, err := time.ParseDuration(cmp.Or(rule.KeepFiringFor, "1m")); err != nil || d < time.Minute {
			t.Errorf("%s: keep_firing_for is %q (%v)", rule.Alert, rule.KeepFiringFor, err)
		}
		if s := rule.Labels["severity"]; len(rule.Labels) != 1 || s != "critical" && s != "warning" {
			t.Errorf("%s: labels %v", rule.Alert, rule.Labels)
		}
		for _, annotation := range []string{"summary", "description", "runbook"} {
			if rule.Annotations[annotation] == "" {
				t.Errorf("%s has no %s", rule.Alert, annotation)
			}
		}
		// What the text shows is there when the alert fires: labels that are not summed up.
		for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(rule.Annotations["summary"]+rule.Annotations["description"], -1) {
			if !regexp.MustCompile(`by \([^)]*\b` + m[1] + `\b`).MatchString(rule.Expr) {
				t.Errorf("%s shows the label %s, which its expression has not", rule.Alert, m[1])
			}
		}
	}
}

// TestDocsAlerts compares the alerts of docs/operating.md with those that there are.
func TestDocsAlerts(t *testing.T) {
	got := firstColumn(section(t, read(t, "docs/operating.md"), "## Alerts"))
	var want []string
	for _, rule := range alertRules(t) {
		want = append(want, rule.Alert)
		if !strings.Contains(rule.Annotations["runbook"], `docs/operating.md, chapter "Alerts"`) {
			t.Errorf("%s: %s leads nowhere", rule.Alert, rule.Annotations["runbook"])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page has %q, there are %q", got, want)
	}
}
