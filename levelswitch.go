package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
)

const (
	// logLevelPath is where the daemon says and changes the level of its log, beside the pages.
	logLevelPath = "/log-level"
	// logLevelHeader has the level that is to be set.
	logLevelHeader = "Clairwatch-Log-Level"
)

// logLevelAnswer is what the daemon answers.
type logLevelAnswer struct {
	// Level is the level that is in force, Before the one that was until now; empty: nothing was changed.
	Level  string `json:"level"`
	Before string `json:"before,omitempty"`
}

// levelSwitch serves the level of the log at logLevelPath, and all other paths as next does.
//
// By default the pages ask nobody for a token, because nobody reaches them who may not do more in the pod anyway. Who
// is let in to read them, through a proxy for one, is not let in to make the log silent. So the level is for those alone
// who are where the daemon runs, as by kubectl exec or port-forward:
//   - The other end is loopback, and no proxy says that it asks for somebody else.
//   - No page in a browser can change it, as on the machine of a port-forward. A page of another site can send a POST,
//     but a header of ours only after asking whether it may, which is answered with 405. A page that has its own name
//     lead to loopback (DNS rebinding) need not ask, but sends that name as the host.
type levelSwitch struct {
	next  http.Handler
	level *slog.LevelVar
	log   *slog.Logger
}

// ServeHTTP answers a request.
func (s *levelSwitch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != logLevelPath {
		s.next.ServeHTTP(w, r)
		return
	}
	before := s.level.Level()
	switch {
	case !fromHere(r):
		answerJSON(w, http.StatusForbidden, refusal{Error: "the level of the log is only for who is where the daemon runs, without a proxy"})
	case r.Method == http.MethodGet:
		answerJSON(w, http.StatusOK, logLevelAnswer{Level: levelWord(before)})
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		answerJSON(w, http.StatusMethodNotAllowed, refusal{Error: "want GET or POST"})
	default:
		level, err := logLevel(r.Header.Get(logLevelHeader))
		if err != nil {
			answerJSON(w, http.StatusBadRequest, refusal{Error: "header " + logLevelHeader + ": " + err.Error()})
			return
		}
		s.set(r.Context(), before, level)
		answerJSON(w, http.StatusOK, logLevelAnswer{Level: levelWord(level), Before: levelWord(before)})
	}
}

// set changes the level, and says so while the more talkative of the two is in force: who silences the log is in it.
func (s *levelSwitch) set(ctx context.Context, before, level slog.Level) {
	s.level.Set(min(before, level))
	s.log.InfoContext(ctx, "log level changed, until it is changed again or the daemon restarts", "from", levelWord(before), "to", levelWord(level))
	s.level.Set(level)
}

// fromHere says whether a request comes from where the daemon runs, to an address of there, and for nobody else.
func fromHere(r *http.Request) bool {
	for _, proxied := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if len(r.Header.Values(proxied)) > 0 {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	return isLoopback(hostOfRequest(r))
}
