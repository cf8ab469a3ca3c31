package web

import (
	"html"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// toldImages are manyImages with since when some of them were told.
func toldImages(n int) []Image {
	images := manyImages(n)
	for i := range images {
		img := &images[i]
		if img.Told && i%5 != 4 {
			img.Since = noon.Add(-time.Duration(1+i*i%2000) * time.Hour)
		}
		if i%50 == 7 {
			img.Told = false
			img.Since = time.Time{}
		}
	}
	return images
}

// manyClairs are one of each kind.
var manyClairs = []Clair{
	{URL: "http://clair.clair:6000/", Up: true, Asked: noon.Add(-4 * time.Minute), Newest: noon.Add(-3 * time.Hour)},
	{URL: "http://clair.away:6060/", Away: noon.Add(-26 * time.Minute), Asked: noon.Add(-30 * time.Minute), Newest: noon.Add(-5 * time.Hour)},
	{URL: "http://clair.loading:6060/", Up: true, Loading: true, Asked: noon.Add(-time.Minute), Newest: noon.Add(-2 * time.Minute)},
	{URL: "https://clair.new.example.com/"},
	{URL: "http://clair.stale:6060/", Up: true, Asked: noon.Add(-time.Minute), Newest: noon.Add(-5 * 24 * time.Hour)},
	{URL: "http://clair.mute:6060/", Asked: noon.Add(-time.Minute), Newest: noon.Add(-time.Hour)},
	{URL: "http://clair.silent:6060/", Up: true, Asked: noon.Add(-time.Minute)},
}

// manyHaving is what has two vulnerabilities, one of which goes by another name.
func manyHaving() map[string]map[string][]findings.Finding {
	called := findings.Finding{Name: "CVE-2026-0001", Package: "openssl", Installed: "3.0.2", FixedIn: "3.0.9", Severity: findings.Severities[0], CVSS: 9.8, Updater: "debian/updater", Link: "https://security-tracker.debian.org/tracker/CVE-2026-0001"}
	mentions := findings.Finding{Name: "GHSA-aaaa-bbbb-cccc", Package: "left-pad", Installed: "1", Severity: findings.Severities[2], Updater: "osv", Link: "https://example.com/CVE-2026-0001"}
	return map[string]map[string][]findings.Finding{
		"CVE-2026-0001": {digestOf(0): {called}, digestOf(7): {called, mentions}, digestOf(9): {mentions}},
		"CVE-2026-0002": {digestOf(3): {mentions}},
	}
}

// listed are images with a digit at the end of the name, by which tests call them.
func listed() []Image {
	at := func(hours int) time.Time { return noon.Add(time.Duration(hours) * time.Hour) }
	return []Image{
		{Name: "docker.io/library/nginx:1", Digest: digestOf(1), Namespaces: []string{"a", "b"}, State: "scanned", Found: true, Counts: findings.Counts{Critical: 1, Low: 7, Fixable: 2}, Pods: 2, Told: true, Since: at(-5)},
		{Name: "ghcr.io/shop/api:2", Digest: digestOf(2), Namespaces: []string{"b"}, State: "untried", Workloads: []Workload{{Name: "Nginx-proxy"}}, Counts: findings.Counts{Critical: 9, Fixable: 9}, Pods: 9},
		{Name: "ghcr.io/shop/web:3", Digest: digestOf(3), Namespaces: []string{"bb"}, State: "scanned", Found: true, Counts: findings.Counts{High: 3}, Pods: 2, Told: true},
		{Name: "ghcr.io/shop/db:4", Digest: digestOf(4), Namespaces: []string{"a"}, State: "not_covered", Advice: "no data", Found: true, Counts: findings.Counts{Unknown: 1, Fixable: 1}, Pods: 1, Told: true, Since: at(-9)},
		{Name: "ghcr.io/shop/no:5", Namespaces: []string{"c"}, State: "unauthorized", Advice: "refused", Pods: 1},
	}
}

func names(images []Image) string {
	var s string
	for _, img := range images {
		s += img.Name[len(img.Name)-1:]
	}
	return s
}

func TestFilter(t *testing.T) {
	having := map[string][]findings.Finding{digestOf(3): {{Name: "CVE-2026-0001"}}, "": {{Name: "CVE-2026-0001"}}}
	for query, want := range map[string]string{
		"": "12345", "other=x": "12345", "namespace=a": "14", "namespace=b": "12", "namespace=B": "", "q=NGINX": "12", "q=+nginx+": "12", "q=shop": "2345",
		"q=" + digestOf(3)[:20]: "3", "q=" + digestOf(3)[7:13]: "3", "q=" + strings.ToUpper(digestOf(3)[7:13]): "3", "q=" + digestOf(3)[7:12]: "", "q=" + digestOf(3)[9:19]: "", "q=db": "4", "q=sha": "",
		"state=scanned": "13", "state=scan": "", "namespace=b&state=untried&q=api": "2", "q=%zz&namespace=a": "14", "q=nothing": "",
		"severity=critical": "1", "severity=HIGH": "13", "severity=low": "13", "severity=unknown": "4", "severity=negligible": "13", "severity=severe": "12345",
		"fixable=yes": "14", "fixable=no": "12345", "fixable=yes&severity=medium": "1", "q=cve": "3",
	} {
		values, _ := url.ParseQuery(query) // as a request does
		f := parseFilter(values)
		has := having
		if f.Text != "cve" {
			has = nil
		}
		if got := names(f.pick(listed(), has)); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if again := parseFilter(f.values()); again != f {
			t.Errorf("%s: %+v is written and read as %+v", query, f, again)
		}
	}
}

// TestFilterWords shows that what is left out is said where paper has no form: in captions and in the title.
func TestFilterWords(t *testing.T) {
	images := &fixture{cluster: leading, images: manyImages(40), report: answers(manyFindings(40), nil)}
	for _, c := range []struct{ path, query, want string }{
		{"/", "namespace=shop&state=not_covered&severity=high&fixable=yes&q=nginx", "in namespace shop, state not covered, with high or worse, with something fixable, with “nginx”"},
		{"/", "severity=critical", "with critical"},
		{"/", "severity=low&q=web&sort=name", "with low or worse, with “web”"},
		{"/images/" + digestOf(0), "severity=high&fixable=yes&package=openssl&q=cve", "high or worse, with a fix, of package openssl, with “cve”"},
		{"/images/" + digestOf(0), "severity=unknown", "unknown alone"},
		{"/images/" + digestOf(0), "q=nothing", "with “nothing”"},
	} {
		page := get(t, newPages(t, images), c.path, c.query).Body.String()
		if !strings.Contains(page, "(<bdi>"+c.want+"</bdi>)") {
			t.Errorf("%s?%s does not say %q", c.path, c.query, c.want)
		}
		if title := "<title>What runs, " + c.want + " · clairwatch · production</title>"; c.path == "/" && !strings.Contains(page, title) {
			t.Errorf("%s?%s has no title %s", c.path, c.query, title)
		}
	}
	for _, path := range []string{"/", "/images/" + digestOf(0)} {
		if page := get(t, newPages(t, images), path, "sort=pods&page=2").Body.String(); strings.Contains(page, "(<bdi>") || strings.Contains(page, "<title>What runs, ") {
			t.Errorf("%s names a filter without one", path)
		}
	}
}

func TestOrder(t *testing.T) {
	for query, want := range map[string]string{
		"": "12345", "sort=nothing": "12345", "order=asc": "12345", "sort=name": "12453", "sort=name&order=desc": "35421", "sort=name&order=up": "12453",
		"sort=namespaces": "41235", "sort=namespaces&order=desc": "53214", "sort=pods": "21345", "sort=pods&order=asc": "45132",
		"sort=critical": "13425", "sort=critical&order=asc": "34125", "sort=high": "31425", "sort=medium": "13425", "sort=other": "14325", "sort=fixable": "14325",
		"sort=fixable&order=asc": "34125", "sort=state": "42135", "sort=since": "14325", "sort=since&order=asc": "41325",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		o, images := parseOrder(values), listed()
		var got string
		for from := 0; from < 6; from += 2 {
			for _, img := range o.part(images, from, 2) {
				got += names([]Image{*img})
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if names(images) != "12345" {
			t.Errorf("%s: the images themselves were sorted", query)
		}
		back := make(url.Values)
		if o.set(back); parseOrder(back) != o {
			t.Errorf("%s: %+v is written and read as %+v", query, o, parseOrder(back))
		}
	}
}

// TestHeads follows the heads of the columns: a first click sorts, a second one reverses, and both keep the filter.
func TestHeads(t *testing.T) {
	h := newPages(t, &fixture{images: listed()})
	click := func(query, word string) string {
		t.Helper()
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range columns() {
			if c.Word == word {
				href := newHeadCell(c, parseSelection(values)).Href
				page := get(t, h, "/", query).Body.String()
				if !strings.Contains(page, ` href="`+html.EscapeString(href)+`"`) {
					t.Errorf("the page of %q has no link to %s", query, href)
				}
				return strings.TrimSuffix(strings.TrimPrefix(href, "./?"), "#images")
			}
		}
		t.Fatalf("there is no column %s", word)
		return ""
	}
	for _, c := range columns() {
		first := click("namespace=a&page=7", c.Word)
		second := click(first, c.Word)
		third := click(second, c.Word)
		if first == second || third != first || strings.Contains(first, "page") || !strings.Contains(second, "namespace=a") {
			t.Errorf("%s: %q, then %q, then %q", c.Word, first, second, third)
		}
		sorted := map[string]int{first: 0, second: 0}
		for query := range sorted {
			page := get(t, h, "/", query).Body.String()
			if strings.Count(page, "aria-sort") != 1 {
				t.Errorf("%s: not one column is sorted", query)
			}
			want := map[bool]string{true: "ascending", false: "descending"}[strings.Contains(query, "order=asc")]
			if !strings.Contains(page, ` aria-sort="`+want+`"><a href=`) {
				t.Errorf("%s: not %s", query, want)
			}
			if !strings.Contains(page, `<input type="hidden" name="sort" value="`+c.Word+`">`) {
				t.Errorf("%s: the form does not keep the order", query)
			}
		}
	}
}

func TestPagesOfTable(t *testing.T) {
	h := newPages(t, &fixture{images: manyImages(450)})
	for query, want := range map[string]struct {
		rows           int
		says           string
		previous, next string
	}{
		"":                                {200, "1 to 200 are shown", "", "./?page=2#images"},
		"page=1":                          {200, "1 to 200 are shown", "", "./?page=2#images"},
		"page=2&sort=pods":                {200, "201 to 400 are shown", "./?order=desc&sort=pods#images", "./?order=desc&page=3&sort=pods#images"},
		"page=3":                          {50, "401 to 450 are shown", "./?page=2#images", ""},
		"page=4":                          {50, "401 to 450 are shown", "./?page=2#images", ""},
		"page=99999999999999999999999999": {50, "401 to 450 are shown", "./?page=2#images", ""},
		"page=0":                          {200, "1 to 200 are shown", "", "./?page=2#images"},
		"page=-3":                         {200, "1 to 200 are shown", "", "./?page=2#images"},
		"page=two":                        {200, "1 to 200 are shown", "", "./?page=2#images"},
		"q=web-44&page=9":                 {11, "11 of 450 images (<bdi>with “web-44”</bdi>), worst first</caption>", "", ""},
	} {
		page := get(t, h, "/", query).Body.String()
		if n := strings.Count(page, `<a href="images/`); n != want.rows {
			t.Errorf("%s: %d rows, want %d", query, n, want.rows)
		}
		if !strings.Contains(page, want.says) {
			t.Errorf("%s does not say %q", query, want.says)
		}
		for rel, href := range map[string]string{"prev": want.previous, "next": want.next} {
			_, after, has := strings.Cut(page, ` rel="`+rel+`"`)
			if link := `<a href="` + html.EscapeString(href) + `" rel="` + rel + `"`; has != (href != "") || has && !strings.Contains(page, link) {
				t.Errorf("%s: %s is not %q but before %.60q", query, rel, href, after)
			}
		}
	}
}

func TestByNamespace(t *testing.T) {
	several := func(name string, found bool, namespaces ...string) Image {
		return Image{Name: name, Digest: digestOf(1), Namespaces: namespaces, Found: found, Counts: findings.Counts{High: 2, Fixable: 1},
			Workloads: []Workload{{Kind: "Deployment", Namespace: "a", Name: "web", Pods: 3}}}
	}
	images := []Image{
		several("one", false, "a"), several("two", true, "a", "b"), several("three", true, "a"),
		{Digest: digestOf(2), Namespaces: []string{"a"}, Found: true, Counts: findings.Counts{Low: 1}, Workloads: []Workload{
			{Kind: "Deployment", Namespace: "a", Name: "web", Pods: 2}, {Kind: "Job", Namespace: "a", Name: "web", Pods: 5},
		}},
		{Namespaces: []string{"c"}, Advice: "refused"}, {Namespaces: []string{"c"}, Advice: "refused"},
		{Namespaces: []string{"d"}, Workloads: []Workload{{Namespace: "elsewhere", Pods: 1}}},
	}
	a := namespaceSum{Name: "a", Images: 2, Read: 2, Pods: 8, Counts: findings.Counts{High: 2, Low: 1, Fixable: 1}}
	b := namespaceSum{Name: "b", Images: 1, Read: 1, Counts: findings.Counts{High: 2, Fixable: 1}}
	c := namespaceSum{Name: "c", Images: 2, Unread: 2, Unchecked: 2}
	d := namespaceSum{Name: "d", Images: 1, Unread: 1}
	if got, want := byNamespace(images, ""), []namespaceSum{a, b, c, d}; !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if got, want := byNamespace(images, "b"), []namespaceSum{b}; !slices.Equal(got, want) {
		t.Errorf("of one: %+v\nwant %+v", got, want)
	}
}

// TestUnchecked shows that the order of an image's names does not matter: what was scanned under one of them is checked.
func TestUnchecked(t *testing.T) {
	refused := Image{Name: "a", Digest: digestOf(1), Namespaces: []string{"shop"}, State: "unauthorized", Advice: "refused"}
	scanned := Image{Name: "b", Digest: digestOf(1), Namespaces: []string{"shop"}, State: "scanned", Found: true, Counts: findings.Counts{Low: 1}}
	both := namespaceSum{Name: "shop", Images: 1, Read: 1, Counts: findings.Counts{Low: 1}}
	neither := namespaceSum{Name: "shop", Images: 1, Unread: 1, Unchecked: 1}
	for _, c := range []struct {
		images []Image
		want   namespaceSum
	}{
		{[]Image{refused, scanned}, both}, {[]Image{scanned, refused}, both}, {[]Image{refused, refused}, neither}, {[]Image{refused, scanned, refused, scanned}, both},
	} {
		if got := byNamespace(c.images, "shop"); !slices.Equal(got, []namespaceSum{c.want}) {
			t.Errorf("%+v, want %+v", got, c.want)
		}
	}
	page := get(t, newPages(t, &fixture{cluster: leading, images: []Image{refused, scanned}, namespaces: map[string]Namespace{"shop": {}}}), "/namespaces/shop", "").Body.String()
	if !strings.Contains(page, "<caption>1 image under 2 names, worst first</caption>") || strings.Contains(page, "No report was read yet") {
		t.Error("the page of the namespace counts each name")
	}
}

// TestEmptyState shows that the form says what is chosen when nothing is in that state any more.
func TestEmptyState(t *testing.T) {
	page := get(t, newPages(t, &fixture{images: listed()}), "/", "state=rate_limited").Body.String()
	if !strings.Contains(page, `<option value="rate_limited" selected="selected">rate limited</option>`) || !strings.Contains(page, "No image passes the filter") {
		t.Error("the form does not say it")
	}
	page = get(t, newPages(t, &fixture{images: listed()}), "/", "state=scanned").Body.String()
	if strings.Count(page, `<option value="scanned"`) != 1 {
		t.Error("a state is offered twice")
	}
}

// TestNamedVulnerability says what has what somebody looks for, by whichever of its names.
func TestNamedVulnerability(t *testing.T) {
	h := newPages(t, &fixture{images: manyImages(30), having: manyHaving()})
	for query, want := range map[string]string{
		"q=cve-2026-0001":                 `2 images have <bdi>cve-2026-0001</bdi>, and 1 more has what mentions it: <a href="vulnerabilities/cve-2026-0001">`,
		"q=CVE-2026-0002":                 `<bdi>CVE-2026-0002</bdi> is another name of what 1 image has: <a href="vulnerabilities/CVE-2026-0002">`,
		"q=CVE-2026-0001&namespace=other": `2 images have`,
	} {
		if page := get(t, h, "/", query).Body.String(); !strings.Contains(page, want) {
			t.Errorf("%s does not say %q", query, want)
		}
	}
	if page := get(t, h, "/", "q=CVE-2026-0003").Body.String(); strings.Contains(page, "vulnerabilities/") || !strings.Contains(page, "No image passes the filter") {
		t.Errorf("nothing has it, and the page says\n%s", page)
	}
}

// TestNobodyChecks shows that an image that Clair has no data for looks clean nowhere, and comes behind what is clean.
func TestNobodyChecks(t *testing.T) {
	images := []Image{
		{
			Name: "scratch:1", Digest: digestOf(1), Namespaces: []string{"shop"}, Pods: 1, State: "not_covered", Advice: "Clair has no data for what is in it",
			Remedy: "know that nobody checks it", Found: true, Told: true, Workloads: []Workload{{Kind: "Deployment", Namespace: "shop", Name: "web", Pods: 1}},
		},
		{Name: "clean:2", Digest: digestOf(2), Namespaces: []string{"cart"}, Pods: 1, State: "scanned", Found: true, Told: true},
		{Name: "refused:3", Namespaces: []string{"cart"}, Pods: 1, State: "unauthorized", Advice: "the registry refuses access", Remedy: "add credentials"},
	}
	source := &fixture{cluster: leading, images: images, namespaces: map[string]Namespace{"shop": {Name: "shop"}}, report: answers(findings.Report{Digest: digestOf(1)}, nil)}
	h := newPages(t, source)
	for path, c := range map[string]struct {
		rows int // of counts that say nothing
		says string
	}{
		"/?namespace=shop":       {2, "Nobody checks 1 image: Clair has no data for what is in it."},
		"/namespaces/shop":       {1, "Nobody checks 1 image: Clair has no data for what is in it."},
		"/images/" + digestOf(1): {0, "Nothing was found, and nothing could have been."},
	} {
		path, query, _ := strings.Cut(path, "?")
		page := get(t, h, path, query).Body.String()
		if n := strings.Count(page, strings.Repeat(`<td class="n zero">–</td>`, 5)); n != c.rows {
			t.Errorf("%s: %d rows of counts that say nothing, want %d", path, n, c.rows)
		}
		for _, bad := range []string{"no vulnerability", ">0</td>", "No report was read"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s says %q", path, bad)
			}
		}
		if strings.Count(page, c.says) != 1 {
			t.Errorf("%s does not say %q once", path, c.says)
		}
	}
	if n := strings.Count(get(t, h, "/images/"+digestOf(1), "").Body.String(), `class="notice"`); n != 1 {
		t.Errorf("%d notices of one thing", n)
	}
	var order string
	for _, s := range states(images) {
		order += s.State + " "
	}
	if order != "unauthorized not_covered scanned " {
		t.Errorf("the states are in the order %s", order)
	}
	for query, want := range map[string]string{"sort=critical&order=asc": "213", "sort=critical": "213", "severity=unknown": ""} {
		values, _ := url.ParseQuery(query)
		var got string
		for _, img := range parseOrder(values).part(parseFilter(values).pick(images, nil), 0, 3) {
			got += names([]Image{*img})
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if answer := get(t, h, "/api/v1/images", "state=not_covered").Body.String(); !strings.Contains(answer, digestOf(1)) || strings.Contains(answer, `"counts"`) {
		t.Errorf("the API says %s", answer)
	}
}

// TestClairsOnThePage shows that only Clairs in trouble come before the counts: the age of the data of the others is a
// line behind the bar of severities.
func TestClairsOnThePage(t *testing.T) {
	fine, away, fresh, silent := manyClairs[0], manyClairs[1], manyClairs[3], manyClairs[6]
	younger := fine
	younger.URL, younger.Newest = "http://clair.younger:6060/", noon.Add(-time.Minute)
	const (
		age   = `Clair <bdi>http://clair.clair:6000/</bdi> last updated its vulnerabilities 3 hours ago (<time datetime="2026-03-01T09:00:00Z">2026-03-01 09:00 UTC</time>)`
		first = `<h2 id="clairs">Vulnerability data</h2>`
	)
	for _, c := range []struct {
		name    string
		clairs  []Clair
		says    []string
		trouble bool
	}{
		{"none", nil, nil, false},
		{"one", []Clair{fine}, []string{`<p class="data quiet">` + age + `.</p>`}, false},
		{"a new one", []Clair{fresh}, []string{"has not said yet what data it has."}, false},
		{"several", []Clair{younger, fine, fresh}, []string{"<summary>" + age + ": the oldest data of 3 Clairs</summary>", "1 minute ago (<time", "it has not said yet"}, false},
		{"nobody knows", []Clair{fresh, silent}, []string{"<summary>2 Clairs that have not said when they updated their vulnerabilities</summary>"}, false},
		{"one away", []Clair{away, fine}, []string{"It has not answered since <time", `<p class="data quiet">` + age}, true},
		{"some away", []Clair{away, younger, fine}, []string{"It has not answered since <time", age + ": the oldest data of the other 2 Clairs"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := &fixture{cluster: leading, images: manyImages(3), clairs: c.clairs}
			page := get(t, newPages(t, source), "/", "").Body.String()
			for _, s := range c.says {
				if !strings.Contains(page, s) {
					t.Errorf("the page does not say %s:\n%s", s, page)
				}
			}
			trouble, counts := strings.Index(page, first), strings.Index(page, `<svg class="bar"`)
			if (trouble >= 0) != c.trouble || trouble > counts {
				t.Errorf("trouble at %d, counts at %d", trouble, counts)
			}
			if at := strings.Index(page, age); at >= 0 && at < counts {
				t.Errorf("the age of the data at %d, counts at %d", at, counts)
			}
			source.images = nil
			if page := get(t, newPages(t, source), "/", "").Body.String(); strings.Contains(page, age) != slices.Contains(c.clairs, fine) {
				t.Error("without images it is otherwise")
			}
		})
	}
}

func TestClairRows(t *testing.T) {
	for _, c := range []struct {
		name string
		age  time.Duration
		want bool
	}{{"young", 3 * time.Hour, false}, {"two days", 48 * time.Hour, false}, {"older", 48*time.Hour + 1, true}, {"ahead of us", -time.Hour, false}} {
		row := newClairRow(Clair{Up: true, Asked: noon, Newest: noon.Add(-c.age)}, noon)
		if row.Stale != c.want || row.fine() == c.want {
			t.Errorf("%s: %+v", c.name, row)
		}
		if strings.HasPrefix(row.Updated.Distance, "in ") {
			t.Errorf("%s: updated %s", c.name, row.Updated.Distance)
		}
	}
	rows := newClairRows(manyClairs, noon)
	if rows.AllTroubled != 4 || rows.AllFine != 3 || rows.Oldest.URL != manyClairs[0].URL || rows.Oldest.Updated.ISO != "2026-03-01T09:00:00Z" {
		t.Errorf("%+v", rows)
	}
}

// TestUncoveredTwice shows that what Clair has no data for counts once in its namespace, under however many names.
func TestUncoveredTwice(t *testing.T) {
	one := Image{Name: "a", Digest: digestOf(1), Namespaces: []string{"shop"}, State: notCovered, Advice: "no data", Found: true}
	two := one
	two.Name = "b"
	source := &fixture{cluster: leading, images: []Image{one, two}, namespaces: map[string]Namespace{"shop": {}}}
	if got := byNamespace(source.images, ""); len(got) != 1 || got[0] != (namespaceSum{Name: "shop", Images: 1, Unchecked: 1}) {
		t.Errorf("%+v", got)
	}
	var v namespacePage
	v.Name = "shop"
	v.images(source.images)
	if v.AllImages != 1 || v.Read != 0 || v.Unread != 0 || v.Uncovered != 1 || v.AllNames != 2 {
		t.Errorf("%+v", v)
	}
}
