package web

import (
	"cmp"
	"net/url"

	"github.com/clairwatch/clairwatch/findings"
)

// Where the pages of one thing are, below the first page.
const (
	toImages          = "images/"
	toVulnerabilities = "vulnerabilities/"
	toNamespaces      = "namespaces/"
)

// longestName is the number of bytes of a name that an address may hold.
const longestName = 400

// place is a name that leads to the page of what it names.
type place struct {
	Name string
	// Href leads there; empty: there is no page of it.
	Href string
}

// newPlace leads to the page of a vulnerability or a namespace. A browser takes "." and ".." for a way up,
// however they are escaped, so that nothing of that name has a page.
func newPlace(root, to, name string) place {
	if name == "" || name == "." || name == ".." || len(name) > longestName {
		return place{Name: name}
	}
	return place{Name: name, Href: root + to + url.PathEscape(name)}
}

// newAdvisoryPlace leads to the page of the vulnerability that a finding is about. Its address has the name without a
// title, which can be long and have slashes.
func newAdvisoryPlace(root string, f findings.Finding) place {
	return place{Name: f.Name, Href: newPlace(root, toVulnerabilities, cmp.Or(f.BareName(), f.Name)).Href}
}

// newImagePlace leads to the page of an image, if it has one.
func newImagePlace(root, name, digest string) place {
	if !isDigest(digest) {
		return place{Name: name}
	}
	return place{Name: name, Href: root + toImages + digest}
}

// places are the first of many.
type places struct {
	Of []place
	// More is how many there are besides.
	More int
}

// firstPlaces leads to at most n of the names.
func firstPlaces(root, to string, names []string, n int) places {
	f := first(names, n)
	ps := places{More: f.More}
	for _, name := range f.Names {
		ps.Of = append(ps.Of, newPlace(root, to, name))
	}
	return ps
}
