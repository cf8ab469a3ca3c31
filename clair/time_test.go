package clair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quay/claircore"
)

// All tests here run real HTTP over pipes in virtual time. A bubble that leaves a goroutine behind fails.

// silent answers after so long, or not at all when the client has left before.
func silent(d time.Duration, then http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
		select {
		case <-time.After(d):
			then.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// stalled sends a part of its answer and then nothing more.
func stalled(length int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(bytes.Repeat([]byte(" "), length))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
}

// gauge counts who is inside at once.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

// enter counts one in, and what it returns counts it out.
func (g *gauge) enter() func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now++
	g.most = max(g.most, g.now)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	}
}

// late is the Kind of a call whose time is over.
func late(op string) Kind {
	if op == "notified" {
		return Incomplete
	}
	return Temporary
}

func TestTimeouts(t *testing.T) {
	for op, want := range map[string]time.Duration{"index": 15 * time.Minute, "report": time.Minute, "notified": time.Minute, "delete": time.Minute, "state": time.Minute, "updates": time.Minute, "forget": time.Minute} {
		for name, h := range map[string]http.Handler{
			"no answer":        silent(time.Hour, http.NotFoundHandler()),
			"half a body":      stalled(100),
			"half a big body":  stalled(largeReport + 100),
			"half a wrong one": stalled(largeReport),
		} {
			t.Run(op+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, stop := piped(t, Config{}, h)
					defer stop()
					start := time.Now()
					err := operations[op](t.Context(), c)
					var e *Error
					if !errors.As(err, &e) || e.Kind != late(op) || e.Status != 0 && name == "no answer" {
						t.Errorf("got %v", err)
					}
					if took := time.Since(start); took != want {
						t.Errorf("gave up after %s, want %s", took, want)
					}
					if e != nil && !strings.Contains(e.Detail(), fmt.Sprintf("no answer within %s", want)) {
						t.Errorf("detail %q", e.Detail())
					}
				})
			})
		}
	}
}

func TestOwnTimeouts(t *testing.T) {
	cfg := Config{IndexTimeout: 3 * time.Second, ReportTimeout: 2 * time.Second}
	for op, want := range map[string]time.Duration{"index": 3 * time.Second, "report": 2 * time.Second, "notified": 2 * time.Second, "delete": 2 * time.Second, "state": 2 * time.Second, "updates": 2 * time.Second, "forget": 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c, stop := piped(t, cfg, silent(time.Hour, http.NotFoundHandler()))
			defer stop()
			start := time.Now()
			if err := operations[op](t.Context(), c); !IsKind(err, late(op)) {
				t.Errorf("%s: got %v", op, err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("%s: gave up after %s, want %s", op, took, want)
			}
		})
	}
}

// A caller that ends its call gets its own reason back, and not an *Error: nothing is wrong with Clair.
func TestCallerEnds(t *testing.T) {
	lost := errors.New("the lease is lost")
	for name, c := range map[string]struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		"cancelled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, context.Canceled},
		"cancelled with a cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(lost) })
			return ctx, func() { cancel(nil) }
		}, lost},
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, context.DeadlineExceeded},
	} {
		for op, do := range operations {
			for where, h := range map[string]http.Handler{"head": silent(time.Hour, http.NotFoundHandler()), "body": stalled(100), "big body": stalled(largeReport + 1)} {
				t.Run(name+"/"+op+"/"+where, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						client, stop := piped(t, Config{}, h)
						defer stop()
						ctx, cancel := c.end(t.Context())
						defer cancel()
						err := do(ctx, client)
						var e *Error
						if !errors.Is(err, c.want) || errors.As(err, &e) {
							t.Errorf("got %v, want %v", err, c.want)
						}
						if len(client.large) != 0 {
							t.Error("a turn is not given back")
						}
					})
				})
			}
		}
	}
}

func TestSlots(t *testing.T) {
	for configured, want := range map[[2]int][2]int{{0, 0}: {4, 2}, {1, 1}: {1, 1}, {3, 5}: {3, 5}} {
		c, err := New(Config{URL: "http://clair.example/", IndexConcurrency: configured[0], ReportConcurrency: configured[1]})
		if err != nil {
			t.Fatal(err)
		}
		if indexing, reports := c.Slots(); indexing != want[0] || reports != want[1] {
			t.Errorf("%v configured: %d and %d slots, want %v", configured, indexing, reports, want)
		}
	}
}

// Of several large reports one is in memory at a time, whichever client asked; small ones pass by.
func TestOneLargeReportAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := make(chan struct{}, 1)
		var at gauge
		// A report whose end comes a second after what goes beyond the limit.
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"manifest_hash":"`+debian+`"`)
			_, _ = w.Write(bytes.Repeat([]byte(" "), largeReport))
			w.(http.Flusher).Flush()
			_, _ = w.Write(bytes.Repeat([]byte(" "), 1<<20)) // blocks until the client reads on
			defer at.enter()()
			<-time.After(time.Second)
			_, _ = io.WriteString(w, "}")
		})
		one, stop := piped(t, Config{Large: large}, slow)
		defer stop()
		two, stop := piped(t, Config{Large: large}, slow)
		defer stop()
		small, stop := piped(t, Config{Large: large}, recorded(t, "report-debian.json").handler(t))
		defer stop()
		results := make(chan error)
		for _, c := range []*Client{one, two, one, two} {
			go func() {
				_, err := c.Report(t.Context(), debian)
				results <- err
			}()
		}
		synctest.Wait()
		if _, err := small.Report(t.Context(), debian); err != nil {
			t.Error(err)
		}
		if len(large) != 1 {
			t.Error("no large report is being read while a small one passed")
		}
		for range 4 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if at.most != 1 || len(large) != 0 {
			t.Errorf("%d large reports at once, %d turns not given back", at.most, len(large))
		}
	})
}

// Who waits for the turn of a large report can leave.
func TestWaitingForATurnEnds(t *testing.T) {
	for name, ending := range map[string]bool{"caller": true, "timeout": false} {
		synctest.Test(t, func(t *testing.T) {
			large := make(chan struct{}, 1)
			large <- struct{}{} // somebody else's
			c, stop := piped(t, Config{Large: large}, padded(largeReport+(1<<20)))
			defer stop()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if ending {
				time.AfterFunc(time.Second, cancel)
			}
			report, err := c.Report(ctx, debian)
			if ending && !errors.Is(err, context.Canceled) || !ending && !IsKind(err, Temporary) || report != (*claircore.VulnerabilityReport)(nil) {
				t.Errorf("%s: got %v, %v", name, report, err)
			}
			if len(large) != 1 {
				t.Errorf("%s: gave back a turn that was not its own", name)
			}
		})
	}
}
