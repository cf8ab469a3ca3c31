package findings

import (
	"cmp"
	"slices"
)

// Spread is one vulnerability and in how many images it is.
type Spread struct {
	// Finding is the vulnerability as the image has it in which it is worst. Where the images know its package by
	// different names it is the source package, which they have in common.
	Finding Finding
	// Images is how many images have it.
	Images int
	// FixesDiffer says that not all of them are known to be fixed by the version that the finding names, as with
	// images of several distributions.
	FixesDiffer bool
}

// Share is what is kept of some findings of one image for a message about several: all of them by identity, the worst
// by name.
type Share struct {
	// Entries are all of them, each once.
	Entries []Entry
	// Fixable are those with a fix, each once.
	Fixable []ID
	// Named are some of them, worst first.
	Named []Finding
	// Ignored are findings that would be among them if nothing were ignored, each once.
	Ignored []ID
}

// OnlyIgnored counts what is ignored in some of the images and told in none, each once in however many images.
func OnlyIgnored(images []Share) int {
	ignored := make(map[ID]struct{})
	for _, image := range images {
		for _, id := range image.Ignored {
			ignored[id] = struct{}{}
		}
	}
	for _, image := range images {
		for _, e := range image.Entries {
			delete(ignored, e.ID)
		}
	}
	return len(ignored)
}

// Fixable returns the identities of the findings with a fix, each once.
func Fixable(fs []Finding) []ID {
	var ids []ID
	for _, f := range fs {
		if f.Fixable() {
			ids = append(ids, f.ID())
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Spreads says which vulnerabilities images have in common. It returns those that are named, worst first and of
// equally bad ones first what most images have, and counts all, each once in however many images. A vulnerability
// counts as fixable when any of the images has a fix.
func Spreads(images []Share) ([]Spread, Counts) {
	has := make(map[ID]int)
	worst := make(map[ID]Severity)
	fixable := make(map[ID]bool)
	named := make(map[ID]Finding)
	differ := make(map[ID]bool)
	says := make(map[ID]int) // images of which the fix is known
	for _, image := range images {
		in := make(map[ID]bool)
		for _, e := range image.Entries {
			has[e.ID]++
			worst[e.ID] = max(worst[e.ID], e.Severity)
		}
		for _, id := range image.Fixable {
			fixable[id] = true
		}
		for _, f := range image.Named {
			if !in[f.ID()] {
				in[f.ID()] = true
				says[f.ID()]++
			}
			known, ok := named[f.ID()]
			if ok && known.FixedIn != f.FixedIn {
				differ[f.ID()] = true
			}
			if ok && known.Package != f.Package {
				known.Package, f.Package = f.source, f.source
				named[f.ID()] = known
			}
			if !ok || compare(&f, &known) < 0 {
				named[f.ID()] = f
			}
		}
	}
	var spreads []Spread
	for id, f := range named {
		spreads = append(spreads, Spread{Finding: f, Images: max(has[id], 1), FixesDiffer: differ[id] || says[id] < has[id]})
	}
	slices.SortFunc(spreads, func(a, b Spread) int {
		return cmp.Or(
			cmp.Compare(rank(a.Finding.Severity), rank(b.Finding.Severity)),
			cmp.Compare(b.Images, a.Images),
			compare(&a.Finding, &b.Finding),
		)
	})
	var counts Counts
	for id, s := range worst {
		*counts.of(s)++
		if fixable[id] {
			counts.Fixable++
		}
	}
	return spreads, counts
}
