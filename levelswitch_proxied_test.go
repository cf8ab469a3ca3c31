package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// askLevel asks a switch for a level as somebody who is where the daemon runs, with more headers, and returns the status.
func askLevel(s *levelSwitch, level string, more http.Header) int {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8081"+logLevelPath, nil)
	r.RemoteAddr = "127.0.0.1:1234"
	for key, values := range more {
		r.Header[key] = values
	}
	r.Header.Set(logLevelHeader, level)
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, r)
	return answer.Code
}

// TestLogLevelThroughAnyProxy: each header by which a proxy says for whom it asks is enough to be refused.
func TestLogLevelThroughAnyProxy(t *testing.T) {
	level := new(slog.LevelVar)
	s := &levelSwitch{next: http.NotFoundHandler(), level: level, log: slog.New(slog.DiscardHandler)}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if code := askLevel(s, "error", http.Header{header: {"x"}}); code != http.StatusForbidden || level.Level() != slog.LevelInfo {
			t.Errorf("%s: status %d, and the level is %s", header, code, level.Level())
		}
	}
	if code := askLevel(s, "error", nil); code != http.StatusOK || level.Level() != slog.LevelError {
		t.Errorf("without: status %d, and the level is %s", code, level.Level())
	}
}

// TestWhoSilencesTheLogIsInIt, and who has it say more.
func TestWhoSilencesTheLogIsInIt(t *testing.T) {
	var to strings.Builder
	level := new(slog.LevelVar)
	s := &levelSwitch{next: http.NotFoundHandler(), level: level, log: slog.New(slog.NewTextHandler(&to, &slog.HandlerOptions{Level: level}))}
	for _, word := range []string{"error", "info"} {
		to.Reset()
		if code := askLevel(s, word, nil); code != http.StatusOK || !strings.Contains(to.String(), "to="+word) {
			t.Errorf("to %s: status %d, and the log has %q", word, code, to.String())
		}
	}
}
