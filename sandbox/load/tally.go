package load

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Count is what one kind of request amounts to: how many there were, and the bytes of their bodies, sent by clairwatch
// and received by it.
type Count struct {
	Requests       int
	Sent, Received int64
}

// Tally is what one server was asked, by kind of request.
type Tally map[string]Count

// Requests is how many requests of a kind there were.
func (t Tally) Requests(kind string) int { return t[kind].Requests }

// Sum is how many requests there were of all kinds.
func (t Tally) Sum() int {
	sum := 0
	for _, count := range t {
		sum += count.Requests
	}
	return sum
}

// String is it in a few characters: "24, 1.2 MB", and nothing for nothing.
func (c Count) String() string {
	if c == (Count{}) {
		return ""
	}
	return fmt.Sprintf("%d, %s", c.Requests, size(c.Sent+c.Received))
}

// size is a number of bytes as people read it.
func size(bytes int64) string {
	switch {
	case bytes >= 1_000_000:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	case bytes >= 1_000:
		return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
	}
	return fmt.Sprintf("%d B", bytes)
}

// counter counts what passes it on the way to a server.
type counter struct {
	kind func(*http.Request) string
	next http.Handler

	mu    sync.Mutex
	tally Tally
}

func newCounter(kind func(*http.Request) string, next http.Handler) *counter {
	return &counter{kind: kind, next: next, tally: make(Tally)}
}

// ServeHTTP implements http.Handler.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := c.kind(r)
	c.add(kind, Count{Requests: 1})
	body := &countedBody{ReadCloser: r.Body, count: func(n int64) { c.add(kind, Count{Sent: n}) }}
	r.Body = body
	c.next.ServeHTTP(&countedAnswer{ResponseWriter: w, count: func(n int64) { c.add(kind, Count{Received: n}) }}, r)
}

func (c *counter) add(kind string, more Count) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := c.tally[kind]
	sum.Requests += more.Requests
	sum.Sent += more.Sent
	sum.Received += more.Received
	c.tally[kind] = sum
}

// taken returns what was counted, and begins anew. Of what goes on, as a watch does, later bytes are in the next one.
func (c *counter) taken() Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	tally := c.tally
	c.tally = make(Tally)
	return tally
}

type countedBody struct {
	io.ReadCloser
	count func(int64)
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.count(int64(n))
	}
	return n, err
}

type countedAnswer struct {
	http.ResponseWriter
	count func(int64)
}

func (a *countedAnswer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.count(int64(n))
	return n, err
}

// Unwrap lets http.ResponseController flush it.
func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
