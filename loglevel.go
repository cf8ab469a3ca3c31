package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

// newLogger makes the log. Its level can be changed while it is used.
func newLogger(cfg LogConfig, to io.Writer) (*slog.Logger, *slog.LevelVar, error) {
	first, err := logLevel(cfg.Level)
	if err != nil {
		return nil, nil, fmt.Errorf("log.level: %w", err)
	}
	level := new(slog.LevelVar)
	level.Set(first)
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "text" {
		return slog.New(slog.NewTextHandler(to, options)), level, nil
	}
	return slog.New(slog.NewJSONHandler(to, options)), level, nil
}

// logClientGo has client-go's lines in the log, at its level: klog asks the log for each line whether it is wanted, and
// what it calls verbosity 4 is debug. More verbose lines, which would have what is sent to the API server, never are.
func logClientGo(log *slog.Logger) { klog.SetSlogLogger(log.With("from", "client-go")) }

// logLevelWords are the levels of the log, from the one that says most.
var logLevelWords = [...]string{"debug", "info", "warn", "error"}

// logLevel reads one of the levels.
func logLevel(s string) (slog.Level, error) {
	for i, level := range [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if s == logLevelWords[i] {
			return level, nil
		}
	}
	return 0, fmt.Errorf("%q: want debug, info, warn or error", printable(s))
}

const (
	// logLevelPath is where the daemon says and changes the level of its log, beside the pages.
	logLevelPath = "/log-level"
	// logLevelHeader has the level that is to be set.
	logLevelHeader = "Clairwatch-Log-Level"
	// logLevelTime is how long the daemon may take to answer.
	logLevelTime = 10 * time.Second
)

// logLevelAnswer is what the daemon answers.
type logLevelAnswer struct {
	// Level is the level that is in force, Before the one that was until now; empty: nothing was changed.
	Level  string `json:"level"`
	Before string `json:"before,omitempty"`
}

// levelSwitch serves the level of the log at logLevelPath, and all other paths as next does.
//
// The pages ask nobody for a password, because by default nobody reaches them who may not do more in the pod anyway. Who
// is let in to read them, through a proxy for one, is not let in to make the log silent. So the level is for those alone
// who are where the daemon runs, as by kubectl exec or port-forward:
//   - The other end is loopback, and no proxy says that it asks for somebody else.
//   - No page in a browser can change it, as on the machine of a port-forward. A page of another site can send a POST,
//     but a header of ours only after asking whether it may, which is answered with 405. A page that has its own name
//     lead to loopback (DNS rebinding) need not ask, but sends that name as the host.
type levelSwitch struct {
	next  http.Handler
	level *slog.LevelVar
	log   *slog.Logger
}

// ServeHTTP answers a request.
func (s *levelSwitch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != logLevelPath {
		s.next.ServeHTTP(w, r)
		return
	}
	before := s.level.Level()
	switch {
	case !fromHere(r):
		answerJSON(w, http.StatusForbidden, refusal{Error: "the level of the log is only for who is where the daemon runs, without a proxy"})
	case r.Method == http.MethodGet:
		answerJSON(w, http.StatusOK, logLevelAnswer{Level: levelWord(before)})
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		answerJSON(w, http.StatusMethodNotAllowed, refusal{Error: "want GET or POST"})
	default:
		level, err := logLevel(r.Header.Get(logLevelHeader))
		if err != nil {
			answerJSON(w, http.StatusBadRequest, refusal{Error: "header " + logLevelHeader + ": " + err.Error()})
			return
		}
		s.set(r.Context(), before, level)
		answerJSON(w, http.StatusOK, logLevelAnswer{Level: levelWord(level), Before: levelWord(before)})
	}
}

// set changes the level, and says so while the more talkative of the two is in force: who silences the log is in it.
func (s *levelSwitch) set(ctx context.Context, before, level slog.Level) {
	s.level.Set(min(before, level))
	s.log.InfoContext(ctx, "log level changed, until it is changed again or the daemon restarts", "from", levelWord(before), "to", levelWord(level))
	s.level.Set(level)
}

// levelWord is a level as settings have it.
func levelWord(level slog.Level) string { return strings.ToLower(level.String()) }

// fromHere says whether a request comes from where the daemon runs, to an address of there, and for nobody else.
func fromHere(r *http.Request) bool {
	for _, proxied := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if len(r.Header.Values(proxied)) > 0 {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.Unmap().IsLoopback()
}

// logLevelCommand says or changes the level of the log of a running daemon.
func logLevelCommand() *cobra.Command {
	var config, address string
	cmd := &cobra.Command{
		Use:   "log-level [debug|info|warn|error]",
		Short: "Say or change how much the running daemon logs",
		Long: `log-level without an argument prints the level of the running daemon's log. With one it
changes it at once, until it is changed again or the daemon restarts: then it is log.level
of the config again. debug adds what Clair and Slack answered, which images were indexed
or wait for what, and what client-go says up to its verbosity 4.

It asks the daemon on the address of the pages (web.listen), and only from where it runs:
others who reach the pages cannot change it.`,
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
	addressFlags(cmd, &address, &config)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		line, word := "log-level", ""
		if len(args) == 1 {
			if _, err := logLevel(args[0]); err != nil {
				return err
			}
			word = args[0]
			line += " " + word
		}
		d, err := daemonAt(cmd, address, config, line)
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
	if err == nil && answer.Error != "" {
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
