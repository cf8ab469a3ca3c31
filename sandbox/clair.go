package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// clairServer is what importing a bundle needs to know.
type clairServer struct {
	binary, dir, config string
}

// startClair starts Clair in combo mode: indexer, matcher and notifier in one
// process, each with a database of its own, no updater, nothing fetched from
// outside, the notifier at work every second.
func (s *Sandbox) startClair(ctx context.Context, binary, postgresAddr string) error {
	api, err := s.ports.address()
	if err != nil {
		return err
	}
	introspection, err := s.ports.address()
	if err != nil {
		return err
	}
	dir := filepath.Join(s.Dir, string(Clair))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making a folder for Clair: %w", err)
	}
	config := filepath.Join(dir, "clair.yaml")
	if err := writeClairConfig(config, api, introspection, postgresAddr, s.NotifyURL); err != nil {
		return fmt.Errorf("writing Clair's configuration: %w", err)
	}
	_, err = s.run(ctx, spec{
		name:  string(Clair),
		path:  binary,
		args:  []string{"serve", config},
		dir:   dir,
		ready: answersOK("http://" + introspection + "/readyz"),
	})
	if err != nil {
		return err
	}
	s.clair = &clairServer{binary: binary, dir: dir, config: config}
	s.ClairURL, s.ClairIntrospectionURL = "http://"+api, "http://"+introspection
	return nil
}

func writeClairConfig(path, api, introspection, postgresAddr, notifyURL string) error {
	host, port, err := net.SplitHostPort(postgresAddr)
	if err != nil {
		return err
	}
	database := func(name string) string {
		return fmt.Sprintf("host=%s port=%s user=clair dbname=%s sslmode=disable", host, port, name)
	}
	// Without this file the RHEL scanners fetch theirs from the Internet, and
	// where they cannot, every index report is an error 500.
	mapping := filepath.Join(filepath.Dir(path), "empty-map.json")
	if err := os.WriteFile(mapping, []byte(`{"data":{}}`), 0o600); err != nil {
		return err
	}
	type object = map[string]any
	text, err := yaml.Marshal(object{
		"http_listen_addr":   api,
		"introspection_addr": introspection,
		"log_level":          "info",
		"indexer": object{
			"connstring":             database("indexer"),
			"migrations":             true,
			"scanlock_retry":         1,
			"layer_scan_concurrency": 4,
			"airgap":                 true,
			"scanner": object{
				"repo": object{
					"rhel-repository-scanner": object{"disable_api": true, "repo2cpe_mapping_file": mapping},
				},
				"package": object{
					"rhel_containerscanner": object{"name2repos_mapping_file": mapping},
					"java":                  object{"disable_api": true},
				},
			},
		},
		"matcher": object{
			"connstring":         database("matcher"),
			"migrations":         true,
			"disable_updaters":   true,
			"disable_enrichment": false, // CVSS comes with a bundle, too
			"update_retention":   10,
		},
		"notifier": object{
			"connstring":        database("notifier"),
			"migrations":        true,
			"poll_interval":     "1s",
			"delivery_interval": "1s",
			"webhook": object{
				"target":   notifyURL,
				"callback": "http://" + api + "/notifier/api/v1/notification/",
			},
		},
		"metrics": object{"name": "prometheus"},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// ImportBundle loads a bundle of vulnerabilities (in the form of "clairctl
// export-updaters", .gz or plain) into Clair's database. What it holds is in
// the reports as soon as this returns. An updater's entry whose fingerprint
// Clair has seen before is skipped.
func (s *Sandbox) ImportBundle(ctx context.Context, path string) error {
	if s.clair == nil {
		return errors.New("importing a bundle: the sandbox was started without Clair")
	}
	bundle, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("importing a bundle: %w", err)
	}
	command := exec.CommandContext(ctx, s.clair.binary, "import", s.clair.config, bundle)
	command.Dir, command.Env = s.clair.dir, environment(nil)
	command.SysProcAttr = attributes(spec{})
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := runBound(command); err != nil {
		return fmt.Errorf("importing the bundle %s: %w; the output ends with:\n%s", filepath.Base(path), err, lastLines(output.String(), tailLines))
	}
	return nil
}
