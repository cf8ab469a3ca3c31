package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
)

// scanDocument is what scan prints as JSON. docs/commands.md describes it.
type scanDocument struct {
	Images []imageReport `json:"images"`
}

// imageReport is what scan says of one image: what was found, or why nothing was.
type imageReport struct {
	// Image is the name as it was given.
	Image string `json:"image"`
	// Error says why it could not be looked at; then there is nothing else.
	Error    string `json:"error,omitempty"`
	*scanned        // nil with an Error

	err error // that of which Error is the text
}

// scanned is what was found in an image.
type scanned struct {
	Repository string `json:"repository"`
	// Digest is that of the manifest for Platform.
	Digest   string `json:"digest"`
	Platform string `json:"platform"`
	// Distribution is empty where Clair has recognized none.
	Distribution string `json:"distribution"`
	Packages     int    `json:"packages"`
	// Checked says whether Clair has data for anything that is in it.
	Checked  bool          `json:"checked"`
	Counts   severityCount `json:"counts"`
	NotShown severityCount `json:"notShown"`
	// Updates are worst first; those that there is no fix for are last.
	Updates []packageUpdate `json:"updates"`
	// Findings are worst first.
	Findings []packageFinding `json:"vulnerabilities"`

	found []findings.Finding // of which Findings are made
	shown visible
}

// severityCount is how many vulnerabilities there are of each severity.
type severityCount struct {
	Critical   int `json:"critical"`
	High       int `json:"high"`
	Medium     int `json:"medium"`
	Low        int `json:"low"`
	Negligible int `json:"negligible"`
	Unknown    int `json:"unknown"`
	Fixable    int `json:"fixable"`
}

// packageUpdate is one thing to do.
type packageUpdate struct {
	Package   string `json:"package"`
	Installed string `json:"installed"`
	// UpdateTo is empty where there is no fix yet.
	UpdateTo string `json:"updateTo"`
	// Severity is that of the worst vulnerability that it ends.
	Severity string `json:"severity"`
	// Vulnerabilities are their names, worst first.
	Vulnerabilities []string `json:"vulnerabilities"`
}

// packageFinding is one vulnerability of one package.
type packageFinding struct {
	Name      string  `json:"name"`
	Severity  string  `json:"severity"`
	CVSS      float64 `json:"cvss,omitempty"`
	Package   string  `json:"package"`
	Installed string  `json:"installed"`
	FixedIn   string  `json:"fixedIn"`
	Source    string  `json:"source"`
	Link      string  `json:"link,omitempty"`
}

// visible says which vulnerabilities are shown.
type visible struct {
	rules       findings.Rules
	onlyFixable bool
}

func (v visible) pass(f findings.Finding) bool {
	return v.rules.Pass(f) && (!v.onlyFixable || f.Fixable())
}

// of is what is shown of a report.
func (v visible) of(r findings.Report, image *registry.Image, platform registry.Platform) *scanned {
	s := &scanned{
		Repository: image.Repo, Digest: image.Digest, Platform: platform.String(),
		Distribution: r.Distribution, Packages: r.Packages, Checked: r.Covered,
		Updates: []packageUpdate{}, Findings: []packageFinding{}, shown: v,
	}
	var hidden []findings.Finding
	for _, f := range r.Findings {
		if !v.pass(f) {
			hidden = append(hidden, f)
			continue
		}
		f.Description = "" // it can be long, and is not shown
		s.found = append(s.found, f)
		s.Findings = append(s.Findings, packageFinding{
			Name: f.Name, Severity: f.Severity.String(), CVSS: f.CVSS, Package: f.Package, Installed: f.Installed,
			FixedIn: f.FixedIn, Source: f.Updater, Link: f.Link,
		})
	}
	s.Counts, s.NotShown = countOf(s.found), countOf(hidden)
	updates := findings.Updates(s.found)
	named := make([][]string, len(updates))
	for _, f := range s.found {
		if i := updateOf(updates, f); i >= 0 && !slices.Contains(named[i], f.Name) {
			named[i] = append(named[i], f.Name)
		}
	}
	for i, u := range updates {
		s.Updates = append(s.Updates, packageUpdate{
			Package: u.Package, Installed: u.Installed, UpdateTo: u.FixedIn, Severity: u.Worst.Severity.String(),
			Vulnerabilities: named[i],
		})
	}
	return s
}

// updateOf is the place of the update that ends a finding: the one of its package, or, of several, which there are where
// versions cannot be compared, the one to its own fix.
func updateOf(updates []findings.Update, f findings.Finding) int {
	first := -1
	for i, u := range updates {
		if u.Package != f.Package || u.Installed != f.Installed || (u.FixedIn != "") != f.Fixable() {
			continue
		}
		if u.FixedIn == f.FixedIn {
			return i
		}
		if first < 0 {
			first = i
		}
	}
	return first
}

func countOf(fs []findings.Finding) severityCount {
	c := findings.Count(fs)
	return severityCount{c.Critical, c.High, c.Medium, c.Low, c.Negligible, c.Unknown, c.Fixable}
}

// counts are those of all that is shown.
func (s *scanned) counts() findings.Counts { return findings.Count(s.found) }

// has counts what of all that is shown passes the rules.
func (s *scanned) has(rules findings.Rules) int {
	n := 0
	for _, f := range s.found {
		if rules.Pass(f) {
			n++
		}
	}
	return n
}

// writeTable writes the image's section, after an empty line where others are before it.
func (r imageReport) writeTable(to io.Writer, after bool) error {
	var b strings.Builder
	if after {
		b.WriteString("\n")
	}
	about := []string{r.Platform}
	if r.Distribution != "" {
		about = append(about, r.Distribution)
	}
	about = append(about, counted(r.Packages, "package"), r.Digest)
	fmt.Fprintf(&b, "%s\n%s\n\n%s\n", printable(r.Image), printable(strings.Join(about, ", ")), r.verdict())
	if _, err := io.WriteString(to, b.String()); err != nil || len(r.Updates) == 0 {
		return err
	}
	rows := make([][]string, 0, len(r.Updates))
	for _, u := range r.Updates {
		updateTo := u.UpdateTo
		if updateTo == "" {
			updateTo = "no fix yet"
		}
		rows = append(rows, []string{u.Package, updateTo, u.Installed, u.Severity, fewOf(u.Vulnerabilities)})
	}
	return writeTable(to, []string{"PACKAGE", "UPDATE TO", "INSTALLED", "SEVERITY", "VULNERABILITIES"}, rows)
}

// fewOf names the first of many, and counts the rest.
func fewOf(names []string) string {
	const most = 3
	shown := names[:min(len(names), most)]
	cells := make([]string, len(shown))
	for i, name := range shown {
		cells[i] = printable(name) // or one could hide the others
	}
	s := strings.Join(cells, ", ")
	if more := len(names) - len(shown); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// verdict says in a sentence or two what was found.
func (s *scanned) verdict() string {
	c, hidden := s.counts(), s.NotShown.total()
	var said string
	switch {
	case !s.Checked:
		return "Was not checked: Clair has no data for what is in it."
	case c.Total() == 0 && hidden == 0:
		return "No known vulnerabilities."
	case c.Total() == 0:
		return fmt.Sprintf("Nothing to show. %s held back by %s.", counted(hidden, "vulnerability"), s.shown.flags())
	}
	said = fmt.Sprintf("%s: %s.", counted(c.Total(), "vulnerability"), bySeverity(c))
	fixes, unfixed := 0, c.Total()-c.Fixable
	for _, u := range s.Updates {
		if u.UpdateTo != "" {
			fixes++
		}
	}
	if fixes > 0 {
		said += " " + ending(fixes, c)
	}
	switch {
	case unfixed == c.Total():
		said += " There is no fix yet."
	case unfixed > 0:
		said += fmt.Sprintf(" %d without a fix yet.", unfixed)
	}
	if hidden > 0 {
		said += fmt.Sprintf(" %d more held back by %s.", hidden, s.shown.flags())
	}
	return said
}

// bySeverity writes the number of each severity that there is, worst first.
func bySeverity(c findings.Counts) string {
	var severities []string
	for _, severity := range findings.Severities {
		if n := c.Of(severity); n > 0 {
			severities = append(severities, fmt.Sprintf("%d %s", n, strings.ToLower(severity.String())))
		}
	}
	return strings.Join(severities, ", ")
}

// ending says how many updates end how many of the vulnerabilities.
func ending(updates int, c findings.Counts) string {
	said := counted(updates, "update") + " end"
	if updates == 1 {
		said += "s"
	}
	switch {
	case c.Total() == 1:
		return said + " it."
	case c.Fixable == c.Total():
		return said + " all of them."
	}
	return fmt.Sprintf("%s %d of them.", said, c.Fixable)
}

func (c severityCount) total() int {
	return c.Critical + c.High + c.Medium + c.Low + c.Negligible + c.Unknown
}

// flags names what holds something back.
func (v visible) flags() string {
	var flags []string
	if v.rules.MinSeverity != 0 {
		flags = append(flags, "--min-severity "+v.rules.MinSeverity.String())
	}
	if v.onlyFixable {
		flags = append(flags, "--only-fixable")
	}
	return strings.Join(flags, " and ")
}
