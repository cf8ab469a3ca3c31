package settings

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// chapter is what the README says about the settings of a namespace.
func chapter(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(b), "\n### Of a namespace\n")
	if !ok {
		t.Fatal("the README says nothing about the settings of a namespace")
	}
	text, _, _ := strings.Cut(after, "\n### ")
	return text
}

func TestREADMENamesEveryField(t *testing.T) {
	var want []string
	for _, name := range names(scannerFields) {
		switch name {
		case "tell":
			for _, f := range names(tellFields) {
				want = append(want, "tell."+f)
			}
		case "look":
			for _, f := range names(lookFields) {
				want = append(want, "look."+f)
			}
		default:
			want = append(want, name)
		}
	}
	want = slices.Concat([]string{AllKey, DefaultsKey}, want, names(ignoreFields))
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` ").FindAllStringSubmatch(chapter(t), -1) {
		got = append(got, m[1])
	}
	if !slices.Equal(got, want) {
		t.Errorf("the README has\n%q, there are\n%q", got, want)
	}
}

func TestREADMEExamplesAreValid(t *testing.T) {
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(chapter(t), -1)
	if len(examples) == 0 {
		t.Fatal("the README has no example")
	}
	for _, m := range examples {
		var data map[string]string
		if err := yaml.UnmarshalStrict([]byte(m[1]), &data); err != nil {
			t.Fatal(err)
		}
		if s := must(t, data); len(s["shop"]) == 0 {
			t.Errorf("nobody hears of the shop in\n%s", m[1])
		}
	}
}
