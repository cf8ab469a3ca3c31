package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
)

// settingsFound are the settings of namespaces that could be read.
type settingsFound struct {
	rows []row
	// scanners are those of each key; nil when there was nothing to read.
	scanners settings.Settings
	// effective are the keys whose Scanners could be in force, with all that these inherit.
	effective []checkedKey
	// doubt: what all of them inherit has a mistake.
	doubt bool
}

// readSettings reads the settings of namespaces, from the file or from the cluster, with a row for each key.
func (c *checkup) readSettings(ctx context.Context, cluster cluster) settingsFound {
	what, written, err := c.settingsData(ctx, cluster)
	data := written.data
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
		rows := c.mistakesOf(key, wrong[key], written.values[key])
		switch {
		case written.values[key].noText: // and so none of it is in force
			all[key] = nil
		case errors.Is(wrong[key], settings.ErrDefaults): // which are not in force, as little as these
			rows = []row{{rowOfKey(key), isSkipped, "it inherits from _defaults: mend that first"}}
		case wrong[key] != nil:
		case key == settings.DefaultsKey:
			rows = append([]row{{rowOfKey(key), isOK, "every Scanner inherits it"}}, ends(rowOfKey(key), key, inherited, now)...)
		default:
			var scanners []checkedScanner
			rows, scanners = c.checkKey(key, all, inherited, now)
			if len(scanners) > 0 {
				found.effective = append(found.effective, checkedKey{key, scanners})
			}
		}
		found.rows = append(found.rows, rows...)
	}
	if c.lacksFolder() && slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(all))...), func(s settings.Scanner) bool { return s.SlackWebhookFile != "" }) {
		found.rows = append(found.rows, row{"webhookFolder " + c.cfg.WebhookFolder, isWarning, "it is not here, so the files of slackWebhookFile were not looked at: check them where the daemon runs"})
	}
	return found
}

// mistakesOf has a row for each mistake of a key, with the line of the file too where that is known.
func (c *checkup) mistakesOf(key string, mistake error, v writtenValue) []row {
	what, file := rowOfKey(key), c.options.settingsFile
	if file == "-" {
		file = "the input"
	}
	where := printableKey(key)
	if v.line > 0 {
		where = fmt.Sprintf("%s (line %d of %s)", where, v.line, file)
	}
	var rows []row
	switch {
	case v.noText:
		rows = []row{{what, isProblem, where + ": a value of a ConfigMap is a text: write | behind the colon, and its fields on the lines after that, indented"}}
	case v.folded && mistake != nil: // the rest follows from that
		return []row{{what, isProblem, where + ": its text begins with >, which makes one line of several: write | in its place"}}
	}
	of, ok := errors.AsType[settings.KeyError](mistake)
	switch {
	case mistake == nil, errors.Is(mistake, settings.ErrDefaults), v.noText && len(of) == 1 && of[0].Path == key: // it is no map at all
		return rows
	case !ok:
		return append(rows, mistakes(what, mistake)...)
	}
	for _, m := range of {
		switch {
		case v.noText: // the lines of its text are nowhere to be seen
			m.Line = 0
		case v.before > 0 && m.Line > 0:
			m.Path = fmt.Sprintf("%s (line %d of the key, line %d of %s)", m.Path, m.Line, v.before+m.Line, file)
			m.Line = 0
		}
		rows = append(rows, row{what, isProblem, m.Error()})
	}
	return rows
}

// checkKey has the rows of a key that could be read, and its Scanners if they could be in force.
func (c *checkup) checkKey(key string, all settings.Settings, inherited []findings.Ignore, now time.Time) ([]row, []checkedScanner) {
	what, scanners := rowOfKey(key), all[key]
	switch _, forAll := all.Of(""); { // "" is no namespace
	case len(scanners) > 0:
	case key == settings.AllKey:
		return []row{{what, isInfo, "it is empty, so namespaces without a key are not watched"}}, nil
	case len(forAll) > 0:
		return []row{{what, isInfo, "it is empty, so nobody hears of this namespace, not by _all either"}}, nil
	default:
		return []row{{what, isInfo, "it is empty, so nobody hears of this namespace"}}, nil
	}
	var good, rows []row
	var effective []checkedScanner
	for i, s := range scanners {
		path := key
		if len(scanners) > 1 {
			path = fmt.Sprintf("%s[%d]", key, i)
		}
		channel, err := c.channelOf(s)
		checked := newCheckedScanner(s)
		is := isOK
		switch {
		case errors.Is(err, errNoFolder): // which is told once
			is = isInfo
		case err != nil:
			rows = append(rows, row{what, isProblem, path + "." + err.Error()})
		default:
			checked.Channel = channel.String()
		}
		found := checked.String()
		if key == settings.AllKey {
			found = "each namespace without a key: " + found
		}
		good = append(good, row{what, is, found})
		effective = append(effective, checked)
		if !slices.Equal(s.Rules.Ignore, inherited) { // which is told once
			rows = append(rows, ends(what, path, s.Rules.Ignore, now)...)
		}
	}
	if slices.ContainsFunc(rows, func(r row) bool { return r.Outcome == isProblem }) { // none of them is in force
		return rows, nil
	}
	return append(good, rows...), effective
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
	if printableKey(key) != key {
		return "settings of a key that is no namespace"
	}
	return "settings of " + key
}

// printableKey is a key as people may see it: one that can be a namespace, or looks like a name.
func printableKey(key string) string {
	if len(validation.IsDNS1123Label(key)) > 0 && !settings.Shown(key) {
		return "(not shown)"
	}
	return key
}

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
func (c *checkup) settingsData(ctx context.Context, cluster cluster) (what string, written manifest, err error) {
	switch path := c.options.settingsFile; path {
	case "":
		what = fmt.Sprintf("ConfigMap %s", strings.TrimPrefix(cluster.namespace+"/"+c.cfg.Settings, "/"))
		written.data, err = cluster.settings(ctx, c.cfg.Settings)
		return what, written, err
	case "-":
		what = "settings of the standard input"
		written, err = readManifest(c.input, c.cfg.Settings)
		return what, written, err
	default:
		what = "settings " + path
		f, err := os.Open(path)
		if err != nil {
			return what, manifest{}, errors.New("the file cannot be read: " + withoutPath(err).Error())
		}
		defer f.Close()
		written, err = readManifest(f, c.cfg.Settings)
		return what, written, err
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
