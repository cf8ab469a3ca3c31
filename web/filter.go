package web

import (
	"net/url"
	"slices"
	"strings"
)

// filter says which images a page shows; its zero value shows all.
type filter struct {
	// Namespace and State are whole words, Text is a part of what names the image or a workload, in any case.
	// Empty: whichever.
	Namespace, State, Text string
}

// parseFilter reads the query of an address. What it cannot read does not filter.
func parseFilter(q url.Values) filter {
	return filter{
		Namespace: brief(strings.TrimSpace(q.Get("namespace"))),
		State:     brief(strings.TrimSpace(q.Get("state"))),
		Text:      brief(strings.TrimSpace(q.Get("q"))),
	}
}

// active says whether it leaves anything out.
func (f filter) active() bool { return f != filter{} }

// pick returns those of the images that pass, in their order.
func (f filter) pick(images []Image) []Image {
	if !f.active() {
		return images
	}
	f.Text = strings.ToLower(f.Text)
	var picked []Image
	for _, img := range images {
		if f.passes(img) {
			picked = append(picked, img)
		}
	}
	return picked
}

// passes looks at one image. The text is in lower case.
func (f filter) passes(img Image) bool {
	if f.Namespace != "" && !slices.Contains(img.Namespaces, f.Namespace) {
		return false
	}
	if f.State != "" && img.State != f.State {
		return false
	}
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), f.Text) }
	return f.Text == "" || has(img.Name) || has(img.Digest) ||
		slices.ContainsFunc(img.Workloads, func(w Workload) bool { return has(w.Name) })
}
