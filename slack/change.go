package slack

import (
	"strings"

	slackgo "github.com/slack-go/slack"

	"github.com/clairwatch/clairwatch/findings"
)

const (
	mostWorst       = 3   // findings that a line about others names
	longestAdvisory = 40  // an advisory or a package within a grey line
	longestGreyLink = 280 // an address within a grey line: Slack limits all text of a message
)

// ChangeKind is why there is something to tell about images that were told of before. None of them means
// that an advisory is new to the world: that is Disclosed.
type ChangeKind int

const (
	// Renewed: the reports come from another Clair, or from one with other scanners, so that nothing can
	// be said of each of their findings.
	Renewed ChangeKind = iota + 1
	// Sourced: Clair has a new source of advisories, most of which are old ones.
	Sourced
	// Visible: the rules held findings back or ignored them, and no longer do, or a fix was published for what is
	// told only then.
	Visible
	// Rose: the severity of findings has become a higher one.
	Rose
	// Withdrawn: the reports do not have findings any more that were told of, because those who publish the
	// advisories have corrected them. It is told as a count: Worst is not shown.
	Withdrawn
	// Returned: findings that were withdrawn are reported again.
	Returned
)

// Change tells what else has changed about images that were told of before.
type Change struct {
	// Kind is what has happened. Zero, or an unknown one, is no message.
	Kind ChangeKind
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Namespaces are those in which the images run, each once, in the order to show; empty: not shown.
	Namespaces []string
	// Images is the number of images concerned, at least one. Zero: as many as there are rows.
	Images int
	// Rows are the images concerned, worst first; six are shown. Their counts are those of what is told.
	Rows []Row
	// Counts counts the vulnerabilities that are told, each once in however many images.
	Counts findings.Counts
	// Rules are those that let it pass. Zero: several, or not known. They matter for Visible only.
	Rules findings.Rules
	// Ignored is how many more would be told if the settings ignored nothing. Zero: not shown.
	Ignored int
	// Gone is how many vulnerabilities the new reports do not have any more. It is shown for Renewed only.
	Gone int
	// Updaters are the new sources, for example debian/updater, in the order to show. They are shown for
	// Sourced only.
	Updaters []string
	// Worst are the worst of those that are told, worst first. For Rose, and for Visible where Rules want only what
	// can be fixed, six are named, otherwise three. Empty: none is named.
	Worst []findings.Spread
}

// Message returns quiet lines. It is no message when there is nothing to tell.
func (c Change) Message() Message {
	if c.Counts.Total() <= 0 && (c.Kind != Renewed || c.Gone <= 0) {
		return Message{}
	}
	var text string
	var lines []slackgo.Block
	switch c.Kind {
	case Renewed:
		text, lines = c.renewed()
	case Sourced:
		text, lines = c.sourced()
	case Visible:
		text, lines = c.visible()
	case Rose:
		text, lines = c.rose()
	case Returned:
		text, lines = c.returned()
	case Withdrawn:
		text, lines = c.withdrawn()
	default:
		return Message{}
	}
	if ignored := moreIgnored(c.Ignored); ignored != nil {
		lines = append(lines, ignored)
	}
	if images := c.imageNames(); len(images) > 0 {
		lines = append(lines, grey(images...))
	}
	if footer := c.footer(); footer != nil {
		lines = append(lines, grey(footer...))
	}
	return quiet(text, lines...)
}

func (c Change) renewed() (text string, lines []slackgo.Block) {
	const by = " scanned by another Clair now, or by other scanners: "
	in, inLine := c.subject()
	are, noun := " are", " vulnerabilities"
	if c.images() == 1 {
		are = " is"
	}
	var parts []string
	n := max(c.Counts.Total(), 0)
	if n > 0 {
		parts = append(parts, "+"+number(n))
	}
	if c.Gone > 0 {
		parts = append(parts, "−"+number(c.Gone))
	}
	if n+max(c.Gone, 0) == 1 {
		noun = " vulnerability"
	}
	difference := strings.Join(parts, ", ")
	lines = append(lines, grey(markup("🔄 "+inLine+are+by+"*"+difference+"*"+noun)))
	if n > 0 {
		lines = append(lines, c.counted("New: "))
	}
	return "🔄 " + in + are + by + difference + noun, lines
}

func (c Change) sourced() (text string, lines []slackgo.Block) {
	const one, several = "a new source of advisories", " new sources of advisories"
	source, sourceLine := one, one
	switch n := len(c.Updaters); {
	case n == 1:
		source += ", " + brief(c.Updaters[0], longestBrief/2)
		sourceLine += ", " + mono(brief(c.Updaters[0], longestCell))
	case n > 1:
		var names []string
		for _, u := range c.Updaters[:min(n, mostNames)] {
			names = append(names, mono(brief(u, longestCell/2)))
		}
		source = number(n) + several
		sourceLine = source + ", " + listed(names, n)
	}
	in, inLine := c.subject()
	return "📚 Clair has " + source + ": " + worst(c.Counts) + " in " + in, []slackgo.Block{
		grey(markup("📚 Clair has " + sourceLine + ": *" + c.total() + "* in " + inLine)),
		c.counted(""),
	}
}

// visible does not say which rule it was. An ignore that has ended, or is not in the settings any more, is not to be
// told from a lower minimum.
func (c Change) visible() (text string, lines []slackgo.Block) {
	if c.Rules.OnlyFixable {
		return c.nowFixable()
	}
	are := " are no longer held back or ignored by this channel's settings"
	if c.Counts.Total() == 1 {
		are = " is no longer held back or ignored by this channel's settings"
	}
	in, inLine := c.subject()
	return "👀 " + worst(c.Counts) + " in " + in + are, []slackgo.Block{
		grey(markup("👀 *" + c.total() + "* in " + inLine + are)),
		c.counted(""),
	}
}

// nowFixable is for a channel that wants only what can be fixed: usually it is the fix that is new, and always it is
// there.
func (c Change) nowFixable() (text string, lines []slackgo.Block) {
	const can = " can be fixed now"
	in, inLine := c.subject()
	if c.isOne() && len(c.Worst) == 1 { // fits on one line
		name, nameLine := nameOf(c.Worst[0].Finding)
		return "👀 " + name + can + ": " + in, []slackgo.Block{
			grey(markup("👀 "+dot(c.Worst[0].Finding.Severity)+" "+nameLine+can+": "+inLine), verbatim(fixLine(c.Worst[0]))),
		}
	}
	lines = []slackgo.Block{grey(markup("👀 *" + c.total() + "* in " + inLine + can)), grey(markup(countsText(c.Counts)))}
	return "👀 " + worst(c.Counts) + " in " + in + can, append(lines, c.listed(func(findings.Spread) string { return "" })...)
}

func (c Change) rose() (text string, lines []slackgo.Block) {
	in, inLine := c.subject()
	if c.isOne() && len(c.Worst) == 1 { // fits on one line
		s := c.Worst[0]
		name, nameLine := nameOf(s.Finding)
		now := " is " + word(s.Finding.Severity) + " now: "
		return "📈 " + name + now + in, []slackgo.Block{grey(markup("📈 "+nameLine+now+inLine), verbatim(fixLine(s)))}
	}
	lines = []slackgo.Block{
		grey(markup("📈 The severity of *" + c.total() + "* in " + inLine + " rose")),
		grey(markup(countsText(c.Counts))),
	}
	lines = append(lines, c.listed(func(s findings.Spread) string { return " is " + word(s.Finding.Severity) + " now" })...)
	return "📈 The severity of " + c.total() + " in " + in + " rose: " + worst(c.Counts), lines
}

// listed has a line for each of the worst findings: what is said of it, and which version ends it.
func (c Change) listed(said func(findings.Spread) string) []slackgo.Block {
	var lines []slackgo.Block
	shown := c.Worst[:min(len(c.Worst), mostNames)]
	for _, s := range shown {
		_, name := nameOf(s.Finding)
		line := dot(s.Finding.Severity) + " " + name + said(s)
		if s.Images > 1 {
			line += ", in " + count(s.Images, "image")
		}
		lines = append(lines, grey(markup(line), verbatim(fixLine(s))))
	}
	if more := c.Counts.Total() - len(shown); more > 0 && len(shown) > 0 {
		lines = append(lines, grey(verbatim("and "+number(more)+" more")))
	}
	return lines
}

// withdrawn says that there is nothing to do, because a count that falls makes people ask.
func (c Change) withdrawn() (text string, lines []slackgo.Block) {
	were, them := " were withdrawn", "them"
	if c.Counts.Total() == 1 {
		were, them = " was withdrawn", "it"
	}
	these := "these images"
	if c.images() <= 1 {
		these = "this image"
	}
	in, inLine := c.subject()
	return "↩️ " + c.total() + " in " + in + were + " (" + worst(c.Counts) + "); there is nothing to do", []slackgo.Block{
		grey(markup("↩️ *" + c.total() + "* in " + inLine + were + ": Clair's sources no longer list " + them +
			" for " + these + ". There is nothing to do")),
		grey(markup(countsText(c.Counts))),
	}
}

func (c Change) returned() (text string, lines []slackgo.Block) {
	again := " had been withdrawn and are reported again"
	if c.Counts.Total() == 1 {
		again = " had been withdrawn and is reported again"
	}
	in, inLine := c.subject()
	return "↪️ " + worst(c.Counts) + " in " + in + again, []slackgo.Block{
		grey(markup("↪️ *" + c.total() + "* in " + inLine + again)),
		c.counted(""),
	}
}

// images is the number of images concerned.
func (c Change) images() int { return max(c.Images, len(c.Rows)) }

// total counts what is told.
func (c Change) total() string { return count(c.Counts.Total(), "vulnerability") }

// subject names one image and counts several, once as plain text and once within mrkdwn.
func (c Change) subject() (text, line string) {
	if len(c.Rows) == 1 && c.images() == 1 {
		i := c.Rows[0].Image
		return i.named(longestBrief), mono(i.named(longestName))
	}
	n := count(c.images(), "image")
	return n, "*" + n + "*"
}

// counted is a line of the counts by severity, which names the worst findings.
func (c Change) counted(title string) slackgo.Block {
	var names []string
	for _, s := range c.Worst[:min(len(c.Worst), mostWorst)] {
		_, name := nameOf(s.Finding)
		names = append(names, name)
	}
	counts := markup(title + countsText(c.Counts))
	switch {
	case len(names) == 0:
		return grey(counts)
	case c.Counts.Total() > len(names):
		return grey(counts, markup("Worst: "+strings.Join(names, ", ")))
	default:
		return grey(counts, markup(strings.Join(names, ", ")))
	}
}

// isOne says whether all images have one vulnerability, the same one.
func (c Change) isOne() bool { return c.Counts.Total() == 1 }

// imageNames lists the worst of several images, each with the worst of its findings unless all have the
// same one.
func (c Change) imageNames() []slackgo.MixedElement {
	if c.images() < 2 {
		return nil // the first line names it
	}
	var es []slackgo.MixedElement
	for _, r := range c.Rows[:min(len(c.Rows), mostNames)] {
		line := reference(r.Image.named(longestBrief), r.Link)
		if r.Counts.Total() > 0 && !c.isOne() {
			line += " " + worst(r.Counts)
		}
		es = append(es, markup(line))
	}
	if more := c.images() - len(es); more > 0 && len(es) > 0 {
		es = append(es, verbatim("and "+number(more)+" more"))
	}
	return es
}

// footer says where the images run; of one image it leads to the report, of several their names do.
func (c Change) footer() []slackgo.MixedElement {
	var pods, link string
	if c.images() == 1 && len(c.Rows) == 1 {
		pods, link = podsOf(c.Rows[0].Pods), c.Rows[0].Link
	}
	var es []slackgo.MixedElement
	if where := details(c.Cluster, within(c.Namespaces), pods); where != "" {
		es = append(es, verbatim(where))
	}
	if report := anchor("Report", link); report != nil {
		es = append(es, report)
	}
	return es
}

// nameOf says which advisory in which package, once as plain text and once within mrkdwn.
func nameOf(f findings.Finding) (text, line string) {
	name, pkg := orDash(brief(f.Name, longestAdvisory)), brief(f.Package, longestAdvisory)
	text, line = name, reference(name, f.Link)
	if pkg != "" {
		text, line = text+" in "+pkg, line+" in "+mono(pkg)
	}
	return text, line
}

// noFixYet stands where the version that ends a finding would.
const noFixYet = "no fix yet"

// fix says which version ends a finding.
func fix(f findings.Finding) string {
	if fixed := brief(f.FixedIn, longestAdvisory); fixed != "" {
		return "fixed in " + fixed
	}
	return noFixYet
}
