package settings

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// chapter is the part of a page under a heading.
func chapter(t *testing.T, page, heading string) string {
	t.Helper()
	b, err := os.ReadFile("../" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(b), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", page, heading)
	}
	text, _, _ := strings.Cut(after, "\n## ")
	return text
}

func TestDocsNameEveryField(t *testing.T) {
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
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` ").FindAllStringSubmatch(chapter(t, "docs/settings.md", "## Of a namespace"), -1) {
		got = append(got, m[1])
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page has\n%q, there are\n%q", got, want)
	}
}

func TestDocsExamplesAreValid(t *testing.T) {
	for page, heading := range map[string]string{"README.md": "## Settings", "docs/settings.md": "## Of a namespace"} {
		examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(chapter(t, page, heading), -1)
		if len(examples) == 0 {
			t.Fatalf("%s has no example", page)
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
}

// TestREADMEHasTheTable has the fields in the README as the page has them.
func TestREADMEHasTheTable(t *testing.T) {
	table := func(page, heading string) string {
		_, rows, _ := strings.Cut(chapter(t, page, heading), "\n| field | default | ")
		rows, _, _ = strings.Cut(rows, "\n\n")
		return strings.NewReplacer("(../README.md#", "(#", "(docs/", "(").Replace(rows) // a link to the same place
	}
	readme, page := table("README.md", "## Settings"), table("docs/settings.md", "## Of a namespace")
	if readme != page || strings.Count(readme, "\n") < 20 {
		t.Errorf("the README has\n%s\nand docs/settings.md\n%s", readme, page)
	}
}
