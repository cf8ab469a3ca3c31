package pages

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/web"
)

// testFilter fills in the form of the first page as a person does: the images that pass are shown, the address says
// what they were filtered by, and one can go back.
func (o tools) testFilter(t *testing.T) {
	s := sourceOf(45)
	rare := s.reports[digestOf(5)].Findings[7].Name
	cases := []struct {
		name   string
		typed  map[string]string // by the name of the field
		chosen map[string]string
		query  url.Values
		keep   func(web.Image) bool
	}{
		{
			name:  "text",
			typed: map[string]string{"q": "NGINX"},
			query: url.Values{"q": {"NGINX"}},
			keep:  func(i web.Image) bool { return strings.Contains(i.Name, "nginx") },
		},
		{
			name:  "workload",
			typed: map[string]string{"q": "web-17"},
			query: url.Values{"q": {"web-17"}},
			keep: func(i web.Image) bool {
				return slices.ContainsFunc(i.Workloads, func(w web.Workload) bool { return strings.Contains(w.Name, "web-17") })
			},
		},
		{
			name:  "namespace",
			typed: map[string]string{"namespace": "payments"},
			query: url.Values{"namespace": {"payments"}},
			keep:  func(i web.Image) bool { return slices.Contains(i.Namespaces, "payments") },
		},
		{
			name:   "state",
			chosen: map[string]string{"state": "unauthorized"},
			query:  url.Values{"state": {"unauthorized"}},
			keep:   func(i web.Image) bool { return i.State == "unauthorized" },
		},
		{
			name:   "severity",
			chosen: map[string]string{"severity": "medium"},
			query:  url.Values{"severity": {"medium"}},
			keep:   func(i web.Image) bool { return i.Found && i.Counts.Critical+i.Counts.High+i.Counts.Medium > 0 },
		},
		{
			name:   "fixable",
			chosen: map[string]string{"fixable": "has something fixable"},
			query:  url.Values{"fixable": {"yes"}},
			keep:   func(i web.Image) bool { return i.Found && i.Counts.Fixable > 0 },
		},
		{
			name:  "vulnerability",
			typed: map[string]string{"q": rare},
			query: url.Values{"q": {rare}},
			keep: func(i web.Image) bool {
				return slices.ContainsFunc(s.reports[i.Digest].Findings, func(f findings.Finding) bool { return f.Name == rare })
			},
		},
		{
			name:   "all",
			typed:  map[string]string{"q": "redis", "namespace": "cart"},
			chosen: map[string]string{"state": "scanned", "severity": "critical", "fixable": "has something fixable"},
			query:  url.Values{"q": {"redis"}, "namespace": {"cart"}, "state": {"scanned"}, "severity": {"critical"}, "fixable": {"yes"}},
			keep: func(i web.Image) bool {
				return strings.Contains(i.Name, "redis") && slices.Contains(i.Namespaces, "cart") && i.State == "scanned" && i.Counts.Critical > 0 && i.Counts.Fixable > 0
			},
		},
		{
			name:  "nothing passes",
			typed: map[string]string{"q": "no such image & co. \"<"},
			query: url.Values{"q": {"no such image & co. \"<"}},
			keep:  func(web.Image) bool { return false },
		},
	}
	root := serve(t, s)
	tab := o.open(t)
	all := names(s.images, func(web.Image) bool { return true })
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			visit(t, tab, root+"/", 200)
			for name, text := range c.typed {
				done(t, tab.Type("form [name="+name+"]", text))
			}
			for name, text := range c.chosen {
				done(t, tab.Choose("form [name="+name+"]", text))
			}
			follow(t, tab, "form button[type=submit]", 200)
			filtered := address(t, tab)
			if got := query(t, tab); !equalQueries(got, c.query) {
				t.Errorf("the address has %v, want %v", got, c.query)
			}
			for name, text := range c.typed {
				if got := evaluate[string](t, tab, "document.querySelector('form [name="+name+"]').value"); got != text {
					t.Errorf("the field %s has %q, want %q", name, got, text)
				}
			}
			wanted := names(s.images, c.keep)
			if len(wanted) == len(all) || len(wanted) == 0 && c.name != "nothing passes" {
				t.Fatalf("%d of %d images are to pass, which shows nothing", len(wanted), len(all))
			}
			if got := rowNames(t, tab, "images"); !equalSets(got, wanted) {
				t.Errorf("%d images are shown, want %d", len(got), len(wanted))
			}
			filtered.Fragment = ""
			visit(t, tab, filtered.String(), 200)
			want(t, 200)(tab.Reload())
			if got := rowNames(t, tab, "images"); !equalSets(got, wanted) {
				t.Errorf("from its address, %d images are shown, want %d", len(got), len(wanted))
			}
		})
	}
	t.Run("back", func(t *testing.T) {
		visit(t, tab, root+"/", 200)
		done(t, tab.Type("form [name=q]", "nginx"))
		want(t, 200)(tab.Submit("\r"))
		want(t, 200)(tab.Back())
		if got := query(t, tab); len(got) > 0 {
			t.Errorf("the address has %v", got)
		}
		if got := rowNames(t, tab, "images"); !equalSets(got, all) {
			t.Errorf("%d images are shown, want %d", len(got), len(all))
		}
	})
	t.Run("all again", func(t *testing.T) {
		visit(t, tab, root+"/?q=nginx&namespace=cart", 200)
		follow(t, tab, "form a", 200)
		if got := rowNames(t, tab, "images"); !equalSets(got, all) {
			t.Errorf("%d images are shown, want %d", len(got), len(all))
		}
	})
}

// testFindings fills in the form of an image's page.
func (o tools) testFindings(t *testing.T) {
	s := sourceOf(1)
	root := serve(t, s)
	all := s.reports[digestOf(0)].Findings
	for _, c := range []struct {
		name   string
		typed  map[string]string // by the name of the field
		chosen string            // the severity
		tick   bool              // what has a fix alone
		query  url.Values
		keep   func(findings.Finding) bool
	}{
		{
			name:  "text",
			typed: map[string]string{"q": "ghsa-"},
			query: url.Values{"q": {"ghsa-"}},
			keep:  func(f findings.Finding) bool { return strings.HasPrefix(f.Name, "GHSA-") },
		},
		{
			name:  "package",
			typed: map[string]string{"package": "openssl"},
			query: url.Values{"package": {"openssl"}},
			keep:  func(f findings.Finding) bool { return f.Package == "openssl" },
		},
		{
			name:   "severity",
			chosen: "high",
			query:  url.Values{"severity": {"high"}},
			keep:   func(f findings.Finding) bool { return f.Severity >= claircore.High },
		},
		{
			name:  "fixable",
			tick:  true,
			query: url.Values{"fixable": {"yes"}},
			keep:  func(f findings.Finding) bool { return f.FixedIn != "" },
		},
		{
			name:   "all",
			typed:  map[string]string{"q": "CVE-", "package": "curl"},
			chosen: "low",
			tick:   true,
			query:  url.Values{"q": {"CVE-"}, "package": {"curl"}, "severity": {"low"}, "fixable": {"yes"}},
			keep: func(f findings.Finding) bool {
				return strings.HasPrefix(f.Name, "CVE-") && f.Package == "curl" && f.Severity >= claircore.Low && f.FixedIn != ""
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tab := o.open(t)
			visit(t, tab, root+"/images/"+digestOf(0)+"?page=3", 200)
			for name, text := range c.typed {
				done(t, tab.Type("form [name="+name+"]", text))
			}
			if c.chosen != "" {
				done(t, tab.Choose("form [name=severity]", c.chosen))
			}
			if c.tick {
				done(t, tab.Click("form [name=fixable]"))
			}
			follow(t, tab, "form button[type=submit]", 200)
			if got := query(t, tab); !equalQueries(got, c.query) {
				t.Errorf("the address has %v, want %v", got, c.query)
			}
			var wanted []string
			for _, f := range all {
				if c.keep(f) {
					wanted = append(wanted, f.Name)
				}
			}
			if len(wanted) == 0 || len(wanted) == len(all) {
				t.Fatalf("%d of %d findings are to pass, which shows nothing", len(wanted), len(all))
			}
			if got := rowNames(t, tab, "findings"); !slices.Equal(got, wanted) {
				t.Errorf("%d findings are shown, want %d: %.200q", len(got), len(wanted), got)
			}
		})
	}
}

// names returns what those of the images are called that are kept.
func names(images []web.Image, keep func(web.Image) bool) []string {
	var kept []string
	for _, i := range images {
		if keep(i) {
			kept = append(kept, i.Name)
		}
	}
	return kept
}

func equalSets(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func equalQueries(a, b url.Values) bool { return a.Encode() == b.Encode() }
