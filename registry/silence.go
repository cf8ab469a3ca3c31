package registry

import (
	"context"
	"net/http"
	"time"
)

const (
	// maxSilent is how many requests in a row a server may leave without an answer.
	maxSilent = 3
	// firstSilence and longestSilence bound how long it is left alone then; it doubles in
	// between. They are short: it may be back at any time.
	firstSilence   = 5 * time.Second
	longestSilence = time.Minute
)

// server is who is asked: a registry, or its token server, without which the registry may
// still have something to say.
type server struct {
	registry string // lower-case host as in image names
	tokens   bool
}

func (p *pass) server() server { return server{p.account.registry, p.kind == exchange} }

// silence is a server that has not answered lately. It is guarded by gates.mu.
type silence struct {
	unanswered int     // requests in a row
	line       barrier // closed from the third on
	pause      time.Duration
	last       error // of the one that closed it
}

// away is what those who come hear while the server is left alone; nil where they may ask.
func (s *silence) away(by server, now time.Time, patience time.Duration) error {
	if s == nil {
		return nil
	}
	if wait := s.line.wait(now, patience); wait > 0 {
		return &UnansweredError{Registry: by.registry, TokenServer: by.tokens, RetryAfter: wait, Err: s.last}
	}
	return nil
}

// down says whether status is that of what stands before a registry, when it gets no
// answer itself. 500 and others may be of one repository alone, which is to hold up no
// other.
func down(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// unanswered takes in that there was no answer, for err. That the caller has gone, or that
// we do not follow to where the registry leads, says nothing about it.
func (p *pass) unanswered(ctx context.Context, err error) {
	if ctx.Err() != nil || Permanent(err) {
		return
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	s, now := p.of.silenceOf(p.server()), time.Now()
	s.unanswered++
	switch {
	case p.testing == s:
		s.pause = min(2*s.pause, longestSilence)
	case s.unanswered == maxSilent:
		s.pause = firstSilence
	default: // what was under way together shows only once that it does not answer
		return
	}
	s.line.closed, s.line.until, s.last = true, now.Add(s.pause), err
}

// silenceOf returns that of by; when there are too many it forgets an arbitrary one.
func (g *gates) silenceOf(by server) *silence {
	if s := g.silent[by]; s != nil {
		return s
	}
	if len(g.silent) >= maxRemembered {
		for k := range g.silent {
			delete(g.silent, k)
			break
		}
	}
	s := new(silence)
	g.silent[by] = s
	return s
}
