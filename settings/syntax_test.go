package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// plainText is a long text without a mistake.
const plainText = `# the shop
- name: audit
  clairBaseUrl: http://clair.clair:6000/

  # who hears of it
  slackWebhookUrl: ` + webhook + `
  ignore:
    - id: CVE-2023-4911
      package: glibc
      reason: >-
        not reachable,
        as the team says
      until: 2027-03-01
    # and of these packages nothing
    - package: curl
  tell:
    report: false
  look: {init: false,
    volumes: false}
- name: "on-call"
  slackWebhookFile: 'shop'
`

// A line that breaks a text is the one that is named, wherever it stands.
func TestLineOfAMistake(t *testing.T) {
	if m := CheckSyntax(plainText); m != nil {
		t.Fatal(m)
	}
	const unlike = "this line does not go with those before it: see whether it is indented like them, and whether each has its colon, or its dash"
	lines := slices.Collect(strings.Lines(plainText))
	tried := 0
	for i, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		if strings.HasPrefix(strings.TrimSpace(line), "#") || value == "" || strings.ContainsAny(value, "{}>") || i == 17 || i == 18 {
			continue // where it would be no mistake
		}
		tried++
		for broken, want := range map[string]string{
			name + ": a: " + value:         "a second colon: a text with a colon and a space in it needs quotes",
			name + ": \"" + value:          "a quote that is not closed",
			name + ": \"a\" " + value:      "something stands behind a closing quote or bracket: put the whole text into quotes",
			name + ": {a: b\n":             "", // whatever is said of brackets
			name + ": [a, b\n":             "",
			name + ": @" + value:           "a text that begins with * & ! % @ or ` needs quotes",
			name + ": *" + name[:1] + "\n": "",
			line + "\t" + line:             "a tab: indent with spaces",
			line + " " + strings.Repeat(" ", len(name)) + "x: y\n": unlike,
		} {
			at := i + 1
			if strings.Count(broken, "\n") > 1 { // the second is what breaks it
				at++
			}
			text := strings.Join(slices.Concat(lines[:i], []string{broken}, lines[i+1:]), "")
			for _, text := range []string{text, strings.ReplaceAll(text, "\n", "\r\n"), "\ufeff" + text} {
				m := CheckSyntax(text)
				if strings.ContainsAny(value, `"'`) && want != unlike {
					continue // with the quotes that it has it may be another mistake, or none
				}
				if m != nil && strings.HasSuffix(m.What, fmt.Sprintf("; or the bracket that opens %s above is not closed", counted(m.Line-at))) {
					continue // what follows can be a mistake in brackets
				}
				if m == nil || m.Line != at || want != "" && m.What != "not valid YAML: "+want {
					t.Errorf("%q in line %d: got %v, want %s", broken, at, m, want)
				}
			}
		}
	}
	if tried < 8 {
		t.Errorf("tried %d lines", tried)
	}
}

// Each of the library's words that has a meaning here is one that it says, so that a new version cannot lose them
// unseen.
func TestWordsOfTheLibrary(t *testing.T) {
	texts := []string{
		"a: ? b", "%YAML 1 1\n---\n", "a: b\nc d\n", "%YAML .1\n---\n", "a: !<!b>c d", "a: !<> c", "a: \"\\ud800\"", "a: \xed\xa0\x80", "\xff\xfea\x00\x00\xdc", "\xff\xfea\x00\x00\xd8a\x00", "a: \xf4\x9f\xbf\xbf", "a: !b!", "a: &b*c d",
		"%YAML 1.1x\n---\n", "%TAG !\n---\n", "%TAG ! a\x01\n", "a: !<%>", "a: !! b", "a: ! b", "a: !b{ c", "%TAG !a! !b\"\n---",
		"a: b: c", "a: b\n- c", "- a\nb: c", "a: - b", "? a\n? b: c: d", "[a", "{a", "a: [\n", "a b\nc: d", "a: \"b", "a: 'b\n---\n", "a: @b", "a: *", "%a b\n---\n",
		"%YAML x\n---\n", "%YAML 1.x\n---\n", "a: !<b c", "a: !b!c d", "a: !%zz b", "a: *b", "a: b\n\tc: d", "a: \"\\q\"", "a: \"\\xzz\"", "a: \"\\ud800\"", "a: | b\n",
		"a: |0\n", "a: \x01", "a: \xff", "a: \xc3", "\xff\xfea", "'a' 'b'", strings.Repeat("[", 20_000), "{a: b} c", "a: !b,c d", "%TAG a b\n---\n",
	}
	said := make(map[string]bool)
	for _, text := range texts {
		_, err := documents(text)
		if err == nil {
			continue
		}
		i := slices.IndexFunc(troubles[:], func(t struct {
			said  string
			means trouble
		}) bool {
			return strings.Contains(err.Error(), t.said)
		})
		if i < 0 {
			t.Errorf("%.30q: %v has no meaning", text, err)
			continue
		}
		said[troubles[i].said] = true
	}
	for _, trouble := range troubles {
		if !said[trouble.said] {
			t.Errorf("the library never says %q", trouble.said)
		}
	}
}

// What takes too long to find out is not found out.
func TestLineOfAMistakeIsBounded(t *testing.T) {
	text := "a: [\n" + strings.Repeat("b,\n", (valueLimit-10)/3)
	if m := CheckSyntax(text); m == nil || !strings.HasPrefix(m.What, "not valid YAML: on this line, or one before it: ") || m.Line < valueLimit/4 {
		t.Errorf("got %v", m)
	}
}

// What many keys need together is bounded, and those that it is enough for are always the same ones.
func TestLinesOfAllMistakesAreBounded(t *testing.T) {
	data := make(map[string]string)
	for i := range 40 {
		data[fmt.Sprintf("ns-%02d", i)] = "a: {\n" + strings.Repeat("x: 1,\n", 200)
	}
	vague := func() (keys []string) {
		_, mistakes := Parse(data, rules)
		for _, key := range mistakes.Keys() {
			if strings.Contains(mistakes[key].Error(), "on this line, or one before it") {
				keys = append(keys, key)
			}
		}
		return keys
	}
	keys := vague()
	if len(keys) == 0 || len(keys) > 38 || !slices.Equal(keys, vague()) {
		t.Errorf("%d of %d lines are not found: %s", len(keys), len(data), keys)
	}
}

func TestKeyError(t *testing.T) {
	_, mistakes := Parse(map[string]string{"shop": "- {nmae: x}\n- 5"}, rules)
	e, ok := errors.AsType[KeyError](mistakes["shop"])
	if !ok || len(e) != 4 || e[0].Path != "shop[0].nmae" || e[0].Line != 1 || e[3].Line != 2 {
		t.Fatalf("got %#v", mistakes["shop"])
	}
	var lines []string
	for _, m := range e {
		lines = append(lines, m.Error())
	}
	if got := fmt.Sprint(e); got != strings.Join(lines, "\n") || lines[0] != "shop[0].nmae (line 1): no such field; did you mean name?" {
		t.Errorf("got %s", got)
	}
}
