package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestCallers has the daemon's own settings decide who may call, from the file to the header.
func TestCallers(t *testing.T) {
	folder := t.TempDir()
	token, key, none := filepath.Join(folder, "token"), filepath.Join(folder, "psk"), filepath.Join(folder, "none")
	const secret, pskText = "a-token-that-is-secret", "bm90IGEga2V5IHRoYXQgaXMgc2hvd24="
	for path, text := range map[string]string{token: secret + "\n", key: pskText} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		config            string
		anonymous, bearer bool   // who is let in
		says              string // a part of the log; nothing: it is silent
	}{
		"nothing":       {"", true, true, "anybody who reaches this port"},
		"other setting": {"clairs: [{url: http://a/, issuer: us}]", true, true, "anybody who reaches this port"},
		"token":         {"notifyTokenFile: " + token, false, true, ""},
		"no token":      {"notifyTokenFile: " + none, false, false, none + " cannot be read: no such file"},
		"key":           {"clairs: [{url: http://a/}, {url: http://b/, pskFile: " + key + "}]", false, false, ""},
		"no key":        {"clairs: [{url: http://b/c, pskFile: " + none + "}]", false, false, "PSK of Clair http://b: the file " + none},
		"no base64":     {"clairs: [{url: http://b/c, pskFile: " + token + "}]", false, false, token + " holds no base64"},
		"both":          {"notifyTokenFile: " + token + "\nclairs: [{url: http://b/, pskFile: " + key + "}]", false, true, ""},
		"one of both":   {"notifyTokenFile: " + token + "\nclairs: [{url: http://b/, pskFile: " + none + "}]", false, true, none},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, c.config)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			may := callers(cfg, slog.New(slog.NewTextHandler(&log, nil)))
			if err := may(http.Header{}); (err == nil) != c.anonymous {
				t.Errorf("who sends nothing: %v", err)
			}
			if err := may(http.Header{"Authorization": {"Bearer " + secret}}); (err == nil) != c.bearer {
				t.Errorf("who sends the token: %v", err)
			}
			if said := log.String(); !strings.Contains(said, c.says) || c.says == "" && said != "" || strings.Count(said, "\n") > 1 {
				t.Errorf("the log is %q, want %q", said, c.says)
			}
			for _, s := range []string{secret, pskText} {
				if strings.Contains(log.String(), s) {
					t.Errorf("the log holds a secret: %s", log.String())
				}
			}
		})
	}
}

func TestCallbackAliases(t *testing.T) {
	cfg, err := load(t, "clairs: [{url: HTTP://Clair:6000, callbackAliases: [http://clair.example]}, {url: http://b/}]")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := callbackAliases(cfg), map[string][]string{"http://clair:6000/": {"http://clair.example"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
