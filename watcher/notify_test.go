package watcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/quay/claircore"
	"golang.org/x/time/rate"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/ledger"
)

const notification = "269886f3-0146-4f08-9bf7-cb1138d48643"

func TestNotify(t *testing.T) {
	callback := clairBase + "notifier/api/v1/notification/" + notification
	body := func(id, callback string) string {
		return `{"notification_id":"` + id + `","callback":"` + callback + `"}`
	}
	valid := body(notification, callback)
	asked := []string{"notified", "delete", "report"}
	all := append(asked, "report") // of both images that run
	part, none := []string{digest(2), digest(99)}, []string(nil)
	tests := []struct {
		name, body string
		fail       error // of Clair, when it is asked what the notification is about
		digests    []string
		want       hint
		status     int
		calls      []string
	}{
		{"valid", valid, nil, part, hintQueued, 200, asked},
		{"callback in other case", body(notification, strings.Replace(callback, "clair.clair", "CLAIR.clair", 1)), nil, part, hintQueued, 200, asked},
		{"more fields", `{"x":[1],` + valid[1:], nil, part, hintQueued, 200, asked},
		{"empty", "", nil, part, hintInvalid, 200, nil},
		{"no JSON", "<xml/>", nil, part, hintInvalid, 200, nil},
		{"no object", "[]", nil, part, hintInvalid, 200, nil},
		{"null", "null", nil, part, hintInvalid, 200, nil},
		{"no id", body("", callback), nil, part, hintInvalid, 200, nil},
		{"path as id", body("../../indexer/api/v1/index_report/x", callback), nil, part, hintInvalid, 200, nil},
		{"path of the length of an id", body("../../indexer/api/v1/index_report/abc", callback), nil, part, hintInvalid, 200, nil},
		{"id in braces", body("{"+notification+"}", callback), nil, part, hintInvalid, 200, nil},
		{"URN", body("urn:uuid:"+notification, callback), nil, part, hintInvalid, 200, nil},
		{"id without dashes", body(strings.ReplaceAll(notification, "-", ""), callback), nil, part, hintInvalid, 200, nil},
		{"no callback", body(notification, ""), nil, part, hintInvalid, 200, nil},
		{"relative callback", body(notification, "/notifier"), nil, part, hintInvalid, 200, nil},
		{"callback with an endless host", body(notification, "http://"+strings.Repeat("a", 1000)+"/"), nil, part, hintInvalid, 200, nil},
		{"another host", body(notification, "http://169.254.169.254/latest"), nil, part, hintUnknown, 200, nil},
		{"another port", body(notification, "http://clair.clair:6001/"), nil, part, hintUnknown, 200, nil},
		{"another scheme", body(notification, "https://clair.clair:6000/"), nil, part, hintUnknown, 200, nil},
		{"a Clair that no namespace uses", body(notification, secondBase), nil, part, hintUnknown, 200, nil},
		{"huge", `{"x":"` + strings.Repeat("a", webhookLimit) + `",` + valid[1:], nil, part, hintInvalid, 200, nil},
		{"Clair away", valid, &clair.Error{Kind: clair.Temporary}, part, hintRetry, 503, []string{"notified"}},
		{"read in part", valid, &clair.Error{Kind: clair.Incomplete}, part, hintIncomplete, 200, all},
		{"not read in time", valid, &clair.Error{Kind: clair.Incomplete}, none, hintIncomplete, 200, all},
		{"not read in the handler's time", valid, context.DeadlineExceeded, none, hintIncomplete, 200, all},
		{"a Clair without a notifier", valid, &clair.Error{Kind: clair.NotFound}, none, hintIncomplete, 200, all},
		{"a page that is too large", valid, &clair.Error{Kind: clair.TooLarge}, part, hintIncomplete, 200, all},
		{"no key for Clair", valid, &clair.Error{Kind: clair.NoKey}, part, hintRefused, 200, []string{"notified"}},
		{"Clair wants a token", valid, &clair.Error{Kind: clair.Unauthorized}, part, hintRefused, 200, []string{"notified"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.settings(map[string]string{"shop": scanner("shop")})
				r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
				r.start()
				r.pass(settled)
				c := r.clairs[clairBase]
				c.called()
				c.set(func(c *fakeClair) {
					c.notified = tt.digests
					c.fail = func(call string) error {
						if call == "notified" {
							return tt.fail
						}
						return nil
					}
				})
				req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/notify", io.MultiReader(strings.NewReader(tt.body)))
				rec := httptest.NewRecorder()
				r.w.Notify().ServeHTTP(rec, req)
				synctest.Wait()
				calls := c.called()
				if slices.Contains(calls, "delete") {
					t.Error("deleted before Clair can have noted the answer, which would undo it")
				}
				r.pass(deletePause)
				if rec.Code != tt.status {
					t.Errorf("status %d, want %d", rec.Code, tt.status)
				}
				calls = append(calls, c.called()...)
				slices.Sort(calls)
				want := slices.Sorted(slices.Values(tt.calls))
				if !slices.Equal(calls, want) {
					t.Errorf("calls to Clair: %v, want %v", calls, want)
				}
				for _, h := range hints {
					want := 0.0
					if h == tt.want {
						want = 1
					}
					if got := r.metric("clairwatch_notifications_total", string(h)); got != want {
						t.Errorf("counted %v as %s, want %v", got, h, want)
					}
				}
			})
		})
	}
}

// deliver delivers the first Clair's webhook in the background. The channel has the status.
func (r *rig) deliver(ctx context.Context, h http.Handler, body io.Reader) <-chan int {
	r.t.Helper()
	done := make(chan int, 1)
	go func() {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodPost, "/notify", body))
		done <- rec.Code
	}()
	synctest.Wait()
	return done
}

const hook = `{"notification_id":"` + notification + `","callback":"` + clairBase + `"}`

func TestNotifyTakesTurns(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.called()
		c.silent = true
		h := r.w.Notify()
		start := time.Now()
		first := r.deliver(t.Context(), h, strings.NewReader(hook))
		ctx, cancel := context.WithCancel(t.Context())
		left := r.deliver(ctx, h, strings.NewReader(hook))
		impatient := r.deliver(t.Context(), h, strings.NewReader(hook))
		cancel()
		if got := <-left; got != http.StatusServiceUnavailable {
			t.Errorf("a caller that left got %d", got)
		}
		if got := <-impatient; got != http.StatusServiceUnavailable {
			t.Errorf("who waits for too long got %d, want to come again", got)
		}
		if got := <-first; got != http.StatusOK {
			t.Errorf("a notification that cannot be read got %d: Clair would deliver it for ever", got)
		}
		if took := time.Since(start); took > notifyTime {
			t.Errorf("answered after %v", took)
		}
		r.pass(deletePause)
		if got := strings.Join(c.called(), " "); got != "notified report delete" {
			t.Errorf("calls to Clair: %s", got)
		}
	})
}

// Who floods the port has Clair asked a few times a second, and nothing else of us: Clair's own webhooks come again.
func TestNotifyFlood(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const flood = 10_000
		c := r.clairs[clairBase]
		c.silent = true // the first has the turn as long as it may
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.called()
		h := r.w.Notify()
		statuses := make(chan int, flood)
		for n := range flood {
			body := fmt.Sprintf(`{"notification_id":"00000000-0000-4000-8000-%012x","callback":"%s"}`, n/2, clairBase) // each twice
			go func() {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/notify", strings.NewReader(body)))
				statuses <- rec.Code
			}()
		}
		synctest.Wait()
		if waiting := flood - len(statuses); waiting != mostWaiting {
			t.Errorf("%d webhooks wait, want %d", waiting, mostWaiting)
		}
		c.set(func(c *fakeClair) { c.silent = false })
		r.pass(2 * notifyTime)
		counts := make(map[int]int)
		for range flood {
			counts[<-statuses]++
		}
		asked := strings.Count(strings.Join(c.called(), " "), "notified")
		if asked < 1 || asked > mostWaiting {
			t.Errorf("Clair was asked %d times, want at most %d", asked, mostWaiting)
		}
		if counts[http.StatusOK] != asked || counts[http.StatusOK]+counts[http.StatusServiceUnavailable] != flood {
			t.Errorf("statuses: %v, for %d that Clair was asked about", counts, asked)
		}
		r.wantTexts("app1:v1 is running with")
	})
}

// Clair delivers one after another, and can have thousands to deliver. Each is answered in its first delivery, Clair is
// asked so often a second and no more, what was read is deleted, and what is new is told once.
func TestNotifyThousands(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const delivered = 10_000
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(dataQuiet + settled)
		c.called()
		c.set(func(c *fakeClair) {
			c.notified = []string{digest(1), digest(2)}
			c.updaters[0].Last = time.Now()
			c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical},
				{name: "CVE-2026-0002", severity: claircore.Critical, updater: "debian"}}
			known := 0
			c.fail = func(call string) error {
				if call != "notified" {
					return nil
				}
				if known++; known%3 == 0 { // an id that it does not know
					return &clair.Error{Op: "reading a notification", Kind: clair.NotFound, Status: http.StatusNotFound}
				}
				return nil
			}
		})
		h, began := r.w.Notify(), time.Now()
		for n := range delivered {
			body := fmt.Sprintf(`{"notification_id":"00000000-0000-4000-8000-%012x","callback":"%s"}`, n/2, clairBase)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/notify", strings.NewReader(body)))
			if rec.Code != http.StatusOK {
				t.Fatalf("number %d got %d", n, rec.Code)
			}
		}
		if most := hintBurst + int(time.Since(began)/time.Second+1)*hintsPerSecond; delivered > most {
			t.Errorf("Clair was asked %d times, want at most %d", delivered, most)
		}
		r.pass(time.Hour)
		counts := make(map[string]int)
		for _, call := range c.called() {
			counts[call]++
		}
		if counts["notified"] != delivered {
			t.Errorf("Clair was asked %d times about notifications, want %d", counts["notified"], delivered)
		}
		if counts["delete"] < delivered-mostDeletions {
			t.Errorf("%d notifications were deleted, want all but a few of %d", counts["delete"], delivered)
		}
		if counts["report"] > 10 { // they are as young as the data
			t.Errorf("%d reports for one image", counts["report"])
		}
		r.wantTexts("app1:v1 is running with", "CVE-2026-0002")
	})
}

// Where newer data is found without webhooks, those of a flood hold up nothing: what Clair is not asked about is answered
// at once, also while one is read.
func TestNotifyFloodIsSkipped(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.called()
		h := r.w.Notify()
		var answers []<-chan int
		for range hintBurst {
			answers = append(answers, r.deliver(t.Context(), h, strings.NewReader(hook)))
		}
		c.set(func(c *fakeClair) { c.silent = true })
		const flood = 1000
		for range flood {
			answers = append(answers, r.deliver(t.Context(), h, strings.NewReader(hook)))
		}
		for n, answer := range answers {
			select {
			case got := <-answer:
				if got != http.StatusOK {
					t.Fatalf("webhook %d got %d", n, got)
				}
			default:
				t.Fatalf("webhook %d waits", n)
			}
		}
		if got := r.metric("clairwatch_notifications_total", string(hintSkipped)); got != flood {
			t.Errorf("%v are skipped, want %d", got, flood)
		}
		asked := strings.Count(strings.Join(c.called(), " "), "notified")
		c.set(func(c *fakeClair) { c.silent = false })
		r.pass(time.Second)
		if got := <-r.deliver(t.Context(), h, strings.NewReader(hook)); got != http.StatusOK {
			t.Errorf("a second later one got %d", got)
		}
		if again := strings.Count(strings.Join(c.called(), " "), "notified"); asked != hintBurst || again != 1 {
			t.Errorf("Clair was asked %d times, and a second later %d times", asked, again)
		}
	})
}

// A notification of one Clair is no reason to look at what another one reports on.
func TestNotifyOfAnotherClair(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scannerAt(secondBase, "blog")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		first, second := r.clairs[clairBase], r.clairs[secondBase]
		first.called()
		second.called()
		first.set(func(c *fakeClair) { c.notified = []string{digest(1)} })
		r.notify()
		r.pass(settled)
		if got := strings.Join(first.called(), " "); got != "notified report delete" {
			t.Errorf("calls to the one: %s", got)
		}
		if got := second.called(); len(got) > 0 {
			t.Errorf("calls to the other: %v", got)
		}
	})
}

// A body that does not come is not waited for by others, and may come another time.
func TestNotifyBody(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		h := r.w.Notify()
		slow, writer := io.Pipe()
		first := r.deliver(t.Context(), h, slow)
		if got := <-r.deliver(t.Context(), h, strings.NewReader(hook)); got != http.StatusOK {
			t.Errorf("the second got %d", got)
		}
		_ = writer.CloseWithError(io.ErrUnexpectedEOF)
		if got := <-first; got != http.StatusServiceUnavailable {
			t.Errorf("half a body got %d, want to come again", got)
		}
	})
}

func TestClairOfCallback(t *testing.T) {
	const host = "https://clair.example"
	tests := []struct {
		callback string
		bases    []string
		want     string
	}{
		{"/notifier/api/v1/notification/1", []string{"/", "/eu/"}, "/"},
		{"/eu/notifier/api/v1/notification/1", []string{"/", "/eu/"}, "/eu/"},
		{"/eu/notifier/api/v1/notification/1", []string{"/eu/", "/", "/eu/west"}, "/eu/"},
		{"/eu/west/notifier/api/v1/notification/1", []string{"/eu/", "/", "/eu/west"}, "/eu/west"},
		{"/europe/notifier/api/v1/notification/1", []string{"/eu", "/us"}, ""},
		{"", []string{""}, ""},
		{"", []string{"/"}, "/"},
	}
	for _, tt := range tests {
		a := &assignment{byNamespace: make(map[string][]listener)}
		for _, b := range tt.bases {
			a.byNamespace["ns"+b] = []listener{{clair: host + b}}
		}
		w := new(Watcher)
		w.assigned.Store(a)
		callback, err := url.Parse(host + tt.callback)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if tt.want != "" || slices.Contains(tt.bases, "") {
			want = host + tt.want
		}
		if got := w.clairOf(callback); got != want {
			t.Errorf("%s among %q: %q, want %q", tt.callback, tt.bases, got, want)
		}
	}
}

func TestClairOfCallbackByAlias(t *testing.T) {
	const a, b = "http://a.clair:6000/", "http://b.clair:6000/"
	aliases := map[string][]string{
		a:                    {"https://clair.example", "http://10.0.0.1:6060/", "http://both/"},
		b:                    {"https://clair.example/eu", a + "b/", "http://both"},
		"http://c.clair:60/": {"http://nobody/"},
	}
	for callback, want := range map[string]string{
		"http://a.clair:6000/notifier/api/v1/notification/1":        a,
		"https://clair.example/notifier/api/v1/notification/1":      a,
		"HTTPS://CLAIR.example/notifier/api/v1/notification/1":      a,
		"http://10.0.0.1:6060/notifier/api/v1/notification/1":       a,
		"https://clair.example/eu/notifier/api/v1/notification/1":   b,
		"https://clair.example/euro/notifier/api/v1/notification/1": a,
		"http://a.clair:6000/b/notifier/api/v1/notification/1":      b,
		"http://both/notifier/api/v1/notification/1":                a,
		"http://clair.example/notifier/api/v1/notification/1":       "",
		"http://10.0.0.1:6061/notifier/api/v1/notification/1":       "",
		"http://nobody/notifier/api/v1/notification/1":              "", // of a Clair that no namespace uses
	} {
		w := &Watcher{cfg: Config{CallbackAliases: aliases}}
		w.assigned.Store(&assignment{byNamespace: map[string][]listener{"one": {{clair: b}}, "two": {{clair: a}, {clair: b}}}})
		u, err := url.Parse(callback)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.clairOf(u); got != want {
			t.Errorf("%s: %q, want %q", callback, got, want)
		}
	}
	// An address comes before an alias that is the same.
	w := &Watcher{cfg: Config{CallbackAliases: map[string][]string{a: {b}}}}
	w.assigned.Store(&assignment{byNamespace: map[string][]listener{"one": {{clair: a}, {clair: b}}}})
	if got := w.clairOf(&url.URL{Scheme: "http", Host: "b.clair:6000", Path: "/notifier/api/v1/notification/1"}); got != b {
		t.Errorf("got %q, want the Clair that has the address", got)
	}
}

// unreadBody is a body that must not be read.
type unreadBody struct{ t *testing.T }

func (u unreadBody) Read([]byte) (int, error) {
	u.t.Error("the body of who may not call was read")
	return 0, io.EOF
}

// Who may not call gets 401, of the one that leads and of the one that stands by, and the log does not fill with it.
func TestNotifyUnauthorized(t *testing.T) {
	const secret = "a-token-that-is-secret"
	for _, leads := range []bool{true, false} {
		inRig(t, func(t *testing.T, r *rig) {
			var log bytes.Buffer
			r.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			r.cfg.Caller = func(h http.Header) error {
				if h.Get("Authorization") == "Bearer "+secret {
					return nil
				}
				return errors.New("neither token nor signature")
			}
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.pass(settled)
			r.w.leading.Store(leads)
			defer r.w.leading.Store(true)
			c := r.clairs[clairBase]
			c.called()
			h := r.w.Notify()
			send := func(authorization string, body io.Reader) *httptest.ResponseRecorder {
				req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/notify", body)
				if authorization != "" {
					req.Header.Set("Authorization", authorization)
				}
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, req)
				return rec
			}
			for _, authorization := range []string{"", "Bearer x", "Bearer " + secret + "x"} {
				rec := send(authorization, unreadBody{t})
				if rec.Code != http.StatusUnauthorized || rec.Header().Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("%q: status %d, %v", authorization, rec.Code, rec.Header())
				}
			}
			logged := func() string {
				synctest.Wait()
				return log.String()
			}
			const said = "refused a webhook: its sender may not call"
			if n := strings.Count(logged(), said); n != 1 {
				t.Errorf("the log says %d times that somebody was refused:\n%s", n, log.String())
			}
			time.Sleep(refusalPause)
			send("", unreadBody{t})
			if n := strings.Count(logged(), said); n != 2 {
				t.Errorf("a minute later the log has said it %d times", n)
			}
			if calls := c.called(); slices.Contains(calls, "notified") || slices.Contains(calls, "delete") {
				t.Errorf("Clair was asked: %v", calls)
			}
			want := hintIdle // nothing runs that it is about
			if !leads {
				want = hintStandby
			}
			if rec := send("Bearer "+secret, strings.NewReader(hook)); rec.Code != http.StatusOK {
				t.Errorf("who may call got %d", rec.Code)
			}
			if got := r.metric("clairwatch_notifications_total", string(hintUnauthorized)); got != 4 {
				t.Errorf("counted %v", got)
			}
			if got := r.metric("clairwatch_notifications_total", string(want)); got != 1 {
				t.Errorf("counted %v as %s", got, want)
			}
			if strings.Contains(logged(), secret) {
				t.Errorf("the log holds the token:\n%s", log.String())
			}
		})
	}
}

// metric reads a counter or gauge by the values of all its labels.
func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	gatherer, ok := r.cfg.Metrics.(prometheus.Gatherer)
	if !ok {
		r.t.Fatal("the registry cannot be read")
	}
	families, err := gatherer.Gather()
	r.check(err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(values, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	r.t.Fatalf("no series %s of %v", name, labels)
	return 0
}

func FuzzReadWebhook(f *testing.F) {
	f.Add(`{"notification_id":"` + notification + `","callback":"` + clairBase + `"}`)
	f.Add(`{"notification_id":"../../x","callback":"http://[::1]:6000/"}`)
	f.Add(`{"notification_id":7}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, body string) {
		id, callback, err := readWebhook(strings.NewReader(body))
		if err != nil {
			if id != (uuid.UUID{}) || callback != nil {
				t.Error("something came back with an error")
			}
			if text := err.Error(); len(text) > 100 {
				t.Errorf("the error repeats the body: %s", text)
			}
			return
		}
		if callback.Host == "" || len(callback.Host) > longestHost {
			t.Errorf("host %q", callback.Host)
		}
		if s := id.String(); len(s) != 36 || !strings.Contains(strings.ToLower(body), s) && !strings.Contains(body, `\u`) {
			t.Errorf("id %s is not in %q", s, body)
		}
	})
}

// FuzzNotify asks the whole handler: whatever comes, it answers 200 and asks nobody but the Clair of the
// settings.
func FuzzNotify(f *testing.F) {
	f.Add([]byte(`{"notification_id":"` + notification + `","callback":"` + clairBase + `"}`))
	f.Add([]byte(`{"notification_id":"` + notification + `","callback":"http://169.254.169.254/"}`))
	f.Add([]byte("\x00"))
	c := newFakeClair()
	w := &Watcher{
		log:      newDiscardLog(),
		progress: newProgress(),
		clairs: newClairs(1, func(base string) (Clair, error) {
			if base != clairBase {
				return nil, errors.New("not in the settings")
			}
			return c, nil
		}, func(image) {}, func(string) clairEvents { return clairEvents{dataEvents: noEvents()} }),
	}
	w.book = ledger.New()
	w.hintRate = rate.Inf
	w.leading.Store(true)
	w.pending = newPending()
	w.metrics = newMetrics(prometheus.NewRegistry(), w)
	w.assigned.Store(&assignment{byNamespace: map[string][]listener{"shop": {{clair: clairBase}}}})
	h := w.Notify()
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/notify", strings.NewReader(string(body))))
		if rec.Code != http.StatusOK {
			t.Errorf("status %d for %q", rec.Code, body)
		}
		if rec.Body.String() != "ok\n" {
			t.Errorf("answer %q", rec.Body)
		}
	})
}
