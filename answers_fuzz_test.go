package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/clairwatch/clairwatch/watcher"
)

// movesTerminal says what of a text is no plain line of a terminal: what moves its cursor or changes how the rest reads.
func movesTerminal(r rune) bool { return r != '\n' && invisible(r) }

// FuzzConfig: a config is taken or refused, in both cases the same way each time, and each mistake is a line of its own.
func FuzzConfig(f *testing.F) {
	all, err := os.ReadFile("config.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(all))
	for _, text := range []string{
		"", "groupWait: 30", "clairs: [{url: http://a/, pskFile: x, unknown: 1}]", "clairs:\n- url: 7\n  timeout: soon\n", "registries: [{host: a/b}]",
		"groupWait: -1s\nworkers: 0", "a: &a [*a]", "? [x]\n: y", "web: {listen: ':x', tokenFile: a}", "\t", "slackHosts: [\"\\e[2J\"]", "externalURL: http://u:p@a/?q",
		"denyRegistryAddresses: [10.0.0.0/33]\nallowRegistries: ['[']", "log: {level: loud, format: xml}", "<<: {a: b}", "{a: b}: c",
	} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	read := func(t *testing.T) (Config, error) {
		flags := pflag.NewFlagSet("clairwatch", pflag.ContinueOnError)
		return loadConfig(path, flags, configFlags(flags))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := read(t)
		again, errAgain := read(t)
		if err != nil {
			if errAgain == nil || errAgain.Error() != err.Error() {
				t.Errorf("got\n%v\nand\n%v", err, errAgain)
			}
			if !strings.HasPrefix(err.Error(), "reading the config "+path+": ") || strings.Contains(err.Error(), "\n\n") || !reflect.DeepEqual(cfg, Config{}) {
				t.Errorf("got %v", err)
			}
			var said bytes.Buffer
			complain(&said, err)
			if strings.ContainsFunc(said.String(), movesTerminal) {
				t.Errorf("it is said as %q", said.String())
			}
			return
		}
		if !reflect.DeepEqual(cfg, again) || cfg.validate() != nil {
			t.Errorf("got\n%+v\nand\n%+v", cfg, again)
		}
	})
}

// FuzzDockerConfig: of a docker config check says for which registries it is, and never a password.
func FuzzDockerConfig(f *testing.F) {
	const password = "hunter2-3f9a7c"
	f.Add(`{"auths":{"quay.io":{"username":"u","password":"`, `"}}}`)
	f.Add(`{"auths":{"https://u:`, `@quay.io/v1/":{}},"credsStore":"desktop"}`)
	f.Add(`{"auths":{"quay.io":{"auth":"dTpw","identitytoken":"`, `"}},"credHelpers":{"gcr.io":"gcloud","a":"../x"}}`)
	f.Add("", "")
	f.Add(`{"auths":{"\u001b[2J`, `":{}}}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		rows := describeDockerConfig("docker config", []byte(before+password+after))
		if len(rows) == 0 {
			t.Error("it says nothing")
		}
		var config struct {
			Auths       map[string]any    `json:"auths"`
			CredHelpers map[string]string `json:"credHelpers"`
			CredsStore  string            `json:"credsStore"`
		}
		if json.Unmarshal([]byte(before+password+after), &config) != nil {
			config.Auths = nil
		}
		// A name is shown; who writes a password there has named a registry or a program.
		named := strings.Contains(config.CredsStore, password)
		for key, helper := range config.CredHelpers {
			named = named || strings.Contains(helper, password) || strings.Contains(hostOfKey(key), password)
		}
		for key := range config.Auths {
			named = named || strings.Contains(hostOfKey(key), password)
		}
		for _, r := range rows {
			if !named && strings.Contains(r.What+r.Found, password) {
				t.Errorf("it says %+v", r)
			}
		}
	})
}

// FuzzLevelSwitch: the level of the log is one of four, and changes only for who is where the daemon runs and says so by
// a header of ours.
func FuzzLevelSwitch(f *testing.F) {
	for _, c := range [][4]string{
		{"POST", "debug", "127.0.0.1:8081", "127.0.0.1:40000"}, {"POST", "silent\x1b", "localhost", "[::1]:40000"}, {"GET", "error", "localhost", "127.0.0.1:1"},
		{"POST", "error", "rebound.example.net", "127.0.0.1:1"}, {"POST", "error", "127.0.0.1", "10.0.0.1:1"}, {"PUT", "error", "[::1]", "@"}, {"POST", "", "::1", "[::ffff:127.0.0.1]:1"},
	} {
		f.Add(c[0], c[1], c[2], c[3], "")
		f.Add(c[0], c[1], c[2], c[3], "Via")
	}
	f.Fuzz(func(t *testing.T, method, word, host, peer, proxied string) {
		level := new(slog.LevelVar)
		s := &levelSwitch{next: aPage, level: level, log: slog.New(slog.DiscardHandler)}
		r := httptest.NewRequest(http.MethodGet, logLevelPath, nil)
		r.Method, r.Host, r.RemoteAddr = method, host, peer
		r.Header.Set(logLevelHeader, word)
		if proxied != "" {
			r.Header.Set(proxied, "x")
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || bytes.ContainsFunc(w.Body.Bytes(), movesTerminal) {
			t.Errorf("it answers %q", w.Body)
		}
		if level.Level() == slog.LevelInfo {
			return // as it was
		}
		address, _, _ := strings.Cut(strings.TrimPrefix(peer, "["), "%")
		here := strings.HasPrefix(address, "127.") || strings.HasPrefix(address, "::") || strings.HasPrefix(address, "0")
		if method != http.MethodPost || levelWord(level.Level()) != word || w.Code != http.StatusOK || !here || slices.Contains([]string{"Forwarded", "Via", "X-Forwarded-For"}, proxied) {
			t.Errorf("%s %q from %q for %q: the level is %s", method, word, peer, host, level.Level())
		}
	})
}

// FuzzExplainRequest: whoever is asked is asked with names alone, and the answer is a document whatever the query is.
func FuzzExplainRequest(f *testing.F) {
	for _, query := range []string{
		"namespace=shop", "namespace=shop&name=web&vulnerability=CVE-2023-4911", "namespace=Shop", "namespace=shop&name=a/b", "namespace=shop&vulnerability=%1b[2J",
		"", "%zz", "namespace=shop;name=x", "namespace=shop&namespace=other", "namespace=shop&vulnerability=+x", "namespace=shop&vulnerability=%ff",
		"namespace=shop&vulnerability=%E2%80%AE", "namespace=" + strings.Repeat("a", 64),
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		var asked *watcher.Question
		e := &explanations{pages: aPage, slots: make(chan struct{}, 1), explain: func(_ context.Context, q watcher.Question) (watcher.Explanation, error) {
			asked = &q
			return watcher.Explanation{Namespace: q.Namespace, Vulnerability: q.Vulnerability}, nil
		}}
		r := httptest.NewRequest(http.MethodGet, explainPath, nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || bytes.ContainsFunc(w.Body.Bytes(), movesTerminal) || w.Body.Len() > 4<<10 {
			t.Errorf("it answers %q", w.Body)
		}
		if (asked != nil) != (w.Code == http.StatusOK) || asked == nil && w.Code != http.StatusBadRequest {
			t.Errorf("status %d, asked %+v", w.Code, asked)
		}
		if asked == nil {
			return
		}
		name := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' }
		if asked.Namespace == "" || strings.ContainsFunc(asked.Namespace+asked.Name, name) || len(asked.Namespace) > 63 || len(asked.Name) > 253 ||
			len(asked.Vulnerability) > longestAdvisory || !utf8.ValidString(asked.Vulnerability) || strings.ContainsFunc(asked.Vulnerability, unicode.IsControl) {
			t.Errorf("asked %+v", asked)
		}
		// What a command would ask.
		if strings.ContainsAny(explainLine(*asked), "\r\n") {
			t.Errorf("the line is %q", explainLine(*asked))
		}
	})
}

// FuzzDaemonAnswer: what answers at an address may be anything. What is printed of it moves no terminal, and an answer
// about something else is not taken.
func FuzzDaemonAnswer(f *testing.F) {
	golden, err := os.ReadFile("testdata/explain-vulnerability-json.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, golden)
	for _, body := range []string{
		`{"level":"info"}`, `{"level":"debug","before":"\u001b[2J"}`, `{"level":"loud"}`, `{"error":"\u001b]0;owned\u0007","leader":"$(reboot)"}`, `{"error":"x","leader":"clairwatch-0"}`, "", "null", "[]",
		`{"namespace":"shop","pods":1,"workloads":[{"kind":"\u001b[2J","name":"a\nb","containers":[{"kind":"\r","image":"\u202e"}]}],"scanners":[{"name":"x"}]}`,
		`{"namespace":"shop","near":["\u001b[2J"],"nearNamespaces":["a\u0000"]}`, "<html>\x1b[2J HTTPS",
	} {
		for _, status := range []int{200, 302, 400, 401, 403, 503} {
			f.Add(status, []byte(body))
		}
	}
	var status int
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	f.Cleanup(s.Close)
	base, err := url.Parse(s.URL)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answered int, text []byte) {
		if answered < 200 || answered > 999 || answered == 204 || answered == 304 {
			return // no answer, or none with a body
		}
		status, body = answered, text
		d := runningDaemon{base: base, token: "secret-of-the-pages", line: "explain shop"}
		var said bytes.Buffer
		q := watcher.Question{Namespace: "shop"}
		if e, err := askDaemon(t.Context(), d, q); err != nil {
			complain(&said, err)
		} else {
			if e.Namespace != q.Namespace || e.Vulnerability != "" || answered != http.StatusOK {
				t.Errorf("status %d: took %+v", answered, e)
			}
			if err := writeExplanation(&said, formTable, e); err != nil {
				complain(&said, err)
			}
			if err := writeExplanation(io.Discard, "json", e); e.Pods > 0 && err != nil {
				t.Error(err)
			}
		}
		if level, err := askLogLevel(t.Context(), d, "debug"); err != nil {
			complain(&said, err)
		} else if level.Level != "debug" || answered != http.StatusOK {
			t.Errorf("status %d: took %+v", answered, level)
		}
		if text := said.String(); strings.ContainsFunc(text, movesTerminal) || strings.Contains(text, d.token) || !utf8.ValidString(text) {
			t.Errorf("it prints %q", text)
		}
	})
}
