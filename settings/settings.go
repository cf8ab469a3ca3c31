// Package settings reads what the ConfigMap says about each namespace: which Clair looks at its images
// and which Slack channel hears of it.
//
// It is pure: text in, Scanners or mistakes out.
package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unique"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/quay/claircore"
	"sigs.k8s.io/yaml"
)

const (
	// BackendClair is the only backend.
	BackendClair = "clair"
	// NotifierSlack is the only notifier.
	NotifierSlack = "slack"
	// DefaultName is the name of a Scanner that has none of its own.
	DefaultName = "default"
)

// valueLimit bounds the text of one key, in bytes. A whole ConfigMap has at most a mebibyte.
const valueLimit = 256 << 10

// label is the form of a namespace's name (RFC 1123, as Kubernetes reads it).
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Secret is a text that is never printed: whoever has a webhook's address can write into its channel.
// Equal secrets are ==. The zero value is the empty text.
type Secret struct {
	// A handle keeps what == needs and hides the text behind a pointer: fmt cannot call our methods on
	// a Secret in another struct's unexported field, and would print a plain string there.
	text unique.Handle[string]
}

// NewSecret hides a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{unique.Make(text)}
}

// Format hides the text, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String hides the text.
func (Secret) String() string { return "[hidden]" }

// GoString hides the text.
func (Secret) GoString() string { return "[hidden]" }

// MarshalText hides the text, in JSON and in slog too.
func (Secret) MarshalText() ([]byte, error) { return []byte("[hidden]"), nil }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s == (Secret{}) {
		return ""
	}
	return s.text.Value()
}

// UnmarshalText takes the text.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = NewSecret(string(b))
	return nil
}

// Settings are the Scanners of each namespace that has any.
type Settings map[string][]Scanner

// Mistakes are the keys that could not be read, and what is wrong with each.
type Mistakes map[string]error

// Keys returns the keys in order.
func (m Mistakes) Keys() []string { return slices.Sorted(maps.Keys(m)) }

// Rules are what the daemon's own configuration says about valid settings.
type Rules struct {
	// Webhook says whether an address may be a webhook. Its error must not repeat the address. Nil
	// allows any.
	Webhook func(address string) error
}

// Parse reads the data of the ConfigMap. Each key stands for itself: a mistake in one takes nothing
// from the others.
func Parse(data map[string]string, rules Rules) (Settings, Mistakes) {
	if rules.Webhook == nil {
		rules.Webhook = func(string) error { return nil }
	}
	settings, mistakes := make(Settings, len(data)), make(Mistakes)
	for key, value := range data {
		scanners, err := parseKey(key, value, rules)
		if err != nil {
			mistakes[key] = err
			continue
		}
		settings[key] = scanners
	}
	return settings, mistakes
}

func parseKey(key, value string, rules Rules) ([]Scanner, error) {
	if strings.HasPrefix(key, "_") {
		return nil, fmt.Errorf("%s: keys that begin with _ are reserved; a key is the name of a namespace", shown(key))
	}
	if !label.MatchString(key) {
		return nil, fmt.Errorf("%s: a key is the name of a namespace: at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit", shown(key))
	}
	if len(value) > valueLimit {
		return nil, fmt.Errorf("%s: longer than %d KiB: want a Scanner or a short list of them", key, valueLimit>>10)
	}
	nodes, err := scannerNodes(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	var errs []error
	scanners := make([]Scanner, 0, len(nodes))
	for i, n := range nodes {
		path := key
		if len(nodes) > 1 {
			path = fmt.Sprintf("%s[%d]", key, i)
		}
		s, err := parseScanner(path, n, rules)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if slices.ContainsFunc(scanners, func(o Scanner) bool { return o.Name == s.Name }) {
			errs = append(errs, fmt.Errorf("%s.name: %q is the name of another Scanner here; give each its own", path, s.Name))
			continue
		}
		scanners = append(scanners, s)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return scanners, nil
}

// scannerNodes reads the YAML of a key: one Scanner or a list of them.
func scannerNodes(value string) ([]json.RawMessage, error) {
	const want = "want a Scanner such as {backend: clair, notifier: slack, clairBaseUrl: …, slackWebhookUrl: …}, or a list of them"
	if documents(value) > 1 {
		return nil, errors.New("several YAML documents, of which only the first would count: " + want)
	}
	data, err := yaml.YAMLToJSONStrict([]byte(value))
	if err != nil {
		return nil, fmt.Errorf("not valid YAML: %s", withoutValues(err))
	}
	var list []json.RawMessage
	switch data[0] {
	case '{':
		return []json.RawMessage{data}, nil
	case '[':
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, errors.New("not valid YAML") // unreachable: the library has just written it
		}
	case 'n': // null
	default:
		return nil, errors.New("neither a map nor a list: " + want)
	}
	if len(list) == 0 {
		return nil, errors.New("empty: " + want + "; remove the key to stop watching the namespace")
	}
	return list, nil
}

// documents counts the YAML documents that hold anything. The library reads the first and is silent
// about the others.
func documents(value string) int {
	n := 0
	for _, document := range boundary.Split(value, -1) {
		if content.MatchString(document) {
			n++
		}
	}
	return n
}

var (
	boundary = regexp.MustCompile(`(?m)^(---|\.\.\.)(\s|$)`)
	content  = regexp.MustCompile(`(?m)^[ \t]*[^#%\s]`) // no comment, no directive
)

// fields are the keys of a Scanner as they are written.
var fields = []string{"name", "backend", "notifier", "clairBaseUrl", "slackWebhookUrl", "minSeverity", "unknownAs", "tell"}

// kinds are the keys of a Scanner's tell.
var kinds = []string{"withdrawn"}

func parseScanner(path string, data json.RawMessage, rules Rules) (Scanner, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil || values == nil {
		return Scanner{}, fmt.Errorf("%s: want a map of fields: %s", path, strings.Join(fields, ", "))
	}
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(fields, k) {
			errs = append(errs, fmt.Errorf("%s.%s: no such field; want one of %s", path, shown(k), strings.Join(fields, ", ")))
		}
	}
	text := func(field string) string {
		raw, ok := values[field]
		if !ok || string(raw) == "null" {
			return ""
		}
		var s string
		if json.Unmarshal(raw, &s) != nil {
			errs = append(errs, fmt.Errorf("%s.%s: want a text; put it into quotes", path, field))
		}
		return s
	}
	severity := func(field string, empty findings.Severity) findings.Severity {
		word := text(field)
		if word == "" {
			return empty
		}
		s, ok := severityOf(word)
		if !ok {
			errs = append(errs, fmt.Errorf("%s.%s: %q is not known; want one of %s", path, field, shown(word), severityWords()))
		}
		return s
	}
	tell, wrong := parseTell(path+".tell", values["tell"])
	errs = append(errs, wrong...)
	s := Scanner{
		Name:            orText(text("name"), DefaultName),
		Backend:         orText(text("backend"), BackendClair),
		Notifier:        orText(text("notifier"), NotifierSlack),
		ClairBaseURL:    text("clairBaseUrl"),
		SlackWebhookURL: NewSecret(text("slackWebhookUrl")),
		Rules: findings.Rules{
			MinSeverity: severity("minSeverity", claircore.Unknown),
			UnknownAs:   severity("unknownAs", claircore.Medium),
		},
		Tell: tell,
	}
	if len(errs) == 0 { // otherwise half of what follows would only repeat it
		errs = s.validate(path, rules)
	}
	return s, errors.Join(errs...)
}

// parseTell reads which kinds of news a channel hears. Nothing, and null, are the defaults.
func parseTell(path string, data json.RawMessage) (Tell, []error) {
	var t Tell
	if data == nil || string(data) == "null" {
		return t, nil
	}
	var values map[string]json.RawMessage
	if json.Unmarshal(data, &values) != nil {
		return t, []error{fmt.Errorf("%s: want a map such as {withdrawn: true}", path)}
	}
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(values)) {
		switch raw := values[k]; {
		case !slices.Contains(kinds, k):
			errs = append(errs, fmt.Errorf("%s.%s: no such kind of news; want %s", path, shown(k), strings.Join(kinds, ", ")))
		case json.Unmarshal(raw, &t.Withdrawn) != nil:
			errs = append(errs, fmt.Errorf("%s.%s: want true or false", path, k))
		}
	}
	return t, errs
}

// severityOf reads a severity's word, in any case. claircore's own UnmarshalText wants the one spelling, and
// panics at others.
func severityOf(word string) (findings.Severity, bool) {
	for _, s := range findings.Severities {
		if strings.EqualFold(word, s.String()) {
			return s, true
		}
	}
	return 0, false
}

// severityWords lists the words of the severities, from the least up.
func severityWords() string {
	var words []string
	for _, s := range slices.Backward(findings.Severities[:]) {
		words = append(words, s.String())
	}
	return strings.Join(words, ", ")
}

func (s *Scanner) validate(path string, rules Rules) []error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s.%s: %s", path, field, fmt.Sprintf(format, args...)))
	}
	if !label.MatchString(s.Name) {
		wrong("name", "want at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit")
	}
	if s.Backend != BackendClair {
		wrong("backend", "%q is not known; want %q", shown(s.Backend), BackendClair)
	}
	if s.Notifier != NotifierSlack {
		wrong("notifier", "%q is not known; want %q", shown(s.Notifier), NotifierSlack)
	}
	address, err := BaseURL(s.ClairBaseURL)
	switch {
	case err != nil:
		wrong("clairBaseUrl", "%v", err)
	case webhookLike(s.ClairBaseURL):
		wrong("clairBaseUrl", "this is the address of a webhook, which belongs under slackWebhookUrl: %s", wantClair)
	}
	s.ClairBaseURL = address
	if s.SlackWebhookURL == (Secret{}) {
		wrong("slackWebhookUrl", "missing: want the address of an incoming webhook, https://hooks.slack.com/services/…")
	} else if err := rules.Webhook(s.SlackWebhookURL.Reveal()); err != nil {
		wrong("slackWebhookUrl", "%v", err)
	}
	return errs
}

const wantClair = "want an address such as http://clair.clair:6000/"

// BaseURL checks the address of a Clair, around which white space is ignored, and writes it in one way, so that
// two spellings are one Clair.
func BaseURL(address string) (string, error) {
	if address == "" {
		return "", errors.New("missing: " + wantClair)
	}
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("not an http or https address: " + wantClair)
	case u.User != nil:
		return "", errors.New("user and password are not supported in the address: " + wantClair)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("no query or fragment: " + wantClair)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", errors.New("no such port: " + wantClair)
		}
	}
	u.Host = strings.ToLower(u.Host) // Parse has done so with the scheme
	return strings.TrimRight(u.String(), "/") + "/", nil
}

func orText(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}

// webhookLike says whether the address of a Clair is one of Slack's webhooks, as when two fields were
// mixed up. A Clair's address is shown to people, a webhook's must not be.
func webhookLike(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (strings.HasPrefix(strings.ToLower(u.Hostname()), "hooks.slack") || strings.HasPrefix(u.Path, "/services/T"))
}

// shown is a text of the settings as an error may repeat it: as it is where it looks like a name. Anything
// else may be a webhook's address, or a part of one, that was written in the wrong place.
func shown(s string) string {
	if !plain.MatchString(s) {
		return "(not shown)"
	}
	return s
}

var plain = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,63}$`)

// withoutValues is a YAML error on one line and without what it quotes, which can be a webhook's address.
// All that can stand unquoted in it is the library's own words, and tags.
func withoutValues(err error) string {
	msg := err.Error()
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:"} {
		msg = strings.TrimPrefix(msg, prefix)
	}
	msg = strings.Join(strings.Fields(msg), " ")
	// The most frequent one is worth its name.
	if m := twice.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("line %s: the field %q stands there twice", m[1], shown(m[2]))
	}
	if i := strings.IndexAny(msg, "`\"'"); i >= 0 { // the first quote may hide others
		msg = msg[:i] + "…"
	}
	return tag.ReplaceAllString(msg, "…")
}

var (
	twice = regexp.MustCompile(`^line (\d+): key "([^"]*)" already set in map`)
	tag   = regexp.MustCompile(`\S*[/:@]\S+`)
)
