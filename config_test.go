package main

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/registry"
)

// load reads a file with the content, and the flags, as the command does.
func load(t *testing.T, content string, args ...string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadFile(t, path, args...)
	if err != nil && !strings.HasPrefix(err.Error(), "reading the config "+path+": ") && !strings.HasPrefix(err.Error(), "reading the environment: ") {
		t.Errorf("the error does not name the file: %v", err)
	}
	return cfg, err
}

func loadFile(t *testing.T, path string, args ...string) (Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("clairwatch", pflag.ContinueOnError)
	keys := configFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return loadConfig(path, flags, keys)
}

func TestConfigYAMLHasTheDefaults(t *testing.T) {
	got, err := loadFile(t, "config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, defaults()) {
		t.Errorf("\ngot  %+v\nwant %+v", got, defaults())
	}
	none, err := loadFile(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(none, defaults()) {
		t.Errorf("without a file:\ngot  %+v\nwant %+v", none, defaults())
	}
}

// leaves are the paths of all settings of a struct, with a list's element as [].
func leaves(prefix string, of reflect.Type) []string {
	switch {
	case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
		return leaves(prefix+"[]", of.Elem())
	case of.Kind() != reflect.Struct:
		return []string{prefix}
	}
	var paths []string
	for i := range of.NumField() {
		paths = append(paths, leaves(strings.TrimPrefix(prefix+"."+camel(of.Field(i).Name), "."), of.Field(i).Type)...)
	}
	return paths
}

// written are the paths of all settings of a YAML file.
func written(prefix string, v any) []string {
	var paths []string
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			paths = append(paths, written(strings.TrimPrefix(prefix+"."+k, "."), inner)...)
		}
	case []any:
		for _, inner := range v {
			if _, isMap := inner.(map[string]any); !isMap {
				return []string{prefix}
			}
			paths = append(paths, written(prefix+"[]", inner)...)
		}
	default:
		return []string{prefix}
	}
	return paths
}

// uncommented is config.yaml with the elements of lists that it shows in comments.
func uncommented(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(regexp.MustCompile(`(?m)^#(  )`).ReplaceAllString(string(b), "$1"), ": []", ":")
}

func TestConfigYAMLMentionsEverySetting(t *testing.T) {
	var all map[string]any
	if err := yaml.UnmarshalStrict([]byte(uncommented(t)), &all); err != nil {
		t.Fatal(err)
	}
	want, got := leaves("", reflect.TypeFor[Config]()), written("", all)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("\nconfig.yaml has %q\nConfig has      %q", got, want)
	}
}

func TestConfigYAMLExplainsEverySetting(t *testing.T) {
	lines := strings.Split(uncommented(t), "\n")
	for i, line := range lines {
		key, _, isKey := strings.Cut(strings.TrimSpace(line), ":")
		if !isKey || strings.HasPrefix(key, "#") || strings.HasPrefix(key, "- hooks") || key == "log" || key == "web" || key == "leaderElection" {
			continue
		}
		// Some share the comment of the one before; the first field of a list that of the list.
		shares := slices.Contains([]string{"groupMax", "dataMax"}, key)
		if before := strings.TrimSpace(lines[i-1]); !strings.HasPrefix(before, "#") && !shares && !strings.HasPrefix(key, "- ") {
			t.Errorf("%s has no comment", key)
		}
	}
}

func TestListsOfMaps(t *testing.T) {
	got, err := load(t, uncommented(t))
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Clairs = []ClairConfig{{URL: "http://clair.clair:6000/", IndexTimeout: 15 * time.Minute, ReportTimeout: time.Minute, IndexConcurrency: 4, ReportConcurrency: 2, Issuer: "clairwatch"}}
	want.Registries = []registry.Registry{{Host: "localhost:5001", Endpoint: "http://kind-registry:5000"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\ngot  %+v\nwant %+v", got, want)
	}
	for base, want := range map[string]time.Duration{
		"http://clair.clair:6000/": 15 * time.Minute, "http://clair.clair:6000": 15 * time.Minute, "HTTP://Clair.clair:6000//": 15 * time.Minute,
		"http://clair.clair:6001/": 0, "https://clair.clair:6000/": 0, "": 0,
	} {
		if of := got.clairConfig(base); of.IndexTimeout != want {
			t.Errorf("%q: got %+v", base, of)
		}
	}
}

// Every setting with a flag: how it is written in each place, and what comes of it.
var precedence = map[string]struct {
	file, env, flag string
	want            func(Config) any
	values          [3]any // of the file, the environment, the flag
}{
	"cluster":                  {"f", "e", "g", func(c Config) any { return c.Cluster }, [3]any{"f", "e", "g"}},
	"kubeconfig":               {"/f", "/e", "/g", func(c Config) any { return c.Kubeconfig }, [3]any{"/f", "/e", "/g"}},
	"namespace":                {"f", "e", "g", func(c Config) any { return c.Namespace }, [3]any{"f", "e", "g"}},
	"settings":                 {"f", "e", "g", func(c Config) any { return c.Settings }, [3]any{"f", "e", "g"}},
	"listen":                   {`":1"`, ":2", ":3", func(c Config) any { return c.Listen }, [3]any{":1", ":2", ":3"}},
	"log-level":                {"debug", "warn", "error", func(c Config) any { return c.Log.Level }, [3]any{"debug", "warn", "error"}},
	"log-format":               {"text", "json", "text", func(c Config) any { return c.Log.Format }, [3]any{"text", "json", "text"}},
	"web-listen":               {`":1"`, ":2", ":3", func(c Config) any { return c.Web.Listen }, [3]any{":1", ":2", ":3"}},
	"web-token-file":           {"/f", "/e", "/g", func(c Config) any { return c.Web.TokenFile }, [3]any{"/f", "/e", "/g"}},
	"external-url":             {"http://f/", "http://e/", "http://g/", func(c Config) any { return c.ExternalURL }, [3]any{"http://f/", "http://e/", "http://g/"}},
	"metrics-images":           {"true", "false", "true", func(c Config) any { return c.Metrics.Images }, [3]any{true, false, true}},
	"max-images":               {"1", "2", "3", func(c Config) any { return c.MaxImages }, [3]any{1, 2, 3}},
	"workers":                  {"1", "2", "3", func(c Config) any { return c.Workers }, [3]any{1, 2, 3}},
	"group-wait":               {"1s", "2s", "3s", func(c Config) any { return c.GroupWait }, [3]any{time.Second, 2 * time.Second, 3 * time.Second}},
	"refresh":                  {"1h", "2h", "3h", func(c Config) any { return c.Refresh }, [3]any{time.Hour, 2 * time.Hour, 3 * time.Hour}},
	"group-max":                {"1h", "2h", "3h", func(c Config) any { return c.GroupMax }, [3]any{time.Hour, 2 * time.Hour, 3 * time.Hour}},
	"data-every":               {"1s", "2s", "3s", func(c Config) any { return c.DataEvery }, [3]any{time.Second, 2 * time.Second, 3 * time.Second}},
	"data-quiet":               {"1s", "2s", "3s", func(c Config) any { return c.DataQuiet }, [3]any{time.Second, 2 * time.Second, 3 * time.Second}},
	"data-max":                 {"6h", "7h", "8h", func(c Config) any { return c.DataMax }, [3]any{6 * time.Hour, 7 * time.Hour, 8 * time.Hour}},
	"removal-grace":            {"1s", "2s", "3s", func(c Config) any { return c.RemovalGrace }, [3]any{time.Second, 2 * time.Second, 3 * time.Second}},
	"delete-grace":             {"1s", "2s", "3s", func(c Config) any { return c.DeleteGrace }, [3]any{time.Second, 2 * time.Second, 3 * time.Second}},
	"annotate-pods":            {"true", "false", "true", func(c Config) any { return c.AnnotatePods }, [3]any{true, false, true}},
	"leader-election":          {"false", "true", "false", func(c Config) any { return c.LeaderElection.Enabled }, [3]any{false, true, false}},
	"leader-election-lease":    {"f", "e", "g", func(c Config) any { return c.LeaderElection.Lease }, [3]any{"f", "e", "g"}},
	"leader-election-duration": {"4s", "5s", "6s", func(c Config) any { return c.LeaderElection.Duration }, [3]any{4 * time.Second, 5 * time.Second, 6 * time.Second}},
	"leader-election-identity": {"f", "e", "g", func(c Config) any { return c.LeaderElection.Identity }, [3]any{"f", "e", "g"}},
	"grace":                    {"1s", "2s", "3s", func(c Config) any { return c.Grace }, [3]any{time.Second, 2 * time.Second, 3 * time.Second}},
	"slack-hosts":              {"[f, f2]", "e,e2", "g,g2", func(c Config) any { return c.SlackHosts }, [3]any{[]string{"f", "f2"}, []string{"e", "e2"}, []string{"g", "g2"}}},
	"webhook-folder":           {"/f", "/e", "/g", func(c Config) any { return c.WebhookFolder }, [3]any{"/f", "/e", "/g"}},
	"notify-token-file":        {"/f", "/e", "/g", func(c Config) any { return c.NotifyTokenFile }, [3]any{"/f", "/e", "/g"}},
	"allow-registries":         {"[f, f2]", "e,e2", "g,g2", func(c Config) any { return c.AllowRegistries }, [3]any{[]string{"f", "f2"}, []string{"e", "e2"}, []string{"g", "g2"}}},
	"deny-registries":          {"[f, f2]", "e,e2", "g,g2", func(c Config) any { return c.DenyRegistries }, [3]any{[]string{"f", "f2"}, []string{"e", "e2"}, []string{"g", "g2"}}},
	"deny-registry-addresses":  {"[10.0.0.0/8]", "10.1.0.0/16", "10.2.0.0/16,fd12::/64", func(c Config) any { return c.DenyRegistryAddresses }, [3]any{[]string{"10.0.0.0/8"}, []string{"10.1.0.0/16"}, []string{"10.2.0.0/16", "fd12::/64"}}},
	"registry-ca-file":         {"/f", "/e", "/g", func(c Config) any { return c.RegistryCAFile }, [3]any{"/f", "/e", "/g"}},
	"docker-config":            {"/f", "/e", "/g", func(c Config) any { return c.DockerConfig }, [3]any{"/f", "/e", "/g"}},
}

func TestPrecedence(t *testing.T) {
	keys := configFlags(pflag.NewFlagSet("x", pflag.ContinueOnError))
	if got, want := slices.Sorted(maps.Keys(precedence)), slices.Sorted(maps.Keys(keys)); !slices.Equal(got, want) {
		t.Fatalf("tested are %q, flags are %q", got, want)
	}
	var noFlag []string
	for _, l := range leaves("", reflect.TypeFor[Config]()) {
		if !slices.Contains(slices.Collect(maps.Values(keys)), l) && !strings.Contains(l, "[]") {
			noFlag = append(noFlag, l)
		}
	}
	if len(noFlag) > 0 {
		t.Errorf("settings without a flag: %q", noFlag)
	}
	for flag, c := range precedence {
		t.Run(flag, func(t *testing.T) {
			file := keys[flag] + ": " + c.file + "\n"
			if outer, inner, nested := strings.Cut(keys[flag], "."); nested {
				file = outer + ":\n  " + inner + ": " + c.file + "\n"
			}
			env := "CLAIRWATCH_" + strings.ToUpper(strings.ReplaceAll(keys[flag], ".", "_"))
			check := func(what string, want any, args ...string) {
				t.Helper()
				cfg, err := load(t, file, args...)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if got := c.want(cfg); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: got %v, want %v", what, got, want)
				}
			}
			check("file over default", c.values[0])
			check("flag over file", c.values[2], "--"+flag+"="+c.flag)
			t.Setenv(env, c.env)
			check("environment over file", c.values[1])
			check("flag over environment", c.values[2], "--"+flag+"="+c.flag)
			t.Setenv(env, "")
			check("an empty variable is none", c.values[0])
		})
	}
}

func TestConfigMistakes(t *testing.T) {
	folder := t.TempDir()
	const wantExternal = "externalURL: want an address such as https://clairwatch.example.com/, in ASCII, without user, query and fragment, of at most 200 characters"
	const wantClair = "want an address such as http://clair.clair:6000/"
	const none = "no such setting; config.yaml of this version lists all of them"
	for content, want := range map[string]string{
		"allowRegistries: [quay.io, https://ghcr.io/]":    `allowRegistries[1]: "https://ghcr.io/": invalid: want a host as in image names, such as quay.io, *.example.com or localhost:5001`,
		"denyRegistries: [quay.io/team]":                  `denyRegistries[0]: "quay.io/team": invalid: want a host as in image names, such as quay.io, *.example.com or localhost:5001`,
		"denyRegistryAddresses: [10.0.0.1]":               `denyRegistryAddresses[0]: "10.0.0.1": invalid: want a range of addresses such as 10.0.0.0/8, or 192.0.2.7/32 for one`,
		"registryCAFile: ca.pem":                          "registryCAFile: " + wantFile,
		"lisen: x":                                        "lisen: " + none,
		"a: 1\nb: {c: 2}":                                 "a: " + none + "\nb: " + none,
		"log: {levle: x}":                                 "log.levle: " + none,
		"log: {level: {}}":                                "log.level: want a text",
		"clairs:\n- url: http://clair/\n  tiemout: 3s":    "clairs[0].tiemout: " + none,
		"clairs:\n- url: http://clair/\n- {url: x, y: 1}": "clairs[1].y: " + none,
		"registries: [{host: a, insecure: 1}]":            "registries[0].insecure: want true or false",
		"registries: [{host: a, password: b}]":            "registries[0].password: " + none,

		"workers: true":                    "workers: want a whole number",
		"workers: many":                    `workers: "many": want a whole number`,
		"workers: 1.5":                     "workers: 1.5: want a whole number",
		"workers: 0":                       "workers: 0: want at least 1",
		"workers: -1":                      "workers: -1: want at least 1",
		"leaderElection: {enabled: 1}":     "leaderElection.enabled: want true or false",
		"leaderElection: {enabled: maybe}": `leaderElection.enabled: "maybe": want true or false`,
		"cluster: 5":                       "cluster: want a text",
		"listen: 8080":                     "listen: want a text",
		"listen: '8080'":                   `listen: "8080": want an address such as :8080`,
		"listen: ''":                       `listen: "": want an address such as :8080`,
		"listen: 'a:'":                     `listen: "a:": want an address such as :8080`,
		"settings: ''":                     "settings: want the name of a ConfigMap",
		"log: debug":                       "log: want a map",
		"log: {level: loud}":               `log.level: "loud": want debug, info, warn or error`,
		"log: {level: INFO}":               `log.level: "INFO": want debug, info, warn or error`,
		"log: {format: logfmt}":            `log.format: "logfmt": want json or text`,

		"maxImages: -1":                                     "maxImages: -1: want a number of images, or 0 for any number",
		"web: {listen: '8081'}":                             `web.listen: "8081": want an address such as 127.0.0.1:8081, or nothing for no pages`,
		"web: {tokenFile: web-token}":                       "web.tokenFile: " + wantFile,
		"externalURL: pages":                                wantExternal,
		"externalURL: ftp://a/":                             wantExternal,
		"externalURL: http://bücher.example/":               wantExternal,
		"{externalURL: 'http://a/', web: {listen: ''}}":     "externalURL: there are no pages to link to, because web.listen is empty",
		"externalURL: http://":                              wantExternal,
		"externalURL: http://u:p@a/":                        wantExternal,
		"externalURL: http://a/?q":                          wantExternal,
		"externalURL: http://a/" + strings.Repeat("a", 200): wantExternal,

		"groupWait: 30":                 "groupWait: 30 has no unit: want a duration such as 30s",
		"groupWait: '30'":               `groupWait: "30": want a duration such as 30s`,
		"groupWait: soon":               `groupWait: "soon": want a duration such as 30s`,
		"groupWait: 1.5":                "groupWait: 1.5: want a duration such as 30s",
		"groupWait: [30s]":              "groupWait: want a duration such as 30s",
		"groupWait: -1s":                "groupWait: -1s: want a duration that is not negative, such as 30s",
		"grace: -1s":                    "grace: -1s: want a duration that is not negative, such as 30s",
		"{groupWait: 2m, groupMax: 1m}": "groupMax: 1m0s: want at least groupWait, 2m0s",
		"groupMax: -1s":                 "groupMax: -1s: want a duration that is not negative, such as 30s\ngroupMax: -1s: want at least groupWait, 30s",

		"dataEvery: 0s":                  "dataEvery: 0s: want at least 1s",
		"{dataQuiet: 2m, dataMax: 1m}":   "dataMax: 1m0s: want at least dataQuiet, 2m0s",
		"removalGrace: -1s":              "removalGrace: -1s: want a duration that is not negative, such as 30s",
		"leaderElection: {lease: ''}":    "leaderElection.lease: want the name of a Lease, such as clairwatch",
		"leaderElection: {duration: 1s}": "leaderElection.duration: 1s: want at least 3s",
		"leaderElection: false":          "leaderElection: want a map",

		"slackHosts: []":                              "slackHosts: want at least one host, such as hooks.slack.com",
		"slackHosts: [1]":                             "slackHosts[0]: want a text",
		"slackHosts: {a: b}":                          "slackHosts: want a list",
		"slackHosts: [a, 'https://b/']":               "slackHosts[1]: want a host such as hooks.slack.com, with a port unless that is 443",
		"slackHosts: ['']":                            "slackHosts[0]: want a host such as hooks.slack.com, with a port unless that is 443",
		"dockerConfig: " + folder:                     "dockerConfig: " + folder + " is a folder: want the file in it",
		"clairs: x":                                   "clairs: want a list of maps, which only the file can hold",
		"clairs: {url: http://clair/}":                "clairs: want a list",
		"clairs: [x]":                                 "clairs[0]: want a map",
		"clairs: [{}]":                                "clairs[0].url: missing: want an address such as http://clair.clair:6000/",
		"clairs: [{url: clair:6000}]":                 "clairs[0].url: not an http or https address: want an address such as http://clair.clair:6000/",
		"clairs: [{url: http://a/}, {url: http://A}]": "clairs[1].url: is in the list twice",
		"clairs: [{url: http://a/, indexTimeout: -1s, reportTimeout: -2s, indexConcurrency: -3, reportConcurrency: -4}]": "clairs[0].indexConcurrency: -3: want at least 1, or 0 for the default\n" +
			"clairs[0].indexTimeout: -1s: want a duration that is not negative, such as 30s\n" +
			"clairs[0].reportConcurrency: -4: want at least 1, or 0 for the default\n" +
			"clairs[0].reportTimeout: -2s: want a duration that is not negative, such as 30s",
		"clairs: [{url: http://a/, indexTimeout: 3}]": "clairs[0].indexTimeout: 3 has no unit: want a duration such as 30s",
		"notifyTokenFile: a-token":                    "notifyTokenFile: " + wantFile,
		"notifyTokenFile: [/a]":                       "notifyTokenFile: want a text",
		"clairs: [{url: http://a/, pskFile: QUI=}]":   "clairs[0].pskFile: " + wantFile,
		"clairs: [{url: http://a/, caFile: ca.pem}]":  "clairs[0].caFile: " + wantFile,
		"clairs: [{url: http://a/, pskFile: 1}]":      "clairs[0].pskFile: want a text",
		"clairs: [{url: http://a/, issuer: [b]}]":     "clairs[0].issuer: want a text",
		"clairs: [{url: http://a/, callbackAliases: ['', 'b:1', 'ftp://b', 'http://u:p@b/', 'http://b/?c', 'http://b:0/']}]": "clairs[0].callbackAliases[0]: missing: " + wantClair + "\n" +
			"clairs[0].callbackAliases[1]: not an http or https address: " + wantClair + "\n" +
			"clairs[0].callbackAliases[2]: not an http or https address: " + wantClair + "\n" +
			"clairs[0].callbackAliases[3]: user and password are not supported in the address: " + wantClair + "\n" +
			"clairs[0].callbackAliases[4]: no query or fragment: " + wantClair + "\n" +
			"clairs[0].callbackAliases[5]: no such port: " + wantClair,
		"clairs: [{url: http://a/, callbackAliases: [http://b/, http://B]}, {url: http://c, callbackAliases: [http://b/c, http://A, http://c/]}]": "clairs[0].callbackAliases[1]: is the address or an alias of a Clair already\n" +
			"clairs[1].callbackAliases[1]: is the address or an alias of a Clair already\n" +
			"clairs[1].callbackAliases[2]: is the address or an alias of a Clair already",
		"registries: [{host: a}, {host: A}, {host: b/c}, {host: b, endpoint: c}]": "registries[1]: registry host \"A\": invalid: it is listed twice\n" +
			"registries[2]: registry host \"b/c\": invalid: it is a name with an optional port, as in image names\n" +
			"registries[3]: endpoint of registry b: invalid: it must be https://host[:port][/path], or http",

		"a: b: c":                           "not valid YAML: yaml: mapping values are not allowed in this context",
		"- a":                               "not valid YAML: yaml: unmarshal errors: line 1: cannot unmarshal !!seq into map[string]interface {}",
		"workers: 1\nworkers: 2":            `not valid YAML: yaml: unmarshal errors: line 2: mapping key "workers" already defined at line 1`,
		"workers: 0\ngrace: -1s\nlisten: x": "grace: -1s: want a duration that is not negative, such as 30s\nlisten: \"x\": want an address such as :8080\nworkers: 0: want at least 1",
	} {
		_, err := load(t, content)
		if err == nil {
			t.Errorf("%q was taken", content)
			continue
		}
		if _, got, _ := strings.Cut(err.Error(), "config.yaml: "); got != want {
			t.Errorf("%q:\n got %s\nwant %s", content, got, want)
		}
	}
}

// What a person may write as well.
func TestConfigFreedoms(t *testing.T) {
	for content, want := range map[string]func(*Config){
		"":                          func(*Config) {},
		"# only a comment":          func(*Config) {},
		"log:\ngroupWait:\nclairs:": func(*Config) {},
		"workers: '8'":              func(c *Config) { c.Workers = 8 },
		"WORKERS: 8":                func(c *Config) { c.Workers = 8 },
		"log.level: debug":          func(c *Config) { c.Log.Level = "debug" },
		"maxImages: 0":              func(c *Config) { c.MaxImages = 0 },
		"web: {listen: ''}":         func(c *Config) { c.Web.Listen = "" },
		"dataQuiet: 0":              func(c *Config) { c.DataQuiet = 0 },
		"leaderElection: {enabled: false, lease: ''}": func(c *Config) { c.LeaderElection.Enabled, c.LeaderElection.Lease = false, "" },
		"grace: 0":                    func(c *Config) { c.Grace = 0 },
		"slackHosts: 'a, b:8443'":     func(c *Config) { c.SlackHosts = []string{"a", "b:8443"} },
		"dockerConfig: /not/there":    func(c *Config) { c.DockerConfig = "/not/there" },
		"notifyTokenFile: /not/there": func(c *Config) { c.NotifyTokenFile = "/not/there" },
		"clairs: [{url: http://a/, pskFile: /not/there, issuer: us, callbackAliases: 'http://b/, https://c/d'}]": func(c *Config) {
			c.Clairs = []ClairConfig{{URL: "http://a/", PSKFile: "/not/there", Issuer: "us", CallbackAliases: []string{"http://b/", "https://c/d"}}}
		},
		"{groupWait: 1m, groupMax: 1m}": func(c *Config) { c.GroupWait, c.GroupMax = time.Minute, time.Minute },
	} {
		expected := defaults()
		want(&expected)
		if got, err := load(t, content); err != nil || !reflect.DeepEqual(got, expected) {
			t.Errorf("%q:\n got %+v, %v\nwant %+v", content, got, err, expected)
		}
	}
}

func TestConfigFileUnreadable(t *testing.T) {
	folder := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(folder, "none.yaml"): "reading the config " + filepath.Join(folder, "none.yaml") + ": no such file or directory",
		folder:                             "reading the config " + folder + ": is a directory",
	} {
		if _, err := loadFile(t, path); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestEnvironmentMistakes(t *testing.T) {
	for variable, c := range map[string]struct{ value, want string }{
		"CLAIRWATCH_GROUPWAITT":             {"1m", "reading the environment: no such setting: CLAIRWATCH_GROUPWAITT; the name is CLAIRWATCH_ and the key of config.yaml in capitals, with _ for a dot"},
		"CLAIRWATCH_GROUP_WAIT":             {"1m", "reading the environment: no such setting: CLAIRWATCH_GROUP_WAIT; the name is CLAIRWATCH_ and the key of config.yaml in capitals, with _ for a dot"},
		"CLAIRWATCH_GROUPWAIT":              {"30", `reading the config: groupWait: "30": want a duration such as 30s`},
		"CLAIRWATCH_WORKERS":                {"x", `reading the config: workers: "x": want a whole number`},
		"CLAIRWATCH_LEADERELECTION_ENABLED": {"x", `reading the config: leaderElection.enabled: "x": want true or false`},
		"CLAIRWATCH_LOG_LEVEL":              {"x", `reading the config: log.level: "x": want debug, info, warn or error`},
		"CLAIRWATCH_LOG":                    {"x", "reading the environment: no such setting: CLAIRWATCH_LOG; the name is CLAIRWATCH_ and the key of config.yaml in capitals, with _ for a dot"},
		"CLAIRWATCH_CLAIRS":                 {"http://a/", "reading the config: clairs: want a list of maps, which only the file can hold"},
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, c.value)
			if _, err := loadFile(t, ""); err == nil || err.Error() != c.want {
				t.Errorf("\n got %v\nwant %s", err, c.want)
			}
		})
	}
}

// Kubernetes gives every container such variables for a Service called clairwatch, or clairwatch-metrics.
func TestInjectedEnvironmentIsIgnored(t *testing.T) {
	for _, variable := range []string{
		"CLAIRWATCH_SERVICE_HOST", "CLAIRWATCH_SERVICE_PORT", "CLAIRWATCH_SERVICE_PORT_HTTP", "CLAIRWATCH_PORT",
		"CLAIRWATCH_PORT_8080_TCP", "CLAIRWATCH_PORT_8080_TCP_PROTO", "CLAIRWATCH_PORT_8080_TCP_PORT", "CLAIRWATCH_PORT_8080_TCP_ADDR",
		"CLAIRWATCH_METRICS_SERVICE_HOST", "CLAIRWATCH_METRICS_PORT_53_UDP_ADDR", "CLAIRWATCHER_X",
	} {
		t.Setenv(variable, "tcp://10.0.0.1:8080")
	}
	if got, err := loadFile(t, ""); err != nil || !reflect.DeepEqual(got, defaults()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRegistryCAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	cfg := defaults()
	if c, err := registryClient(cfg, nil); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	cfg.RegistryCAFile = file
	for _, content := range []string{"", "no certificate"} {
		if content != "" {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := registryClient(cfg, nil); err == nil || !strings.Contains(err.Error(), "registryCAFile") || !strings.Contains(err.Error(), file) {
			t.Errorf("got %v", err)
		}
	}
}
