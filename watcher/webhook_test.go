package watcher

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// These tests define what becomes of each webhook and of each answer of Clair to what is asked because of it. Clair
// repeats a webhook that was not answered with 200 for ever and delivers none of the others meanwhile. So 503 is for
// what passes by itself, and after each of the cases a webhook that is well must get through.

// wantNext makes sure that a webhook gets through after another one.
func (f *front) wantNext(r *rig, p *replay) {
	f.t.Helper()
	p.set(func(p *replay) { p.script = nil })
	p.hasFiles("notification-whole.json", "notification-deleted.json")
	asked := f.delivered(r, p, recordedWebhook(f.t, "webhook.json"), http.StatusOK)
	wantAsked(f.t, asked, pageOf(wholeID, ""), reportOn(debianImage), reportOn(distrolessImage), deletionOf(wholeID))
}

// raw sends bytes on a connection of its own and returns the status of the answer; zero when there is none. With leave
// it closes the connection after them, and otherwise it waits.
func (f *front) raw(text string, leave bool) int {
	f.t.Helper()
	conn, err := f.server.dial(f.t.Context(), "", "")
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = io.WriteString(conn, text) // ends with the connection at the latest
		if leave {
			conn.Close()
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestNotifyBodies(t *testing.T) {
	valid := recordedWebhook(t, "webhook.json").Body
	head := func(fields string) string {
		return "POST /notify HTTP/1.1\r\nHost: clairwatch\r\nContent-Type: application/json\r\n" + fields + "\r\n\r\n"
	}
	length := func(n int) string { return head(fmt.Sprintf("Content-Length: %d", n)) }
	const chunked = "Transfer-Encoding: chunked"
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	const end = "0\r\n\r\n"
	long := `{"x":"` + strings.Repeat("x", webhookLimit) + `",` + valid[1:] // and well if it were read whole
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, valid)
	_ = z.Close()
	callback := func(address string) string {
		return strings.Replace(valid, recordedBase+"notifier/api/v1/notification/"+wholeID, address, 1)
	}
	id := func(id string) string {
		return strings.Replace(valid, `"notification_id":"`+wholeID, `"notification_id":"`+id, 1)
	}
	for _, c := range []struct {
		name, text string
		leave      bool
		status     int // zero: nobody is there to have it
		outcome    string
	}{
		{"in one chunk, as Clair", head(chunked) + chunk(valid) + end, false, 200, "queued"},
		{"in many chunks", head(chunked) + chunk(valid[:1]) + chunk(valid[1:50]) + chunk(valid[50:]) + end, false, 200, "queued"},
		{"with a trailer", head(chunked+"\r\nTrailer: X") + chunk(valid) + "0\r\nX: y\r\n\r\n", false, 200, "queued"},
		{"with its length", length(len(valid)) + valid, false, 200, "queued"},
		{"and spaces up to the limit", length(webhookLimit) + valid + strings.Repeat(" ", webhookLimit-len(valid)), false, 200, "queued"},

		// What can never be read is taken, or Clair would send it for ever.
		{"and spaces beyond the limit", length(webhookLimit+1) + valid + strings.Repeat(" ", webhookLimit+1-len(valid)), false, 200, "invalid"},
		{"nothing", length(0), false, 200, "invalid"},
		{"no length", head("X: y"), false, 200, "invalid"},
		{"no chunk", head(chunked) + end, false, 200, "invalid"},
		{"length that is too small", length(len(valid)-10) + valid, false, 200, "invalid"},
		{"over the limit", length(len(long)) + long, false, 200, "invalid"},
		{"over the limit, in chunks", head(chunked) + chunk(long[:webhookLimit]) + chunk(long[webhookLimit:]) + end, false, 200, "invalid"},
		{"without an end, in chunks", head(chunked) + strings.Repeat(chunk(strings.Repeat("[", 1<<10)), 1<<10), false, 200, "invalid"},
		{"nested", length(webhookLimit) + strings.Repeat("[", webhookLimit), false, 200, "invalid"},
		{"packed", head(fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d", packed.Len())) + packed.String(), false, 200, "invalid"},

		// What did not come whole comes again: it is the connection that broke, or who sent it.
		{"length that is too large", length(len(valid)+10) + valid, false, 503, "retry"},
		{"length that is far too large", length(1<<40) + valid, false, 503, "retry"},
		{"half, and a wait", length(len(valid)) + valid[:len(valid)/2], false, 503, "retry"},
		{"half, and gone", length(len(valid)) + valid[:len(valid)/2], true, 0, "retry"},
		{"half in chunks, and a wait", head(chunked) + chunk(valid[:len(valid)/2]), false, 503, "retry"},
		{"half in chunks, and gone", head(chunked) + chunk(valid[:len(valid)/2]), true, 0, "retry"},
		{"whole in chunks, but for the end", head(chunked) + chunk(valid), false, 503, "retry"},
		{"chunks that are none", head(chunked) + "xyz\r\n", false, 503, "retry"},

		// Nothing of these is asked, of nobody.
		{"another host", length(len(callback("http://169.254.169.254/latest"))) + callback("http://169.254.169.254/latest"), false, 200, "unknown"},
		{"another port", length(len(callback("http://127.0.0.1:16061/"))) + callback("http://127.0.0.1:16061/"), false, 200, "unknown"},
		{"Clair as a user", length(len(callback("http://127.0.0.1:16060@example.com/"))) + callback("http://127.0.0.1:16060@example.com/"), false, 200, "unknown"},
		{"Clair as a path", length(len(callback("http://example.com/127.0.0.1:16060/"))) + callback("http://example.com/127.0.0.1:16060/"), false, 200, "unknown"},
		{"Clair after a backslash", length(len(callback(`http://example.com\\@127.0.0.1:16060/`))) + callback(`http://example.com\\@127.0.0.1:16060/`), false, 200, "invalid"},
		{"id that is a path", length(len(id("../../../indexer/api/v1/index_report"))) + id("../../../indexer/api/v1/index_report"), false, 200, "invalid"},
		{"id in braces", length(len(id("{"+wholeID+"}"))) + id("{"+wholeID+"}"), false, 200, "invalid"},
		{"id with a path after it", length(len(id(wholeID+"/../x"))) + id(wholeID+"/../x"), false, 200, "invalid"},
		{"id with a query after it", length(len(id(wholeID+"?page_size=1"))) + id(wholeID+"?page_size=1"), false, 200, "invalid"},

		// Of a callback nothing but where it is counts: what is asked is made of the settings and the id.
		{"callback with another path", length(len(callback(recordedBase+"indexer/api/v1/index_state"))) + callback(recordedBase+"indexer/api/v1/index_state"), false, 200, "queued"},
		{"callback with a user and a query", length(len(callback("http://user:word@127.0.0.1:16060/?next=x"))) + callback("http://user:word@127.0.0.1:16060/?next=x"), false, 200, "queued"},
		{"id in capitals", length(len(id(strings.ToUpper(wholeID)))) + id(strings.ToUpper(wholeID)), false, 200, "queued"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inReplay(t, nil, nil, func(t *testing.T, r *rig, p *replay, f *front) {
				p.hasFiles("notification-whole.json", "notification-deleted.json")
				if got := f.raw(c.text, c.leave); got != c.status {
					t.Errorf("Clair got %d, want %d", got, c.status)
				}
				r.pass(deletePause)
				var want []string
				if c.outcome == "queued" {
					want = []string{pageOf(wholeID, ""), reportOn(debianImage), reportOn(distrolessImage), deletionOf(wholeID)}
				}
				wantAsked(t, p.asked(), want...)
				if got := r.outcomes(); got != c.outcome+" 1" {
					t.Errorf("counted %s, want %s", got, c.outcome)
				}
				f.wantNext(r, p)
			})
		})
	}
}

// pageWith is a page with manifests; next may be empty.
func pageWith(next string, manifests ...string) string {
	type entry struct {
		Manifest string `json:"manifest"`
	}
	var page struct {
		Page struct {
			Next string `json:"next,omitempty"`
		} `json:"page"`
		Notifications []entry `json:"notifications"`
	}
	page.Page.Next = next
	page.Notifications = []entry{}
	for _, m := range manifests {
		page.Notifications = append(page.Notifications, entry{m})
	}
	text, err := json.Marshal(page)
	if err != nil { // there is nothing in it that cannot be
		panic(err)
	}
	return string(text)
}

// answering answers with a text.
func answering(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// hanging does not answer for as long as somebody waits.
func hanging(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// breaking begins a text and breaks the connection.
func breaking(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if text != "" {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	}
}

// endless goes on with a text, with a pause in between.
func endless(text string, pause time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(pause)
		}
	}
}

// elsewhere redirects to another host.
func elsewhere(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://169.254.169.254/notifier/api/v1/notification/"+wholeID)
		w.WriteHeader(status)
	}
}

// packing answers with a text that is packed.
func packing(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, text)
		_ = z.Close()
	}
}

func TestNotifyPages(t *testing.T) {
	const html = "<html><title>Log in</title></html>"
	many := make([]string, 2000) // of which the last one runs
	for i := range many {
		many[i] = digest(i + 1000)
	}
	many[len(many)-1] = debianImage
	debian := []string{reportOn(debianImage)}
	all := []string{reportOn(debianImage), reportOn(distrolessImage), reportOn(alpineImage), reportOn(scratchImage)}
	for _, c := range []struct {
		name    string
		page    http.HandlerFunc
		pages   int // how many are asked for
		status  int
		outcome string
		reports []string
	}{
		{"one image", answering(200, pageWith("", debianImage)), 1, 200, "queued", debian},
		{"the same image often", answering(200, pageWith("", debianImage, debianImage, debianImage)), 1, 200, "queued", debian},
		{"nothing", answering(200, pageWith("")), 1, 200, "idle", nil}, // an id that is unknown, or too old
		{"null", answering(200, `{"page":{},"notifications":null}`), 1, 200, "idle", nil},
		{"another object", answering(200, `{"status":"ok"}`), 1, 200, "idle", nil},
		{"nothing that runs", answering(200, pageWith("", digest(7))), 1, 200, "idle", nil},
		{"nothing, and a next page", answering(200, pageWith(againID)), 1, 200, "idle", nil},
		{"a next page that is the same", answering(200, pageWith(againID, debianImage)), 1000, 200, "incomplete", all},
		{"a next page that is no id", answering(200, pageWith("../../x?y=z&page_size=7#", debianImage)), 1000, 200, "incomplete", all},
		{"digests that are none", answering(200, pageWith("", "", "x", "sha256:", "sha256:zz", "../../x", debianImage[:70], debianImage+"0", "md5:"+strings.Repeat("0", 32), debianImage)), 1, 200, "queued", debian},
		{"more than were asked for", answering(200, pageWith("", many...)), 1, 200, "queued", debian},
		{"packed", packing(pageWith("", debianImage)), 1, 200, "queued", debian},

		// It is the same the next time. All images are looked at, as it can be about any.
		{"no JSON", answering(200, html), 1, 200, "incomplete", all},
		{"no page", answering(200, "[]"), 1, 200, "incomplete", all},
		{"empty", answering(200, ""), 1, 200, "incomplete", all},
		{"half", answering(200, pageWith("", debianImage)[:40]), 1, 200, "incomplete", all},
		{"a digest that is a number", answering(200, `{"notifications":[{"manifest":7}]}`), 1, 200, "incomplete", all},
		{"said to be packed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, html)
		}, 1, 200, "incomplete", all},
		{"too large", endless(strings.Repeat(" ", 1<<20), 0), 1, 200, "incomplete", all},
		{"no content", answering(204, ""), 1, 200, "incomplete", all},
		{"redirected", elsewhere(302), 1, 200, "incomplete", all},
		{"redirected for good", elsewhere(308), 1, 200, "incomplete", all},
		{"bad request", answering(400, html), 1, 200, "incomplete", all},
		{"not found", answering(404, html), 1, 200, "incomplete", all},
		{"method refused", answering(405, html), 1, 200, "incomplete", all},
		{"gone", answering(410, html), 1, 200, "incomplete", all},
		{"not acceptable", answering(415, html), 1, 200, "incomplete", all},
		{"no answer", hanging, 1, 200, "incomplete", all},
		{"an answer without an end", endless(" ", time.Second), 1, 200, "incomplete", all},

		// So is this. Somebody has to mend the settings; until then nothing would come of looking.
		{"a token is wanted", answering(401, ""), 1, 200, "refused", nil},
		{"forbidden", answering(403, html), 1, 200, "refused", nil},

		// These pass: a Clair, its database or what is before it comes back.
		{"too slow for a gateway", answering(408, html), 1, 503, "retry", nil},
		{"too many for a gateway", answering(429, html), 1, 503, "retry", nil},
		{"error", answering(500, `{"code":"internal-error","message":"connection refused"}`), 1, 503, "retry", nil},
		{"bad gateway", answering(502, html), 1, 503, "retry", nil},
		{"away", answering(503, html), 1, 503, "retry", nil},
		{"gateway's timeout", answering(504, html), 1, 503, "retry", nil},
		{"broken off", breaking(pageWith("", debianImage)[:40]), 1, 503, "retry", nil},
		{"connection broken", breaking(""), 1, 503, "retry", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			inReplay(t, nil, nil, func(t *testing.T, r *rig, p *replay, f *front) {
				p.hasFiles("notification-deleted.json")
				p.set(func(p *replay) {
					p.script = func(w http.ResponseWriter, r *http.Request) bool {
						if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, notifier) {
							return false
						}
						c.page(w, r)
						return true
					}
				})
				asked := f.delivered(r, p, recordedWebhook(t, "webhook.json"), c.status)
				var pages int
				var others []string
				for _, request := range asked {
					if !strings.HasPrefix(request, "GET "+notifier) {
						others = append(others, request)
						continue
					}
					if request != pageOf(wholeID, "") && !strings.HasPrefix(request, "GET "+notifier+wholeID+"?next=") {
						t.Errorf("Clair was asked %s", request)
					}
					pages++
				}
				if !(pages == c.pages || pages == 2 && strings.HasPrefix(c.name, "connection broken")) { // which the transport tries again
					t.Errorf("%d pages, want %d", pages, c.pages)
				}
				want := c.reports
				if c.status == http.StatusOK && c.outcome != "refused" {
					want = append(slices.Clone(want), deletionOf(wholeID))
				}
				wantAsked(t, others, want...)
				if got := r.outcomes(); got != c.outcome+" 1" {
					t.Errorf("counted %s, want %s", got, c.outcome)
				}
				f.wantNext(r, p)
			})
		})
	}
}

// A Clair that is not there delivers again when it is back.
func TestNotifyClairIsGone(t *testing.T) {
	inReplay(t, nil, nil, func(t *testing.T, r *rig, p *replay, f *front) {
		p.transport.CloseIdleConnections()
		gone := p.server
		gone.close()
		for range 3 {
			wantAsked(t, f.delivered(r, p, recordedWebhook(t, "webhook.json"), http.StatusServiceUnavailable))
		}
		p.set(func(p *replay) { p.server = serve(p) })
		f.wantNext(r, p)
		if got := r.outcomes(); got != "queued 1, retry 3" {
			t.Errorf("counted %s", got)
		}
	})
}

// However its deletion ends, a notification was read, and the next ones are read and deleted.
func TestNotifyDeletions(t *testing.T) {
	for name, deletion := range map[string]http.HandlerFunc{
		"deleted":           answering(200, ""),
		"no content":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"no receipt":        answering(500, string(recorded(t, "notification-delete-unknown.json").Body)),
		"not found":         answering(404, ""),
		"method refused":    answering(405, ""),
		"a token is wanted": answering(401, ""),
		"redirected":        elsewhere(307),
		"away":              answering(503, ""),
		"no answer":         hanging,
		"no end":            endless(" ", time.Second),
		"broken off":        breaking("x"),
		"connection broken": breaking(""),
	} {
		t.Run(name, func(t *testing.T) {
			inReplay(t, nil, nil, func(t *testing.T, r *rig, p *replay, f *front) {
				p.hasFiles("notification-whole.json")
				p.set(func(p *replay) {
					p.script = func(w http.ResponseWriter, r *http.Request) bool {
						if r.Method != http.MethodDelete {
							return false
						}
						deletion(w, r)
						return true
					}
				})
				asked := f.delivered(r, p, recordedWebhook(t, "webhook.json"), http.StatusOK)
				wantAsked(t, asked, pageOf(wholeID, ""), reportOn(debianImage), reportOn(distrolessImage), deletionOf(wholeID))
				if got := r.outcomes(); got != "queued 1" {
					t.Errorf("counted %s", got)
				}
				// While that lasts others are read.
				p.has(recorded(t, "notification-unknown.json"))
				if got := f.post(recordedWebhook(t, "webhook.json").of(t, unknownID)); got != http.StatusOK {
					t.Errorf("the next one got %d", got)
				}
				r.pass(deleteTime + deletePause)
				wantAsked(t, p.asked(), pageOf(unknownID, ""), deletionOf(unknownID))
				r.pass(deleteTime)
				f.wantNext(r, p)
			})
		})
	}
}

// Clair posts some webhooks twice within a moment. Both are read, one after the other, and the images are looked at
// once for both.
func TestNotifyTwiceAtOnce(t *testing.T) {
	inReplay(t, nil, nil, func(t *testing.T, r *rig, p *replay, f *front) {
		p.hasFiles("notification-whole.json", "notification-deleted.json", "notification-deleted-again.json")
		inFlight, most := 0, 0
		p.set(func(p *replay) {
			p.script = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, notifier) {
					p.set(func(*replay) { inFlight++; most = max(most, inFlight) })
					time.Sleep(time.Second)
					p.set(func(*replay) { inFlight-- })
				}
				return false
			}
		})
		hook := recordedWebhook(t, "webhook.json")
		answers := make(chan int, 2)
		for range 2 {
			go func() { answers <- f.post(hook) }()
		}
		for range 2 {
			if got := <-answers; got != http.StatusOK {
				t.Errorf("got %d", got)
			}
		}
		r.pass(2 * deletePause)
		asked := p.asked()
		count := func(request string) (n int) {
			for _, r := range asked {
				if r == request {
					n++
				}
			}
			return n
		}
		if count(pageOf(wholeID, "")) != 2 || count(deletionOf(wholeID)) != 2 || most != 1 {
			t.Errorf("%d pages at once, and in all Clair was asked\n%s", most, strings.Join(asked, "\n"))
		}
		for _, image := range []string{debianImage, distrolessImage} {
			if n := count(reportOn(image)); n < 1 || n > 2 {
				t.Errorf("%s was looked at %d times", image, n)
			}
		}
		if len(asked) > 8 {
			t.Errorf("Clair was asked\n%s", strings.Join(asked, "\n"))
		}
		if got := r.outcomes(); got != "queued 2" {
			t.Errorf("counted %s", got)
		}
		if n := len(r.slack.accepted()); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
}

// Ten thousand entries are read a page at a time, and no page is kept.
func TestNotifyManyEntries(t *testing.T) {
	const entries, size = 10_000, 500
	inReplay(t, nil, nil, func(t *testing.T, r *rig, p *replay, f *front) {
		long := strings.Repeat("x", 1<<10)
		var first, most uint64
		p.set(func(p *replay) {
			p.script = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, notifier) {
					return false
				}
				var mem runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&mem)
				if first == 0 {
					first = mem.HeapAlloc
				}
				most = max(most, mem.HeapAlloc)
				var from int
				if next := r.URL.Query().Get("next"); next != "" {
					if _, err := fmt.Sscanf(next, "00000000-0000-0000-0000-%d", &from); err != nil {
						t.Error(err)
					}
				}
				if r.URL.Query().Get("page_size") != fmt.Sprint(size) {
					t.Errorf("asked for %s", r.URL)
				}
				next := ""
				if from+size < entries {
					next = fmt.Sprintf("00000000-0000-0000-0000-%012d", from+size)
				}
				fmt.Fprintf(w, `{"page":{"size":%d,"next":%q},"notifications":[`, size, next)
				for i := range size {
					manifest := digest(from + i)
					if from+i == entries-1 {
						manifest = debianImage
					}
					fmt.Fprintf(w, `{"manifest":%q,"vulnerability":{"description":%q}},`, manifest, long)
				}
				_, _ = io.WriteString(w, `{}]}`)
				return true
			}
		})
		p.hasFiles("notification-deleted.json")
		asked := f.delivered(r, p, recordedWebhook(t, "webhook.json"), http.StatusOK)
		pages := slices.DeleteFunc(slices.Clone(asked), func(r string) bool { return !strings.HasPrefix(r, "GET "+notifier) })
		if len(pages) != entries/size || len(asked) != len(pages)+2 || !slices.Contains(asked, reportOn(debianImage)) {
			t.Errorf("%d pages, and in all %d requests", len(pages), len(asked))
		}
		// All pages together have ten million bytes, their digests less than a million.
		if grown := int64(most) - int64(first); grown > 5<<20 {
			t.Errorf("%d bytes more than at the first page are kept", grown)
		}
		synctest.Wait()
		f.wantNext(r, p)
	})
}
