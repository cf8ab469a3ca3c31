package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/quay/claircore"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/settings"
)

// clairVariable is the variable of the environment that names the Clair of scan. The daemon has no use for it: its
// Clairs are in the settings of namespaces.
const clairVariable = envPrefix + "_CLAIR"

// scanFlags are the flags of the daemon that scan has too.
var scanFlags = [...]string{"data-quiet", "docker-config", "registry-ca-file"}

// scanOptions are what scan was asked to do.
type scanOptions struct {
	clair, platform     string
	output              *choice
	failOn, minSeverity choice // empty: never, all
	onlyFixable         bool
}

// scanCommand reports images without a cluster.
func scanCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "scan IMAGE...",
		Short: "Report what is vulnerable in images, without a cluster",
		Long: `scan asks the registry what each name means, has Clair index what it does not know
yet, and prints what to update. A name has a tag, or a digest:
quay.io/team/app:1.2, alpine, quay.io/team/app@sha256:...

Clair fetches the layers itself, so it must reach the registry as you do. What the
daemon's config says about registries and about this Clair (registries, clairs) holds
here too, where there is one. Credentials are those of the daemon's docker config where
that is there, otherwise of your own: $DOCKER_CONFIG/config.json, or
~/.docker/config.json.

Severities are Unknown, Negligible, Low, Medium, High and Critical. One that nobody
knows counts as Medium for a threshold. An image that Clair has no data for is never
called clean: it "was not checked", and fails with --fail-on. While Clair is still
loading its data nothing is reported, until no source has been new to it for
--data-quiet.

It ends with 0 when all images were looked at; with 2 when --fail-on is given and one
of them has as much; otherwise with 1 when one of them could not be looked at, as while
Clair is loading. Errors are on the standard error, results on the standard output.`,
		Example: `  clairwatch scan --clair http://localhost:6060/ docker.io/library/alpine:3.20

  # in a pipeline: fail when there is something bad that an update ends
  export CLAIRWATCH_CLAIR=http://clair.example.com:6060/
  clairwatch scan --only-fixable --fail-on High quay.io/team/app@sha256:...

  # as JSON, for several images of another platform
  clairwatch scan --platform linux/arm64 --output json quay.io/team/app:1.2 quay.io/team/db:7`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("want the name of an image, such as quay.io/team/app:1.2; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	severity := choice{of: severityWords(), kind: "severity"}
	o := scanOptions{output: outputFlag(cmd), failOn: severity, minSeverity: severity}
	cmd.Flags().StringVar(&o.clair, "clair", "", "address of Clair's API, such as http://localhost:6060/ (default: the variable "+clairVariable+")")
	cmd.Flags().StringVar(&o.platform, "platform", "", "which image of one for several platforms, such as linux/arm64 (default: linux and the architecture of this machine)")
	choiceFlag(cmd, &o.failOn, "fail-on", "", "end with 2 when an image has a vulnerability that is as severe, or worse (default: never)")
	choiceFlag(cmd, &o.minSeverity, "min-severity", "", "show no vulnerability that is less severe (default: all)")
	cmd.Flags().BoolVar(&o.onlyFixable, "only-fixable", false, "show only what an update ends")
	configFlag(cmd.Flags(), &config)
	flagKeys := someConfigFlags(cmd.Flags(), scanFlags[:]...)
	usual := cmd.Flags().Lookup("docker-config")
	usual.Usage, usual.DefValue = "docker config file with credentials of registries (default: the daemon's, or else your own)", ""
	cmd.Flags().Lookup("data-quiet").Usage = "how long no source of Clair's data must have been new to it; 0s: report whatever there is"
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := loadConfig(configPath(config, cmd.Flags()), cmd.Flags(), flagKeys)
		if err != nil {
			return err
		}
		if cfg.DockerConfig, err = peoplesDockerConfig(cfg.DockerConfig, cmd.Flags().Changed("docker-config")); err != nil {
			return err
		}
		return scanImages(cmd.Context(), cfg, o, names, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// severityWords are the words of the severities, from the least up.
func severityWords() []string {
	words := make([]string, 0, len(findings.Severities))
	for i := range findings.Severities {
		words = append(words, findings.Severities[len(findings.Severities)-1-i].String())
	}
	return words
}

// severityNamed is the severity of one of severityWords; Unknown, which is the least, for none.
func severityNamed(word string) findings.Severity {
	for _, s := range findings.Severities {
		if s.String() == word {
			return s
		}
	}
	return claircore.Unknown
}

// peoplesDockerConfig is the docker config of who runs a command by hand: the one that is set, or that of the daemon
// where it is there, otherwise docker's own.
func peoplesDockerConfig(set string, named bool) (string, error) {
	_, err := os.Stat(set)
	switch {
	case named && set != "" && err != nil:
		return "", fmt.Errorf("reading the docker config (--docker-config): %w", err)
	case named, set != defaults().DockerConfig, err == nil:
		return set, nil
	}
	if folder := os.Getenv("DOCKER_CONFIG"); folder != "" {
		return filepath.Join(folder, "config.json"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", nil // then without credentials
	}
	return filepath.Join(home, ".docker", "config.json"), nil
}

// readPlatform reads os/architecture or os/architecture/variant; empty is this machine's, in Linux.
func readPlatform(s string) (registry.Platform, error) {
	parts := strings.Split(cmp.Or(s, "linux/"+runtime.GOARCH), "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != "linux" || parts[1] == "" || parts[len(parts)-1] == "" {
		return registry.Platform{}, fmt.Errorf("--platform %q: want linux and an architecture, such as linux/amd64 or linux/arm/v7", s)
	}
	p := registry.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

// scanImages looks at images and writes what it finds, in their order.
func scanImages(ctx context.Context, cfg Config, o scanOptions, names []string, out, errs io.Writer) error {
	platform, err := readPlatform(o.platform)
	if err != nil {
		return err
	}
	shown := visible{
		rules:       findings.Rules{MinSeverity: severityNamed(o.minSeverity.value), UnknownAs: claircore.Medium},
		onlyFixable: o.onlyFixable,
	}
	failOn := shown.rules
	failOn.MinSeverity = severityNamed(o.failOn.value)
	if o.failOn.value != "" && failOn.MinSeverity < shown.rules.MinSeverity {
		return fmt.Errorf("--fail-on %s is less than --min-severity %s: what is not shown does not fail", o.failOn.value, o.minSeverity.value)
	}
	registries, err := registryClient(cfg, nil)
	if err != nil {
		return err
	}
	defer registries.Close()
	address := cmp.Or(o.clair, os.Getenv(clairVariable))
	if address == "" {
		return fmt.Errorf("which Clair is to be asked? Say so with --clair http://host:port/, or in the variable %s", clairVariable)
	}
	base, err := settings.BaseURL(address)
	if err != nil {
		return fmt.Errorf("address of Clair (--clair, or %s): %w", clairVariable, err)
	}
	at, err := clairClients(cfg)(base)
	if err != nil {
		return err
	}
	errs = &turnWriter{to: errs}
	s := &scanner{
		clair: at, registry: registries, platform: platform, shown: shown,
		indexing: func(name string) { complain(errs, fmt.Errorf("%s: Clair is indexing it", name)) },
	}
	if cfg.DockerConfig != "" {
		s.credentials = registry.NewConfigFile(cfg.DockerConfig)
	}
	if err := s.readData(ctx, base, cfg.DataQuiet, cfg.DataMax); err != nil {
		return err
	}
	sum := scanSum{failOn: failOn, word: o.failOn.value}
	return s.scanAll(ctx, names, func(r imageReport) error {
		sum.add(r)
		if r.err != nil && len(names) > 1 {
			complain(errs, fmt.Errorf("%s: %w", r.Image, r.err))
		}
		if o.output.value == formJSON || r.err != nil {
			return nil
		}
		return r.writeTable(out, sum.written())
	}, func(all []imageReport) error {
		if o.output.value == formJSON {
			if err := writeJSON(out, scanDocument{Images: all}); err != nil {
				return err
			}
		}
		return sum.verdict(all)
	})
}

// scanAll looks at images side by side, and hands over what comes of each in their order, and all of it at the end.
func (s *scanner) scanAll(ctx context.Context, names []string, each func(imageReport) error, end func([]imageReport) error) error {
	ctx, cancel := context.WithCancel(ctx)
	slots, _ := s.clair.Slots()
	var group errgroup.Group
	group.SetLimit(slots + 1) // one of them starts the others
	defer func() {
		cancel()
		_ = group.Wait() // they return none
	}()
	results := make([]chan imageReport, len(names))
	for i := range names {
		results[i] = make(chan imageReport, 1)
	}
	group.Go(func() error {
		for i, name := range names {
			group.Go(func() error {
				results[i] <- s.scan(ctx, name)
				return nil
			})
		}
		return nil
	})
	all := make([]imageReport, 0, len(names))
	for _, result := range results {
		r := <-result
		if err := ctx.Err(); err != nil {
			return errors.New("stopped before all images were looked at")
		}
		all = append(all, r)
		if err := each(r); err != nil {
			return fmt.Errorf("writing the result: %w", err)
		}
	}
	return end(all)
}

// scanSum is what the images together come to.
type scanSum struct {
	failOn findings.Rules
	word   string // of --fail-on; empty: never

	failed, unchecked, bad, sections int
}

// add counts an image.
func (s *scanSum) add(r imageReport) {
	switch {
	case r.err != nil:
		s.failed++
	case s.word == "":
	case r.has(s.failOn) > 0:
		s.bad++
	case !r.Checked:
		s.unchecked++
	}
}

// written says whether there are sections before, and counts one more.
func (s *scanSum) written() bool {
	s.sections++
	return s.sections > 1
}

// verdict is what the command ends with. What was found stays true when another image could not be looked at.
func (s *scanSum) verdict(all []imageReport) error {
	level := "that is " + s.word + " or worse (--fail-on)"
	if s.word == claircore.Critical.String() {
		level = "that is Critical (--fail-on)"
	}
	one := len(all) == 1
	switch {
	case s.bad > 0 && one:
		return &foundError{fmt.Sprintf("%s has a vulnerability %s", all[0].Image, level)}
	case s.bad > 0:
		return &foundError{fmt.Sprintf("%d of %d images have a vulnerability %s", s.bad, len(all), level)}
	case s.failed > 0 && one:
		return fmt.Errorf("%s: %w", all[0].Image, all[0].err)
	case s.failed > 0:
		return fmt.Errorf("%d of %d images could not be looked at", s.failed, len(all))
	case s.unchecked > 0 && one:
		return fmt.Errorf("%s could not be checked: Clair has no data for what is in it (--fail-on)", all[0].Image)
	case s.unchecked > 0:
		return fmt.Errorf("%d of %d images could not be checked: Clair has no data for what is in them (--fail-on)", s.unchecked, len(all))
	}
	return nil
}

// turnWriter takes the writes of several goroutines one at a time.
type turnWriter struct {
	mu sync.Mutex
	to io.Writer
}

// Write passes b on.
func (w *turnWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}
