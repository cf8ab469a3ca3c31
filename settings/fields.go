package settings

import (
	"regexp"
	"slices"
	"strings"

	"github.com/quay/claircore"
	"go.yaml.in/yaml/v3"

	"github.com/clairwatch/clairwatch/findings"
)

// scannerLimit bounds how many Scanners a key has.
const scannerLimit = 50

// defaults is the Scanner of which nothing is written.
func defaults() Scanner {
	return Scanner{
		Name: DefaultName, Backend: BackendClair, Notifier: NotifierSlack,
		Rules: findings.Rules{UnknownAs: claircore.Medium},
		Tell:  DefaultTell(), Look: DefaultLook(),
	}
}

// scannerFields are the fields of a Scanner as they are written.
var scannerFields = []field[Scanner]{
	{name: "name", read: readName},
	{name: "backend", read: readBackend},
	{name: "notifier", read: readNotifier},
	{name: "clairBaseUrl", read: readClairBaseURL, also: []string{"clairUrl", "clair", "clairAddress", "baseUrl"}},
	{name: "slackWebhookUrl", read: readWebhookURL, also: []string{"slackWebhook", "webhookUrl", "webhook", "slackUrl", "slack", "channel", "slackChannel"}},
	{name: "slackWebhookFile", read: readWebhookFile, also: []string{"webhookFile", "slackFile"}},
	{name: "minSeverity", read: severity(func(s *Scanner) *findings.Severity { return &s.Rules.MinSeverity }), also: []string{"severity", "threshold"}},
	{name: "unknownAs", read: severity(func(s *Scanner) *findings.Severity { return &s.Rules.UnknownAs })},
	{name: "onlyFixable", read: flag(func(s *Scanner) *bool { return &s.Rules.OnlyFixable }), also: []string{"fixable", "onlyFixed", "ignoreUnfixed"}},
	{name: "ignore", read: readIgnore, parts: parts("ignore[].", ignoreFields)},
	{name: "tell", read: func(r *reader, s *Scanner, at place) { read(r, at, tellFields, &s.Tell) }, parts: parts("tell.", tellFields)},
	{name: "look", read: func(r *reader, s *Scanner, at place) { read(r, at, lookFields, &s.Look) }, parts: parts("look.", lookFields)},
}

// parts are the names of fields with the one that they belong to.
func parts[T any](of string, fields []field[T]) []string {
	var parts []string
	for _, name := range names(fields) {
		parts = append(parts, of+name)
	}
	return parts
}

var tellFields = []field[Tell]{
	{name: "indexed", read: flag(func(t *Tell) *bool { return &t.Indexed })},
	{name: "report", read: flag(func(t *Tell) *bool { return &t.Report })},
	{name: "disclosed", read: flag(func(t *Tell) *bool { return &t.Disclosed })},
	{name: "withdrawn", read: flag(func(t *Tell) *bool { return &t.Withdrawn })},
	{name: "removed", read: flag(func(t *Tell) *bool { return &t.Removed })},
	{name: "failed", read: flag(func(t *Tell) *bool { return &t.Failed })},
}

var lookFields = []field[Look]{
	{name: "init", read: flag(func(l *Look) *bool { return &l.Init })},
	{name: "ephemeral", read: flag(func(l *Look) *bool { return &l.Ephemeral })},
	{name: "volumes", read: flag(func(l *Look) *bool { return &l.Volumes })},
	{name: "finished", read: flag(func(l *Look) *bool { return &l.Finished })},
	{name: "optOut", read: flag(func(l *Look) *bool { return &l.OptOut })},
}

// defaults reads what every Scanner inherits, and returns the fields that are there; nil where there is no map of them.
func (r *reader) defaults(at place, s *Scanner) map[string]place {
	if at.node.Kind != yaml.MappingNode {
		r.wrong(at, "want one map of fields that every Scanner inherits")
		return nil
	}
	s.written = written{path: at.path}
	given := read(r, at, scannerFields, s)
	s.written.note(given)
	if name, ok := given["name"]; ok { // which are the records, and two of a key cannot share one
		r.wrong(name, "cannot be inherited: what a Scanner has told is remembered under its name")
	}
	r.checkOneWebhook(given)
	return given
}

// scanners reads a key's Scanner or its list of them.
func (r *reader) scanners(key string, n *yaml.Node, from heritage) []Scanner {
	whole := place{path: key, line: n.Line, node: n}
	entries := []place{whole}
	switch {
	case n.Kind == yaml.MappingNode:
	case n.Kind != yaml.SequenceNode:
		r.wrong(whole, "neither a map nor a list: %s", wantScanner)
		return nil
	case len(n.Content) > scannerLimit:
		r.wrong(whole, "%d Scanners; want at most %d", len(n.Content), scannerLimit)
		return nil
	default:
		entries = r.entries(whole)
		if len(entries) == 1 {
			entries[0].path = key
		}
	}
	var scanners []Scanner
	for _, at := range entries {
		s, before := from.scanner, r.found()
		s.written = written{path: at.path}
		given := read(r, at, scannerFields, &s)
		s.written.note(given)
		if _, ok := given["slackWebhookFile"]; ok {
			if _, both := given["slackWebhookUrl"]; !both { // then it stands in the place of the one that is inherited
				s.SlackWebhookURL = Secret{}
			}
		} else if _, ok := given["slackWebhookUrl"]; ok {
			s.SlackWebhookFile = ""
		}
		r.checkOneWebhook(given)
		if at.node.Kind == yaml.MappingNode {
			r.checkMissing(at, s, given, from)
		}
		if r.found() > before {
			continue // its name may be what is wrong
		}
		if slices.ContainsFunc(scanners, func(o Scanner) bool { return o.Name == s.Name }) {
			where := at.field("name")
			if name, ok := given["name"]; ok {
				where = name
			}
			r.wrong(where, "%q is the name of another Scanner here; give each its own", s.Name)
			continue
		}
		scanners = append(scanners, s)
	}
	return scanners
}

func (r *reader) checkOneWebhook(given map[string]place) {
	address, file := given["slackWebhookUrl"], given["slackWebhookFile"]
	if address.node == nil || file.node == nil {
		return
	}
	later, other := file, "slackWebhookUrl"
	if address.line > file.line {
		later, other = address, "slackWebhookFile"
	}
	r.wrong(later, "stands beside %s: want one of the two", other)
}

// checkMissing looks for what a Scanner must have and has neither of its own nor inherited.
func (r *reader) checkMissing(at place, s Scanner, given map[string]place, from heritage) {
	missing := func(fields ...string) bool {
		return !slices.ContainsFunc(fields, func(field string) bool {
			_, own := given[field]
			return own || from.mayHave(field)
		})
	}
	if s.Backend == BackendClair && s.ClairBaseURL == "" && missing("clairBaseUrl") && !from.mayHave("backend") {
		r.wrong(at.field("clairBaseUrl"), "missing: %s", wantClair)
	}
	if s.Notifier == NotifierSlack && s.SlackWebhookURL == (Secret{}) && s.SlackWebhookFile == "" &&
		missing("slackWebhookUrl", "slackWebhookFile") && !from.mayHave("notifier") {
		r.wrong(at.field("slackWebhookUrl"),
			"missing: want the address of an incoming webhook, https://hooks.slack.com/services/…, or slackWebhookFile")
	}
}

func readName(r *reader, s *Scanner, at place) {
	name, ok := r.text(at)
	if ok && !label.MatchString(name) {
		r.wrong(at, "want %s", wantLabel)
		return
	}
	if ok {
		s.Name = name
	}
}

func readBackend(r *reader, s *Scanner, at place) { r.word(at, r.rules.Backends, &s.Backend) }

func readNotifier(r *reader, s *Scanner, at place) { r.word(at, r.rules.Notifiers, &s.Notifier) }

// word reads one of the known words.
func (r *reader) word(at place, known []string, into *string) {
	word, ok := r.text(at)
	if ok && !slices.Contains(known, word) {
		r.wrong(at, "%s", notKnown(word, known))
		return
	}
	if ok {
		*into = word
	}
}

func readClairBaseURL(r *reader, s *Scanner, at place) {
	written, ok := r.text(at)
	if !ok {
		return
	}
	address, err := BaseURL(written)
	switch {
	case err != nil:
		r.wrong(at, "%v", err)
	case r.webhookLike(written):
		r.wrong(at, "this is the address of a webhook, which belongs under slackWebhookUrl: %s", wantClair)
	default:
		s.ClairBaseURL = address
	}
}

func readWebhookURL(r *reader, s *Scanner, at place) {
	address, ok := r.text(at)
	if !ok {
		return
	}
	if r.rules.Webhook != nil {
		if err := r.rules.Webhook(address); err != nil {
			r.wrong(at, "%v", err)
			return
		}
	}
	s.SlackWebhookURL = NewSecret(address)
}

// fileName is a name that a key of a Secret, which is a file where it is mounted, can have, and no other file has.
var fileName = regexp.MustCompile(`^[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,252}$`)

func readWebhookFile(r *reader, s *Scanner, at place) {
	name, ok := r.text(at)
	switch {
	case !ok:
	case r.webhookLike(name):
		r.wrong(at, "this is the address of a webhook, which belongs under slackWebhookUrl: want the name of the file that holds it")
	case !fileName.MatchString(name) || strings.Contains(name, ".."):
		r.wrong(at, "want the plain name of a file, without its folder: letters, digits, -, _ and single dots, not beginning with one")
	default:
		s.SlackWebhookFile = name
	}
}

// severity is a field that is the word of a severity, in any case.
func severity(of func(*Scanner) *findings.Severity) func(*reader, *Scanner, place) {
	return func(r *reader, s *Scanner, at place) {
		word, ok := r.text(at)
		if !ok {
			return
		}
		// claircore's own UnmarshalText wants the one spelling, and panics at others.
		for _, severity := range findings.Severities {
			if strings.EqualFold(word, severity.String()) {
				*of(s) = severity
				return
			}
		}
		r.wrong(at, "%s", notKnown(word, severityWords()))
	}
}

// severityWords are the words of the severities, from the least up.
func severityWords() []string {
	var words []string
	for _, s := range slices.Backward(findings.Severities[:]) {
		words = append(words, s.String())
	}
	return words
}
