package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// dockerfileLines are the instructions of the Dockerfile, one a line.
func dockerfileLines(t *testing.T) []string {
	t.Helper()
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(read(t, "Dockerfile"), "")
	text = strings.ReplaceAll(text, "\\\n", " ")
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
}

// TestImage builds the program as the Dockerfile does, once from what Docker would be sent and once from the checkout:
// it is the same file, needs nothing else to run, and knows what it was built from.
func TestImage(t *testing.T) {
	var build string
	for _, line := range dockerfileLines(t) {
		if command, ok := strings.CutPrefix(line, "RUN "); ok && strings.Contains(command, "go build") {
			build = command
		}
	}
	const revision = "0123456789abcdef0123456789abcdef01234567"
	checkout, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	sent := t.TempDir()
	sendTo(t, sent)
	var programs [][]byte
	for _, folder := range []string{sent, checkout} {
		out := filepath.Join(t.TempDir(), "clairwatch")
		script := strings.Replace(build, "-o /clairwatch ", "-o "+out+" ", 1)
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "VERSION=v1.2.3", "REVISION="+revision)
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, said)
		}
		program, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, program)
		if runtime.GOOS != "linux" {
			continue
		}
		said, err := exec.CommandContext(t.Context(), out, "version").Output()
		want := fmt.Sprintf("clairwatch version v1.2.3\nrevision %s\n%s linux/%s\n", revision, runtime.Version(), runtime.GOARCH)
		if err != nil || string(said) != want {
			t.Errorf("it says %q (%v), want %q", said, err, want)
		}
	}
	if !bytes.Equal(programs[0], programs[1]) {
		t.Error("built twice it is not the same file")
	}
	if bytes.Contains(programs[0], []byte(checkout)) || bytes.Contains(programs[0], []byte(sent)) {
		t.Error("it names a folder in which it was built")
	}
	file, err := elf.NewFile(bytes.NewReader(programs[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("it is not static: it has %s", part.Type)
		}
	}
	if file.Section(".interp") != nil || file.Section(".debug_info") != nil {
		t.Error("it has what only a loader or a debugger reads")
	}
}

// sendTo copies what Docker would be sent: the checkout without what .dockerignore leaves out.
func sendTo(t *testing.T, folder string) {
	t.Helper()
	ignored := ignoredByDocker(t)
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || file == ".":
			return err
		case ignored(filepath.ToSlash(file)) && entry.IsDir():
			return fs.SkipDir
		case ignored(filepath.ToSlash(file)):
			return nil
		case entry.IsDir():
			return os.Mkdir(filepath.Join(folder, file), 0o755)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, file), text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ignoredByDocker reads .dockerignore, as far as its lines are written: patterns from the root on, or behind **/.
func ignoredByDocker(t *testing.T) func(file string) bool {
	t.Helper()
	var patterns []string
	for line := range strings.Lines(read(t, ".dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			patterns = append(patterns, line)
		}
	}
	return func(file string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			anywhere, ok := strings.CutPrefix(pattern, "**/")
			name := file
			if ok {
				pattern, name = anywhere, path.Base(file)
			}
			matched, err := path.Match(pattern, name)
			if err != nil || strings.HasPrefix(pattern, "!") {
				t.Fatalf("the test cannot read the pattern %q", pattern)
			}
			return matched
		})
	}
}

// TestDockerfile has what the image is besides the program.
func TestDockerfile(t *testing.T) {
	all := dockerfileLines(t)
	text := strings.Join(all, "\n") + "\n"
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))[1]
	for _, want := range []string{
		"ARG GO_IMAGE=docker.io/library/golang:" + goVersion + "\n",
		"FROM --platform=$BUILDPLATFORM $GO_IMAGE AS build\n",
		"\nFROM $BASE_IMAGE\n", ":nonroot\n",
		`org.opencontainers.image.version="$VERSION"`, `org.opencontainers.image.revision="$REVISION"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the Dockerfile has no %q", want)
		}
	}
	if last := all[len(all)-2:]; !slices.Equal(last, []string{"USER 65532:65532", `ENTRYPOINT ["/clairwatch"]`}) {
		t.Errorf("the Dockerfile ends with %q", last)
	}
	manifest := read(t, "deploy/clairwatch.yaml")
	for _, id := range []string{"runAsUser: 65532", "runAsGroup: 65532"} {
		if !strings.Contains(manifest, id) {
			t.Errorf("the manifest has no %s", id)
		}
	}
	ignored := ignoredByDocker(t)
	for _, secret := range []string{".git", "deploy/config.json", "kubeconfig", "registry/kubeconfig.yaml", "ca.pem", "tls.key", ".env"} {
		if !ignored(secret) {
			t.Errorf("%s would be sent to Docker", secret)
		}
	}
}

func TestOrigin(t *testing.T) {
	info := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	commit, changed := debug.BuildSetting{Key: "vcs.revision", Value: "abc"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for name, c := range map[string]struct {
		version, revision string
		info              *debug.BuildInfo
		want              origin
	}{
		"linker":            {"v1.2.3", "def", info("v9.9.9", commit), origin{"v1.2.3", "def"}},
		"only a version":    {"v1.2.3", "", info("v9.9.9", commit), origin{"v1.2.3", "abc"}},
		"empty build args":  {" ", "\n", info("(devel)"), origin{"(devel)", ""}},
		"repository":        {"", "", info("v1.2.4-0.2026", commit), origin{"v1.2.4-0.2026", "abc"}},
		"changed":           {"", "", info("v1.2.4-0.2026+dirty", commit, changed), origin{"v1.2.4-0.2026+dirty", "abc+dirty"}},
		"changed, unknown":  {"", "", info("(devel)", changed), origin{"(devel)", ""}},
		"nothing is known":  {"", "", nil, origin{"unknown", ""}},
		"nothing but a tag": {"v2", "", nil, origin{"v2", ""}},
	} {
		if got := originOf(c.version, c.revision, c.info); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
