package clair

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

const (
	debian = "sha256:b25f124bd617af10ec94bcff88663e97e034463363dceb9e9c65c7214d669ba1"
	big    = "sha256:f2ccc03af775a5d87eaa6074c8b4e4c421bc561061f61c48738671fa558e5df0"
	layer  = "sha256:615c63862a9168bed11dca22911b6eb598b1b7f97c1d4c80b7c50c50995f5173"
)

var notification = uuid.MustParse("b85785d2-793d-4ca8-abaa-4f91086b34cb")

// answer answers with a status and a body of its own.
func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// operations are all that a client can be asked.
var operations = map[string]func(context.Context, *Client) error{
	"index": func(ctx context.Context, c *Client) error {
		_, err := c.Index(ctx, debian, []Layer{{Digest: layer, URI: "http://registry.example/v2/a/blobs/" + layer}})
		return err
	},
	"report": func(ctx context.Context, c *Client) error { _, err := c.Report(ctx, debian); return err },
	"notified": func(ctx context.Context, c *Client) error {
		_, err := c.Notified(ctx, notification)
		return err
	},
	"delete": func(ctx context.Context, c *Client) error { return c.DeleteNotification(ctx, notification) },
	"state":  func(ctx context.Context, c *Client) error { _, err := c.State(ctx); return err },
	"updates": func(ctx context.Context, c *Client) error {
		_, err := c.Updates(ctx, `"a","b"`)
		return err
	},
	"forget": func(ctx context.Context, c *Client) error {
		_, err := c.Delete(ctx, []string{debian, big})
		return err
	},
}

func TestKinds(t *testing.T) {
	const html = "<html><head><title>502 Bad Gateway</title></head></html>"
	own := func(status int, contentType, body string) func(*testing.T) http.Handler {
		return func(*testing.T) http.Handler { return answer(status, contentType, body) }
	}
	real := func(name string) func(*testing.T) http.Handler {
		return func(t *testing.T) http.Handler { return recorded(t, name).handler(t) }
	}
	for _, c := range []struct {
		op     string
		name   string
		server func(*testing.T) http.Handler
		kind   Kind
		status int
		detail string // a part of Detail
	}{
		{"report", "loading", real("report-loading.json"), NotReady, 202, ""},
		{"report", "unknown", real("report-unknown.json"), NotFound, 404, "not found"},
		{"report", "no such path", real("no-such-path.json"), NotFound, 404, "404 page not found"},
		{"report", "bad digest", real("report-bad-digest.json"), Invalid, 400, "malformed path"},
		{"report", "database down", real("report-database-down.json"), Temporary, 500, "connection refused"},
		{"report", "no token", real("unauthorized.json"), Unauthorized, 401, ""},
		{"report", "forbidden by a proxy", own(403, "text/html", html), Unauthorized, 403, html},
		{"report", "bad gateway", own(502, "text/html", html), Temporary, 502, html},
		{"report", "http spoken to an https port", own(400, "text/plain", "Client sent an HTTP request to an HTTPS server.\n"), Temporary, 400, "HTTPS"},
		{"report", "a page, not Clair", own(200, "text/html", html), Temporary, 200, "invalid character"},
		{"report", "JSON, not Clair", own(200, "application/json", `{"status":"ok"}`), Temporary, 200, "report is of manifest"},
		{"report", "null", own(200, "application/json", `null`), Temporary, 200, "report is of manifest"},
		{"report", "of another image", real("report-alpine.json"), Temporary, 200, "report is of manifest"},
		{"report", "empty", own(200, "application/json", ""), Temporary, 200, "unexpected EOF"},
		{"report", "half", own(200, "application/json", `{"manifest_hash":"`+debian), Temporary, 200, "unexpected EOF"},
		{"report", "two", own(200, "application/json", `{}{}`), Temporary, 200, "after top-level value"},
		{"report", "a severity at which claircore panics", own(200, "application/json", `{"vulnerabilities":{"1":{"normalized_severity":"igh"}}}`), Temporary, 200, "panicked"},
		{"report", "a severity that there is not", own(200, "application/json", `{"vulnerabilities":{"1":{"normalized_severity":"Terrible"}}}`), Temporary, 200, "Terrible"},
		{"report", "moved", own(307, "text/plain", "elsewhere"), Temporary, 307, "elsewhere"},
		{"report", "a status without a meaning", own(418, "text/plain", ""), Temporary, 418, ""},

		{"index", "layer refused with 401", real("index-layer-401.json"), LayerUnauthorized, 500, "authentication required"},
		{"index", "layer refused with 403", own(500, "application/json", `{"code":"internal-error","message":"failed to start scan: failed to fetch layers: fetcher: encountered errors: unexpected status code: 403 Forbidden"}`), LayerUnauthorized, 500, "403"},
		{"index", "layer not found", real("index-layer-404.json"), IndexFailed, 500, "404"},
		{"index", "digest in a text that looks like a status", own(500, "application/json", `{"message":"unexpected status code: 4011"}`), IndexFailed, 500, ""},
		{"index", "layer with another digest", real("index-layer-mismatch.json"), IndexFailed, 500, "validation failed"},
		{"index", "mapping missing", real("index-mapping-missing.json"), IndexFailed, 500, "mappingFile"},
		{"index", "not a tar", real("index-layer-not-tar.json"), Invalid, 400, "bad block"},
		{"index", "bad JSON", real("index-bad-json.json"), Invalid, 400, ""},
		{"index", "http spoken to an https port", own(400, "text/plain", "Client sent an HTTP request to an HTTPS server.\n"), Temporary, 400, "HTTPS"},
		{"index", "busy, and cut", real("index-busy.json"), Busy, 429, "too many requests"},
		{"index", "precondition", real("index-precondition.json"), Temporary, 412, ""},
		{"index", "no such path", real("no-such-path.json"), Temporary, 404, "404 page not found"},
		{"index", "no token", real("unauthorized.json"), Unauthorized, 401, ""},
		{"index", "bad gateway", own(502, "text/html", html), Temporary, 502, html},
		{"index", "accepted, which Clair never says here", own(202, "application/json", ""), Temporary, 202, ""},
		{"index", "created and failed", own(201, "text/plain", `{"manifest_hash":"`+debian+`","state":"IndexError","success":false,"err":"failed to fetch layers: connection refused"}`), IndexFailed, 201, "IndexError: failed to fetch"},
		{"index", "created and not finished", own(201, "text/plain", `{"manifest_hash":"`+debian+`","state":"","success":false,"err":""}`), IndexFailed, 201, ": "},
		{"index", "created, of another image", own(201, "text/plain", `{"manifest_hash":"`+layer+`","state":"IndexFinished","success":true,"err":""}`), Temporary, 201, "report is of manifest"},

		{"notified", "database down", real("report-database-down.json"), Temporary, 500, "connection refused"},
		{"notified", "no such path", real("no-such-path.json"), NotFound, 404, ""},
		{"notified", "refused Accept", real("notification-accept.json"), NotFound, 415, ""},
		{"notified", "bad request", real("report-bad-digest.json"), NotFound, 400, ""},
		{"notified", "method refused", real("notification-method.json"), NotFound, 405, "only allows GET"},
		{"notified", "size that is no number", real("notification-size-text.json"), NotFound, 400, "page_size"},
		{"notified", "negative size", real("notification-size-negative.json"), Temporary, 500, "bad page size"},
		{"notified", "next page that is none", real("notification-next-text.json"), NotFound, 400, "next"},
		{"notified", "bad id", real("notification-bad-id.json"), NotFound, 400, "invalid UUID"},
		{"notified", "no token", real("notification-unauthorized.json"), Unauthorized, 401, ""},
		{"notified", "forbidden by a gateway", own(403, "text/html", html), Unauthorized, 403, html},
		{"notified", "moved", own(307, "text/plain", "elsewhere"), NotFound, 307, "elsewhere"},
		{"notified", "login page", own(302, "text/html", html), NotFound, 302, html},
		{"notified", "no content", own(204, "", ""), NotFound, 204, ""},
		{"notified", "too slow for a gateway", own(408, "text/html", html), Temporary, 408, html},
		{"notified", "too early for a gateway", own(425, "text/html", html), Temporary, 425, html},
		{"notified", "too many for a gateway", own(429, "text/html", html), Busy, 429, html},
		{"notified", "bad gateway", own(502, "text/html", html), Temporary, 502, html},
		{"notified", "a page, not Clair", own(200, "text/html", html), NotFound, 200, "invalid character"},
		{"notified", "half a page", own(200, "application/json", `{"page":{"size":500},"notif`), NotFound, 200, "unexpected EOF"},
		{"delete", "unknown", real("notification-delete-unknown.json"), Temporary, 500, "no receipt"},
		{"delete", "no token", real("unauthorized.json"), Unauthorized, 401, ""},

		{"state", "no such path", real("no-such-path.json"), NotFound, 404, ""},
		{"state", "no token", real("unauthorized.json"), Unauthorized, 401, ""},
		{"state", "database down", real("report-database-down.json"), Temporary, 500, "connection refused"},
		{"state", "a page, not Clair", own(200, "text/html", html), Temporary, 200, "invalid character"},
		{"state", "JSON, not Clair", own(200, "application/json", `{"status":"ok"}`), Temporary, 200, "no state"},
		{"state", "null", own(200, "application/json", `null`), Temporary, 200, "no state"},
		{"state", "unchanged, which nobody asked", own(304, "", ""), Temporary, 304, ""},

		{"updates", "hidden by a gateway", real("no-such-path.json"), NotFound, 404, ""},
		{"updates", "method refused by a gateway", own(405, "text/html", html), NotFound, 405, html},
		{"updates", "no token", real("unauthorized.json"), Unauthorized, 401, ""},
		{"updates", "forbidden by a gateway", own(403, "text/html", html), Unauthorized, 403, html},
		{"updates", "database down", real("report-database-down.json"), Temporary, 500, "connection refused"},
		{"updates", "bad request", own(400, "application/json", `{"code":"bad-request","message":"unknown kind"}`), Temporary, 400, "unknown kind"},
		{"updates", "a page, not Clair", own(200, "text/html", html), Temporary, 200, "invalid character"},
		{"updates", "JSON, not Clair", own(200, "application/json", `{"status":"ok"}`), Temporary, 200, "unmarshal JSON"},
		{"updates", "null", own(200, "application/json", `null`), Temporary, 200, "null is no list"},
		{"updates", "a date that is none", own(200, "application/json", `{"a":[{"date":"yesterday"}]}`), Temporary, 200, "yesterday"},

		{"forget", "busy, and cut", real("index-busy.json"), Busy, 429, "too many requests"},
		{"forget", "no such path", real("no-such-path.json"), NotFound, 404, ""},
		{"forget", "method refused by a gateway", own(405, "text/html", html), NotFound, 405, html},
		{"forget", "no token", real("unauthorized.json"), Unauthorized, 401, ""},
		{"forget", "database down", real("report-database-down.json"), Temporary, 500, "connection refused"},
		{"forget", "bad request", own(400, "application/json", `{"code":"bad-request","message":"failed to deserialize bulk delete"}`), Temporary, 400, "bulk"},
		{"forget", "no content, which does not say what is gone", own(204, "", ""), Temporary, 204, ""},
		{"forget", "a page, not Clair", own(200, "text/html", html), Temporary, 200, "invalid character"},
		{"forget", "JSON, not Clair", own(200, "application/json", `{"status":"ok"}`), Temporary, 200, "unmarshal JSON"},
	} {
		t.Run(c.op+"/"+c.name, func(t *testing.T) {
			client, log := scripted(t, c.server(t))
			err := operations[c.op](t.Context(), client)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Kind != c.kind || e.Status != c.status || !strings.Contains(e.Detail(), c.detail) {
				t.Errorf("got %q status %d, want %q status %d with %q in %q", kindTexts[e.Kind], e.Status, kindTexts[c.kind], c.status, c.detail, e.Detail())
			}
			if !IsKind(fmt.Errorf("image x: %w", err), c.kind) {
				t.Error("IsKind does not see through a wrapping")
			}
			if len(log.requests) != 1 {
				t.Errorf("%d requests: the client must not try again by itself, nor follow", len(log.requests))
			}
		})
	}
}

// Clair's words can hold addresses with signatures, tokens and a registry's answer; the text of an error
// is for everyone.
func TestErrorsHoldNothingOfClair(t *testing.T) {
	const words = `https://blobs.example/x?X-Amz-Signature=5ec4e7 Bearer t0k3n`
	body := `{"code":"bad-request","message":"` + words + ` unexpected status code: 401"}`
	for op, do := range operations {
		for _, status := range []int{202, 301, 400, 401, 404, 412, 429, 500, 502} {
			h := func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "https://elsewhere.example/")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			}
			client, _ := scripted(t, http.HandlerFunc(h))
			err := do(t.Context(), client)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%s, %d: got %v", op, status, err)
			}
			for _, part := range []string{"blobs.example", "5ec4e7", "t0k3n", "Bearer", "elsewhere", client.base.Host, "http:"} {
				if strings.Contains(err.Error(), part) || strings.Contains(fmt.Sprintf("%v %s %q", err, err, err), part) {
					t.Errorf("%s, %d: the error shows %q: %v", op, status, part, err)
				}
			}
			if !strings.Contains(err.Error(), fmt.Sprintf("(status %d)", status)) {
				t.Errorf("%s, %d: the error does not say the status: %v", op, status, err)
			}
			if e.Detail() != body {
				t.Errorf("%s, %d: the detail is %q", op, status, e.Detail())
			}
		}
	}
}

func TestUnreachable(t *testing.T) {
	client, log := scripted(t, http.NotFoundHandler())
	client.http.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("connection refused")
	})
	client.base.User = url.UserPassword("user", "p4ssw0rd")
	for op, do := range operations {
		err := do(t.Context(), client)
		var e *Error
		if !errors.As(err, &e) || e.Kind != Temporary || e.Status != 0 || e.Detail() != "connection refused" {
			t.Errorf("%s: got %v", op, err)
		}
		if strings.Contains(err.Error(), "http") || strings.Contains(err.Error(), "status") {
			t.Errorf("%s: got %v", op, err)
		}
	}
	if len(log.requests) != 0 {
		t.Error("something was asked")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestKindTexts(t *testing.T) {
	for k := Temporary; k <= NoKey; k++ {
		if kindTexts[k] == "" {
			t.Errorf("kind %d has no text", k)
		}
	}
	if IsKind(nil, Temporary) || IsKind(errors.New("x"), Temporary) {
		t.Error("not every error is one of ours")
	}
}

func TestNew(t *testing.T) {
	const secret = "https://hooks.slack.com:x/services/T0/B0/XXXX"
	for _, bad := range []string{"", "clair:6000", "ftp://clair/", "/clair", "http://", "http://clair:x/", secret} {
		if _, err := New(Config{URL: bad}); err == nil {
			t.Errorf("%q was taken", bad)
		} else if want := "reading the address of clair: want http://host:port/ or https://host:port/"; err.Error() != want {
			t.Errorf("%q: got %v, want %s", bad, err, want)
		}
	}
}

// The path of the base address is a prefix, with and without a slash at its end.
func TestBasePath(t *testing.T) {
	for _, path := range []string{"/clair/v4", "/clair/v4/"} {
		client, log := scripted(t, recorded(t, "report-debian.json").handler(t))
		c, err := New(Config{URL: client.base.String()[:len(client.base.String())-1] + path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Report(t.Context(), debian); err != nil {
			t.Fatal(err)
		}
		if got, want := log.requests[0].URL, "/clair/v4/matcher/api/v1/vulnerability_report/"+debian; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
}

func TestIndex(t *testing.T) {
	client, log := scripted(t, recorded(t, "index-finished.json").handler(t))
	report, err := client.Index(t.Context(), debian, []Layer{
		{Digest: layer, URI: "https://registry.example/v2/a/blobs/" + layer, Header: http.Header{"Authorization": {"Bearer t0k3n"}}},
		{Digest: debian, URI: "https://blobs.example/x?a=b&c=d"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Hash.String() != debian || len(report.Packages) != 7 || report.State != "IndexFinished" {
		t.Errorf("got %+v", report)
	}
	got := log.requests[0]
	want := `{"hash":"` + debian + `","layers":[` +
		`{"hash":"` + layer + `","uri":"https://registry.example/v2/a/blobs/` + layer + `","headers":{"Authorization":["Bearer t0k3n"]}},` +
		`{"hash":"` + debian + `","uri":"https://blobs.example/x?a=b&c=d","headers":null}]}`
	var unescaped bytes.Buffer
	if err := json.Compact(&unescaped, []byte(strings.ReplaceAll(got.Body, `\u0026`, "&"))); err != nil {
		t.Fatal(err)
	}
	if unescaped.String() != want {
		t.Errorf("\nsent %s\nwant %s", got.Body, want)
	}
	if got.Method != "POST" || got.URL != "/indexer/api/v1/index_report" {
		t.Errorf("asked %s %s", got.Method, got.URL)
	}
	for header, want := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, */*;q=0.1", "User-Agent": "clairwatch/test",
		"Accept-Encoding": "gzip", "If-None-Match": "", "Authorization": "",
	} {
		if got := got.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

// What is no digest is refused here and reaches no path.
func TestBadDigests(t *testing.T) {
	client, log := scripted(t, http.NotFoundHandler())
	for _, bad := range []string{"", "nope", "sha256:abc", "sha256:" + strings.Repeat("z", 64), "../../x", debian + "/../x"} {
		_, err := client.Report(t.Context(), bad)
		_, err2 := client.Index(t.Context(), bad, nil)
		_, err3 := client.Index(t.Context(), debian, []Layer{{Digest: bad}})
		_, err4 := client.Delete(t.Context(), []string{debian, bad})
		for _, err := range []error{err, err2, err3, err4} {
			if !IsKind(err, Invalid) {
				t.Errorf("%q: got %v", bad, err)
			}
		}
	}
	if len(log.requests) != 0 {
		t.Errorf("asked %v", log.requests)
	}
}

func TestReport(t *testing.T) {
	for name, want := range map[string]struct {
		digest            string
		packages, matches int
	}{
		"report-debian.json":  {debian, 7, 23},
		"report-alpine.json":  {"sha256:748cb67203e04a5569df4168229d5bfde07807b2919080a63d553c9e4dba36c4", 4, 4},
		"report-scratch.json": {"sha256:8d137a771d41dc432a6ec7d8138043e62e19800e6dd77f244390f675842eab61", 0, 0},
		"report-big.json.gz":  {big, 749, 1700},
	} {
		t.Run(name, func(t *testing.T) {
			rec := recorded(t, name)
			client, log := scripted(t, rec.handler(t))
			report, err := client.Report(t.Context(), want.digest)
			if err != nil {
				t.Fatal(err)
			}
			matches := 0
			for _, m := range report.PackageVulnerabilities {
				matches += len(m)
			}
			if report.Hash.String() != want.digest || len(report.Packages) != want.packages || matches != want.matches {
				t.Errorf("got %s with %d packages and %d matches", report.Hash, len(report.Packages), matches)
			}
			if got := log.requests[0]; got.Method != rec.Method || got.URL != rec.Path || got.Body != "" || got.Header.Get("Content-Type") != "" {
				t.Errorf("asked %+v, want %s %s", got, rec.Method, rec.Path)
			}
		})
	}
}

func TestGzip(t *testing.T) {
	body := recorded(t, "report-debian.json").body(t)
	for name, trailer := range map[string]string{"whole": "", "broken": "encoding failed: postgres://clair:p4ss@db/"} {
		client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Error("gzip is not asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Trailer", "Clair-Error")
			_, _ = w.Write(gzipped(t, body))
			w.Header().Set("Clair-Error", trailer)
		}))
		_, err := client.Report(t.Context(), debian)
		if trailer == "" && err != nil || trailer != "" && !IsKind(err, Temporary) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Clair says in a trailer that it broke down after the status.
func TestTrailer(t *testing.T) {
	for _, file := range []string{"report-debian.json", "index-finished.json"} {
		rec := recorded(t, file)
		client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec.handler(t)(w, r)
			w.Header().Set("Clair-Error", "write: db p4ss gone")
		}))
		op := map[string]string{"GET": "report", "POST": "index"}[rec.Method]
		err := operations[op](t.Context(), client)
		var e *Error
		if !errors.As(err, &e) || e.Kind != Temporary || e.Status != rec.Status || e.Detail() != "trailer Clair-Error: write: db p4ss gone" {
			t.Errorf("%s: got %v", file, err)
		}
		if strings.Contains(fmt.Sprint(err), "p4ss") {
			t.Errorf("%s: shows Clair's words: %v", file, err)
		}
	}
}

func TestCutBody(t *testing.T) {
	for _, length := range []int{0, 1, 1000, largeReport, largeReport + 1000} {
		client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte(" "), length))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		_, err := client.Report(t.Context(), debian)
		var e *Error
		if !errors.As(err, &e) || e.Kind != Temporary || !strings.Contains(e.Detail(), "EOF") {
			t.Errorf("cut after %d bytes: %v", length, err)
		}
		if len(client.large) != 0 {
			t.Errorf("cut after %d bytes: the turn of large reports is not given back", length)
		}
	}
}

// padded streams a report of so many bytes.
func padded(size int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		const head, tail = `{"manifest_hash":"` + debian + `"`, `}`
		_, _ = io.WriteString(w, head)
		chunk := bytes.Repeat([]byte(" "), 1<<20)
		for left := size - len(head) - len(tail); left > 0; {
			n, err := w.Write(chunk[:min(left, len(chunk))])
			if err != nil {
				return // the client has enough
			}
			left -= n
		}
		_, _ = io.WriteString(w, tail)
	}
}

func TestReportLimit(t *testing.T) {
	for size, want := range map[int]string{
		largeReport: "", largeReport + 1: "", reportLimit: "",
		reportLimit + 1: "fetching the vulnerability report: the report is larger than 32 MiB (status 200)",
	} {
		client, _ := scripted(t, padded(size))
		_, err := client.Report(t.Context(), debian)
		if want == "" && err != nil || want != "" && (!IsKind(err, TooLarge) || err.Error() != want) {
			t.Errorf("%d bytes: got %v, want %q", size, err, want)
		}
		if len(client.large) != 0 {
			t.Errorf("%d bytes: the turn of large reports is not given back", size)
		}
	}
}

// Small on the wire is not small.
func TestReportLimitIsThatOfTheUnpackedReport(t *testing.T) {
	packed := gzipped(t, bytes.Repeat([]byte(" "), reportLimit+1))
	client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed)
	}))
	if _, err := client.Report(t.Context(), debian); !IsKind(err, TooLarge) {
		t.Errorf("%d bytes that become %d: got %v", len(packed), reportLimit+1, err)
	}
}

// A body of an error is bounded too.
func TestErrorBodyIsBounded(t *testing.T) {
	client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for range 64 {
			if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
				return
			}
		}
	}))
	_, err := client.Report(t.Context(), debian)
	var e *Error
	if !errors.As(err, &e) || len(e.Detail()) != errorLimit {
		t.Errorf("got %v with %d bytes", err, len(e.Detail()))
	}
}

func TestNotified(t *testing.T) {
	pages := map[string]http.HandlerFunc{}
	for i, next := range []string{"", "1c22651a-ea78-48e7-a12d-27ee22343fd7", "7c772c98-959c-4fd6-a82d-8f3f3b6187ee"} {
		pages[next] = recorded(t, fmt.Sprintf("notification-page-%d.json", i+1)).handler(t)
	}
	client, log := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages[r.URL.Query().Get("next")](w, r)
	}))
	got, err := client.Notified(t.Context(), notification)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) || !slices.Contains(got, debian) || !slices.Contains(got, big) {
		t.Errorf("got %q", got)
	}
	var asked []string
	for _, r := range log.requests {
		asked = append(asked, r.URL)
	}
	path := "/notifier/api/v1/notification/b85785d2-793d-4ca8-abaa-4f91086b34cb?"
	want := []string{path + "page_size=500", path + "next=1c22651a-ea78-48e7-a12d-27ee22343fd7&page_size=500", path + "next=7c772c98-959c-4fd6-a82d-8f3f3b6187ee&page_size=500"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestNotifiedUnknown(t *testing.T) {
	client, _ := scripted(t, recorded(t, "notification-unknown.json").handler(t))
	if got, err := client.Notified(t.Context(), notification); err != nil || len(got) != 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNotifiedLeavesOutWhatIsNoDigest(t *testing.T) {
	client, _ := scripted(t, answer(200, "application/json", `{"notifications":[{"manifest":"../x"},{"manifest":"`+debian+`"},{},{"manifest":"`+debian+`"}]}`))
	if got, err := client.Notified(t.Context(), notification); err != nil || !slices.Equal(got, []string{debian}) {
		t.Errorf("got %q, %v", got, err)
	}
}

// Pages that never end are read up to a bound.
func TestNotifiedIsBounded(t *testing.T) {
	client, log := scripted(t, answer(200, "application/json", `{"page":{"next":"same"},"notifications":[{"manifest":"`+debian+`"}]}`))
	if got, err := client.Notified(t.Context(), notification); !IsKind(err, Incomplete) || !slices.Equal(got, []string{debian}) {
		t.Errorf("got %q, %v", got, err)
	}
	if len(log.requests) != mostPages {
		t.Errorf("%d pages read, want %d", len(log.requests), mostPages)
	}
}

// What was read before it broke off is not lost.
func TestNotifiedInPart(t *testing.T) {
	first := answer(200, "application/json", `{"page":{"next":"more"},"notifications":[{"manifest":"`+debian+`"}]}`)
	client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("next") {
			answer(500, "text/plain", "")(w, r)
			return
		}
		first(w, r)
	}))
	if got, err := client.Notified(t.Context(), notification); !IsKind(err, Temporary) || !slices.Equal(got, []string{debian}) {
		t.Errorf("got %q, %v", got, err)
	}
}

// A page of which Clair says in the end that encoding it broke is none, and is not waited for.
func TestNotifiedBrokenPage(t *testing.T) {
	whole := recorded(t, "notification-whole.json").body(t)
	client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Clair-Error")
		_, _ = w.Write(whole)
		w.Header().Set("Clair-Error", "some error")
	}))
	got, err := client.Notified(t.Context(), notification)
	if len(got) != 0 || !IsKind(err, NotFound) {
		t.Errorf("got %q, %v", got, err)
	}
	// One that ends in the middle may come whole the next time.
	client, _ = scripted(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(whole[:len(whole)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	if got, err := client.Notified(t.Context(), notification); len(got) != 0 || !IsKind(err, Temporary) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestDeleteNotification(t *testing.T) {
	client, log := scripted(t, recorded(t, "notification-deleted.json").handler(t))
	if err := client.DeleteNotification(t.Context(), notification); err != nil {
		t.Fatal(err)
	}
	if got := log.requests[0]; got.Method != "DELETE" || got.URL != "/notifier/api/v1/notification/b85785d2-793d-4ca8-abaa-4f91086b34cb" || got.Body != "" {
		t.Errorf("asked %+v", got)
	}
}

// FuzzReport: whatever a Clair answers, a report is decoded or an *Error comes out.
func FuzzReport(f *testing.F) {
	for _, name := range []string{"report-debian.json", "report-alpine.json", "report-scratch.json", "report-unknown.json"} {
		rec := recorded(f, name)
		f.Add(rec.Status, rec.body(f), "")
	}
	f.Add(200, []byte(`{"vulnerabilities":{"1":{"normalized_severity":"igh"}}}`), "")
	f.Add(200, []byte(`{"manifest_hash":"`+debian+`"}`), "broken")
	f.Fuzz(func(t *testing.T, status int, body []byte, trailer string) {
		c, err := New(Config{URL: "http://clair/", Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: status, Header: http.Header{}, Trailer: http.Header{"Clair-Error": {trailer}},
				Body: io.NopCloser(bytes.NewReader(body)), Request: r,
			}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		report, err := c.Report(t.Context(), debian)
		var e *Error
		switch {
		case err == nil && (status != 200 || trailer != "" || report.Hash.String() != debian):
			t.Errorf("status %d, trailer %q: taken", status, trailer)
		case err != nil && (!errors.As(err, &e) || report != nil || kindTexts[e.Kind] == ""):
			t.Errorf("got %v and %v", report, err)
		}
	})
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
