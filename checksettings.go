package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
)

// settingsLimit bounds a file with settings, in bytes. A ConfigMap has at most a mebibyte.
const settingsLimit = 4 << 20

// settingsFound are the settings of namespaces that could be read.
type settingsFound struct {
	rows []row
	// scanners are those of each key; nil when there was nothing to read.
	scanners settings.Settings
	// doubt: what all of them inherit has a mistake.
	doubt bool
}

// readSettings reads the settings of namespaces, from the file or from the cluster, with a row for each key.
func (c *checkup) readSettings(ctx context.Context, cluster cluster) settingsFound {
	what, data, err := c.settingsData(ctx, cluster)
	switch {
	case err != nil && cluster.err != nil && c.options.settingsFile == "":
		return settingsFound{rows: []row{{what, isSkipped, "without the API there are none to look at; --settings-file has them from a file"}}}
	case err != nil:
		return settingsFound{rows: []row{{what, isProblem, err.Error()}}}
	case len(data) == 0:
		return settingsFound{rows: []row{{what, isWarning, "it is empty, so no namespace is watched: write a key for each, named like it"}}}
	}
	rules := settings.Rules{Webhook: func(address string) error {
		_, err := c.parseWebhook(address)
		return err
	}}
	all, wrong := settings.Parse(data, rules)
	found := settingsFound{scanners: all, doubt: wrong[settings.DefaultsKey] != nil, rows: []row{{what, isOK, counted(len(data), "key")}}}
	inherited := settings.Inherited(data, rules).Rules.Ignore
	now := time.Now()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		switch mistake := wrong[key]; {
		case errors.Is(mistake, settings.ErrDefaults): // which are not in force, as little as these
			found.rows = append(found.rows, row{rowOfKey(key), isSkipped, "it inherits from _defaults: mend that first"})
		case mistake != nil:
			found.rows = append(found.rows, mistakes(rowOfKey(key), mistake)...)
		case key == settings.DefaultsKey:
			found.rows = append(found.rows, row{rowOfKey(key), isOK, "every Scanner inherits it"})
			found.rows = append(found.rows, ends(rowOfKey(key), key, inherited, now)...)
		default:
			found.rows = append(found.rows, c.checkKey(key, all, inherited, now)...)
		}
	}
	if c.lacksFolder() && slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(all))...), func(s settings.Scanner) bool { return s.SlackWebhookFile != "" }) {
		found.rows = append(found.rows, row{"webhookFolder " + c.cfg.WebhookFolder, isWarning, "it is not here, so the files of slackWebhookFile were not looked at: check them where the daemon runs"})
	}
	return found
}

// checkKey has the rows of a key that could be read.
func (c *checkup) checkKey(key string, all settings.Settings, inherited []findings.Ignore, now time.Time) []row {
	what, scanners := rowOfKey(key), all[key]
	switch _, forAll := all.Of(""); { // "" is no namespace
	case len(scanners) > 0:
	case key == settings.AllKey:
		return []row{{what, isInfo, "it is empty, so namespaces without a key are not watched"}}
	case len(forAll) > 0:
		return []row{{what, isInfo, "it is empty, so nobody hears of this namespace, not by _all either"}}
	default:
		return []row{{what, isInfo, "it is empty, so nobody hears of this namespace"}}
	}
	var texts []string
	var rows []row
	broken := false
	for i, s := range scanners {
		path := key
		if len(scanners) > 1 {
			path = fmt.Sprintf("%s[%d]", key, i)
		}
		channel, err := c.channelOf(s)
		name := channel.String()
		switch {
		case errors.Is(err, errNoFolder): // which is told once
			name = "by the file " + s.SlackWebhookFile
		case err != nil:
			broken = true
			rows = append(rows, row{what, isProblem, path + "." + err.Error()})
		}
		texts = append(texts, fmt.Sprintf("%s: Clair %s, channel %s", s.Name, s.ClairBaseURL, name))
		if !slices.Equal(s.Rules.Ignore, inherited) { // which is told once
			rows = append(rows, ends(what, path, s.Rules.Ignore, now)...)
		}
	}
	if broken { // none of them is in force
		return rows
	}
	found := strings.Join(texts, "; ")
	if key == settings.AllKey {
		found = "each namespace without a key: " + found
	}
	return append([]row{{what, isOK, found}}, rows...)
}

// endsSoon is how long before the end of an ignore somebody hears of it.
const endsSoon = 7 * 24 * time.Hour

// ends has a row for each ignore that has ended, or does so soon.
func ends(what, path string, ignores []findings.Ignore, now time.Time) []row {
	var rows []row
	for i, entry := range ignores {
		about := fmt.Sprintf("%s.ignore[%d] (%s)", path, i, strings.TrimSpace(entry.ID+" "+entry.Package))
		until := entry.Until.Format(time.RFC3339)
		if entry.Until.Equal(entry.Until.Truncate(24 * time.Hour)) {
			until = entry.Until.Format(time.DateOnly)
		}
		switch {
		case entry.Until.IsZero():
		case !entry.Until.After(now):
			rows = append(rows, row{what, isWarning, about + ": it has ended on " + until + ", so its findings are told: take it out, or decide anew"})
		case !entry.Until.After(now.Add(endsSoon)):
			rows = append(rows, row{what, isInfo, about + ": it ends on " + until + "; from then on its findings are told"})
		}
	}
	return rows
}

// rowOfKey is what a row about a key looks at. A key that is no name of a namespace may be anything.
func rowOfKey(key string) string {
	if !keyName.MatchString(key) {
		return "settings of a key that is no namespace"
	}
	return "settings of " + key
}

var keyName = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,63}$`)

// errNoFolder is why a file with a webhook is not looked for.
var errNoFolder = errors.New("the folder of webhooks is not here")

// lacksFolder says that the daemon's folder of webhooks is not here, as it is not where the daemon does not run.
func (c *checkup) lacksFolder() bool {
	_, err := os.Stat(c.cfg.WebhookFolder)
	return c.cfg.WebhookFolder != "" && errors.Is(err, fs.ErrNotExist)
}

// channelOf returns where the messages of a Scanner go, as the daemon finds it out.
func (c *checkup) channelOf(s settings.Scanner) (slack.Webhook, error) {
	switch {
	case s.SlackWebhookFile == "":
		return c.parseWebhook(s.SlackWebhookURL.Reveal())
	case c.lacksFolder():
		return slack.Webhook{}, errNoFolder
	}
	return slack.WebhookFolder(c.cfg.WebhookFolder).Webhook(s.SlackWebhookFile, c.parseWebhook)
}

func (c *checkup) parseWebhook(address string) (slack.Webhook, error) {
	return slack.ParseWebhook(address, c.cfg.SlackHosts)
}

// settingsData gets the data of the ConfigMap, and says where it is from.
func (c *checkup) settingsData(ctx context.Context, cluster cluster) (what string, data map[string]string, err error) {
	switch path := c.options.settingsFile; path {
	case "":
		what = fmt.Sprintf("ConfigMap %s", strings.TrimPrefix(cluster.namespace+"/"+c.cfg.Settings, "/"))
		data, err = cluster.settings(ctx, c.cfg.Settings)
		return what, data, err
	case "-":
		what = "settings of the standard input"
		data, err = readManifest(c.input, c.cfg.Settings)
		return what, data, err
	default:
		what = "settings " + path
		f, err := os.Open(path)
		if err != nil {
			return what, nil, errors.New("the file cannot be read: " + withoutPath(err).Error())
		}
		defer f.Close()
		data, err = readManifest(f, c.cfg.Settings)
		return what, data, err
	}
}

// settings reads the data of the settings ConfigMap. The daemon may list and watch it by its name, and not get it.
func (c cluster) settings(ctx context.Context, name string) (map[string]string, error) {
	if c.err != nil {
		return nil, c.err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	list, err := c.client.CoreV1().ConfigMaps(c.namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String(),
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("it cannot be read: %w", err)
	case len(list.Items) == 0:
		return nil, errors.New("it does not exist: kubectl apply -f deploy/clairwatch.yaml makes it, and namespace and settings of the config say which one it is")
	}
	return list.Items[0].Data, nil
}

// configMapFields are those that a ConfigMap has.
var configMapFields = [...]string{"apiVersion", "kind", "metadata", "data", "binaryData", "immutable"}

// printableField is a field of a manifest as an error may repeat it.
func printableField(name string) string {
	if !keyName.MatchString(name) {
		return "(not shown)"
	}
	return name
}

// readManifest reads the data of a ConfigMap: that of the name where there are several in the file, or the bare data.
// Its errors repeat nothing of the text, which holds webhooks.
func readManifest(from io.Reader, name string) (map[string]string, error) {
	text, err := io.ReadAll(io.LimitReader(from, settingsLimit+1))
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	if len(text) > settingsLimit {
		return nil, fmt.Errorf("it has more than %d MiB: want the YAML of a ConfigMap", settingsLimit>>20)
	}
	type manifest struct {
		Kind     string                     `json:"kind"`
		Metadata struct{ Name string }      `json:"metadata"`
		Data     map[string]json.RawMessage `json:"data"`
	}
	var found []manifest
	for _, document := range documentEnd.Split(string(text), -1) {
		asJSON, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			return nil, notYAML(err)
		}
		var values map[string]json.RawMessage
		switch {
		case bytes.Equal(asJSON, []byte("null")): // nothing but comments
			continue
		case json.Unmarshal(asJSON, &values) != nil:
			return nil, errors.New("it is no map: want the YAML of a ConfigMap, or its data")
		}
		var m manifest
		_, hasKind := values["kind"]
		_, hasData := values["data"]
		switch {
		case !hasKind && !(hasData && len(values) == 1 && values["data"][0] == '{'):
			m = manifest{Kind: "ConfigMap", Data: values}
		case json.Unmarshal(asJSON, &m) != nil:
			return nil, errors.New("it is no manifest: want the YAML of a ConfigMap, or its data")
		case !hasKind:
			m.Kind = "ConfigMap"
		}
		if hasKind && m.Kind == "ConfigMap" {
			for _, field := range slices.Sorted(maps.Keys(values)) {
				if !slices.Contains(configMapFields[:], field) {
					return nil, fmt.Errorf("%s: no such field of a ConfigMap; the keys of namespaces belong under data", printableField(field))
				}
			}
		}
		if m.Kind == "ConfigMap" {
			found = append(found, m)
		}
	}
	if len(found) > 1 {
		found = slices.DeleteFunc(found, func(m manifest) bool { return m.Metadata.Name != name })
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("want one ConfigMap, or one that is called %s (settings)", name)
	}
	data := make(map[string]string, len(found[0].Data))
	for key, raw := range found[0].Data {
		var value string
		if json.Unmarshal(raw, &value) != nil {
			return nil, fmt.Errorf("%s: a value of a ConfigMap is a text: write |, and its fields on the lines after that, indented", rowOfKey(key))
		}
		data[key] = value
	}
	return data, nil
}

var (
	documentEnd = regexp.MustCompile(`(?m)^(?:---|\.\.\.)(?:[ \t].*)?\r?$`)
	lineNumber  = regexp.MustCompile(`line \d+`)
)

// notYAML says where a text is no YAML, and nothing of what is there.
func notYAML(err error) error {
	if at := lineNumber.FindString(err.Error()); at != "" {
		return fmt.Errorf("it is no valid YAML, see %s", at)
	}
	return errors.New("it is no valid YAML")
}
