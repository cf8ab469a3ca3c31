package findings

import (
	"path"
	"slices"
	"strings"
	"time"
)

// Ignore is a decision not to hear of some findings. Without ID and Package it is about none.
type Ignore struct {
	// ID is the advisory's name, "CVE-2023-4911", in any case of letters. Empty: any, of Package.
	ID string
	// Package is the name of a package, or of its source package. Empty: any.
	Package string
	// Image is a pattern of the images that it is about, as path.Match has it, over the name without registry, tag
	// and digest, "shop/*". Empty: all.
	Image string
	// Reason says why, to people.
	Reason string
	// Until is when it ends; the zero time: never.
	Until time.Time
}

// About says to people what it is about: "CVE-2023-4911, package glibc, image shop/*".
func (i Ignore) About() string {
	var parts []string
	if i.ID != "" {
		parts = append(parts, i.ID)
	}
	if i.Package != "" {
		parts = append(parts, "package "+i.Package)
	}
	if i.Image != "" {
		parts = append(parts, "image "+i.Image)
	}
	return strings.Join(parts, ", ")
}

// holds says whether it is in force for one of an image's paths at a time.
func (i Ignore) holds(paths []string, now time.Time) bool {
	if i.ended(now) {
		return false
	}
	if i.Image == "" {
		return true
	}
	for _, p := range paths {
		if matches, err := path.Match(i.Image, p); err == nil && matches {
			return true
		}
	}
	return false
}

func (i Ignore) ended(now time.Time) bool { return !i.Until.IsZero() && !i.Until.After(now) }

// pathsOf returns the name of an image as pods have it, without registry, tag and digest. One of Docker's own images
// has two, because "nginx" is short for "docker.io/library/nginx".
func pathsOf(image string) []string {
	const official = "library/"
	p, _, _ := strings.Cut(image, "@")
	if colon := strings.LastIndexByte(p, ':'); colon > strings.LastIndexByte(p, '/') {
		p = p[:colon]
	}
	// The rule by which container runtimes tell a registry from the first part of a path.
	host, rest, several := strings.Cut(p, "/")
	if several && (strings.ContainsAny(host, ".:") || host == "localhost") {
		if host != "docker.io" && host != "index.docker.io" {
			return []string{rest}
		}
		p = rest
	}
	if short, long := strings.CutPrefix(p, official); long {
		return []string{p, short}
	}
	if !strings.Contains(p, "/") {
		return []string{p, official + p}
	}
	return []string{p}
}

// ignored are ignores by what they are about, with the place of the first that is. However many there are, a finding is
// looked up in a few of them.
type ignored map[about]int

// about is what an ignore names. Either may be empty, which is any.
type about struct {
	id  string // in capitals
	pkg string
}

// newIgnored returns nil where nothing is ignored.
func newIgnored(is []Ignore) ignored {
	if len(is) == 0 {
		return nil
	}
	by := make(ignored, len(is))
	for place, i := range slices.Backward(is) {
		by[about{strings.ToUpper(i.ID), i.Package}] = place
	}
	delete(by, about{}) // a slip of the pen must not hide all there is
	return by
}

// has says whether a finding is ignored.
func (is ignored) has(f Finding) bool { return is.first(f) >= 0 }

// first is the place of the first ignore that is about a finding; -1: none is.
func (is ignored) first(f Finding) int {
	first := -1
	if len(is) == 0 {
		return first
	}
	id := strings.ToUpper(f.Name)
	for _, a := range [...]about{{id, ""}, {id, f.Package}, {id, f.source}, {"", f.Package}, {"", f.source}} {
		if place, is := is[a]; is && (first < 0 || place < first) {
			first = place
		}
	}
	return first
}
