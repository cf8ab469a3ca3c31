package watcher

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/clairwatch/clairwatch/clair"
)

const notification = "269886f3-0146-4f08-9bf7-cb1138d48643"

func TestNotify(t *testing.T) {
	callback := clairBase + "notifier/api/v1/notification/" + notification
	body := func(id, callback string) string {
		return `{"notification_id":"` + id + `","callback":"` + callback + `"}`
	}
	valid := body(notification, callback)
	asked := []string{"notified", "delete", "report"}
	tests := []struct {
		name, body string
		fail       error // of Clair, when it is asked what the notification is about
		want       hint
		status     int
		calls      []string
	}{
		{"valid", valid, nil, hintQueued, 200, asked},
		{"callback in other case", body(notification, strings.Replace(callback, "clair.clair", "CLAIR.clair", 1)), nil, hintQueued, 200, asked},
		{"more fields", `{"x":[1],` + valid[1:], nil, hintQueued, 200, asked},
		{"empty", "", nil, hintInvalid, 200, nil},
		{"no JSON", "<xml/>", nil, hintInvalid, 200, nil},
		{"no object", "[]", nil, hintInvalid, 200, nil},
		{"null", "null", nil, hintInvalid, 200, nil},
		{"no id", body("", callback), nil, hintInvalid, 200, nil},
		{"path as id", body("../../indexer/api/v1/index_report/x", callback), nil, hintInvalid, 200, nil},
		{"path of the length of an id", body("../../indexer/api/v1/index_report/abc", callback), nil, hintInvalid, 200, nil},
		{"id in braces", body("{"+notification+"}", callback), nil, hintInvalid, 200, nil},
		{"URN", body("urn:uuid:"+notification, callback), nil, hintInvalid, 200, nil},
		{"id without dashes", body(strings.ReplaceAll(notification, "-", ""), callback), nil, hintInvalid, 200, nil},
		{"no callback", body(notification, ""), nil, hintInvalid, 200, nil},
		{"relative callback", body(notification, "/notifier"), nil, hintInvalid, 200, nil},
		{"callback with an endless host", body(notification, "http://"+strings.Repeat("a", 1000)+"/"), nil, hintInvalid, 200, nil},
		{"another host", body(notification, "http://169.254.169.254/latest"), nil, hintUnknown, 200, nil},
		{"another port", body(notification, "http://clair.clair:6001/"), nil, hintUnknown, 200, nil},
		{"another scheme", body(notification, "https://clair.clair:6000/"), nil, hintUnknown, 200, nil},
		{"a Clair that no namespace uses", body(notification, secondBase), nil, hintUnknown, 200, nil},
		{"huge", `{"x":"` + strings.Repeat("a", webhookLimit) + `",` + valid[1:], nil, hintInvalid, 200, nil},
		{"Clair away", valid, &clair.Error{Kind: clair.Temporary}, hintRetry, 503, []string{"notified"}},
		{"Clair does not answer", valid, context.DeadlineExceeded, hintRetry, 503, []string{"notified"}},
		{"Clair wants a token", valid, &clair.Error{Kind: clair.Unauthorized}, hintRefused, 200, []string{"notified"}},
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
					c.notified = []string{digest(2), digest(99)}
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
				if rec.Code != tt.status {
					t.Errorf("status %d, want %d", rec.Code, tt.status)
				}
				calls := c.called()
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

func TestNotifyGivesUpWithItsCaller(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.start()
		ctx, cancel := context.WithCancel(t.Context())
		first, release := io.Pipe()
		h := r.w.Notify()
		done := make(chan int, 2)
		deliver := func(ctx context.Context, body io.Reader) {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodPost, "/notify", body))
			done <- rec.Code
		}
		go deliver(t.Context(), first)
		synctest.Wait()
		go deliver(ctx, strings.NewReader("{}"))
		synctest.Wait()
		cancel()
		<-done // the second, while the first still has the turn
		_ = release.Close()
		<-done
		if got := r.metric("clairwatch_notifications_total", string(hintInvalid)); got != 1 {
			t.Errorf("%v webhooks were looked at, want the first alone", got)
		}
	})
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
		clairs: newClairs(func(base string) (Clair, error) {
			if base != clairBase {
				return nil, errors.New("not in the settings")
			}
			return c, nil
		}),
	}
	w.cfg.Ledger = NewMemory()
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
