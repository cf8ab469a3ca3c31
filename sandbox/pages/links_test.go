package pages

import (
	"net/url"
	"testing"
)

// testLinks clicks on what leads from page to page.
func (o tools) testLinks(t *testing.T) {
	s := sourceOf(400)
	root := serve(t, s)
	worst := s.images[0]
	for _, c := range []struct {
		name, from, click string
		path              string     // of the page that comes
		query             url.Values // of its address
		heading           string
	}{
		{"image", "/", "table.images tbody th a", "/images/" + worst.Digest, url.Values{}, worst.Name},
		{"image of what was filtered", "/?q=" + url.QueryEscape(worst.Name), "table.images tbody th a", "/images/" + worst.Digest, url.Values{}, worst.Name},
		{"state", "/", "table.states tbody th a[href*=unauthorized]", "/", url.Values{"state": {"unauthorized"}}, "What runs in production"},
		{"home from an image", "/images/" + worst.Digest, "header a", "/", url.Values{}, "What runs in production"},
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
