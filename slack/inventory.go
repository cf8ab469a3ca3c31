package slack

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/quay/claircore"
	slackgo "github.com/slack-go/slack"

	"github.com/clairwatch/clairwatch/findings"
)

// mostRows is how many images an inventory lists.
const mostRows = 8

// Row is one image of an inventory.
type Row struct {
	// Image is what runs. Its platform is to be given where the same name runs on two.
	Image Image
	// Namespace is where it runs; empty: several, or not to be shown.
	Namespace string
	// Counts counts its findings.
	Counts findings.Counts
	// Pods is how many pods run it.
	Pods int
	// Link leads to its report; empty: no link.
	Link string
}

// Inventory tells of many images in one message: at the first start, when a release brings more than anyone
// would read one by one, or when what was told before is lost.
type Inventory struct {
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Namespaces are those that are watched, each once, in the order to show. One is named in the
	// headline; several are counted there and the first named in the footer.
	Namespaces []string
	// Images is the number of all images that run, tried or not; Pods that of their pods.
	Images, Pods int
	// Counts counts the findings of all images that were scanned; Hidden those that the rules hold back, Ignored
	// those that they ignore.
	Counts, Hidden, Ignored findings.Counts
	// Rules are those that hold back what is hidden. Zero: several, or not known.
	Rules findings.Rules
	// Again says that what the channel was told before is lost, so that this is not the first message of its kind.
	// The message says so, for it repeats what people know.
	Again bool
	// More says that the channel has been told of other images before, so that these are the new ones.
	More bool
	// Worst are the worst images in the order to show; eight are shown.
	Worst []Row
	// Clean is the number of images for which Clair knows no vulnerability although it has data.
	Clean int
	// Quiet is the number of images of which the rules hold back or ignore all findings. They are not clean.
	Quiet int
	// NotCovered is the number of images for which Clair has no data.
	NotCovered int
	// Failed are the images that could not be scanned, by cause.
	Failed []Cause
	// Untried is the number of images that have not been looked at yet.
	Untried int
	// Loading says that Clair is still loading its vulnerability data, so that more may follow.
	Loading bool
	// Link leads to the list of all images; empty: no link.
	Link string
}

// Message returns a card.
func (v Inventory) Message() Message {
	k := card{
		text:     v.text(),
		colour:   colour(v.Counts),
		headline: v.headline(),
		counts:   v.counts(),
	}
	if rows := v.Worst[:min(len(v.Worst), mostRows)]; len(rows) > 0 {
		k.table, k.list = v.rowTable(rows), rowList(rows)
	}
	if note, hidden := v.note(), v.hiddenNote(); note != "" || hidden != "" {
		k.details = append(k.details, grey(verbatim(note), verbatim(hidden)))
	}
	if v.Loading {
		k.details = append(k.details, grey(verbatim(mayFollow)))
	}
	if causes := nonEmpty(v.Failed); len(causes) > 0 {
		k.details = append(k.details, failedBlock(causes))
	}
	footer := details(v.Cluster, v.footerPlace(), podsOf(v.Pods))
	label := "All " + count(v.Images, "image")
	if v.More { // there are others there
		label = "All images"
	}
	if all := anchor(label, v.Link); all != nil || footer != "" {
		k.details = append(k.details, grey(all, verbatim(footer)))
	}
	return k.message()
}

// tried is the number of images that were looked at.
func (v Inventory) tried() int { return max(v.Images-v.Untried, 0) }

// checked is the number of images that Clair could say something about.
func (v Inventory) checked() int { return max(v.tried()-v.NotCovered-failures(v.Failed), 0) }

// sign is what the text begins with. It is green only when everything was checked and is clean.
func (v Inventory) sign() string {
	if s, any := v.Counts.Worst(); any {
		return dot(s)
	}
	if v.Hidden.Total()+v.Ignored.Total() > 0 {
		return leftOutSign(v.Hidden)
	}
	switch {
	case v.Images <= 0:
		return "💤"
	case v.checked() == v.Images && !v.Loading:
		return "✅"
	default:
		return "❔"
	}
}

func (v Inventory) text() string {
	t := v.sign() + " Now watching "
	if v.Again {
		t = v.sign() + " What was told before is lost, starting over with "
	}
	noun := "image"
	if v.More && !v.Again {
		t, noun = v.sign()+" ", "new image"
	}
	t += count(v.Images, noun)
	switch {
	case len(v.Namespaces) == 1:
		t += " in " + brief(v.Namespaces[0], longestBrief/2)
	case len(v.Namespaces) > 1:
		t += " in " + count(len(v.Namespaces), "namespace")
	case clean(v.Cluster) != "":
		t += " in " + brief(v.Cluster, longestBrief/2)
	}
	if v.Untried > 0 && v.tried() > 0 {
		t += ", " + number(v.tried()) + " scanned so far"
	}
	return t + ": " + v.verdict()
}

func (v Inventory) headline() []inline {
	begin, end := "👋 Now watching ", ". From here on you only hear about changes."
	if v.Again {
		begin, end = "🔁 Starting over with ", "."
	}
	noun := "image"
	if v.More && !v.Again {
		begin, end, noun = "🆕 ", ".", "new image"
	}
	h := []inline{plain(begin), bold(count(v.Images, noun))}
	if v.More && !v.Again {
		is := " are running"
		if v.Images == 1 {
			is = " is running"
		}
		h = append(h, plain(is))
	}
	switch {
	case len(v.Namespaces) == 1:
		h = append(h, plain(" in "), code(brief(v.Namespaces[0], longestName)))
	case len(v.Namespaces) > 1:
		h = append(h, plain(" in "), bold(count(len(v.Namespaces), "namespace")))
	case clean(v.Cluster) != "":
		h = append(h, plain(" in "), code(brief(v.Cluster, longestName)))
	}
	switch {
	case v.Untried > 0 && v.tried() == 0:
		h = append(h, plain(". Their reports follow."))
	case v.Untried > 0:
		h = append(h, plain(": these are the first "), bold(number(v.tried())), plain(", the others follow."))
	default:
		h = append(h, plain(end))
	}
	if v.Again {
		h = append(h, plain(" What this channel was told before is lost, so everything that runs is told once more."))
	}
	return h
}

// counts is the second line: the counts, or why there are none.
func (v Inventory) counts() []inline {
	if v.Counts.Total() > 0 {
		return countsLine(v.Counts)
	}
	return []inline{plain(v.sign() + " " + sentence(v.verdict()))}
}

// verdict sums up the findings without calling anything clean that was not checked.
func (v Inventory) verdict() string {
	switch {
	case v.Counts.Total() > 0:
		return worst(v.Counts)
	case v.Images <= 0:
		return "nothing is running yet"
	case v.checked() == 0 && v.Untried > 0:
		return "none of them has been checked yet"
	case v.checked() == 0:
		return "none of them could be checked"
	}
	said, why := "no known vulnerabilities", ""
	switch hidden, ignored := v.Hidden.Total(), v.Ignored.Total(); {
	case hidden+ignored > 0:
		said, why = every(v.Hidden.Add(v.Ignored)), allLeftOut(hidden, ignored, v.Rules)
	case v.Loading:
		said += " so far"
	}
	if v.checked() < v.Images {
		said += " in the " + number(v.checked()) + " that could be checked"
	}
	return said + why
}

// note says what neither the rows nor the failures show.
func (v Inventory) note() string {
	var parts []string
	if more := v.checked() - v.Clean - v.Quiet - min(len(v.Worst), mostRows); more > 0 && len(v.Worst) > 0 {
		parts = append(parts, number(more)+" more with vulnerabilities")
	}
	if v.Clean > 0 && v.Clean < v.Images {
		parts = append(parts, number(v.Clean)+" without known vulnerabilities")
	}
	if v.NotCovered > 0 {
		parts = append(parts, number(v.NotCovered)+" not checked: Clair has no data for what is inside")
	}
	if v.Untried > 0 {
		parts = append(parts, number(v.Untried)+" not scanned yet")
	}
	return strings.Join(parts, " · ")
}

// hiddenNote says what the numbers above leave out. Where there is nothing else the verdict says it.
func (v Inventory) hiddenNote() string {
	hidden, ignored := v.Hidden.Total(), v.Ignored.Total()
	if hidden+ignored <= 0 || v.Counts.Total() <= 0 {
		return ""
	}
	s := "Not counted here: "
	switch {
	case hidden > 0 && ignored > 0:
		s += count(hidden, "vulnerability") + " " + heldBack(v.Rules) + ", and " + number(ignored) + " ignored"
	case hidden > 0:
		s += count(hidden, "vulnerability") + " " + heldBack(v.Rules)
	default:
		s += count(ignored, "vulnerability") + " " + ignoredHere
	}
	switch {
	case v.Quiet == 1:
		s += "; 1 image has nothing else"
	case v.Quiet > 1:
		s += "; " + number(v.Quiet) + " images have nothing else"
	}
	return s
}

// footerPlace names the namespaces where the headline only counts them.
func (v Inventory) footerPlace() string {
	if len(v.Namespaces) < 2 {
		return ""
	}
	return placeNames(v.Namespaces)
}

func podsOf(n int) string {
	if n <= 0 {
		return ""
	}
	return count(n, "pod")
}

// sentence begins with a capital letter. There must be a letter.
func sentence(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[n:]
}

// rowTable shows the worst images with their counts. The namespace has a column where it is known; the sum has
// one where it says more than the columns beside it, as it does not for a channel that begins at high.
func (v Inventory) rowTable(rows []Row) slackgo.Block {
	left, right := slackgo.ColumnAlignmentLeft, slackgo.ColumnAlignmentRight
	placed, summed := false, false
	for _, r := range rows {
		placed = placed || clean(r.Namespace) != ""
		summed = summed || r.Counts.Total() != r.Counts.Critical+r.Counts.High
	}
	columns := []column{{"Worst images", left}}
	if placed {
		columns = append(columns, column{"Namespace", left})
	}
	columns = append(columns, column{"Critical", right}, column{"High", right})
	if summed {
		columns = append(columns, column{v.sumTitle(), right})
	}
	columns = append(columns, column{"Fixable", right}, column{"Pods", right})

	var cells [][][]inline
	for _, r := range rows {
		row := [][]inline{{linked(r.Image.named(longestCell), r.Link, false)}}
		if placed {
			row = append(row, []inline{plain(orDash(brief(r.Namespace, longestCell)))})
		}
		numbers := []int{r.Counts.Critical, r.Counts.High}
		if summed {
			numbers = append(numbers, r.Counts.Total())
		}
		for _, n := range append(numbers, r.Counts.Fixable, r.Pods) {
			row = append(row, []inline{plain(number(n))})
		}
		cells = append(cells, row)
	}
	return table(columns, cells)
}

// sumTitle is the head of the column of sums, which leave out what the rules hold back or ignore.
func (v Inventory) sumTitle() string {
	switch {
	case v.Hidden.Total()+v.Ignored.Total() <= 0:
		return "All"
	case v.Rules.MinSeverity == claircore.Unknown, v.Rules.OnlyFixable, v.Ignored.Total() > 0:
		return "Counted"
	default:
		return v.Rules.MinSeverity.String() + "+"
	}
}

// rowList says the same as rowTable in lines.
func rowList(rows []Row) slackgo.Block {
	var items [][]inline
	for _, r := range rows {
		item := []inline{linked(r.Image.named(longestCell), r.Link, true)}
		if ns := brief(r.Namespace, longestCell); ns != "" {
			item = append(item, plain(" in "), code(ns))
		}
		said := "no known vulnerabilities"
		if r.Counts.Total() > 0 {
			said = worst(r.Counts)
		}
		items = append(items, append(item, plain(": "+details(said, number(r.Counts.Fixable)+" fixable", podsOf(r.Pods)))))
	}
	return bullets(nil, items)
}

// failedBlock lists the causes with what to do.
func failedBlock(causes []Cause) slackgo.Block {
	const most = 5
	var items [][]inline
	for _, c := range causes[:min(len(causes), most)] {
		item := []inline{bold(sentence(c.name())), plain(": ")}
		for i, image := range c.Images[:min(len(c.Images), 2)] {
			if i > 0 {
				item = append(item, plain(", "))
			}
			item = append(item, code(image.named(longestCell)))
		}
		if more := len(c.Images) - 2; more > 0 {
			item = append(item, plain(" and "+number(more)+" more"))
		}
		if hint := c.hint(); hint != "" {
			item = append(item, plain(". "+sentence(hint)))
		}
		items = append(items, item)
	}
	if more := len(causes) - most; more > 0 {
		items = append(items, []inline{plain("and " + count(more, "more cause"))})
	}
	return bullets([]inline{bold(number(failures(causes))), plain(" could not be scanned")}, items)
}
