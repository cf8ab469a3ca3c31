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
	mostImages    = 500
	mostStates    = 50  // there are about 20
	mostChannels  = 100 // of those in trouble, of those that take messages, and of those that nobody knows of
	mostMistaken  = 100 // keys of the settings
	mostLines     = 20  // of what is wrong with one of them
	mostChoices   = 500 // namespaces that the form offers; others can be written
	fewNamespaces = 3
)

// overviewPage is the first page.
type overviewPage struct {
	page
	Filter filter
	// Filtered says that Filter leaves something out. All is the number of images that run, Chosen that of those
	// that pass.
	Filtered    bool
	All, Chosen int
	// Scale shows what was told of the chosen ones, Untold how many of them nothing has been told of.
	Scale  scale
	Untold int
	// States are those of the chosen images, in trouble first.
	States []stateRow
	// Choices are what the form offers.
	Namespaces, AllStates []string
	// Mistakes are the keys of the settings that cannot be read, MoreMistakes how many there are besides.
	Mistakes     []mistakeRow
	MoreMistakes int
	// Troubled are the channels in trouble, Fine those that take messages, Untried those of which nobody knows.
	Troubled, Fine, Untried channelRows
	// Images are the first of the chosen ones, More how many there are besides.
	Images []imageRow
	More   int
}

// stateRow is a state with the number of images in it.
type stateRow struct {
	State, Words   string
	Images         int
	Advice, Remedy string
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
	// Linked says that the image has a page.
	Linked bool
	// Short is the beginning of the digest.
	Short  string
	Places few
	// Other counts findings of low, negligible and unknown severity.
	Other int
	// Words is the state as people write it.
	Words string
}

func newImageRow(img Image) imageRow {
	c := img.Counts
	return imageRow{
		Image:  img,
		Linked: isDigest(img.Digest),
		Short:  short(img.Digest),
		Places: first(img.Namespaces, fewNamespaces),
		Other:  c.Low + c.Negligible + c.Unknown,
		Words:  stateWords(img.State),
	}
}

// serveOverview answers with what runs.
func (p *pages) serveOverview(w http.ResponseWriter, r *http.Request) {
	images := p.source.Images()
	v := overviewPage{page: p.newPage(r, "What runs"), Filter: parseFilter(r.URL.Query()), All: len(images)}
	v.Filtered = v.Filter.active()
	chosen := v.Filter.pick(images)
	v.Chosen = len(chosen)
	v.Scale, v.Untold = newScale(total(chosen)), untold(chosen)
	v.States = states(chosen)
	v.Namespaces, v.AllStates = choices(images)
	v.mistakes(p.source.Mistakes())
	v.channels(p.source.Channels(), p.now())
	for _, img := range chosen[:min(len(chosen), mostImages)] {
		v.Images = append(v.Images, newImageRow(img))
	}
	v.More = len(chosen) - len(v.Images)
	p.write(w, p.overview, http.StatusOK, v)
}

// total adds up what was told. What runs under several names counts once.
func total(images []Image) findings.Counts {
	var sum findings.Counts
	seen := make(map[string]bool, len(images))
	for _, img := range images {
		if !img.Told || img.Digest != "" && seen[img.Digest] {
			continue
		}
		seen[img.Digest] = true
		sum = sum.Add(img.Counts)
	}
	return sum
}

func untold(images []Image) int {
	n := 0
	for _, img := range images {
		if !img.Told {
			n++
		}
	}
	return n
}

// states counts images by state: first those that somebody can do something about, then the most frequent.
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
		return cmp.Or(cmp.Compare(healthy(a), healthy(b)), cmp.Compare(b.Images, a.Images), cmp.Compare(a.State, b.State))
	})
	return sorted[:min(len(sorted), mostStates)]
}

// healthy is 1 for a state in which there is nothing to do, and 0 for all others.
func healthy(r stateRow) int {
	if r.Remedy == "" {
		return 1
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
	case "not_covered":
		return "Clair has no data for what is in it, so that nobody checks it"
	case "untried":
		return "its turn has not come yet, or Clair is still loading its data"
	}
	return ""
}

// choices are the namespaces and states that the form offers, whatever is chosen now.
func choices(images []Image) (namespaces, states []string) {
	inNamespaces, inStates := make(map[string]bool), make(map[string]bool)
	for _, img := range images {
		inStates[img.State] = true
		for _, ns := range img.Namespaces {
			inNamespaces[ns] = true
		}
	}
	namespaces, states = slices.Sorted(maps.Keys(inNamespaces)), slices.Sorted(maps.Keys(inStates))
	return namespaces[:min(len(namespaces), mostChoices)], states[:min(len(states), mostStates)]
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
