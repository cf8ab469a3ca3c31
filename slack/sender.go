package slack

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"
)

// Limits of a delivery.
const (
	defaultTimeout = 15 * time.Second
	longestBody    = 4 << 10 // bytes kept of an answer; Slack's have a few dozen

	shortestWait = time.Second      // Slack's own pace
	unknownWait  = 60 * time.Second // for a 429 that does not say how long
	longestWait  = time.Hour        // for one that asks for more than makes sense
)

// Config says how to reach Slack. The zero value is ready for use.
type Config struct {
	// Transport carries the requests. Nil: a transport of our own, with the environment's proxy and the
	// system's certificates.
	Transport http.RoundTripper
	// Timeout is the longest that a delivery takes. Zero: 15 seconds.
	Timeout time.Duration
	// UserAgent is sent with each request. Empty: clairwatch.
	UserAgent string
}

// Sender delivers messages to incoming webhooks. It neither waits nor tries again: its errors say what
// makes sense. It may be used by several goroutines at once.
type Sender struct {
	transport http.RoundTripper
	timeout   time.Duration
	userAgent string
}

// New returns a Sender.
func New(cfg Config) *Sender {
	s := &Sender{transport: cfg.Transport, timeout: cfg.Timeout, userAgent: cfg.UserAgent}
	if s.transport == nil {
		s.transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConns:           16,
			MaxIdleConnsPerHost:    4, // nearly all webhooks are on one host
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // the answer is "ok"
		}
	}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	if s.userAgent == "" {
		s.userAgent = "clairwatch"
	}
	return s
}

// errTimeout is the cause when a delivery takes too long.
var errTimeout = errors.New("no answer in time")

// Send delivers a message. Nil means that Slack has answered 200 with "ok", which alone is success.
// Every error is an *Error.
func (s *Sender) Send(ctx context.Context, w Webhook, m Message) error {
	if w == (Webhook{}) {
		return &Error{Kind: Channel, Reason: noWebhook}
	}
	if len(m.forms) == 0 {
		return &Error{Kind: Payload, Webhook: w, Reason: nothing}
	}
	within, cancel := context.WithTimeoutCause(ctx, s.timeout, errTimeout)
	defer cancel()

	// slack-go drops the body of a refusal, takes any 200 for success and trips over a Retry-After that
	// is a date. The answer is therefore kept on its way and judged here. A client costs nothing; the
	// connections belong to the transport.
	kept := &keeper{transport: s.transport, userAgent: s.userAgent}
	client := &http.Client{
		Transport: kept,
		// A followed redirect turns into a GET and loses the message with a 200.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	err := slackgo.PostWebhookCustomHTTPContext(within, w.secret(), client, m.forms[0])
	if kept.status == 0 {
		return unanswered(ctx, within, w, err)
	}
	if kept.status == http.StatusOK && strings.TrimSpace(string(kept.body)) == "ok" {
		return nil
	}
	e := &Error{Webhook: w, Status: kept.status}
	e.Kind, e.Reason = classify(kept.status, kept.body)
	if after := kept.header.Get("Retry-After"); e.Kind == RateLimited || e.Kind == Temporary && after != "" {
		e.RetryAfter, e.Guessed = retryAfter(after, time.Now())
	}
	return e
}

// CloseIdleConnections closes connections that are kept for the next message.
func (s *Sender) CloseIdleConnections() {
	(&http.Client{Transport: s.transport}).CloseIdleConnections()
}

// unanswered explains why there was no answer. The error itself is not passed on: it quotes the address,
// and can quote what the other side wrote.
func unanswered(caller, within context.Context, w Webhook, err error) *Error {
	e := &Error{Kind: Temporary, Webhook: w, Reason: disconnected}
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	switch {
	case caller.Err() != nil:
		e.Reason, e.stopped = stopped, context.Cause(caller)
	case within.Err() != nil, timeout(err):
		e.Reason = timedOut
	case errors.As(err, &dns):
		e.Reason = noHost
	case errors.As(err, &certificate), errors.As(err, &alert), errors.As(err, &record),
		errors.Is(err, http.ErrSchemeMismatch):
		e.Reason = badTLS
	}
	return e
}

// timeout says whether one of the transport's own limits ended the attempt.
func timeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// retryAfter reads how long a Retry-After header asks to wait: seconds or a date. Where it says neither it is a guess.
func retryAfter(header string, now time.Time) (wait time.Duration, guessed bool) {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.Atoi(header); err == nil {
		// Compared before it is multiplied, which could overflow.
		wait = time.Duration(min(max(seconds, 0), int(longestWait/time.Second))) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		wait = date.Sub(now)
	} else {
		wait, guessed = unknownWait, true
	}
	return min(max(wait, shortestWait), longestWait), guessed
}

// keeper is a transport for one request that keeps the answer.
type keeper struct {
	transport http.RoundTripper
	userAgent string

	status int // zero: no whole answer
	header http.Header
	body   []byte
}

// RoundTrip sends the request and reads the answer, at most longestBody of it.
func (k *keeper) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a transport must not change the request that it was given
	r.Header.Set("User-Agent", k.userAgent)
	answer, err := k.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, longestBody+1))
	_ = answer.Body.Close() // whatever it says, the answer has been read or has not
	if err != nil && answer.StatusCode == http.StatusOK {
		// Perhaps an "ok" was lost on the way, so this is no answer at all.
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	// What is longer than any answer of Slack's is none: the status alone counts.
	if len(body) > longestBody {
		body = nil
	}
	k.status, k.header, k.body = answer.StatusCode, answer.Header, body
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}
