package pages

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/web"
)

// testLinks clicks on what leads from page to page.
func (o tools) testLinks(t *testing.T) {
	s := sourceOf(60)
	root := serve(t, s)
	worst := s.images[0]
	image := "/images/" + worst.Digest
	name := s.reports[worst.Digest].Findings[0].Name
	vulnerability := "/vulnerabilities/" + name
	update := findings.Updates(s.reports[worst.Digest].Findings)[0].Worst.Name
	for _, c := range []struct {
		name, from, click string
		path              string     // of the page that comes
		query             url.Values // of its address
		heading           string
	}{
		{"image", "/", "table.images tbody th a", image, url.Values{}, worst.Name},
		{"image of what was filtered", "/?q=" + url.QueryEscape(worst.Name), "table.images tbody th a", image, url.Values{}, worst.Name},
		{"state", "/", "table.states tbody th a[href*=unauthorized]", "/", url.Values{"state": {"unauthorized"}}, "What runs in production"},
		{"namespace", "/", "table.namespaces tbody th a[href$=shop]", "/namespaces/shop", url.Values{}, "Namespace shop"},
		{"vulnerability that was looked for", "/?q=" + name, ".notice a", "/vulnerabilities/" + name, url.Values{}, name},
		{"vulnerability of an image", image, "table.findings tbody th a", "/vulnerabilities/" + name, url.Values{}, name},
		{"vulnerability of an update", image, "table.updates a[href*=vulnerabilities]", "/vulnerabilities/" + update, url.Values{}, update},
		{"namespace of an image", image, "table.workloads td a[href$=cart]", "/namespaces/cart", url.Values{}, "Namespace cart"},
		{"namespace of a Scanner", image, "table.hearers a[href$=shop]", "/namespaces/shop", url.Values{}, "Namespace shop"},
		{"more findings", image + "?severity=negligible", "a[rel=next]", image, url.Values{"severity": {"negligible"}, "page": {"2"}}, worst.Name},
		{"all findings again", image + "?severity=high", "form a", image, url.Values{}, worst.Name},
		{"image of a vulnerability", vulnerability, "table.having tbody th a[href$='" + worst.Digest + "']", image, url.Values{}, worst.Name},
		{"namespace of a vulnerability", vulnerability, "table.having .places a[href$=cart]", "/namespaces/cart", url.Values{}, "Namespace cart"},
		{"another name", "/vulnerabilities/" + mentioned, "table.others a[href*=GHSA-0095]", "/vulnerabilities/GHSA-0095-qrst-vwxy", url.Values{}, "GHSA-0095-qrst-vwxy"},
		{"image of a namespace", "/namespaces/cart", "table.placed tbody th a", image, url.Values{}, worst.Name},
		{"way up from a vulnerability", vulnerability, "nav.way a", "/", url.Values{}, "What runs in production"},
		{"way up from a namespace", "/namespaces/cart", "nav.way a", "/", url.Values{}, "What runs in production"},
		{"home from an image", image, "header a", "/", url.Values{}, "What runs in production"},
		{"home from a filter", "/?q=nginx", "header a", "/", url.Values{}, "What runs in production"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tab := o.open(t)
			visit(t, tab, root+c.from, 200)
			follow(t, tab, c.click, 200)
			if got := address(t, tab); got.Path != c.path || !equalQueries(query(t, tab), c.query) {
				t.Errorf("it leads to %s, want %s?%s", got, c.path, c.query.Encode())
			}
			if got := evaluate[string](t, tab, "document.querySelector('h1').textContent"); got != c.heading {
				t.Errorf("it leads to a page with the heading %q, want %q", got, c.heading)
			}
			want(t, 200)(tab.Back())
			if got := address(t, tab); got.String() != root+c.from {
				t.Errorf("back leads to %s", got)
			}
		})
	}
	t.Run("vulnerability from another", func(t *testing.T) {
		t.Parallel()
		tab := o.open(t)
		visit(t, tab, root+"/vulnerabilities/CVE-1999-0001", 404)
		done(t, tab.Type("form [name=q]", name))
		follow(t, tab, "form button", 200)
		if got := address(t, tab); got.Path != "/" || got.Query().Get("q") != name {
			t.Errorf("it leads to %s", got)
		}
		if got := evaluate[string](t, tab, "document.querySelector('.notice a').getAttribute('href')"); !strings.HasSuffix(got, vulnerability[1:]) {
			t.Errorf("which leads to %s", got)
		}
	})
	t.Run("namespace of nearly this name", func(t *testing.T) {
		t.Parallel()
		tab := o.open(t)
		visit(t, tab, root+"/namespaces/payment", 404)
		follow(t, tab, "main p a[href$=payments]", 200)
		if got := address(t, tab); got.Path != "/namespaces/payments" {
			t.Errorf("it leads to %s", got)
		}
	})
	t.Run("next page of what was filtered", func(t *testing.T) {
		t.Parallel()
		tab := o.open(t)
		s := sourceOf(400)
		visit(t, tab, serve(t, s)+"/?namespace=default&sort=name", 200)
		wanted := names(s.images, func(i web.Image) bool { return slices.Contains(i.Namespaces, "default") })
		slices.Sort(wanted)
		if got := rowNames(t, tab, "images"); !slices.Equal(got, wanted) {
			t.Errorf("%d images are on all pages, want %d", len(got), len(wanted))
		}
		if got := query(t, tab); got.Get("page") != "2" {
			t.Errorf("the last page is %v", got)
		}
	})
	t.Run("home from nowhere", func(t *testing.T) {
		t.Parallel()
		tab := o.open(t)
		visit(t, tab, root+"/no/such/page", 404)
		follow(t, tab, "main a", 200)
		if got := address(t, tab); got.Path != "/" {
			t.Errorf("it leads to %s", got)
		}
	})
}
