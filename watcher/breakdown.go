package watcher

import (
	"cmp"
	"slices"

	"github.com/clairwatch/clairwatch/findings"
)

// breakdown is how many findings a report has, whatever the rules of channels hold back: by severity, in the order of
// findings.Severities, those without a fix and those with one. It is kept for every image that runs.
type breakdown [len(findings.Severities)]struct{ unfixable, fixable uint32 }

// reported is what a report has of an image, and the image as its pods named it then.
type reported struct {
	breakdown
	name string
}

func breakdownOf(fs []findings.Finding) breakdown {
	var t breakdown
	for _, f := range fs {
		switch i := slices.Index(findings.Severities[:], f.Severity); {
		case i < 0:
		case f.Fixable():
			t[i].fixable++
		default:
			t[i].unfixable++
		}
	}
	return t
}

func (t breakdown) plus(o breakdown) breakdown {
	for i := range t {
		t[i].unfixable += o[i].unfixable
		t[i].fixable += o[i].fixable
	}
	return t
}

// compare orders breakdowns worst first.
func (t breakdown) compare(o breakdown) int {
	for i := range t {
		if d := cmp.Compare(o.of(i), t.of(i)); d != 0 {
			return d
		}
	}
	return 0
}

// of is the number of findings of a severity.
func (t breakdown) of(i int) uint32 { return t[i].unfixable + t[i].fixable }
