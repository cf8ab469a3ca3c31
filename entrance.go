package main

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
)

// entrance lets in to the pages, and to what is beside them, who may see them:
//   - With a token, who has it, under whatever name.
//   - Without one on loopback, who is where the daemon runs, and a proxy there: under a name of the daemon, so that no
//     page of another site can read them through the browser of somebody with a port-forward.
//   - Without one on another address, everybody, as the log has said at the start.
func entrance(cfg Config, listened net.Addr, next http.Handler, log *slog.Logger) http.Handler {
	switch {
	case cfg.Web.TokenFile != "":
		return newTokenGuard(cfg.Web.TokenFile, next, log)
	case onLoopback(listened):
		return &hostGuard{names: ownNames(cfg), next: next}
	}
	return next
}

// onLoopback says whether nothing but the machine, or pod, itself reaches an address.
func onLoopback(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// turnAway answers who is not let in, and says what to do, in the form of what was asked for. It gives away nothing else.
func turnAway(w http.ResponseWriter, r *http.Request, status int, why string) {
	if path := r.URL.Path; path == explainPath || path == logLevelPath || strings.HasPrefix(path, "/api/") {
		answerJSON(w, status, refusal{Error: why})
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	http.Error(w, why, status) // as plain text
}
