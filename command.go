package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// configFile is where the daemon's own settings are unless --config says otherwise. There it may be
// missing.
const configFile = "/etc/clairwatch/config.yaml"

// Exit codes. docs/commands.md has them too.
const (
	exitFailed = 1 // it could not be done
	exitFound  = 2 // it was done, and there is something to do about what was found
)

// foundError says that a command has done its work, and what it has found is to fail whoever asked.
type foundError struct{ text string }

func (e *foundError) Error() string { return e.text }

// exitCode is what the process ends with after an error.
func exitCode(err error) int {
	if _, found := errors.AsType[*foundError](err); found {
		return exitFound
	}
	return exitFailed
}

// complain writes an error to a terminal.
func complain(to io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		_, _ = fmt.Fprintln(to, "clairwatch:", printable(line))
	}
}

// command is the command line.
func command(logs io.Writer) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "clairwatch",
		Short: "Tell teams in Slack what vulnerable code runs in their Kubernetes cluster",
		Long: `clairwatch watches the pods of a Kubernetes cluster, has Clair index the images
they run, and tells each namespace's Slack channel what is vulnerable, and when
that changes.

Which namespaces are watched, and who hears of them, is in the ConfigMap
"clairwatch": a key for each namespace. See the README.

Without a subcommand it is the daemon, until it is stopped. All commands end with
0 when all is well, with 1 when something could not be done, and with 2 when scan
or check have found something, or explain nothing.`,
		Example: `  # in a cluster, as deploy/clairwatch.yaml has it
  clairwatch

  # against the cluster of your kubeconfig, with the ConfigMap in the namespace clairwatch
  clairwatch --kubeconfig ~/.kube/config --namespace clairwatch --log-format text

  # is all of that set up as it should be?
  clairwatch check --kubeconfig ~/.kube/config --namespace clairwatch

  # why was something told, or was not?
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain shop

  # what is in an image?
  clairwatch scan --clair http://localhost:6060/ docker.io/library/alpine:3.20`,
		Version:       built().version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	configFlag(cmd.Flags(), &config)
	flagKeys := configFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(configPath(config, cmd.Flags()), cmd.Flags(), flagKeys)
		if err != nil {
			return err
		}
		return run(cmd.Context(), cfg, logs)
	}
	cmd.AddCommand(scanCommand(), checkCommand(), explainCommand(), logLevelCommand(), versionCommand())
	return cmd
}

// configFlag defines the flag that names the file with the settings of the daemon.
func configFlag(flags *pflag.FlagSet, path *string) {
	flags.StringVar(path, "config", configFile, "file with the settings of the daemon; config.yaml of the repository shows all of them")
}

// configPath is the file to read; empty when there is none, and nobody has named it.
func configPath(path string, flags *pflag.FlagSet) string {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !flags.Changed("config") {
		return "" // the defaults do
	}
	return path
}
