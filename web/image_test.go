package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

// goldenPage is a page that is kept to be looked at.
type goldenPage = struct {
	source      *fixture
	path, query string
	status      int
}

var leading = Cluster{Name: "production", Leads: true, Since: noon.Add(-26 * time.Hour)}

// day is the start of a day.
func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

// layered gives findings the layers of an image.
func layered(r findings.Report, layers int) findings.Report {
	for i := range r.Findings {
		if n := i % (layers + 1); n < layers {
			r.Findings[i].Layer = digestOf(1000 + n)
		}
	}
	return r
}

// judged are Scanners that decide about a report by their rules; they were told of what passes, but for the last
// untold findings.
func judged(r findings.Report, untold int, hearers ...Hearer) Report {
	for i := range hearers {
		h := &hearers[i]
		if h.Clair = cmp.Or(h.Clair, clairHere); h.Clair != clairHere {
			continue
		}
		fates := make(map[findings.ID]findings.Judged)
		for _, j := range r.Judge(findings.Rules{MinSeverity: h.MinSeverity, UnknownAs: h.UnknownAs, OnlyFixable: h.OnlyFixable, Ignore: h.Ignore}) {
			fates[j.Finding.ID()] = j
		}
		for n, f := range r.Findings {
			j := fates[f.ID()]
			h.Decisions = append(h.Decisions, Decision{Fate: j.Fate, Ignore: int32(j.Ignore), Told: h.Told && j.Fate == findings.Passes && n < len(r.Findings)-untold})
		}
	}
	return Report{Report: r, Clair: clairHere, Hearers: hearers}
}

// clairHere is the Clair of those reports.
const clairHere = "http://clair.clair:6000/"

// hearersOf are two Scanners of one namespace and one that is for all others.
func hearersOf(r findings.Report) []Hearer {
	notReachable := findings.Ignore{ID: r.Findings[0].Name, Reason: "not reachable: the port is closed", Until: day(2027, time.March, 1)}
	return []Hearer{
		{
			Key: "_all", Name: "default", Namespaces: []string{"cart", "checkout", "kube-system", "payments"}, Channel: "hooks.slack.com/…#90b77e",
			MinSeverity: claircore.Medium, UnknownAs: claircore.Medium, Told: true,
			Ignore: []findings.Ignore{notReachable},
		},
		{
			Key: "shop", Name: "audit", Namespaces: []string{"shop"}, Channel: "hooks.slack.com/…#d41a20",
			Ignore: []findings.Ignore{notReachable},
		},
		{
			Key: "shop", Name: "compliance", Namespaces: []string{"shop"}, Clair: "http://clair-audit.clair:6000/", Channel: "hooks.slack.com/…#08e5b1",
			Told: true, Since: noon.Add(-2 * 24 * time.Hour), Quiet: true,
		},
		{
			Key: "shop", Name: "default", Namespaces: []string{"shop"}, Channel: "hooks.slack.com/…#3fa2c1",
			MinSeverity: claircore.Medium, UnknownAs: claircore.Medium, OnlyFixable: true, Told: true, Since: noon.Add(-40 * 24 * time.Hour),
			Ignore: []findings.Ignore{
				notReachable,
				{Package: r.Findings[2].Package, Image: "shop/*", Reason: "the C library is not ours: asked its team on Monday"},
				{ID: "CVE-2019-0001", Package: "openssl", Until: noon.Add(6 * time.Hour)},
			},
		},
	}
}

// havingOf are the findings of a report as Source.Having has them, of one image.
func havingOf(r findings.Report) map[string]map[string][]findings.Finding {
	having := make(map[string]map[string][]findings.Finding)
	for _, f := range r.Findings {
		having[strings.ToUpper(f.Name)] = map[string][]findings.Finding{r.Digest: {f}}
	}
	return having
}

// withHearers is a source of images one of which two Scanners of its namespace hear of, and one of all others.
func withHearers(n, layers int) *fixture {
	r := layered(manyFindings(n), layers)
	images := manyImages(9)
	images[3].Since = noon.Add(-40 * 24 * time.Hour)
	report := judged(r, 1, hearersOf(r)...)
	return &fixture{cluster: leading, images: images, report: func(context.Context, string) (Report, error) { return report, nil }}
}

func imagePages() map[string]goldenPage {
	three := "/images/" + digestOf(3)
	return map[string]goldenPage{
		"image-scanners": {withHearers(12, 3), three, "", 200},
		"image-filtered": {withHearers(1200, 1), three, "severity=medium&fixable=yes&q=CVE-20", 200},
		"image-page-2":   {withHearers(1200, 2), three, "page=2", 200},
	}
}

// TestFindingFilter shows which findings pass.
func TestFindingFilter(t *testing.T) {
	fs := []findings.Finding{
		{Name: "CVE-2024-1", Package: "openssl", Severity: claircore.Critical, FixedIn: "2"},
		{Name: "CVE-2024-2", Package: "glibc", Severity: claircore.High},
		{Name: "GHSA-3", Package: "openssl", Severity: claircore.Low, FixedIn: "3", Layer: digestOf(1)},
		{Name: "CVE-2024-4", Package: "tar", Severity: claircore.Unknown},
	}
	for query, want := range map[string]string{
		"": "0123", "other=x": "0123", "severity=critical": "0", "severity=HIGH": "01", "severity=low": "012", "severity=negligible": "012", "severity=unknown": "3",
		"severity=terrible": "0123", "fixable=yes": "02", "fixable=no": "0123", "package=openssl": "02", "package=open": "", "q=SSL": "02", "q=cve-2024": "013",
		"q=" + digestOf(1)[7:19]: "2", "severity=high&package=openssl&fixable=yes&q=cve": "0", "q=nothing": "", "q=+tar+": "3", "page=7": "0123",
	} {
		values, _ := url.ParseQuery(query)
		f := parseFindingFilter(values)
		var got string
		for _, i := range f.pick(fs) {
			got += strconv.Itoa(i)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if again := parseFindingFilter(f.values()); again != f {
			t.Errorf("%s: its address is read as %+v, not %+v", query, again, f)
		}
	}
}

// TestBegins shows which texts mean a digest: those that somebody copied from one, not the words that happen to be in one.
func TestBegins(t *testing.T) {
	digest := "sha256:deadbeefcafe" + strings.Repeat("0", 52)
	for text, want := range map[string]bool{
		digest: true, "sha256:d": true, "sha256:dead": true, "deadbe": true, "deadbeefcafe": true, "deadb": false, "de": false, "beefca": false, "eadbee": false,
		"sha256": false, "sha": false, "sha512:dead": false, "sha256:beef": false, "": false,
	} {
		if got := begins(digest, text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
	if begins("", "deadbeef") || begins("", "") || begins("not a digest", "not a digest") {
		t.Error("what is no digest begins somehow")
	}
}

// TestPageOf shows that any number leads to a page that there is.
func TestPageOf(t *testing.T) {
	for query, want := range map[string]int{
		"": 1, "page=": 1, "page=1": 1, "page=2": 2, "page=3": 3, "page=4": 3, "page=0": 1, "page=-1": 1, "page=x": 1, "page=1e3": 1,
		"page=99999999999999999999": 3, "page=-99999999999999999999": 1,
	} {
		values, _ := url.ParseQuery(query)
		if got := min(parsePage(values), 3); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

// TestFindingPages walks through all pages of a filtered table and meets each finding once.
func TestFindingPages(t *testing.T) {
	r := manyFindings(2300)
	site := newPages(t, &fixture{images: manyImages(1), report: answers(r, nil)})
	seen := make(map[string]int)
	pages := 0
	for query := "q=cve&severity=low"; query != ""; pages++ {
		body := get(t, site, "/images/"+digestOf(0), query).Body.String()
		_, table, _ := strings.Cut(body, `<table class="findings">`)
		for row := range strings.SplitSeq(table, "<tr") {
			if _, name, found := strings.Cut(row, `<a href="../vulnerabilities/`); found {
				name, _, _ = strings.Cut(name, `"`)
				seen[name]++
			}
		}
		query = ""
		for link := range strings.SplitSeq(table, `<a href="?`) {
			if address, rest, _ := strings.Cut(link, `#findings"`); strings.HasPrefix(rest, ` rel="next"`) {
				query = html.UnescapeString(address)
			}
		}
	}
	want := 0
	for _, f := range r.Findings {
		if f.Severity >= claircore.Low {
			want++
			if seen[f.Name] != 1 {
				t.Errorf("%s was shown %d times", f.Name, seen[f.Name])
			}
		}
	}
	if len(seen) != want || pages != (want+mostFindings-1)/mostFindings || pages < 3 {
		t.Errorf("%d findings on %d pages, want %d", len(seen), pages, want)
	}
}

// TestDecisions shows how what Scanners decide about one finding is put together.
func TestDecisions(t *testing.T) {
	until := day(2027, time.March, 1)
	ignores := []findings.Ignore{{ID: "CVE-1", Reason: "not reachable", Until: until}, {ID: "CVE-1", Reason: "another"}}
	h := func(name string, d ...Decision) Hearer {
		return Hearer{Key: "shop", Name: name, Ignore: ignores, Decisions: d}
	}
	first, second := Decision{Fate: findings.Ignored}, Decision{Fate: findings.Ignored, Ignore: 1}
	below, unfixed, passes := Decision{Fate: findings.BelowMinSeverity}, Decision{Fate: findings.WithoutFix}, Decision{Fate: findings.Passes}
	told := below
	told.Told = true
	for _, c := range []struct {
		name    string
		hearers []Hearer
		want    string
		ignored bool
	}{
		{"nobody looks", nil, "", false},
		{"one tells", []Hearer{h("a", passes)}, "", false},
		{"one ignores", []Hearer{h("a", first)}, "ignored by shop/a: not reachable, until 2027-03-01", true},
		{"both ignore", []Hearer{h("a", first), h("b", first)}, "ignored by all Scanners: not reachable, until 2027-03-01", true},
		{"with other reasons", []Hearer{h("a", first), h("b", second)}, "ignored by shop/a: not reachable, until 2027-03-01|ignored by shop/b: another", true},
		{"one of two", []Hearer{h("a", first), h("b", passes)}, "ignored by shop/a: not reachable, until 2027-03-01", false},
		{"held back", []Hearer{h("a", below), h("b", unfixed)}, "below minSeverity of shop/a|no fix, and onlyFixable of shop/b", false},
		{"told before", []Hearer{h("a", told), h("b", below)}, "below minSeverity of shop/a; told before|below minSeverity of shop/b", false},
		{"alike ones", []Hearer{h("a", below), h("b", below), h("c", below), h("d", below), h("e", passes)}, "below minSeverity of shop/a, shop/b, shop/c and 1 more", false},
		{"no such entry", []Hearer{h("a", Decision{Fate: findings.Ignored, Ignore: 7})}, "ignored by shop/a", true},
		{"no entry", []Hearer{h("a", Decision{Fate: findings.Ignored, Ignore: -1})}, "ignored by shop/a", true},
		{"not decided", []Hearer{h("a")}, "", false},
		{"no such fate", []Hearer{h("a", Decision{Fate: 99})}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var names []string
			for _, h := range c.hearers {
				names = append(names, nameOf(h))
			}
			rows, ignored := decisionsOf(c.hearers, names, 0)
			var said []string
			for _, r := range rows {
				s := r.What + " "
				if r.All {
					s += "all Scanners"
				} else {
					s += strings.Join(r.Whose.Names, ", ")
					if r.Whose.More > 0 {
						s += fmt.Sprintf(" and %d more", r.Whose.More)
					}
				}
				if r.Reason != "" {
					s += ": " + r.Reason
				}
				if r.Until.Text != "" {
					s += ", until " + r.Until.Text
				}
				if r.Told {
					s += "; told before"
				}
				said = append(said, s)
			}
			if got := strings.Join(said, "|"); got != c.want || ignored != c.ignored {
				t.Errorf("%q, ignored %t; want %q, %t", got, ignored, c.want, c.ignored)
			}
		})
	}
}

// TestIgnores shows that an entry that several Scanners have is one row, and counts what it is about.
func TestIgnores(t *testing.T) {
	fs := []findings.Finding{{Name: "CVE-1", Package: "a"}, {Name: "CVE-1", Package: "b"}, {Name: "CVE-2", Package: "b"}}
	one, b, none, empty := findings.Ignore{ID: "cve-1"}, findings.Ignore{Package: "b"}, findings.Ignore{ID: "CVE-9"}, findings.Ignore{Image: "*"}
	hearers := []Hearer{
		{Ignore: []findings.Ignore{one, b, one}},
		{Ignore: []findings.Ignore{none, one, empty}},
	}
	rows, more := ignoresOf(hearers, []string{"shop/a", "shop/b"}, fs, noon)
	want := "cve-1 2 shop/a,shop/b|package b 2 shop/a|CVE-9 0 shop/b|image * 0 shop/b"
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprint(r.About, " ", r.Matches, " ", strings.Join(r.Whose.Names, ",")))
	}
	if s := strings.Join(got, "|"); s != want || more != 0 {
		t.Errorf("%s and %d more, want %s", s, more, want)
	}
}

// TestToldWithoutReport shows that a Clair that does not answer does not hide since when something is told.
func TestToldWithoutReport(t *testing.T) {
	for _, c := range []struct {
		told  bool
		since time.Time
		want  string
	}{
		{false, time.Time{}, "<dd>not yet</dd>"},
		{true, time.Time{}, "<dd>at a time that is not known</dd>"},
		{true, noon.Add(-49 * time.Hour), `<time datetime="2026-02-27T11:00:00Z">2026-02-27 11:00 UTC</time><small>2 days ago</small>`},
	} {
		images := manyImages(1)
		images[0].Told, images[0].Since = c.told, c.since
		page := get(t, newPages(t, &fixture{images: images, report: answers(findings.Report{}, errors.New("no answer"))}), "/images/"+digestOf(0), "").Body.String()
		if !strings.Contains(page, "<dt>First told</dt>") || !strings.Contains(page, c.want) {
			t.Errorf("the page does not say %s:\n%s", c.want, page)
		}
	}
}

// TestImageBounds shows that the page of an image stays small whatever there is.
func TestImageBounds(t *testing.T) {
	long := strings.Repeat("é", 500) // more than a page shows of it
	r := manyFindings(10_000)
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Package, f.Installed, f.FixedIn, f.Layer, f.Link = fmt.Sprint("p", i, long), long, long, fmt.Sprint(long, i), "https://example.com/"+long
	}
	var hearers []Hearer
	for i := range 70 {
		h := Hearer{Key: "_all", Name: fmt.Sprint(i, long), Clair: long, Channel: long, Told: true, MinSeverity: claircore.High}
		for n := range 300 {
			h.Namespaces = append(h.Namespaces, fmt.Sprint(n, long))
			h.Ignore = append(h.Ignore, findings.Ignore{ID: fmt.Sprint(i, n, long), Reason: fmt.Sprint(n, long)})
		}
		for n := range r.Findings {
			h.Decisions = append(h.Decisions, Decision{Fate: findings.Ignored, Ignore: int32((n + i) % 300)})
		}
		hearers = append(hearers, h)
	}
	site := newPages(t, &fixture{cluster: leading, images: manyImages(1), report: func(context.Context, string) (Report, error) {
		return Report{Report: r, Clair: long, Hearers: hearers}, nil
	}})
	page := get(t, site, "/images/"+digestOf(0), "").Body.String()
	for _, says := range []string{"1 to 500 are shown", "Page 1 of 20", "and 20 more Scanners", "and 20,900 more", "and 9,850 more layers", "more updates", "and 297 more"} {
		if !strings.Contains(page, says) {
			t.Errorf("the page does not say %q", says)
		}
	}
	// Each of the 500 rows can hold 4 reasons and a dozen names of 400 characters of two bytes: text nobody writes.
	if len(page) > mostBytes {
		t.Errorf("the page has %d bytes", len(page))
	}
}

// BenchmarkImagePage makes the page of an image with 10,000 findings that 50 Scanners hear of.
func BenchmarkImagePage(b *testing.B) {
	r := layered(manyFindings(10_000), 12)
	var hearers []Hearer
	for i := range 50 {
		h := hearersOf(r)[i%3]
		h.Name = fmt.Sprint("scanner-", i)
		hearers = append(hearers, h)
	}
	report := judged(r, 10, hearers...)
	site := newPages(b, &fixture{cluster: leading, images: manyImages(1), report: func(context.Context, string) (Report, error) { return report, nil }})
	b.ReportAllocs()
	for b.Loop() {
		b.ReportMetric(float64(get(b, site, "/images/"+digestOf(0), "severity=low&q=cve").Body.Len()), "bytes/page")
	}
}
