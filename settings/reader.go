package settings

import (
	"fmt"
	"slices"
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
	mistakes []Mistake
	more     int  // mistakes beyond the limit
	unquoted bool // the text that was read last is none without quotes
	ignores  int  // entries of ignore so far; an alias stands for all of its list
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

// found is how many mistakes were found.
func (r *reader) found() int { return len(r.mistakes) + r.more }

// wrong notes a mistake.
func (r *reader) wrong(at place, format string, args ...any) {
	if len(r.mistakes) == mistakeLimit {
		r.more++
		return
	}
	r.mistakes = append(r.mistakes, Mistake{Path: at.path, Line: at.line, What: fmt.Sprintf(format, args...)})
}

// err returns all mistakes, a KeyError.
func (r *reader) err() error {
	all := KeyError(r.mistakes)
	switch {
	case r.left < 0: // what was found until then is that of a part
		all = KeyError{{Path: r.key, What: "with its aliases much longer than it is: write it out, or use " + DefaultsKey}}
	case r.more > 0:
		all = append(all, Mistake{Path: r.key, What: fmt.Sprintf("and %d more mistakes", r.more)})
	}
	if len(all) == 0 {
		return nil
	}
	return all
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
		m := checkSyntax(value, r.rules.prefixes)
		whole.line = m.Line
		r.wrong(whole, "%s", m.What)
	case len(documents) > 1:
		whole.line = documents[1].Line
		r.wrong(whole, "several YAML documents: %s", wantScanner)
	case len(documents) == 1:
		return documents[0]
	}
	return nil
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
	// also are other names that people try.
	also []string
	// parts are the fields of the map that it is, or of its entries, which people write beside it.
	parts []string
}

func names[T any](fields []field[T]) []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	return names
}

// nobodys is the name under which read returns a field that nobody knows.
const nobodys = ""

// read reads a map of fields, in the order of the text. It returns those that are there, also the wrong ones, and
// those that a misspelt one was meant to be.
func read[T any](r *reader, at place, fields []field[T], into *T) map[string]place {
	given := make(map[string]place)
	if at.node.Kind != yaml.MappingNode {
		r.wrong(at, "want a map of fields: %s", strings.Join(names(fields), ", "))
		return given
	}
	pairs := r.pairs(at, 0)
	for _, p := range pairs {
		i := slices.IndexFunc(fields, func(f field[T]) bool { return f.name == p.name })
		switch {
		case p.mistake != "":
			r.wrong(p.place, "%s", p.mistake)
			given[nobodys] = p.place
		case i < 0:
			given[stranger(r, p, pairs, fields)] = p.place
		case !absent(p.node):
			given[p.name] = p.place
			before := r.found()
			r.unquoted = false
			fields[i].read(r, into, p.place)
			if r.unquoted && r.found() == before { // else quotes would not help
				r.wrong(p.place, "want a text; put it into quotes")
			}
			r.unquoted = false
		}
	}
	return given
}

// offer is a name that may have been meant, and the field that it stands for.
type offer struct{ name, field string }

// offers are what may have been meant by a name that nobody knows: fields, then what people try in their place, then
// parts of fields.
func offers[T any](fields []field[T]) [3][]offer {
	var all [3][]offer
	for _, f := range fields {
		all[0] = append(all[0], offer{f.name, f.name})
		for _, name := range f.also {
			all[1] = append(all[1], offer{name, f.name})
		}
		for _, part := range f.parts {
			all[2] = append(all[2], offer{part[strings.LastIndexByte(part, '.')+1:], part})
		}
	}
	return all
}

// meant returns the field that was probably meant by a name; empty when none. Letter by letter comes before nearly so.
func meant(name string, all [3][]offer) string {
	for _, like := range []func(string, []string) string{exactly, nearest} {
		for _, offers := range all {
			var known []string
			for _, o := range offers {
				known = append(known, o.name)
			}
			if found := like(name, known); found != "" {
				return offers[slices.Index(known, found)].field
			}
		}
	}
	return ""
}

// dotted returns how a part of a field is written that was named with a dot, as people speak of it; empty where none was.
func dotted[T any](name string, fields []field[T]) string {
	var spoken, written []string
	for _, f := range fields {
		for _, part := range f.parts {
			of, part, _ := strings.Cut(part, ".")
			spoken = append(spoken, f.name+"."+part)
			if strings.HasSuffix(of, "[]") {
				written = append(written, f.name+": [{"+part+": …}]")
			} else {
				written = append(written, f.name+": {"+part+": …}")
			}
		}
	}
	if !strings.Contains(name, ".") {
		return ""
	}
	if i := slices.Index(spoken, nearest(name, spoken)); i >= 0 {
		return written[i]
	}
	return ""
}

// stranger notes that nobody knows a field, and returns the one that was probably meant in its place, or nobodys.
func stranger[T any](r *reader, p pair, beside []pair, fields []field[T]) string {
	if len(r.mistakes) == mistakeLimit { // nobody reads what was meant
		r.more++
		return nobodys
	}
	if part := dotted(p.name, fields); part != "" {
		of, _, _ := strings.Cut(part, ":")
		r.wrong(p.place, "no such field; did you mean %s?", part)
		return of
	}
	field := meant(p.name, offers(fields))
	switch {
	case field == "":
		r.wrong(p.place, "no such field; want one of %s", strings.Join(names(fields), ", "))
	case slices.ContainsFunc(beside, func(o pair) bool { return o.name == field }):
		r.wrong(p.place, "no such field, and %s stands there too: take one of the two out", field)
		return nobodys
	default:
		r.wrong(p.place, "no such field; did you mean %s?", field)
	}
	return field
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

// text returns a text without the white space around it, and whether it is one. What is written without the quotes that
// would make it one counts, because another mistake may be in it too; read says so where there is none.
func (r *reader) text(at place) (string, bool) {
	switch {
	case at.node.Kind == yaml.MappingNode:
		r.wrong(at, "want a text, not a map")
	case at.node.Kind == yaml.SequenceNode:
		r.wrong(at, "want a text, not a list")
	case at.node.Style&yaml.TaggedStyle != 0 && at.node.ShortTag() != "!!str":
		r.wrong(at, "want a text without a tag, which ! begins; one that begins with ! needs quotes")
	default:
		// The library takes a day for more than a text.
		if tag := at.node.ShortTag(); tag != "!!str" && tag != "!!timestamp" {
			r.unquoted = true
		}
		return strings.TrimSpace(at.node.Value), true
	}
	return "", false
}

// flag is a field that is true or false.
func flag[T any](of func(*T) *bool) func(*reader, *T, place) {
	return func(r *reader, into *T, at place) {
		n := at.node
		is, not := strings.EqualFold(n.Value, "true"), strings.EqualFold(n.Value, "false")
		switch {
		case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && (is || not):
			*of(into) = is
		case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && (is || not):
			r.wrong(at, "want true or false, without quotes")
		default:
			r.wrong(at, "want true or false")
		}
	}
}
