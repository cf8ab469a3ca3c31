package clair

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// recording is one exchange with a real Clair 4.9.0.
type recording struct {
	Method, Path string
	Status       int
	Header       http.Header
	Trailers     []string        // announced, and empty
	Cut          bool            // the connection ended within the body
	Body         json.RawMessage // JSON, or a text
}

func recorded(t testing.TB, name string) recording {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var rec recording
	if err := json.NewDecoder(r).Decode(&rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

// body is the recorded body as it was on the wire.
func (r recording) body(t testing.TB) []byte {
	t.Helper()
	if len(r.Body) == 0 {
		return nil
	}
	if r.Body[0] == '"' {
		var s string
		if err := json.Unmarshal(r.Body, &s); err != nil {
			t.Fatal(err)
		}
		return []byte(s)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, r.Body); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// handler answers as it was recorded, whatever is asked.
func (r recording) handler(t testing.TB) http.HandlerFunc {
	body := r.body(t)
	return func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range r.Header {
			w.Header()[k] = v
		}
		for _, trailer := range r.Trailers {
			w.Header().Add("Trailer", trailer)
		}
		w.WriteHeader(r.Status)
		_, _ = w.Write(body)
		if r.Cut {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}
}

// seen is a request as a server got it.
type seen struct {
	Method, URL string
	Header      http.Header
	Body        string
}

// log keeps the requests that went through a handler.
type log struct {
	mu       sync.Mutex
	requests []seen
}

func (l *log) of(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		l.requests = append(l.requests, seen{r.Method, r.URL.RequestURI(), r.Header.Clone(), string(body)})
		l.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(w, r)
	})
}

// scripted returns a client of a server on loopback that answers with h, and what it was asked.
func scripted(t testing.TB, h http.Handler) (*Client, *log) {
	t.Helper()
	l := new(log)
	s := httptest.NewUnstartedServer(l.of(h))
	s.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	c, err := New(Config{URL: s.URL, Transport: s.Client().Transport, UserAgent: "clairwatch/test"})
	if err != nil {
		t.Fatal(err)
	}
	return c, l
}

// pipes is a listener and the dialler that leads to it, for real HTTP in virtual time.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.accepted <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// piped serves h within the caller's synctest bubble, which fails where a goroutine is left behind. The
// returned function ends it.
func piped(t testing.TB, cfg Config, h http.Handler) (*Client, func()) {
	t.Helper()
	p := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	s := &http.Server{Handler: h, ErrorLog: stdlog.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(p)
	}()
	transport := &http.Transport{DialContext: p.dial}
	cfg.URL, cfg.Transport = "http://clair/", transport
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, func() {
		transport.CloseIdleConnections()
		_ = s.Close()
		<-done
	}
}
