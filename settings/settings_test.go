package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/quay/claircore"
	"sigs.k8s.io/yaml"
)

const (
	webhook      = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
	otherWebhook = "https://hooks.slack.com/services/T00000000/B00000000/YYYYYYYYYYYYYYYYYYYYYYYY"
)

// rules allow Slack's own host alone, as the daemon does by default.
var rules = Rules{Webhook: func(address string) error {
	if !strings.HasPrefix(address, "https://hooks.slack.com/") {
		return errors.New("the webhook's host is not allowed")
	}
	return nil
}}

// parse reads a fixture as the value of the key shop.
func parse(t *testing.T, fixture string) ([]Scanner, error) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", fixture))
	if err != nil {
		t.Fatal(err)
	}
	settings, mistakes := Parse(map[string]string{"shop": string(b)}, rules)
	if _, ok := settings["shop"]; !ok || len(settings) != 1 || len(settings["shop"]) > 0 && len(mistakes) > 0 {
		t.Fatalf("a key is among the settings, without Scanners if it has a mistake: %v, %v", settings, mistakes)
	}
	return settings["shop"], mistakes["shop"]
}

// scanner is a Scanner that says no more than it must.
func scanner(name, clair, webhook string) Scanner {
	return Scanner{Name: name, Backend: "clair", Notifier: "slack", ClairBaseURL: clair, SlackWebhookURL: NewSecret(webhook),
		Rules: findings.Rules{UnknownAs: claircore.Medium},
		Tell:  Tell{Report: true, Disclosed: true, Removed: true, Failed: true},
		Look:  Look{Init: true, Ephemeral: true, Volumes: true, Finished: true}}
}

func TestParse(t *testing.T) {
	ruled := func(name string, least, unknownAs findings.Severity) Scanner {
		s := scanner(name, "http://clair.clair:6000/", webhook)
		s.Rules = findings.Rules{MinSeverity: least, UnknownAs: unknownAs}
		return s
	}
	telling := func(name string, withdrawn bool) Scanner {
		s := scanner(name, "http://clair.clair:6000/", webhook)
		s.Tell.Withdrawn = withdrawn
		return s
	}
	file := func(name, file string) Scanner {
		s := scanner(name, "http://clair.clair:6000/", "")
		s.SlackWebhookFile = file
		return s
	}
	everything := scanner("on-call", "http://clair.clair:6000/", webhook)
	everything.Rules = findings.Rules{MinSeverity: claircore.High, UnknownAs: claircore.Low, OnlyFixable: true, Ignore: []findings.Ignore{
		{ID: "CVE-2023-4911", Package: "glibc", Image: "shop/*", Reason: "not reachable, as the team has found", Until: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)},
		{ID: "cve-2024-1", Until: time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC)},
		{Package: "linux-libc-dev", Until: time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)},
	}}
	everything.Tell, everything.Look = Tell{Indexed: true, Withdrawn: true}, Look{OptOut: true}
	base := ruled("default", claircore.Low, claircore.Medium)
	base.Tell.Indexed = true
	merged, aliases := base, base
	merged.Name, merged.Rules.MinSeverity = "merged", claircore.High
	aliases.Name, aliases.Rules.OnlyFixable = "aliases", true
	for fixture, want := range map[string][]Scanner{
		"everything.yaml":           {everything},
		"as-if-not-there.yaml":      {scanner("default", "http://clair.clair:6000/", webhook)},
		"anchors.yaml":              {base, merged, aliases},
		"yes-and-no.yaml":           {scanner("no", "http://clair.clair:6000/", webhook)},
		"webhook-file.yaml":         {file("own", "shop"), file("dots", "Team_A.on-call.v2")},
		"opted-out.yaml":            nil,
		"opted-out-comments.yaml":   nil,
		"opted-out-document.yaml":   nil,
		"opted-out-empty-list.yaml": nil,
		"opted-out-null.yaml":       nil,
		"one.yaml":                  {scanner("default", "http://clair.clair:6000/", webhook)},
		"list.yaml": {
			scanner("default", "http://clair.clair:6000/", webhook),
			scanner("audit", "https://clair.example.com/v4/", otherWebhook),
		},
		"list-of-one.yaml":   {scanner("default", "http://[fd00::1]:6000/clair/", webhook)},
		"address-space.yaml": {scanner("default", "http://clair.clair:6000/", webhook)},
		"tell.yaml":          {telling("loud", true), telling("quiet", false), telling("empty", false)},
		"severities.yaml": {
			ruled("least", claircore.High, claircore.Medium),
			ruled("unknown", claircore.Unknown, claircore.Critical),
			ruled("both", claircore.Negligible, claircore.Low),
			ruled("quiet", claircore.Medium, claircore.Unknown),
			ruled("empty", claircore.Unknown, claircore.Medium),
		},
	} {
		t.Run(fixture, func(t *testing.T) {
			got, err := parse(t, fixture)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got, want, Scanner.Equal) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestMistakes reads the fixtures that are refused. Beside each stands what its author reads.
func TestMistakes(t *testing.T) {
	texts, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range texts {
		fixture := strings.TrimSuffix(filepath.Base(file), ".txt") + ".yaml"
		t.Run(fixture, func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, mistake := parse(t, fixture)
			if mistake == nil {
				t.Fatal("was taken")
			}
			if got := mistake.Error() + "\n"; got != string(want) {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
			betrays(t, mistake)
		})
	}
}

// betrays fails the test if an error holds any part of a webhook's path.
func betrays(t *testing.T, err error) {
	t.Helper()
	for _, secret := range []string{"XXXXXXXXXXXXXXXXXXXXXXXX", "T00000000", "B00000000", "services/T"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows %q: %s", secret, err)
		}
	}
}

// A fixture is one or the other: TestParse has its Scanners, or it is refused and has a text.
func TestEveryFixtureIsUsed(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		_, err := os.Stat(strings.TrimSuffix(f, ".yaml") + ".txt")
		refused := err == nil
		if _, mistake := parse(t, filepath.Base(f)); refused != (mistake != nil) {
			t.Errorf("%s has a text: %v; its mistake: %v", f, refused, mistake)
		}
	}
}

func TestKeys(t *testing.T) {
	value, err := os.ReadFile("testdata/one.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const form = "a key is the name of a namespace: at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"
	const field = "this is a field of a Scanner: indent it below its namespace"
	const under = "_al: the only keys that begin with _ are _all and _defaults; any other is the name of a namespace"
	for key, want := range map[string]string{
		"shop":                  "",
		"a":                     "",
		"0-a":                   "",
		strings.Repeat("a", 63): "",
		strings.Repeat("a", 64): "(not shown): " + form,
		"":                      "(not shown): " + form,
		"Shop":                  `Shop: ` + form,
		"shop.yaml":             `shop.yaml: ` + form,
		"-shop":                 `-shop: ` + form,
		"shop-":                 `shop-: ` + form,
		webhook:                 "(not shown): " + form,
		"clairBaseUrl":          "clairBaseUrl: " + field,
		"webhookUrl":            "webhookUrl: " + field, // which was meant to be one
		"ignore":                "",
		"_all":                  "",
		"_al":                   under + "; did you mean _all?",
		"_ALL":                  strings.Replace(under, "_al", "_ALL", 1) + "; did you mean _all?",
		"_default":              strings.Replace(under, "_al", "_default", 1) + "; did you mean _defaults?",
		"_other":                strings.Replace(under, "_al", "_other", 1),
		"_" + webhook:           "(not shown): the only keys that begin with _ are _all and _defaults; any other is the name of a namespace",
	} {
		settings, mistakes := Parse(map[string]string{key: string(value)}, rules)
		got := ""
		if err := mistakes[key]; err != nil {
			got = err.Error()
		}
		if got != want || (len(settings) == 1) != (want == "") {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}

// A namespace can be called like a field. Where it has a mistake, the field may be what was meant.
func TestFieldAsKey(t *testing.T) {
	const hint = ": this is a field of a Scanner too: if it is meant as that, indent it below its namespace"
	for key, c := range map[string]struct{ value, want string }{
		"backend": {"clair", "backend (line 1): neither a map nor a list: " + wantScanner + "\nbackend" + hint},
		"tell":    {required + "removed: false", "tell.removed (line 3): no such field; did you mean tell.removed?\ntell" + hint},
		"look":    {required, ""},
		"name":    {"", ""},
	} {
		_, mistakes := Parse(map[string]string{key: c.value}, rules)
		got := ""
		if err := mistakes[key]; err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", key, got, c.want)
		}
	}
	_, mistakes := Parse(map[string]string{DefaultsKey: "minSeverity: Hgh", "look": "minSeverity: Low"}, rules)
	if err := mistakes["look"]; err == nil || strings.Contains(err.Error(), "no such field") || !strings.HasSuffix(err.Error(), hint) {
		t.Errorf("what it lacks is a mistake too: %v", err)
	}
}

// What is found out later about a Scanner that could be read is said with its line, if that is its own.
func TestLinesOfAScanner(t *testing.T) {
	data := map[string]string{
		DefaultsKey: "# all\nclairBaseUrl: http://clair/\nslackWebhookFile: all\nignore:\n- id: A\n# why\n- id: B\n",
		"one":       "\nslackWebhookFile: one\ntell: {removed: false}\n",
		"list":      "- name: a\n- name: b\n  slackWebhookFile: b\n  ignore: [{id: A},\n    {id: B}]\n- name: c\n  slackWebhookUrl: " + webhook,
	}
	s := must(t, data)
	s[DefaultsKey] = []Scanner{Inherited(data, rules)}
	for want, got := range map[string]Mistake{
		"one.slackWebhookFile (line 2): x":       s["one"][0].WebhookMistake("x"),
		"one.tell (line 3): x":                   s["one"][0].TellMistake("x"),
		"one.ignore[1]: x":                       s["one"][0].IgnoreMistake(1, "x"),
		"list[0].slackWebhookFile: x":            s["list"][0].WebhookMistake("x"),
		"list[0].tell: x":                        s["list"][0].TellMistake("x"),
		"list[1].slackWebhookFile (line 3): x":   s["list"][1].WebhookMistake("x"),
		"list[1].ignore[1] (line 5): x":          s["list"][1].IgnoreMistake(1, "x"),
		"list[2].slackWebhookUrl (line 7): x":    s["list"][2].WebhookMistake("x"),
		"_defaults.ignore[1] (line 7): x":        s[DefaultsKey][0].IgnoreMistake(1, "x"),
		"_defaults.slackWebhookFile (line 3): x": s[DefaultsKey][0].WebhookMistake("x"),
	} {
		if got.Error() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	moved := must(t, map[string]string{DefaultsKey: "\n\n" + data[DefaultsKey], "one": "# moved\n" + data["one"]})
	if !moved["one"][0].Equal(s["one"][0]) {
		t.Error("a line more is a change")
	}
}

func TestKeysStandForThemselves(t *testing.T) {
	read := func(f string) string {
		b, err := os.ReadFile(filepath.Join("testdata", f))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	data := map[string]string{"good": read("one.yaml"), "bad": read("not-yaml.yaml"), "worse": read("unknown-backend.yaml"), "two": read("list.yaml")}
	settings, mistakes := Parse(data, rules)
	for key, n := range map[string]int{"good": 1, "two": 2, "bad": 0, "worse": 0} {
		if got, ok := settings[key]; len(got) != n || !ok {
			t.Errorf("%s has %v, %v; want %d Scanners", key, got, ok, n)
		}
	}
	if got, want := mistakes.Keys(), []string{"bad", "worse"}; !slices.Equal(got, want) {
		t.Errorf("mistakes of %v, want %v", got, want)
	}
}

func TestNoData(t *testing.T) {
	settings, mistakes := Parse(nil, Rules{})
	if len(settings) != 0 || len(mistakes) != 0 {
		t.Errorf("got %v, %v of nothing", settings, mistakes)
	}
}

func TestNoRuleAllowsAnyWebhook(t *testing.T) {
	settings, mistakes := Parse(map[string]string{"shop": "{clairBaseUrl: 'http://clair/', slackWebhookUrl: 'https://chat.example.com/x'}"}, Rules{})
	if len(settings) != 1 {
		t.Error(mistakes)
	}
}

// A webhook of a host that the daemon's configuration allows is one wherever it stands.
func TestWebhookOfAnotherHost(t *testing.T) {
	const address = "https://chat.example.com/hooks/xnesm3k8kiyy5gq7b1f4zt9rwo"
	rules := Rules{Webhook: func(address string) error {
		if !strings.HasPrefix(address, "https://chat.example.com/") {
			return errors.New("the webhook's host is not allowed")
		}
		return nil
	}}
	const belongs = "this is the address of a webhook, which belongs under slackWebhookUrl: want "
	for value, want := range map[string]string{
		"clairBaseUrl: " + address + "\nslackWebhookUrl: http://clair.clair:6000/": "shop.clairBaseUrl (line 1): " + belongs + "an address such as http://clair.clair:6000/\n" +
			"shop.slackWebhookUrl (line 2): the webhook's host is not allowed",
		"clairBaseUrl: http://clair/\nslackWebhookFile: " + address:           "shop.slackWebhookFile (line 2): " + belongs + "the name of the file that holds it",
		"clairBaseUrl: https://example.com/\nslackWebhookUrl: " + address:     "",
		"clairBaseUrl: https://example.com/\nslackWebhookFile: chat":          "",
		"clairBaseUrl: http://clair/\nminSeverity: " + address:                `shop.minSeverity (line 2): what stands there is not known, and not shown; want one of Unknown, Negligible, Low, Medium, High, Critical` + "\n" + lacksWebhook,
		"clairBaseUrl: http://clair/\nxnesm3k8kiyy5gq7b1f4zt9rwo: " + address: "shop.(not shown) (line 2): no such field; want one of " + strings.Join(names(scannerFields), ", ") + "\n" + lacksWebhook,
	} {
		got := refused(value, rules)
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", value, got, want)
		}
		if strings.Contains(got, "xnesm") {
			t.Errorf("%q is shown: %s", address, got)
		}
	}
}

const lacksWebhook = "shop.slackWebhookUrl (line 1): missing: want the address of an incoming webhook, https://hooks.slack.com/services/…, or slackWebhookFile"

func TestSecretIsNeverPrinted(t *testing.T) {
	s := Scanner{SlackWebhookURL: NewSecret(webhook)}
	hidden := struct{ settings Settings }{Settings{"shop": {s}}}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "scanner", s, "secret", s.SlackWebhookURL)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "scanner", s, "secret", s.SlackWebhookURL)
	inJSON, err := json.Marshal(map[string]any{"scanner": s, "list": []Secret{s.SlackWebhookURL}, "key": map[Secret]int{s.SlackWebhookURL: 1}})
	if err != nil {
		t.Fatal(err)
	}
	inYAML, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{log.String(), string(inJSON), string(inYAML), s.SlackWebhookURL.String(), fmt.Errorf("x: %v", s).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%f", "%p", "%c", "%U", "%e", "%10.3s"} {
		printed = append(printed, fmt.Sprintf(verb, s.SlackWebhookURL), fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, []Scanner{s}), fmt.Sprintf(verb, hidden))
	}
	hex := fmt.Sprintf("%x", webhook)
	for _, p := range printed {
		if strings.Contains(p, "hooks.slack") || strings.Contains(strings.ToLower(p), hex) || strings.Contains(p, "htt") {
			t.Errorf("printed: %s", p)
		}
	}
	if s.SlackWebhookURL.Reveal() != webhook {
		t.Error("Reveal does not reveal")
	}
}

// FuzzParse: whatever stands under one key, nothing panics, another key is not touched, what is taken is
// complete, and no error shows a webhook wherever it stands.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		before, after, _ := strings.Cut(string(b), webhook)
		f.Add(before, after)
	}
	for _, around := range []string{"*", "&", "!", "!!", "- ", "? ", "? - ", "{", "[", "|\n ", "%", "@", "`", "'", `"\`, "a: &x ", "<<: ", "&a {<<: *a, b: ", "ignore: [{id: "} {
		f.Add(around, "")
		f.Add(around, around)
	}
	good, err := os.ReadFile("testdata/one.yaml")
	if err != nil {
		f.Fatal(err)
	}
	want, _ := Parse(map[string]string{"good": string(good)}, rules)
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "https://hooks.slack.com/services/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"
		text := before + secret + after
		settings, mistakes := Parse(map[string]string{"good": string(good), "shop": text, AllKey: text}, rules)
		if !slices.EqualFunc(settings["good"], want["good"], Scanner.Equal) || mistakes["good"] != nil {
			t.Errorf("another key was touched: %v, %v", settings["good"], mistakes["good"])
		}
		inherited, inheriting := Parse(map[string]string{"good": string(good), DefaultsKey: text}, rules)
		if got := inheriting["good"]; inheriting[DefaultsKey] == nil && got != nil || inheriting[DefaultsKey] != nil && !errors.Is(got, ErrDefaults) {
			t.Errorf("%v inherits %v", got, inheriting[DefaultsKey])
		}
		for _, all := range []Mistakes{mistakes, inheriting} {
			for _, key := range all.Keys() {
				for part := range strings.SplitSeq(strings.TrimPrefix(secret, "https://hooks.slack.com/services/"), "/") {
					if strings.Contains(all[key].Error(), part) {
						t.Errorf("the error shows %q: %s", part, all[key])
					}
				}
				if strings.Contains(all[key].Error(), "\n\n") {
					t.Errorf("a mistake of %s has no line: %q", key, all[key])
				}
			}
		}
		for _, s := range []Settings{settings, inherited} {
			for key, scanners := range s {
				complete(t, key, scanners)
			}
		}
		if _, ok := settings["shop"]; !ok || mistakes["shop"] != nil && len(settings["shop"]) > 0 {
			t.Errorf("got %v with the mistake %v", settings["shop"], mistakes["shop"])
		}
	})
}

// complete fails the test if the Scanners of a key lack what every Scanner has.
func complete(t *testing.T, key string, scanners []Scanner) {
	t.Helper()
	names := make(map[string]bool)
	for _, s := range scanners {
		if s.Backend != BackendClair || s.Notifier != NotifierSlack || names[s.Name] || s.Name == "" ||
			!strings.HasSuffix(s.ClairBaseURL, "/") || max(s.Rules.MinSeverity, s.Rules.UnknownAs) > claircore.Critical {
			t.Errorf("%s: taken: %+v", key, s)
		}
		if again, err := BaseURL(s.ClairBaseURL); err != nil || again != s.ClairBaseURL {
			t.Errorf("%q is written %q (%v) the second time", s.ClairBaseURL, again, err)
		}
		if address := s.SlackWebhookURL.Reveal(); (address == "") == (s.SlackWebhookFile == "") || address != "" && rules.Webhook(address) != nil {
			t.Errorf("%s: has not one webhook: %+v", key, s)
		}
		if name := s.SlackWebhookFile; name != "" && (!filepath.IsLocal(name) || filepath.Base(name) != name) {
			t.Errorf("%s: the file %q is not one of the folder", key, name)
		}
		for _, i := range s.Rules.Ignore {
			if _, err := path.Match(i.Image, ""); err != nil || i.ID == "" && i.Package == "" || i.Until.Location() != time.UTC {
				t.Errorf("%s: taken: %+v", key, i)
			}
		}
		names[s.Name] = true
	}
}
