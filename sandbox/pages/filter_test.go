package pages

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/web"
)

// testFilter fills in the form of the first page as a person does: the images that pass are shown, the address says
// what they were filtered by, and one can go back.
func (o tools) testFilter(t *testing.T) {
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
			name:   "all",
			typed:  map[string]string{"q": "redis", "namespace": "cart"},
			chosen: map[string]string{"state": "scanned"},
			query:  url.Values{"q": {"redis"}, "namespace": {"cart"}, "state": {"scanned"}},
			keep: func(i web.Image) bool {
				return strings.Contains(i.Name, "redis") && slices.Contains(i.Namespaces, "cart") && i.State == "scanned"
			},
		},
		{
			name:  "nothing passes",
			typed: map[string]string{"q": "no such image & co. \"<"},
			query: url.Values{"q": {"no such image & co. \"<"}},
			keep:  func(web.Image) bool { return false },
		},
	}
	s := sourceOf(400)
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
