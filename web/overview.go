package web

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// How much the first page shows; the rest is counted.
const (
	imagesAPage    = 200
	mostNamespaces = 100
	mostClairs     = 50
	mostStates     = 50  // there are about 20
	mostChannels   = 100 // of those in trouble, of those that take messages, and of those that nobody knows of
	mostMistaken   = 100 // keys of the settings
	mostLines      = 20  // of what is wrong with one of them
	mostChoices    = 500 // namespaces that the form offers; others can be written
	fewNamespaces  = 3
)

// overviewPage is the first page.
type overviewPage struct {
	page
	selection
	// Filtered says that the filter leaves something out. All is the number of images that run, Chosen that of those
	// that pass.
	Filtered    bool
	All, Chosen int
	// Scale shows what the last reports of the chosen ones have, Total how many findings that are and Fixable how many
	// of them have a fix. Read is the number of those whose report says something, Unread that of those without a
	// report, Uncovered that of those that Clair has no data for.
	Scale                   scale
	Total, Fixable          int
	Read, Unread, Uncovered int
	// States are those of the chosen images, in trouble first.
	States []stateRow
	// Worst are the namespaces of the chosen images, MoreWorst how many there are besides.
	Worst     []namespaceRow
	MoreWorst int
	// Choices are what the form offers.
	Namespaces, AllStates []string
	Severities            []choice
	// Mistakes are the keys of the settings that cannot be read, MoreMistakes how many there are besides.
	Mistakes     []mistakeRow
	MoreMistakes int
	// Troubled are the channels in trouble, Fine those that take messages, Untried those of which nobody knows.
	Troubled, Fine, Untried channelRows
	// Clairs are those of the settings.
	Clairs clairRows
	// Vulnerability is the one that the filter's text names, if an image that runs has it.
	Vulnerability namedVulnerability
	// Heads are those of the columns of the table of images.
	Heads []headCell
	// Images are those on this page of the table, from the First to the Last of the chosen ones. Pages is how many
	// pages it has.
	Images             []imageRow
	First, Last, Pages int
	// Previous and Next lead to the pages beside this one; empty: there is none.
	Previous, Next string
}

// namespaceRow is a namespace in the table.
type namespaceRow struct {
	namespaceSum
	Place place
	// Other counts findings of low, negligible and unknown severity.
	Other int
}

// namedVulnerability is one that somebody looks for.
type namedVulnerability struct {
	Place place
	// Images is the number of images that have it, Also that of those that have only what mentions it.
	Images, Also int
}

// headCell is the head of a column.
type headCell struct {
	column
	// Sorted is the value of aria-sort; empty: the table is not sorted by it.
	Sorted string
	// Href sorts by it, or the other way round.
	Href string
}

// stateRow is a state with the number of images in it.
type stateRow struct {
	State, Words   string
	Images         int
	Advice, Remedy string
	// Href chooses the images in it; only the first page sets it.
	Href string
}

// channelRows are channels.
type channelRows struct {
	// Rows are the first of them, All the number of all of them.
	Rows []channelRow
	All  int
}

// More is how many there are besides those that are shown.
func (r channelRows) More() int { return r.All - len(r.Rows) }

// channelRow is a channel.
type channelRow struct {
	Name        string
	Namespaces  few
	Waiting     int
	Trouble     string
	Since, Next moment
}

// mistakeRow is a key of the settings with mistakes.
type mistakeRow struct {
	Key    string
	Lines  few
	Effect string
}

// imageRow is an image in the table.
type imageRow struct {
	Image
	// Link leads to its page, if it has one.
	Link place
	// Short is the beginning of the digest.
	Short  string
	Places few
	// Read says that its report says something, Other counts findings of low, negligible and unknown severity.
	Read  bool
	Other int
	// Words is the state as people write it.
	Words string
	// Since is when a channel was first told of it; none: nobody knows, or none was.
	Since moment
}

func newImageRow(img Image, now time.Time) imageRow {
	return imageRow{
		Image:  img,
		Link:   newImagePlace("", img.Name, img.Digest),
		Short:  short(img.Digest),
		Places: first(img.Namespaces, fewNamespaces),
		Read:   img.checked(),
		Other:  other(img.Counts),
		Words:  stateWords(img.State),
		Since:  newMoment(img.Since, now),
	}
}

// other counts findings of low, negligible and unknown severity.
func other(c findings.Counts) int { return c.Low + c.Negligible + c.Unknown }

// answerOverview answers with what runs.
func (p *pages) answerOverview(r *http.Request) finished {
	return p.inTurn(r, func() finished { return p.execute(r, p.overview, http.StatusOK, p.newOverviewPage(r)) })
}

func (p *pages) newOverviewPage(r *http.Request) overviewPage {
	images, now := p.source.Images(), p.now()
	v := overviewPage{selection: parseSelection(r.URL.Query()), All: len(images)}
	title := "What runs"
	if words := v.Filter.Words(); words != "" {
		title += ", " + words
	}
	v.page = p.newPage(r, title)
	having := p.having(v.Filter.Text)
	v.Filtered, v.Vulnerability = v.Filter.active(), newNamedVulnerability(v.Filter.Text, having, images)
	chosen := v.Filter.pick(images, having)
	v.Chosen = len(chosen)
	v.counts(chosen)
	v.states(chosen)
	v.worst(byNamespace(chosen, v.Filter.Namespace))
	v.Namespaces, v.AllStates = choices(images, v.Filter.State)
	v.Severities = severityChoices(v.Filter.Severity)
	v.mistakes(p.source.Mistakes())
	v.channels(p.source.Channels(), now)
	v.Clairs = newClairRows(p.source.Clairs(), now)
	v.table(chosen, now)
	return v
}

// having asks what has a vulnerability, if it has a name.
func (p *pages) having(name string) map[string][]findings.Finding {
	if name == "" {
		return nil
	}
	return p.source.Having(name)
}

func newNamedVulnerability(name string, having map[string][]findings.Finding, images []Image) namedVulnerability {
	if len(having) == 0 {
		return namedVulnerability{}
	}
	o := newOccurrence(name, having, images)
	return namedVulnerability{Place: newPlace("", toVulnerabilities, name), Images: len(o.called), Also: o.also}
}

// counts adds up what the last reports of the chosen images have.
func (v *overviewPage) counts(chosen []Image) {
	c := total(chosen)
	v.Scale, v.Total, v.Fixable = newScale(c), c.Total(), c.Fixable
	v.Unread, v.Uncovered = unread(chosen), uncovered(chosen)
	v.Read = len(chosen) - v.Unread - v.Uncovered
}

// states fills in how far the chosen images have come.
func (v *overviewPage) states(chosen []Image) {
	v.States = states(chosen)
	for i := range v.States {
		s := v.selection
		s.Filter.State, s.Page = brief(v.States[i].State), 1
		v.States[i].Href = s.href()
	}
}

// worst fills in the namespaces.
func (v *overviewPage) worst(sums []namespaceSum) {
	for _, sum := range sums[:min(len(sums), mostNamespaces)] {
		v.Worst = append(v.Worst, namespaceRow{
			namespaceSum: sum,
			Place:        newPlace("", toNamespaces, sum.Name),
			Other:        other(sum.Counts),
		})
	}
	v.MoreWorst = len(sums) - len(v.Worst)
}

// table fills in the chosen images of this page, and the ways to the others.
func (v *overviewPage) table(chosen []Image, now time.Time) {
	v.Pages = max((len(chosen)+imagesAPage-1)/imagesAPage, 1)
	v.Page = min(v.Page, v.Pages)
	from := (v.Page - 1) * imagesAPage
	for _, img := range v.Order.part(chosen, from, imagesAPage) {
		v.Images = append(v.Images, newImageRow(*img, now))
	}
	v.First, v.Last = from+1, from+len(v.Images)
	beside := v.selection
	if beside.Page = v.Page - 1; beside.Page > 0 {
		v.Previous = beside.href()
	}
	if beside.Page = v.Page + 1; beside.Page <= v.Pages {
		v.Next = beside.href()
	}
	for _, c := range columns() {
		v.Heads = append(v.Heads, newHeadCell(c, v.selection))
	}
}

func newHeadCell(c column, now selection) headCell {
	h := headCell{column: c}
	next := selection{Filter: now.Filter, Order: order{By: c.Word, Ascending: c.ascends()}, Page: 1}
	if now.Order.By == c.Word {
		h.Sorted = "descending"
		if now.Order.Ascending {
			h.Sorted = "ascending"
		}
		next.Order.Ascending = !now.Order.Ascending
	}
	h.Href = next.href()
	return h
}

// total adds up what the last reports have. What runs under several names counts once.
func total(images []Image) findings.Counts {
	var sum findings.Counts
	seen := make(map[string]bool, len(images))
	for i := range images {
		img := &images[i]
		if !img.Found || img.Digest != "" && seen[img.Digest] {
			continue
		}
		seen[img.Digest] = true
		sum = sum.Add(img.Counts)
	}
	return sum
}

// unread counts the images of which no report was read yet.
func unread(images []Image) int {
	n := 0
	for i := range images {
		if !images[i].Found {
			n++
		}
	}
	return n
}

// uncovered counts the images whose report says nothing.
func uncovered(images []Image) int {
	n := 0
	for i := range images {
		if images[i].Found && !images[i].checked() {
			n++
		}
	}
	return n
}

// states counts images by state: first those that could not be scanned, then those that nobody checks, and of each
// the most frequent.
func states(images []Image) []stateRow {
	rows := make(map[string]stateRow)
	for _, img := range images {
		row := rows[img.State]
		row.State, row.Words = img.State, stateWords(img.State)
		row.Advice, row.Remedy = cmp.Or(row.Advice, img.Advice, meaning(img.State)), cmp.Or(row.Remedy, img.Remedy)
		row.Images++
		rows[img.State] = row
	}
	sorted := slices.SortedFunc(maps.Values(rows), func(a, b stateRow) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Images, a.Images), cmp.Compare(a.State, b.State))
	})
	return sorted[:min(len(sorted), mostStates)]
}

// rank is the lower the more there is to do about a state.
func rank(r stateRow) int {
	switch {
	case r.State == notCovered: // that nobody checks it is to be known, and often no more can be done
		return 1
	case r.Remedy == "":
		return 2
	}
	return 0
}

// stateWords writes a state as people do.
func stateWords(state string) string {
	if state == "untried" {
		return "not tried yet"
	}
	return strings.ReplaceAll(state, "_", " ")
}

// meaning says what a state means that is no failure and so has no advice; empty for all others.
func meaning(state string) string {
	switch state {
	case "scanned":
		return "Clair has a report of it"
	case "untried":
		return "its turn has not come yet, or Clair is still loading its data"
	}
	return ""
}

// choices are the namespaces and states that the form offers, whatever is chosen now. The state that is chosen is one of
// them even when nothing is in it any more.
func choices(images []Image, state string) (namespaces, states []string) {
	inNamespaces, inStates := make(map[string]bool), make(map[string]bool)
	for _, img := range images {
		inStates[img.State] = true
		for _, ns := range img.Namespaces {
			inNamespaces[ns] = true
		}
	}
	namespaces, states = slices.Sorted(maps.Keys(inNamespaces)), slices.Sorted(maps.Keys(inStates))
	namespaces, states = namespaces[:min(len(namespaces), mostChoices)], states[:min(len(states), mostStates)]
	if state != "" && !slices.ContainsFunc(states, func(s string) bool { return brief(s) == state }) {
		states = append(states, state)
	}
	return namespaces, states
}

// mistakes fills in what is wrong with the settings.
func (v *overviewPage) mistakes(all []Mistake) {
	for _, m := range all[:min(len(all), mostMistaken)] {
		v.Mistakes = append(v.Mistakes, mistakeRow{Key: m.Key, Lines: first(m.Lines, mostLines), Effect: m.Effect})
	}
	v.MoreMistakes = len(all) - len(v.Mistakes)
}

// channels fills in where messages go.
func (v *overviewPage) channels(channels []Channel, now time.Time) {
	for _, c := range channels {
		of := &v.Fine
		switch {
		case c.Trouble != "":
			of = &v.Troubled
		case c.Untried:
			of = &v.Untried
		}
		of.All++
		if len(of.Rows) == mostChannels {
			continue
		}
		of.Rows = append(of.Rows, channelRow{
			Name:       c.Name,
			Namespaces: first(c.Namespaces, fewNamespaces),
			Waiting:    c.Waiting,
			Trouble:    c.Trouble,
			Since:      newMoment(c.Since, now),
			Next:       newMoment(c.Next, now),
		})
	}
}
