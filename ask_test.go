package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestAskWithToken asks a daemon whose pages want a token, as explain and log-level do.
func TestAskWithToken(t *testing.T) {
	file, other, none := writeFile(t, "web-token", pagesToken), writeFile(t, "other", "another-token-of-others\n"), filepath.Join(t.TempDir(), "none")
	e, _ := explainStand(t, always(shopExplanation()))
	level := &levelSwitch{next: e, level: new(slog.LevelVar), log: slog.New(slog.DiscardHandler)}
	s := httptest.NewServer(newTokenGuard(file, level, slog.New(slog.DiscardHandler)))
	t.Cleanup(s.Close)
	broken := httptest.NewServer(newTokenGuard(none, level, slog.New(slog.DiscardHandler)))
	t.Cleanup(broken.Close)
	config := func(file string) string {
		return writeFile(t, "config.yaml", "web: {listen: '"+hostOf(t, s.URL)+"', tokenFile: '"+file+"'}\n")
	}
	const wants = "it wants the token of its pages: name the file that has it (web.tokenFile in the daemon's config) with --token-file; or ask in its pod: kubectl "
	for name, c := range map[string]struct{ args, errs string }{
		"of the config":          {"--config " + config(file), ""},
		"of the flag":            {"--token-file " + file + " --address " + s.URL, ""},
		"flag over config":       {"--token-file " + file + " --config " + config(other), ""},
		"none":                   {"--address " + s.URL, "asking the daemon at " + s.URL + ": " + wants},
		"not to another address": {"--config " + config(file) + " --address " + s.URL, wants},
		"wrong":                  {"--config " + config(other), "it wants another token than the one that was sent"},
		"unreadable":             {"--config " + config(none), "web.tokenFile of the config: the file " + none + " cannot be read: no such file"},
		"unreadable flag":        {"--token-file " + none + " --address " + s.URL, "--token-file: the file " + none + " cannot be read: no such file"},
		"no file":                {"--token-file " + pagesToken + " --address " + s.URL, "--token-file: the file cannot be used: want the path"},
		"broken at the daemon":   {"--token-file " + file + " --address " + broken.URL, "nobody is let in, because the token file cannot be read: see the log"},
	} {
		for command, out := range map[string]string{"explain shop": "Namespace shop", "log-level": "info\n"} {
			said := clairwatch(t, "", strings.Fields(command+" "+c.args)...)
			if c.errs == "" && (said.code != 0 || !strings.HasPrefix(said.out, out)) || c.errs != "" && (said.code != exitFailed || !strings.Contains(said.errs, c.errs)) {
				t.Errorf("%s, %s: %+.300v, want %q", command, name, said, c.errs)
			}
			if strings.Contains(said.errs, pagesToken) || strings.Contains(said.errs, "another-token") {
				t.Errorf("%s, %s: the token is in %s", command, name, said.errs)
			}
		}
	}
}

// TestAskElsewhere: a daemon on loopback that is asked under another name says what to do.
func TestAskElsewhere(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "tunnel.example.com"
		(&hostGuard{next: aPage}).ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	for _, command := range []string{"explain shop", "log-level"} {
		said := clairwatch(t, "", strings.Fields(command+" --address "+s.URL)...)
		if said.code != exitFailed || !strings.Contains(said.errs, "asking the daemon at "+s.URL+": "+wrongHost) {
			t.Errorf("%+v", said)
		}
	}
}
