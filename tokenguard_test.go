package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pagesToken is the token of the pages in tests.
const pagesToken = "a-token-that-nobody-guesses"

// aPage is what is guarded.
var aPage = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "a page") })

// guardStand is a guard whose token is in a file, with its log.
func guardStand(t *testing.T, file string) (g *tokenGuard, logged *bytes.Buffer) {
	t.Helper()
	logged = new(bytes.Buffer)
	return newTokenGuard(file, aPage, slog.New(slog.NewTextHandler(logged, nil))), logged
}

// asked is what a handler answers to a request for a path with a value of Authorization; empty: none.
func asked(h http.Handler, path, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// basic is the value of Authorization for a user with a password.
func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestTokenGuard(t *testing.T) {
	g, logged := guardStand(t, writeFile(t, "web-token", " "+pagesToken+"\n"))
	for name, c := range map[string]struct {
		authorization string
		enters        bool
	}{
		"bearer":             {"Bearer " + pagesToken, true},
		"any case":           {"bEARER  " + pagesToken, true},
		"any user":           {basic("me", pagesToken), true},
		"no user":            {basic("", pagesToken), true},
		"pasted":             {basic("me", pagesToken+" \n"), true},
		"nothing":            {"", false},
		"no token":           {"Bearer ", false},
		"another":            {"Bearer " + strings.ToUpper(pagesToken), false},
		"the beginning":      {"Bearer " + pagesToken[:20], false},
		"more":               {"Bearer " + pagesToken + "s", false},
		"twice":              {"Bearer " + pagesToken + " " + pagesToken, false},
		"no scheme":          {pagesToken, false},
		"another scheme":     {"Digest " + pagesToken, false},
		"as the user":        {basic(pagesToken, ""), false},
		"wrong password":     {basic("me", "secret"), false},
		"basic of something": {"Basic " + pagesToken, false},
	} {
		for _, path := range []string{"/", "/style.css", "/images/x", explainPath, logLevelPath, "/api/v1/images"} {
			w := asked(g, path, c.authorization)
			if c.enters {
				if w.Code != http.StatusOK || w.Body.String() != "a page" {
					t.Errorf("%s, %s: status %d: %s", name, path, w.Code, w.Body)
				}
				continue
			}
			if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "web.tokenFile") || strings.Contains(w.Body.String(), "a page") {
				t.Errorf("%s, %s: status %d: %s", name, path, w.Code, w.Body)
			}
			if ways := strings.Join(w.Header().Values("WWW-Authenticate"), "; "); !strings.HasPrefix(ways, `Basic realm="clairwatch"`) || !strings.Contains(ways, "; Bearer ") {
				t.Errorf("%s, %s: %s", name, path, ways)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s, %s: %v", name, path, w.Header())
			}
			wantForm(t, path, w)
		}
	}
	if strings.Contains(logged.String(), pagesToken) || strings.Contains(logged.String(), "secret") {
		t.Errorf("the log holds a token: %s", logged)
	}
}

// wantForm checks that who is turned away is told so in JSON where a program asks, and otherwise in plain text.
func wantForm(t *testing.T, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	program := path == explainPath || path == logLevelPath || strings.HasPrefix(path, "/api/")
	var said refusal
	err := json.Unmarshal(w.Body.Bytes(), &said)
	kind := w.Header().Get("Content-Type")
	switch {
	case program && (err != nil || said.Error == "" || kind != "application/json"):
		t.Errorf("%s: %s, %v: %s", path, kind, err, w.Body)
	case !program && (err == nil || kind != "text/plain; charset=utf-8" || !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'")):
		t.Errorf("%s: %v: %s", path, w.Header(), w.Body)
	}
}

// TestTokenFileChanges lets nobody in while the token cannot be read, and has that in the log once.
func TestTokenFileChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web-token")
	g, logged := guardStand(t, file)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// wants is what becomes of two requests, and of the log.
	wants := func(authorization string, status int, log string) {
		t.Helper()
		for range 2 {
			w := asked(g, "/", authorization)
			if w.Code != status || status == http.StatusServiceUnavailable && (!strings.Contains(w.Body.String(), "the token file cannot be read") || strings.Contains(w.Body.String(), file)) {
				t.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
			}
		}
		if said := logged.String(); !strings.Contains(said, log) || strings.Count(said, "\n") > 1 || log == "" && said != "" {
			t.Errorf("the log says\n%swant %q once", said, log)
		}
		logged.Reset()
	}
	token := "Bearer " + pagesToken
	wants(token, 503, "no such file")
	wants("", 503, "")
	write("")
	wants(token, 503, file+" is empty")
	write("short")
	wants("Bearer short", 503, "fewer than 16 characters")
	write(strings.Repeat("a", shortestToken))
	wants("Bearer "+strings.Repeat("a", shortestToken), 200, "can be read again")
	write(pagesToken)
	wants(token, 200, "")
	wants("", 401, "")
	write(pagesToken + " " + pagesToken)
	wants(token, 503, "more than one word")
	write(strings.Repeat("a", 5<<10))
	wants(token, 503, "more than 4 KiB")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	wants(token, 503, "is no file")
}

// TestWrongTokensInTheLog has a line a minute of them at the most, and none is forgotten.
func TestWrongTokensInTheLog(t *testing.T) {
	file := writeFile(t, "web-token", pagesToken)
	synctest.Test(t, func(t *testing.T) {
		g, logged := guardStand(t, file)
		wants := func(times ...string) {
			t.Helper()
			synctest.Wait()
			g.mu.Lock() // under which it writes the log
			defer g.mu.Unlock()
			var want strings.Builder
			for _, n := range times {
				want.WriteString(`level=WARN msg="the pages were asked for with a wrong token" times=` + n + " from=192.0.2.1\n")
			}
			var got strings.Builder
			for line := range strings.Lines(logged.String()) {
				_, said, _ := strings.Cut(line, " ") // without the time
				got.WriteString(said)
			}
			if got.String() != want.String() {
				t.Errorf("the log says\n%swant\n%s", &got, &want)
			}
			logged.Reset()
		}
		wrong := func(n int) {
			for range n {
				asked(g, "/", "Bearer wrong")
			}
		}
		asked(g, "/", "") // as each browser does first
		wants()
		wrong(1)
		wants("1")
		wrong(1000)
		asked(g, "/", "Bearer "+pagesToken)
		wants()
		time.Sleep(wrongEvery)
		wants("1000")
		wrong(2)
		time.Sleep(wrongEvery)
		wants("2")
		time.Sleep(wrongEvery)
		wants()
		wrong(1)
		wants("1")
	})
}

// FuzzSentToken lets in nobody whose header does not have the token.
func FuzzSentToken(f *testing.F) {
	for _, seed := range []string{"", "Bearer " + pagesToken, basic("me", pagesToken), basic("me", "wrong"), "Basic ====", "bearer", pagesToken} {
		f.Add(seed)
	}
	file := filepath.Join(f.TempDir(), "web-token")
	if err := os.WriteFile(file, []byte(pagesToken), 0o600); err != nil {
		f.Fatal(err)
	}
	g := newTokenGuard(file, aPage, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, authorization string) {
		_, encoded, _ := strings.Cut(authorization, " ")
		decoded, _ := base64.StdEncoding.DecodeString(encoded)
		has := strings.Contains(authorization, pagesToken) || strings.Contains(string(decoded), pagesToken)
		if w := asked(g, "/", authorization); w.Code == http.StatusOK && !has {
			t.Errorf("%q: status %d", authorization, w.Code)
		}
	})
}
