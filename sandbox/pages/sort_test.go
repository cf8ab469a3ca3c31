package pages

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/browser"
	"github.com/clairwatch/clairwatch/web"
)

// none is what the cell of a number has where there is no number.
const none = "–"

// testSort clicks on the heads of the first page's table, twice each: the rows are in order, then in the other one, and
// stay those that the filter chose.
func (o tools) testSort(t *testing.T) {
	s := sourceOf(90)
	root := serve(t, s)
	const filter = "namespace=monitoring"
	wanted := names(s.images, func(i web.Image) bool { return slices.Contains(i.Namespaces, "monitoring") })
	numbers := func(a, b string) int { return cmp.Compare(number(a), number(b)) }
	for _, c := range []struct {
		head    string // of the column
		sort    string // its word in the address
		compare func(a, b string) int
		first   string   // how it is sorted by the first click
		last    []string // what is last either way, in this order
	}{
		{"Image", "name", strings.Compare, "ascending", nil},
		{"Namespaces", "namespaces", strings.Compare, "ascending", nil},
		{"Pods", "pods", numbers, "descending", nil},
		{"Critical", "critical", numbers, "descending", []string{none}},
		{"High", "high", numbers, "descending", []string{none}},
		{"Medium", "medium", numbers, "descending", []string{none}},
		{"Low, other", "other", numbers, "descending", []string{none}},
		{"Fixable", "fixable", numbers, "descending", []string{none}},
		{"State", "state", strings.Compare, "ascending", nil},
		{"Told since", "since", strings.Compare, "descending", []string{"not known", "not told yet"}},
	} {
		t.Run(c.head, func(t *testing.T) {
			t.Parallel()
			tab := o.open(t)
			visit(t, tab, root+"/?"+filter, 200)
			before := cells(t, tab, c.head)
			column := slices.Index(evaluate[[]string](t, tab, `[...document.querySelectorAll('table.images thead th')].map(th => th.textContent)`), c.head)
			for i, direction := range []string{c.first, opposite(c.first)} {
				follow(t, tab, fmt.Sprintf("table.images thead th:nth-child(%d) a", column+1), 200)
				if got := evaluate[[]string](t, tab, `[...document.querySelectorAll('table.images th[aria-sort]')].map(th => th.textContent + ' ' + th.ariaSort)`); !slices.Equal(got, []string{c.head + " " + direction}) {
					t.Errorf("sorted by %q, want %s %s", got, c.head, direction)
				}
				if got := query(t, tab); !equalQueries(got, url.Values{"namespace": {"monitoring"}, "sort": {c.sort}, "order": {strings.TrimSuffix(direction, "ending")}}) {
					t.Errorf("the address has %v", got)
				}
				got := cells(t, tab, c.head)
				if i == 0 && slices.Equal(got, before) && c.head != "Critical" { // by which they were
					t.Error("the rows are as they were")
				}
				checkOrder(t, got, c.compare, direction, c.last)
			}
			if got := rowNames(t, tab, "images"); !equalSets(got, wanted) {
				t.Errorf("%d images are shown, want the %d of the namespace", len(got), len(wanted))
			}
		})
	}
}

// cells returns what the cells of a column have, on this page.
func cells(t *testing.T, tab *browser.Tab, head string) []string {
	t.Helper()
	return evaluate[[]string](t, tab, fmt.Sprintf(`(() => {
		const table = document.querySelector('table.images')
		const column = [...table.tHead.rows[0].cells].findIndex(th => th.textContent === %q)
		return [...table.tBodies[0].rows].map(row => {
			const cell = row.cells[column]
			return cell.querySelector('time')?.dateTime ?? (cell.querySelector('a') ?? cell.querySelector('bdi') ?? cell).textContent
		})
	})()`, head))
}

// checkOrder says whether values are in order, and what is last either way is.
func checkOrder(t *testing.T, values []string, compare func(a, b string) int, direction string, last []string) {
	t.Helper()
	for _, l := range slices.Backward(last) {
		all := len(values)
		for len(values) > 0 && values[len(values)-1] == l {
			values = values[:len(values)-1]
		}
		if len(values) == all {
			t.Errorf("%q is not last: %q", l, values)
		}
	}
	if len(slices.Compact(slices.Clone(values))) < 2 {
		t.Fatalf("all are alike, which shows nothing: %q", values)
	}
	if direction == "descending" {
		slices.Reverse(values)
	}
	if !slices.IsSortedFunc(values, compare) {
		t.Errorf("not %s: %q", direction, values)
	}
}

func opposite(direction string) string {
	if direction == "ascending" {
		return "descending"
	}
	return "ascending"
}

// number reads one as pages write it.
func number(s string) int {
	n, err := strconv.Atoi(strings.ReplaceAll(s, ",", ""))
	if err != nil {
		return -1
	}
	return n
}
