package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

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

// levelWord is a level as settings have it.
func levelWord(level slog.Level) string { return strings.ToLower(level.String()) }
