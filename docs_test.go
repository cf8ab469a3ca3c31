package main

import (
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// docs are the README, and the pages that it leads to.
func docs(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("there is no page in docs: %v", err)
	}
	return append([]string{"README.md"}, pages...)
}

// withoutBlocks leaves out blocks of code, where a # begins a comment.
func withoutBlocks(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(text, "")
}

// anchors are those that GitHub gives the headings of a page: small letters, hyphens for spaces, nothing for the rest,
// and a number for one that was there before.
func anchors(text string) []string {
	var all []string
	seen := make(map[string]int)
	for _, m := range regexp.MustCompile(`(?m)^#{1,6} (.*)$`).FindAllStringSubmatch(withoutBlocks(text), -1) {
		var b strings.Builder
		for _, r := range strings.ToLower(strings.TrimSpace(m[1])) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				b.WriteRune(r)
			}
		}
		anchor := b.String()
		if n := seen[anchor]; n > 0 {
			all = append(all, anchor+"-"+string(rune('0'+n)))
		} else {
			all = append(all, anchor)
		}
		seen[anchor]++
	}
	return all
}

func TestAnchors(t *testing.T) {
	text := "# A `b`: c/d, e\n```\n# no heading\n```\n## It's Clair's notifier\n### One\n#no heading\n### One\n"
	if got, want := anchors(text), []string{"a-b-cd-e", "its-clairs-notifier", "one", "one-1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestDocsLinks follows each link of the README and of the pages that leads to a file of the repository, and to a
// heading in it.
func TestDocsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	followed := 0
	for _, page := range docs(t) {
		for _, m := range link.FindAllStringSubmatch(withoutBlocks(read(t, page)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = path.Join(path.Dir(page), file)
			}
			if strings.HasPrefix(target, "..") || strings.HasPrefix(file, "/") {
				t.Errorf("%s points to %s, out of the repository", page, m[1])
				continue
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s points to %s: %v", page, m[1], err)
				continue
			}
			if anchor != "" && (path.Ext(target) != ".md" || !slices.Contains(anchors(read(t, target)), anchor)) {
				t.Errorf("%s points to %s, which is no heading there", page, m[1])
			}
		}
	}
	if followed < 20 {
		t.Errorf("saw only %d links", followed)
	}
}

// TestDocsPages has each page say first what it is for, and the README lead to it.
func TestDocsPages(t *testing.T) {
	readme := read(t, "README.md")
	first := regexp.MustCompile(`\A# [^\n]+\n\n([A-Z][^\n]*(?:\n[^\n]+)*)\n\n`)
	for _, page := range docs(t)[1:] {
		m := first.FindStringSubmatch(read(t, page))
		if m == nil || !strings.HasSuffix(m[1], ".") || strings.Contains(strings.TrimSuffix(m[1], "."), ". ") {
			t.Errorf("%s does not begin with a heading and one sentence: %q", page, m)
		}
		if !strings.Contains(readme, "]("+page) {
			t.Errorf("the README does not lead to %s", page)
		}
	}
}

// TestDocsCommandLines gives each command line of the README, of the pages and of the help to the commands, as far as
// their flags.
func TestDocsCommandLines(t *testing.T) {
	var texts []string
	for _, page := range docs(t) {
		texts = append(texts, "\n"+read(t, page))
	}
	root := command(io.Discard)
	for _, cmd := range append(root.Commands(), root) {
		texts = append(texts, "\n"+cmd.Example)
	}
	seen := 0
	for _, m := range regexp.MustCompile(`(?m)^ +(?:kubectl [^\n]* -- /)?clairwatch( [^\n]*)?$`).FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
		cmd, args, err := command(io.Discard).Find(strings.Fields(m[1]))
		if err == nil {
			err = cmd.ParseFlags(args)
		}
		if err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err != nil {
			t.Errorf("%s: %v", m[0], err)
		}
		seen++
	}
	if seen < 15 {
		t.Errorf("saw only %d command lines", seen)
	}
}

// TestREADMECommands has each command in the table of the README, and no other.
func TestREADMECommands(t *testing.T) {
	var want []string
	for _, cmd := range command(io.Discard).Commands() {
		want = append(want, cmd.Name())
	}
	var got []string
	for _, name := range firstColumn(section(t, read(t, "README.md"), "## Command line")) {
		word, _, _ := strings.Cut(name, " ")
		got = append(got, word)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the README has %q, there are %q", got, want)
	}
}

// TestDocsNameTheRights has the rights in the table of docs/security.md that check wants, which are those of the manifest.
func TestDocsNameTheRights(t *testing.T) {
	table := section(t, read(t, "docs/security.md"), "## What it may do")
	got := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]+: [^|]+) \| (?:cluster|own namespace) \|`).FindAllStringSubmatch(table, -1) {
		if strings.HasPrefix(m[1], "opt-in: ") { // files of their own
			continue
		}
		got[strings.ReplaceAll(strings.ReplaceAll(m[1], "`", ""), " to -", " to ")] = true
	}
	rights := neededRights(defaults(), "clairwatch")
	for _, r := range rights {
		if line := r.what + ": " + strings.Join(r.verbs, ", "); !got[line] {
			t.Errorf("the page has no %q", line)
		}
	}
	if len(got) != len(rights) {
		t.Errorf("the page has %v, there are %d rights", got, len(rights))
	}
}

// TestRecipesLeaveNoSecrets: who pastes a recipe that writes a secret into a file lets nobody else read it, deletes it in
// the end, and when that is forgotten neither git nor an image takes it.
func TestRecipesLeaveNoSecrets(t *testing.T) {
	ignored := map[string][]string{"/": strings.Split(read(t, ".gitignore"), "\n"), "**/": strings.Split(read(t, ".dockerignore"), "\n")}
	var all strings.Builder
	for _, page := range docs(t) {
		all.WriteString(read(t, page) + "\n")
	}
	deleted := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^ +rm ([^\n]+)$`).FindAllStringSubmatch(all.String(), -1) {
		for _, file := range strings.Fields(m[1]) {
			deleted[file] = true
		}
	}
	for file := range deleted {
		for prefix, lines := range ignored {
			if !slices.Contains(lines, prefix+file) {
				t.Errorf("%s%s is not ignored", prefix, file)
			}
		}
	}
	written := make(map[string]bool)
	for _, block := range regexp.MustCompile(`(?m)(?:^ {4,}\S.*\n)+`).FindAllString(all.String(), -1) {
		for _, m := range regexp.MustCompile(`(?m) > ([a-z.-]+)$`).FindAllStringSubmatch(block, -1) {
			if m[1] == "config.yaml" {
				continue // which has names of files
			}
			written[m[1]] = true
			if strings.TrimSpace(strings.SplitN(block, "\n", 2)[0]) != "umask 077" {
				t.Errorf("%s is for everybody to read:\n%s", m[1], block)
			}
			if !deleted[m[1]] {
				t.Errorf("nobody deletes %s", m[1])
			}
		}
	}
	if len(written) < 7 {
		t.Errorf("saw only %v", written)
	}
}
