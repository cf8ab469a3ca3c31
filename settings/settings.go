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

// Mistakes are the keys that could not be read, and what is wrong with each: a line for each mistake, in the order of
// the text, and never a value that may be a webhook.
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
}

// complete returns the rules with what their zero values mean.
func (rules Rules) complete() Rules {
	if rules.Webhook == nil {
		rules.Webhook = func(string) error { return nil }
	}
	if rules.Backends == nil {
		rules.Backends = []string{BackendClair}
	}
	if rules.Notifiers == nil {
		rules.Notifiers = []string{NotifierSlack}
	}
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
// other key with a mistake. Those that are empty stay so.
func Parse(data map[string]string, rules Rules) (Settings, Mistakes) {
	rules = rules.complete()
	settings, mistakes := make(Settings, len(data)), make(Mistakes)
	inherited, doubt := defaults(), false
	if value, ok := data[DefaultsKey]; ok {
		var err error
		if inherited, err = parseDefaults(value, rules); err != nil {
			mistakes[DefaultsKey], doubt = err, true
		}
	}
	for key, value := range data {
		if key == DefaultsKey {
			continue
		}
		if err := checkKey(key); err != nil {
			mistakes[key] = err
			continue
		}
		scanners, err := parseKey(key, value, inherited, doubt, rules)
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
	s, _ := parseDefaults(data[DefaultsKey], rules.complete())
	return s
}

func checkKey(key string) error {
	switch {
	case key == AllKey || label.MatchString(key):
		return nil
	case strings.HasPrefix(key, "_"):
		return fmt.Errorf("%s: the only keys that begin with _ are %s and %s; any other is the name of a namespace", shown(key), AllKey, DefaultsKey)
	default:
		return fmt.Errorf("%s: a key is the name of a namespace: %s", shown(key), wantLabel)
	}
}

// parseDefaults returns the Scanner that every other begins as.
func parseDefaults(value string, rules Rules) (Scanner, error) {
	r := newReader(DefaultsKey, value, rules)
	s := defaults()
	if n := r.document(value); n != nil {
		r.defaults(place{path: DefaultsKey, node: n}, &s)
	}
	return s, r.err()
}

// parseKey returns the Scanners of a key; nil for one that is empty or has a mistake. In doubt is what they inherit.
func parseKey(key, value string, inherited Scanner, doubt bool, rules Rules) ([]Scanner, error) {
	r := newReader(key, value, rules)
	var scanners []Scanner
	if n := r.document(value); n != nil {
		scanners = r.scanners(key, n, inherited, doubt)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	if doubt && len(scanners) > 0 {
		return nil, fmt.Errorf("%s: %w", key, ErrDefaults)
	}
	return scanners, nil
}
