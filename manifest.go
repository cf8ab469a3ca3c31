package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/settings"
)

// manifestLimit bounds a file with settings, in bytes. A ConfigMap has at most a mebibyte.
const manifestLimit = 4 << 20

// manifest is what a file says of the settings ConfigMap.
type manifest struct {
	// name is that of the ConfigMap; empty: it has none, as where there is its data alone.
	name string
	data map[string]string
	// values say how each key's value is written, as far as that is known.
	values map[string]writtenValue
}

// writtenValue is how the value of a key is written in a file.
type writtenValue struct {
	// line is where its key stands in the file, from 1; 0: it is not known.
	line int
	// before is the line of the file before the first one of its text; 0: its lines are not those of the file.
	before int
	// none: there is no value, or it is null.
	none bool
	// folded: > makes one line of several.
	folded bool
	// noText: it is a map, a list or a number. What the key has in data is that in YAML, without the lines.
	noText bool
}

// configMapFields are those that a ConfigMap has.
var configMapFields = [...]string{"apiVersion", "kind", "metadata", "data", "binaryData", "immutable"}

// readManifest reads the data of a ConfigMap: that of the name where there are several in the file, or the bare data.
// Its errors repeat nothing of the text, which holds webhooks.
func readManifest(from io.Reader, name string) (manifest, error) {
	text, err := io.ReadAll(io.LimitReader(from, manifestLimit+1))
	switch {
	case err != nil:
		return manifest{}, fmt.Errorf("it cannot be read: %w", err)
	case len(text) > manifestLimit:
		return manifest{}, fmt.Errorf("it has more than %d MiB: want the YAML of a ConfigMap", manifestLimit>>20)
	}
	var found []configMap
	empty := true
	for _, document := range documentsOf(string(text)) {
		m, err := document.configMap()
		if err != nil {
			return manifest{}, err
		}
		empty = empty && m == nil
		if m != nil && m.Kind == "ConfigMap" {
			found = append(found, *m)
		}
	}
	if empty {
		return manifest{}, errors.New("it is empty: want the YAML of a ConfigMap, or its data")
	}
	if len(found) == 0 {
		return manifest{}, fmt.Errorf("there is no ConfigMap in it: want one, or among several one that is called %s", name)
	}
	if len(found) > 1 {
		found = slices.DeleteFunc(found, func(m configMap) bool { return m.Metadata.Name != name })
	}
	if len(found) != 1 {
		return manifest{}, fmt.Errorf("want one ConfigMap, or one that is called %s (settings)", name)
	}
	m := manifest{name: found[0].Metadata.Name, data: make(map[string]string, len(found[0].Data)), values: found[0].document.values(found[0].bare)}
	for key, raw := range found[0].Data {
		var value string
		v := m.values[key]
		v.none = string(raw) == "null"
		if json.Unmarshal(raw, &value) != nil {
			value, v.noText = string(raw), true
		}
		m.data[key], m.values[key] = value, v
	}
	return m, nil
}

// document is one of a file's YAML documents.
type document struct {
	text   string
	before int // lines of the file before it
}

var documentEnd = regexp.MustCompile(`(?m)^(?:---|\.\.\.)(?:[ \t].*)?\r?$`)

// documentsOf returns the documents of a file.
func documentsOf(text string) []document {
	var all []document
	start := 0
	for _, end := range append(documentEnd.FindAllStringIndex(text, -1), []int{len(text), len(text)}) {
		all = append(all, document{text: text[start:end[0]], before: strings.Count(text[:start], "\n")})
		start = end[1]
	}
	return all
}

// configMap is a document that may be one.
type configMap struct {
	Kind     string                     `json:"kind"`
	Metadata struct{ Name string }      `json:"metadata"`
	Data     map[string]json.RawMessage `json:"data"`

	document document
	bare     bool // it is the data alone
}

// configMap reads a document as kubectl does; nil where there is nothing but comments.
func (d document) configMap() (*configMap, error) {
	asJSON, err := yaml.YAMLToJSONStrict([]byte(d.text))
	if err != nil {
		return nil, d.notYAML(err)
	}
	var values map[string]json.RawMessage
	switch {
	case bytes.Equal(asJSON, []byte("null")):
		return nil, nil
	case json.Unmarshal(asJSON, &values) != nil:
		return nil, errors.New("it is no map: want the YAML of a ConfigMap, or its data")
	}
	m := &configMap{document: d}
	_, hasKind := values["kind"]
	_, hasData := values["data"]
	switch {
	case !hasKind && !(hasData && len(values) == 1 && values["data"][0] == '{'):
		m.Kind, m.Data, m.bare = "ConfigMap", values, true
	case json.Unmarshal(asJSON, m) != nil:
		return nil, errors.New("it is no manifest: want the YAML of a ConfigMap, or its data")
	case !hasKind:
		m.Kind = "ConfigMap"
	}
	if hasKind && m.Kind == "ConfigMap" {
		for _, field := range slices.Sorted(maps.Keys(values)) {
			if !slices.Contains(configMapFields[:], field) {
				return nil, fmt.Errorf("%s: no such field of a ConfigMap; the keys of namespaces belong under data", printableKey(field))
			}
		}
	}
	return m, nil
}

// nodes are what a document holds, with its lines; nil where that cannot be known.
func (d document) nodes() (root *yamlv3.Node) {
	defer func() {
		if recover() != nil { // the library has had texts at which it panics
			root = nil
		}
	}()
	root = new(yamlv3.Node)
	if yamlv3.Unmarshal([]byte(d.text), root) != nil {
		return nil
	}
	return root
}

// twice returns the key that stands in a line for the second time in a map, and the line of the first; 0: there is none.
func (d document) twice(line int) (key string, first int) {
	root := d.nodes()
	if root == nil {
		return "", 0
	}
	left := []*yamlv3.Node{root}
	for len(left) > 0 {
		n := left[len(left)-1]
		left = append(left[:len(left)-1], n.Content...)
		if n.Kind != yamlv3.MappingNode {
			continue
		}
		lines := make(map[string]int)
		for at := n.Content; len(at) >= 2; at = at[2:] {
			key := at[0]
			if key.Kind != yamlv3.ScalarNode {
				continue
			}
			before, twice := lines[key.Value]
			if twice && key.Line == line {
				return key.Value, before
			}
			if !twice {
				lines[key.Value] = key.Line
			}
		}
	}
	return "", 0
}

// values say how the values of a ConfigMap are written; bare: the document is its data alone.
func (d document) values(bare bool) map[string]writtenValue {
	values := make(map[string]writtenValue)
	root := d.nodes()
	if root == nil || len(root.Content) == 0 {
		return values
	}
	data := root.Content[0]
	if !bare {
		for at := data.Content; len(at) >= 2; at = at[2:] {
			if at[0].Value == "data" {
				data = at[1]
			}
		}
	}
	if data.Kind != yamlv3.MappingNode {
		return values
	}
	for at := data.Content; len(at) >= 2; at = at[2:] {
		v, value := writtenValue{line: d.before + at[0].Line}, at[1]
		switch {
		case value.Style&yamlv3.LiteralStyle != 0:
			v.before = d.before + value.Line
		case value.Style&yamlv3.FoldedStyle != 0:
			v.folded = true
		case value.Kind == yamlv3.ScalarNode && !strings.Contains(value.Value, "\n"):
			v.before = d.before + value.Line - 1
		}
		values[at[0].Value] = v
	}
	return values
}

var lineNumber = regexp.MustCompile(`line (\d{1,9})`)

// notYAML says where a document is no YAML, and of what is there nothing but the name of a key.
func (d document) notYAML(err error) error {
	if m := settings.CheckSyntax(d.text); m != nil {
		return fmt.Errorf("line %d: %s", d.before+m.Line, m.What)
	}
	at := lineNumber.FindStringSubmatch(err.Error())
	if at == nil {
		return errors.New("it is no valid YAML")
	}
	line, _ := strconv.Atoi(at[1]) // of digits
	if strings.Contains(err.Error(), "already set in map") {
		if key, first := d.twice(line); first > 0 {
			return fmt.Errorf("line %d: the key %s stands there twice, first in line %d", d.before+line, printableKey(key), d.before+first)
		}
		return fmt.Errorf("line %d: the key stands there twice", d.before+line)
	}
	return fmt.Errorf("it is no valid YAML, see line %d", d.before+line)
}
