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
	// packed are the findings themselves.
	packed *findings.Packed
}

// reportedOf is what a report with some findings, worst first, has of an image.
func reportedOf(fs []findings.Finding, name string) reported {
	packed := findings.Pack(fs)
	return reported{breakdownOf(fs), name, &packed}
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

// counts are the same as findings has them.
func (t breakdown) counts() findings.Counts {
	c := findings.Counts{
		Critical: int(t.of(0)), High: int(t.of(1)), Medium: int(t.of(2)), Low: int(t.of(3)), Negligible: int(t.of(4)), Unknown: int(t.of(5)),
	}
	for _, n := range t {
		c.Fixable += int(n.fixable)
	}
	return c
}
