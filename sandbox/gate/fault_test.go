package gate

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestFault has a server fail in each way, for the requests that are meant and no others, until it is mended.
func TestFault(t *testing.T) {
	ways := []struct {
		name  string
		fault Fault
		want  string // the answer; empty: the connection is cut
	}{
		{"a status", Fault{Status: 429, Header: http.Header{"Retry-After": {"3"}}, Body: "slow down"}, "429 slow down"},
		{"cut", Fault{}, ""},
		{"another way", Fault{Pattern: Pattern{Methods: []string{"PUT"}}}, "201 GET /x?watch=true\n"},
		{"another path", Fault{Pattern: Pattern{Path: regexp.MustCompile("^/y")}}, "201 GET /x?watch=true\n"},
		{"watches", Fault{Watch: true, Status: 410}, "410 "},
		{"another server", Fault{Pattern: Pattern{Server: "other"}, Status: 500}, "201 GET /x?watch=true\n"},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s := serve(t, (*httptest.Server).Start)
			g, address, p := open(t, s)
			if way.fault.Server == "" {
				way.fault.Server = "clair"
			}
			g.Fail(way.fault)
			got, err := p.ask(ctx, http.MethodGet, address+"/x?watch=true")
			if got != way.want || (err == nil) != (way.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, way.want)
			}
			if got, err := p.ask(ctx, http.MethodGet, address+"/x"); way.fault.Watch && (err != nil || !strings.HasPrefix(got, "201")) {
				t.Errorf("what is no watch got %q, %v", got, err)
			}
			g.Heal(way.fault.Server)
			if got, err := p.ask(ctx, http.MethodGet, address+"/x"); err != nil || !strings.HasPrefix(got, "201") {
				t.Errorf("when it was mended: %q, %v", got, err)
			}
		})
	}
}

// TestFaultCuts has a fault end what is open, and only what is meant.
func TestFaultCuts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := serve(t, (*httptest.Server).Start)
	g, address, p := open(t, s)
	ended := make(chan error, 1)
	go func() {
		_, err := p.ask(ctx, http.MethodGet, address+"/stream")
		ended <- err
	}()
	if err := g.Wait(ctx, Pattern{Path: regexp.MustCompile("^/stream$"), Done: true}, 1); err != nil {
		t.Fatal(err)
	}
	g.Fail(Fault{Pattern: Pattern{Server: "clair", Path: regexp.MustCompile("^/other$")}})
	select {
	case err := <-ended:
		t.Fatalf("what is not meant was cut: %v", err)
	default:
	}
	g.Fail(Fault{Pattern: Pattern{Server: "clair"}})
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Errorf("what was open ended with %v", err)
	}
}

// TestFaultHangs leaves a request without an answer until the fault is mended.
func TestFaultHangs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := serve(t, (*httptest.Server).Start)
	g, address, p := open(t, s)
	g.Fail(Fault{Pattern: Pattern{Server: "clair"}, Hang: true})
	short, end := context.WithTimeout(ctx, 100*time.Millisecond)
	defer end()
	if got, err := p.ask(short, http.MethodGet, address+"/x"); err == nil || short.Err() == nil {
		t.Errorf("got %q, %v before the client left", got, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := p.ask(ctx, http.MethodGet, address+"/x")
		ended <- err
	}()
	g.Heal("clair")
	if err := <-ended; ctx.Err() != nil { // it was cut, or came after the fault
		t.Errorf("ended with %v", err)
	}
	if reached := s.reached.Load(); reached > 1 {
		t.Errorf("%d requests reached the server", reached)
	}
}

// TestFaultShifts moves the clock of a server, and nothing else.
func TestFaultShifts(t *testing.T) {
	s := serve(t, (*httptest.Server).Start)
	g, address, p := open(t, s)
	const by = 7 * time.Hour
	g.Fail(Fault{Pattern: Pattern{Server: "clair"}, Shift: by})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", p.agent)
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if got := fmt.Sprintf("%d %s", resp.StatusCode, text); err != nil || got != "201 GET /x\n" {
		t.Errorf("got %q, %v", got, err)
	}
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if ahead := time.Until(at); err != nil || ahead < by-time.Hour || ahead > by {
		t.Errorf("the server says it is %v (%v)", at, err)
	}
}
