// Command clairwatch tells teams in Slack what vulnerable code runs in their Kubernetes cluster, and when
// that changes.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
	"github.com/clairwatch/clairwatch/watcher"
	"github.com/clairwatch/clairwatch/web"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := command(os.Stderr).ExecuteContext(ctx); err != nil {
		complain(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}

// run is the program: it makes the parts, connects them and waits for the end. It returns nil when ctx
// ended it.
func run(ctx context.Context, cfg Config, logs io.Writer) error {
	log, level, err := newLogger(cfg.Log, logs)
	if err != nil {
		return err
	}
	logClientGo(log)

	rest, namespace, err := kubernetesConfig(cfg)
	if err != nil {
		return err
	}
	client, err := watcher.NewKubernetes(rest)
	if err != nil {
		return err
	}
	nodes, err := metadata.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("making the Kubernetes client: %w", err)
	}
	metrics := newMetrics()

	registries, err := registryClient(cfg, countRegistryRequests(metrics))
	if err != nil {
		return err
	}
	defer registries.Close()
	var credentials watcher.Credentials
	if cfg.DockerConfig != "" {
		credentials = registry.NewConfigFile(cfg.DockerConfig)
	}
	sender := slack.New(slack.Config{UserAgent: userAgent()})
	defer sender.CloseIdleConnections()
	w, err := watcher.New(watcher.Config{
		Kubernetes:   client,
		Metadata:     nodes,
		Namespace:    namespace,
		SettingsName: cfg.Settings,
		Cluster:      cfg.Cluster,
		ExternalURL:  externalURL(cfg),
		Workers:      cfg.Workers,
		MaxImages:    cfg.MaxImages,
		GroupWait:    cfg.GroupWait,
		GroupMax:     cfg.GroupMax,
		Refresh:      cfg.Refresh,
		DataEvery:    cfg.DataEvery,
		DataQuiet:    cfg.DataQuiet,
		DataMax:      cfg.DataMax,
		RemovalGrace: cfg.RemovalGrace,
		DeleteFrom:   deleteFrom(cfg),
		DeleteGrace:  cfg.DeleteGrace,
		Lease:        leaseConfig(cfg),
		AnnotatePods: cfg.AnnotatePods,
		Grace:        cfg.Grace,

		WebhookFolder: cfg.WebhookFolder,
		Registry:      registries,
		Credentials:   credentials,
		Backends:      map[string]func(string) (watcher.Clair, error){settings.BackendClair: clairClients(cfg)},
		Notifiers:     map[string]watcher.Notifier{settings.NotifierSlack: sender},
		Webhook:       func(address string) (slack.Webhook, error) { return slack.ParseWebhook(address, cfg.SlackHosts) },
		Metrics:       metrics,
		ImageMetrics:  cfg.Metrics.Images,
		Log:           log,

		CallbackAliases: callbackAliases(cfg),
		Caller:          callers(cfg, log),
	})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening (setting listen): %w", err)
	}
	from := built()
	log.Info("starting", "version", from.version, "revision", from.revision, "listen", listener.Addr().String())
	site, err := listenForPages(ctx, cfg, log)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if site != nil {
		handler, err := web.New(web.Config{Source: &pages{watcher: w, cluster: cfg.Cluster}})
		if err != nil {
			return err
		}
		asked := &levelSwitch{next: newExplanations(w, handler), level: level, log: log}
		door := entrance(cfg, site.Addr(), asked, log)
		group.Go(func() error { return serve(ctx, site, door, log) })
	}
	handler := routes(w.Synced, w.Notify(), metrics, ctx.Done(), log)
	group.Go(func() error { return serve(ctx, listener, handler, log) })
	group.Go(func() error { return w.Run(ctx) })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info("stopped")
	return nil
}

// listenForPages listens on the address of the pages; nil when there are none.
func listenForPages(ctx context.Context, cfg Config, log *slog.Logger) (net.Listener, error) {
	if cfg.Web.Listen == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Web.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening for the pages (setting web.listen): %w", err)
	}
	switch at := listener.Addr(); {
	case onLoopback(at):
	case cfg.Web.TokenFile != "":
		log.Info("the token of the pages passes in clear, unless something in front of this address speaks TLS", "listen", at.String())
	default:
		log.Warn("the pages are open to whoever reaches this address: set web.tokenFile, or let only those reach it who may see what is vulnerable",
			"listen", at.String())
	}
	log.Info("pages", "listen", listener.Addr().String())
	return listener, nil
}

// leaseConfig says how one of several daemons is chosen.
func leaseConfig(cfg Config) watcher.LeaseConfig {
	lease := watcher.LeaseConfig{
		Off:      !cfg.LeaderElection.Enabled,
		Name:     cfg.LeaderElection.Lease,
		Identity: cfg.LeaderElection.Identity,
		Duration: cfg.LeaderElection.Duration,
	}
	if lease.Identity == "" && cfg.Kubeconfig == "" {
		// The pod's name. A container that is started again in its pod need not wait for the one before it.
		lease.Identity, _ = os.Hostname() // empty: a random one
	}
	return lease
}

// externalURL is the address of the pages with a slash at its end; empty when there is none.
func externalURL(cfg Config) string {
	if cfg.ExternalURL == "" {
		return ""
	}
	return strings.TrimRight(cfg.ExternalURL, "/") + "/"
}

// deleteFrom are the addresses of the Clairs that images are deleted from, spelt as in the settings of namespaces.
func deleteFrom(cfg Config) []string {
	var bases []string
	for _, c := range cfg.Clairs {
		if base, err := settings.BaseURL(c.URL); err == nil && c.DeleteFromClair {
			bases = append(bases, base)
		}
	}
	return bases
}

// clairClients makes the clients of the Clairs that Scanners name. They share connections, and decode
// one large report at a time.
func clairClients(cfg Config) func(base string) (watcher.Clair, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = cfg.Workers
	transport.MaxResponseHeaderBytes = 64 << 10
	large := make(chan struct{}, 1)
	return func(base string) (watcher.Clair, error) {
		of := cfg.clairConfig(base)
		trusting, err := trusting(transport, of.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading certificates (setting caFile of this Clair): %w", err)
		}
		return clair.New(clair.Config{
			URL:              base,
			Transport:        trusting,
			UserAgent:        userAgent(),
			IndexTimeout:     of.IndexTimeout,
			ReportTimeout:    of.ReportTimeout,
			IndexConcurrency: of.IndexConcurrency, ReportConcurrency: of.ReportConcurrency,
			PSK:   psk(of),
			Large: large,
		})
	}
}

// trusting returns a transport that trusts the authorities of a file too; the one given where there is no file.
func trusting(transport *http.Transport, caFile string) (*http.Transport, error) {
	if caFile == "" {
		return transport, nil
	}
	roots, err := registry.Roots(caFile)
	if err != nil {
		return nil, err
	}
	transport = transport.Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	return transport, nil
}

// registryClient makes the client that asks registries. count is told how each request ended; nil: nobody counts.
func registryClient(cfg Config, count func(registry.Outcome)) (*registry.Client, error) {
	asking := cfg.registryConfig()
	asking.Count = count
	if cfg.RegistryCAFile != "" {
		roots, err := registry.Roots(cfg.RegistryCAFile)
		if err != nil {
			return nil, fmt.Errorf("reading certificates (setting registryCAFile): %w", err)
		}
		asking.Roots = roots
	}
	return registry.New(asking), nil
}

// namespaceFile is where a pod finds the name of its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// kubernetesConfig says how to reach the API server, and in which namespace the settings are.
func kubernetesConfig(cfg Config) (*rest.Config, string, error) {
	rc, err := rest.InClusterConfig()
	if cfg.Kubeconfig != "" {
		rc, err = clientcmd.BuildConfigFromFlags("", filepath.Clean(cfg.Kubeconfig))
	}
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, "", errors.New("not in a cluster: say with --kubeconfig how to reach the Kubernetes API")
	case err != nil:
		return nil, "", fmt.Errorf("reading how to reach the Kubernetes API: %w", err)
	}
	rc.UserAgent = userAgent()
	rc.QPS, rc.Burst = 20, 40 // the ledger is read and the Lease renewed at the same time
	if cfg.Namespace != "" {
		return rc, cfg.Namespace, nil
	}
	own, err := os.ReadFile(namespaceFile)
	if err != nil {
		return nil, "", errors.New("the namespace of the settings ConfigMap is not known: say it with --namespace")
	}
	return rc, strings.TrimSpace(string(own)), nil
}
