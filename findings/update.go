package findings

import (
	"cmp"
	"slices"
)

// Update is one thing to do: bring a package from the installed version to the one that ends all of its
// findings. Findings without a fix give an Update without FixedIn: nothing to do but know.
type Update struct {
	// Package, Installed and FixedIn are those of the findings; FixedIn is empty when there is no fix.
	Package, Installed, FixedIn string
	// Worst is the worst of the findings.
	Worst Finding
	// Findings is their number, at least 1.
	Findings int
}

// Updates groups findings by package, installed version and fix, worst first. Of several fixes of one
// package the latest counts, as it brings the others, where versions of its kind can be compared;
// otherwise the package appears with each. Updates with a fix come before those without, because a reader
// can act on them.
func Updates(fs []Finding) []Update {
	type key struct {
		pkg, installed string
		fixed          string // empty where latest is set
		latest         bool   // the fixes can be compared: one update for all of them
	}
	at := make(map[key]*Update)
	var us []*Update // a finding is large to move
	for _, f := range pointers(fs) {
		k := key{pkg: f.Package, installed: f.Installed, fixed: f.FixedIn}
		compareFixes := comparisonOf(f.Updater)
		if compareFixes != nil && f.Fixable() {
			if _, valid := compareFixes(f.FixedIn, f.FixedIn); valid {
				k.fixed, k.latest = "", true
			}
		}
		u := at[k]
		if u == nil {
			u = &Update{Package: f.Package, Installed: f.Installed, FixedIn: f.FixedIn, Worst: *f, Findings: 1}
			at[k] = u
			us = append(us, u)
			continue
		}
		u.Findings++
		if k.latest {
			if later, _ := compareFixes(f.FixedIn, u.FixedIn); later > 0 {
				u.FixedIn = f.FixedIn
			}
		}
		if compare(f, &u.Worst) < 0 {
			u.Worst = *f
		}
	}
	slices.SortFunc(us, func(a, b *Update) int {
		if d := cmp.Or(
			compareBool(a.FixedIn != "", b.FixedIn != ""),
			cmp.Compare(rank(a.Worst.Severity), rank(b.Worst.Severity)),
			cmp.Compare(b.Worst.CVSS, a.Worst.CVSS),
			cmp.Compare(b.Findings, a.Findings),
		); d != 0 {
			return d
		}
		return compare(&a.Worst, &b.Worst)
	})
	all := slices.Grow([]Update(nil), len(us))
	for _, u := range us {
		all = append(all, *u)
	}
	return all
}
