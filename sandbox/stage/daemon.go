package stage

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/sandbox"
)

// requestBound is the longest that one question to the daemon may take.
const requestBound = 10 * time.Second

// Setup says how one clairwatch is run. The zero value is the one that Clair's notifier calls.
type Setup struct {
	// Name tells several apart, in the names of files and as its identity in leader election. Empty:
	// "daemon".
	Name string
	// Listen is the address of its HTTP server; empty: DaemonAddr.
	Listen string
	// Gate is what it reaches the servers through; nil: it reaches them directly.
	Gate *Gate
	// Config is added to the settings that the stage needs, and replaces them where they are the same.
	Config map[string]any
}

// Daemon is a clairwatch as a process of its own, with the rights of its ServiceAccount and no others.
type Daemon struct {
	*sandbox.Process
	// Addr is where its HTTP server listens.
	Addr string
	// Name is its identity in leader election.
	Name string
}

// Daemon starts a clairwatch that reaches the servers directly. config is as in [Setup].
func (s *Stage) Daemon(ctx context.Context, config map[string]any) (*sandbox.Process, error) {
	d, err := s.Launch(ctx, Setup{Config: config})
	if err != nil {
		return nil, err
	}
	return d.Process, nil
}

// Launch starts a clairwatch and does not wait until it is ready.
func (s *Stage) Launch(ctx context.Context, setup Setup) (*Daemon, error) {
	d := &Daemon{Name: setup.Name, Addr: setup.Listen}
	if d.Name == "" {
		d.Name = "daemon"
	}
	if d.Addr == "" {
		d.Addr = s.DaemonAddr
	}
	config, err := s.config(ctx, d, setup.Gate)
	if err != nil {
		return nil, err
	}
	maps.Copy(config, setup.Config)
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("writing the daemon's config: %w", err)
	}
	path := s.path(d.Name + ".yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, fmt.Errorf("writing the daemon's config: %w", err)
	}
	env := []string{"SSL_CERT_FILE=" + s.path("slack-ca.pem")}
	if setup.Gate != nil {
		env[0] = "SSL_CERT_FILE=" + setup.Gate.ca
	}
	if s.race {
		env = append(env, "KUBE_CACHE_MUTATION_DETECTOR=true")
	}
	d.Process, err = s.StartDaemon(ctx, s.binary, []string{"--config", path}, env)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// config is what a clairwatch needs to know of the stage.
func (s *Stage) config(ctx context.Context, d *Daemon, gate *Gate) (map[string]any, error) {
	kubeconfig, err := s.Kubeconfig(ctx, Namespace, Namespace)
	if err != nil {
		return nil, err
	}
	docker, err := s.DockerConfig()
	if err != nil {
		return nil, err
	}
	type host = map[string]any
	open := host{"host": s.RegistryHost, "insecure": true}
	slack := s.Slack.URL()
	if gate != nil {
		if kubeconfig, err = sandbox.LeadThrough(kubeconfig, gate.APIURL, gate.CA(), "gate.kubeconfig"); err != nil {
			return nil, err
		}
		open = host{"host": s.RegistryHost, "endpoint": gate.RegistryURL}
		slack = gate.SlackURL
	}
	return map[string]any{
		"kubeconfig":   kubeconfig,
		"namespace":    Namespace,
		"listen":       d.Addr,
		"web":          host{"listen": "127.0.0.1:0"}, // several daemons at once
		"log":          host{"format": "text", "level": "debug"},
		"groupWait":    "2s",
		"groupMax":     "1m",
		"refresh":      "5s",
		"dataQuiet":    "0s", // the data is imported at once, and nobody wants to wait
		"annotatePods": s.annotate,
		"dockerConfig": docker,
		"slackHosts":   []string{strings.TrimPrefix(slack, "https://")},
		// Loopback addresses, which only registries that are listed may have.
		"registries": []host{
			open,
			{"host": s.PrivateRegistryHost, "insecure": true},
			{"host": s.TokenHost, "insecure": true},
		},
	}, nil
}

// AwaitReady waits until the daemon that listens on DaemonAddr has seen all that runs.
func (s *Stage) AwaitReady(ctx context.Context) error {
	return Await(ctx, "the daemon to be ready", func() (bool, error) {
		_, err := ask(ctx, s.DaemonAddr, "/readyz")
		return err == nil, nil
	})
}

// AwaitReady waits until the daemon has seen all that runs.
func (d *Daemon) AwaitReady(ctx context.Context) error {
	return Await(ctx, d.Name+" to be ready", func() (bool, error) {
		_, err := ask(ctx, d.Addr, "/readyz")
		return err == nil, nil
	})
}

// AwaitAlive waits until the daemon answers, whether it leads or stands by.
func (d *Daemon) AwaitAlive(ctx context.Context) error {
	return Await(ctx, d.Name+" to answer", func() (bool, error) {
		_, err := ask(ctx, d.Addr, "/healthz")
		return err == nil, nil
	})
}

// Log returns all that the daemon wrote, in all its lives.
func (d *Daemon) Log() (string, error) {
	text, err := os.ReadFile(d.LogPath())
	if err != nil {
		return "", fmt.Errorf("reading the log of %s: %w", d.Name, err)
	}
	return string(text), nil
}

// Metrics reads all of the daemon's metrics.
func (d *Daemon) Metrics(ctx context.Context) (Metrics, error) { return ReadMetrics(ctx, d.Addr) }

// mostRead bounds a page, in bytes: metrics of thousands of images are tens of megabytes.
const mostRead = 64 << 20

// ask gets a page of a daemon's HTTP server.
func ask(ctx context.Context, addr, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestBound)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", path, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostRead+1))
	if err == nil && len(text) > mostRead {
		err = fmt.Errorf("%s answered more than %d bytes", path, mostRead)
	}
	return text, err
}

// Await asks until a condition holds that nothing announces, or is an error, or ctx ends.
func Await(ctx context.Context, what string, holds func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := holds(); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		} else if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}
