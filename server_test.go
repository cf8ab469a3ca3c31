package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestRoutes(t *testing.T) {
	metrics := prometheus.NewRegistry()
	images := prometheus.NewGauge(prometheus.GaugeOpts{Name: "clairwatch_test_images", Help: "A number."})
	images.Set(7)
	metrics.MustRegister(images)
	var notified atomic.Int32
	notify := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		notified.Add(1)
		_, _ = io.Copy(w, r.Body)
	})
	synced, stopping := false, make(chan struct{})
	handler := routes(func() bool { return synced }, notify, metrics, stopping, slog.New(slog.DiscardHandler))

	check := func(method, path string, status int, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("a webhook")))
		if w.Code != status || !strings.Contains(w.Body.String(), body) {
			t.Errorf("%s %s: status %d %q, want %d %q", method, path, w.Code, w.Body, status, body)
		}
	}
	check("GET", "/healthz", 200, "ok")
	check("GET", "/readyz", 503, "still listing")
	synced = true
	check("GET", "/readyz", 200, "ok")
	check("HEAD", "/readyz", 200, "")
	check("GET", "/metrics", 200, "clairwatch_test_images 7")
	check("POST", "/notify", 200, "a webhook")
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH"} {
		check(method, "/notify", 405, "")
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		check("POST", path, 405, "")
	}
	for _, path := range []string{"/", "/notify/", "/notify/x", "/metrics/", "/debug/pprof/", "/healthz/x"} {
		check("GET", path, 404, "")
		check("POST", path, 404, "")
	}
	if notified.Load() != 1 {
		t.Errorf("%d webhooks came through", notified.Load())
	}
	close(stopping)
	check("GET", "/readyz", 503, "stopping")
	check("GET", "/healthz", 200, "ok")
	check("GET", "/metrics", 200, "clairwatch_test_images 7")
	check("POST", "/notify", 200, "a webhook")
}

// pipes is a listener whose connections are in memory, so that the server runs in virtual time.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// client reaches the server behind the pipes.
func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		select {
		case p.accepted <- server:
			return client, nil
		case <-p.closed:
			return nil, net.ErrClosed
		}
	}}}
}

// get returns the body of a request, or the error.
func get(c *http.Client) (string, error) {
	resp, err := c.Get("http://clairwatch/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// The bubbles of these tests fail where serve leaves a goroutine behind.

func TestServeFinishesWhatItHasInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener, entered, leave := newPipes(), make(chan struct{}), make(chan struct{})
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-leave
			if r.Context().Err() != nil {
				t.Error("the request was cancelled")
			}
			_, _ = io.WriteString(w, "finished")
		})
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- serve(ctx, listener, handler, slog.New(slog.DiscardHandler)) }()
		client := listener.client()
		defer client.CloseIdleConnections()
		answers := make(chan string, 1)
		go func() {
			body, err := get(client)
			if err != nil {
				t.Error(err)
			}
			answers <- body
		}()
		<-entered
		cancel()
		synctest.Wait()
		select {
		case err := <-served:
			t.Fatalf("ended with a request in hand: %v", err)
		default:
		}
		if _, err := get(listener.client()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a new request while stopping: %v", err)
		}
		close(leave)
		if body := <-answers; body != "finished" {
			t.Errorf("got %q", body)
		}
		if err := <-served; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// A request that does not end, and one that has not even been sent whole, hold up the end for stopTimeout.
func TestServeDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener, entered := newPipes(), make(chan struct{})
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- serve(ctx, listener, handler, slog.New(slog.DiscardHandler)) }()
		client := listener.client()
		defer client.CloseIdleConnections()
		failed := make(chan error, 1)
		go func() {
			_, err := get(client)
			failed <- err
		}()
		<-entered
		cancel()
		if err := <-served; err != nil {
			t.Errorf("ended with %v", err)
		}
		if err := <-failed; err == nil {
			t.Error("the request that did not end was answered")
		}
	})
}

func TestServeEndsWithItsListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		_ = listener.Close()
		err := serve(t.Context(), listener, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
		if !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "serving HTTP: ") {
			t.Errorf("ended with %v", err)
		}
	})
}

// A panic is a mistake of ours: it ends its request alone, and the log says so.
func TestServeSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Panic") != "" {
				panic("a mistake")
			}
			_, _ = io.WriteString(w, "ok")
		})
		ctx, cancel := context.WithCancel(t.Context())
		var log bytes.Buffer
		served := make(chan error, 1)
		go func() { served <- serve(ctx, listener, handler, slog.New(slog.NewTextHandler(&log, nil))) }()
		client := listener.client()
		defer client.CloseIdleConnections()
		request, err := http.NewRequestWithContext(ctx, "POST", "http://clairwatch/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Panic", "yes")
		if resp, err := client.Do(request); err == nil {
			resp.Body.Close()
			t.Error("a panic was answered")
		}
		if body, err := get(client); err != nil || body != "ok" {
			t.Errorf("after a panic: %q, %v", body, err)
		}
		cancel()
		if err := <-served; err != nil {
			t.Errorf("ended with %v", err)
		}
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "a mistake") {
			t.Errorf("the log says %q", log.String())
		}
	})
}

// halves are requests that begin and do not go on, or whose answer nobody reads.
var halves = map[string]string{
	"the headers do not end":     "GET / HTTP/1.1\r\nHost: clairwatch\r\n",
	"the body does not come":     "POST / HTTP/1.1\r\nHost: clairwatch\r\nContent-Length: 10\r\n\r\n",
	"nobody reads the answer":    "GET / HTTP/1.1\r\nHost: clairwatch\r\n\r\n",
	"nothing follows the answer": "HEAD / HTTP/1.1\r\nHost: clairwatch\r\n\r\n",
}

// Who sends half a request, or does not read what he has asked for, keeps no connection for ever.
func TestServeGivesUpWhoDoesNotGoOn(t *testing.T) {
	for name, half := range halves {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.ReadAll(r.Body)
					_, _ = io.WriteString(w, strings.Repeat("x", 64<<10))
				})
				listener := newPipes()
				ctx, cancel := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() { served <- serve(ctx, listener, handler, slog.New(slog.DiscardHandler)) }()
				client, server := net.Pipe()
				watched := &closing{Conn: server, closed: make(chan struct{})}
				listener.accepted <- watched
				_, err := io.WriteString(client, half)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(half, "HEAD") {
					_, _ = client.Read(make([]byte, 64<<10))
				}
				select {
				case <-watched.closed:
				case <-time.After(time.Hour):
					t.Error("after an hour the connection is still there")
				}
				_ = client.Close()
				cancel()
				if err := <-served; err != nil {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

// closing is a connection that says when it is closed.
type closing struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *closing) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Headers that are too large are refused before anybody reads them.
func TestServeBoundsHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- serve(ctx, listener, http.HandlerFunc(healthz), slog.New(slog.DiscardHandler)) }()
		client := listener.client()
		for size, want := range map[int]int{32 << 10: http.StatusOK, 128 << 10: http.StatusRequestHeaderFieldsTooLarge} {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://clairwatch/", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Large", strings.Repeat("x", size))
			resp, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%d bytes: status %d, want %d", size, resp.StatusCode, want)
			}
		}
		client.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestServeOnLoopback(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- serve(ctx, listener, http.HandlerFunc(healthz), slog.New(slog.DiscardHandler))
	}()
	client := &http.Client{Transport: &http.Transport{}}
	resp, err := client.Get("http://" + listener.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	cancel()
	if err := <-served; err != nil {
		t.Errorf("ended with %v", err)
	}
	if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("still listens")
	}
}
