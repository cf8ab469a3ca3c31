package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

var update = flag.Bool("update", false, "write the golden files")

// noon is when the tests' pages are made.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fixture is a source that says what it was told to say.
type fixture struct {
	cluster  Cluster
	images   []Image
	channels []Channel
	mistakes []Mistake
	clairs   []Clair
	// having is what Having answers, by the name in capitals.
	having     map[string]map[string][]findings.Finding
	report     func(ctx context.Context, digest string) (Report, error)
	namespaces map[string]Namespace
	// near are the namespaces that Namespace thinks one was meant that is not known.
	near []string
}

func (f *fixture) Cluster() Cluster    { return f.cluster }
func (f *fixture) Images() []Image     { return f.images }
func (f *fixture) Channels() []Channel { return f.channels }
func (f *fixture) Mistakes() []Mistake { return f.mistakes }
func (f *fixture) Clairs() []Clair     { return f.clairs }
func (f *fixture) Having(name string) map[string][]findings.Finding {
	return f.having[strings.ToUpper(name)]
}
func (f *fixture) Report(ctx context.Context, digest string) (Report, error) {
	if f.report == nil {
		return Report{}, ErrNotIndexed
	}
	return f.report(ctx, digest)
}
func (f *fixture) Namespace(_ context.Context, name string) (Namespace, error) {
	if !f.cluster.Leads {
		return Namespace{}, ErrStandby
	}
	if n, ok := f.namespaces[name]; ok {
		return n, nil
	}
	return Namespace{Name: name, Near: f.near}, ErrUnknown
}

func answers(r findings.Report, err error) func(context.Context, string) (Report, error) {
	return func(context.Context, string) (Report, error) { return Report{Report: r}, err }
}

func newPages(t testing.TB, s Source) http.Handler {
	t.Helper()
	h, err := New(Config{Source: s, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get asks for a path, which is taken as it is.
func get(t testing.TB, h http.Handler, path, query string) *httptest.ResponseRecorder {
	t.Helper()
	r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: query}, Header: make(http.Header)}).WithContext(t.Context())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func digestOf(n int) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte{byte(n >> 8), byte(n)}))
}

// manyImages are n images as a cluster has them, worst first and what was not scanned last, with every state.
func manyImages(n int) []Image {
	failures := []Image{
		{State: "unauthorized", Advice: "the registry refuses access", Remedy: "add credentials for it to the docker config of clairwatch"},
		{State: "not_covered", Advice: "Clair has no data for what is in it", Remedy: "know that nobody checks it"},
		{State: "clair_unavailable", Advice: "Clair does not answer", Remedy: "clairwatch goes on trying; check that Clair and its database run, that clairBaseUrl is right, and that it wants no authentication"},
		{State: "untried"},
	}
	names := []string{"docker.io/library/nginx", "ghcr.io/shop/checkout-api", "quay.io/prometheus/node-exporter", "registry.example.com:5000/payments/ledger/settlement-worker", "docker.io/library/redis"}
	namespaces := []string{"cart", "checkout", "default", "kube-system", "monitoring", "payments", "shop"}
	images := make([]Image, n)
	for i := range images {
		img := Image{State: "scanned", Told: true, Found: true}
		if i%20 >= 16 && n > 20 {
			img = failures[i%4]
			img.Told = img.State == "not_covered"
			img.Found = img.Told
		}
		img.Name = fmt.Sprintf("%s:1.%d.%d", names[i%len(names)], i/len(names), i%4)
		img.Digest = digestOf(i)
		img.Platform = "linux/amd64"
		img.Namespaces = namespaces[i%3 : i%3+1+i%5]
		for j, ns := range img.Namespaces {
			img.Workloads = append(img.Workloads, Workload{Kind: "Deployment", Namespace: ns, Name: fmt.Sprint("web-", i), Pods: 1 + j})
			img.Pods += 1 + j
		}
		if img.State == "scanned" {
			left := n - i
			img.Counts = findings.Counts{Critical: left / 40, High: left / 9, Medium: left / 3, Low: left / 2, Negligible: i % 7, Unknown: i % 3}
			img.Counts.Fixable = img.Counts.Total() * (i % 4) / 4
		}
		images[i] = img
	}
	isScanned := func(img Image) bool { return img.State == "scanned" }
	others := slices.DeleteFunc(slices.Clone(images), isScanned)
	return append(slices.DeleteFunc(images, func(img Image) bool { return !isScanned(img) }), others...)
}

// refusedOf is the first of the images that a registry refuses.
func refusedOf(images []Image) *Image {
	return &images[slices.IndexFunc(images, func(img Image) bool { return img.State == "unauthorized" })]
}

// manyFindings is a report of n findings, sorted as reports are.
func manyFindings(n int) findings.Report {
	r := findings.Report{Digest: digestOf(0), Distribution: "Debian 12", Packages: 412, Covered: true}
	packages := []string{"openssl", "glibc", "curl", "libxml2", "python3.11", "imagemagick", "linux-libc-dev", "libwebp"}
	for i := range n {
		f := findings.Finding{
			Name:      fmt.Sprintf("CVE-20%02d-%04d", 12+i%14, 1000+i),
			Package:   packages[i%len(packages)],
			Installed: fmt.Sprintf("1.%d.0-2+deb12u1", i%len(packages)),
			Severity:  findings.Severities[(i*i+i/7)%len(findings.Severities)],
			Updater:   "debian/updater",
		}
		if i%3 == 0 {
			f.FixedIn = fmt.Sprintf("1.%d.0-2+deb12u%d", i%len(packages), 2+i%9)
		}
		if i%5 != 0 {
			f.CVSS = cvssOf(f.Severity, i)
		}
		if i%11 != 0 {
			f.Link = "https://security-tracker.debian.org/tracker/" + f.Name
		}
		r.Findings = append(r.Findings, f)
	}
	findings.Sort(r.Findings)
	return r
}

// cvssOf is the i-th score of a severity; zero: it has none.
func cvssOf(s findings.Severity, i int) float64 {
	least := map[findings.Severity]int{claircore.Critical: 90, claircore.High: 70, claircore.Medium: 40, claircore.Low: 1}[s]
	if least == 0 {
		return 0
	}
	const tenths = 11 // as many as the narrowest has: 9.0 to 10.0
	return float64(least+i%tenths) / 10
}

var manyChannels = []Channel{
	{
		Name: "hooks.slack.com/…#3fa2c1", Namespaces: []string{"checkout", "payments"}, Waiting: 14,
		Trouble: "Slack does not know the webhook (any more): make a new one and put it into the settings",
		Since:   noon.Add(-3 * time.Hour), Next: noon.Add(11 * time.Minute),
	},
	{Name: "hooks.slack.com/…#90b77e", Namespaces: []string{"cart", "default", "kube-system", "monitoring", "shop"}, Waiting: 1},
	{Name: "hooks.slack.com/…#d41a20", Namespaces: []string{"shop"}},
	{Name: "hooks.slack.com/…#08e5b1", Namespaces: []string{"payments-staging"}, Untried: true},
}

var fewMistakes = []Mistake{
	{Key: "_defaults", Lines: []string{"_defaults.clairBaseUrl (line 1): not an http or https address: want an address such as http://clair.clair:6000/"}, Effect: "all keys keep their last good settings"},
	{Key: "checkout", Lines: []string{
		"checkout[1].minSeverty (line 7): no such field; did you mean minSeverity?",
		"checkout[1].slackWebhookUrl (line 8): the webhook has no path",
	}, Effect: "the last good settings stay in force"},
	{Key: "shop", Lines: []string{"shop: not valid YAML (line 4): a tab where spaces are wanted"}, Effect: "the namespace is not watched until it is mended"},
}

// golden are pages that are kept to be looked at.
func golden() map[string]struct {
	source      *fixture
	path, query string
	status      int
} {
	type page = struct {
		source      *fixture
		path, query string
		status      int
	}
	leads := Cluster{Name: "production", Leads: true, Since: noon.Add(-26 * time.Hour)}
	of := func(n int, r findings.Report, err error) *fixture {
		return &fixture{cluster: leads, images: manyImages(n), channels: manyChannels, report: answers(r, err)}
	}
	refused := refusedOf(manyImages(400))
	full := &fixture{cluster: leads, images: toldImages(450), channels: manyChannels, clairs: manyClairs[:1], having: manyHaving()}
	mistaken := of(3, findings.Report{}, nil)
	mistaken.clairs = manyClairs
	mistaken.mistakes = fewMistakes
	unscanned := []Image{{
		Name: "ghcr.io/shop/checkout-api:2", Namespaces: []string{"shop"}, Pods: 1, State: "untried",
		Workloads: []Workload{{Kind: "Deployment", Namespace: "shop", Name: "checkout-api", Pods: 1}},
	}}
	return map[string]page{
		"overview-empty":    {&fixture{cluster: leads}, "/", "", 200},
		"overview-standby":  {&fixture{}, "/", "", 200},
		"overview-1":        {&fixture{cluster: leads, images: toldImages(1), channels: manyChannels[2:3], clairs: manyClairs[3:4]}, "/", "", 200},
		"overview-450":      {full, "/", "", 200},
		"overview-last":     {full, "/", "sort=since&order=asc&page=3", 200},
		"overview-filtered": {full, "/", "namespace=checkout&q=NGINX&severity=critical&fixable=yes&sort=name", 200},
		"overview-named":    {full, "/", "q=cve-2026-0001", 200},
		"overview-new":      {&fixture{cluster: leads, images: unscanned, channels: manyChannels[3:]}, "/", "", 200},
		"overview-mistakes": {mistaken, "/", "", 200},
		"overview-none":     {of(400, findings.Report{}, nil), "/", "q=no+such+image", 200},
		"image-900":         {of(400, manyFindings(900), nil), "/images/" + digestOf(0), "", 200},
		"image-12":          {of(400, manyFindings(12), nil), "/images/" + digestOf(3), "", 200},
		"image-clean":       {of(1, findings.Report{Digest: digestOf(0), Distribution: "Alpine 3.22", Packages: 17, Covered: true}, nil), "/images/" + digestOf(0), "", 200},
		"image-not-covered": {of(1, findings.Report{Digest: digestOf(0), Packages: 1}, nil), "/images/" + digestOf(0), "", 200},
		"image-failed":      {&fixture{cluster: leads, images: []Image{*refused}}, "/images/" + refused.Digest, "", 200},
		"image-no-clair":    {of(1, findings.Report{}, errors.New("secret of the network")), "/images/" + digestOf(0), "", 502},
		"image-gone":        {of(1, findings.Report{}, nil), "/images/" + digestOf(7), "", 404},
		"image-standby":     {&fixture{}, "/images/" + digestOf(7), "", 503},
		"not-found":         {of(1, findings.Report{}, nil), "/images", "", 404},
	}
}

// assetVersion is in the addresses of the stylesheet and the icon. Golden files have 0 instead: not every change of a
// colour is one of every page.
var assetVersion = regexp.MustCompile(`\?v=[0-9a-f]{12}`)

func TestGolden(t *testing.T) {
	pages := golden()
	for _, more := range []map[string]goldenPage{imagePages(), vulnerabilityPages(), namespacePages()} {
		maps.Copy(pages, more)
	}
	for name, p := range pages {
		t.Run(name, func(t *testing.T) {
			w := get(t, newPages(t, p.source), p.path, p.query)
			if w.Code != p.status {
				t.Errorf("status %d, want %d", w.Code, p.status)
			}
			got := assetVersion.ReplaceAllString(w.Body.String(), "?v=0")
			for _, v := range violations(got) {
				t.Error(v)
			}
			file := filepath.Join("testdata", name+".golden.html")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s; if that is meant, run go test ./web -update and look at it", file)
			}
		})
	}
	files, err := filepath.Glob("testdata/*.golden.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := pages[strings.TrimSuffix(filepath.Base(f), ".golden.html")]; !ok {
			t.Errorf("%s belongs to no page", f)
		}
	}
}

// TestViolations shows that the rules find what they are for.
func TestViolations(t *testing.T) {
	good := get(t, newPages(t, golden()["overview-1"].source), "/", "").Body.String()
	if vs := violations(good); len(vs) != 0 {
		t.Fatalf("of a good page: %q", vs)
	}
	for _, c := range []struct{ replace, by, want string }{
		{"<h1>", "<script></script><h1>", "an element script"},
		{"<h1>", `<img src="x"><h1>`, "an element img"},
		{"<h1>", `<h1 style="color:red">`, "the attribute style"},
		{"<h1>", `<h1 onclick="x()">`, "the attribute onclick"},
		{"<h1>", "<h1></section>", "not well formed"},
		{"<h1>", "<!-- x --><h1>", "a comment"},
		{"</main>", `<p id="main"></p></main>`, "two elements with the id main"},
		{"</main>", `<a href="/images/x">x</a></main>`, "not a relative address"},
		{"</main>", `<a href="//example.com">x</a></main>`, "not a relative address"},
		{"</main>", `<a href="https://example.com">x</a></main>`, "a link to"},
		{"</main>", `<a href="javascript:x" rel="noreferrer">x</a></main>`, "a link to"},
		{"</main>", `<a href="#nowhere">x</a></main>`, "nothing has the id nowhere"},
		{"</main>", `<table><tr><th>x</th></tr></table></main>`, "a th without a scope"},
		{`<th scope="col">`, `<th scope="col" aria-sort="up">`, `sorted "up"`},
		{"</main>", `<input type="text" id="x"></main>`, "x has no label"},
		{"</main>", `<table></table></main>`, "tables with"},
		{"</main>", `<a href="./"> <b></b></a></main>`, "a link without a name"},
		{"</main>", `<nav><a href="./">x</a></nav></main>`, "a nav without a name"},
		{"</main>", `<details>x</details></main>`, "details with"},
		{"</h1>", "</h1><h3>x</h3>", "h3 after h1"},
		{` lang="en"`, "", "the language"},
		{`<label for="q">`, `<label for="state">`, "q has no label"},
		{`method="get"`, `method="post"`, "read only"},
		{"<h1>", "<h1></h1><h1>", "2 elements h1"},
		{`<h2 id="vulnerabilities">Vulnerabilities</h2>`, "", "nothing has the id vulnerabilities"},
	} {
		bad := strings.Replace(good, c.replace, c.by, 1)
		if bad == good {
			t.Errorf("the page has no %s", c.replace)
		}
		if got := strings.Join(violations(bad), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s instead of %s: %q, want %q", c.by, c.replace, got, c.want)
		}
	}
}

func TestMethodsAndHeaders(t *testing.T) {
	server := httptest.NewServer(newPages(t, golden()["image-12"].source))
	defer server.Close()
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, c := range []struct {
		method, path, kind string
		status             int
	}{
		{"GET", "/", "text/html; charset=utf-8", 200},
		{"HEAD", "/", "text/html; charset=utf-8", 200},
		{"GET", "/?q=%zz&&;=", "text/html; charset=utf-8", 200},
		{"GET", "/images/" + digestOf(0), "text/html; charset=utf-8", 200},
		{"HEAD", "/images/" + digestOf(0), "text/html; charset=utf-8", 200},
		{"GET", "/images/" + strings.Replace(digestOf(0), ":", "%3A", 1), "text/html; charset=utf-8", 200},
		{"GET", "/images/" + digestOf(0) + "/", "text/html; charset=utf-8", 404},
		{"GET", "/images/", "text/html; charset=utf-8", 404},
		{"GET", "/images/latest", "text/html; charset=utf-8", 404},
		{"GET", "/images/../style.css", "text/html; charset=utf-8", 404},
		{"GET", "/vulnerabilities/", "text/html; charset=utf-8", 404},
		{"GET", "/vulnerabilities/CVE-2024-9999", "text/html; charset=utf-8", 404},
		{"HEAD", "/namespaces/shop%2Fx", "text/html; charset=utf-8", 404},
		{"POST", "/namespaces/shop", "text/html; charset=utf-8", 405},
		{"GET", "//example.com/", "text/html; charset=utf-8", 404},
		{"GET", "/templates/layout.html", "text/html; charset=utf-8", 404},
		{"GET", "/style.css", "text/css; charset=utf-8", 200},
		{"HEAD", "/style.css", "text/css; charset=utf-8", 200},
		{"GET", "/icon.svg", "image/svg+xml", 200},
		{"POST", "/", "text/html; charset=utf-8", 405},
		{"PUT", "/images/" + digestOf(0), "text/html; charset=utf-8", 405},
		{"DELETE", "/nowhere", "text/html; charset=utf-8", 405},
		{"OPTIONS", "/", "text/html; charset=utf-8", 405},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != c.status || answer.Header.Get("Content-Type") != c.kind {
				t.Errorf("%d %s, want %d %s", answer.StatusCode, answer.Header.Get("Content-Type"), c.status, c.kind)
			}
			if answer.ContentLength <= 0 {
				t.Errorf("length %d", answer.ContentLength)
			}
			for k, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
				"X-Content-Type-Options":  "nosniff",
				"Referrer-Policy":         "no-referrer",
				"Cache-Control":           "no-store",
				"Set-Cookie":              "",
				"Location":                "",
			} {
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

// TestStandbyRetry shows that a replica that stands by says when to ask again, and does not say that nothing is there.
func TestStandbyRetry(t *testing.T) {
	h := newPages(t, &fixture{})
	for _, path := range []string{"/images/" + digestOf(0), "/vulnerabilities/CVE-2026-0001", "/namespaces/shop", "/api/v1/images/" + digestOf(0)} {
		w := get(t, h, path, "")
		if w.Code != 503 || w.Header().Get("Retry-After") != "30" || !strings.Contains(w.Body.String(), "stands by") {
			t.Errorf("%s: %d, Retry-After %q", path, w.Code, w.Header().Get("Retry-After"))
		}
	}
}

// TestLinksBehindPrefix follows every link of the pages where the site has a prefix.
func TestLinksBehindPrefix(t *testing.T) {
	const prefix = "/proxy/clairwatch"
	source := golden()["image-12"].source
	source.having, source.namespaces = havingOf(manyFindings(12)), make(map[string]Namespace)
	for _, img := range source.images {
		for _, ns := range img.Namespaces {
			source.namespaces[ns] = Namespace{Name: ns}
		}
	}
	site := newPages(t, source)
	mux := http.NewServeMux()
	mux.Handle(prefix+"/", http.StripPrefix(prefix, site))
	source.namespaces["cart"] = shop()
	for _, from := range []string{"/", "/images/" + digestOf(0), "/vulnerabilities/CVE-2018-1006", "/namespaces/cart", "/namespaces/nowhere", "/no/such/page"} {
		page := get(t, site, from, "").Body.String()
		base := &url.URL{Path: prefix + from}
		followed := make(map[string]bool)
		for rest := page; ; {
			_, after, found := strings.Cut(rest, ` href="`)
			if !found {
				break
			}
			var href string
			href, rest, _ = strings.Cut(after, `"`)
			to, err := base.Parse(html.UnescapeString(href))
			if err != nil {
				t.Fatal(err)
			}
			if to.IsAbs() || strings.HasPrefix(href, "#") || followed[href] {
				continue
			}
			followed[href] = true
			if w := get(t, mux, to.Path, to.RawQuery); w.Code != 200 {
				t.Errorf("%s links to %s: %d", from, href, w.Code)
			}
		}
		if len(followed) < 3 {
			t.Errorf("%s has %d links", from, len(followed))
		}
	}
}

func TestReportErrors(t *testing.T) {
	const secret = "https://user:hunter2@clair/"
	for _, c := range []struct {
		name   string
		err    error
		status int
		says   string
	}{
		{"unknown", fmt.Errorf("%s: %w", secret, ErrUnknown), 404, "No image that runs has this digest"},
		{"not indexed", fmt.Errorf("%s: %w", secret, ErrNotIndexed), 200, "has no report of this image"},
		{"too large", fmt.Errorf("%s: %w", secret, ErrTooLarge), 502, "larger than clairwatch reads"},
		{"anything else", errors.New(secret), 502, "Clair does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := get(t, newPages(t, &fixture{cluster: leading, images: manyImages(1), report: answers(findings.Report{}, c.err)}), "/images/"+digestOf(0), "")
			page := w.Body.String()
			if w.Code != c.status || !strings.Contains(page, c.says) {
				t.Errorf("%d, want %d with %q\n%s", w.Code, c.status, c.says, page)
			}
			if strings.Contains(page, "hunter2") {
				t.Error("the page holds the error's text")
			}
			if c.status != 404 && !strings.Contains(page, "web-0") {
				t.Error("the page does not say where the image runs")
			}
		})
	}
}

// TestReportsAtOnce shows that no more than two reports are fetched at a time, that the others wait their turn, and
// that who waits too long is told when to come again.
func TestReportsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, all atomic.Int32
		source := &fixture{images: manyImages(1)}
		source.report = func(context.Context, string) (Report, error) {
			all.Add(1)
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(12 * time.Second)
			return Report{Report: manyFindings(3)}, nil
		}
		h := newPages(t, source)
		var mu sync.Mutex
		statuses := make(map[int]int)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				w := get(t, h, "/images/"+digestOf(0), "")
				mu.Lock()
				defer mu.Unlock()
				statuses[w.Code]++
				if retry := w.Header().Get("Retry-After"); (retry == "30") != (w.Code == 503) {
					t.Errorf("%d with Retry-After %q", w.Code, retry)
				}
				if !strings.Contains(w.Body.String(), "web-0") {
					t.Errorf("%d without saying where the image runs", w.Code)
				}
			})
		}
		wg.Wait()
		// Pairs begin at 0, 12 and 24 seconds, and the last of them ends when the others have given up.
		if statuses[200] != 6 || statuses[503] != 4 || most.Load() != 2 || all.Load() != 6 {
			t.Errorf("statuses %v, %d at once, %d in all", statuses, most.Load(), all.Load())
		}
		if w := get(t, h, "/images/"+digestOf(0), ""); w.Code != 200 {
			t.Errorf("afterwards %d", w.Code)
		}
	})
}

// TestReportTimeout shows that a Clair that hangs is given up.
func TestReportTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPages(t, &fixture{images: manyImages(1), report: func(ctx context.Context, _ string) (Report, error) {
			<-ctx.Done() // without a deadline the test would never end
			return Report{}, ctx.Err()
		}})
		if w := get(t, h, "/images/"+digestOf(0), ""); w.Code != 502 || !strings.Contains(w.Body.String(), "Clair does not answer") {
			t.Errorf("status %d\n%s", w.Code, w.Body)
		}
	})
}

// TestTurnAfterPanic shows that a source that panics does not keep its turn for ever.
func TestTurnAfterPanic(t *testing.T) {
	source := &fixture{images: manyImages(1)}
	h := newPages(t, source)
	source.report = func(context.Context, string) (Report, error) { panic("a mistake") }
	for range 3 {
		func() {
			defer func() { _ = recover() }()
			get(t, h, "/images/"+digestOf(0), "")
		}()
	}
	source.report = answers(manyFindings(1), nil)
	if w := get(t, h, "/images/"+digestOf(0), ""); w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
}

// TestBounds shows that pages stay small whatever there is.
func TestBounds(t *testing.T) {
	long := strings.Repeat("n", 10<<10)
	images := manyImages(3000)
	for i := range 1000 {
		images[0].Workloads = append(images[0].Workloads, Workload{Kind: "Job", Namespace: long, Name: fmt.Sprint(i, long)})
		images[0].Namespaces = append(images[0].Namespaces, fmt.Sprint(i, long))
		images[i].State += fmt.Sprint(i)
	}
	for i := 1; i < 100; i++ {
		images[i].Digest = images[0].Digest
	}
	channels := make([]Channel, 1500)
	for i := range channels {
		channels[i] = manyChannels[[...]int{0, 1, 3}[i%3]]
		if channels[i].Trouble != "" {
			channels[i].Trouble += long
		}
	}
	mistakes := make([]Mistake, 137)
	for i := range mistakes {
		mistakes[i] = Mistake{Key: fmt.Sprint("key-", i), Lines: make([]string, 30), Effect: long}
		for j := range mistakes[i].Lines {
			mistakes[i].Lines[j] = long
		}
	}
	clairs := make([]Clair, 100)
	for i := range clairs {
		clairs[i] = Clair{URL: fmt.Sprint(i, long), Away: noon}
	}
	r := manyFindings(5000)
	for i := range r.Findings {
		r.Findings[i].Package = fmt.Sprint("p", i)
		r.Findings[i].Name = long
	}
	h := newPages(t, &fixture{images: images, clairs: clairs, channels: channels, mistakes: mistakes, report: answers(r, nil)})
	for _, c := range []struct {
		path, row string
		rows      int
		says      []string
		most      int
	}{
		{"/", `<a href="images/`, 200, []string{"1 to 200 are shown", "Page 1 of 15", "more namespaces", "and 50 more Clairs", "and 400 more channels", "500 channels take messages", "500 channels have been sent nothing", "and 400 more", "<p>and 10 more</p>", "and 37 more keys"}, 2 << 20},
		{"/images/" + digestOf(0), "", 0, []string{"1 to 500 are shown", "and 1,167 more updates", "more workloads"}, 4 << 20},
	} {
		w := get(t, h, c.path, "")
		page := w.Body.String()
		for _, v := range violations(page) {
			t.Error(v)
		}
		if n := strings.Count(page, c.row); c.row != "" && n != c.rows {
			t.Errorf("%s: %d rows", c.path, n)
		}
		for _, s := range c.says {
			if !strings.Contains(page, s) {
				t.Errorf("%s does not say %q", c.path, s)
			}
		}
		if len(page) > c.most {
			t.Errorf("%s has %d bytes", c.path, len(page))
		}
	}
}

// hostile are strings that try to be more than text.
var hostile = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`' onmouseover='alert(1)`,
	`</title></bdi></table><h1>owned`,
	`javascript:alert(1)`,
	`{{.Cluster}}`,
	"&lt;b&gt;",
	"<!-- ",
	"]]>",
	"a\u202egnp.exe\u2066\u200b",
	"nul\x00 bad\xff\xfe bell\a\r\n\ttab",
	"../../etc/passwd",
	"//example.com/",
	"https://user:pass@example.com/",
	`https://example.com/"><script>`,
	strings.Repeat("é", 5000),
	"",
}

func TestHostile(t *testing.T) {
	for i, s := range hostile {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			img := Image{
				Name: s, Digest: digestOf(0), Platform: s, Namespaces: []string{s}, Pods: 1,
				Workloads: []Workload{{Kind: s, Namespace: s, Name: s, Pods: 1}},
				State:     s, Advice: s, Remedy: s, Told: true, Counts: findings.Counts{Critical: -1, High: 2},
			}
			unnamed := img
			unnamed.Digest = s
			f := findings.Finding{Name: s, Package: s, Installed: s, FixedIn: s, Severity: 99, CVSS: -1, Updater: s, Link: s, Description: s}
			source := &fixture{
				cluster:  Cluster{Name: s},
				images:   []Image{img, unnamed, img},
				channels: []Channel{{Name: s, Namespaces: []string{s}, Trouble: s}, {Name: s, Waiting: -1}, {Name: s, Trouble: "x" + s}},
				mistakes: []Mistake{{Key: s, Lines: []string{s, "x" + s}, Effect: s}, {Key: s, Lines: []string{s}}},
				report:   answers(findings.Report{Distribution: s, Packages: -1, Findings: []findings.Finding{f, f}}, nil),
			}
			h := newPages(t, source)
			query := url.Values{"q": {s}, "namespace": {s}, "state": {s}}.Encode()
			for _, w := range []*httptest.ResponseRecorder{
				get(t, h, "/", ""), get(t, h, "/", query), get(t, h, "/images/"+digestOf(0), ""), get(t, h, "/images/"+s, ""), get(t, h, "/"+s+"x", ""),
			} {
				page := w.Body.String()
				for _, v := range violations(page) {
					t.Error(v)
				}
				for _, bad := range []string{"\u202e", "\u2066", "\u200b", "\x00", "\xff", "\a", "ZgotmplZ", "<h1>owned"} {
					if strings.Contains(page, bad) {
						t.Errorf("%q in the page", bad)
					}
				}
			}
		})
	}
}

// TestParallel asks for everything at once; the race detector looks on.
func TestParallel(t *testing.T) {
	h := newPages(t, golden()["image-12"].source)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			paths := []string{"/", "/images/" + digestOf(i), "/style.css", "/nowhere", "/api/v1/images", "/api/v1/images/" + digestOf(i)}
			if w := get(t, h, paths[i%len(paths)], "q=web"); w.Code != 200 && w.Code != 404 && w.Code != 400 {
				t.Errorf("status %d", w.Code)
			}
		})
	}
	wg.Wait()
}

// FuzzPages asks for any path with any query.
func FuzzPages(f *testing.F) {
	f.Add("/", "namespace=shop&q=nginx&state=scanned")
	f.Add("/", "q=%zz&q=;&&&=")
	f.Add("/images/"+digestOf(0), "")
	f.Add("/images/sha256:"+strings.Repeat("A", 64), "q=\"><script>")
	f.Add("/images/sha512:"+strings.Repeat("0", 128), "")
	f.Add("//a/../%2e", "")
	for _, s := range hostile {
		f.Add("/images/"+s, url.Values{"q": {s}, "namespace": {s}, "state": {s}}.Encode())
	}
	f.Add("/images/"+digestOf(0), "severity=high&fixable=yes&package=openssl&q=cve&page=2")
	f.Add("/vulnerabilities/CVE-2024-6119", "")
	f.Add("/namespaces/shop", "")
	for _, s := range hostile {
		f.Add("/vulnerabilities/"+s, "")
		f.Add("/namespaces/"+s, "")
		f.Add("/images/"+digestOf(0), url.Values{"q": {s}, "package": {s}, "severity": {s}, "page": {s}}.Encode())
	}
	h := newPages(f, &fixture{cluster: leading, images: manyImages(21), channels: manyChannels, report: answers(manyFindings(3), nil)})
	f.Fuzz(func(t *testing.T, path, query string) {
		if strings.HasPrefix(path, apiRoot) {
			return // FuzzAPI asks for these
		}
		w := get(t, h, path, query)
		known := path == "/" || path == "/style.css" || path == "/icon.svg"
		if digest, ok := strings.CutPrefix(path, "/images/"); ok {
			for i := range 21 {
				known = known || digest == digestOf(i)
			}
		}
		if want := map[bool]int{true: 200, false: 404}[known]; w.Code != want {
			t.Errorf("status %d, want %d", w.Code, want)
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			return
		}
		for _, v := range violations(w.Body.String()) {
			t.Error(v)
		}
	})
}

// TestAssetsAreKept shows that a browser may keep what a page loads, as long as a page loads it from the same address.
func TestAssetsAreKept(t *testing.T) {
	h := newPages(t, golden()["image-12"].source)
	page := get(t, h, "/", "").Body.String()
	for _, name := range []string{"style.css", "icon.svg"} {
		_, rest, _ := strings.Cut(page, ` href="./`+name+`?`)
		query, _, found := strings.Cut(rest, `"`)
		if !found || !assetVersion.MatchString("?"+query) {
			t.Fatalf("the page has no address of %s with a version", name)
		}
		for asked, want := range map[string]string{query: "private, max-age=31536000, immutable", "": "no-store", "v=0": "no-store", query + "&x": "no-store"} {
			w := get(t, h, "/"+name, asked)
			if got := w.Header().Get("Cache-Control"); w.Code != 200 || got != want {
				t.Errorf("%s?%s: %d %q, want %q", name, asked, w.Code, got, want)
			}
		}
	}
	if got := get(t, h, "/", strings.TrimPrefix(assetVersion.FindString(page), "?")).Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("a page: %q", got)
	}
}
