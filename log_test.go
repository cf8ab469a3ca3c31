package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

// TestNewLogger has the form and the level of the log that the settings name.
func TestNewLogger(t *testing.T) {
	for _, c := range []struct {
		cfg   LogConfig
		lines int // of debug, info, warn and error
	}{
		{LogConfig{Level: "debug", Format: "json"}, 4},
		{LogConfig{Level: "info", Format: "text"}, 3},
		{LogConfig{Level: "warn", Format: "json"}, 2},
		{LogConfig{Level: "error", Format: "text"}, 1},
	} {
		var to bytes.Buffer
		log, level, err := newLogger(c.cfg, &to)
		if err != nil {
			t.Fatal(err)
		}
		if got := levelWord(level.Level()); got != c.cfg.Level {
			t.Errorf("the level of %+v is %s", c.cfg, got)
		}
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			log.Log(t.Context(), level, "a line")
		}
		n := 0
		for line := range strings.Lines(to.String()) {
			if json.Valid([]byte(line)) != (c.cfg.Format == "json") {
				t.Errorf("%+v has the line %s", c.cfg, line)
			}
			n++
		}
		if n != c.lines {
			t.Errorf("%+v has %d lines, want %d:\n%s", c.cfg, n, c.lines, &to)
		}
	}
}

// TestLogLevelWords reads each word as the level that is written so, and no other.
func TestLogLevelWords(t *testing.T) {
	for _, word := range logLevelWords {
		if level, err := logLevel(word); err != nil || levelWord(level) != word {
			t.Errorf("%s is read as %s: %v", word, level, err)
		}
	}
	for _, word := range []string{"", "INFO", "trace", "info ", "\x1b[31m"} {
		_, _, err := newLogger(LogConfig{Level: word}, new(bytes.Buffer))
		if err == nil || !strings.HasPrefix(err.Error(), "log.level: ") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v", word, err)
		}
	}
}
