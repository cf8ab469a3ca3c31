package web

import (
	"cmp"
	"maps"
	"slices"

	"github.com/clairwatch/clairwatch/findings"
)

// occurrence is where a vulnerability is, in what runs: for its page, for the API and for what the first page says of it.
type occurrence struct {
	// called are the images with findings that are called so, worst first, and of these what runs in most pods.
	called []affected
	// mentioned are the findings that are called otherwise and mention the name, by the digest of their image.
	mentioned map[string][]findings.Finding
	// also is how many images have only such.
	also int
	// unread is how many images there are of which no report was read, uncovered how many nobody checks: they may have it
	// all the same. They count each name.
	unread, uncovered int
}

// affected is an image that has a vulnerability.
type affected struct {
	running
	digest string
	// findings are those that are called so, worst first; there is at least one. counts counts them.
	findings []findings.Finding
	counts   findings.Counts
}

// newOccurrence joins what Source.Having says of a name with what runs. Of what has just begun or ended one may know
// without the other: it does not count.
func newOccurrence(name string, having map[string][]findings.Finding, images []Image) occurrence {
	o := occurrence{mentioned: make(map[string][]findings.Finding), unread: unread(images)}
	by := make(map[string][]*Image, len(having))
	for i := range images {
		img := &images[i]
		if img.Found && img.State == notCovered { // also where another Clair has found something else in it
			o.uncovered++
		}
		if len(having[img.Digest]) > 0 && img.Digest != "" {
			by[img.Digest] = append(by[img.Digest], img)
		}
	}
	for digest, of := range by {
		var called, mentioned []findings.Finding
		for _, f := range having[digest] {
			if f.IsCalled(name) {
				called = append(called, f)
			} else {
				mentioned = append(mentioned, f)
			}
		}
		if len(mentioned) > 0 {
			o.mentioned[digest] = mentioned
		}
		if len(called) == 0 {
			o.also++
			continue
		}
		findings.Sort(called)
		o.called = append(o.called, affected{newRunning(of), digest, called, findings.Count(called)})
	}
	slices.SortFunc(o.called, func(a, b affected) int {
		return cmp.Or(a.counts.Compare(b.counts), cmp.Compare(b.pods, a.pods), cmp.Compare(a.name, b.name), cmp.Compare(a.digest, b.digest))
	})
	return o
}

// nowhere says that nothing that runs has it, by this or by another name.
func (o occurrence) nowhere() bool { return len(o.called)+len(o.mentioned) == 0 }

// findings are all that are called so, worst first.
func (o occurrence) findings() []findings.Finding {
	var all []findings.Finding
	for _, a := range o.called {
		all = append(all, a.findings...)
	}
	findings.Sort(all)
	return all
}

// end is an update that ends a vulnerability.
type end struct {
	// fixedIn is empty where there is no fix.
	pkg, fixedIn string
	// installed are the versions to update, in order.
	installed []string
	// images is how many images need it.
	images int
}

// ends are the updates that end it: those with a fix first, and of these what most images need.
func (o occurrence) ends() []end {
	type update struct{ pkg, fixedIn string }
	needs := make(map[update]*end)
	last := make(map[*end]int) // the last image that was counted
	for i, a := range o.called {
		for _, f := range a.findings {
			u := update{f.Package, f.FixedIn}
			e := needs[u]
			if e == nil {
				e = &end{pkg: f.Package, fixedIn: f.FixedIn}
				needs[u] = e
			}
			e.installed = append(e.installed, f.Installed)
			if last[e] != i+1 {
				last[e] = i + 1
				e.images++
			}
		}
	}
	all := make([]end, 0, len(needs))
	for _, e := range needs {
		slices.Sort(e.installed)
		e.installed = slices.Compact(e.installed)
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b end) int {
		return cmp.Or(cmp.Compare(absent(a.fixedIn), absent(b.fixedIn)), cmp.Compare(b.images, a.images), cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.fixedIn, b.fixedIn))
	})
	return all
}

// absent is 1 where there is nothing, and 0 where there is something.
func absent(s string) int {
	if s == "" {
		return 1
	}
	return 0
}

// otherName is another name under which something that mentions a vulnerability is known.
type otherName struct {
	// worst is the worst finding of that name.
	worst findings.Finding
	// packages are those that have it, in order, images how many images do.
	packages []string
	images   int
}

// otherNames are those of what mentions it: the worst first, and of these what most images have.
func (o occurrence) otherNames() []otherName {
	type named struct {
		worst             findings.Finding
		digests, packages map[string]bool
	}
	by := make(map[string]*named)
	for digest, fs := range o.mentioned {
		for _, f := range fs {
			n := by[f.Name]
			if n == nil {
				n = &named{f, make(map[string]bool), make(map[string]bool)}
				by[f.Name] = n
			}
			// The link is that of the worst, whatever the order of the images.
			if c := cmp.Or(
				cmp.Compare(f.Severity, n.worst.Severity),
				cmp.Compare(absent(n.worst.Link), absent(f.Link)),
				cmp.Compare(n.worst.Link, f.Link),
			); c > 0 {
				n.worst = f
			}
			n.digests[digest], n.packages[f.Package] = true, true
		}
	}
	all := make([]otherName, 0, len(by))
	for _, n := range by {
		all = append(all, otherName{n.worst, slices.Sorted(maps.Keys(n.packages)), len(n.digests)})
	}
	slices.SortFunc(all, func(a, b otherName) int {
		return cmp.Or(cmp.Compare(b.worst.Severity, a.worst.Severity), cmp.Compare(b.images, a.images), cmp.Compare(a.worst.Name, b.worst.Name))
	})
	return all
}
