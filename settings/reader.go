package settings

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// valueLimit bounds the text of one key, in bytes. A whole ConfigMap has at most a mebibyte.
	valueLimit = 256 << 10
	// aliasLimit bounds how many times its own length a text may stand for by its aliases.
	aliasLimit = 10
	// fieldLimit bounds for how many fields and entries it may stand in all: each is memory.
	fieldLimit = 100_000
	// mergeLimit bounds how deep maps may be merged into each other; an alias can name the map that it is in.
	mergeLimit = 10
	// mistakeLimit bounds how many mistakes of one key are told.
	mistakeLimit = 50
	// mistakesLimit bounds the texts of the mistakes of all keys, in bytes; the rest of them share a short one.
	mistakesLimit = 1 << 20
)

// reader reads the text of one key and gathers all that is wrong with it.
type reader struct {
	key   string
	rules Rules
	// left is how many fields and entries may still be read. Each that stands in the text takes a byte of it.
	left     int
	mistakes []string
	more     int // mistakes beyond the limit
	ignores  int // entries of ignore so far; an alias stands for all of its list
}

func newReader(key, value string, rules Rules) *reader {
	return &reader{key: key, rules: rules, left: min(aliasLimit*len(value), fieldLimit)}
}

// place is something in the text, and where it is.
type place struct {
	path string
	line int // from 1; 0 is the whole text
	node *yaml.Node
}

// field is a named part of a place.
func (p place) field(name string) place { return place{path: p.path + "." + name, line: p.line} }

// nearest is what was probably meant, as long as it is told.
func (r *reader) nearest(word string, known []string) string {
	if len(r.mistakes) == mistakeLimit {
		return ""
	}
	return nearest(word, known)
}

// found is how many mistakes were found.
func (r *reader) found() int { return len(r.mistakes) + r.more }

// wrong notes a mistake.
func (r *reader) wrong(at place, format string, args ...any) {
	if len(r.mistakes) == mistakeLimit {
		r.more++
		return
	}
	where := at.path
	if at.line > 0 {
		where = fmt.Sprintf("%s (line %d)", where, at.line)
	}
	r.mistakes = append(r.mistakes, where+": "+fmt.Sprintf(format, args...))
}

// err returns all mistakes, a line for each.
func (r *reader) err() error {
	lines := r.mistakes
	switch {
	case r.left < 0: // what was found until then is that of a part
		lines = []string{fmt.Sprintf("%s: with its aliases much longer than it is: write it out, or use %s", r.key, DefaultsKey)}
	case r.more > 0:
		lines = append(lines, fmt.Sprintf("%s: and %d more mistakes", r.key, r.more))
	}
	if len(lines) == 0 {
		return nil
	}
	return errors.New(strings.Join(lines, "\n"))
}

const wantScanner = "want a Scanner such as {backend: clair, notifier: slack, clairBaseUrl: …, slackWebhookUrl: …}, or a list of them"

// document returns what the text holds; nil where it holds nothing, or has a mistake.
func (r *reader) document(value string) *yaml.Node {
	whole := place{path: r.key}
	if len(value) > valueLimit {
		r.wrong(whole, "longer than %d KiB: want a Scanner or a short list of them", valueLimit>>10)
		return nil
	}
	documents, err := documents(value)
	switch {
	case err != nil:
		r.wrong(whole, "not valid YAML: %s", withoutValues(err))
	case len(documents) > 1:
		r.wrong(whole, "several YAML documents: %s", wantScanner)
	case len(documents) == 1:
		return documents[0]
	}
	return nil
}

// documents returns the YAML documents that hold anything.
func documents(value string) (ns []*yaml.Node, err error) {
	defer func() {
		if recover() != nil { // the library has had texts at which it does
			ns, err = nil, errors.New("it cannot be understood")
		}
	}()
	decoder := yaml.NewDecoder(strings.NewReader(value))
	for {
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return ns, nil
		case err != nil:
			return nil, err
		}
		for _, n := range document.Content {
			if n = target(n); n.ShortTag() != "!!null" {
				ns = append(ns, n)
			}
		}
	}
}

// target is what an alias stands for, or the node itself.
func target(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// absent says whether something is as if it were not there: null, or an empty text.
func absent(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!null" || strings.TrimSpace(n.Value) == "")
}

// spend says whether one more field or entry may be read.
func (r *reader) spend() bool {
	r.left--
	return r.left >= 0
}

// field is a field of a T as it is written.
type field[T any] struct {
	name string
	read func(r *reader, into *T, at place)
}

func names[T any](fields []field[T]) []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	return names
}

// read reads a map of fields, in the order of the text. It returns those that are there, also the wrong ones, and
// those that a misspelt one was meant to be.
func read[T any](r *reader, at place, fields []field[T], into *T) map[string]place {
	given := make(map[string]place)
	if at.node.Kind != yaml.MappingNode {
		r.wrong(at, "want a map of fields: %s", strings.Join(names(fields), ", "))
		return given
	}
pairs:
	for _, p := range r.pairs(at, 0) {
		if p.mistake != "" {
			r.wrong(p.place, "%s", p.mistake)
			continue
		}
		for _, f := range fields {
			if f.name != p.name {
				continue
			}
			if !absent(p.node) {
				given[f.name] = p.place
				f.read(r, into, p.place)
			}
			continue pairs
		}
		if near := r.nearest(p.name, names(fields)); near != "" {
			given[near] = p.place
			r.wrong(p.place, "no such field; did you mean %s?", near)
		} else {
			r.wrong(p.place, "no such field; want one of %s", strings.Join(names(fields), ", "))
		}
	}
	return given
}

// pair is a field's name as it is written, and its value.
type pair struct {
	name string
	place
	mistake string // what is wrong with the pair itself
}

// pairs returns the fields of a map: its own, and then what is merged into it and is not among them.
func (r *reader) pairs(at place, depth int) []pair {
	if !r.spend() {
		return nil
	}
	var pairs []pair
	var merged []place
	lines := make(map[string]int)
	content := at.node.Content
	for ; len(content) >= 2 && r.spend(); content = content[2:] {
		key, node := target(content[0]), target(content[1])
		here := place{path: at.path, line: content[0].Line, node: node}
		if key.Kind != yaml.ScalarNode {
			pairs = append(pairs, pair{place: here, mistake: "want the name of a field where a map or a list is"})
			continue
		}
		if key.ShortTag() == "!!merge" {
			merged = append(merged, here)
			continue
		}
		p := pair{name: key.Value, place: here}
		p.path += "." + shown(p.name)
		if first, twice := lines[p.name]; twice {
			p.mistake = fmt.Sprintf("stands there twice, first in line %d", first)
		} else {
			lines[p.name] = p.line
		}
		pairs = append(pairs, p)
	}
	for _, m := range merged {
		for _, p := range r.merge(m, depth) {
			if _, ok := lines[p.name]; ok && p.mistake == "" {
				continue
			}
			lines[p.name] = p.line
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// merge returns the fields that a merge key brings: those of a map, or of several, of which the first wins.
func (r *reader) merge(at place, depth int) []pair {
	maps := []*yaml.Node{at.node}
	if at.node.Kind == yaml.SequenceNode {
		maps = at.node.Content
	}
	var pairs []pair
	for _, n := range maps {
		if !r.spend() {
			return nil
		}
		switch n = target(n); {
		case n.Kind != yaml.MappingNode:
			pairs = append(pairs, pair{place: at, mistake: "<< wants a map, or a list of maps"})
		case depth == mergeLimit:
			pairs = append(pairs, pair{place: at, mistake: fmt.Sprintf("<< goes deeper than %d maps", mergeLimit)})
		default:
			pairs = append(pairs, r.pairs(place{path: at.path, line: at.line, node: n}, depth+1)...)
		}
	}
	return pairs
}

// entries returns the entries of a list.
func (r *reader) entries(at place) []place {
	var entries []place
	for i, n := range at.node.Content {
		if !r.spend() {
			return nil
		}
		entries = append(entries, place{path: fmt.Sprintf("%s[%d]", at.path, i), line: n.Line, node: target(n)})
	}
	return entries
}

// text returns a text without the white space around it, and whether it is one.
func (r *reader) text(at place) (string, bool) {
	switch {
	case at.node.Kind == yaml.MappingNode:
		r.wrong(at, "want a text, not a map")
	case at.node.Kind == yaml.SequenceNode:
		r.wrong(at, "want a text, not a list")
	// The library takes a day for more than a text.
	case at.node.ShortTag() != "!!str" && at.node.ShortTag() != "!!timestamp":
		r.wrong(at, "want a text; put it into quotes")
	default:
		return strings.TrimSpace(at.node.Value), true
	}
	return "", false
}

// flag is a field that is true or false.
func flag[T any](of func(*T) *bool) func(*reader, *T, place) {
	return func(r *reader, into *T, at place) {
		if at.node.Kind == yaml.ScalarNode && at.node.ShortTag() == "!!bool" {
			switch at.node.Value {
			case "true", "True", "TRUE":
				*of(into) = true
				return
			case "false", "False", "FALSE":
				*of(into) = false
				return
			}
		}
		r.wrong(at, "want true or false")
	}
}

// withoutValues is a YAML error on one line and without what it quotes, which can be a webhook's address.
// All that can stand unquoted in it is the library's own words, and tags.
func withoutValues(err error) string {
	msg := strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " ")
	if i := strings.IndexAny(msg, "`\"'"); i >= 0 { // the first quote may hide others
		msg = msg[:i] + "…"
	}
	return tag.ReplaceAllString(msg, "…")
}

var tag = regexp.MustCompile(`\S*[/:@]\S+`)
