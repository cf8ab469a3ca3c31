package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

const (
	// shortestToken is how long the token of the pages has to be, in bytes: what people think up is guessed.
	shortestToken = 16
	// wrongEvery is how often the log has wrong tokens at the most, so that nobody fills it.
	wrongEvery = time.Minute
)

// tokenGuard lets in who sends the token.
type tokenGuard struct {
	next http.Handler
	file string
	log  *slog.Logger

	mu sync.Mutex
	// broken is why the token cannot be read, as the log has it; empty: it can.
	broken string
	// wrong is how many wrong tokens were sent since the log last had that, from where the last one was, and quiet that
	// this was less than wrongEvery ago.
	wrong int
	from  string
	quiet bool
}

// newTokenGuard guards what next serves by the token in a file. The log has what is wrong with the file.
func newTokenGuard(file string, next http.Handler, log *slog.Logger) *tokenGuard {
	g := &tokenGuard{next: next, file: file, log: log}
	_, err := readPagesToken(file)
	g.noteFile(err)
	return g
}

// What who is not let in is told.
const (
	wantToken   = `the token of the pages (web.tokenFile) is needed: send it as the password of any user, or as "Authorization: Bearer <token>"`
	brokenToken = "nobody is let in, because the token file cannot be read: see the log"
)

// ServeHTTP answers a request. The token is read for each: the file is small, and so a new one is in force at once.
func (g *tokenGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want, err := readPagesToken(g.file)
	g.noteFile(err)
	if err != nil {
		turnAway(w, r, http.StatusServiceUnavailable, brokenToken)
		return
	}
	sent := sentToken(r)
	if sent != "" && sameToken(sent, want) {
		g.next.ServeHTTP(w, r)
		return
	}
	if sent != "" {
		g.noteWrong(r)
	}
	h := w.Header()
	h.Add("WWW-Authenticate", `Basic realm="clairwatch", charset="UTF-8"`) // first: some browsers look no further
	h.Add("WWW-Authenticate", `Bearer realm="clairwatch"`)
	turnAway(w, r, http.StatusUnauthorized, wantToken)
}

// noteFile has the log say when the token cannot be read, and when it can be again.
func (g *tokenGuard) noteFile(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := ""
	if err != nil {
		now = err.Error()
	}
	switch {
	case now == g.broken:
	case err != nil:
		g.log.Warn("nobody is let in to the pages, because their token cannot be read (web.tokenFile); it is read again with each request", "error", err)
	default:
		g.log.Info("the token of the pages can be read again")
	}
	g.broken = now
}

// noteWrong counts a wrong token, and has the log say so.
func (g *tokenGuard) noteWrong(r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrong++
	g.from, _, _ = net.SplitHostPort(r.RemoteAddr)
	if !g.quiet {
		g.sayWrong()
	}
}

// sayWrong has the log say how many wrong tokens there were, and be quiet of them for wrongEvery. Its caller holds mu.
func (g *tokenGuard) sayWrong() {
	g.log.Warn("the pages were asked for with a wrong token", "times", g.wrong, "from", g.from)
	g.wrong, g.quiet = 0, true
	time.AfterFunc(wrongEvery, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.quiet = false
		if g.wrong > 0 {
			g.sayWrong()
		}
	})
}

// sentToken is the token that a request has: after Bearer, or as the password of any user. Empty: none.
func sentToken(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return strings.TrimSpace(password)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// sameToken compares two tokens. How long it takes says nothing about them, not even their lengths: hashes are compared.
func sameToken(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// readPagesToken reads the token of the pages. The error holds nothing of it.
func readPagesToken(file string) (string, error) {
	token, err := clair.ReadToken(file)
	if err == nil && len(token) < shortestToken {
		err = fmt.Errorf("the file %s holds fewer than %d characters", file, shortestToken)
	}
	if err != nil {
		return "", fmt.Errorf("%w; it must hold a token such as openssl rand -hex 32 makes", err)
	}
	return token, nil
}
