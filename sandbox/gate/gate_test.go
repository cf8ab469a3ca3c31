package gate

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds every wait.
const patience = 30 * time.Second

// server counts what reaches it and answers 201; at /stream it sends a line and goes on until its client leaves.
type server struct {
	*httptest.Server
	reached atomic.Int64
}

func serve(t *testing.T, start func(*httptest.Server)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.reached.Add(1)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s %s\n", r.Method, r.URL.RequestURI())
		if r.URL.Path == "/stream" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	start(s.Server)
	t.Cleanup(s.Close)
	return s
}

// program asks through a gate.
type program struct {
	client *http.Client
	agent  string
}

func (p program) ask(ctx context.Context, method, address string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", p.agent)
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, text), err
}

func open(t *testing.T, s *server) (*Gate, string, program) {
	t.Helper()
	g := New("daemon/")
	t.Cleanup(g.Close)
	var roots *x509.CertPool
	if c := s.Certificate(); c != nil {
		roots = x509.NewCertPool()
		roots.AddCert(c)
	}
	address, err := g.Open("clair", s.URL, roots)
	if err != nil {
		t.Fatal(err)
	}
	own := x509.NewCertPool()
	own.AppendCertsFromPEM(g.CA())
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig.RootCAs = own
	transport.DisableKeepAlives = true // a request on a connection of before would be sent again when that is cut
	t.Cleanup(transport.CloseIdleConnections)
	return g, address, program{&http.Client{Transport: transport}, "daemon/1"}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestPassesOnAndNotes(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"http":  (*httptest.Server).Start,
		"https": (*httptest.Server).StartTLS,
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, start)
			g, address, p := open(t, s)
			ctx := within(t)
			got, err := p.ask(ctx, http.MethodGet, address+"/a/b?c=d%2Fe")
			if want := "201 GET /a/b?c=d%2Fe\n"; err != nil || got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if _, err := (program{p.client, "layers/1"}).ask(ctx, http.MethodGet, address+"/a"); err != nil {
				t.Errorf("a request of another program: %v", err)
			}
			if want := (Exchange{"clair", http.MethodGet, "/a/b", "c=d%2Fe", 201}); len(g.Exchanges()) != 1 || g.Exchanges()[0] != want {
				t.Errorf("noted %+v, want only %+v", g.Exchanges(), want)
			}
			for _, c := range []struct {
				pattern Pattern
				want    int
			}{
				{Pattern{}, 1},
				{Pattern{Server: "clair", Done: true}, 1},
				{Pattern{Server: "slack"}, 0},
				{Pattern{Methods: []string{http.MethodPost, http.MethodGet}}, 1},
				{Pattern{Methods: []string{http.MethodPost}}, 0},
				{Pattern{Path: regexp.MustCompile("^/a/")}, 1},
				{Pattern{Path: regexp.MustCompile("^/b/")}, 0},
			} {
				if got := g.Count(c.pattern); got != c.want {
					t.Errorf("Count(%s) is %d, want %d", c.pattern, got, c.want)
				}
			}
			if err := g.Wait(ctx, Pattern{}, 1); err != nil {
				t.Error(err)
			}
			g.Forget()
			if g.Count(Pattern{}) != 0 {
				t.Error("something is noted after Forget")
			}
		})
	}
}

func TestStops(t *testing.T) {
	gets := Pattern{Methods: []string{http.MethodGet}}
	for name, c := range map[string]struct {
		point Point
		// passed are the GETs that are answered before the one that is not; reached is how many requests
		// the server has seen by then.
		passed  int
		reached int64
	}{
		"before the first": {Point{Pattern: gets, When: Before}, 0, 0},
		"after the first":  {Point{Pattern: gets, Nth: 1, When: After}, 0, 1},
		"before the third": {Point{Pattern: gets, Nth: 3, When: Before}, 2, 2},
		"after the third":  {Point{Pattern: gets, Nth: 3, When: After}, 2, 3},
		"once another has been answered": {
			Point{Pattern: gets, Since: &Pattern{Methods: []string{http.MethodDelete}, Done: true}, When: Before}, 0, 0,
		},
		"once the second has been answered": {
			Point{Pattern: gets, Since: &Pattern{Methods: []string{http.MethodGet}, Done: true}, When: Before}, 1, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, (*httptest.Server).Start)
			g, address, p := open(t, s)
			ctx := within(t)
			var reached atomic.Int64
			reached.Store(-1)
			g.StopAt(c.point, func() { reached.Store(s.reached.Load()) })
			if _, err := p.ask(ctx, http.MethodDelete, address+"/"); err != nil { // does not count
				t.Fatal(err)
			}
			for range c.passed {
				if _, err := p.ask(ctx, http.MethodGet, address+"/"); err != nil {
					t.Fatal(err)
				}
			}
			if reached.Load() != -1 {
				t.Fatal("stopped too early")
			}
			if got, err := p.ask(ctx, http.MethodGet, address+"/"); err == nil {
				t.Errorf("the answer %q was not withheld", got)
			}
			if want := c.reached + 1; reached.Load() != want {
				t.Errorf("the server had seen %d requests at the stop, want %d", reached.Load(), want)
			}
			if _, err := p.ask(ctx, http.MethodGet, address+"/"); err != nil {
				t.Errorf("once the point was reached: %v", err)
			}
		})
	}
}

// TestStopsTheOneThatWaits kills the client from within the stop, as a test kills a daemon: the server finishes
// what it was asked before.
func TestStopsTheOneThatWaits(t *testing.T) {
	s := serve(t, (*httptest.Server).Start)
	g, address, p := open(t, s)
	ctx, kill := context.WithCancel(within(t))
	defer kill()
	g.StopAt(Point{When: After}, kill)
	if got, err := p.ask(ctx, http.MethodPost, address+"/"); err == nil {
		t.Errorf("the answer %q was not withheld", got)
	}
	if err := g.Wait(within(t), Pattern{Done: true}, 1); err != nil {
		t.Error(err)
	}
}

// TestWatch has a stream arrive line by line, and stops one without waiting for its end.
func TestWatch(t *testing.T) {
	s := serve(t, (*httptest.Server).StartTLS)
	g, address, p := open(t, s)
	ctx, leave := context.WithCancel(within(t))
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/stream?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", p.agent)
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != "GET /stream?watch=true\n" {
		t.Errorf("got %q, %v while the stream goes on", line, err)
	}
	leave()

	stopped := make(chan struct{})
	g.StopAt(Point{When: After}, func() { close(stopped) })
	if got, err := p.ask(within(t), http.MethodGet, address+"/stream?watch=true"); err == nil {
		t.Errorf("got %q of a stream that was stopped", got)
	}
	<-stopped
}

// TestAtOnce has a server answer when it has as many requests as it waits for, and then one after the other.
func TestAtOnce(t *testing.T) {
	const together = 3
	var arrived sync.WaitGroup
	arrived.Add(together)
	waits := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/together" {
			arrived.Done()
			arrived.Wait()
		}
	}))
	t.Cleanup(waits.Close)
	g, address, p := open(t, &server{Server: waits})
	ctx := within(t)
	var asking sync.WaitGroup
	for range together {
		asking.Go(func() {
			if _, err := p.ask(ctx, http.MethodGet, address+"/together"); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	for range together {
		if _, err := p.ask(ctx, http.MethodGet, address+"/alone"); err != nil {
			t.Error(err)
		}
	}
	for path, want := range map[string]int{"^/together$": together, "^/alone$": 1, "^/else$": 0} {
		if got := g.AtOnce(Pattern{Path: regexp.MustCompile(path)}, 0); got != want {
			t.Errorf("%d requests for %s at once, want %d", got, path, want)
		}
	}
	if got := g.AtOnce(Pattern{}, together); got != 1 {
		t.Errorf("%d requests at once after those that were together, want 1", got)
	}
	if got := g.AtOnce(Pattern{}, 3*together); got != 0 {
		t.Errorf("%d requests at once after all of them, want none", got)
	}
}

func TestServerAway(t *testing.T) {
	s := serve(t, (*httptest.Server).Start)
	g, address, p := open(t, s)
	s.Close()
	const times = 2
	for range times {
		if got, err := p.ask(within(t), http.MethodGet, address+"/"); err == nil {
			t.Errorf("got %q from a server that is away", got)
		}
	}
	if g.Count(Pattern{}) != times || g.Count(Pattern{Done: true}) != 0 {
		t.Errorf("noted %+v, want %d requests without an answer", g.Exchanges(), times)
	}
	if got := g.AtOnce(Pattern{}, 0); got != 1 {
		t.Errorf("%d requests at once, want 1: what was cut is not open any more", got)
	}
	if _, err := g.Open("x", "nowhere", nil); err == nil {
		t.Error("a front was opened for no address")
	}
}
