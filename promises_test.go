package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shownBy finds what docs/promises.md names as showing a promise: a test behind the folder that it is in.
var shownBy = regexp.MustCompile("`([a-z0-9]+(?:/[a-z0-9]+)*)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)`")

// TestPromisesAreShown has each row of docs/promises.md name a test at least, and each test that it names exist.
func TestPromisesAreShown(t *testing.T) {
	page := read(t, "docs/promises.md")
	tests := make(map[string]map[string]bool) // by folder
	rows, named := 0, 0
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what ") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		cells := strings.Split(strings.TrimSpace(line), "|") // before the first one and behind the last one is nothing
		if len(cells) != 5 {
			t.Errorf("not three columns: %q", line)
			continue
		}
		shown := shownBy.FindAllStringSubmatch(cells[3], -1)
		if len(shown) == 0 {
			t.Errorf("nothing shows %q", line)
		}
		for _, m := range shown {
			named++
			folder, test := m[1], m[2]
			if tests[folder] == nil {
				tests[folder] = testsIn(t, folder)
			}
			if !tests[folder][test] {
				t.Errorf("there is no %s in %s", test, folder)
			}
		}
	}
	if rows < 90 || named < 200 {
		t.Errorf("saw only %d rows and %d tests", rows, named)
	}
	if n := strings.Count(page, ".Test") + strings.Count(page, ".Fuzz"); n != named {
		t.Errorf("the page has %d tests, of which %d stand where they are looked for", n, named)
	}
}

// testsIn returns the tests of a folder; of the one that is called root, those of this one.
func testsIn(t *testing.T, folder string) map[string]bool {
	t.Helper()
	if folder == "root" {
		folder = "."
	}
	files, err := filepath.Glob(path.Join(folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Errorf("there are no tests in %s: %v", folder, err)
	}
	tests := make(map[string]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(\w+ \*testing\.[TF]\)`).FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
	}
	return tests
}
