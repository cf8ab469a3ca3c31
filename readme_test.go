package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
	"github.com/clairwatch/clairwatch/watcher"
	"sigs.k8s.io/yaml"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns the part of a page under a heading.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, after, ok := strings.Cut(page, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("the page has no heading %q", heading)
	}
	level := heading[:strings.IndexByte(heading, ' ')+1]
	part, _, _ := strings.Cut(after, "\n"+level)
	return part
}

// firstColumn returns the names in the first column of a table.
func firstColumn(text string) []string {
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

func TestDocsNameTheStates(t *testing.T) {
	got := firstColumn(section(t, read(t, "docs/operating.md"), "## States of images"))
	for _, s := range watcher.States() {
		if s == watcher.StateUntried || s == watcher.StateScanned {
			continue // nothing to do about
		}
		if !slices.Contains(got, string(s)) {
			t.Errorf("docs/operating.md does not say what the state %s means", s)
		}
	}
}

func TestREADMENamesTheMessages(t *testing.T) {
	got := firstColumn(section(t, read(t, "README.md"), "## What arrives in Slack"))
	want := watcher.MessageKinds()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the README has %q, there are %q", got, want)
	}
}

// TestREADMESettingsAreValid reads the example of the README, and of the manifest, as the daemon would.
func TestREADMESettingsAreValid(t *testing.T) {
	readme := section(t, read(t, "README.md"), "## Install it in a cluster")
	_, block, ok := strings.Cut(readme, "```yaml\n   data:\n")
	if !ok {
		t.Fatal("the README has no example of the settings")
	}
	block, _, _ = strings.Cut(block, "```")
	var example struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.UnmarshalStrict([]byte("   data:\n"+block), &example); err != nil {
		t.Fatal(err)
	}
	rules := settings.Rules{Webhook: func(address string) error {
		_, err := slack.ParseWebhook(address, defaults().SlackHosts)
		return err
	}}
	got, mistakes := settings.Parse(example.Data, rules)
	if len(mistakes) > 0 || len(got["shop"]) != 1 {
		t.Errorf("got %v and mistakes %v", got, mistakes)
	}
	for _, field := range []string{"backend", "notifier", "clairBaseUrl", "slackWebhookUrl"} {
		for _, path := range []string{"README.md", "deploy/clairwatch.yaml"} {
			if !strings.Contains(read(t, path), field+": ") {
				t.Errorf("%s does not show %s", path, field)
			}
		}
	}
}

// TestDocsDocuments compares the JSON that docs/commands.md shows with what the commands print.
func TestDocsDocuments(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(read(t, "docs/commands.md"), -1)
	files := [][]string{
		{"testdata/check-json.golden"}, {"testdata/scan-several-json.golden"},
		{"testdata/explain-json.golden", "testdata/explain-vulnerability-json.golden"},
	}
	if len(blocks) != len(files) {
		t.Fatalf("the page shows %d documents", len(blocks))
	}
	for i, file := range files {
		want, got := make(map[string]bool), make(map[string]bool)
		keysOfJSON(t, blocks[i][1], got)
		for _, f := range file {
			printed, _, _ := strings.Cut(read(t, f), "--- ")
			keysOfJSON(t, printed, want)
		}
		delete(got, "cvss") // none of these has a score
		for key := range want {
			if !got[key] {
				t.Errorf("%s has %s, which the page does not show", file, key)
			}
		}
		for key := range got {
			if !want[key] {
				t.Errorf("the page shows %s, which %s does not have", key, file)
			}
		}
	}
}

// keysOfJSON collects the names of all fields of a document.
func keysOfJSON(t *testing.T, text string, keys map[string]bool) {
	t.Helper()
	var document any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				keys[key] = true
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(document)
}

// TestManifestFitsTheDaemon compares deploy/clairwatch.yaml with the code.
func TestManifestFitsTheDaemon(t *testing.T) {
	manifest := read(t, "deploy/clairwatch.yaml")
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					TerminationGracePeriodSeconds float64
					Containers                    []struct {
						Env          []struct{ Name, Value string }
						VolumeMounts []struct{ MountPath string }
					}
				}
			}
		}
	}
	for doc := range strings.SplitSeq(manifest, "\n---\n") {
		var kind struct {
			Kind string
			Data map[string]string
		}
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			t.Fatal(err)
		}
		switch kind.Kind {
		case "Deployment":
			if err := yaml.Unmarshal([]byte(doc), &deployment); err != nil {
				t.Fatal(err)
			}
		case "ConfigMap":
			if kind.Data != nil {
				t.Error("the settings have data: applying the manifest again would overwrite the user's")
			}
		case "Secret":
			t.Error("the manifest has a Secret: applying it again would overwrite the user's")
		}
	}
	pod := deployment.Spec.Template.Spec
	if least := (defaults().Grace + stopTimeout).Seconds(); pod.TerminationGracePeriodSeconds <= least {
		t.Errorf("terminationGracePeriodSeconds is %v, want more than %v", pod.TerminationGracePeriodSeconds, least)
	}
	v := viper.New()
	v.SetConfigFile("config.yaml")
	if err := v.ReadInConfig(); err != nil {
		t.Fatal(err)
	}
	for _, env := range pod.Containers[0].Env {
		key, ours := strings.CutPrefix(env.Name, envPrefix+"_")
		if ours && !v.IsSet(strings.ReplaceAll(strings.ToLower(key), "_", ".")) {
			t.Errorf("the manifest sets %s, which is no setting", env.Name)
		}
	}
	for _, file := range []string{configFile, defaults().DockerConfig} {
		if !slices.ContainsFunc(pod.Containers[0].VolumeMounts, func(m struct{ MountPath string }) bool {
			return strings.HasPrefix(file, m.MountPath+"/")
		}) {
			t.Errorf("nothing is mounted where %s is read", file)
		}
	}
}
