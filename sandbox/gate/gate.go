// Package gate stands between a program and the servers that it asks: it notes
// every exchange, can stop the program in the middle of a chosen one, and can have a
// server seem to fail.
package gate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Server names what stands behind a front of the gate.
type Server string

// Exchange is one request of the program and its answer.
type Exchange struct {
	Server Server
	Method string
	// Path and Query are those of the request, the query as it was sent.
	Path, Query string
	// Status is what the server answered; 0 while it has not answered, and for
	// a request that was never passed on.
	Status int
}

// Pattern says which exchanges are meant. The zero value means all.
type Pattern struct {
	// Server is the one that was asked; empty: any.
	Server Server
	// Methods are those meant; empty: any.
	Methods []string
	// Path must match the path; nil: any.
	Path *regexp.Regexp
	// Done leaves out what the server has not answered, or has refused with a
	// status of 400 or more.
	Done bool
}

// Match says whether an exchange is meant.
func (p Pattern) Match(e Exchange) bool {
	return (p.Server == "" || p.Server == e.Server) &&
		(len(p.Methods) == 0 || slices.Contains(p.Methods, e.Method)) &&
		(p.Path == nil || p.Path.MatchString(e.Path)) &&
		(!p.Done || e.Status > 0 && e.Status < http.StatusBadRequest)
}

// When says on which side of a server's work a program is stopped.
type When string

// The two sides.
const (
	// Before: the request has arrived and is not passed on.
	Before When = "before"
	// After: the server has answered, and the answer is withheld. All of it has
	// come, but of a watch, which does not end, only its beginning.
	After When = "after"
)

// Point is a moment in the life of a program.
type Point struct {
	// Pattern says which exchanges count. Done makes no sense here.
	Pattern
	// Since leaves out those that arrive while nothing that it means has been
	// noted; nil: all count.
	Since *Pattern
	// Nth is which of them is the one, counted from [Gate.StopAt] on; 0 means
	// the first.
	Nth  int
	When When
}

// Gate is a set of fronts. Its methods may be called concurrently.
type Gate struct {
	agent string

	mu        sync.Mutex
	fronts    []*httptest.Server
	exchanges []*passing
	broken    map[Server]*breakage
	open      map[Server]map[*http.Request]func() // the requests that are being passed on, and what cuts each
	clock     int                                 // counts the beginnings and ends of exchanges
	changed   chan struct{}                       // closed and replaced whenever exchanges change
	point     *Point                              // nil: none, or it was reached
	left      int                                 // how many exchanges are still to come before point's
	stop      func()
}

// passing is an exchange and when it was open, by the gate's clock.
type passing struct {
	Exchange
	begun int
	ended int // 0 while the server has not answered
}

// New makes a gate for a program whose requests carry a User-Agent that begins
// with agent. What others send through it, as Clair does when it fetches layers,
// is passed on and not noted. Close it.
func New(agent string) *Gate {
	return &Gate{
		agent: agent, changed: make(chan struct{}),
		broken: make(map[Server]*breakage), open: make(map[Server]map[*http.Request]func()),
	}
}

// Open makes a front for a server at an address such as "https://127.0.0.1:6443"
// and returns its own, which has the same scheme. roots verifies the server; nil
// means the system's.
func (g *Gate) Open(server Server, address string, roots *x509.CertPool) (string, error) {
	upstream, err := url.Parse(address)
	if err != nil || upstream.Host == "" {
		return "", fmt.Errorf("opening a front for %s: %q is no address", server, address)
	}
	f := &front{gate: g, server: server}
	f.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots},
			ForceAttemptHTTP2:   true,
			DisableCompression:  true, // what comes is passed on as it is
			MaxIdleConnsPerHost: 64,
		},
		FlushInterval:  -1, // a watch's events are passed on as they come
		ModifyResponse: f.answered,
		// A server that is away, or the end of the program, cuts the connection.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	front := httptest.NewUnstartedServer(f)
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	if upstream.Scheme == "https" {
		front.StartTLS()
	} else {
		front.Start()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fronts = append(g.fronts, front)
	return front.URL, nil
}

// CA is the certificate that the program has to trust, as PEM; nil where no front
// speaks TLS.
func (g *Gate) CA() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, front := range g.fronts {
		if c := front.Certificate(); c != nil { // all have the same
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		}
	}
	return nil
}

// Close cuts what is open and ends the fronts.
func (g *Gate) Close() {
	g.mu.Lock()
	fronts := g.fronts
	g.fronts = nil
	g.mu.Unlock()
	for _, front := range fronts {
		front.CloseClientConnections()
		front.Close()
	}
}

// Forget drops all that was noted, and the point to stop at.
func (g *Gate) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.exchanges, g.point, g.stop = nil, nil, nil
}

// StopAt calls stop once when p is reached, waits for it, and then cuts the
// connection. It replaces a point that was not reached.
func (g *Gate) StopAt(p Point, stop func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.point, g.left, g.stop = &p, max(p.Nth, 1), stop
}

// Exchanges returns what was noted, in the order in which the requests arrived.
func (g *Gate) Exchanges() []Exchange {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Exchange, len(g.exchanges))
	for i, p := range g.exchanges {
		all[i] = p.Exchange
	}
	return all
}

// AtOnce returns how many of the exchanges that p means, without the first of
// all, were open at the same time at the most: passed on, and not answered yet.
func (g *Gate) AtOnce(p Pattern, without int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	changes := make(map[int]int) // by the clock: 1 begins, -1 ends
	for _, e := range g.exchanges[min(without, len(g.exchanges)):] {
		if !p.Match(e.Exchange) {
			continue
		}
		changes[e.begun] = 1
		if e.ended > 0 {
			changes[e.ended] = -1
		}
	}
	open, most := 0, 0
	for _, at := range slices.Sorted(maps.Keys(changes)) {
		open += changes[at]
		most = max(most, open)
	}
	return most
}

// Matching returns those exchanges that p means.
func (g *Gate) Matching(p Pattern) []Exchange {
	return slices.DeleteFunc(g.Exchanges(), func(e Exchange) bool { return !p.Match(e) })
}

// Count counts the exchanges that p means.
func (g *Gate) Count(p Pattern) int { return len(g.Matching(p)) }

// Wait waits until p means at least n exchanges. The error is why ctx ended.
func (g *Gate) Wait(ctx context.Context, p Pattern, n int) error {
	for {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		have := g.Count(p)
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for exchange %d of %s, have %d: %w", n, p, have, context.Cause(ctx))
		}
	}
}

// String names what is meant, for a test's message.
func (p Pattern) String() string {
	parts := []string{string(p.Server), strings.Join(p.Methods, "|")}
	if p.Path != nil {
		parts = append(parts, p.Path.String())
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// arrive notes a request and says where the program is to be stopped in it: not at
// all ("") in all but one.
func (g *Gate) arrive(p *passing) (When, func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.exchanges
	g.exchanges = append(g.exchanges, p)
	g.clock++
	p.begun = g.clock
	g.tell()
	if g.point == nil || !g.point.Match(p.Exchange) {
		return "", nil
	}
	if since := g.point.Since; since != nil && !slices.ContainsFunc(before, func(p *passing) bool { return since.Match(p.Exchange) }) {
		return "", nil
	}
	if g.left--; g.left > 0 {
		return "", nil
	}
	when, stop := g.point.When, g.stop
	g.point, g.stop = nil, nil
	return when, stop
}

// answer notes a status; 0 is that of a server that has not answered and will not.
func (g *Gate) answer(p *passing, status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.ended > 0 {
		return
	}
	g.clock++
	p.Status, p.ended = status, g.clock
	g.tell()
}

// tell wakes up who waits; g.mu is held.
func (g *Gate) tell() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// front is the gate's side of one server.
type front struct {
	gate   *Gate
	server Server
	proxy  *httputil.ReverseProxy
}

// passage is what a request that is passed on carries along.
type passage struct {
	exchange *passing
	stop     func() // to be called with the answer; nil: the answer is passed on
}

type passageKey struct{}

// ServeHTTP passes a request on, unless the server is to fail, or the program to be stopped before.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cut := context.WithCancel(r.Context())
	defer cut()
	broken := f.gate.enter(f.server, r, cut)
	defer f.gate.leave(f.server, r)
	r = r.WithContext(ctx)
	switch {
	case broken == nil:
	case broken.Shift != 0:
		r = r.WithContext(context.WithValue(ctx, shiftKey{}, broken.Shift))
	default:
		broken.fail(w, r)
		return
	}
	f.pass(w, r)
}

// pass passes a request on, unless the program is to be stopped before.
func (f *front) pass(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.UserAgent(), f.gate.agent) {
		f.proxy.ServeHTTP(w, r)
		return
	}
	e := &passing{Exchange: Exchange{Server: f.server, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery}}
	when, stop := f.gate.arrive(e)
	defer f.gate.answer(e, 0)
	p := passage{exchange: e}
	switch when {
	case Before:
		stop()
		panic(http.ErrAbortHandler) // net/http's way to cut a connection
	case After:
		p.stop = stop
		// What stops the program takes its connection away, and with it the
		// request, which the server is to finish.
		r = r.WithContext(context.WithoutCancel(r.Context()))
	}
	f.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), passageKey{}, p)))
}

// errStopped ends the passage of an answer that is withheld.
var errStopped = errors.New("the program was stopped")

// answered notes what a server answered, and withholds it where the program is to
// be stopped.
func (f *front) answered(resp *http.Response) error {
	shift(resp)
	p, ok := resp.Request.Context().Value(passageKey{}).(passage)
	if !ok {
		return nil
	}
	if p.stop != nil && resp.Request.URL.Query().Get("watch") == "" {
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return fmt.Errorf("reading the answer of %s: %w", f.server, err)
		}
	}
	f.gate.answer(p.exchange, resp.StatusCode)
	if p.stop == nil {
		return nil
	}
	p.stop()
	return errStopped
}
