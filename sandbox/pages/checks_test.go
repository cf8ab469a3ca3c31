package pages

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// testChecks shows that what pages are checked with finds what it is for.
func (o tools) testChecks(t *testing.T) {
	const (
		good = `<!doctype html><html lang="en"><head><title>x</title><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>body { font: 16px/1.5 sans-serif; color: #000; background: #fff }</style></head><body><main><h1>Here</h1>BODY</main></body></html>`
		layout        = "layout"
		accessibility = "accessibility"
		notes         = "notes"
		foreign       = "foreign"
	)
	for _, c := range []struct{ by, body, want string }{
		{layout, `<p style="width: 2000px">` + strings.Repeat("wide ", 100), "pixels wide"},
		{layout, `<p style="margin-left: -50px">text`, "text beyond the edge"},
		{layout, `<p style="width: 50px; overflow: hidden; white-space: nowrap">cut at its side`, "more than its box"},
		{layout, `<p style="width: 50px; white-space: nowrap">out of its box`, "more than its box"},
		{layout, `<p style="height: 30px; overflow: hidden; width: 50px">cut at its foot`, "cut at its foot"},
		{layout, `<p>under</p><p style="margin-top: -40px">over`, "text over other text"},
		{layout, `<button style="height: 20px; padding: 0">hit`, "to hit"},
		{accessibility, `<p style="color: #aaa">quiet`, "color-contrast"},
		{accessibility, `<input name="q">`, "label"},
		{accessibility, `<h4>deep</h4>`, "heading-order"},
		{accessibility, `<p><a href="/a" style="font-size: 8px; display: block">a</a><a href="/b" style="font-size: 8px; display: block">b</a>`, "target-size"},
		{notes, `<script>console.log("hello")</script>`, "hello"},
		{notes, `<script>throw "oh"</script>`, "exception"},
		{notes, `<script>alert("hey")</script>`, "hey"},
		{notes, `<img src="/none.png" alt="">`, "none.png: status 404"},
		{notes, `<img src="http://example.com/" alt="">`, "ERR_NAME_NOT_RESOLVED"},
		{notes, `<iframe src="/policy" title="x"></iframe>`, "Content Security Policy"},
		{foreign, `<script>window.ran = 1</script>`, "something ran"},
		{foreign, `<a href="javascript:x">x</a>`, "it links to javascript:x"},
		{foreign, `<a href="//example.org">x</a>`, "it links to"},
		{foreign, `<p onclick="x()">x`, "the attribute onclick"},
	} {
		t.Run(c.by+" "+c.want, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				switch r.URL.Path {
				case "/":
					_, _ = w.Write([]byte(strings.Replace(good, "BODY", c.body, 1)))
				case "/policy":
					w.Header().Set("Content-Security-Policy", "default-src 'none'")
					_, _ = w.Write([]byte(`<script>1</script>`))
				default:
					http.NotFound(w, r)
				}
			}))
			t.Cleanup(server.Close)
			tab := o.open(t)
			phone := looks[2].Look
			done(t, tab.Look(phone))
			visit(t, tab, server.URL+"/", 200)
			var found []string
			switch c.by {
			case layout:
				found = layoutFaults(t, tab, phone)
			case accessibility:
				found = o.accessibilityFaults(t, tab)
			case notes:
				found = complaints(tab.Notes())
			case foreign:
				found = evaluate[[]string](t, tab, foreignScript)
			}
			if all := strings.Join(found, "\n"); !strings.Contains(all, c.want) {
				t.Errorf("found %q, want %q", all, c.want)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Replace(good, "BODY", "<p>Fine", 1)))
		}))
		t.Cleanup(server.Close)
		tab := o.open(t)
		done(t, tab.Look(looks[2].Look))
		visit(t, tab, server.URL+"/", 200)
		for _, found := range [][]string{complaints(tab.Notes()), layoutFaults(t, tab, looks[2].Look), o.accessibilityFaults(t, tab)} {
			for _, f := range found {
				t.Error(f)
			}
		}
	})
}
