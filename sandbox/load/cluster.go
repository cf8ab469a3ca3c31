// Package load fills a real API server with pods and runs clairwatch against it, beside a Clair, a registry and a Slack
// that answer at once and count what they are asked: what is measured is clairwatch, and nothing that it waits for.
package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// Size is what a cluster runs.
type Size struct {
	// Pods run Images images in Namespaces namespaces, of which each has a channel of its own.
	Pods, Images, Namespaces int
	// Findings is how many each image has, at most [MostFindings].
	Findings int
}

// Options say what a cluster runs, and how clairwatch does.
type Options struct {
	Size
	// FindingsOf is how many an image has, by its number, where that is not Findings. Nil: all have that.
	FindingsOf func(image int) int
	// NumberOf is the number of the namespace that an app is in, by the app's number. Nil: they take turns.
	NumberOf func(app int) int
	// Clairs is how many Clairs clairwatch is told of: addresses of the one that there is, which namespaces have in turn.
	// Zero: one.
	Clairs int
	// Annotated has each pod carry the annotation that clairwatch writes when it is let, and lets it.
	Annotated bool
	// Memory is GOMEMLIMIT, as in the manifest.
	Memory string
	// Config are settings of clairwatch that are not as it ships them. Nil: none.
	Config map[string]any
	// Log is told in a line what happens. Nil: nobody is.
	Log func(format string, args ...any)
}

// Cluster is a running API server with pods, and all that clairwatch asks.
type Cluster struct {
	*sandbox.Sandbox
	Options
	// Client may do everything in the cluster.
	Client kubernetes.Interface
	// Slack is the stand-in for Slack; the channel of a namespace has its name.
	Slack *slackstand.Server
	// PodBytes is the size of a pod, as the API server keeps it.
	PodBytes int
	// Daemon is clairwatch; nil until [Cluster.Launch].
	Daemon *sandbox.Process
	// PagesAddr is where it has its pages.
	PagesAddr string

	binary               string
	kubeconfig           string // path of that of clairwatch
	config               string // path of clairwatch's config.yaml
	clairURLs            []string
	stand                *clairStand
	host                 string // of the registry, as images name it
	first                *corev1.Pod
	api, clair, registry *counter
	servers              []*httptest.Server
	seen                 int // messages that Slack had accepted at the last [Cluster.Traffic]
}

// versions is how many images each app has: the one that runs at the start, and the one that [Cluster.Roll] brings.
const versions = 2

// Start sets everything up but clairwatch itself. Stop ends it.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	box, err := sandbox.Start(ctx, sandbox.Options{Parts: []sandbox.Part{sandbox.APIServer}, Log: o.Log})
	if err != nil {
		return nil, err
	}
	c := &Cluster{Sandbox: box, Options: o}
	if err := c.setUp(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (o Options) check() error {
	if o.Images < o.Namespaces || o.Pods < o.Images || o.Namespaces < 1 {
		return fmt.Errorf("%d pods, %d images, %d namespaces: want at least a namespace, an image for each, and a pod for each image", o.Pods, o.Images, o.Namespaces)
	}
	if o.Findings < 1 || o.Findings > MostFindings {
		return fmt.Errorf("%d findings: want 1 to %d", o.Findings, MostFindings)
	}
	return nil
}

// Stop ends all of it.
func (c *Cluster) Stop() error {
	err := c.Sandbox.Stop()
	for _, server := range c.servers {
		server.Close()
	}
	if c.Slack != nil {
		c.Slack.Close()
	}
	return err
}

func (c *Cluster) setUp(ctx context.Context) error {
	config := rest.CopyConfig(c.AdminConfig())
	config.QPS, config.Burst = -1, 0 // the API server is what limits
	var err error
	if c.Client, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	c.Log("building clairwatch")
	if c.binary, err = stage.Build(ctx, filepath.Join(c.Dir, "clairwatch"), false); err != nil {
		return err
	}
	c.serve()
	root, err := stage.Root(ctx)
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, filepath.Join(root, "deploy", "clairwatch.yaml")); err != nil {
		return err
	}
	if c.Annotated {
		if err := c.Apply(ctx, filepath.Join(root, "deploy", "annotate.yaml")); err != nil {
			return err
		}
	}
	if c.PagesAddr, err = c.Address(); err != nil {
		return err
	}
	if c.kubeconfig, err = c.openFront(ctx); err != nil {
		return err
	}
	if err := c.Slack.WriteCA(filepath.Join(c.Dir, "slack-ca.pem")); err != nil {
		return err
	}
	if err := c.writeConfig(); err != nil {
		return err
	}
	c.Log("making %d pods", c.Pods)
	if err := c.fill(ctx); err != nil {
		return err
	}
	return c.watchAll(ctx)
}

// serve starts the stand-ins.
func (c *Cluster) serve() {
	numbers, manifests := make(map[string]int), make(map[string]string)
	for n := range c.Images * versions {
		text, digest := imageManifest(n)
		numbers[digest], manifests[digest] = n, text
	}
	findings := c.FindingsOf
	if findings == nil {
		findings = func(int) int { return c.Findings }
	}
	c.stand = newClairStand(numbers, findings)
	c.clair = newCounter(kindAtClair, c.stand)
	c.registry = newCounter(kindAtRegistry, &registryStand{manifests: manifests})
	for range max(c.Clairs, 1) {
		clair := httptest.NewServer(c.clair)
		c.servers = append(c.servers, clair)
		c.clairURLs = append(c.clairURLs, clair.URL+"/")
	}
	registry := httptest.NewServer(c.registry)
	c.servers = append(c.servers, registry)
	c.host = strings.TrimPrefix(registry.URL, "http://")
	c.Slack = slackstand.Serve(slackstand.Config{})
}

// writeConfig writes what clairwatch has to be told of this cluster; all else is as it ships.
func (c *Cluster) writeConfig() error {
	settings := map[string]any{
		"kubeconfig":   c.kubeconfig,
		"namespace":    stage.Namespace,
		"listen":       c.DaemonAddr,
		"web":          map[string]any{"listen": c.PagesAddr},
		"dockerConfig": "",
		"slackHosts":   []string{strings.TrimPrefix(c.Slack.URL(), "https://")},
		"registries":   []map[string]any{{"host": c.host, "insecure": true}},
		"annotatePods": c.Annotated,
	}
	maps.Copy(settings, c.Config)
	text, err := yaml.Marshal(settings)
	if err != nil {
		return fmt.Errorf("writing the settings of clairwatch: %w", err)
	}
	c.config = filepath.Join(c.Dir, "config.yaml")
	return os.WriteFile(c.config, text, 0o600)
}
