package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	secret = "/services/T00000000/B00000000/very-secret-token"
	html   = "<!doctype html><title>503 Service Unavailable</title>"
)

// webhookOf is a webhook on the given server.
func webhookOf(t *testing.T, srv *httptest.Server) Webhook {
	t.Helper()
	w, err := ParseWebhook(strings.Replace(srv.URL, "http://", "https://", 1)+secret, []string{srv.Listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// receiver is a TLS server that answers as told, a webhook on it and a sender that trusts it.
func receiver(t *testing.T, handler http.HandlerFunc) (*Sender, Webhook) {
	t.Helper()
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // what broken connections leave behind
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s := New(Config{Transport: srv.Client().Transport})
	t.Cleanup(s.CloseIdleConnections)
	return s, webhookOf(t, srv)
}

// answer answers every request in the same way.
func answer(status int, header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if k, v, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestAnswers(t *testing.T) {
	const minute = time.Minute
	for _, c := range []struct {
		status       int
		header, body string
		kind         Kind // zero: accepted
		reason       Reason
		after        time.Duration
	}{
		{200, "", "ok", 0, "", 0},
		{200, "", "ok\n", 0, "", 0},

		{400, "", "invalid_payload", Payload, "invalid_payload", 0},
		{400, "", "invalid_blocks", Payload, "invalid_blocks", 0},
		{400, "", "invalid_blocks_format", Payload, "invalid_blocks_format", 0},
		{400, "", "invalid_attachments", Payload, "invalid_attachments", 0},
		{400, "", "too_many_attachments", Payload, "too_many_attachments", 0},
		{400, "", "no_text", Payload, "no_text", 0},
		{500, "", "no_text", Payload, "no_text", 0}, // its status is not documented
		{400, "", "missing_text_or_fallback_or_attachments", Payload, "missing_text_or_fallback_or_attachments", 0},
		{400, "", "msg_too_long", Payload, "msg_too_long", 0},
		{400, "", "msg_blocks_too_long", Payload, "msg_blocks_too_long", 0},
		{400, "", "user_not_found", Payload, "user_not_found", 0},
		{400, "", "something new", Payload, "refused", 0},
		{413, "", html, Payload, "refused", 0},

		{403, "", "invalid_token", Channel, "invalid_token", 0},
		{403, "", "action_prohibited", Channel, "action_prohibited", 0},
		{403, "", "posting_to_general_channel_denied", Channel, "posting_to_general_channel_denied", 0},
		{404, "", "no_service", Channel, "no_service", 0},
		{404, "", "no_service_id", Channel, "no_service_id", 0},
		{404, "", "no_active_hooks", Channel, "no_active_hooks", 0},
		{400, "", "no_team", Channel, "no_team", 0},
		{400, "", "team_disabled", Channel, "team_disabled", 0},
		{404, "", "channel_not_found", Channel, "channel_not_found", 0},
		{410, "", "channel_is_archived", Channel, "channel_is_archived", 0},
		{403, "", html, Channel, "refused", 0},
		{404, "", "", Channel, "refused", 0},
		{407, "", html, Channel, "refused", 0},

		{429, "Retry-After: 1", `{"retry_after":1,"ok":false,"error":"rate_limited"}`, RateLimited, "rate_limited", time.Second},
		{429, "Retry-After: 30", "", RateLimited, "rate_limited", 30 * time.Second},
		{429, "Retry-After: 0", "", RateLimited, "rate_limited", time.Second},
		{429, "Retry-After: soon", "", RateLimited, "rate_limited", minute},
		{429, "Retry-After: Mon, 02 Jan 2006 15:04:05 GMT", "", RateLimited, "rate_limited", time.Second},
		{429, "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", "", RateLimited, "rate_limited", time.Hour},
		{429, "", html, RateLimited, "rate_limited", minute},
		{429, "", "message_limit_exceeded", RateLimited, "message_limit_exceeded", minute},

		{500, "", "rollup_error", Temporary, "rollup_error", 0},
		{500, "", html, Temporary, "server_error", 0},
		{502, "", "", Temporary, "server_error", 0},
		{503, "", html, Temporary, "server_error", 0},
		{503, "Retry-After: 120", html, Temporary, "server_error", 2 * minute},
		{504, "", strings.Repeat(html, 1000), Temporary, "server_error", 0},
		{408, "", "", Temporary, "server_error", 0},

		{200, "", "", Channel, "not_ok", 0},
		{200, "", html, Channel, "not_ok", 0},
		{200, "", "ok" + strings.Repeat(" ", longestBody), Channel, "not_ok", 0},
		{200, "", "invalid_blocks", Payload, "invalid_blocks", 0},
		{200, "", `{"ok":false,"error":"no_service"}`, Channel, "no_service", 0},
		{201, "", "ok", Channel, "not_ok", 0},
		{204, "", "", Channel, "not_ok", 0},
		{302, "Location: https://127.0.0.1:1/elsewhere", "", Channel, "redirected", 0},
		{307, "Location: /elsewhere", "ok", Channel, "redirected", 0},
		{304, "", "", Channel, "redirected", 0},
	} {
		t.Run(fmt.Sprintf("%d %.30s %s", c.status, c.body, c.header), func(t *testing.T) {
			var requests atomic.Int32
			s, w := receiver(t, func(rw http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				answer(c.status, c.header, c.body)(rw, r)
			})
			err := s.Send(t.Context(), w, checkout().Message())
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests; one is sent, nothing is followed or tried again", n)
			}
			if c.kind == 0 {
				if err != nil {
					t.Errorf("got %v, want success", err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Kind != c.kind || e.Reason != c.reason || e.Status != c.status || e.RetryAfter != c.after || e.Webhook != w {
				t.Errorf("got %s %s %d after %s for %s, want %s %s after %s", e.Kind, e.Reason, e.Status, e.RetryAfter, e.Webhook, c.kind, c.reason, c.after)
			}
			hides(t, err, w)
		})
	}
}

// TestBroken covers what happens when there is no answer at all.
func TestBroken(t *testing.T) {
	hijack := func(w http.ResponseWriter, said string) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, said)
		_ = conn.Close()
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		reason  Reason
	}{
		"closed before the answer": {func(w http.ResponseWriter, r *http.Request) { hijack(w, "") }, "disconnected"},
		"an answer that echoes":    {func(w http.ResponseWriter, r *http.Request) { hijack(w, "HTTP/1.1 "+r.URL.Path+"\r\n\r\n") }, "disconnected"},
		"no HTTP at all":           {func(w http.ResponseWriter, r *http.Request) { hijack(w, r.URL.Path+"\r\n\r\n") }, "disconnected"},
		"closed within the ok": {func(w http.ResponseWriter, r *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
		}, "disconnected"},
		"no answer": {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "timeout"},
		"an ok that never ends": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "o")
			_ = http.NewResponseController(w).Flush()
			abandoned(r)
		}, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			s, w := receiver(t, func(rw http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // the server sees a client go away only then
				c.handler(rw, r)
			})
			if c.reason == "timeout" {
				s = New(Config{Transport: s.transport, Timeout: 200 * time.Millisecond})
			}
			temporary(t, s.Send(t.Context(), w, checkout().Message()), w, c.reason)
		})
	}
}

// TestUnreachable covers connections that do not come about, with the transport that is used by default.
func TestUnreachable(t *testing.T) {
	s := New(Config{})
	t.Cleanup(s.CloseIdleConnections)

	t.Run("untrusted certificate", func(t *testing.T) {
		_, w := receiver(t, answer(200, "", "ok"))
		temporary(t, s.Send(t.Context(), w, checkout().Message()), w, "untrusted")
	})
	t.Run("no TLS", func(t *testing.T) {
		srv := httptest.NewServer(answer(200, "", "ok"))
		t.Cleanup(srv.Close)
		w := webhookOf(t, srv)
		temporary(t, s.Send(t.Context(), w, checkout().Message()), w, "untrusted")
	})
	t.Run("nobody listens", func(t *testing.T) {
		srv := httptest.NewServer(nil)
		w := webhookOf(t, srv)
		srv.Close()
		temporary(t, s.Send(t.Context(), w, checkout().Message()), w, "disconnected")
	})
	t.Run("no such host", func(t *testing.T) {
		w, err := ParseWebhook("https://hooks.slack.com"+secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := New(Config{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "hooks.slack.com", IsNotFound: true}}
		}}})
		temporary(t, s.Send(t.Context(), w, checkout().Message()), w, "host_unknown")
	})
}

// abandoned waits until the client has gone away. It ends the connection without completing the answer,
// which could otherwise still reach the client.
func abandoned(r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func temporary(t *testing.T, err error, w Webhook, reason Reason) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != Temporary || e.Reason != reason || e.Status != 0 || errors.Unwrap(err) != nil {
		t.Fatalf("got %#v, want temporary, %s", err, reason)
	}
	hides(t, err, w)
}

func TestCallerStops(t *testing.T) {
	arrived := make(chan struct{})
	s, w := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		abandoned(r)
	})
	why := errors.New("the lease is lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-arrived
		cancel(why)
	}()
	err := s.Send(ctx, w, checkout().Message())
	var e *Error
	if !errors.As(err, &e) || e.Kind != Temporary || e.Reason != "stopped" || !errors.Is(err, why) {
		t.Errorf("got %v, want that the caller stopped it and why", err)
	}
	hides(t, err, w)
}

func TestNothingToSend(t *testing.T) {
	s, w := receiver(t, answer(200, "", "ok"))
	var e *Error
	if err := s.Send(t.Context(), w, Message{}); !errors.As(err, &e) || e.Kind != Payload {
		t.Errorf("no message: got %v", err)
	}
	if err := s.Send(t.Context(), Webhook{}, checkout().Message()); !errors.As(err, &e) || e.Kind != Channel {
		t.Errorf("no webhook: got %v", err)
	}
}

func TestRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	s, w := receiver(t, func(rw http.ResponseWriter, r *http.Request) {
		got, body = r, readAll(r.Body)
		answer(200, "", "ok")(rw, r)
	})
	s = New(Config{Transport: s.transport, UserAgent: "clairwatch/1.2.3"})
	for m, ok := checkout().Message(), true; ok; m, ok = m.Simplify() {
		if err := s.Send(t.Context(), w, m); err != nil {
			t.Fatal(err)
		}
		want, err := m.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if got.Method != http.MethodPost || got.URL.Path != secret || !bytes.Equal(body, want) {
			t.Errorf("%s %s with %d bytes, want %d", got.Method, got.URL.Path, len(body), len(want))
		}
		if h := got.Header; h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "clairwatch/1.2.3" {
			t.Errorf("the header is %v", h)
		}
	}
}

func readAll(r io.Reader) []byte {
	b, err := io.ReadAll(r)
	if err != nil {
		panic(err) // the server turns it into a broken answer
	}
	return b
}

// TestConnectionsAreReused also holds for refusals, whose bodies must be read for it.
func TestConnectionsAreReused(t *testing.T) {
	var connections, requests atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1)%2 == 0 {
			answer(503, "", html)(w, r)
			return
		}
		answer(200, "", "ok")(w, r)
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s := New(Config{Transport: srv.Client().Transport})
	for range 6 {
		_ = s.Send(t.Context(), webhookOf(t, srv), checkout().Message()) // every other one is refused
	}
	if requests.Load() != 6 || connections.Load() != 1 {
		t.Errorf("%d requests over %d connections, want 6 over 1", requests.Load(), connections.Load())
	}
}

// TestRedirectTarget shows that nothing reaches the place that a redirect names.
func TestRedirectTarget(t *testing.T) {
	var reached atomic.Int32
	target := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		answer(200, "", "ok")(w, r)
	}))
	t.Cleanup(target.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		s, w := receiver(t, answer(status, "Location: "+target.URL, ""))
		var e *Error
		if err := s.Send(t.Context(), w, checkout().Message()); !errors.As(err, &e) || e.Kind != Channel || e.Reason != "redirected" {
			t.Errorf("%d: got %v", status, err)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// hides fails when a way of printing an error or its webhook gives the address away.
func hides(t *testing.T, err error, w Webhook) {
	t.Helper()
	type private struct {
		hook Webhook
		err  error
	}
	type public struct {
		Hook Webhook
		Map  map[Webhook]int
		Err  error
	}
	values := []any{err, w, &w, private{w, err}, &private{w, err}, public{w, map[Webhook]int{w: 1}, err}, []Webhook{w}, fmt.Errorf("sending: %w", err)}
	var out bytes.Buffer
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		raw, jsonErr := json.Marshal(v)
		fmt.Fprintf(&out, "%s %v\n", raw, jsonErr)
		slog.New(slog.NewTextHandler(&out, nil)).Error("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Error("x", "v", v)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		fmt.Fprintln(&out, e)
	}
	text, marshalErr := w.MarshalText()
	fmt.Fprintln(&out, string(text), marshalErr, w.GoString(), w.LogValue(), w.Host())

	for _, s := range []string{"very-secret-token", "T00000000", "services", fmt.Sprintf("%x", "very-secret-token")} {
		if i := strings.Index(out.String(), s); i >= 0 {
			t.Fatalf("%q shows: …%s", s, out.String()[max(0, i-200):i+len(s)])
		}
	}
	if !strings.Contains(out.String(), w.String()) {
		t.Errorf("%s shows nowhere, so nobody knows which webhook it was", w)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              time.Minute,
		"x":                             time.Minute,
		"1.5":                           time.Minute,
		"-1":                            time.Second,
		"0":                             time.Second,
		"1":                             time.Second,
		" 90 ":                          90 * time.Second,
		"86400":                         time.Hour,
		"9223372036854775807":           time.Hour,
		"99999999999999999999":          time.Minute,
		"Sun, 01 Nov 2026 12:00:45 GMT": 45 * time.Second,
		"Sun, 01 Nov 2026 11:00:00 GMT": time.Second,
		"Mon, 02 Nov 2026 12:00:00 GMT": time.Hour,
	} {
		got, guessed := retryAfter(header, now)
		if got != want || guessed != (want == time.Minute) {
			t.Errorf("%q: wait %s, guessed %t, want %s", header, got, guessed, want)
		}
	}
}

// reasons are all there are.
var reasons = []Reason{
	invalidPayload, invalidBlocks, invalidBlocksFormat, invalidAttachments, tooManyAttachments, noText, missingText, tooLong, blocksTooLong, userNotFound,
	invalidToken, actionProhibited, postingDenied, noService, noServiceID, noActiveHooks, noTeam, teamDisabled, channelNotFound,
	channelArchived, rollupError, rateLimited, messageLimitReached, otherRefusal, serverError, redirected, notOK, timedOut, noHost,
	badTLS, disconnected, stopped, nothing, noWebhook,
}

// TestMeanings shows that every reason says something of its own kind, and that errors read well.
func TestMeanings(t *testing.T) {
	w, err := ParseWebhook("https://hooks.slack.com"+secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, e := range map[string]*Error{
		"sending to " + w.String() + ": Slack does not know the webhook (any more): make a new one and put it into the settings (status 404, no_service)":                          {Kind: Channel, Webhook: w, Status: 404, Reason: noService},
		"sending to " + w.String() + ": Slack takes no more messages for now (status 429, rate_limited); next try in 30s at the earliest":                                          {Kind: RateLimited, Webhook: w, Status: 429, Reason: rateLimited, RetryAfter: 30 * time.Second},
		"sending to " + w.String() + ": Slack refused the form of the message (status 400, invalid_blocks)":                                                                        {Kind: Payload, Webhook: w, Status: 400, Reason: invalidBlocks},
		"sending to " + w.String() + ": no answer in time: see whether the network lets the daemon reach it":                                                                       {Kind: Temporary, Webhook: w, Reason: timedOut},
		"sending to " + w.String() + ": the webhook's channel is archived: unarchive it, or put a webhook for another channel into the settings (status 410, channel_is_archived)": {Kind: Channel, Webhook: w, Status: 410, Reason: channelArchived},
	} {
		if got := e.Error(); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	refusal := invalidBlocks.meaning()
	for _, r := range reasons {
		if kind, known := r.kind(); known && kind == Payload {
			continue
		}
		if r.meaning() == refusal {
			t.Errorf("%s reads as if the form of the message were at fault", r)
		}
	}
	for k, want := range map[Kind]string{Temporary: "temporary", RateLimited: "rate-limited", Payload: "payload", Channel: "channel", 0: "unknown"} {
		if k.String() != want {
			t.Errorf("kind %d reads %q", k, k)
		}
	}
}

// TestEndlessAnswer shows that no more of an answer is read than Slack could mean.
func TestEndlessAnswer(t *testing.T) {
	s, w := receiver(t, func(rw http.ResponseWriter, r *http.Request) {
		for {
			if _, err := io.WriteString(rw, html); err != nil {
				return // the sender has closed the connection
			}
		}
	})
	err := s.Send(t.Context(), w, checkout().Message())
	var e *Error
	if !errors.As(err, &e) || e.Kind != Channel || e.Reason != notOK {
		t.Errorf("got %v, want that this was no answer of Slack's", err)
	}
}
