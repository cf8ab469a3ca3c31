package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// decodeStrictly reads a document that has nothing but what its type has.
func decodeStrictly(t testing.TB, text string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Errorf("%v in\n%s", err, text)
		return
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("there is more behind\n%s", text)
	}
}

// fields are the names of all that a type has as JSON.
func fields(of reflect.Type) []string {
	var all []string
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		return fields(of.Elem())
	case reflect.Struct:
		for f := range of.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				all = append(all, name)
			}
			all = append(all, fields(f.Type)...)
		}
	}
	return all
}

// keys are the names of all fields in a document.
func keys(document any) []string {
	var all []string
	switch d := document.(type) {
	case []any:
		for _, e := range d {
			all = append(all, keys(e)...)
		}
	case map[string]any:
		for k, e := range d {
			all = append(append(all, k), keys(e)...)
		}
	}
	return all
}

// apiShapes are the types of what the API answers, in the order of the examples of docs/api.md.
func apiShapes() []any {
	return []any{&apiOverviewAnswer{}, &apiImageList{}, &apiImageAnswer{}, &apiNamespaceList{}, &apiVulnerabilityAnswer{}}
}

// TestAPIExamples keeps the examples of docs/api.md as the types are: nothing that these do not have, all that they do.
func TestAPIExamples(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	shapes := apiShapes()
	if len(examples) != len(shapes) {
		t.Fatalf("%d examples, want %d", len(examples), len(shapes))
	}
	for i, shape := range shapes {
		decodeStrictly(t, examples[i][1], shape)
		var document any
		if err := json.Unmarshal([]byte(examples[i][1]), &document); err != nil {
			t.Fatal(err)
		}
		has := keys(document)
		for _, field := range fields(reflect.TypeOf(shape)) {
			if !slices.Contains(has, field) {
				t.Errorf("the example of %T has no %s", shape, field)
			}
		}
		again, err := json.Marshal(shape)
		if err != nil {
			t.Fatal(err)
		}
		var same any
		if err := json.Unmarshal(again, &same); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(document, same) {
			t.Errorf("the example of %T reads as\n%s", shape, again)
		}
	}
	for _, c := range columns() {
		if !strings.Contains(string(text), "`"+c.Word+"`") {
			t.Errorf("sort=%s is not described", c.Word)
		}
	}
}

// apiSource has some of everything.
func apiSource() *fixture {
	r := manyFindings(7)
	for i := range r.Findings {
		r.Findings[i].Layer = digestOf(100 + i%2)
	}
	report := judged(r, 1,
		Hearer{Key: "_all", Name: "default", Namespaces: []string{"cart", "checkout"}, Channel: "hooks.slack.com/…#3fa2c1", MinSeverity: findings.Severities[2], UnknownAs: findings.Severities[2]},
		Hearer{
			Key: "shop", Name: "default", Namespaces: []string{"shop"}, Channel: "hooks.slack.com/…#90b77e", OnlyFixable: true, Told: true, Since: noon.Add(-time.Hour), Quiet: true,
			Ignore: []findings.Ignore{{ID: r.Findings[1].Name, Reason: "not reachable", Until: noon.Add(24 * time.Hour)}, {Package: "curl", Image: "shop/*"}},
		},
	)
	report.Hearers[1].Decisions[1].Told = true // before the entry was written
	return &fixture{
		cluster: Cluster{Name: "production", Leads: true, Since: noon.Add(-26 * time.Hour)}, images: toldImages(30), channels: manyChannels, mistakes: fewMistakes,
		clairs: manyClairs, having: manyHaving(), namespaces: map[string]Namespace{"shop": {Data: map[string]any{"namespace": "shop", "pods": 3}}},
		report: func(context.Context, string) (Report, error) {
			return report, nil
		},
	}
}

// TestAPIGolden keeps answers to be looked at.
func TestAPIGolden(t *testing.T) {
	h := newPages(t, apiSource())
	asked := map[string]struct {
		path, query string
		shape       any
	}{
		"api-overview":        {"/api/v1/overview", "", &apiOverviewAnswer{}},
		"api-images":          {"/api/v1/images", "limit=3&sort=fixable&namespace=checkout", &apiImageList{}},
		"api-image":           {"/api/v1/images/" + digestOf(3), "limit=4", &apiImageAnswer{}},
		"api-namespaces":      {"/api/v1/namespaces", "", &apiNamespaceList{}},
		"api-vulnerability":   {"/api/v1/vulnerabilities/cve-2026-0001", "", &apiVulnerabilityAnswer{}},
		"api-only-mentioned":  {"/api/v1/vulnerabilities/CVE-2026-0002", "", &apiVulnerabilityAnswer{}},
		"api-nothing-matches": {"/api/v1/images", "q=nothing", &apiImageList{}},
	}
	for name, a := range asked {
		t.Run(name, func(t *testing.T) {
			w := get(t, h, a.path, a.query)
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			decodeStrictly(t, w.Body.String(), a.shape)
			var b bytes.Buffer
			if err := json.Indent(&b, w.Body.Bytes(), "", "  "); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".golden.json")
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("differs from %s; if that is meant, run go test ./web -update and look at it", file)
			}
			if strings.Contains(b.String(), "null") {
				t.Error("something is null")
			}
		})
	}
	files, err := filepath.Glob("testdata/*.golden.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := asked[strings.TrimSuffix(filepath.Base(f), ".golden.json")]; !ok {
			t.Errorf("%s belongs to no answer", f)
		}
	}
}

// wantFault checks that an answer is an error that says something.
func wantFault(t *testing.T, w *httptest.ResponseRecorder, status int, says string) {
	t.Helper()
	var f apiFault
	decodeStrictly(t, w.Body.String(), &f)
	if w.Code != status || !strings.Contains(f.Error, says) {
		t.Errorf("%d %q, want %d with %q", w.Code, f.Error, status, says)
	}
	if retry := w.Header().Get("Retry-After"); (retry != "") != (status == 503) {
		t.Errorf("%d with Retry-After %q", status, retry)
	}
}

func TestAPIFaults(t *testing.T) {
	h := newPages(t, apiSource())
	for _, c := range []struct {
		path, query string
		status      int
		says        string
	}{
		{"/api", "", 404, "There is no such page"},
		{"/api/", "", 404, "images/<digest>"},
		{"/api/v1", "", 404, "images/<digest>"},
		{"/api/v1/", "", 404, "images/<digest>"},
		{"/api/v2/images", "", 404, "/api/v1/"},
		{"/api/v1/overview/", "", 404, "overview"},
		{"/api/v1/vulnerabilities", "", 404, "vulnerabilities/<name>"},
		{"/api/v1/images/", "", 404, "64 hexadecimal digits"},
		{"/api/v1/images/latest", "", 404, "64 hexadecimal digits"},
		{"/api/v1/images/" + digestOf(999), "", 404, "no image that runs has this digest"},
		{"/api/v1/namespaces/", "", 404, "nothing runs in it"},
		{"/api/v1/namespaces/nowhere", "", 404, "nothing runs in it"},
		{"/api/v1/vulnerabilities/", "", 404, "CVE-2023-4911"},
		{"/api/v1/vulnerabilities/CVE-1", "", 404, "of 30 images have no report yet"},
		{"/api/v1/vulnerabilities/" + strings.Repeat("n", 401), "", 404, "no name"},
		{"/api/v1/overview", "limit=1", 400, "there is no parameter limit here: want none"},
		{"/api/v1/namespaces/shop", "limit=1", 400, "want none"},
		{"/api/v1/images", "sevrity=high", 400, "there is no parameter sevrity here: want some of limit, offset, namespace"},
		{"/api/v1/images", "severity=High", 400, "severity cannot be High: want critical, high"},
		{"/api/v1/images", "fixable=true", 400, "fixable cannot be true: want yes"},
		{"/api/v1/images", "sort=size", 400, "sort cannot be size: want name, namespaces"},
		{"/api/v1/images", "sort=name&order=up", 400, "order cannot be up: want asc, desc"},
		{"/api/v1/images", "order=asc", 400, "order needs sort"},
		{"/api/v1/images", "limit=0", 400, "limit cannot be 0: want a number from 1 to 1000"},
		{"/api/v1/images", "limit=1001", 400, "limit cannot be 1001"},
		{"/api/v1/images", "limit=ten", 400, "limit cannot be ten"},
		{"/api/v1/images", "offset=-1", 400, "offset cannot be -1: want a number from 0"},
		{"/api/v1/images", "q=a&q=b", 400, "q is given 2 times"},
		{"/api/v1/images", "q=%zz", 400, "the query cannot be read"},
		{"/api/v1/images", "q=" + strings.Repeat("n", 401), 400, "q is longer than 400 bytes"},
		{"/api/v1/images/" + digestOf(0), "limit=-3", 400, "limit cannot be -3"},
		{"/api/v1/images/" + digestOf(0), "severity=severe", 400, "severity cannot be severe: want critical, high"},
		{"/api/v1/images/" + digestOf(0), "fixable=no", 400, "fixable cannot be no: want yes"},
		{"/api/v1/images/" + digestOf(0), "state=scanned", 400, "there is no parameter state here: want some of limit, offset, severity, fixable, package, q"},
	} {
		t.Run(c.path[:min(len(c.path), 60)]+"?"+c.query[:min(len(c.query), 20)], func(t *testing.T) {
			w := get(t, h, c.path, c.query)
			if c.path == "/api" {
				if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				return
			}
			wantFault(t, w, c.status, c.says)
		})
	}
}

func TestAPIReportFaults(t *testing.T) {
	const secret = "https://user:hunter2@clair/"
	for _, c := range []struct {
		name   string
		err    error
		status int
		says   string
	}{
		{"unknown", fmt.Errorf("%s: %w", secret, ErrUnknown), 404, "no image that runs has this digest"},
		{"too large", fmt.Errorf("%s: %w", secret, ErrTooLarge), 502, "larger than clairwatch reads"},
		{"anything else", errors.New(secret), 502, "Clair does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := apiSource()
			source.report = func(context.Context, string) (Report, error) { return Report{}, c.err }
			w := get(t, newPages(t, source), "/api/v1/images/"+digestOf(0), "")
			wantFault(t, w, c.status, c.says)
			if strings.Contains(w.Body.String(), "hunter2") {
				t.Error("the answer holds the error's text")
			}
		})
	}
	source := apiSource()
	source.report = func(context.Context, string) (Report, error) {
		return Report{}, fmt.Errorf("%s: %w", secret, ErrNotIndexed)
	}
	w := get(t, newPages(t, source), "/api/v1/images/"+digestOf(0), "")
	var a apiImageAnswer
	decodeStrictly(t, w.Body.String(), &a)
	if w.Code != 200 || a.Report != nil || !strings.Contains(a.NoReport, "has no report of this image") || len(a.Workloads) == 0 || strings.Contains(w.Body.String(), "hunter2") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestAPITurns shows that the API waits for its turn as the pages do, and says when to come again.
func TestAPITurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := apiSource()
		source.report = func(context.Context, string) (Report, error) {
			time.Sleep(2 * reportTimeout) // keeps its turn for longer than anybody waits for one
			return Report{}, errors.New("it took too long")
		}
		h := newPages(t, source)
		done := make(chan int, reportsAtOnce)
		for range reportsAtOnce {
			go func() { done <- get(t, h, "/images/"+digestOf(0), "").Code }()
		}
		synctest.Wait()
		wantFault(t, get(t, h, "/api/v1/images/"+digestOf(0), ""), 503, "too many ask at once")
		for range reportsAtOnce {
			if code := <-done; code != 502 {
				t.Errorf("a page of those before: %d", code)
			}
		}
	})
}

func TestAPIStandby(t *testing.T) {
	source := apiSource()
	source.cluster = Cluster{}
	h := newPages(t, source)
	for _, path := range []string{"images", "images/" + digestOf(0), "namespaces", "namespaces/shop", "vulnerabilities/CVE-2026-0001"} {
		wantFault(t, get(t, h, apiRoot+path, ""), 503, "stands by")
	}
	var o apiOverviewAnswer
	w := get(t, h, apiRoot+"overview", "")
	decodeStrictly(t, w.Body.String(), &o)
	if w.Code != 200 || o.Leads || !o.Since.IsZero() || strings.Contains(w.Body.String(), `"since"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAPINamespace(t *testing.T) {
	source := apiSource()
	h := newPages(t, source)
	if w := get(t, h, "/api/v1/namespaces/shop", ""); w.Code != 200 || w.Body.String() != `{"namespace":"shop","pods":3}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	source.namespaces["shop"] = Namespace{Data: func() {}}
	if w := get(t, h, "/api/v1/namespaces/shop", ""); w.Code != 500 || w.Body.String() != `{"error":"the answer cannot be written"}`+"\n" {
		t.Errorf("of what is no JSON: %d %s", w.Code, w.Body)
	}
	source.namespaces["shop"] = Namespace{Data: strings.Repeat("n", mostBytes-2)} // with quotes and the end of the line one too many
	if w := get(t, h, "/api/v1/namespaces/shop", ""); w.Code != 500 || !strings.Contains(w.Body.String(), `{"error":"the answer is longer than `) || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
		t.Errorf("of what is too large: %d with %d bytes: %.100s", w.Code, w.Body.Len(), w.Body)
	}
	source.namespaces["shop"] = Namespace{Data: strings.Repeat("n", mostBytes-3)}
	if w := get(t, h, "/api/v1/namespaces/shop", ""); w.Code != 200 || w.Body.Len() != mostBytes {
		t.Errorf("of what just fits: %d with %d bytes", w.Code, w.Body.Len())
	}
}

// TestAPINoNamespace shows that what cannot be a namespace's name waits for no turn.
func TestAPINoNamespace(t *testing.T) {
	source := &slowSpaces{fixture: *apiSource(), answer: func(context.Context) (Namespace, error) {
		t.Error("somebody was asked")
		return Namespace{}, nil
	}}
	h := newPages(t, source)
	for _, name := range []string{"", strings.Repeat("n", 64)} {
		wantFault(t, get(t, h, "/api/v1/namespaces/"+name, ""), 404, "nothing runs in it")
	}
}

// TestAPIMethodsAndHeaders asks over the network.
func TestAPIMethodsAndHeaders(t *testing.T) {
	server := httptest.NewServer(newPages(t, apiSource()))
	defer server.Close()
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "overview", 200}, {"HEAD", "overview", 200}, {"HEAD", "images", 200}, {"HEAD", "images/" + digestOf(0), 200}, {"GET", "images?limit=x", 400}, {"HEAD", "nothing", 404},
		{"GET", "vulnerabilities/CVE%2D2026-0001", 200}, {"POST", "images", 405}, {"DELETE", "nothing", 405}, {"OPTIONS", "overview", 405},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+apiRoot+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != c.status || (len(body) == 0) != (c.method == "HEAD") || len(body) > 0 && !json.Valid(body) || answer.ContentLength <= 0 {
				t.Errorf("%d with length %d: %.100s", answer.StatusCode, answer.ContentLength, body)
			}
			for k, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Set-Cookie": "", "Access-Control-Allow-Origin": ""} {
				if got := answer.Header.Get(k); got != want {
					t.Errorf("%s: %q, want %q", k, got, want)
				}
			}
			if allow := answer.Header.Get("Allow"); (allow == "GET, HEAD") != (c.status == 405) {
				t.Errorf("Allow: %q", allow)
			}
		})
	}
}

// TestAPIPaging walks over all pages of all that has them, and meets each item once.
func TestAPIPaging(t *testing.T) {
	h := newPages(t, apiSource())
	for _, c := range []struct {
		path, query, id string
		total           int
	}{
		{"images", "sort=pods&q=web&limit=7", "digest", 30}, {"namespaces", "limit=2", "name", 7}, {"images/" + digestOf(0), "limit=3", "cvss", 7},
		{"vulnerabilities/ cve-2026-0001 ", "limit=1", "digest", 2}, {"images", "offset=1000&q=web", "digest", 0}, {"images", "limit=30", "digest", 30},
	} {
		base := &url.URL{Path: apiRoot + c.path, RawQuery: c.query}
		seen := make(map[any]bool)
		for range 100 {
			w := get(t, h, base.Path, base.RawQuery)
			var a struct {
				Items  []map[string]any
				Next   string
				Total  int
				Report struct {
					Findings []map[string]any
					Next     string
				}
			}
			if err := json.Unmarshal(w.Body.Bytes(), &a); w.Code != 200 || err != nil {
				t.Fatalf("%s: %d, %v", base, w.Code, err)
			}
			for _, item := range append(a.Items, a.Report.Findings...) {
				key := fmt.Sprint(item[c.id], item["name"])
				if seen[key] {
					t.Errorf("%s: %s again", base, key)
				}
				seen[key] = true
			}
			next := a.Next + a.Report.Next
			if next == "" {
				break
			}
			var err error
			if base, err = base.Parse(next); err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) != c.total {
			t.Errorf("%s?%s: %d items, want %d", c.path, c.query, len(seen), c.total)
		}
	}
}

// TestPagesAndAPIAgree asks pages and the API the same, and wants the same in the same order.
func TestPagesAndAPIAgree(t *testing.T) {
	source := apiSource()
	r := layered(manyFindings(90), 3)
	source.report = func(context.Context, string) (Report, error) { return judged(r, 1, hearersOf(r)...), nil }
	h := newPages(t, source)
	of := func(pattern, text string) []string {
		var all []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		return all
	}
	image := "images/" + digestOf(3)
	for _, c := range []struct {
		page, api, query string
		row, field       string // what a row and an item are known by
		some             bool   // that the query leaves something out
	}{
		{"", "images", "", `<th scope="row"><a href="images/([^"]*)"`, "digest", false},
		{"", "images", "namespace=checkout", `<th scope="row"><a href="images/([^"]*)"`, "digest", true},
		{"", "images", "severity=high&sort=name", `<th scope="row"><a href="images/([^"]*)"`, "digest", true},
		{"", "images", "fixable=yes&sort=fixable&order=asc", `<th scope="row"><a href="images/([^"]*)"`, "digest", true},
		{"", "images", "state=not_covered", `<th scope="row"><a href="images/([^"]*)"`, "digest", true},
		{"", "images", "q=web-1&sort=since", `<th scope="row"><a href="images/([^"]*)"`, "digest", true},
		{"", "images", "q=cve-2026-0001", `<th scope="row"><a href="images/([^"]*)"`, "digest", true},
		{"", "namespaces", "", `<th scope="row"><a href="namespaces/([^"]*)"`, "name", false},
		{image, image, "", `<th scope="row"><a href="../vulnerabilities/([^"]*)"`, "name", false},
		{image, image, "severity=high", `<th scope="row"><a href="../vulnerabilities/([^"]*)"`, "name", true},
		{image, image, "severity=unknown", `<th scope="row"><a href="../vulnerabilities/([^"]*)"`, "name", true},
		{image, image, "fixable=yes&package=openssl", `<th scope="row"><a href="../vulnerabilities/([^"]*)"`, "name", true},
		{image, image, "q=" + digestOf(1001)[7:19], `<th scope="row"><a href="../vulnerabilities/([^"]*)"`, "name", true},
		{image, image, "q=nothing", `<th scope="row"><a href="../vulnerabilities/([^"]*)"`, "name", true},
	} {
		t.Run(c.api+"?"+c.query, func(t *testing.T) {
			shown := of(c.row, get(t, h, "/"+c.page, c.query).Body.String())
			var a struct {
				Items  []map[string]any
				Report struct {
					Findings []map[string]any
					Total    int
				}
				Total int
			}
			w := get(t, h, apiRoot+c.api, c.query)
			if err := json.Unmarshal(w.Body.Bytes(), &a); w.Code != 200 || err != nil {
				t.Fatalf("%d, %v", w.Code, err)
			}
			items := append(a.Items, a.Report.Findings...)
			answered := make([]string, 0, len(items))
			for _, item := range items {
				answered = append(answered, fmt.Sprint(item[c.field]))
			}
			if !slices.Equal(shown, answered) {
				t.Errorf("the page has\n%q, the API\n%q", shown, answered)
			}
			if total := a.Total + a.Report.Total; total != len(shown) {
				t.Errorf("the total is %d, and %d are shown", total, len(shown))
			}
			var all struct{ Report struct{ Total int } }
			if err := json.Unmarshal(get(t, h, apiRoot+c.api, "").Body.Bytes(), &all); err != nil {
				t.Fatal(err)
			}
			if most := max(all.Report.Total, len(source.images)); c.some == (len(shown) == most) && c.api != "namespaces" {
				t.Errorf("%d of %d", len(shown), most)
			}
		})
	}
	var a apiImageAnswer
	decodeStrictly(t, get(t, h, apiRoot+image, "limit=1000").Body.String(), &a)
	report := judged(r, 1, hearersOf(r)...)
	for i, f := range a.Report.Findings {
		want := false
		for _, hearer := range report.Hearers {
			want = want || i < len(hearer.Decisions) && hearer.Decisions[i].Told
		}
		if f.Told != want {
			t.Errorf("%s told: %t, want %t", f.Name, f.Told, want)
		}
	}
}

// TestAPIBounds shows that answers stay small whatever there is.
func TestAPIBounds(t *testing.T) {
	long := strings.Repeat("n", 1000)
	source := apiSource()
	source.images = manyImages(3000)
	for i := range 1000 {
		source.images[0].Workloads = append(source.images[0].Workloads, Workload{Kind: "Job", Namespace: long, Name: fmt.Sprint(i, long)})
		source.images[0].Namespaces = append(source.images[0].Namespaces, fmt.Sprint(i, long))
		source.images[i].Name, source.images[i].Advice, source.images[i].State = fmt.Sprint(i, long), long, fmt.Sprint(i)
	}
	for i := 1; i < 100; i++ {
		source.images[i].Digest = source.images[0].Digest
	}
	source.channels, source.mistakes, source.clairs = nil, nil, nil
	for i := range 1500 {
		source.channels = append(source.channels, Channel{Name: fmt.Sprint(i, long), Namespaces: source.images[0].Namespaces, Trouble: long})
		source.mistakes = append(source.mistakes, Mistake{Key: long, Lines: source.images[0].Namespaces, Effect: long})
		source.clairs = append(source.clairs, Clair{URL: long})
	}
	r := Report{Report: manyFindings(5000), Clair: long}
	for i := range r.Findings {
		r.Findings[i].Package, r.Findings[i].Name, r.Findings[i].Description, r.Findings[i].FixedIn = fmt.Sprint(i, long), long, long, "1"
	}
	for i := range 200 {
		hearer := Hearer{Key: "shop", Name: fmt.Sprint(i), Clair: long, Namespaces: source.images[0].Namespaces, Channel: long, Decisions: make([]Decision, len(r.Findings))}
		for range 200 {
			hearer.Ignore = append(hearer.Ignore, findings.Ignore{ID: long, Reason: long})
		}
		for j := range hearer.Decisions {
			hearer.Decisions[j].Fate = findings.BelowMinSeverity
		}
		r.Hearers = append(r.Hearers, hearer)
	}
	source.report = func(context.Context, string) (Report, error) { return r, nil }
	source.having = map[string]map[string][]findings.Finding{"CVE-1": {}}
	having := slices.Clone(r.Findings[:30])
	for i := range having {
		having[i].Name = "CVE-1: " + long
	}
	for i := range 3000 {
		source.having["CVE-1"][source.images[i].Digest] = having
	}
	h := newPages(t, source)
	for path, c := range map[string]struct {
		most int
		says []string
	}{
		"overview":                              {6 << 20, []string{`"moreClairs":1400`, `"moreChannels":1000`, `"moreMistakes":1400`, `"moreLines":981`}},
		"images?limit=1000":                     {4 << 20, []string{`"total":3000`, `"moreNamespaces":981`}},
		"images/" + digestOf(0) + "?limit=1000": {mostBytes, []string{`"moreNames":80`, `"moreWorkloads":`, `"moreHearers":150`, `"moreIgnore":150`, `"moreUpdates":4500`, `"total":5000`, `"moreHeld":190`}},
		"namespaces?limit=1000":                 {2 << 20, []string{`"next":"?limit=1000\u0026offset=1000"`}},
		"vulnerabilities/CVE-1?limit=200":       {mostBytes, []string{`"total":2901`, `"moreFindings":20`, `"moreWorkloads":`}},
	} {
		path, query, _ := strings.Cut(path, "?")
		w := get(t, h, apiRoot+path, query)
		if w.Code != 200 || !json.Valid(w.Body.Bytes()) || w.Body.Len() > c.most {
			t.Errorf("%s: %d with %d bytes", path, w.Code, w.Body.Len())
		}
		t.Logf("%s: %d bytes", path, w.Body.Len())
		for _, s := range c.says {
			if !strings.Contains(w.Body.String(), s) {
				t.Errorf("%s does not say %s", path, s)
			}
		}
	}
	// Where strings are far longer than usual, limit has to be smaller.
	wantFault(t, get(t, h, "/api/v1/vulnerabilities/CVE-1", "limit=1000"), 500, "longer than 8 MiB: ask for less of it, with a smaller limit")
}

// hostileSource has one string wherever a string can be.
func hostileSource(s string) *fixture {
	img := Image{
		Name: s, Digest: digestOf(0), Platform: s, Namespaces: []string{s}, Pods: 1,
		Workloads: []Workload{{Kind: s, Namespace: s, Name: s, Pods: 1}},
		State:     s, Advice: s, Remedy: s, Told: true, Found: true, Counts: findings.Counts{High: 2},
	}
	f := findings.Finding{Name: s, Package: s, Installed: s, FixedIn: s, Severity: 99, CVSS: math.Inf(1), Updater: s, Link: s, Layer: s, Description: s}
	hearer := Hearer{
		Key: s, Name: s, Namespaces: []string{s}, Clair: s, Channel: s, MinSeverity: 99, Ignore: []findings.Ignore{{ID: s, Package: s, Image: s, Reason: s, Until: time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)}},
		Decisions: []Decision{{Fate: findings.Ignored, Ignore: -1}, {Fate: findings.Ignored, Ignore: 7}, {Fate: 99}},
	}
	return &fixture{
		cluster: Cluster{Name: s, Leads: true, Since: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)}, images: []Image{img, img}, clairs: []Clair{{URL: s}, {URL: s, Up: true, Asked: noon, Newest: time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)}},
		channels: []Channel{{Name: s, Namespaces: []string{s}, Trouble: s}}, mistakes: []Mistake{{Key: s, Lines: []string{s}, Effect: s}},
		having: map[string]map[string][]findings.Finding{strings.ToUpper(s): {digestOf(0): {f}}},
		report: func(context.Context, string) (Report, error) {
			return Report{Report: findings.Report{Distribution: s, Findings: []findings.Finding{f, f, f}}, Clair: s, Hearers: []Hearer{hearer}}, nil
		},
	}
}

func TestAPIHostile(t *testing.T) {
	for i, s := range hostile {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			h := newPages(t, hostileSource(s))
			for _, w := range []*httptest.ResponseRecorder{
				get(t, h, "/api/v1/overview", ""), get(t, h, "/api/v1/images", ""), get(t, h, "/api/v1/images", url.Values{"q": {s}, "namespace": {s}, s: {s}}.Encode()),
				get(t, h, "/api/v1/images/"+digestOf(0), ""), get(t, h, "/api/v1/images/"+s, ""), get(t, h, "/api/v1/namespaces", ""), get(t, h, "/api/v1/namespaces/"+s, ""),
				get(t, h, "/api/v1/vulnerabilities/"+s, ""), get(t, h, "/api/v1/"+s, ""), get(t, h, "/", ""), get(t, h, "/", url.Values{"q": {s}, "severity": {s}, "sort": {s}, "order": {s}, "page": {s}}.Encode()),
			} {
				text := w.Body.String()
				if kind := w.Header().Get("Content-Type"); kind == "application/json" && !json.Valid(w.Body.Bytes()) || w.Code == 500 {
					t.Errorf("%d %.200s", w.Code, text)
				}
				if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
					for _, v := range violations(text) {
						t.Error(v)
					}
				}
				for _, bad := range []string{"\u202e", "\u2066", "\u200b", "\x00", "\xff", "\a", "\\u202e", "ZgotmplZ", "<script", "<h1>owned"} {
					if strings.Contains(text, bad) {
						t.Errorf("%q in %.200s", bad, text)
					}
				}
			}
		})
	}
}

// FuzzAPI asks for any path below the API's with any query.
func FuzzAPI(f *testing.F) {
	for _, query := range []string{
		"", "namespace=shop&severity=high&fixable=yes&state=scanned&q=nginx&sort=pods&order=asc&limit=3&offset=2", "limit=1000", "limit=-1", "limit=99999999999999999999", "offset=1000000000", "q=%zz",
		"q=a&q=b", "sort=since", "order=desc", ";", "=", "q=cve-2026-0001",
	} {
		f.Add("images", query)
		f.Add("images/"+digestOf(3), query)
		f.Add("namespaces", query)
		f.Add("vulnerabilities/CVE-2026-0001", query)
	}
	for _, s := range hostile {
		f.Add("vulnerabilities/"+s, url.Values{"limit": {s}}.Encode())
		f.Add(s, url.Values{"q": {s}, s: {s}}.Encode())
		f.Add("images", url.Values{"q": {s}, "namespace": {s}, "state": {s}}.Encode())
	}
	f.Add("overview", "")
	f.Add("namespaces/shop", "")
	h := newPages(f, apiSource())
	f.Fuzz(func(t *testing.T, path, query string) {
		w := get(t, h, apiRoot+path, query)
		if w.Header().Get("Content-Type") != "application/json" || !json.Valid(w.Body.Bytes()) || w.Body.Len() > 1<<20 {
			t.Errorf("%s of %d bytes: %.200s", w.Header().Get("Content-Type"), w.Body.Len(), w.Body)
		}
		if w.Code != 200 {
			var fault apiFault
			if decodeStrictly(t, w.Body.String(), &fault); fault.Error == "" || !slices.Contains([]int{400, 404}, w.Code) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
	})
}

// FuzzOverview gives the first page any query: it reads what it can, and says what it read by links that mean the same.
func FuzzOverview(f *testing.F) {
	for _, query := range []string{"", "page=2&sort=since&order=asc", "severity=high&fixable=yes&state=scanned", "q=cve-2026-0001", "sort=name&order=&page=0", "page=%zz;q=a"} {
		f.Add(query)
	}
	for _, s := range hostile {
		f.Add(url.Values{"q": {s}, "namespace": {s}, "state": {s}, "severity": {s}, "sort": {s}, "order": {s}, "page": {s}}.Encode())
	}
	h := newPages(f, apiSource())
	f.Fuzz(func(t *testing.T, query string) {
		w := get(t, h, "/", query)
		if w.Code != 200 || w.Body.Len() > 1<<20 {
			t.Errorf("%d with %d bytes", w.Code, w.Body.Len())
		}
		for _, v := range violations(w.Body.String()) {
			t.Error(v)
		}
		values, _ := url.ParseQuery(query)
		s := parseSelection(values)
		_, back, _ := strings.Cut(strings.TrimSuffix(s.href(), "#images"), "?")
		again, err := url.ParseQuery(back)
		if err != nil {
			t.Fatal(err)
		}
		if parseSelection(again) != s {
			t.Errorf("%+v is written as %s and read as %+v", s, s.href(), parseSelection(again))
		}
	})
}
