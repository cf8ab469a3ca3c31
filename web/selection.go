package web

import (
	"errors"
	"net/url"
	"strconv"
)

// selection is what an address says of the table of images: which of them, in which order, and which page of it.
type selection struct {
	Filter filter
	Order  order
	// Page is at least 1. There may be fewer pages.
	Page int
}

// parseSelection reads the query of an address. What it cannot read counts as if it were not there.
func parseSelection(q url.Values) selection {
	return selection{Filter: parseFilter(q), Order: parseOrder(q), Page: parsePage(q)}
}

// parsePage reads which page is asked for, which is at least 1. There may be fewer pages.
func parsePage(q url.Values) int {
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil && !errors.Is(err, strconv.ErrRange) { // one that is too large for a number is beyond the last
		page = 1
	}
	return max(page, 1)
}

// href leads from the first page to what is selected.
func (s selection) href() string { return s.hrefFrom("./") }

// hrefFrom leads there from a page from which root leads to the first one.
func (s selection) hrefFrom(root string) string {
	q := s.Filter.values()
	s.Order.set(q)
	if s.Page > 1 {
		q.Set("page", strconv.Itoa(s.Page))
	}
	if len(q) == 0 {
		return root + "#images"
	}
	return root + "?" + q.Encode() + "#images"
}
