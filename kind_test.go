package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/clairwatch/clairwatch/settings"
)

// TestKindConfig reads the daemon's settings of deploy/kind, which know the registry beside the cluster.
func TestKindConfig(t *testing.T) {
	path := filepath.Join("deploy", "kind", "config.yaml")
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	cfg, err := loadConfig(path, flags, configFlags(flags))
	if err != nil {
		t.Fatal(err)
	}
	script := read(t, "deploy/kind/up.sh")
	for _, r := range cfg.Registries {
		if !strings.Contains(script, "localhost:5001") || r.Host != "localhost:5001" || r.Endpoint != "http://kind-registry:5000" {
			t.Errorf("the registry of the script is not that of the settings: %+v", r)
		}
	}
	if len(cfg.Registries) != 1 {
		t.Errorf("the settings have %d registries", len(cfg.Registries))
	}
	_, scanner, _ := strings.Cut(script, "\n  $namespace: |\n")
	scanner, _, _ = strings.Cut(scanner, `"`)
	got, mistakes := settings.Parse(map[string]string{"shop": scanner}, settings.Rules{})
	if len(got["shop"]) != 1 || len(mistakes) > 0 {
		t.Errorf("the Scanner of the script is %+v, with the mistakes %v", got["shop"], mistakes)
	}
	if info, err := os.Stat("deploy/kind/up.sh"); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("the script cannot be run: %v", err)
	}
}
