package slack

import (
	"slices"
	"strings"

	slackgo "github.com/slack-go/slack"

	"github.com/clairwatch/clairwatch/findings"
)

// mostAffected is how many images a message about one vulnerability lists.
const mostAffected = 8

// Affected is one running image that has a vulnerability.
type Affected struct {
	// Image is what runs.
	Image Image
	// Namespaces are where it runs, each once, in the order to show; empty: not shown. Two are named, more are
	// counted.
	Namespaces []string
	// Pods is how many pods run it; zero: not shown.
	Pods int
	// Installed is the version in the image, FixedIn the one that ends it; empty when there is none yet.
	Installed, FixedIn string
	// Link leads to the image's report; empty: no link.
	Link string
}

// Widespread tells that one vulnerability is newly disclosed for several running images.
type Widespread struct {
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Finding is the vulnerability as the worst affected image has it. Its Description is shown, its versions are
	// not: each image has its own. Where there are no rows, its FixedIn holds for all images.
	Finding findings.Finding
	// Ignored is how many other vulnerabilities are new in these images and ignored by the settings. Zero: not shown.
	Ignored int
	// Images is the number of images concerned, at least one. Zero: as many as there are rows.
	Images int
	// Rows are the images concerned in the order to show; eight are shown. Which fix there is, is told of those
	// that are given.
	Rows []Affected
	// Workloads and Pods are how many run them; zero: not shown.
	Workloads, Pods int
	// Link leads to the list of all images that have it; empty: no link.
	Link string
}

// Message returns a card. It is no message when there are no images.
func (w Widespread) Message() Message {
	if w.images() <= 0 {
		return Message{}
	}
	counts := findings.Count([]findings.Finding{w.Finding})
	k := card{text: w.text(), colour: colour(counts), headline: w.headline(), counts: w.facts()}
	if said := excerpt(w.Finding.Description, longestExcerpt); said != "" {
		k.lead = paragraph([]inline{plain(said)})
	}
	if rows := w.Rows[:min(len(w.Rows), mostAffected)]; len(rows) > 0 {
		k.table, k.list = w.table(rows), w.list(rows)
	}
	var part slackgo.MixedElement
	if shown := min(len(w.Rows), mostAffected); shown > 0 && shown < w.images() {
		part = verbatim(number(shown) + " of " + count(w.images(), "image"))
	}
	if ignored := moreIgnored(w.Ignored); ignored != nil {
		k.details = append(k.details, ignored)
	}
	cluster, all := verbatim(details(w.Cluster)), anchor("All images", w.Link)
	if part != nil || cluster != nil || all != nil {
		k.details = append(k.details, grey(part, all, cluster))
	}
	return k.message()
}

// images is the number of images concerned.
func (w Widespread) images() int { return max(w.Images, len(w.Rows)) }

func (w Widespread) headline() []inline {
	f := w.Finding
	h := []inline{
		plain(dot(f.Severity) + " "),
		linked(brief(f.Name, longestCell), f.Link, true),
		plain(" (" + rated(f.Severity) + ")"),
	}
	if pkg := brief(f.Package, longestCell); pkg != "" {
		h = append(h, plain(" in "), bold(pkg))
	}
	return append(h, plain(" now affects "), bold(count(w.images(), "running image")))
}

func (w Widespread) text() string {
	f := w.Finding
	t := dot(f.Severity) + " " + orDash(brief(f.Name, longestAdvisory)) + " (" + rated(f.Severity) + ")"
	if pkg := brief(f.Package, longestAdvisory); pkg != "" {
		t += " in " + pkg
	}
	t += " now affects " + count(w.images(), "running image")
	switch fixes := w.fixes(); {
	case len(fixes) > 1:
		return t + "; fixes differ by image"
	case fixes[0] != unformatted(fixes[0]): // better no version than a wrong one
		return t + "; a fix is there"
	case fixes[0] != "":
		return t + "; fixed in " + clip(fixes[0], longestAdvisory)
	default:
		return t + "; no fix yet"
	}
}

// facts is the second line: what there is to do, how bad it is, and how much runs it.
func (w Widespread) facts() []inline {
	var line []inline
	switch fixes := w.fixes(); {
	case len(fixes) > 1:
		line = append(line, plain("Fixes differ by image"))
	case fixes[0] != "":
		line = append(line, plain("Fixed in "), code(fixes[0]))
	default:
		line = append(line, plain("No fix yet"))
	}
	if s := score(w.Finding.CVSS); s != "" {
		line = append(line, plain(emSpace+"CVSS "), bold(s))
	}
	var run []string
	if w.Workloads > 0 {
		run = append(run, count(w.Workloads, "workload"))
	}
	if w.Pods > 0 {
		run = append(run, podsOf(w.Pods))
	}
	if len(run) > 0 {
		line = append(line, plain(emSpace+strings.Join(run, ", ")))
	}
	return line
}

// fixes are the versions that end it, each once and as they are shown; an empty one stands for images without a
// fix. There is at least one.
func (w Widespread) fixes() []string {
	if len(w.Rows) == 0 {
		return []string{brief(w.Finding.FixedIn, longestCell)}
	}
	var fixes []string
	for _, r := range w.Rows {
		if f := brief(r.FixedIn, longestCell); !slices.Contains(fixes, f) {
			fixes = append(fixes, f)
		}
	}
	return fixes
}

// table shows the images. What to update to has a column only where the second line cannot say it, and then one
// that a phone shows.
func (w Widespread) table(rows []Affected) slackgo.Block {
	left := slackgo.ColumnAlignmentLeft
	columns := []column{{"Image", left}, {"Running in", left}, {"Installed", left}}
	differ := len(w.fixes()) > 1
	if differ {
		columns = slices.Insert(columns, 1, column{"Update to", left})
	}
	var cells [][][]inline
	for _, r := range rows {
		row := [][]inline{
			{linked(r.Image.named(longestCell), r.Link, false)},
			{plain(orDash(r.where()))},
			{plain(orDash(brief(r.Installed, longestCell)))},
		}
		if differ {
			row = slices.Insert(row, 1, []inline{r.updateTo()})
		}
		cells = append(cells, row)
	}
	return table(columns, cells)
}

// list says the same as table in lines.
func (w Widespread) list(rows []Affected) slackgo.Block {
	differ := len(w.fixes()) > 1
	var items [][]inline
	for _, r := range rows {
		item := []inline{linked(r.Image.named(longestCell), r.Link, true)}
		if where := r.where(); where != "" {
			item = append(item, plain(" in "+where))
		}
		item = append(item, plain(emSpace+orDash(brief(r.Installed, longestCell))))
		if differ {
			item = append(item, plain(" → "), r.updateTo())
		}
		items = append(items, item)
	}
	return bullets(nil, items)
}

// where says where the image runs: "shop · 9 pods". Empty when that is not known.
func (a Affected) where() string {
	namespaces := placeNames(a.Namespaces)
	if n := len(a.Namespaces); n > 2 {
		namespaces = count(n, "namespace")
	}
	return details(namespaces, podsOf(a.Pods))
}

// updateTo is the version that ends it in this image.
func (a Affected) updateTo() inline {
	if fixed := brief(a.FixedIn, longestCell); fixed != "" {
		return bold(fixed)
	}
	return plain(noFixYet)
}
