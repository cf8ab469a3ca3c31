package settings

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// panicking is a text at which the library panics.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("as the library has done") }

// A text at which the library panics is one with a mistake, and no end of the daemon.
func TestPanicOfTheLibrary(t *testing.T) {
	if ns, err := documentsFrom(panicking{}); err == nil || ns != nil {
		t.Errorf("got %v, %v", ns, err)
	}
	if _, err := documentsFrom(io.MultiReader(strings.NewReader("a: b\n---\nc: "), panicking{})); err == nil {
		t.Error("what follows a document is lost")
	}
}

// What breaks a text too far above where that is noticed is named by where it was noticed: neither further up nor down.
func TestLineWhereAMistakeIsNoticed(t *testing.T) {
	text := "a: [\n" + strings.Repeat("b,\n", (valueLimit-100)/3)
	want := strings.Count(text, "\n")
	if m := CheckSyntax(text); m == nil || m.Line != want {
		t.Errorf("got %v, want line %d", m, want)
	}
}

// A tab is what is wrong where it indents, and nowhere else.
func TestTabThatDoesNotIndent(t *testing.T) {
	for text, want := range map[string]string{
		"a: @b\t# why\n": "not valid YAML: " + start.words(), "a: b\n\tc: d\n": "not valid YAML: " + tab.words(),
	} {
		if m := CheckSyntax(text); m == nil || m.What != want {
			t.Errorf("%q: got %v, want %s", text, m, want)
		}
	}
}

// A word that is three slips away from a known one is not taken for it, however long it is.
func TestNearestIsAtMostTwoSlipsAway(t *testing.T) {
	known := []string{"slackWebhookFile", "onlyFixable"}
	for word, want := range map[string]string{
		"slackWebhokFil": "slackWebhookFile", "slakWebhokFil": "", "onlyfixd": "", "onlyFixabel": "onlyFixable", "onlyFixablexx": "onlyFixable", "onlyFixablexxx": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}

// Mistakes of any kind are bounded alike.
func TestMistakesOfFieldsAreBounded(t *testing.T) {
	text := required + "ignore:\n" + strings.Repeat("- {id: 'a*'}\n", mistakeLimit+7)
	lines := strings.Split(refused(text, rules), "\n")
	if got, want := lines[len(lines)-1], "shop: and 7 more mistakes"; len(lines) != mistakeLimit+1 || got != want {
		t.Errorf("got %d lines, the last is %s; want %d, %s", len(lines), got, mistakeLimit+1, want)
	}
}

// A field that stands twice is a mistake where it is merged, too: nobody knows which of the two counts.
func TestFieldTwiceInWhatIsMerged(t *testing.T) {
	const want = "shop.minSeverity (line 3): stands there twice, first in line 3"
	if got := refused(required+"<<: {minSeverity: High, minSeverity: Low}\n", rules); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// An entry that is an alias is named by its own line: that of what it stands for has no mistake.
func TestLineOfAnAlias(t *testing.T) {
	const text = "- &a {clairBaseUrl: 'http://clair/', slackWebhookFile: shop}\n- clairBaseUrl: http://clair/\n  slackWebhookFile: shop\n  name: b\n- *a\n"
	_, mistakes := Parse(map[string]string{"shop": text}, rules)
	e, ok := errors.AsType[KeyError](mistakes["shop"])
	if !ok || len(e) != 1 || e[0].Line != 5 || e[0].Path != "shop[2].name" {
		t.Errorf("got %v", mistakes["shop"])
	}
}

// Maps can be merged into each other as deep as the limit says, and no deeper.
func TestMergeLimit(t *testing.T) {
	merged := func(depth int) string {
		return required + strings.Repeat("<<: {", depth) + "name: deep" + strings.Repeat("}", depth) + "\n"
	}
	if got := refused(merged(mergeLimit), rules); got != "" {
		t.Error(got)
	}
	if got := refused(merged(mergeLimit+1), rules); !strings.Contains(got, fmt.Sprintf("<< goes deeper than %d maps", mergeLimit)) {
		t.Errorf("got %q", got)
	}
}

// A text of which not all can be read is refused: what is left out, were it one field, could be the one that matters.
func TestNothingIsLeftUnread(t *testing.T) {
	const text = "- &a {clairBaseUrl: 'http://clair/', slackWebhookFile: shop, tell: {report: false}, ignore: [{id: x}, {id: y}]}\n" +
		"- {<<: *a, name: last, minSeverity: Critical}\n"
	with := func(left int) (*reader, error) {
		r := newReader("shop", text, rules.complete())
		r.left = left
		if scanners := r.scanners("shop", r.document(text), heritage{scanner: defaults()}); left > 1000 && len(scanners) != 2 {
			t.Fatalf("%d Scanners: %v", len(scanners), r.err())
		}
		return r, r.err()
	}
	all, err := with(1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	needed := 1_000_000 - all.left
	if _, err := with(needed); err != nil {
		t.Errorf("with as much as it needs: %v", err)
	}
	for left := range needed {
		if _, err := with(left); err == nil || !strings.Contains(err.Error(), "much longer than it is") {
			t.Errorf("with %d of %d: %v", left, needed, err)
		}
	}
}
