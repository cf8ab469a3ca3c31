package settings

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// refused returns what is wrong with the text of a key.
func refused(value string, rules Rules) string {
	_, mistakes := Parse(map[string]string{"shop": value}, rules)
	if err := mistakes["shop"]; err != nil {
		return err.Error()
	}
	return ""
}

const required = "clairBaseUrl: http://clair.clair:6000/\nslackWebhookUrl: " + webhook + "\n"

func TestLimits(t *testing.T) {
	one, err := os.ReadFile("testdata/one.yaml")
	if err != nil {
		t.Fatal(err)
	}
	long := func(size int) string { return string(one) + "#" + strings.Repeat("x", size-len(one)-1) }
	scanners := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "- {name: s%d, clairBaseUrl: 'http://clair/', slackWebhookFile: shop}\n", i)
		}
		return b.String()
	}
	ignore := func(n int) string { return required + "ignore:\n" + strings.Repeat("- {id: CVE-2023-4911}\n", n) }
	entry := func(field string, n int) string {
		return required + "ignore: [{id: x, package: x, " + field + ": " + strings.Repeat("ä", n) + "}]"
	}
	for name, c := range map[string]struct{ value, want string }{
		"a long text":           {long(valueLimit), ""},
		"a longer one":          {long(valueLimit + 1), "shop: longer than 256 KiB: want a Scanner or a short list of them"},
		"many Scanners":         {scanners(scannerLimit), ""},
		"more Scanners":         {scanners(scannerLimit + 1), "shop (line 1): 51 Scanners; want at most 50"},
		"much to ignore":        {ignore(ignoreLimit), ""},
		"more to ignore":        {ignore(ignoreLimit + 1), "shop.ignore (line 3): 501 entries; want at most 500"},
		"a long reason":         {entry("reason", reasonLimit), ""},
		"a longer one of those": {entry("reason", reasonLimit+1), "shop.ignore[0].reason (line 3): 501 letters; want at most 500"},
		"a long pattern":        {entry("image", ignoredNameLimit), ""},
		"a longer pattern":      {entry("image", ignoredNameLimit+1), "shop.ignore[0].image (line 3): 257 letters; want at most 256"},
		"a long file name":      {"clairBaseUrl: http://clair/\nslackWebhookFile: " + strings.Repeat("x", 253), ""},
		"a longer file name": {"clairBaseUrl: http://clair/\nslackWebhookFile: " + strings.Repeat("x", 254),
			"shop.slackWebhookFile (line 2): want the plain name of a file, without its folder: letters, digits, -, _ and single dots, not beginning with one"},
		"deep lists": {strings.Repeat("[", 20_000), "shop (line 1): not valid YAML: nested too deeply"},
	} {
		if got := refused(c.value, rules); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestMistakesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(required)
	for i := range mistakeLimit + 7 {
		fmt.Fprintf(&b, "field%d: x\n", i)
	}
	lines := strings.Split(refused(b.String(), rules), "\n")
	if got, want := lines[len(lines)-1], "shop: and 7 more mistakes"; len(lines) != mistakeLimit+1 || got != want {
		t.Errorf("got %d lines, the last is %s; want %d, %s", len(lines), got, mistakeLimit+1, want)
	}
}

// What names what names what must not become gigabytes.
func TestAliasesAreBounded(t *testing.T) {
	const want = "shop: with its aliases much longer than it is: write it out, or use _defaults"
	var merges strings.Builder
	merges.WriteString("- &m0 {name: m0}\n")
	for i := range 9 {
		fmt.Fprintf(&merges, "- &m%d {<<: [%s]}\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*m%d,", i), 10), ","))
	}
	for name, value := range map[string]string{
		"merges":             merges.String(),
		"merged into itself": "&a {<<: [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]}",
	} {
		if got := refused(value, rules); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	// A list that ten Scanners share is not meant.
	shared := "- &base {name: s0, clairBaseUrl: 'http://clair/', slackWebhookFile: shop, ignore: [" + strings.Repeat("{id: CVE-2023-4911},", 100) + "]}\n"
	for i := range 9 {
		shared += fmt.Sprintf("- {<<: *base, name: s%d}\n", i+1)
	}
	if got := refused(shared, rules); got != "" {
		t.Error(got)
	}
}

func TestNamesOfTheCaller(t *testing.T) {
	more := Rules{Backends: []string{"clair", "trivy", "grype"}, Notifiers: []string{"slack", "matrix"}}
	for value, want := range map[string]string{
		required:                     "",
		required + "backend: trivy":  "",
		required + "backend: clear":  `shop.backend (line 3): "clear" is not known; want one of clair, trivy, grype; did you mean clair?`,
		required + "backend: Trivy":  `shop.backend (line 3): "Trivy" is not known; want one of clair, trivy, grype; did you mean trivy?`,
		required + "notifier: email": `shop.notifier (line 3): "email" is not known; want one of slack, matrix`,
		// What another backend or notifier needs it says itself.
		"backend: trivy\nnotifier: matrix": "",
		"backend: trivy":                   "shop.slackWebhookUrl (line 1): missing: want the address of an incoming webhook, https://hooks.slack.com/services/…, or slackWebhookFile",
		"notifier: matrix":                 "shop.clairBaseUrl (line 1): missing: want an address such as http://clair.clair:6000/",
	} {
		if got := refused(value, more); got != want {
			t.Errorf("%q:\n got %s\nwant %s", value, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "ab", 1}, {"abc", "abcd", 1},
		{"abc", "axc", 1}, {"abc", "acb", 1}, {"abcd", "badc", 2}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestShown(t *testing.T) {
	for s, want := range map[string]bool{
		"shop": true, "": false, "slackWebhookFile": true, "a b": false, "ä": false, "_al": true,
		"team-payments-prod-eu-west-1": true, "observability.stack_v2-2026": true, "preview-pr-12345-20260301-2fast": true,
		strings.Repeat("a", 20): true, strings.Repeat("a", 21): false, strings.Repeat("a-", 31) + "a": true, strings.Repeat("a-", 32): false,
		"Team-Payments-Production":             false, // which no namespace is called
		"rkQz81bWmNe5TyUa7sDfGh3J":             false, // Slack
		"T7G2K1QXA/B0F9ZR4LM":                  false,
		"1pQ3rS5tU7y":                          false, // a piece of one
		"CVE-2023-4911":                        true,
		"xnesm3k8kiyy5gq7b1f4zt9rwo":           false, // Mattermost
		"8x1qk3z9w7rty5u2m4n6p0aabc":           false,
		"550e8400-e29b-41d4-a716-446655440000": false,
		"5f2b7c9e0d1a4b6c8e7f9a0b1c2d3e4f":     false,
	} {
		if got := shown(s) == s; got != want || Shown(s) != want {
			t.Errorf("%q is shown: %v", s, got)
		}
	}
}

// One key must not take the memory that is there for all.
func TestBombsAreBounded(t *testing.T) {
	fields := new(strings.Builder)
	for i := range 12_000 {
		fmt.Fprintf(fields, "a%05d: 1, ", i)
	}
	merged := "x: &A {" + fields.String() + "}\n<<: [" + strings.TrimSuffix(strings.Repeat("*A,", 5000), ",") + "]\n"
	shared := new(strings.Builder)
	shared.WriteString("- {name: s, clairBaseUrl: 'http://clair/', slackWebhookFile: shop, ignore: &i [" + strings.Repeat("{id: x},", ignoreLimit-1) + "{id: x}]}\n")
	for i := range 5 {
		fmt.Fprintf(shared, "- {name: s%d, clairBaseUrl: 'http://clair/', slackWebhookFile: shop, ignore: *i}\n", i)
	}
	for name, c := range map[string]struct{ value, want string }{
		"a large map, merged":         {merged, "much longer than it is"},
		"one list for many to ignore": {shared.String(), "have more than 2000 entries in all"},
	} {
		if got := refused(c.value, rules); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n got %.300s\nwant %s", name, got, c.want)
		}
	}
	many := make(map[string]string)
	for i := range 20_000 {
		many[fmt.Sprintf("n%05d", i)] = "field: x"
	}
	_, mistakes := Parse(many, rules)
	size := 0
	for _, err := range mistakes {
		size += len(err.Error())
	}
	if len(mistakes) != len(many) || size > 4<<20 {
		t.Errorf("%d mistakes of %d keys have %d bytes", len(mistakes), len(many), size)
	}
}
