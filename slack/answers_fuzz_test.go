package slack

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// oneAnswer is the way to a Slack that answers alike.
type oneAnswer struct {
	status            int
	retryAfter, where string
	body              string
}

func (a oneAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	header := http.Header{"Retry-After": {a.retryAfter}, "Location": {a.where}}
	return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

// FuzzAnswer: only a 200 with "ok" is success. Any other answer is an error with a reason of the closed set, with words
// of our own, and with a time to wait that makes sense.
func FuzzAnswer(f *testing.F) {
	for _, r := range reasons {
		f.Add(http.StatusNotFound, "", string(r))
		f.Add(http.StatusForbidden, "30", `{"ok":false,"error":"`+string(r)+`"}`)
	}
	for _, status := range []int{200, 204, 301, 400, 404, 408, 410, 413, 429, 500, 503} {
		f.Add(status, "Sun, 01 Nov 2026 12:00:45 GMT", "ok")
		f.Add(status, "99999999999999999999", html)
	}
	f.Add(200, "", " ok\r\n")
	f.Add(200, "-1", strings.Repeat("o", longestBody+1))
	w, err := ParseWebhook("https://hooks.slack.com"+secret, nil)
	if err != nil {
		f.Fatal(err)
	}
	message := Report{Image: Image{Name: "a"}}.Message()
	f.Fuzz(func(t *testing.T, status int, retryAfter, body string) {
		if status < 100 || status > 999 {
			return // no HTTP
		}
		sender := New(Config{Transport: oneAnswer{status, retryAfter, body, body}})
		err := sender.Send(t.Context(), w, message)
		if accepted := status == http.StatusOK && strings.TrimSpace(body) == "ok" && len(body) <= longestBody; accepted != (err == nil) {
			t.Fatalf("status %d, %q: %v", status, body, err)
		}
		if err == nil {
			return
		}
		var e *Error
		if !errors.As(err, &e) || e.Status != status || !slices.Contains(reasons, e.Reason) || e.Kind < Temporary || e.Kind > Channel {
			t.Fatalf("status %d, %q: %+v", status, body, err)
		}
		if e.RetryAfter != 0 && (e.RetryAfter < shortestWait || e.RetryAfter > longestWait) || e.Kind == RateLimited && e.RetryAfter == 0 ||
			e.Kind != RateLimited && e.Kind != Temporary && e.RetryAfter != 0 {
			t.Errorf("status %d, Retry-After %q: %s, wait %s", status, retryAfter, e.Kind, e.RetryAfter)
		}
		own := &Error{Kind: e.Kind, Webhook: w, Status: status, Reason: e.Reason, RetryAfter: e.RetryAfter}
		if said := err.Error(); said != own.Error() || strings.Contains(said, "very-secret-token") || strings.ContainsAny(said, "\r\n\x1b") {
			t.Errorf("the error says %q", said)
		}
	})
}

// FuzzRetryAfter: the wait is a second to an hour, and longer for a later date.
func FuzzRetryAfter(f *testing.F) {
	for _, header := range []string{"", "1.5", " 90 ", "9223372036854775807", "99999999999999999999", "Sun, 01 Nov 2026 12:00:45 GMT", "Mon Nov  2 12:00:00 2026"} {
		f.Add(header)
	}
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		wait, guessed := retryAfter(header, now)
		if wait < shortestWait || wait > longestWait || guessed && wait != unknownWait {
			t.Errorf("%q: wait %s, guessed %t", header, wait, guessed)
		}
		if later, _ := retryAfter(header, now.Add(-time.Minute)); later < wait {
			t.Errorf("%q: wait %s, a minute before %s", header, wait, later)
		}
	})
}

// FuzzWebhookFile: of what a file holds no error shows more than the host, and what is taken is what is there.
func FuzzWebhookFile(f *testing.F) {
	for _, c := range [][2]string{
		{"https://hooks.slack.com", ""}, {" https://hooks.slack.com:443", "\n"}, {"https://hooks.slack.com.example.com", "?x"}, {"http://hooks.slack.com", ""},
		{"https://u@hooks.slack.com", ""}, {"https://hooks.slack.com", "#x"}, {"https://[::1", ""}, {"url=https://hooks.slack.com", "\x00"}, {"", ""}, {"https:/", "%zz"},
	} {
		f.Add(c[0], c[1])
	}
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + secret + after
		if err := os.WriteFile(filepath.Join(folder, "shop"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := WebhookFolder(folder).Webhook("shop", func(address string) (Webhook, error) { return ParseWebhook(address, nil) })
		if err != nil {
			if said := err.Error(); w != (Webhook{}) || strings.Contains(said, "very-secret") || strings.Contains(said, "T00000000") || strings.ContainsAny(said, "\r\n\x1b") {
				t.Errorf("%v beside %q", w, said)
			}
			return
		}
		if w.Host() != "hooks.slack.com" && w.Host() != "hooks.slack-gov.com" || !strings.HasPrefix(w.secret(), "https://"+w.Host()) || strings.Contains(w.String(), "very-secret") {
			t.Errorf("%q is taken for %q, %s", text, w.secret(), w)
		}
	})
}
