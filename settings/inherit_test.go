package settings

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

// must parses data that has no mistake.
func must(t *testing.T, data map[string]string) Settings {
	t.Helper()
	s, mistakes := Parse(data, rules)
	for _, key := range mistakes.Keys() {
		t.Fatal(mistakes[key])
	}
	return s
}

func TestOf(t *testing.T) {
	const one = "clairBaseUrl: http://clair.clair:6000/\nslackWebhookUrl: " + webhook
	const other = "clairBaseUrl: http://clair.clair:6000/\nslackWebhookUrl: " + otherWebhook
	for name, c := range map[string]struct {
		data map[string]string
		want string
	}{
		"a key of its own":                         {map[string]string{"shop": one, AllKey: other}, "shop"},
		"none of its own":                          {map[string]string{"blog": one, AllKey: other}, AllKey},
		"opted out":                                {map[string]string{"shop": "", AllKey: other}, ""},
		"opted out with a comment":                 {map[string]string{"shop": "# not us", AllKey: other}, ""},
		"opted out of nothing":                     {map[string]string{"shop": ""}, ""},
		"a mistake of its own is no absence":       {map[string]string{"shop": "backend: [clair", AllKey: other}, ""},
		"a mistake in all":                         {map[string]string{AllKey: "backend: [clair"}, ""},
		"an empty all":                             {map[string]string{AllKey: "\n"}, ""},
		"a mistake in all takes nothing from them": {map[string]string{"shop": one, AllKey: "backend: [clair"}, "shop"},
		"no key":        {map[string]string{"blog": one}, ""},
		"nothing":       {nil, ""},
		"only defaults": {map[string]string{DefaultsKey: one}, ""},
	} {
		s, _ := Parse(c.data, rules)
		key, scanners := s.Of("shop")
		if key != c.want || (len(scanners) > 0) != (key != "") || !slices.EqualFunc(scanners, s[key], Scanner.Equal) {
			t.Errorf("%s: got %q and %v, want %q", name, key, scanners, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	const defaults = `
clairBaseUrl: http://clair.clair:6000/
slackWebhookUrl: ` + webhook + `
minSeverity: High
onlyFixable: true
ignore: [{id: CVE-2023-4911}, {package: glibc}]
tell: {withdrawn: true, removed: false}
look: {finished: false}
`
	s := must(t, map[string]string{DefaultsKey: defaults, AllKey: "{}", "shop": `
- {}
- name: own
  clairBaseUrl: http://other.clair:6000/
  slackWebhookUrl: ` + otherWebhook + `
  minSeverity: unknown
  onlyFixable: false
  ignore: [{package: openssl}]
  tell: {removed: true, indexed: true}
  look: {init: false}
- name: file
  slackWebhookFile: shop
  ignore: []
- name: nothing
  minSeverity:
  ignore: null
  tell: {removed: null}
`})
	inherits := scanner("default", "http://clair.clair:6000/", webhook)
	inherits.Rules.MinSeverity, inherits.Rules.OnlyFixable = claircore.High, true
	inherits.Rules.Ignore = []findings.Ignore{{ID: "CVE-2023-4911"}, {Package: "glibc"}}
	inherits.Tell.Withdrawn, inherits.Tell.Removed = true, false
	inherits.Look.Finished = false
	own := scanner("own", "http://other.clair:6000/", otherWebhook)
	own.Rules.Ignore = []findings.Ignore{{Package: "openssl"}}
	own.Tell.Withdrawn, own.Tell.Indexed = true, true
	own.Look.Finished, own.Look.Init = false, false
	file, nothing := inherits, inherits
	file.Name, file.SlackWebhookURL, file.SlackWebhookFile, file.Rules.Ignore = "file", Secret{}, "shop", nil
	nothing.Name = "nothing"
	for key, want := range map[string][]Scanner{"shop": {inherits, own, file, nothing}, AllKey: {inherits}} {
		if !slices.EqualFunc(s[key], want, Scanner.Equal) {
			t.Errorf("%s:\n got %+v\nwant %+v", key, s[key], want)
		}
	}

	// The other way round.
	s = must(t, map[string]string{DefaultsKey: "slackWebhookFile: all", "shop": "{clairBaseUrl: 'http://clair/', slackWebhookUrl: '" + webhook + "'}"})
	if got, want := s["shop"], scanner("default", "http://clair/", webhook); len(got) != 1 || !got[0].Equal(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// Nothing to inherit.
	for _, empty := range []string{"", "# nothing", "{}", "~"} {
		s, mistakes := Parse(map[string]string{DefaultsKey: empty, "shop": "{}"}, rules)
		if got := mistakes["shop"]; len(mistakes) != 1 || got == nil || !strings.HasPrefix(got.Error(), "shop.clairBaseUrl (line 1): missing: ") || len(s["shop"]) > 0 {
			t.Errorf("%q: got %v, %v", empty, s, mistakes)
		}
	}
}

func TestMistakesInDefaults(t *testing.T) {
	for value, want := range map[string]string{
		"minSeverty: High":         `_defaults.minSeverty (line 1): no such field; did you mean minSeverity?`,
		"- minSeverity: High":      `_defaults (line 1): want one map of fields that every Scanner inherits`,
		webhook:                    `_defaults (line 1): want one map of fields that every Scanner inherits`,
		"tell: {}\nname: shop":     `_defaults.name (line 2): cannot be inherited: what a Scanner has told is remembered under its name`,
		"tell: [":                  `_defaults (line 1): not valid YAML: a bracket, [ or {, that is not closed, or closes nothing`,
		"slackWebhookUrl: http://": `_defaults.slackWebhookUrl (line 1): the webhook's host is not allowed`,
		"slackWebhookFile: shop\nslackWebhookUrl: " + webhook: `_defaults.slackWebhookUrl (line 2): stands beside slackWebhookFile: want one of the two`,
	} {
		_, mistakes := Parse(map[string]string{DefaultsKey: value}, rules)
		if got := mistakes[DefaultsKey]; got == nil || got.Error() != want || len(mistakes) != 1 {
			t.Errorf("%q:\n got %v\nwant %s", value, got, want)
		}
	}
}

// With a mistake in what they inherit no Scanners are what their author wanted, not even those that override it: every
// key waits, and says so in a way that can be told apart from a mistake of its own, of which all are told meanwhile.
func TestMistakeInDefaultsIsOfEveryKey(t *testing.T) {
	const one = "clairBaseUrl: http://clair.clair:6000/\nslackWebhookUrl: " + webhook
	const waits = "inherits from _defaults, which has a mistake"
	const lacksClair = "lacking.clairBaseUrl (line 1): missing: want an address such as http://clair.clair:6000/"
	const lacksWebhook = "lacking.slackWebhookUrl (line 1): missing: want the address of an incoming webhook, https://hooks.slack.com/services/…, or slackWebhookFile"
	const own = `own.minSeverity (line 3): "Hihg" is not known; want one of Unknown, Negligible, Low, Medium, High, Critical; did you mean High?` + "\n" +
		`own.tell (line 4): want a map of fields: indexed, report, disclosed, withdrawn, removed, failed`
	for defaults, lacking := range map[string]string{
		// It is known what is not inherited.
		"minSeverty: High": lacksClair + "\n" + lacksWebhook,
		"minSeverity: Hihg\nslackWebhookUrl: " + webhook: lacksClair,
		"clairBaseUrl: clair":                            lacksWebhook,
		"slackWebhookFile: ../shop":                      lacksClair,
		// It might be what has the mistake.
		"notifier: email\nclairUrl: http://clair/": "lacking: " + waits,
		"backend: trivy\nwebhook: " + webhook:      "lacking: " + waits,
		"colour: red":                              "lacking: " + waits,
		"? {a: b}\n: c":                            "lacking: " + waits,
		"tell: [":                                  "lacking: " + waits,
		"- {}":                                     "lacking: " + waits,
		"&a {<<: [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]}": "lacking: " + waits,
	} {
		s, mistakes := Parse(map[string]string{
			DefaultsKey: defaults, AllKey: one, "shop": one, "lacking": "minSeverity: High", "own": one + "\nminSeverity: Hihg\ntell: 1", "out": "",
		}, rules)
		for key, want := range map[string]string{AllKey: "_all: " + waits, "shop": "shop: " + waits, "lacking": lacking, "own": own} {
			got := mistakes[key]
			if got == nil || got.Error() != want || errors.Is(got, ErrDefaults) != strings.HasSuffix(want, waits) {
				t.Errorf("%q: %s: got %v, want %s", defaults, key, got, want)
			}
			if scanners, ok := s[key]; !ok || len(scanners) > 0 {
				t.Errorf("%q: %s: got %v, %v", defaults, key, scanners, ok)
			}
		}
		if got := mistakes.Keys(); !slices.Equal(got, []string{AllKey, DefaultsKey, "lacking", "own", "shop"}) {
			t.Errorf("%q: mistakes of %v", defaults, got)
		}
		if scanners, ok := s["out"]; !ok || len(scanners) > 0 {
			t.Errorf("%q: who has opted out has %v, %v", defaults, scanners, ok)
		}
		if _, ok := s[DefaultsKey]; ok {
			t.Error("the defaults are among the settings")
		}
	}
}

// TestNoKeyTouchesAnother: whatever stands under a key, what the others have is the same, to the letter of their
// mistakes.
func TestNoKeyTouchesAnother(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data := make(map[string]string)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		data[strings.TrimSuffix(filepath.Base(f), ".yaml")] = string(b)
	}
	data[DefaultsKey] = "look: {init: false}"
	together, mistakes := Parse(data, rules)
	if len(together) != len(files) || len(mistakes) < 20 {
		t.Fatalf("%d keys and %d mistakes of %d fixtures", len(together), len(mistakes), len(files))
	}
	for _, key := range slices.Sorted(maps.Keys(together)) {
		alone, mistake := Parse(map[string]string{DefaultsKey: data[DefaultsKey], key: data[key]}, rules)
		if !slices.EqualFunc(together[key], alone[key], Scanner.Equal) {
			t.Errorf("%s: has %v with others, %v alone", key, together[key], alone[key])
		}
		switch a, b := mistakes[key], mistake[key]; {
		case (a == nil) != (b == nil), a != nil && a.Error() != b.Error():
			t.Errorf("%s: has %v with others, %v alone", key, a, b)
		}
	}
}

// TestInherited has what every Scanner begins as.
func TestInherited(t *testing.T) {
	got := Inherited(map[string]string{DefaultsKey: "minSeverity: High\nlook: {init: false}\nignore: [{id: A}]", "shop": "minSeverity: Low"}, Rules{})
	want := defaults()
	want.Rules.MinSeverity, want.Rules.Ignore, want.Look.Init = claircore.High, []findings.Ignore{{ID: "A"}}, false
	if !got.Equal(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Inherited(nil, Rules{}); !got.Equal(defaults()) {
		t.Errorf("without any: got %+v", got)
	}
}
