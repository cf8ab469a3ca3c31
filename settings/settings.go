// Package settings reads what the ConfigMap says about each namespace: which Clair looks at its images
// and which Slack channel hears of it.
//
// It is pure: text in, Scanners or mistakes out.
package settings

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const (
	// BackendClair is the backend of a Scanner that names none.
	BackendClair = "clair"
	// NotifierSlack is the notifier of a Scanner that names none.
	NotifierSlack = "slack"
	// DefaultName is the name of a Scanner that has none of its own.
	DefaultName = "default"
)

// Keys that no namespace can have.
const (
	// AllKey has the Scanners of each namespace without a key of its own.
	AllKey = "_all"
	// DefaultsKey has fields that every Scanner inherits.
	DefaultsKey = "_defaults"
)

// label is the form of a namespace's name (RFC 1123, as Kubernetes reads it).
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

const wantLabel = "at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"

// Settings are the Scanners of each key, AllKey among them. A key without any has nobody hear of its namespace:
// either its value is empty, or it has a mistake.
type Settings map[string][]Scanner

// Of returns the Scanners that hear of a namespace, and the key that has them: its own, or AllKey where it has none.
// The key is empty where nobody hears of the namespace.
func (s Settings) Of(namespace string) (key string, scanners []Scanner) {
	key = namespace
	if _, ok := s[key]; !ok {
		key = AllKey
	}
	if len(s[key]) == 0 {
		return "", nil
	}
	return key, s[key]
}

// Mistakes are the keys that could not be read, and what is wrong with each: a line for each mistake, and never a value
// that may be a webhook. What is wrong with a key or its text is a KeyError.
type Mistakes map[string]error

// Keys returns the keys in order.
func (m Mistakes) Keys() []string { return slices.Sorted(maps.Keys(m)) }

// ErrDefaults is all that is wrong with a key whose Scanners would inherit from a DefaultsKey that has a mistake.
// What is to be mended is told once, under DefaultsKey.
var ErrDefaults = errors.New("inherits from " + DefaultsKey + ", which has a mistake")

// Rules are what the daemon's own configuration says about valid settings.
type Rules struct {
	// Webhook says whether an address may be a webhook. Its error must not repeat the address. Nil
	// allows any.
	Webhook func(address string) error
	// Backends are the names of those that there are. Nil: BackendClair alone.
	Backends []string
	// Notifiers are the names of those that there are. Nil: NotifierSlack alone.
	Notifiers []string

	// prefixes is how much text may still be read to find the lines of mistakes, of all keys.
	prefixes *int
}

// complete returns the rules with what their zero values mean.
func (rules Rules) complete() Rules {
	if rules.Backends == nil {
		rules.Backends = []string{BackendClair}
	}
	if rules.Notifiers == nil {
		rules.Notifiers = []string{NotifierSlack}
	}
	rules.prefixes = new(prefixLimit)
	return rules
}

// Parse reads the data of the ConfigMap. Each key stands for itself: a mistake in one takes nothing
// from the others.
//
// A key with a mistake is among the Settings too, without Scanners: it is there, so AllKey does not stand in for it.
// Whoever has read it before without one puts the Scanners of then in their place.
//
// What DefaultsKey says is a part of every Scanner, so a mistake there leaves none that can be trusted: each key that
// has Scanners gets the mistake ErrDefaults, or its own if it has any, and keeps its last good settings like any
// other key with a mistake. What a key lacks is its own mistake where DefaultsKey does not name it. Those that are
// empty stay so.
func Parse(data map[string]string, rules Rules) (Settings, Mistakes) {
	rules = rules.complete()
	settings, mistakes := make(Settings, len(data)), make(Mistakes)
	from, err := parseDefaults(data[DefaultsKey], rules)
	if err != nil {
		mistakes[DefaultsKey] = err
	}
	for _, key := range slices.Sorted(maps.Keys(data)) { // in order, as what is there for all may not do for the last
		if key == DefaultsKey {
			continue
		}
		if err := CheckKey(key); err != nil {
			mistakes[key] = err
			continue
		}
		scanners, err := parseKey(key, data[key], from, rules)
		if err != nil {
			mistakes[key] = err
		}
		settings[key] = scanners
	}
	mistakes.shorten()
	return settings, mistakes
}

// errMore is the mistake of a key where others take up all the room that there is for words.
var errMore = errors.New("this key has mistakes too; mend the others first, or see clairwatch check")

// shorten bounds the texts of all mistakes together.
func (m Mistakes) shorten() {
	size := 0
	for _, key := range m.Keys() {
		if errors.Is(m[key], ErrDefaults) {
			continue
		}
		if size > mistakesLimit {
			m[key] = errMore
			continue
		}
		size += len(m[key].Error())
	}
}

// Inherited returns what DefaultsKey has every Scanner begin as, together with what holds where nothing is said. It is
// to be trusted where Parse finds no mistake under DefaultsKey.
func Inherited(data map[string]string, rules Rules) Scanner {
	from, _ := parseDefaults(data[DefaultsKey], rules.complete())
	return from.scanner
}

// CheckKey says why there can be no such key, a KeyError without a line; nil where there can.
func CheckKey(key string) error {
	if what := wrongWithKey(key); what != "" {
		return KeyError{{Path: shown(key), What: what}}
	}
	return nil
}

func wrongWithKey(key string) string {
	switch {
	case key == AllKey || key == DefaultsKey || label.MatchString(key):
		return ""
	case strings.HasPrefix(key, "_"):
		msg := fmt.Sprintf("the only keys that begin with _ are %s and %s; any other is the name of a namespace", AllKey, DefaultsKey)
		if near := nearest(key, []string{AllKey, DefaultsKey}); near != "" {
			msg += fmt.Sprintf("; did you mean %s?", near)
		}
		return msg
	case slices.ContainsFunc(scannerFields, func(f field[Scanner]) bool { return f.name == key || slices.Contains(f.also, key) }):
		return "this is a field of a Scanner: indent it below its namespace"
	default:
		return "a key is the name of a namespace: " + wantLabel
	}
}

// heritage is what every Scanner begins as.
type heritage struct {
	scanner Scanner
	// doubt says that it has a mistake. Then given are the fields that it names; nil when they cannot be told.
	doubt bool
	given map[string]place
}

// mayHave says whether a Scanner might inherit a field, if it were not for the mistake.
func (h heritage) mayHave(field string) bool {
	if !h.doubt {
		return false
	}
	_, named := h.given[field]
	_, stranger := h.given[nobodys]
	return named || stranger || h.given == nil
}

// parseDefaults returns what every Scanner begins as.
func parseDefaults(value string, rules Rules) (heritage, error) {
	r := newReader(DefaultsKey, value, rules)
	from := heritage{scanner: defaults()}
	if n := r.document(value); n != nil {
		from.given = r.defaults(place{path: DefaultsKey, line: n.Line, node: n}, &from.scanner)
	}
	if r.left < 0 { // not all were read
		from.given = nil
	}
	err := r.err()
	from.doubt = err != nil
	return from, err
}

// parseKey returns the Scanners of a key; nil for one that is empty or has a mistake.
func parseKey(key, value string, from heritage, rules Rules) ([]Scanner, error) {
	r := newReader(key, value, rules)
	var scanners []Scanner
	if n := r.document(value); n != nil {
		scanners = r.scanners(key, n, from)
	}
	if r.found() > 0 && slices.Contains(names(scannerFields), key) { // a namespace can have the name, and hardly does
		r.wrong(place{path: key}, "this is a field of a Scanner too: if it is meant as that, indent it below its namespace")
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	if from.doubt && len(scanners) > 0 {
		return nil, fmt.Errorf("%s: %w", key, ErrDefaults)
	}
	return scanners, nil
}
