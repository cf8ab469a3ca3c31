package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
)

// checkTime is how long each thing is tried out at the most.
const checkTime = 15 * time.Second

// outcome is what came of trying out one thing.
type outcome string

// The outcomes. Only problems make the command fail.
const (
	isOK      outcome = "ok"
	isInfo    outcome = "info"    // good to know
	isWarning outcome = "warning" // it works, and somebody should have a look
	isProblem outcome = "problem" // it does not work
	isSkipped outcome = "skipped" // it was not tried
)

// mendFirst is what is said of what was not tried because of the config.
const mendFirst = "mend the config first"

// row is one line of what check prints.
type row struct {
	// What was looked at.
	What    string  `json:"what"`
	Outcome outcome `json:"is"`
	// Found is what there is, or what is wrong and what to do about it; it may be empty.
	Found string `json:"found"`
}

// checkDocument is what check prints as JSON. docs/commands.md describes it.
type checkDocument struct {
	Checks []row `json:"checks"`
	// Settings are the keys that have Scanners, and no mistake.
	Settings []checkedKey `json:"settings,omitempty"`
	Problems int          `json:"problems"`
	Warnings int          `json:"warnings"`
}

// checkOptions are what check was asked to do.
type checkOptions struct {
	output *choice
	// settingsFile has the settings instead of the cluster; "-" is the standard input, empty: the cluster.
	settingsFile string
	// as is whose rights are looked at; empty: those of who asks.
	as   string
	send bool
	// offline has nothing contacted.
	offline bool
}

// checkFlags are the flags of the daemon that the help of check shows. It takes all others too, so that the
// arguments of a Deployment can be checked as they are.
var checkFlags = [...]string{"kubeconfig", "namespace", "settings", "docker-config", "registry-ca-file", "notify-token-file", "web-token-file", "slack-hosts"}

// checkCommand validates and tries out what an operator has set up.
func checkCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "See whether the config, the settings, rights, Clairs, registries and channels are right",
		Long: `check reads the config of the daemon and the settings of namespaces as the daemon does,
and tries out what they name: the rights at the Kubernetes API, each Clair, the
registries of the config, the docker config, and the Slack channels. It changes
nothing, and writes to a channel only with --send.

It is best run where the daemon runs, which has the same network, files and rights:

  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch check

It takes every flag of the daemon, also those that are not listed here.

It ends with 0 when there is no problem, with 2 when there is one, and with 1 when it
could not be done. A warning is no problem.`,
		Example: `  # where the daemon runs
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch check

  # from outside, with the rights of the daemon
  clairwatch check --kubeconfig ~/.kube/config --namespace clairwatch --as system:serviceaccount:clairwatch:clairwatch

  # before it is applied, as in a pipeline: nothing is contacted
  clairwatch check --offline --config config.yaml --settings-file configmap.yaml

  # does each channel hear of its namespaces?
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch check --send`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := checkOptions{output: outputFlag(cmd)}
	cmd.Flags().StringVarP(&o.settingsFile, "settings-file", "f", "", "file with the settings of namespaces, a ConfigMap or its data, instead of the cluster's; - is the standard input")
	cmd.Flags().StringVar(&o.as, "as", "", "whose rights at the Kubernetes API are looked at, as kubectl has it (default: your own)")
	cmd.Flags().BoolVar(&o.send, "send", false, "send one message to each channel")
	cmd.Flags().BoolVar(&o.offline, "offline", false, "read what is here and contact nothing; it needs --settings-file")
	cmd.MarkFlagsMutuallyExclusive("offline", "send")
	configFlag(cmd.Flags(), &config)
	own := pflag.NewFlagSet("daemon", pflag.ContinueOnError)
	flagKeys := configFlags(own)
	own.VisitAll(func(f *pflag.Flag) {
		f.Hidden = !slices.Contains(checkFlags[:], f.Name)
		cmd.Flags().AddFlag(f)
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		// What client-go has to say is in the table.
		klog.SetSlogLogger(slog.New(slog.DiscardHandler))
		if o.offline && o.settingsFile == "" {
			return errors.New("--offline needs --settings-file: there is no cluster to read the settings from")
		}
		if o.settingsFile != "" && o.settingsFile != "-" {
			if _, err := os.Stat(o.settingsFile); err != nil {
				return fmt.Errorf("--settings-file cannot be read: %w", err)
			}
		}
		path := configPath(config, cmd.Flags())
		c := &checkup{options: o, configPath: path, input: cmd.InOrStdin()}
		c.cfg, c.configErr = readConfig(path, cmd.Flags(), flagKeys)
		doc, err := c.run(cmd.Context())
		if err != nil {
			return err
		}
		return writeChecks(cmd.OutOrStdout(), o.output.value, doc)
	}
	return cmd
}

// checkup tries out a config, and what belongs to it.
type checkup struct {
	options    checkOptions
	configPath string // empty: there is no file
	cfg        Config
	configErr  error // why cfg is not there; nil when it is
	input      io.Reader
	// slackTransport carries messages; nil: the usual one.
	slackTransport http.RoundTripper
}

// run tries everything out, side by side where it can, and returns what it has found in its order. The error is that of
// ctx.
func (c *checkup) run(ctx context.Context) (checkDocument, error) {
	rows := c.checkConfig()
	if c.configErr != nil {
		return checkDocument{Checks: append(rows, row{"all else", isSkipped, mendFirst})}, nil
	}
	if c.options.offline {
		found := c.readSettings(ctx, cluster{err: errOffline})
		rows = slices.Concat(rows, found.rows, c.checkNotify(), c.checkPages(), c.checkDockerConfig(), c.checkWebhooks(ctx, found))
		rows = append(rows, row{"rights, Clairs and registries", isSkipped, "nothing is contacted (--offline)"})
		return checkDocument{Checks: rows, Settings: found.effective}, nil
	}
	cluster := c.connect()
	found := c.readSettings(ctx, cluster)
	var rights, notify, pages, clairs, registries, docker, webhooks []row
	together(
		func() { rights = c.checkRights(ctx, cluster, found) },
		func() { notify = c.checkNotify() },
		func() { pages = c.checkPages() },
		func() { clairs = c.checkClairs(ctx, found) },
		func() { registries = c.checkRegistries(ctx) },
		func() { docker = c.checkDockerConfig() },
		func() { webhooks = c.checkWebhooks(ctx, found) },
	)
	if ctx.Err() != nil {
		return checkDocument{}, errors.New("stopped before all was tried")
	}
	rows = slices.Concat(rows, found.rows, rights, notify, pages, clairs, registries, docker, webhooks)
	return checkDocument{Checks: rows, Settings: found.effective}, nil
}

// errOffline is why there is no cluster.
var errOffline = errors.New("nothing is contacted (--offline)")

// isElsewhere says that a file of the daemon is to be looked at where that runs: nothing is contacted, as in a pipeline, and
// not even its folder is here.
func (c *checkup) isElsewhere(file string) bool {
	_, err := os.Stat(filepath.Dir(file))
	return c.options.offline && errors.Is(err, fs.ErrNotExist)
}

// together calls functions at once and waits for all.
func together(fs ...func()) {
	var group sync.WaitGroup
	for _, f := range fs {
		group.Go(f)
	}
	group.Wait()
}

// inOrder calls a function for each of some things, a few at once, and returns what it found in the order of the things.
func inOrder[T, R any](things []T, check func(T) []R) []R {
	const atOnce = 8
	found := make([][]R, len(things))
	slots := make(chan struct{}, atOnce)
	var group sync.WaitGroup
	for i, thing := range things {
		slots <- struct{}{}
		group.Go(func() {
			found[i] = check(thing)
			<-slots
		})
	}
	group.Wait()
	return slices.Concat(found...)
}

// checkConfig has a row for each mistake in the config.
func (c *checkup) checkConfig() []row {
	what := strings.TrimSuffix("config "+c.configPath, " ")
	err := c.configErr
	if err == nil {
		err = c.cfg.validate()
	} else if inner := errors.Unwrap(err); inner != nil {
		err = inner // without what was being done: the row says so
	}
	if err == nil && c.configPath == "" {
		return []row{{what, isOK, "there is no " + configFile + ": the defaults do"}}
	}
	if err == nil {
		return []row{{what, isOK, "every setting can be read"}}
	}
	return mistakes(what, err)
}

// mistakes has a row for each line of an error.
func mistakes(what string, err error) []row {
	var rows []row
	for line := range strings.SplitSeq(err.Error(), "\n") {
		rows = append(rows, row{what, isProblem, line})
	}
	return rows
}

// writeChecks writes what was found. The error says that there are problems, or that it cannot be written.
func writeChecks(to io.Writer, form string, doc checkDocument) error {
	for _, r := range doc.Checks {
		switch r.Outcome {
		case isProblem:
			doc.Problems++
		case isWarning:
			doc.Warnings++
		}
	}
	write := func() error { return writeJSON(to, doc) }
	if form == formTable {
		write = func() error { return doc.writeTable(to) }
	}
	if err := write(); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	if doc.Problems > 0 {
		return &foundError{counted(doc.Problems, "problem") + " and " + counted(doc.Warnings, "warning")}
	}
	return nil
}

func (d checkDocument) writeTable(to io.Writer) error {
	rows := make([][]string, 0, len(d.Checks))
	for _, r := range d.Checks {
		said := string(r.Outcome)
		if r.Outcome == isProblem || r.Outcome == isWarning {
			said = strings.ToUpper(said) // there is no colour in a pipe
		}
		rows = append(rows, []string{r.What, said, r.Found})
	}
	return writeTable(to, []string{"WHAT", "IS", "FOUND, AND WHAT TO DO"}, rows)
}
