package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/settings"
)

func TestReadManifest(t *testing.T) {
	const cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata:\n  %s: |\n    a: b\n"
	one, two := fmt.Sprintf(cm, "clairwatch", "shop"), fmt.Sprintf(cm, "other", "web")
	const want = "want one ConfigMap, or one that is called clairwatch (settings)"
	const none = "there is no ConfigMap in it: want one, or among several one that is called clairwatch"
	for text, want := range map[string]string{
		one:                 "shop",
		two:                 "web", // there is but one
		one + "---\n" + two: "shop",
		"---\n" + two + "---\n" + one + "...\n# end\n": "shop",
		"shop: |\n  a: b\nweb: ''\n":                   "shop web",
		"data:\n  shop: |\n    a: b\n":                 "shop",
		"data: |\n  a: b\n":                            "data", // a namespace of that name
		"data: a\nshop: b\n":                           "data shop",
		"{}":                                           "",
		one + "binaryData: {}\n":                       "shop",
		fmt.Sprintf(cm, "a", "shop") + "---\n" + two:   want,
		"":                                     "it is empty: want the YAML of a ConfigMap, or its data",
		" \n# nothing\n---\n":                  "it is empty: want the YAML of a ConfigMap, or its data",
		"kind: Secret\ndata: {}":               none,
		"kind: 5\n":                            "it is no manifest: want the YAML of a ConfigMap, or its data",
		"- a\n":                                "it is no map: want the YAML of a ConfigMap, or its data",
		"shop: " + webhookSecret + ": x\n":     "line 1: not valid YAML: a second colon: a text with a colon and a space in it needs quotes",
		"a: b\n\"" + webhookSecret + "\": [\n": "line 2: not valid YAML: a bracket, [ or {, that is not closed, or closes nothing",
		one + "---\na: b\n\tc: d\n":            "line 9: not valid YAML: a tab: indent with spaces",
		"a: b\na: c\n":                         "line 2: the key a stands there twice, first in line 1",
		"a: x\n---\n\na: b\na: c\n":            "line 5: the key a stands there twice, first in line 4",
		"a: x\n\"" + webhookSecret + "/\": b\n\"" + webhookSecret + "/\": c\n": "line 3: the key (not shown) stands there twice, first in line 2",
		one + "  web: ''\n  shop: x\n":                                         "line 8: the key shop stands there twice, first in line 5",
		strings.Repeat("#", manifestLimit+1):                                   "it has more than 4 MiB: want the YAML of a ConfigMap",
	} {
		m, err := readManifest(strings.NewReader(text), "clairwatch")
		got := strings.Join(slices.Sorted(maps.Keys(m.data)), " ")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.60q:\ngot  %q\nwant %q", text, got, want)
		}
	}
}

// FuzzReadManifest: whatever is in the file, an error repeats nothing of it.
func FuzzReadManifest(f *testing.F) {
	f.Add("kind: ConfigMap\ndata:\n  shop: ", "")
	f.Add("shop: {a: [", "}")
	f.Add("shop: &a ", " *a")
	f.Add("", ": |\n x")
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + webhookSecret + after
		m, err := readManifest(strings.NewReader(text), "clairwatch")
		if err != nil && (strings.Contains(err.Error(), webhookSecret) || m.data != nil) {
			t.Errorf("%v, %v", m, err)
		}
		for key, v := range m.values {
			// A key such as Y or 0x1 is called true or 1 in what is read, and nobody knows where that stands.
			if min(v.line, v.before) < 0 || max(v.line, v.before) > strings.Count(text, "\n")+strings.Count(text, "\r")+1 {
				t.Errorf("%q: %+v", key, v)
			}
		}
	})
}

// Where the text of a key has the lines of the file, a line of it is one of the file.
func TestReadManifestLines(t *testing.T) {
	const text = "minSeverity: Hgh\n\n# why\ncolour: red\n"
	indented := "    " + strings.ReplaceAll(text, "\n", "\n    ") + "\n"
	const head = "# of the shop\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: clairwatch\n\ndata:\n  # nobody\n  quiet: ''\n"
	for name, c := range map[string]struct {
		file string
		line int // of colour; 0: it is not known
	}{
		"literal":           {head + "  shop: |\n" + indented, 14},
		"stripped":          {head + "  shop: |-\n" + indented, 14},
		"kept":              {head + "  shop: |+\n" + indented + "\n\n", 14},
		"with a comment":    {head + "  shop: | # Jane\n" + indented, 14},
		"its own indent":    {head + "  shop: |2\n" + indented, 14},
		"further down":      {head + "  shop:\n    |\n" + indented, 15},
		"empty lines first": {head + "  shop: |\n\n\n" + indented, 16},
		"anchor":            {head + "  shop: &a |\n" + indented, 14},
		"quoted key":        {head + "  'shop': |\n" + indented, 14},
		"bare":              {"shop: |\n" + indented, 5},
		"bare data":         {"data:\n  shop: |\n" + indented, 6},
		"second document":   {"kind: Secret\n---\n" + head + "  shop: |\n" + indented, 16},
		"after a mark":      {"---\n" + head + "  shop: |\n" + indented, 15},
		"line ends of DOS":  {strings.ReplaceAll(head+"  shop: |\n"+indented, "\n", "\r\n"), 14},
		"folded":            {head + "  shop: >\n" + indented, 0},
		"quoted":            {head + "  shop: " + fmt.Sprintf("%q", text) + "\n", 0},
		"JSON":              {fmt.Sprintf(`{"kind": "ConfigMap", "data": {"shop": %q}}`, text), 0},
	} {
		m, err := readManifest(strings.NewReader(c.file), "clairwatch")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		v := m.values["shop"]
		if v.folded != (name == "folded") || v.noText {
			t.Errorf("%s: %+v", name, v)
		}
		_, wrong := settings.Parse(m.data, settings.Rules{})
		if v.before == 0 && c.line == 0 {
			continue
		}
		mistakes, ok := errors.AsType[settings.KeyError](wrong["shop"])
		if !ok || len(mistakes) != 4 || v.before+mistakes[1].Line != c.line {
			t.Errorf("%s: %+v, %v, want line %d", name, v, wrong["shop"], c.line)
		}
		if line := strings.Split(c.file, "\n")[v.line-1]; !strings.Contains(line, "shop") {
			t.Errorf("%s: its key is on the line %q", name, line)
		}
	}
}
