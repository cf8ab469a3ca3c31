package slackstand_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/slack/slackstand"
)

var update = flag.Bool("update", false, "write the golden files")

// post sends a payload to a handler and returns its answer; status 0 is a cut
// connection.
func post(t *testing.T, stand http.Handler, path, payload string) (status int, body string, header http.Header) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(payload))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	defer func() {
		if recovered := recover(); recovered != nil {
			if recovered != http.ErrAbortHandler {
				panic(recovered)
			}
			status = 0
		}
	}()
	stand.ServeHTTP(recorder, request)
	return recorder.Code, recorder.Body.String(), recorder.Header()
}

func text(s string) string { return `{"text":` + strconv.Quote(s) + `}` }

func TestOneMessageASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stand := slackstand.New(slackstand.Config{})
		shop, pay := slackstand.Path("shop"), slackstand.Path("pay")
		step := func(path string, want int) http.Header {
			t.Helper()
			status, body, header := post(t, stand, path, text("hello"))
			if status != want || want == 200 && body != "ok" {
				t.Errorf("got %d %q, want %d", status, body, want)
			}
			return header
		}
		step(shop, 200)
		header := step(shop, 429)
		if header.Get("Retry-After") != "1" || header.Get("Content-Type") != "application/json" {
			t.Errorf("the 429 has %v", header)
		}
		step(pay, 200) // each URL has a limit of its own
		time.Sleep(999 * time.Millisecond)
		step(shop, 429)
		time.Sleep(time.Millisecond)
		step(shop, 200)
		want := slackstand.Counts{Requests: 4, Accepted: 2, Refused: 2, Limited: 2, Duplicates: 1}
		if got := stand.Counts(shop); got != want {
			t.Errorf("counts %+v, want %+v", got, want)
		}
		if sum := stand.Counts(""); sum.Accepted != 3 || sum.Requests != 5 {
			t.Errorf("sum %+v", sum)
		}
	})
}

func TestFixedAnswers(t *testing.T) {
	stand := slackstand.New(slackstand.Config{Every: -1})
	for token, want := range slackstand.Answers() {
		status, body, header := post(t, stand, slackstand.Path(token), text("x"))
		if want.Reset || want.AcceptedReset {
			if status != 0 {
				t.Errorf("%s: answered %d", token, status)
			}
			continue
		}
		if status != want.Status || body != want.Body || header.Get("Location") != want.Location {
			t.Errorf("%s: got %d %q %v, want %+v", token, status, body, header, want)
		}
	}
	accepted := stand.Messages("")
	if len(accepted) != 1 || accepted[0].Path != slackstand.Path("reset-after") || !accepted[0].Unanswered {
		t.Errorf("accepted %+v, want only the one whose answer was lost", accepted)
	}
	if status, body, _ := post(t, stand, slackstand.Moved, ""); status != 200 || body != "ok" || stand.Counts(slackstand.Moved).Requests != 1 {
		t.Errorf("behind the redirect: %d %q", status, body)
	}
	for _, path := range []string{"/", "/services/T0/B0", "/services/T0/B0/", "/services/X/B0/x"} {
		if status, body, _ := post(t, stand, path, text("x")); status != 404 || body != "no_service" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}

func TestFailNext(t *testing.T) {
	stand := slackstand.New(slackstand.Config{Every: -1})
	shop, pay := slackstand.Path("shop"), slackstand.Path("pay")
	stand.FailNext(pay, 1, slackstand.Answer{Status: 503})
	stand.FailNext("", 2, slackstand.Answer{Status: 429, RetryAfter: "7"})
	var got []int
	for _, path := range []string{shop, pay, pay, shop} {
		status, _, header := post(t, stand, path, text("x"))
		if status == 429 && header.Get("Retry-After") != "7" {
			t.Errorf("Retry-After is %q", header.Get("Retry-After"))
		}
		got = append(got, status)
	}
	if fmt.Sprint(got) != "[429 503 429 200]" {
		t.Errorf("got %v", got)
	}
	if refusals := stand.Refusals(pay); len(refusals) != 2 || refusals[0].Status != 503 || string(refusals[0].Payload) != text("x") {
		t.Errorf("refusals %+v", refusals)
	}
}

func TestMend(t *testing.T) {
	stand := slackstand.New(slackstand.Config{Every: -1})
	shop, pay := slackstand.Path("shop"), slackstand.Path("pay")
	stand.FailNext(shop, 9, slackstand.Answer{Status: 500})
	stand.FailNext(pay, 9, slackstand.Answer{Status: 503})
	stand.Mend(shop)
	var got []int
	for _, path := range []string{shop, pay} {
		status, _, _ := post(t, stand, path, text("x"))
		got = append(got, status)
	}
	stand.Mend("")
	status, _, _ := post(t, stand, pay, text("x"))
	if got = append(got, status); fmt.Sprint(got) != "[200 503 200]" {
		t.Errorf("got %v", got)
	}
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stand := slackstand.New(slackstand.Config{Slow: 20 * time.Second})
		start := time.Now()
		if status, _, _ := post(t, stand, slackstand.Path("slow"), text("x")); status != 200 || time.Since(start) != 20*time.Second {
			t.Errorf("%d after %s", status, time.Since(start))
		}
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, slackstand.Path("slow"), strings.NewReader(text("y")))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		func() {
			defer func() { recover() }() // the connection is cut
			stand.ServeHTTP(httptest.NewRecorder(), request.WithContext(ctx))
		}()
		if got := stand.Counts(""); got.Accepted != 1 || got.Refused != 1 {
			t.Errorf("a client that left: %+v", got)
		}
	})
}

func TestWaitAndEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stand := slackstand.New(slackstand.Config{Every: -1})
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		var seen []string
		wg.Go(func() { stand.Each(ctx, func(m slackstand.Message) { seen = append(seen, m.Path) }) })
		var messages []slackstand.Message
		var err error
		wg.Go(func() { messages, err = stand.Wait(ctx, slackstand.Path("b"), 2) })
		for _, token := range []string{"a", "b", "a", "b"} {
			synctest.Wait()
			post(t, stand, slackstand.Path(token), text(token))
		}
		synctest.Wait()
		if err != nil || len(messages) != 2 {
			t.Errorf("waited for 2, got %d, %v", len(messages), err)
		}
		over := errors.New("over")
		wg.Go(func() { _, err = stand.Wait(ctx, "", 5) })
		synctest.Wait()
		cancel(over)
		wg.Wait()
		if !errors.Is(err, over) {
			t.Errorf("waited for a message that never came: %v", err)
		}
		if len(seen) != 4 {
			t.Errorf("Each showed %v", seen)
		}
	})
}

func TestServerSpeaksTLS(t *testing.T) {
	server := slackstand.Serve(slackstand.Config{Every: -1})
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := server.WriteCA(ca); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the CA file")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	send := func(token string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.Webhook(token), strings.NewReader("payload="+"%7B%22text%22%3A%22hi%22%7D"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return client.Do(request)
	}
	if !strings.HasPrefix(server.Webhook("shop"), "https://127.0.0.1:") {
		t.Errorf("webhook %s", server.Webhook("shop"))
	}
	response, err := send("shop")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != 200 || string(body) != "ok" {
		t.Errorf("got %s %q, %v", response.Status, body, err)
	}
	if response, err := send("reset"); err == nil {
		response.Body.Close()
		t.Errorf("a reset was answered %s", response.Status)
	}
	messages, err := server.WaitOn(t.Context(), "shop", 1)
	if err != nil || string(messages[0].Payload) != `{"text":"hi"}` {
		t.Errorf("accepted %+v, %v", messages, err)
	}
}

// TestPipe is in virtual time, which goes on only when nothing waits for anything else: a goroutine that is
// left behind fails it.
func TestPipe(t *testing.T) {
	const patience = 15 * time.Second
	for name, test := range map[string]struct {
		answer slackstand.Answer
		want   string // status and body; empty: none
		after  time.Duration
		counts slackstand.Counts
	}{
		"taken":                {slackstand.Answer{}, "200 ok", 0, slackstand.Counts{Requests: 1, Accepted: 1}},
		"refused":              {slackstand.Answer{Status: 500, Body: "rollup_error"}, "500 rollup_error", 0, slackstand.Counts{Requests: 1, Refused: 1}},
		"cut":                  {slackstand.Answer{Reset: true}, "", 0, slackstand.Counts{Requests: 1, Refused: 1}},
		"taken and cut":        {slackstand.Answer{AcceptedReset: true}, "", 0, slackstand.Counts{Requests: 1, Accepted: 1}},
		"taken and silent":     {slackstand.Answer{AcceptedSilence: true}, "", patience, slackstand.Counts{Requests: 1, Accepted: 1}},
		"taken in time":        {slackstand.Answer{Delay: patience - time.Second}, "200 ok", patience - time.Second, slackstand.Counts{Requests: 1, Accepted: 1}},
		"too late to be taken": {slackstand.Answer{Delay: patience + time.Second}, "", patience, slackstand.Counts{Requests: 1, Refused: 1}},
		"refused late":         {slackstand.Answer{Delay: time.Second, Status: 503}, "503 ", time.Second, slackstand.Counts{Requests: 1, Refused: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipe := slackstand.ServePipe(slackstand.Config{})
				defer pipe.Close()
				pipe.FailNext("", 1, test.answer)
				began := time.Now()
				got := ""
				client := &http.Client{Transport: pipe.Transport, Timeout: patience}
				response, err := client.Post("https://hooks.slack.com"+slackstand.Path("shop"), "application/json", strings.NewReader(text("x")))
				if err == nil {
					body, readErr := io.ReadAll(response.Body)
					_ = response.Body.Close()
					got, err = fmt.Sprintf("%d %s", response.StatusCode, body), readErr
				}
				if got != test.want || (err == nil) != (test.want != "") || time.Since(began) != test.after {
					t.Errorf("got %q, %v after %v; want %q after %v", got, err, time.Since(began), test.want, test.after)
				}
				synctest.Wait() // the server learns that the client has left
				if counts := pipe.Counts(""); counts != test.counts {
					t.Errorf("counts %+v, want %+v", counts, test.counts)
				}
				for _, m := range pipe.Messages("") {
					if m.Unanswered != (test.want == "") {
						t.Errorf("unanswered is %v", m.Unanswered)
					}
				}
			})
		})
	}
	t.Run("closed", func(t *testing.T) {
		pipe := slackstand.ServePipe(slackstand.Config{})
		pipe.Close()
		_, err := (&http.Client{Transport: pipe.Transport}).Get("https://hooks.slack.com/")
		if err == nil || !strings.Contains(err.Error(), "it is closed") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRules(t *testing.T) {
	block := func(b string) string { return `{"text":"t","blocks":[` + b + `]}` }
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	long := func(n int) string { return strings.Repeat("ä", n) }
	plain := func(s string) string { return `{"type":"plain_text","text":"` + s + `"}` }
	table := func(rows string) string { return `{"type":"table","rows":[` + rows + `]}` }
	cell := `{"type":"raw_text","text":"x"}`
	tests := []struct{ name, payload, want string }{
		{"text only", text("x"), "ok"},
		{"an array", `[]`, "invalid_payload"},
		{"null", `null`, "invalid_payload"},
		{"broken", `{"text":`, "invalid_payload"},
		{"two objects", `{"text":"a"} {"text":"b"}`, "invalid_payload"},
		{"not UTF-8", "{\"text\":\"\xff\"}", "invalid_payload"},
		{"text of a wrong type", `{"text":1}`, "invalid_payload"},
		{"blocks of a wrong type", `{"text":"t","blocks":{}}`, "invalid_payload"},
		{"nothing", `{}`, "no_text"},
		{"blank", text(" \n"), "no_text"},
		{"null blocks", `{"text":"","blocks":null}`, "no_text"},
		{"longest text", text(long(40_000)), "ok"},
		{"text too long", text(long(40_001)), "msg_too_long"},
		{"50 blocks", block(many(50, `{"type":"divider"}`)), "ok"},
		{"51 blocks", block(many(51, `{"type":"divider"}`)), "invalid_blocks"},
		{"no type", block(`{}`), "invalid_blocks"},
		{"unknown type", block(`{"type":"colour"}`), "invalid_blocks"},
		{"a block that is a string", block(`"x"`), "invalid_blocks"},
		{"for modals only", block(`{"type":"input"}`), "invalid_blocks"},
		{"longest header", block(`{"type":"header","text":` + plain(long(150)) + `}`), "ok"},
		{"header too long", block(`{"type":"header","text":` + plain(long(151)) + `}`), "invalid_blocks"},
		{"header in mrkdwn", block(`{"type":"header","text":{"type":"mrkdwn","text":"x"}}`), "invalid_blocks"},
		{"longest section", block(`{"type":"section","text":` + plain(long(3_000)) + `}`), "ok"},
		{"section too long", block(`{"type":"section","text":` + plain(long(3_001)) + `}`), "invalid_blocks"},
		{"empty section", block(`{"type":"section"}`), "invalid_blocks"},
		{"section with empty text", block(`{"type":"section","text":` + plain("") + `}`), "invalid_blocks"},
		{"11 fields", block(`{"type":"section","fields":[` + many(11, plain("x")) + `]}`), "invalid_blocks"},
		{"emoji of mrkdwn", block(`{"type":"section","text":{"type":"mrkdwn","text":"x","emoji":false}}`), "invalid_blocks"},
		{"10 elements of context", block(`{"type":"context","elements":[` + many(10, plain("x")) + `]}`), "ok"},
		{"11 elements of context", block(`{"type":"context","elements":[` + many(11, plain("x")) + `]}`), "invalid_blocks"},
		{"empty context", block(`{"type":"context","elements":[]}`), "invalid_blocks"},
		{"image without alt text", block(`{"type":"image","image_url":"https://x.example/a.png"}`), "invalid_blocks"},
		{"all text too long", block(many(5, `{"type":"section","text":`+plain(long(2_500))+`}`)), "msg_blocks_too_long"},
		{"block id twice", block(many(2, `{"type":"divider","block_id":"a"}`)), "invalid_blocks"},
		{"rich text without elements", block(`{"type":"rich_text","elements":[]}`), "invalid_blocks"},
		{"empty rich text", block(`{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":""}]}]}`), "invalid_blocks"},
		{"link of a wrong scheme", block(`{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"link","url":"javascript:x"}]}]}`), "invalid_blocks"},
		{"link without a host", block(`{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"link","url":"https:x"}]}]}`), "invalid_blocks"},
		{"list without a style", block(`{"type":"rich_text","elements":[{"type":"rich_text_list","elements":[{"type":"rich_text_section","elements":[]}]}]}`), "invalid_blocks"},
		{"largest table", block(table(many(100, `[`+cell+`]`))), "ok"},
		{"101 rows", block(table(many(101, `[`+cell+`]`))), "invalid_blocks"},
		{"21 columns", block(table(`[` + many(21, cell) + `]`)), "invalid_blocks"},
		{"empty cell", block(table(`[{"type":"raw_text","text":""}]`)), "invalid_blocks"},
		{"cell of no type", block(table(`[{}]`)), "invalid_blocks"},
		{"empty align", block(`{"type":"table","rows":[[` + cell + `]],"column_settings":[{"align":""}]}`), "invalid_blocks"},
		{"two tables", block(table(`[`+cell+`]`) + `,` + table(`[`+cell+`]`)), "invalid_blocks"},
		{"a table in each of two places", `{"text":"t","blocks":[` + table(`[`+cell+`]`) + `],"attachments":[{"blocks":[` + table(`[`+cell+`]`) + `]}]}`, "invalid_attachments"},
		{"table text too long", block(table(many(10, `[{"type":"raw_text","text":"`+long(1_001)+`"}]`))), "invalid_blocks"},
		{"legacy attachment", `{"attachments":[{"text":"x","footer":"y","color":"good"}]}`, "ok"},
		{"empty attachment", `{"text":"t","attachments":[{"color":"good"}]}`, "invalid_attachments"},
		{"blocks beside text", `{"text":"t","attachments":[{"text":"x","blocks":[{"type":"divider"}]}]}`, "invalid_attachments"},
		{"blocks beside a footer", `{"text":"t","attachments":[{"footer":"x","blocks":[{"type":"divider"}]}]}`, "invalid_attachments"},
		{"blocks beside colour and fallback", `{"text":"t","attachments":[{"color":"#b3001b","fallback":"x","blocks":[{"type":"divider"}]}]}`, "ok"},
		{"21 blocks in an attachment", `{"text":"t","attachments":[{"blocks":[` + many(21, `{"type":"divider"}`) + `]}]}`, "invalid_attachments"},
		{"101 attachments", `{"text":"t","attachments":[` + many(101, `{"text":"x"}`) + `]}`, "too_many_attachments"},
	}
	stand := slackstand.New(slackstand.Config{Every: -1})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, body, _ := post(t, stand, slackstand.Path("shop"), test.payload)
			wantStatus := http.StatusBadRequest
			if test.want == "ok" {
				wantStatus = http.StatusOK
			}
			if status != wantStatus || body != test.want {
				refusals := stand.Refusals("")
				t.Errorf("got %d %q, want %q; last refusal: %+v", status, body, test.want, refusals[max(len(refusals)-1, 0):])
			}
		})
	}
}

func TestBodyThatIsTooLarge(t *testing.T) {
	stand := slackstand.New(slackstand.Config{Every: -1})
	if status, body, _ := post(t, stand, slackstand.Path("shop"), text(strings.Repeat("x", 1<<20))); status != 400 || body != "invalid_payload" {
		t.Errorf("got %d %q", status, body)
	}
}

func TestMentions(t *testing.T) {
	stand := slackstand.New(slackstand.Config{Every: -1})
	payload := `{"text":"<!here> a &lt;!here&gt; <!date^1^x|y> <https://x.example|l>","blocks":[
		{"type":"section","text":{"type":"mrkdwn","text":"<@U1>"}},
		{"type":"section","text":{"type":"plain_text","text":"<!channel>"}},
		{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"broadcast","range":"everyone"},{"type":"user","user_id":"U2"}]}]}]}`
	if status, body, _ := post(t, stand, slackstand.Path("shop"), payload); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if got := fmt.Sprint(stand.Messages("")[0].Mentions); got != "[<!here> <@U1> broadcast everyone user U2]" {
		t.Errorf("mentions %s", got)
	}
}

func TestRender(t *testing.T) {
	for _, name := range []string{"report", "inventory", "hostile"} {
		payload, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		stand := slackstand.New(slackstand.Config{})
		if status, body, _ := post(t, stand, slackstand.Path("shop"), string(payload)); status != 200 {
			t.Errorf("%s: refused with %d %s: %s", name, status, body, stand.Refusals("")[0].Reason)
			continue
		}
		message := stand.Messages("")[0]
		for suffix, style := range map[string]slackstand.Style{"": {}, ".narrow": {Width: 50}, ".colour": {Colour: true}} {
			got := slackstand.Render(message, style)
			golden := filepath.Join("testdata", name+suffix+".golden.txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s%s: got\n%s\nwant\n%s", name, suffix, got, want)
			}
		}
	}
}

// FuzzStand feeds what comes over the wire: nothing may panic, what is shown
// must not steer the terminal, and what is refused must not be kept.
func FuzzStand(f *testing.F) {
	for _, name := range []string{"report", "inventory", "hostile"} {
		payload, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Add([]byte(`{"blocks":[{"type":"context","elements":[{"type":"mrkdwn","text":"<!> <|> ** <a"}]}]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		stand := slackstand.New(slackstand.Config{})
		status, body, _ := post(t, stand, slackstand.Path("shop"), string(payload))
		if accepted := len(stand.Messages("")); accepted == 1 != (status == 200 && body == "ok") {
			t.Errorf("%d %q, yet %d kept", status, body, accepted)
		}
		shown := slackstand.Render(slackstand.Message{Payload: payload}, slackstand.Style{Width: 40})
		if i := bytes.IndexAny([]byte(shown), "\x1b\a\r"); i >= 0 {
			t.Errorf("control character in %q", shown)
		}
	})
}
