package web

import (
	"strings"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// How much the page of an image shows of those who hear of it; the rest is counted.
const (
	mostHearers   = 50
	mostIgnores   = 100 // entries, each once however many Scanners have it
	mostDecisions = 4   // different ones about one finding
	fewHearers    = 3   // names of those who decide alike
)

// hearerRow is a Scanner that looks at an image.
type hearerRow struct {
	Scanner place
	// Namespaces are those for which it looks; none where its name says it.
	Namespaces places
	Channel    string
	// Rules says what it does not want to hear of, but for what it ignores; empty: nothing.
	Rules string
	// Clair is its own where that is another one than the report's, about which it decides nothing; empty: it is that.
	Clair string
	// Told and Since say when its channel was first told of the image, Quiet that it was without a message.
	Told  bool
	Since moment
	Quiet bool
	// Heard is how many of the findings in the report it was told, Ignored, Below and Unfixed how many its rules hold
	// back now, and Coming how many nothing holds back and it was not told yet.
	Heard, Ignored, Below, Unfixed, Coming int
}

// nameOf is how a Scanner is called: by the key of the settings and its own name.
func nameOf(h Hearer) string { return h.Key + "/" + h.Name }

// decisions are those of a Scanner about the findings of the report that there are.
func decisions(h Hearer, findings int) []Decision {
	return h.Decisions[:min(len(h.Decisions), findings)]
}

// ignores is the entry by which a Scanner ignores what a decision is about; false: it does not, or no entry is known.
func (h Hearer) ignores(d Decision) (findings.Ignore, bool) {
	if d.Fate != findings.Ignored || d.Ignore < 0 || int(d.Ignore) >= len(h.Ignore) {
		return findings.Ignore{}, false
	}
	return h.Ignore[d.Ignore], true
}

// elsewhere says whether a Scanner goes by another Clair than that of the report.
func (h Hearer) elsewhere(r Report) bool { return h.Clair != r.Clair }

// newHearerRow counts what a Scanner did with the findings of a report.
func newHearerRow(h Hearer, r Report, root string, now time.Time) hearerRow {
	row := hearerRow{
		Scanner: place{Name: nameOf(h)},
		Channel: h.Channel,
		Rules:   rulesOf(h),
		Told:    h.Told,
		Since:   newMoment(h.Since, now),
		Quiet:   h.Told && h.Quiet,
	}
	if h.elsewhere(r) {
		row.Clair = h.Clair
	}
	if forAll(h.Key) {
		row.Namespaces = firstPlaces(root, toNamespaces, h.Namespaces, fewNamespaces)
	} else {
		row.Scanner.Href = newPlace(root, toNamespaces, h.Key).Href
	}
	for _, d := range decisions(h, len(r.Findings)) {
		if d.Told {
			row.Heard++
		}
		switch d.Fate {
		case findings.Ignored:
			row.Ignored++
		case findings.BelowMinSeverity:
			row.Below++
		case findings.WithoutFix:
			row.Unfixed++
		case findings.Passes:
			if !d.Told {
				row.Coming++
			}
		}
	}
	return row
}

// forAll says whether a key of the settings is for all namespaces: no namespace's name begins as theirs do.
func forAll(key string) bool { return strings.HasPrefix(key, "_") }

// rulesOf says which findings a Scanner does not want to hear of, as the settings spell it.
func rulesOf(h Hearer) string {
	var rules []string
	if h.MinSeverity > findings.Severity(0) {
		rule := "minSeverity " + h.MinSeverity.String()
		if h.UnknownAs > findings.Severity(0) {
			rule += " (Unknown counts as " + h.UnknownAs.String() + ")"
		}
		rules = append(rules, rule)
	}
	if h.OnlyFixable {
		rules = append(rules, "onlyFixable")
	}
	return strings.Join(rules, ", ")
}

// decisionRow says what some Scanners do with a finding that they do not simply tell.
type decisionRow struct {
	// What they do, for example "ignored by", and Whose name belongs behind it; All: all Scanners do it.
	What  string
	Whose few
	All   bool
	// Reason and Until are those of the entry of ignore; empty: none.
	Reason string
	Until  moment
	// Told says that they were told of it all the same.
	Told bool
}

// fateWords say what rules do with a finding, up to the name of whose they are.
func fateWords(f findings.Fate) string {
	switch f {
	case findings.Ignored:
		return "ignored by"
	case findings.BelowMinSeverity:
		return "below minSeverity of"
	case findings.WithoutFix:
		return "no fix, and onlyFixable of"
	}
	return ""
}

// holdsBack says whether any Scanner holds back any of the findings.
func holdsBack(hearers []Hearer, n int) bool {
	for _, h := range hearers {
		for _, d := range decisions(h, n) {
			if fateWords(d.Fate) != "" {
				return true
			}
		}
	}
	return false
}

// decisionsOf says what Scanners do with one finding, those who do the same in one row. It is ignored where all of
// them ignore it. names are those of the Scanners.
func decisionsOf(hearers []Hearer, names []string, finding int) (rows []decisionRow, ignored bool) {
	type decision struct {
		fate   findings.Fate
		reason string
		until  int64
		told   bool
	}
	var keys []decision
	whose := make([][]string, 0, mostDecisions)
	deciding := 0
	ignored = true
	for n, h := range hearers {
		if finding >= len(h.Decisions) { // its Clair is another one
			continue
		}
		deciding++
		d := h.Decisions[finding]
		ignored = ignored && d.Fate == findings.Ignored
		if fateWords(d.Fate) == "" {
			continue
		}
		key, until := decision{fate: d.Fate, told: d.Told}, time.Time{}
		if entry, ok := h.ignores(d); ok {
			key.reason, until, key.until = entry.Reason, entry.Until, unix(entry.Until)
		}
		at := -1
		for i := range keys {
			if keys[i] == key {
				at = i
			}
		}
		if at < 0 {
			if len(rows) == mostDecisions {
				continue
			}
			at = len(rows)
			keys, whose = append(keys, key), append(whose, nil)
			rows = append(rows, decisionRow{What: fateWords(d.Fate), Reason: key.reason, Until: newDay(until), Told: d.Told})
		}
		whose[at] = append(whose[at], names[n])
	}
	for i := range rows {
		rows[i].Whose = first(whose[i], fewHearers)
		rows[i].All = deciding > 1 && len(whose[i]) == deciding
	}
	return rows, ignored && deciding > 0
}

// ignoreRow is an entry of ignore that holds for an image.
type ignoreRow struct {
	About, Reason string
	Until         moment
	// Whose are the Scanners that have it.
	Whose few
	// Matches is how many findings of the report it is about.
	Matches int
}

// ignoresOf are the entries of all Scanners that hold for an image, each once, in their order.
func ignoresOf(hearers []Hearer, names []string, fs []findings.Finding, now time.Time) (rows []ignoreRow, more int) {
	type entry struct {
		id, pkg, image, reason string
		until                  int64
	}
	at := make(map[entry]int)
	var entries []findings.Ignore
	var whose [][]string
	for n, h := range hearers {
		for _, i := range h.Ignore {
			key := entry{i.ID, i.Package, i.Image, i.Reason, unix(i.Until)}
			place, known := at[key]
			if !known {
				place = len(entries)
				at[key] = place
				entries, whose = append(entries, i), append(whose, nil)
			}
			if of := whose[place]; len(of) == 0 || of[len(of)-1] != names[n] {
				whose[place] = append(of, names[n])
			}
		}
	}
	for n, i := range entries[:min(len(entries), mostIgnores)] {
		rows = append(rows, ignoreRow{About: i.About(), Reason: i.Reason, Until: newDayFrom(i.Until, now), Whose: first(whose[n], fewHearers), Matches: matches(i, fs)})
	}
	return rows, len(entries) - len(rows)
}

// matches counts the findings that an entry is about, also where another entry ignores them already.
func matches(i findings.Ignore, fs []findings.Finding) int {
	if i.ID == "" && i.Package == "" {
		return 0 // it is about none
	}
	n := 0
	for _, f := range fs {
		if advisory, pkg := i.Names(f); advisory && pkg {
			n++
		}
	}
	return n
}

// unix is a time that can be compared; 0 for none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
