package slack

import (
	"cmp"

	slackgo "github.com/slack-go/slack"

	"github.com/clairwatch/clairwatch/findings"
)

// mostSpread is how many vulnerabilities a message about many lists.
const mostSpread = 8

// DisclosedMany tells in one message of many vulnerabilities that are newly disclosed for several running images.
type DisclosedMany struct {
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Namespaces are those in which the images run, each once, in the order to show; empty: not shown.
	Namespaces []string
	// Counts counts the vulnerabilities, each once in however many images. Zero: there is no message.
	Counts findings.Counts
	// Ignored is how many more would be told if the settings ignored nothing. Zero: not shown.
	Ignored int
	// Rows are the worst of them in the order to show; eight are shown.
	Rows []findings.Spread
	// Images is the number of images concerned. Zero: as many as are named.
	Images int
	// Named are the images concerned, worst first; six are named.
	Named []Image
	// Pods is how many pods run them; zero: not shown.
	Pods int
	// Link leads to the list of all images; empty: no link.
	Link string
}

// Message returns a card. It is no message when there are no vulnerabilities.
func (d DisclosedMany) Message() Message {
	c := d.Counts
	if c.Total() <= 0 {
		return Message{}
	}
	severity, _ := c.Worst()
	sign, found := dot(severity)+" ", count(c.Total(), "vulnerability")
	headline := []inline{plain(sign), bold(found), plain(" newly disclosed")}
	text := sign + found + " newly disclosed"
	if n := d.images(); n > 0 {
		headline = append(headline, plain(" in "), bold(count(n, "running image")))
		text += " in " + count(n, "running image")
	}
	fixes, fixesText := fixableOf(c)
	k := card{
		text:     text + ": " + worst(c) + fixesText,
		colour:   colour(c),
		headline: append(headline, fixes...),
		counts:   countsLine(c),
	}
	if rows := d.Rows[:min(len(d.Rows), mostSpread)]; len(rows) > 0 {
		k.table, k.list = spreadTable(rows), spreadList(rows)
		if len(rows) < c.Total() {
			k.details = append(k.details, grey(verbatim("The "+number(len(rows))+" worst of "+number(c.Total()))))
		}
	}
	if ignored := moreIgnored(d.Ignored); ignored != nil {
		k.details = append(k.details, ignored)
	}
	if len(d.Named) > 0 {
		k.details = append(k.details, grey(markup("In "+names(d.Named, d.images()))))
	}
	footer := details(d.Cluster, within(d.Namespaces), podsOf(d.Pods))
	if all := anchor("All images", d.Link); all != nil || footer != "" {
		k.details = append(k.details, grey(all, verbatim(footer)))
	}
	return k.message()
}

// images is the number of images concerned.
func (d DisclosedMany) images() int { return max(d.Images, len(d.Named)) }

// spreadTable shows the vulnerabilities with the number of images that have each.
func spreadTable(rows []findings.Spread) slackgo.Block {
	left, right := slackgo.ColumnAlignmentLeft, slackgo.ColumnAlignmentRight
	columns := []column{{"Advisory", left}, {"Package", left}, {"Images", right}, {"Fixed in", left}}
	var cells [][][]inline
	for _, r := range rows {
		cells = append(cells, [][]inline{
			scored(r.Finding, false),
			{plain(orDash(brief(r.Finding.Package, longestCell)))},
			{plain(number(r.Images))},
			{plain(fixOf(r))},
		})
	}
	return table(columns, cells)
}

// spreadList says the same as spreadTable in lines.
func spreadList(rows []findings.Spread) slackgo.Block {
	var items [][]inline
	for _, r := range rows {
		item := scored(r.Finding, true)
		if pkg := brief(r.Finding.Package, longestCell); pkg != "" {
			item = append(item, plain(" in "), bold(pkg))
		}
		item = append(item, plain(": "+count(r.Images, "image")+emSpace))
		items = append(items, append(item, plain(fixLine(r))))
	}
	return bullets(nil, items)
}

// scored names an advisory with its severity and its score.
func scored(f findings.Finding, strong bool) []inline {
	line := []inline{plain(dot(f.Severity) + " "), linked(brief(f.Name, longestCell), f.Link, strong)}
	if n := score(f.CVSS); n != "" {
		line = append(line, plain(" "+n))
	}
	return line
}

// fixOf says which version ends a vulnerability, for a column.
func fixOf(s findings.Spread) string {
	if s.FixesDiffer {
		return "differs by image"
	}
	return cmp.Or(brief(s.Finding.FixedIn, longestCell), noFixYet)
}

// fixLine says the same in a line.
func fixLine(s findings.Spread) string {
	if s.FixesDiffer {
		return "fixes differ by image"
	}
	return fix(s.Finding)
}
