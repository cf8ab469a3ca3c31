// Package slackstand stands in for Slack's incoming webhooks, on loopback or in
// memory: it enforces Slack's documented rules, keeps what it accepts and shows
// messages in a terminal as a person would read them.
package slackstand

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxBody is more than any message that Slack would take.
const maxBody = 1 << 20

// Moved is the path to which the redirect of [Answers] leads. Only a client that
// follows it asks there.
const Moved = "/moved"

// Config sets up a [Stand].
type Config struct {
	// Every is the time between two messages to one URL; zero means one
	// second, as Slack documents. Negative means no limit.
	Every time.Duration
	// Burst is how many messages to one URL may come at once; zero means one.
	Burst int
	// Slow is how long a URL that ends in "slow" waits before it accepts; zero
	// means 20 seconds.
	Slow time.Duration
}

// Stand is an [http.Handler] in the place of hooks.slack.com. Webhooks are
// POSTed to paths like /services/T0/B0/token. Tokens of the table that
// [Answers] returns always get the same answer.
type Stand struct {
	every time.Duration
	burst int
	slow  time.Duration

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced whenever messages grows
	messages []Message
	refusals []Refusal
	buckets  map[string]bucket
	counts   map[string]Counts
	seen     map[[sha256.Size]byte]bool // digests of path and payload, for duplicates
	injected []injected
}

// Message is one accepted message.
type Message struct {
	// Time is when it arrived.
	Time time.Time
	// Path is that of the webhook's URL.
	Path string
	// Payload is the JSON as it came.
	Payload json.RawMessage
	// Mentions are what would ping people: "<!channel>", "<@U…>" and the like.
	// Slack accepts them.
	Mentions []string
	// Unanswered says that the connection was cut after acceptance, so that the
	// sender cannot know.
	Unanswered bool
}

// Refusal is one request that was not accepted.
type Refusal struct {
	Time   time.Time
	Path   string
	Status int
	// Body is the answer; empty when the connection was cut.
	Body string
	// Reason says which rule was broken; Slack does not tell.
	Reason  string
	Payload []byte
}

// Counts counts the requests to one path.
type Counts struct {
	Requests   int
	Accepted   int
	Refused    int // everything else, Limited included
	Limited    int // answered 429 for coming too fast
	Duplicates int // accepted with a payload that was accepted before
}

// Answer is a fixed answer. Without a Status the message is taken as usual.
type Answer struct {
	// Delay is how long it takes until anything happens. Of a client that leaves
	// before, nothing is accepted.
	Delay  time.Duration
	Status int
	Body   string
	// RetryAfter is the header of that name: seconds or a date. Empty: none.
	RetryAfter string
	// ContentType is text/html when it is empty.
	ContentType string
	// Location is where a redirect leads.
	Location string
	// Reset cuts the connection instead of answering; nothing is accepted.
	Reset bool
	// AcceptedReset accepts the message, then cuts the connection.
	AcceptedReset bool
	// AcceptedSilence accepts the message, then says nothing until the client
	// has left.
	AcceptedSilence bool
}

// refuses says whether the message is not accepted, whatever it is.
func (a Answer) refuses() bool { return a.Reset || a.Status != 0 }

// unanswered says whether the message is accepted without saying so.
func (a Answer) unanswered() bool { return a.AcceptedReset || a.AcceptedSilence }

type injected struct {
	path   string // empty is any
	left   int
	answer Answer
}

// bucket holds what a URL may still send.
type bucket struct {
	tokens float64
	at     time.Time
}

// New makes a Stand.
func New(c Config) *Stand {
	s := &Stand{
		every: c.Every, burst: max(c.Burst, 1), slow: c.Slow,
		changed: make(chan struct{}), buckets: map[string]bucket{},
		counts: map[string]Counts{}, seen: map[[sha256.Size]byte]bool{},
	}
	if s.every == 0 {
		s.every = time.Second
	}
	if s.slow == 0 {
		s.slow = 20 * time.Second
	}
	return s
}

// Answers returns the tokens, that is last path segments, which always get the
// same answer. Besides these, "slow" accepts after [Config].Slow.
func Answers() map[string]Answer {
	page := `<!DOCTYPE html><html><head><title>Server Error | Slack</title></head><body>Server Error</body></html>`
	return map[string]Answer{
		"invalid-token": {Status: 403, Body: "invalid_token"},
		"prohibited":    {Status: 403, Body: "action_prohibited"},
		"general":       {Status: 403, Body: "posting_to_general_channel_denied"},
		"no-service":    {Status: 404, Body: "no_service"},
		"no-team":       {Status: 404, Body: "no_team"},
		"no-channel":    {Status: 404, Body: "channel_not_found"},
		"archived":      {Status: 410, Body: "channel_is_archived"},
		"rollup":        {Status: 500, Body: "rollup_error"},
		"unavailable":   {Status: 503, Body: page},
		"quota":         {Status: 429, Body: "message_limit_exceeded"}, // without Retry-After
		"redirect":      {Status: 302, Location: Moved},
		"ok-but-not":    {Status: 200, Body: "no_service"},
		"created":       {Status: 201, Body: "ok"},
		"reset":         {Reset: true},
		"reset-after":   {AcceptedReset: true},
	}
}

// FailNext answers the next n messages to path with a fixed answer; an empty
// path is any. What was asked for first comes first.
func (s *Stand) FailNext(path string, n int, answer Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.injected = append(s.injected, injected{path: path, left: n, answer: answer})
}

// Mend forgets what was asked for by FailNext and has not happened yet, for path;
// an empty path is all.
func (s *Stand) Mend(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.injected = slices.DeleteFunc(s.injected, func(in injected) bool { return path == "" || in.path == path })
}

// Messages returns what was accepted for path, in order; an empty path is all.
func (s *Stand) Messages(path string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted(path)
}

// Refusals returns what was not accepted for path, in order; an empty path is all.
func (s *Stand) Refusals(path string) []Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.refusals), func(r Refusal) bool { return path != "" && r.Path != path })
}

// Counts returns the counters of path; an empty path is the sum of all.
func (s *Stand) Counts(path string) Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path != "" {
		return s.counts[path]
	}
	var sum Counts
	for c := range maps.Values(s.counts) {
		sum.Requests += c.Requests
		sum.Accepted += c.Accepted
		sum.Refused += c.Refused
		sum.Limited += c.Limited
		sum.Duplicates += c.Duplicates
	}
	return sum
}

// Wait waits until at least n messages were accepted for path, an empty path
// being any, and returns them all. The error is why ctx ended.
func (s *Stand) Wait(ctx context.Context, path string, n int) ([]Message, error) {
	for {
		s.mu.Lock()
		messages, changed := s.accepted(path), s.changed
		s.mu.Unlock()
		if len(messages) >= n {
			return messages, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return messages, fmt.Errorf("waiting for message %d, have %d: %w", n, len(messages), context.Cause(ctx))
		}
	}
}

// Each calls show for every accepted message, those of before included, until
// ctx ends.
func (s *Stand) Each(ctx context.Context, show func(Message)) {
	for n := 0; ; {
		messages, err := s.Wait(ctx, "", n+1)
		if err != nil {
			return
		}
		for _, m := range messages[n:] {
			show(m)
		}
		n = len(messages)
	}
}

// accepted needs the lock.
func (s *Stand) accepted(path string) []Message {
	return slices.DeleteFunc(slices.Clone(s.messages), func(m Message) bool { return path != "" && m.Path != path })
}

// ServeHTTP answers as hooks.slack.com would.
func (s *Stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.count(r.URL.Path, func(c *Counts) { c.Requests++ })
	if r.URL.Path == Moved { // a client that follows the redirect believes that all is well
		_, _ = io.WriteString(w, "ok")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	refusal := Refusal{Time: time.Now(), Path: r.URL.Path, Payload: body}
	switch token, ok := token(r.URL.Path); {
	case err != nil:
		s.refuse(w, refusal, Answer{Status: 400, Body: "invalid_payload"}, "body: "+err.Error())
	case !ok:
		s.refuse(w, refusal, Answer{Status: 404, Body: "no_service"}, "the path is no webhook's")
	case r.Method != http.MethodPost:
		s.refuse(w, refusal, Answer{Status: 400, Body: "invalid_payload"}, "webhooks are POSTed")
	default:
		s.serve(w, r, token, refusal)
	}
}

func (s *Stand) serve(w http.ResponseWriter, r *http.Request, token string, refusal Refusal) {
	answer, injected := s.inject(r.URL.Path)
	if !injected {
		answer = Answers()[token]
		if token == "slow" {
			answer.Delay = s.slow
		}
	}
	if answer.Delay > 0 {
		wait := time.NewTimer(answer.Delay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
			s.refuse(w, refusal, Answer{Reset: true}, "the client left")
			return
		}
	}
	if answer.refuses() {
		s.refuse(w, refusal, answer, "a fixed answer")
		return
	}
	if wait := s.take(r.URL.Path); wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		s.count(r.URL.Path, func(c *Counts) { c.Limited++ })
		s.refuse(w, refusal, Answer{
			Status: http.StatusTooManyRequests, ContentType: "application/json",
			RetryAfter: strconv.Itoa(seconds),
			Body:       fmt.Sprintf(`{"retry_after":%d,"ok":false,"error":"rate_limited"}`, seconds),
		}, "too fast")
		return
	}
	payload, ok := payloadOf(r.Header.Get("Content-Type"), refusal.Payload)
	if !ok {
		s.refuse(w, refusal, Answer{Status: 400, Body: "invalid_payload"}, "neither JSON nor a form with a payload")
		return
	}
	mentions, broken := check(payload)
	if broken != nil {
		s.refuse(w, refusal, Answer{Status: 400, Body: broken.body}, broken.Error())
		return
	}
	s.accept(Message{
		Time: refusal.Time, Path: r.URL.Path, Payload: bytes.Clone(payload), Mentions: mentions,
		Unanswered: answer.unanswered(),
	})
	if answer.AcceptedSilence {
		<-r.Context().Done()
	}
	if answer.unanswered() {
		panic(http.ErrAbortHandler) // net/http's way to cut a connection
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "ok") // the client may have left
}

// token is the last segment of a webhook's path: /services/T…/B…/token.
func token(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/services/")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 || !strings.HasPrefix(parts[0], "T") || !strings.HasPrefix(parts[1], "B") || parts[2] == "" {
		return "", false
	}
	return parts[2], true
}

func payloadOf(contentType string, body []byte) ([]byte, bool) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, false
	}
	switch kind {
	case "application/json":
		return body, true
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		return []byte(form.Get("payload")), err == nil && form.Has("payload")
	}
	return nil, false
}

// inject takes the next answer that [Stand.FailNext] prepared for path.
func (s *Stand) inject(path string) (Answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.injected {
		if in := &s.injected[i]; in.left > 0 && (in.path == "" || in.path == path) {
			in.left--
			return in.answer, true
		}
	}
	return Answer{}, false
}

// take spends a message of path's, or says how long until there is one.
func (s *Stand) take(path string) time.Duration {
	if s.every < 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	b, ok := s.buckets[path]
	if !ok {
		b = bucket{tokens: float64(s.burst), at: now}
	}
	b.tokens = min(float64(s.burst), b.tokens+float64(now.Sub(b.at))/float64(s.every))
	b.at = now
	var wait time.Duration
	if b.tokens >= 1 {
		b.tokens--
	} else {
		wait = time.Duration(math.Ceil((1 - b.tokens) * float64(s.every)))
	}
	s.buckets[path] = b
	return wait
}

func (s *Stand) accept(m Message) {
	digest := sha256.Sum256([]byte(m.Path + "\n" + string(m.Payload)))
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[m.Path]
	c.Accepted++
	if s.seen[digest] {
		c.Duplicates++
	}
	s.counts[m.Path] = c
	s.seen[digest] = true
	s.messages = append(s.messages, m)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Stand) count(path string, change func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[path]
	change(&c)
	s.counts[path] = c
}

func (s *Stand) refuse(w http.ResponseWriter, refusal Refusal, answer Answer, reason string) {
	refusal.Status, refusal.Body, refusal.Reason = answer.Status, answer.Body, reason
	s.mu.Lock()
	s.refusals = append(s.refusals, refusal)
	c := s.counts[refusal.Path]
	c.Refused++
	s.counts[refusal.Path] = c
	s.mu.Unlock()
	if answer.Reset {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "text/html")
	if answer.ContentType != "" {
		w.Header().Set("Content-Type", answer.ContentType)
	}
	if answer.Location != "" {
		w.Header().Set("Location", answer.Location)
	}
	if answer.RetryAfter != "" {
		w.Header().Set("Retry-After", answer.RetryAfter)
	}
	w.WriteHeader(answer.Status)
	_, _ = io.WriteString(w, answer.Body) // the client may have left
}
