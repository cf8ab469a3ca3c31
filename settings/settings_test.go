package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
	if len(settings)+len(mistakes) != 1 {
		t.Fatalf("a key must end among the settings or the mistakes: %v, %v", settings, mistakes)
	}
	return settings["shop"], mistakes["shop"]
}

func TestParse(t *testing.T) {
	scanner := func(name, clair, webhook string) Scanner {
		return Scanner{Name: name, Backend: "clair", Notifier: "slack", ClairBaseURL: clair, SlackWebhookURL: NewSecret(webhook),
			Rules: findings.Rules{UnknownAs: claircore.Medium}}
	}
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
	for fixture, want := range map[string][]Scanner{
		"one.yaml": {scanner("default", "http://clair.clair:6000/", webhook)},
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

// mistakes are the fixtures that are refused and what their author reads.
var mistakes = map[string]string{
	"address-empty-query.yaml":  `shop.clairBaseUrl: no query or fragment: want an address such as http://clair.clair:6000/`,
	"address-fragment.yaml":     `shop.clairBaseUrl: no query or fragment: want an address such as http://clair.clair:6000/`,
	"address-no-host.yaml":      `shop.clairBaseUrl: not an http or https address: want an address such as http://clair.clair:6000/`,
	"address-no-scheme.yaml":    `shop.clairBaseUrl: not an http or https address: want an address such as http://clair.clair:6000/`,
	"address-no-such-port.yaml": `shop.clairBaseUrl: no such port: want an address such as http://clair.clair:6000/`,
	"address-only-port.yaml":    `shop.clairBaseUrl: not an http or https address: want an address such as http://clair.clair:6000/`,
	"address-other-scheme.yaml": `shop.clairBaseUrl: not an http or https address: want an address such as http://clair.clair:6000/`,
	"address-query.yaml":        `shop.clairBaseUrl: no query or fragment: want an address such as http://clair.clair:6000/`,
	"address-user.yaml":         `shop.clairBaseUrl: user and password are not supported in the address: want an address such as http://clair.clair:6000/`,
	"anchor.yaml":               `shop: not valid YAML: unknown anchor …`,
	"bad-name.yaml":             `shop.name: want at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit`,
	"empty-list.yaml":           `shop: empty: want a Scanner such as {backend: clair, notifier: slack, clairBaseUrl: …, slackWebhookUrl: …}, or a list of them; remove the key to stop watching the namespace`,
	"empty.yaml":                `shop: empty: want a Scanner such as {backend: clair, notifier: slack, clairBaseUrl: …, slackWebhookUrl: …}, or a list of them; remove the key to stop watching the namespace`,
	"field-twice.yaml":          `shop: not valid YAML: line 4: the field "backend" stands there twice`,
	"list-of-texts.yaml": `shop[0]: want a map of fields: name, backend, notifier, clairBaseUrl, slackWebhookUrl, minSeverity, unknownAs, tell` + "\n" +
		`shop[1]: want a map of fields: name, backend, notifier, clairBaseUrl, slackWebhookUrl, minSeverity, unknownAs, tell` + "\n" +
		`shop[2]: want a map of fields: name, backend, notifier, clairBaseUrl, slackWebhookUrl, minSeverity, unknownAs, tell`,
	"not-yaml.yaml": `shop: not valid YAML: line 3: mapping values are not allowed in this context`,
	"nothing-required.yaml": `shop.clairBaseUrl: missing: want an address such as http://clair.clair:6000/` + "\n" +
		`shop.slackWebhookUrl: missing: want the address of an incoming webhook, https://hooks.slack.com/services/…`,
	"only-comments.yaml": `shop: empty: want a Scanner such as {backend: clair, notifier: slack, clairBaseUrl: …, slackWebhookUrl: …}, or a list of them; remove the key to stop watching the namespace`,
	"same-name.yaml":     `shop[1].name: "default" is the name of another Scanner here; give each its own`,
	"several-mistakes.yaml": `shop[0].backend: "trivy" is not known; want "clair"` + "\n" +
		`shop[0].clairBaseUrl: not an http or https address: want an address such as http://clair.clair:6000/` + "\n" +
		`shop[0].slackWebhookUrl: missing: want the address of an incoming webhook, https://hooks.slack.com/services/…` + "\n" +
		`shop[1].nmae: no such field; want one of name, backend, notifier, clairBaseUrl, slackWebhookUrl, minSeverity, unknownAs, tell`,
	"severity-wrong-type.yaml": `shop.minSeverity: want a text; put it into quotes` + "\n" +
		`shop.unknownAs: want a text; put it into quotes`,
	"severity-wrong.yaml": `shop[0].minSeverity: "Hihg" is not known; want one of Unknown, Negligible, Low, Medium, High, Critical` + "\n" +
		`shop[0].unknownAs: "igh" is not known; want one of Unknown, Negligible, Low, Medium, High, Critical` + "\n" +
		`shop[1].unknownAs: "(not shown)" is not known; want one of Unknown, Negligible, Low, Medium, High, Critical`,
	"tab.yaml": `shop: not valid YAML: line 2: found a tab character that violates indentation`,
	"tell-wrong.yaml": `shop[0].tell.everything: no such kind of news; want withdrawn` + "\n" +
		`shop[0].tell.(not shown): no such kind of news; want withdrawn` + "\n" +
		`shop[0].tell.withdrawn: want true or false` + "\n" +
		`shop[1].tell: want a map such as {withdrawn: true}` + "\n" +
		`shop[2].tell: want a map such as {withdrawn: true}`,
	"two-documents.yaml":   `shop: several YAML documents, of which only the first would count: want a Scanner such as {backend: clair, notifier: slack, clairBaseUrl: …, slackWebhookUrl: …}, or a list of them`,
	"unclosed-quote.yaml":  `shop: not valid YAML: line 2: found unexpected end of stream`,
	"unknown-backend.yaml": `shop.backend: "trivy" is not known; want "clair"`,
	"unknown-field.yaml": `shop.clairBaseURL: no such field; want one of name, backend, notifier, clairBaseUrl, slackWebhookUrl, minSeverity, unknownAs, tell` + "\n" +
		`shop.minSeverty: no such field; want one of name, backend, notifier, clairBaseUrl, slackWebhookUrl, minSeverity, unknownAs, tell` + "\n" +
		`shop.slackWebhook: no such field; want one of name, backend, notifier, clairBaseUrl, slackWebhookUrl, minSeverity, unknownAs, tell`,
	"unknown-notifier.yaml": `shop.notifier: "email" is not known; want "slack"`,
	"webhook-as-backend.yaml": `shop.backend: "(not shown)" is not known; want "clair"` + "\n" +
		`shop.notifier: "(not shown)" is not known; want "slack"`,
	"webhook-as-clair.yaml": `shop.clairBaseUrl: this is the address of a webhook, which belongs under slackWebhookUrl: want an address such as http://clair.clair:6000/` + "\n" +
		`shop.slackWebhookUrl: the webhook's host is not allowed`,
	"webhook-as-field-twice.yaml": `shop: not valid YAML: line 2: the field "(not shown)" stands there twice`,
	"webhook-as-field.yaml":       `shop.(not shown): no such field; want one of name, backend, notifier, clairBaseUrl, slackWebhookUrl, minSeverity, unknownAs, tell`,
	"webhook-as-tag.yaml":         `shop: not valid YAML: cannot decode !!str …`,
	"webhook-as-value.yaml":       `shop: neither a map nor a list: want a Scanner such as {backend: clair, notifier: slack, clairBaseUrl: …, slackWebhookUrl: …}, or a list of them`,
	"webhook-as-severity.yaml":    `shop.minSeverity: "(not shown)" is not known; want one of Unknown, Negligible, Low, Medium, High, Critical`,
	"webhook-in-map-key.yaml":     `shop: not valid YAML: invalid map key: map[interface {}]interface {}{…`,
	"webhook-not-allowed.yaml":    `shop.slackWebhookUrl: the webhook's host is not allowed`,
	"wrong-types.yaml": `shop.name: want a text; put it into quotes` + "\n" +
		`shop.backend: want a text; put it into quotes` + "\n" +
		`shop.clairBaseUrl: want a text; put it into quotes` + "\n" +
		`shop.slackWebhookUrl: want a text; put it into quotes`,
}

func TestMistakes(t *testing.T) {
	for fixture, want := range mistakes {
		t.Run(fixture, func(t *testing.T) {
			_, err := parse(t, fixture)
			if err == nil {
				t.Fatal("was taken")
			}
			if got := err.Error(); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
			betrays(t, err)
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

func TestEveryFixtureIsUsed(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	valid := []string{"one.yaml", "list.yaml", "list-of-one.yaml", "address-space.yaml", "severities.yaml", "tell.yaml"}
	for _, f := range files {
		f = filepath.Base(f)
		if _, ok := mistakes[f]; !ok && !slices.Contains(valid, f) {
			_, err := parse(t, f)
			t.Errorf("%s has no text: %v", f, err)
		}
	}
}

func TestKeys(t *testing.T) {
	value, err := os.ReadFile("testdata/one.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const form = "a key is the name of a namespace: at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"
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
		"_all":                  `_all: keys that begin with _ are reserved; a key is the name of a namespace`,
		"_defaults":             `_defaults: keys that begin with _ are reserved; a key is the name of a namespace`,
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
	if got, want := slices.Sorted(maps.Keys(settings)), []string{"good", "two"}; !slices.Equal(got, want) {
		t.Errorf("settings of %v, want %v", got, want)
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

func TestTooLong(t *testing.T) {
	value, err := os.ReadFile("testdata/one.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]string{
		valueLimit:     "",
		valueLimit + 1: "shop: longer than 256 KiB: want a Scanner or a short list of them",
	} {
		long := string(value) + "#" + strings.Repeat("x", size-len(value)-1)
		_, mistakes := Parse(map[string]string{"shop": long}, rules)
		if got := mistakes["shop"]; got == nil && want != "" || got != nil && got.Error() != want {
			t.Errorf("%d bytes: got %v, want %q", size, got, want)
		}
	}
}

// An alias that names an alias that names an alias must not become gigabytes.
func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 12 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	_, mistakes := Parse(map[string]string{"shop": b.String()}, rules)
	if got, want := fmt.Sprint(mistakes["shop"]), "shop: not valid YAML: document contains excessive aliasing"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

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
	for _, around := range []string{"*", "&", "!", "!!", "- ", "? ", "? - ", "{", "[", "|\n ", "%", "@", "`", "'", `"\"`, "a: &x ", "<<: "} {
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
		settings, mistakes := Parse(map[string]string{"good": string(good), "shop": before + secret + after}, rules)
		if !slices.EqualFunc(settings["good"], want["good"], Scanner.Equal) || mistakes["good"] != nil {
			t.Errorf("another key was touched: %v, %v", settings["good"], mistakes["good"])
		}
		if err := mistakes["shop"]; err != nil {
			for part := range strings.SplitSeq(strings.TrimPrefix(secret, "https://hooks.slack.com/services/"), "/") {
				if strings.Contains(err.Error(), part) {
					t.Errorf("the error shows %q: %s", part, err)
				}
			}
			return
		}
		if len(settings["shop"]) == 0 {
			t.Error("neither Scanners nor a mistake")
		}
		names := make(map[string]bool)
		for _, s := range settings["shop"] {
			if s.Backend != BackendClair || s.Notifier != NotifierSlack || names[s.Name] || s.Name == "" ||
				!strings.HasSuffix(s.ClairBaseURL, "/") || max(s.Rules.MinSeverity, s.Rules.UnknownAs) > claircore.Critical || rules.Webhook(s.SlackWebhookURL.Reveal()) != nil {
				t.Errorf("taken: %+v", s)
			}
			if again, err := BaseURL(s.ClairBaseURL); err != nil || again != s.ClairBaseURL {
				t.Errorf("%q is written %q (%v) the second time", s.ClairBaseURL, again, err)
			}
			names[s.Name] = true
		}
	})
}
