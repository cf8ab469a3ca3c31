package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// levelStand is a daemon whose log has a level, beside pages.
func levelStand(t *testing.T, first string) (s *levelSwitch, logged *bytes.Buffer) {
	t.Helper()
	logged = new(bytes.Buffer)
	log, level, err := newLogger(LogConfig{Level: first, Format: "text"}, logged)
	if err != nil {
		t.Fatal(err)
	}
	pages := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "a page") })
	return &levelSwitch{next: pages, level: level, log: log}, logged
}

// TestLevelSwitchIsLogged has a line for each change that anybody who reads the log at the one or the other level sees.
func TestLevelSwitchIsLogged(t *testing.T) {
	s, logged := levelStand(t, "info")
	set := func(to slog.Level) { s.set(t.Context(), s.level.Level(), to) }
	set(slog.LevelError)
	set(slog.LevelInfo)
	set(slog.LevelWarn)
	set(slog.LevelError) // no line at info is wanted, before or after
	want := regexp.MustCompile(`(?s)^[^\n]*from=info to=error\n[^\n]*from=error to=info\n[^\n]*from=info to=warn\n$`)
	if !want.MatchString(logged.String()) {
		t.Errorf("the log says\n%s", logged)
	}
}

// TestLevelSwitchRefuses changes nothing for whoever is not where the daemon runs, and for pages in a browser.
func TestLevelSwitchRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		method, peer, host, header string
		level                      string
		status                     int
		says                       string
	}{
		"kubectl exec":          {"POST", "127.0.0.1:40000", "127.0.0.1:8081", "", "debug", 200, `"before": "info"`},
		"port-forward":          {"POST", "[::1]:40000", "localhost:8081", "", "debug", 200, `"level": "debug"`},
		"mapped":                {"POST", "[::ffff:127.0.0.1]:40000", "[::1]:8081", "", "debug", 200, `"level": "debug"`},
		"no port":               {"POST", "127.0.0.1:40000", "127.0.0.1", "", "debug", 200, `"level": "debug"`},
		"reading":               {"GET", "127.0.0.1:40000", "127.0.0.1:8081", "", "debug", 200, `"level": "info"`},
		"from elsewhere":        {"POST", "10.0.0.7:40000", "127.0.0.1:8081", "", "debug", 403, "only for who is where the daemon runs"},
		"reading elsewhere":     {"GET", "10.0.0.7:40000", "127.0.0.1:8081", "", "", 403, "only for who is where the daemon runs"},
		"no address":            {"POST", "@", "127.0.0.1:8081", "", "debug", 403, "only for who is where the daemon runs"},
		"a name of a page":      {"POST", "127.0.0.1:40000", "rebound.example.com:8081", "", "debug", 403, "only for who is where the daemon runs"},
		"a name like localhost": {"POST", "127.0.0.1:40000", "localhost.example.com", "", "debug", 403, "only for who is where the daemon runs"},
		"no host":               {"POST", "127.0.0.1:40000", "", "", "debug", 403, "only for who is where the daemon runs"},
		"a proxy":               {"POST", "127.0.0.1:40000", "127.0.0.1:8081", "X-Forwarded-For: 127.0.0.1", "debug", 403, "without a proxy"},
		"another proxy":         {"POST", "127.0.0.1:40000", "127.0.0.1:8081", "Forwarded: for=127.0.0.1", "debug", 403, "without a proxy"},
		"one more":              {"POST", "127.0.0.1:40000", "127.0.0.1:8081", "Via: 1.1 proxy", "debug", 403, "without a proxy"},
		"a page's form":         {"POST", "127.0.0.1:40000", "127.0.0.1:8081", "Origin: https://example.com", "", 400, "want debug, info, warn or error"},
		"a page that may ask":   {"OPTIONS", "127.0.0.1:40000", "127.0.0.1:8081", "Access-Control-Request-Headers: clairwatch-log-level", "", 405, "want GET or POST"},
		"no level":              {"POST", "127.0.0.1:40000", "127.0.0.1:8081", "", "trace", 400, "want debug, info, warn or error"},
		"hostile":               {"POST", "127.0.0.1:40000", "127.0.0.1:8081", "", "\x1b[31m", 400, "want debug, info, warn or error"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := levelStand(t, "info")
			r := httptest.NewRequest(c.method, logLevelPath, nil)
			r.RemoteAddr, r.Host = c.peer, c.host
			if key, value, ok := strings.Cut(c.header, ": "); ok {
				r.Header.Set(key, value)
			}
			if c.level != "" {
				r.Header.Set(logLevelHeader, c.level)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "\x1b") {
				t.Errorf("status %d, want %d and %q: %s", w.Code, c.status, c.says, w.Body)
			}
			want := slog.LevelInfo
			if c.status == 200 && c.method == "POST" {
				want = slog.LevelDebug
			}
			if got := s.level.Level(); got != want {
				t.Errorf("the level is %s, want %s", got, want)
			}
			for key := range w.Header() {
				if strings.HasPrefix(key, "Access-Control-") {
					t.Errorf("pages of other sites are let in: %s", key)
				}
			}
		})
	}
	s, _ := levelStand(t, "info")
	for _, path := range []string{"/", "/log-level/", "/explain"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Body.String() != "a page" {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
}
