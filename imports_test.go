package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/clairwatch/clairwatch"

// rooms are the packages of the module and which of the others each may import: data flows one way. What
// is not in the list may not exist.
var rooms = map[string][]string{
	".":        {"watcher", "web", "ledger", "settings", "registry", "clair", "slack", "findings"},
	"watcher":  {"ledger", "settings", "registry", "clair", "slack", "findings"},
	"web":      {"settings", "registry", "clair", "slack", "findings"},
	"ledger":   {"findings"},
	"settings": {"findings"},
	"registry": {"findings"},
	"clair":    {"findings"},
	"slack":    {"findings"},
	"findings": {},

	standIn: {},
}

// standIn takes the place of Slack. It is for tests, and for the sandbox, which has a module of its own.
const standIn = "slack/slackstand"

// knowKubernetes are the rooms that know Kubernetes.
var knowKubernetes = []string{".", "watcher"}

// clientset is client-go's client of all groups; the clients of single groups lie below it.
const clientset = "k8s.io/client-go/kubernetes"

// wholeAPI are packages of client-go that need all groups.
var wholeAPI = []string{clientset, "k8s.io/client-go/informers", "k8s.io/client-go/listers", "k8s.io/client-go/metadata/metadatainformer"}

func TestImports(t *testing.T) {
	seen := make(map[string]bool)
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file == "." {
				return nil
			}
			// Another module has rules of its own.
			_, err := os.Stat(filepath.Join(file, "go.mod"))
			if err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(file) != ".go" {
			return nil
		}
		room := filepath.ToSlash(filepath.Dir(file))
		seen[room] = true
		allowed, ok := rooms[room]
		if !ok {
			t.Errorf("%s: no room of the design", file)
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if fault := forbidden(room, allowed, imported, strings.HasSuffix(file, "_test.go")); fault != "" {
				t.Errorf("%s imports %s: %s", file, imported, fault)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []string{".", "watcher", "settings", "registry", "clair", "slack", "findings", "web", standIn} {
		if !seen[room] {
			t.Errorf("saw no Go file of %s: is the test run in its folder?", room)
		}
	}
}

// forbidden says what is wrong with an import, of a test or of what is shipped; empty when nothing is.
func forbidden(room string, allowed []string, imported string, test bool) string {
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		if ours == standIn {
			if test {
				return ""
			}
			return "what is shipped has no use for a stand-in"
		}
		if !slices.Contains(allowed, ours) && ours != room { // an external test imports its own package
			return "data flows the other way"
		}
		return ""
	}
	if imported == module {
		return "nothing imports main"
	}
	// sigs.k8s.io/yaml is YAML, not Kubernetes.
	if strings.HasPrefix(imported, "k8s.io/") && !slices.Contains(knowKubernetes, room) {
		return "only the watcher and main know Kubernetes"
	}
	if !test && slices.ContainsFunc(wholeAPI, func(all string) bool {
		return imported == all || strings.HasPrefix(imported, all+"/") && all != clientset
	}) {
		return "it links all of the Kubernetes API, which is 20 MB: see watcher.Kubernetes"
	}
	return ""
}

func TestForbidden(t *testing.T) {
	for _, c := range []struct {
		room, imported string
		fine           bool
	}{
		{".", module + "/watcher", true},
		{".", "k8s.io/client-go/rest", true},
		{".", "k8s.io/client-go/kubernetes", false},
		{"watcher", "k8s.io/client-go/kubernetes/typed/core/v1", true},
		{"watcher", "k8s.io/client-go/informers/core/v1", false},
		{"watcher", module + "/slack", true},
		{"watcher", module + "/web", false},
		{"watcher", "k8s.io/api/core/v1", true},
		{"web", module + "/watcher", false},
		{"slack", module + "/findings", true},
		{"slack", module + "/registry", false},
		{"slack", module + "/slack", true},
		{".", module + "/ledger", true},
		{"watcher", module + "/ledger", true},
		{"web", module + "/ledger", false},
		{"slack", module + "/ledger", false},
		{"ledger", module + "/findings", true},
		{"ledger", module + "/settings", false},
		{"ledger", "k8s.io/api/core/v1", false},
		{"settings", module + "/findings", true},
		{"settings", module + "/ledger", false},
		{"settings", module + "/clair", false},
		{"settings", "sigs.k8s.io/yaml", true},
		{"settings", "k8s.io/apimachinery/pkg/util/validation", false},
		{"findings", module + "/clair", false},
		{"findings", module, false},
		{"registry", "k8s.io/api/core/v1", false},
		{"registry", module + "/sandbox", false},
		{".", module + "/" + standIn, false},
		{"slack", module + "/" + standIn, false},
		{standIn, module + "/slack", false},
		{standIn, module + "/findings", false},
	} {
		if got := forbidden(c.room, rooms[c.room], c.imported, false); (got == "") != c.fine {
			t.Errorf("%s imports %s: %q", c.room, c.imported, got)
		}
	}
	for imported, fine := range map[string]bool{module + "/" + standIn: true, module + "/slack": true, module + "/web": false} {
		if got := forbidden("watcher", rooms["watcher"], imported, true); (got == "") != fine {
			t.Errorf("a test of the watcher imports %s: %q", imported, got)
		}
	}
}
