package web

import (
	"cmp"
	"net/url"
	"slices"
)

// order is that of a list of images; its zero value is worst first, as Source has them.
type order struct {
	// By is the word of a column; empty: worst first.
	By string
	// Ascending says that the smallest is first.
	Ascending bool
}

// column is one by which images can be sorted.
type column struct {
	// Word names it in an address, Head at the head of the table.
	Word, Head string
	// Number says that it has numbers. They are sorted the largest first, as is what is told since the latest; words
	// from the first letter.
	Number bool
}

// columns are those of the table of images.
func columns() []column {
	return []column{
		{"name", "Image", false},
		{"namespaces", "Namespaces", false},
		{"pods", "Pods", true},
		{"critical", "Critical", true},
		{"high", "High", true},
		{"medium", "Medium", true},
		{"other", "Low, other", true},
		{"fixable", "Fixable", true},
		{"state", "State", false},
		{"since", "Told since", false},
	}
}

// ascends says whether a column is sorted the smallest first when nobody says how.
func (c column) ascends() bool { return !c.Number && c.Word != "since" }

// sortable returns the column of a word, and false where there is none.
func sortable(word string) (column, bool) {
	all := columns()
	i := slices.IndexFunc(all, func(c column) bool { return c.Word == word })
	if i < 0 {
		return column{}, false
	}
	return all[i], true
}

// parseOrder reads the query of an address. What it cannot read does not sort.
func parseOrder(q url.Values) order {
	c, ok := sortable(q.Get("sort"))
	if !ok {
		return order{}
	}
	o := order{By: c.Word, Ascending: c.ascends()}
	switch q.Get("order") {
	case "asc":
		o.Ascending = true
	case "desc":
		o.Ascending = false
	}
	return o
}

// word is that of the direction in an address.
func (o order) word() string {
	if o.Ascending {
		return "asc"
	}
	return "desc"
}

// set writes it into the query of an address.
func (o order) set(q url.Values) {
	if o.By != "" {
		q.Set("sort", o.By)
		q.Set("order", o.word())
	}
}

// Words say it to people.
func (o order) Words() string {
	c, ok := sortable(o.By)
	by := "by " + o.By
	if o.By == "other" {
		by = "by low and other"
	}
	switch {
	case !ok:
		return "worst first"
	case c.Number && o.Ascending:
		return by + ", fewest first"
	case c.Number:
		return by + ", most first"
	case c.Word == "since" && o.Ascending:
		return "told longest ago first"
	case c.Word == "since":
		return "told most recently first"
	case o.Ascending:
		return by + ", from A to Z"
	default:
		return by + ", from Z to A"
	}
}

// part returns n of the images from one on, in this order; fewer at the end. It neither changes nor copies them.
// What has no value in the column is last either way, and what is equal there is worst first.
func (o order) part(images []Image, from, n int) []*Image {
	end := min(from+n, len(images))
	if from >= end {
		return nil
	}
	all := pointers(images)
	if o.By != "" {
		slices.SortStableFunc(all, o.compare)
	}
	return slices.Clone(all[from:end])
}

func (o order) compare(a, b *Image) int {
	without := missing(o.By, a)
	if d := cmp.Compare(without, missing(o.By, b)); d != 0 || without > 0 {
		return d
	}
	if o.Ascending {
		return compareBy(o.By, a, b)
	}
	return compareBy(o.By, b, a)
}

// missing is 0 for an image that has a value in a column, and more the less is known of it.
func missing(by string, img *Image) int {
	switch by {
	case "critical", "high", "medium", "other", "fixable":
		if !img.checked() {
			return 1
		}
	case "since":
		switch {
		case !img.Told:
			return 2
		case img.Since.IsZero():
			return 1
		}
	}
	return 0
}

func compareBy(by string, a, b *Image) int {
	switch by {
	case "name":
		return cmp.Compare(a.Name, b.Name)
	case "namespaces":
		return slices.Compare(a.Namespaces, b.Namespaces)
	case "pods":
		return cmp.Compare(a.Pods, b.Pods)
	case "critical":
		return cmp.Compare(a.Counts.Critical, b.Counts.Critical)
	case "high":
		return cmp.Compare(a.Counts.High, b.Counts.High)
	case "medium":
		return cmp.Compare(a.Counts.Medium, b.Counts.Medium)
	case "other":
		return cmp.Compare(other(a.Counts), other(b.Counts))
	case "fixable":
		return cmp.Compare(a.Counts.Fixable, b.Counts.Fixable)
	case "state":
		return cmp.Compare(stateWords(a.State), stateWords(b.State))
	case "since":
		return a.Since.Compare(b.Since)
	}
	return 0
}
