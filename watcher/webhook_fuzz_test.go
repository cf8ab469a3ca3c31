package watcher

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/ledger"
)

// answerer is the way to a Clair: it gives one answer, and after it empty pages, and notes what it was asked.
type answerer struct {
	status int
	text   []byte
	asked  []*http.Request
}

func (a *answerer) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r)
	status, text := http.StatusOK, "{}"
	if len(a.asked) == 1 {
		status, text = a.status, string(a.text)
	}
	return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// passes says that an answer of Clair is for a while only.
func (a *answerer) passes() bool {
	return a.status >= 500 || slices.Contains([]int{408, 425, 429}, a.status)
}

// signer is who holds the key of a Clair: what of its making is valid is known, and nobody else makes any.
type signer struct {
	token string // the other way to be let in
	key   []byte
	valid []string // what was signed: header and claims
}

// admits says whether a value of Authorization lets its sender in.
func (s *signer) admits(value string) bool {
	scheme, token, _ := strings.Cut(value, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || len(token) > 4<<10 {
		return false
	}
	if token == s.token {
		return true
	}
	// What counts is what the parts decode to: base64 may be spelled in several ways, with line breaks for one.
	var decoded [][]byte
	for part := range strings.SplitSeq(token, ".") {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return false
		}
		decoded = append(decoded, text)
	}
	if len(decoded) != 3 {
		return false
	}
	body := base64.RawURLEncoding.EncodeToString(decoded[0]) + "." + base64.RawURLEncoding.EncodeToString(decoded[1])
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(body))
	return slices.Contains(s.valid, body) && hmac.Equal(decoded[2], mac.Sum(nil))
}

// notificationPath is what may be asked of Clair because of a webhook, reports of what runs aside.
var notificationPath = regexp.MustCompile(`^/notifier/api/v1/notification/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// FuzzNotifyCallers asks the whole handler, with a real client of Clair and with those who may call. Whatever comes, and
// whatever Clair says: nobody is let in without a token or a signature, nothing is asked but the notification with the
// id of the body, of that Clair, and the status is one that Clair understands.
func FuzzNotifyCallers(f *testing.F) {
	plain, signed, both, other := recordedWebhook(f, "webhook.json"), recordedWebhook(f, "webhook-signed.json"),
		recordedWebhook(f, "webhook-signed-and-token.json"), recordedWebhook(f, "webhook-signed-other.json")
	key, err := base64.StdEncoding.DecodeString(signed.Key)
	if err != nil {
		f.Fatal(err)
	}
	holder := &signer{token: strings.TrimPrefix(plain.Header.Get("Authorization"), "Bearer "), key: key}
	tokens := recordedTokens(f)
	// The last one was sent to Clair, which it does not take, but is what its notifier sends.
	for _, value := range []string{signed.Header.Get("Authorization"), both.Header.Values("Authorization")[1], tokens["clair-notifier"][0]} {
		holder.valid = append(holder.valid, value[len("Bearer "):strings.LastIndexByte(value, '.')])
	}

	pages := []recording{recorded(f, "notification-whole.json"), recorded(f, "notification-page-1.json"), recorded(f, "notification-again.json"), recorded(f, "notification-unknown.json"), recorded(f, "notification-test-mode.json"),
		recorded(f, "notification-size-negative.json"), recorded(f, "notification-next-text.json"), recorded(f, "notification-accept.json"),
		recorded(f, "notification-method.json"), recorded(f, "notification-unauthorized.json"), recorded(f, "no-such-path.json")}
	for _, hook := range []clairWebhook{plain, signed, both, other} {
		values := append(hook.Header.Values("Authorization"), "")
		for _, page := range pages {
			f.Add([]byte(hook.Body), values[0], values[1], page.Status, []byte(page.Body))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		values := append(slices.Clone(tokens[name]), "", "")
		f.Add([]byte(plain.Body), values[0], values[1], 200, []byte(pages[0].Body))
	}
	let := plain.Header.Get("Authorization")
	for _, body := range []string{"", "null", "[]", `{"notification_id":"../../../indexer/api/v1/index_report","callback":"` + recordedBase + `"}`,
		`{"notification_id":"` + wholeID + `","callback":"http://169.254.169.254/"}`,
		`{"notification_id":"` + wholeID + `","callback":"http://127.0.0.1:16060@169.254.169.254/"}`,
		`{"notification_id":"{` + wholeID + `}","callback":"` + recordedBase + `"}`,
		`{"notification_id":"` + strings.ToUpper(wholeID) + `","callback":"HTTP://127.0.0.1:16060/x/../y?a=b#c"}`} {
		f.Add([]byte(body), let, "Basic dTpw", 200, []byte(pageWith(againID, debianImage)))
	}

	folder := f.TempDir()
	files := map[string]string{"token": holder.token, "psk": signed.Key}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	callers := clair.NewCallers(clair.CallersConfig{
		TokenFile: filepath.Join(folder, "token"),
		PSKs:      []*clair.PSK{clair.NewPSK(clair.PSKConfig{Clair: recordedBase, File: filepath.Join(folder, "psk")})},
		Now:       func() time.Time { return signed.At.Add(5 * time.Second) }, // when both tokens were valid
	})
	answers := new(answerer)
	client, err := clair.New(clair.Config{URL: recordedBase, Transport: answers})
	if err != nil {
		f.Fatal(err)
	}
	w := &Watcher{
		cfg:      Config{Caller: callers.Admit},
		log:      newDiscardLog(),
		progress: newProgress(),
		clairs: newClairs(1, func(base string) (Clair, error) {
			if base != recordedBase {
				return nil, errors.New("not in the settings")
			}
			return client, nil
		}, func(image) {}, func(string) clairEvents { return clairEvents{dataEvents: noEvents(), unmuted: func(time.Duration) {}} }),
		read:     make(chan readNotification, 1),
		hintRate: rate.Inf,
	}
	w.book = ledger.New()
	w.leading.Store(true)
	w.pending = newPending()
	w.metrics = newMetrics(prometheus.NewRegistry(), w)
	w.assigned.Store(&assignment{byNamespace: map[string][]listener{"shop": {{clair: recordedBase}}}})
	h := w.Notify()

	f.Fuzz(func(t *testing.T, body []byte, first, second string, status int, page []byte) {
		*answers = answerer{status: 100 + max(status%500, -status%500), text: page}
		if status >= 100 && status < 600 {
			answers.status = status
		}
		header := make(http.Header)
		for _, value := range []string{first, second} {
			if value != "" {
				header.Add("Authorization", value)
			}
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/notify", strings.NewReader(string(body)))
		req.Header = header
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		pages := len(answers.asked)
		select {
		case n := <-w.read:
			_ = n.clair.DeleteNotification(t.Context(), n.id)
		default:
		}

		admitted := holder.admits(first) || holder.admits(second)
		if (rec.Code == http.StatusUnauthorized) == admitted {
			t.Errorf("status %d for %q and %q", rec.Code, first, second)
		}
		switch rec.Code {
		case http.StatusUnauthorized:
			if len(answers.asked) > 0 {
				t.Errorf("Clair was asked %s", answers.asked[0].URL)
			}
		case http.StatusServiceUnavailable:
			if pages != 1 || !answers.passes() || len(answers.asked) > pages {
				t.Errorf("to come again after %d requests and status %d, which will be the same", pages, answers.status)
			}
		case http.StatusOK:
			if pages > 0 && answers.passes() {
				t.Errorf("taken after status %d, which passes", answers.status)
			}
		default:
			t.Errorf("status %d", rec.Code)
		}
		for i, r := range answers.asked {
			wantHint(t, r, i < pages, body)
		}
	})
}

// wantHint makes sure that a request to Clair is one that a webhook with a body may cause.
func wantHint(t *testing.T, r *http.Request, page bool, body []byte) {
	t.Helper()
	base, err := url.Parse(recordedBase)
	if err != nil {
		t.Fatal(err)
	}
	u := *r.URL
	if u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || u.RawPath != "" || u.Fragment != "" || !notificationPath.MatchString(u.Path) {
		t.Errorf("Clair was asked %s", r.URL)
	}
	id := u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	if text := strings.ToLower(string(body)); !strings.Contains(text, id) && !strings.Contains(text, `\u`) {
		t.Errorf("asked for %s, which is not in %q", id, body)
	}
	query := u.Query()
	query.Del("page_size")
	query.Del("next")
	method := http.MethodDelete
	if page {
		method = http.MethodGet
	}
	if r.Method != method || len(query) > 0 || !page && u.RawQuery != "" {
		t.Errorf("Clair was asked %s %s", r.Method, r.URL)
	}
}

// recordedTokens are values of Authorization that were sent to a real Clair with the key of the recorded webhooks, by
// what was tried with them.
func recordedTokens(t testing.TB) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recordings, "psk.json"))
	if err != nil {
		t.Fatal(err)
	}
	var exchanges []struct {
		Name          string
		Authorization []string
	}
	if err := json.Unmarshal(text, &exchanges); err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]string)
	for _, e := range exchanges {
		all[e.Name] = e.Authorization
	}
	return all
}
