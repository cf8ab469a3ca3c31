package sandbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/yaml"
)

// ClairServer is a Clair with databases of its own. Its process can be ended,
// frozen and started again.
type ClairServer struct {
	*Process

	URL              string // its API, without a slash at the end
	IntrospectionURL string // its /healthz, /readyz and /metrics, likewise

	binary, dir, config string
	postgres            *postgresServer
	databases           clairDatabases
	psk                 []byte   // nil: it answers anybody
	env                 []string // beside what every process has
}

const (
	// PSKIssuer is the issuer whose signed requests a Clair of the sandbox answers that has a PSK.
	PSKIssuer = "clairwatch"
	// ownIssuer is that of the sandbox's own requests.
	ownIssuer = "sandbox"
)

// clairBound is the longest that one request of ours to Clair may take.
const clairBound = 30 * time.Second

// clairDatabases are the names of a Clair's databases.
type clairDatabases struct{ indexer, matcher, notifier string }

// startClair starts the sandbox's own Clair.
func (s *Sandbox) startClair(ctx context.Context, binary string) error {
	clair, err := s.runClair(ctx, string(Clair), binary, clairDatabases{"indexer", "matcher", "notifier"}, ClairOptions{})
	if err != nil {
		return err
	}
	s.clair = clair
	s.ClairURL, s.ClairIntrospectionURL = clair.URL, clair.IntrospectionURL
	return nil
}

// ClairOptions say how one more Clair differs from the sandbox's own. The zero
// value: in nothing.
type ClairOptions struct {
	// DisableSummary has its notifier list each vulnerability of an image that
	// came or went, rather than the worst one alone (notifier.disable_summary).
	DisableSummary bool
}

// AddClair starts one more Clair, as another team would run: it knows no image
// and no vulnerability of the others. It needs the sandbox's own Clair to have
// been started.
func (s *Sandbox) AddClair(ctx context.Context, options ClairOptions) (*ClairServer, error) {
	if s.clair == nil {
		return nil, errNoClair
	}
	s.mu.Lock()
	name := s.freeName(string(Clair))
	s.mu.Unlock()
	of := clairDatabases{"indexer of " + name, "matcher of " + name, "notifier of " + name}
	if err := s.postgres.create(ctx, of); err != nil {
		return nil, fmt.Errorf("adding a Clair: %w", err)
	}
	return s.runClair(ctx, name, s.clair.binary, of, options)
}

// InstalledClair is a Clair that somebody else has configured.
type InstalledClair struct {
	// Config is the path of its config.yaml. Beside it may be a folder config.yaml.d.
	Config string
	// Address and IntrospectionAddress are where Config has it listen (host:port).
	Address, IntrospectionAddress string
	// Env is its environment, beside PATH, HOME and TMPDIR.
	Env []string
}

// InstallClair starts one more Clair, with a configuration and databases of its own: see [Sandbox.AddDatabase]. It
// needs the sandbox's own Clair to have been started.
func (s *Sandbox) InstallClair(ctx context.Context, installed InstalledClair) (*ClairServer, error) {
	if s.clair == nil {
		return nil, errNoClair
	}
	dir := filepath.Dir(installed.Config)
	process, err := s.run(ctx, spec{
		name:  string(Clair),
		path:  s.clair.binary,
		args:  []string{"serve", installed.Config},
		env:   installed.Env,
		dir:   dir,
		ready: answersOK("http://" + installed.IntrospectionAddress + "/readyz"),
	})
	if err != nil {
		return nil, err
	}
	return &ClairServer{
		Process: process, URL: "http://" + installed.Address, IntrospectionURL: "http://" + installed.IntrospectionAddress,
		binary: s.clair.binary, dir: dir, config: installed.Config, postgres: s.postgres, env: installed.Env,
	}, nil
}

// Clair returns the sandbox's own Clair, or nil where it was not started.
func (s *Sandbox) Clair() *ClairServer { return s.clair }

// runClair starts a Clair in combo mode: indexer, matcher and notifier in one
// process, each with a database of its own, no updater, nothing fetched from
// outside, the notifier at work every second.
func (s *Sandbox) runClair(ctx context.Context, name, binary string, databases clairDatabases, options ClairOptions) (*ClairServer, error) {
	api, err := s.ports.address()
	if err != nil {
		return nil, err
	}
	introspection, err := s.ports.address()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for Clair: %w", err)
	}
	config := filepath.Join(dir, "clair.yaml")
	settings, err := s.clairSettings(dir, api, introspection, databases, options)
	if err != nil {
		return nil, fmt.Errorf("writing Clair's configuration: %w", err)
	}
	if err := os.WriteFile(config, settings, 0o600); err != nil {
		return nil, fmt.Errorf("writing Clair's configuration: %w", err)
	}
	process, err := s.run(ctx, spec{
		name:  name,
		path:  binary,
		args:  []string{"serve", config},
		dir:   dir,
		ready: answersOK("http://" + introspection + "/readyz"),
	})
	if err != nil {
		return nil, err
	}
	return &ClairServer{
		Process: process, URL: "http://" + api, IntrospectionURL: "http://" + introspection,
		binary: binary, dir: dir, config: config, postgres: s.postgres, databases: databases, psk: s.psk,
	}, nil
}

// clairSettings are the text of a Clair's configuration, whose folder is dir.
func (s *Sandbox) clairSettings(dir, api, introspection string, databases clairDatabases, options ClairOptions) ([]byte, error) {
	host, port, err := net.SplitHostPort(s.postgres.address)
	if err != nil {
		return nil, err
	}
	database := func(name string) string {
		return fmt.Sprintf("host=%s port=%s user=%s dbname='%s' sslmode=disable", host, port, clairRole, name)
	}
	// Without this file the RHEL scanners fetch theirs from the Internet, and
	// where they cannot, every index report is an error 500.
	mapping := filepath.Join(dir, "empty-map.json")
	if err := os.WriteFile(mapping, []byte(`{"data":{}}`), 0o600); err != nil {
		return nil, err
	}
	type object = map[string]any
	settings := object{
		"http_listen_addr":   api,
		"introspection_addr": introspection,
		"log_level":          "info",
		"indexer": object{
			"connstring":             database(databases.indexer),
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
			"connstring":         database(databases.matcher),
			"migrations":         true,
			"disable_updaters":   true,
			"disable_enrichment": false, // CVSS comes with a bundle, too
			"update_retention":   10,
		},
		"notifier": object{
			"connstring":        database(databases.notifier),
			"migrations":        true,
			"poll_interval":     "1s",
			"delivery_interval": "1s",
			"disable_summary":   options.DisableSummary,
			"webhook": object{
				"target":   s.NotifyURL,
				"callback": "http://" + api + "/notifier/api/v1/notification/",
			},
		},
		"metrics": object{"name": "prometheus"},
	}
	if s.psk != nil {
		settings["auth"] = object{"psk": object{"key": base64.StdEncoding.EncodeToString(s.psk), "iss": []string{PSKIssuer, ownIssuer}}}
	}
	return yaml.Marshal(settings)
}

var errNoClair = errors.New("the sandbox was started without Clair")

// ImportBundle is [ClairServer.ImportBundle] of the sandbox's own Clair.
func (s *Sandbox) ImportBundle(ctx context.Context, path string) error {
	if s.clair == nil {
		return fmt.Errorf("importing a bundle: %w", errNoClair)
	}
	return s.clair.ImportBundle(ctx, path)
}

// ImportBundle loads a bundle of vulnerabilities (in the form of "clairctl
// export-updaters", .gz or plain) into Clair's database. What it holds is in
// the reports as soon as this returns. An updater's entry whose fingerprint
// Clair has seen before is skipped.
func (c *ClairServer) ImportBundle(ctx context.Context, path string) error {
	bundle, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("importing a bundle: %w", err)
	}
	command := exec.CommandContext(ctx, c.binary, "import", c.config, bundle)
	command.Dir, command.Env = c.dir, environment(c.env)
	command.SysProcAttr = attributes(spec{})
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := runBound(command); err != nil {
		return fmt.Errorf("importing the bundle %s: %w; the output ends with:\n%s", filepath.Base(path), err, lastLines(output.String(), tailLines))
	}
	return nil
}

// Index has Clair index an image that is in a repository of a registry which
// is open to everybody, "127.0.0.1:5000/team/app", as another client would.
func (c *ClairServer) Index(ctx context.Context, repository string, image v1.Image) error {
	body, err := clairManifest(repository, image)
	if err != nil {
		return fmt.Errorf("preparing an image for Clair: %w", err)
	}
	response, err := c.ask(ctx, http.MethodPost, "", body)
	if err != nil {
		return fmt.Errorf("having Clair index an image: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("having Clair index an image: it answered %s", response.Status)
	}
	return nil
}

// clairManifest is the body of POST index_report.
func clairManifest(repository string, image v1.Image) ([]byte, error) {
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	host, path, _ := strings.Cut(repository, "/")
	var addresses []map[string]string
	for _, l := range layers {
		hash, err := l.Digest()
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, map[string]string{
			"hash": hash.String(), "uri": "http://" + host + "/v2/" + path + "/blobs/" + hash.String(),
		})
	}
	return json.Marshal(map[string]any{"hash": digest.String(), "layers": addresses})
}

// Delete has Clair forget manifests: it answers 404 for their reports until they
// are indexed again. Digests that it does not know are no error.
func (c *ClairServer) Delete(ctx context.Context, digests ...string) error {
	body, err := json.Marshal(digests)
	if err != nil {
		return fmt.Errorf("deleting manifests from Clair: %w", err)
	}
	response, err := c.ask(ctx, http.MethodDelete, "", body)
	if err != nil {
		return fmt.Errorf("deleting manifests from Clair: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("deleting manifests from Clair: it answered %s", response.Status)
	}
	return nil
}

// Has says whether Clair has indexed a manifest.
func (c *ClairServer) Has(ctx context.Context, digest string) (bool, error) {
	response, err := c.ask(ctx, http.MethodGet, "/"+digest, nil)
	if err != nil {
		return false, fmt.Errorf("asking Clair for a manifest: %w", err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusNotFound:
		return false, nil
	}
	return false, fmt.Errorf("asking Clair for a manifest: it answered %s", response.Status)
}

// ask sends a request about index reports.
func (c *ClairServer) ask(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.URL+"/indexer/api/v1/index_report"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.psk != nil {
		token, err := signForClair(c.psk, ownIssuer, time.Now())
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return (&http.Client{Timeout: clairBound}).Do(request)
}

// signForClair makes the token with which a client shows that it has Clair's key.
func signForClair(key []byte, issuer string, now time.Time) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, nil)
	if err != nil {
		return "", fmt.Errorf("signing a request to Clair: %w", err)
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: issuer, Expiry: jwt.NewNumericDate(now.Add(clairBound))}).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing a request to Clair: %w", err)
	}
	return token, nil
}

// Empty deletes all vulnerabilities from Clair's database behind its back: it goes
// on running, and answers with reports that hold none.
func (c *ClairServer) Empty(ctx context.Context) error {
	err := c.postgres.run(ctx, c.databases.matcher, "truncate vuln, update_operation, uo_vuln, enrichment, uo_enrich, updater_status")
	if err != nil {
		return fmt.Errorf("emptying the database of %s: %w", c.name, err)
	}
	return nil
}

// collection is what Clair's notifier does about once an hour (v4.9.0,
// notifier/postgres/notifications.go, CollectNotifications).
const collection = `delete from notification using receipt where id = receipt.notification_id and receipt.status = 'deleted';
delete from notifier_update_operation where uo_id in (
	select uo_id from notifier_update_operation except select uo_id from receipt)`

// CollectNotifications has the notifications gone that were deleted, for which
// Clair's notifier takes an hour. Then it makes those of each updater's newest
// update again, with other ids.
func (c *ClairServer) CollectNotifications(ctx context.Context) error {
	if err := c.postgres.run(ctx, c.databases.notifier, collection); err != nil {
		return fmt.Errorf("collecting the notifications of %s: %w", c.name, err)
	}
	return nil
}

// Reset gives Clair new, empty databases, for which it is killed and started.
func (c *ClairServer) Reset(ctx context.Context) error {
	if err := c.Kill(); err != nil {
		return err
	}
	if err := c.postgres.drop(ctx, c.databases); err != nil {
		return fmt.Errorf("resetting %s: %w", c.name, err)
	}
	if err := c.postgres.create(ctx, c.databases); err != nil {
		return fmt.Errorf("resetting %s: %w", c.name, err)
	}
	return c.Start(ctx)
}
