package gate

import (
	"io"
	"maps"
	"net/http"
	"time"
)

// Fault is what a server seems to do to the requests that a front is given, in place of answering them.
type Fault struct {
	// Pattern says which requests are meant; its Server must be named. Done makes no sense here.
	Pattern
	// Watch leaves out all requests but those of the API server's watches.
	Watch bool
	// Status is what is answered, with Header and Body. 0: nothing is answered: the connection is cut, unless Hang or
	// Shift says otherwise.
	Status int
	Header http.Header
	Body   string
	// Hang leaves requests without an answer until their client leaves, or the fault is mended: then they are cut.
	Hang bool
	// Shift passes requests on, and moves the Date of the answer by so much: the clock of the server is wrong.
	Shift time.Duration
}

// Fail has a server fail from now on, whoever asks it through the gate. What it is answering is cut, unless its answers
// are only shifted. Faults of one server replace each other.
func (g *Gate) Fail(f Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mend(f.Server)
	broken := &breakage{Fault: f, mended: make(chan struct{})}
	g.broken[f.Server] = broken
	if f.Shift != 0 {
		return
	}
	for r, cut := range g.open[f.Server] {
		if broken.means(r) {
			cut()
		}
	}
}

// Heal ends the fault of a server.
func (g *Gate) Heal(server Server) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mend(server)
}

// mend ends a fault; g.mu is held.
func (g *Gate) mend(server Server) {
	if broken := g.broken[server]; broken != nil {
		close(broken.mended)
		delete(g.broken, server)
	}
}

// breakage is a fault in force.
type breakage struct {
	Fault
	mended chan struct{} // closed when it is over
}

// means says whether a request is one of those that fail.
func (b *breakage) means(r *http.Request) bool {
	return b.Match(Exchange{Server: b.Server, Method: r.Method, Path: r.URL.Path}) && (!b.Watch || isWatch(r))
}

// isWatch says whether a request is a watch of the API server's, which does not end by itself.
func isWatch(r *http.Request) bool {
	watch := r.URL.Query().Get("watch")
	return watch == "true" || watch == "1"
}

// enter notes a request that is being passed on, with what cuts it, and returns the fault that it meets; nil: none.
func (g *Gate) enter(server Server, r *http.Request, cut func()) *breakage {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.broken[server]
	if b != nil && !b.means(r) {
		b = nil
	}
	if b == nil || b.Shift != 0 {
		if g.open[server] == nil {
			g.open[server] = make(map[*http.Request]func())
		}
		g.open[server][r] = cut
	}
	return b
}

// leave forgets a request that was passed on.
func (g *Gate) leave(server Server, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open[server], r)
}

// shiftKey is that of the context of a request whose answer gets another Date.
type shiftKey struct{}

// shift moves the Date of an answer where its request says so.
func shift(resp *http.Response) {
	by, ok := resp.Request.Context().Value(shiftKey{}).(time.Duration)
	if !ok {
		return
	}
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		at = time.Now() // it sends none
	}
	resp.Header.Set("Date", at.Add(by).UTC().Format(http.TimeFormat))
}

// fail answers a request as the fault wants it.
func (b *breakage) fail(w http.ResponseWriter, r *http.Request) {
	if b.Hang {
		select {
		case <-r.Context().Done():
		case <-b.mended:
		}
	}
	if b.Status == 0 {
		panic(http.ErrAbortHandler) // net/http's way to cut a connection
	}
	maps.Copy(w.Header(), b.Header)
	w.WriteHeader(b.Status)
	_, _ = io.WriteString(w, b.Body) // the client may have left
}
