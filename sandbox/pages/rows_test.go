package pages

import (
	"net/url"
	"slices"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/browser"
)

// address returns the address of the page that a tab shows.
func address(t *testing.T, tab *browser.Tab) *url.URL {
	t.Helper()
	var text string
	if err := tab.Evaluate("location.href", &text); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// query returns the query of the address that a tab shows, without the fields that were left empty.
func query(t *testing.T, tab *browser.Tab) url.Values {
	t.Helper()
	values := address(t, tab).Query()
	for name, v := range values {
		if slices.Equal(v, []string{""}) {
			values.Del(name)
		}
	}
	return values
}

// rowNames returns what the rows of a table are called, on all of its pages. The tab goes to the last of them.
func rowNames(t *testing.T, tab *browser.Tab, table string) []string {
	t.Helper()
	var all []string
	for {
		var page struct {
			Names []string
			More  bool
		}
		script := `({
			Names: [...document.querySelectorAll('table.` + table + ` tbody th')].map(th => (th.querySelector('a') || th.firstChild).textContent),
			More: document.querySelector('main a[rel=next]') !== null,
		})`
		if err := tab.Evaluate(script, &page); err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Names...)
		if !page.More {
			return all
		}
		follow(t, tab, "main a[rel=next]", 200)
	}
}

// follow clicks on what leads to another page, and wants its status.
func follow(t *testing.T, tab *browser.Tab, selector string, status int) {
	t.Helper()
	want(t, status)(tab.Follow(selector))
}

// visit goes to an address, and wants its status.
func visit(t *testing.T, tab *browser.Tab, address string, status int) {
	t.Helper()
	want(t, status)(tab.Visit(address))
}

// want returns what takes the answer of a tab that loads a page, and wants a status.
func want(t *testing.T, status int) func(int, error) {
	t.Helper()
	return func(got int, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got != status {
			t.Errorf("status %d, want %d", got, status)
		}
	}
}

// evaluate evaluates an expression in the page.
func evaluate[T any](t *testing.T, tab *browser.Tab, expression string) T {
	t.Helper()
	var value T
	if err := tab.Evaluate(expression, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// done ends the test with an error of a tab.
func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
