package findings

import (
	"cmp"
	"slices"
)

// Update is one thing to do: bring a package from the installed version to the one that ends all of
// its listed findings. Findings without a fix give an Update without FixedIn: nothing to do but know.
type Update struct {
	// Package, Installed and FixedIn are those of the findings; FixedIn is empty when there is no fix.
	Package, Installed, FixedIn string
	// Worst is the worst of the findings.
	Worst Finding
	// Findings is their number, at least 1.
	Findings int
}

// Updates groups findings by package, installed version and fix, worst first. Versions are compared for
// equality only, so no knowledge of a distribution's ordering is needed: one package can appear with
// two fixes. Those with a fix come before those without, because a reader can act on them.
func Updates(fs []Finding) []Update {
	type key struct{ pkg, installed, fixed string }
	at := make(map[key]int)
	var us []Update
	for _, f := range fs {
		k := key{f.Package, f.Installed, f.FixedIn}
		i, ok := at[k]
		if !ok {
			at[k] = len(us)
			us = append(us, Update{Package: f.Package, Installed: f.Installed, FixedIn: f.FixedIn, Worst: f, Findings: 1})
			continue
		}
		us[i].Findings++
		if compare(f, us[i].Worst) < 0 {
			us[i].Worst = f
		}
	}
	slices.SortFunc(us, func(a, b Update) int {
		return cmp.Or(
			compareBool(a.FixedIn != "", b.FixedIn != ""),
			cmp.Compare(rank(a.Worst.Severity), rank(b.Worst.Severity)),
			cmp.Compare(b.Worst.CVSS, a.Worst.CVSS),
			cmp.Compare(b.Findings, a.Findings),
			compare(a.Worst, b.Worst),
		)
	})
	return us
}
