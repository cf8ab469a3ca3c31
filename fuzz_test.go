package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fuzzed are the files that read text, and the targets, as folder and name, that feed them what comes from outside. Where
// there is none the text is our own, or that of whoever starts the process.
var fuzzed = map[string][]string{
	"clair/client.go":        {"clair FuzzReport", "clair FuzzIndex", "clair FuzzNotified", "clair FuzzState", "clair FuzzDelete", "clair FuzzUpdates"},
	"clair/decode.go":        {"clair FuzzUnmarshal", "clair FuzzReport", "clair FuzzIndex", "clair FuzzNotified", "clair FuzzState", "clair FuzzUpdates"},
	"clair/error.go":         {"clair FuzzIndex", "clair FuzzReport"},
	"clair/psk.go":           {"settings FuzzBaseURL"},
	"clair/secret.go":        {"clair FuzzSecretFile"},
	"findings/report.go":     {"findings FuzzFromClair", "findings FuzzPacked"},
	"findings/version.go":    {"findings FuzzVersions"},
	"ledger/seal.go":         {"ledger FuzzLoad"},
	"registry/allowance.go":  {"registry FuzzReadAllowance"},
	"registry/challenge.go":  {"registry FuzzChallenge", "registry FuzzParseOffers"},
	"registry/credential.go": {"registry FuzzKeyring"},
	"registry/endpoint.go":   {"registry FuzzIdentify"},
	"registry/guard.go":      {"registry FuzzChallenge", "registry FuzzRedirect"},
	"registry/helper.go":     {"registry FuzzDecodeHelped", "registry FuzzReadHelpers"},
	"registry/identity.go":   {"registry FuzzIdentify"},
	"registry/keyring.go":    {"registry FuzzKeyring", "watcher FuzzPullSecret"},
	"registry/list.go":       {". FuzzConfig"},
	"registry/manifest.go":   {"registry FuzzDecode"},
	"registry/platform.go":   {"registry FuzzDecode"},
	"registry/request.go":    {"registry FuzzRetryAfter"},
	"registry/roots.go":      {"registry FuzzRoots"},
	"registry/source.go":     {"registry FuzzRedirect"},
	"registry/token.go":      {"registry FuzzDecodeToken", "registry FuzzChallenge"},
	"settings/address.go":    {"settings FuzzBaseURL", "settings FuzzParse"},
	"settings/ignore.go":     {"settings FuzzParse"},
	"settings/syntax.go":     {"settings FuzzParse"},
	"slack/reason.go":        {"slack FuzzAnswer"},
	"slack/sender.go":        {"slack FuzzAnswer", "slack FuzzRetryAfter"},
	"slack/text.go":          {"slack FuzzMessages"},
	"slack/webhook.go":       {"slack FuzzParseWebhook"},
	"slack/webhookfile.go":   {"slack FuzzWebhookFile"},
	"watcher/nodes.go":       {"watcher FuzzNode"},
	"watcher/notify.go":      {"watcher FuzzReadWebhook", "watcher FuzzNotify", "watcher FuzzNotifyCallers"},
	"watcher/pod.go":         {"watcher FuzzPod"},
	"watcher/pullsecrets.go": {"watcher FuzzPullSecret"},
	"web/api.go":             {"web FuzzAPI"},
	"web/image.go":           {"web FuzzPages"},
	"web/selection.go":       {"web FuzzOverview"},
	"ask.go":                 {". FuzzDaemonAnswer"},
	"checkregistries.go":     {". FuzzDockerConfig"},
	"configfile.go":          {". FuzzConfig"},
	"explain.go":             {". FuzzExplainRequest"},
	"explainask.go":          {". FuzzDaemonAnswer"},
	"hostguard.go":           {". FuzzHost"},
	"levelswitch.go":         {". FuzzLevelSwitch"},
	"loglevel.go":            {". FuzzDaemonAnswer"},
	"manifest.go":            {". FuzzReadManifest"},
	"tokenguard.go":          {". FuzzSentToken"},
	"validation.go":          {". FuzzConfig"},
	"checkpages.go":          nil, // what the config has been found to say
	"scanner.go":             nil, // what is written on the command line
}

// readers are the functions that make something of a text, by their packages.
var readers = map[string][]string{
	"encoding/json":                      {"Unmarshal", "NewDecoder"},
	"github.com/go-json-experiment/json": {"Unmarshal", "UnmarshalRead", "UnmarshalDecode"},
	"compress/flate":                     {"NewReader"},
	"net":                                {"SplitHostPort"},
	"net/http":                           {"ParseTime"},
	"net/netip":                          {"ParseAddr", "ParseAddrPort", "ParsePrefix"},
	"net/url":                            {"Parse", "ParseQuery"},
	"strconv":                            {"Atoi", "ParseBool", "ParseFloat", "ParseInt", "ParseUint"},
	"time":                               {"Parse", "ParseDuration"},
	"go.yaml.in/yaml/v3":                 {"Unmarshal", "NewDecoder"},
	"gopkg.in/yaml.v3":                   {"Unmarshal", "NewDecoder"},
	"sigs.k8s.io/yaml":                   {"Unmarshal", "UnmarshalStrict", "YAMLToJSON", "YAMLToJSONStrict"},
	"github.com/spf13/viper":             {"New"},
	"github.com/google/uuid":             {"Parse"},
	"github.com/distribution/reference":  {"ParseNormalizedNamed"},
}

// Whatever reads a text has a target that feeds it, so that a parser that is added cannot go without.
func TestEveryParserIsFuzzed(t *testing.T) {
	targets, reading := make(map[string]bool), make(map[string]bool)
	for room := range rooms {
		if room == standIn {
			continue
		}
		names, err := filepath.Glob(path.Join(room, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") {
				for _, d := range file.Decls {
					if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Fuzz") {
						targets[room+" "+f.Name.Name] = true
					}
				}
				continue
			}
			if what := readsText(t, file); what != "" {
				reading[filepath.ToSlash(name)] = true
				if _, known := fuzzed[filepath.ToSlash(name)]; !known {
					t.Errorf("%s reads a text with %s: which fuzz target feeds it what comes from outside?", name, what)
				}
			}
		}
	}
	for _, file := range slices.Sorted(maps.Keys(fuzzed)) {
		for _, target := range fuzzed[file] {
			if !targets[target] {
				t.Errorf("%s: there is no target %s", file, target)
			}
		}
	}
	if len(reading) < 20 {
		t.Errorf("%d files read a text: is the test run in its folder?", len(reading))
	}
	for _, file := range slices.Sorted(maps.Keys(fuzzed)) {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
}

// readsText names a function of readers that a file calls; empty when there is none.
func readsText(t *testing.T, file *ast.File) (found string) {
	t.Helper()
	imported := make(map[string][]string)
	for _, spec := range file.Imports {
		full, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		name := path.Base(full)
		if strings.HasPrefix(name, "v") && len(name) == 2 || strings.HasPrefix(name, "yaml") {
			name = "yaml"
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if of := readers[full]; of != nil {
			imported[name] = of
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := call.X.(*ast.Ident); ok && slices.Contains(imported[x.Name], call.Sel.Name) {
			found = x.Name + "." + call.Sel.Name
		}
		return true
	})
	return found
}
