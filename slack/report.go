package slack

import (
	"strconv"

	slackgo "github.com/slack-go/slack"

	"github.com/clairwatch/clairwatch/findings"
)

// mostUpdates is how many rows of a summary a message shows.
const mostUpdates = 8

// mayFollow says that what is told is not all yet.
const mayFollow = "Clair is still loading its vulnerability data; more may follow"

// Report tells what Clair knows about an image that has begun to run.
type Report struct {
	// Image is what runs.
	Image Image
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Summary is what Clair found; at most eight of its updates are shown.
	Summary findings.Summary
	// Loading says that Clair is still loading its vulnerability data, so that more may follow.
	Loading bool
	// Place is where it runs; the zero value: not shown.
	Place Place
	// Link leads to the full report; empty: no link.
	Link string

	// having is that of Disclosed.
	having string
}

// Message returns a card, or one quiet line when there is nothing to do: no known vulnerability, none that
// the rules let pass, or no data to know by. What is held back or ignored is never called clean.
func (r Report) Message() Message {
	c, hidden, ignored := r.Summary.Counts, r.Summary.Hidden, r.Summary.Ignored
	switch {
	case c.Total() > 0:
		return r.card().message()
	case hidden.Total()+ignored.Total() > 0:
		return r.quietly(leftOutSign(hidden), "is running with "+every(hidden.Add(ignored))+
			allLeftOut(hidden.Total(), ignored.Total(), r.Summary.Rules))
	case !r.Summary.Covered:
		return r.quietly("❔", "is running, but was not checked: Clair has no data for what is in it")
	case r.Loading: // green would be a promise
		return r.quietly("❔", "is running, no known vulnerabilities so far")
	default:
		return r.quietly("✅", "is running, no known vulnerabilities")
	}
}

// quietly says one thing about the image.
func (r Report) quietly(sign, verdict string) Message {
	line := sign + " " + mono(r.Image.named(longestName)) + " " + verdict
	if r.Loading {
		line += ". " + mayFollow
	}
	return quiet(
		sign+" "+r.Image.named(longestBrief)+" "+verdict,
		grey(
			markup(line),
			verbatim(details(r.Cluster, r.Place.where(), fixable(r.Summary.Hidden.Add(r.Summary.Ignored)), packages(r.Summary.Packages), r.Summary.Distribution)),
			anchor("Report", r.Link),
		),
	)
}

// card shows the findings under a headline that is a sentence.
func (r Report) card() card {
	c := r.Summary.Counts
	return r.cardUnder(
		[]inline{plain(" is running with "), bold(worst(c))},
		" is running with "+worst(c),
	)
}

// cardUnder shows the findings under the image's name and what is said of it, once as rich text and once
// as plain text.
func (r Report) cardUnder(said []inline, plainly string) card {
	c := r.Summary.Counts
	severity, _ := c.Worst()
	sign := dot(severity) + " "

	headline := append([]inline{plain(sign), linked(r.Image.named(longestName), r.Link, true)}, said...)
	text := sign + r.Image.named(longestBrief) + plainly
	fixes, fixesText := fixableOf(c)
	headline, text = append(headline, fixes...), text+fixesText

	k := card{text: text, colour: colour(c), headline: headline, counts: countsLine(c)}
	if us := r.Summary.Updates; len(us) > 0 {
		us = us[:min(len(us), mostUpdates)]
		k.table, k.list = updateTable(us, c.Fixable > 0), updateList(us)
	}
	k.details = append(k.details, grey(verbatim(r.note())))
	if r.Loading {
		k.details = append(k.details, grey(verbatim(mayFollow)))
	}
	if where := r.Place.block(); where != nil {
		k.details = append(k.details, where)
	}
	footer := details(r.Cluster, r.Image.repository(), shortDigest(clean(r.Image.Digest)),
		r.Summary.Distribution, packages(r.Summary.Packages))
	more := anchor("Full report", r.Link)
	if having := anchor("All images", r.having); having != nil {
		more = having
	}
	if more != nil || footer != "" {
		k.details = append(k.details, grey(more, verbatim(footer)))
	}
	return k
}

// note says what the rows are a part of.
func (r Report) note() string {
	return r.updatesNote() + r.unfixedNote() + r.hiddenNote()
}

// hiddenNote says how many findings are not counted above.
func (r Report) hiddenNote() string {
	hidden, ignored := r.Summary.Hidden.Total(), r.Summary.Ignored.Total()
	switch {
	case hidden > 0 && ignored > 0:
		are := " are "
		if ignored == 1 {
			are = " is "
		}
		return ". " + moreAre(hidden) + heldBack(r.Summary.Rules) + ", " + number(ignored) + are + "ignored"
	case hidden > 0:
		return ". " + moreAre(hidden) + heldBack(r.Summary.Rules)
	case ignored > 0:
		return ". " + moreAre(ignored) + ignoredHere
	default:
		return ""
	}
}

func moreAre(n int) string {
	if n == 1 {
		return "1 more is "
	}
	return number(n) + " more are "
}

// unfixedNote says what the table of updates does not show.
func (r Report) unfixedNote() string {
	c, f := r.Summary.Counts, r.Summary.Unfixed
	n := c.Total() - c.Fixable
	if n <= 0 || f.Name == "" {
		return ""
	}
	s := ". " + number(n) + " without a fix yet, the worst "
	if n == 1 {
		s = ". 1 without a fix yet: "
	}
	s += brief(f.Name, longestCell) + " (" + word(f.Severity) + ")"
	if pkg := brief(f.Package, longestCell); pkg != "" {
		s += " in " + pkg
	}
	return s
}

// updatesNote says what the rows are a part of.
func (r Report) updatesNote() string {
	c, shown := r.Summary.Counts, min(len(r.Summary.Updates), mostUpdates)
	all := max(r.Summary.AllUpdates, shown)
	fixes := number(c.Fixable) + " of " + number(c.Total())
	switch {
	case c.Fixable == 0 && c.Total() == 1:
		return "There is no fixed version yet"
	case c.Fixable == 0:
		return "The worst of " + number(c.Total()) + "; none has a fixed version yet"
	case shown == 0:
		return fixes + " have a fixed version"
	case all > shown:
		return number(shown) + " of the " + number(all) + " updates that fix " + fixes
	case all == 1:
		return "1 update fixes " + fixes
	default:
		return number(all) + " updates fix " + fixes
	}
}

// updateTable shows the updates to make, not the advisories: the first two columns, which a phone shows,
// are what there is to do.
func updateTable(us []findings.Update, fixable bool) slackgo.Block {
	left := slackgo.ColumnAlignmentLeft
	columns := []column{{"Package", left}, {"Update to", left}, {"Installed", left}, {"Fixes", left}}
	if !fixable {
		columns = []column{{"Package", left}, {"Installed", left}, {"Advisory", left}}
	}
	var rows [][][]inline
	for _, u := range us {
		row := [][]inline{{plain(dot(u.Worst.Severity) + " " + orDash(brief(u.Package, longestCell)))}}
		if fixable {
			row = append(row, []inline{bold(orDash(brief(u.FixedIn, longestCell)))})
		}
		row = append(row, []inline{plain(orDash(brief(u.Installed, longestCell)))}, advisory(u))
		rows = append(rows, row)
	}
	return table(columns, rows)
}

// updateList says the same as updateTable in lines.
func updateList(us []findings.Update) slackgo.Block {
	var items [][]inline
	for _, u := range us {
		item := []inline{
			plain(dot(u.Worst.Severity) + " "),
			bold(orDash(brief(u.Package, longestCell))),
			plain(" " + orDash(brief(u.Installed, longestCell))),
		}
		if fixed := brief(u.FixedIn, longestCell); fixed != "" {
			item = append(item, plain(" → "), bold(fixed))
		}
		items = append(items, append(append(item, plain(emSpace)), advisory(u)...))
	}
	return bullets(nil, items)
}

// advisory names the worst advisory of an update with its score, and counts the others.
func advisory(u findings.Update) []inline {
	line := []inline{linked(brief(u.Worst.Name, longestCell), u.Worst.Link, false)}
	if s := score(u.Worst.CVSS); s != "" {
		line = append(line, plain(" "+s))
	}
	if more := u.Findings - 1; more > 0 {
		line = append(line, plain(" +"+number(more)))
	}
	return line
}

// score is a CVSS base score; empty when there is none.
func score(cvss float64) string {
	s := strconv.FormatFloat(cvss, 'f', 1, 64)
	if !(cvss > 0 && cvss <= 10) || s == "0.0" { // everything else is no score
		return ""
	}
	return s
}

// fixableOf ends a headline with how many of the findings have a fix, once as rich text and once as plain text.
func fixableOf(c findings.Counts) (line []inline, text string) {
	if c.Fixable <= 0 {
		return []inline{plain(", no fixes yet")}, "; no fixes yet"
	}
	return []inline{plain(", "), bold(number(c.Fixable)), plain(" fixable")},
		"; " + number(c.Fixable) + " of " + number(c.Total()) + " fixable"
}

// fixable counts the findings with a fix for a footer; none is not worth a word.
func fixable(c findings.Counts) string {
	if c.Fixable <= 0 {
		return ""
	}
	return number(c.Fixable) + " fixable"
}

// packages counts packages for a footer; none is not worth a word.
func packages(n int) string {
	if n <= 0 {
		return ""
	}
	return count(n, "package")
}
