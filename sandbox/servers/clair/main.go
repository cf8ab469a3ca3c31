// Command clair is Clair in combo mode, linked from its own packages as its
// cmd/clair links them, with two differences that a sandbox needs: the notifier
// polls and delivers as often as the configuration says (the stock binary
// replaces anything below a minute by hours), and "import" loads a bundle of
// vulnerabilities as "clairctl import-updaters" does.
//
//	clair serve CONFIG.yaml
//	clair import CONFIG.yaml BUNDLE[.gz]
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/quay/clair/config"
	_ "github.com/quay/claircore/updater/defaults" // the updaters and matchers that a stock Clair has
	"github.com/quay/zlog"
	"golang.org/x/sync/errgroup"

	"github.com/quay/clair/v4/cmd"
	"github.com/quay/clair/v4/health"
	"github.com/quay/clair/v4/httptransport"
	"github.com/quay/clair/v4/initialize"
	"github.com/quay/clair/v4/initialize/auto"
	"github.com/quay/clair/v4/introspection"
)

// drain is how long requests in flight may take after a signal, as in cmd/clair.
const drain = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "clair:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(ctx, args[1])
	case len(args) == 3 && args[0] == "import":
		return importBundle(ctx, args[1], args[2])
	}
	return errors.New("usage: clair serve CONFIG.yaml | clair import CONFIG.yaml BUNDLE[.gz]")
}

// load reads the configuration as cmd/clair does, but keeps the notifier's
// intervals as they are written.
func load(ctx context.Context, path string) (*config.Config, error) {
	cfg := config.Config{Mode: config.ComboMode}
	if err := cmd.LoadConfig(&cfg, path, true); err != nil {
		return nil, err
	}
	poll, delivery := cfg.Notifier.PollInterval, cfg.Notifier.DeliveryInterval
	if _, err := config.Validate(&cfg); err != nil {
		return nil, fmt.Errorf("validating %s: %w", path, err)
	}
	cfg.Notifier.PollInterval, cfg.Notifier.DeliveryInterval = poll, delivery
	if err := initialize.Logging(ctx, &cfg); err != nil {
		return nil, fmt.Errorf("setting up logging: %w", err)
	}
	return &cfg, nil
}

func serve(ctx context.Context, path string) error {
	cfg, err := load(ctx, path)
	if err != nil {
		return err
	}
	ctx = zlog.ContextWithValues(ctx, "component", "main")
	zlog.Info(ctx).Str("version", cmd.Version).Msg("starting")
	auto.PrintLogs(ctx)
	servers, ctx := errgroup.WithContext(ctx)
	servers.Go(func() error { return serveIntrospection(ctx, cfg) })
	servers.Go(func() error { return serveAPI(ctx, cfg) })
	return servers.Wait()
}

func serveAPI(ctx context.Context, cfg *config.Config) error {
	services, err := initialize.Services(ctx, cfg)
	if err != nil {
		return fmt.Errorf("initializing services: %w", err)
	}
	handler, err := httptransport.New(ctx, cfg, services.Indexer, services.Matcher, services.Notifier)
	if err != nil {
		return fmt.Errorf("setting up the API: %w", err)
	}
	listener, err := net.Listen("tcp", cfg.HTTPListenAddr)
	if err != nil {
		return err
	}
	health.Ready()
	server := &http.Server{
		Handler:     handler,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	return serveUntil(ctx, server, func() error { return server.Serve(listener) })
}

func serveIntrospection(ctx context.Context, cfg *config.Config) error {
	server, err := introspection.New(ctx, cfg, nil)
	if err != nil {
		return fmt.Errorf("setting up introspection: %w", err)
	}
	return serveUntil(ctx, server.Server, server.ListenAndServe)
}

// serveUntil runs a server until ctx ends, then lets requests in flight finish.
func serveUntil(ctx context.Context, server *http.Server, listen func() error) error {
	var group errgroup.Group
	ended := make(chan struct{})
	group.Go(func() error {
		defer close(ended)
		if err := listen(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		return server.Shutdown(ctx)
	})
	return group.Wait()
}
