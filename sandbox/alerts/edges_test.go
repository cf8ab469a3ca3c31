package alerts

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRulesAtTheEdges has promtool play what must not fire though it nearly does, and each label value that an alert is about.
func TestRulesAtTheEdges(t *testing.T) {
	fetch(t)
	folder := t.TempDir()
	write(t, folder, "alerts.yaml", readRules(t, func(r *rule) { r.Annotations = nil }))
	text, err := os.ReadFile("testdata/edges.yaml")
	must(t, err)
	plays := filepath.Join(folder, "test.yaml")
	must(t, os.WriteFile(plays, text, 0o600))
	promtool(t, "test", "rules", plays)
}
