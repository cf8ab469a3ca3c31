package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// logLevelTime is how long the daemon may take to say or change the level of its log.
const logLevelTime = 10 * time.Second

// logLevelCommand says or changes the level of the log of a running daemon.
func logLevelCommand() *cobra.Command {
	var flags daemonFlags
	cmd := &cobra.Command{
		Use:   "log-level [debug|info|warn|error]",
		Short: "Say or change how much the running daemon logs",
		Long: `log-level without an argument prints the level of the running daemon's log. With one it
changes it at once, until it is changed again or the daemon restarts: then it is log.level
of the config again. debug adds what Clair and Slack answered, which images were indexed
or wait for what, and what client-go says up to its verbosity 4.

It asks the daemon on the address of the pages (web.listen), with their token if there is
one (web.tokenFile), and only from where it runs: others who reach the pages cannot
change it.`,
		Example: `  # see more for a while
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch log-level debug
  kubectl -n clairwatch logs deploy/clairwatch --follow
  kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch log-level info

  # through kubectl port-forward deploy/clairwatch 8081
  clairwatch log-level --address 127.0.0.1:8081`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("want one level, or none to be told which it is; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return logLevelWords[:], cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		},
	}
	flags.define(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		line, word := "log-level", ""
		if len(args) == 1 {
			if _, err := logLevel(args[0]); err != nil {
				return err
			}
			word = args[0]
			line += " " + word
		}
		d, err := flags.daemon(cmd, line)
		if err != nil {
			return err
		}
		answer, err := askLogLevel(cmd.Context(), d, word)
		if err != nil {
			return err
		}
		text := answer.Level
		if word != "" {
			text += " (it was " + answer.Before + "); a restart takes log.level of the config again"
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}

// askLogLevel asks a daemon for the level of its log, or sets it where word is not empty.
func askLogLevel(ctx context.Context, d runningDaemon, word string) (logLevelAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, logLevelTime)
	defer cancel()
	method, header := http.MethodGet, make(http.Header)
	if word != "" {
		method = http.MethodPost
		header.Set(logLevelHeader, word)
	}
	response, body, err := d.fetch(ctx, method, logLevelPath, nil, header)
	if err != nil {
		return logLevelAnswer{}, fmt.Errorf("%s: %w", d.asking(), d.unreachable(err))
	}
	var answer struct {
		logLevelAnswer
		refusal
	}
	err = json.Unmarshal(body, &answer)
	switch {
	case err == nil && answer.Error != "" && response.StatusCode == http.StatusUnauthorized:
		return logLevelAnswer{}, fmt.Errorf("%s: %w", d.asking(), d.wantsToken())
	case err == nil && answer.Error != "":
		return logLevelAnswer{}, fmt.Errorf("%s: %s: %s", d.asking(), answer.Error, d.inItsPod())
	}
	if err == nil {
		_, err = logLevel(answer.Level)
	}
	if err != nil || response.StatusCode != http.StatusOK || word != "" && answer.Level != word {
		return logLevelAnswer{}, fmt.Errorf("%s: %w", d.asking(), d.stranger(response, body))
	}
	return answer.logLevelAnswer, nil
}
