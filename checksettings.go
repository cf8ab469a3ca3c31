package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
)

// settingsLimit bounds a file with settings, in bytes. A ConfigMap has at most a mebibyte.
const settingsLimit = 4 << 20

// settingsFound are the settings of namespaces that could be read.
type settingsFound struct {
	rows []row
	// scanners are those of each key; nil when there was nothing to read.
	scanners map[string][]settings.Scanner
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
	all, wrong := settings.Parse(data, settings.Rules{Webhook: func(address string) error {
		_, err := slack.ParseWebhook(address, c.cfg.SlackHosts)
		return err
	}})
	found := settingsFound{scanners: all}
	found.rows = append(found.rows, row{what, isOK, counted(len(data), "key")})
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if mistake := wrong[key]; mistake != nil {
			found.rows = append(found.rows, mistakes(rowOfKey(key), mistake)...)
			continue
		}
		var scanners []string
		for _, s := range all[key] {
			scanners = append(scanners, fmt.Sprintf("%s: Clair %s, channel %s", s.Name, s.ClairBaseURL, c.channelOf(s)))
		}
		found.rows = append(found.rows, row{rowOfKey(key), isOK, strings.Join(scanners, "; ")})
	}
	return found
}

// rowOfKey is what a row about a key looks at. A key that is no name of a namespace may be anything.
func rowOfKey(key string) string {
	if !keyName.MatchString(key) {
		return "settings of a key that is no namespace"
	}
	return "settings of " + key
}

var keyName = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,63}$`)

// channelOf names the channel of a Scanner without its address.
func (c *checkup) channelOf(s settings.Scanner) string {
	if s.SlackWebhookFile != "" {
		return "by the file " + s.SlackWebhookFile
	}
	webhook, err := slack.ParseWebhook(s.SlackWebhookURL.Reveal(), c.cfg.SlackHosts)
	if err != nil {
		return "no webhook" // it was parsed before
	}
	return webhook.String()
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
