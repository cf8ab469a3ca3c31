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
	// namespaces are those that have a key, in order, whatever its value; others says that namespaces without one are
	// watched too.
	namespaces []string
	others     bool
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
	if written.name != "" && written.name != c.cfg.Settings {
		found.rows = append(found.rows, row{what, isWarning, fmt.Sprintf("the ConfigMap is called %s; the daemon reads %s (settings)", printableKey(written.name), c.cfg.Settings)})
	}
	inherited := settings.Inherited(data, rules)
	forAll := len(all[settings.AllKey]) > 0 || wrong[settings.AllKey] != nil
	found.others = forAll
	now := time.Now()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if key != settings.AllKey && key != settings.DefaultsKey && settings.CheckKey(key) == nil {
			found.namespaces = append(found.namespaces, key)
		}
		rows := c.mistakesOf(key, wrong[key], written.values[key])
		switch {
		case written.values[key].noText: // and so none of it is in force
			all[key] = nil
		case written.values[key].none && wrong[key] == nil && key != settings.AllKey && key != settings.DefaultsKey: // for which it is the same
			rows = []row{c.leftOut(key, written.values[key], forAll)}
		case errors.Is(wrong[key], settings.ErrDefaults): // which are not in force, as little as these
			rows = []row{{rowOfKey(key), isSkipped, "it inherits from _defaults: mend that first"}}
		case wrong[key] != nil:
		case key == settings.DefaultsKey:
			rows = append([]row{{rowOfKey(key), isOK, "every Scanner inherits it"}}, c.ends(rowOfKey(key), inherited, written.values[key], now)...)
		default:
			var scanners []checkedScanner
			rows, scanners = c.checkKey(key, all, inherited.Rules.Ignore, written.values[key], now)
			if len(scanners) > 0 {
				found.effective = append(found.effective, checkedKey{key, scanners})
			}
		}
		found.rows = append(found.rows, rows...)
	}
	none := !slices.ContainsFunc(slices.Collect(maps.Values(all)), func(scanners []settings.Scanner) bool { return len(scanners) > 0 })
	if none && slices.ContainsFunc(found.rows, func(r row) bool { return r.Outcome == isProblem }) {
		found.rows = append(found.rows, row{"Clairs and channels of the settings", isSkipped, "not tried, as no Scanner can be read: mend the settings first"})
	}
	if c.lacksFolder() && slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(all))...), func(s settings.Scanner) bool { return s.SlackWebhookFile != "" }) {
		is := isWarning
		if c.options.offline { // where nobody expects it
			is = isInfo
		}
		found.rows = append(found.rows, row{slack.WebhookFolder(c.cfg.WebhookFolder).String(), is, "it is not here, so the files of slackWebhookFile were not looked at: check them where the daemon runs"})
	}
	return found
}

// mistakesOf has a row for each mistake of a key, with the line of the file too where that is known.
func (c *checkup) mistakesOf(key string, mistake error, v writtenValue) []row {
	what, where := rowOfKey(key), c.whereIs(key, v)
	noText := v.noText && settings.CheckKey(key) == nil // otherwise it is to stand elsewhere
	var rows []row
	switch {
	case noText:
		rows = []row{{what, isProblem, where + ": a value of a ConfigMap is a text: write | behind the colon, and its fields on the lines after that, indented"}}
	case v.folded && mistake != nil: // the rest follows from that
		return []row{{what, isProblem, where + ": its text begins with >, which makes one line of several: write | in its place"}}
	}
	of, ok := errors.AsType[settings.KeyError](mistake)
	switch {
	case mistake == nil, errors.Is(mistake, settings.ErrDefaults), noText && len(of) == 1 && of[0].Path == key: // it is no map at all
		return rows
	case !ok:
		return append(rows, mistakes(what, mistake)...)
	}
	for _, m := range of {
		rows = append(rows, row{what, isProblem, c.inFile(m, v)})
	}
	return rows
}

// fileName is what people call the file with the settings.
func (c *checkup) fileName() string {
	if c.options.settingsFile == "-" {
		return "the input"
	}
	return c.options.settingsFile
}

// whereIs names a key, and its line of the file where that is known.
func (c *checkup) whereIs(key string, v writtenValue) string {
	if v.line == 0 {
		return printableKey(key)
	}
	return fmt.Sprintf("%s (line %d of %s)", printableKey(key), v.line, c.fileName())
}

// inFile says a mistake in the value of a key, with the line of the file too where that is known: if it has no line in the
// value, that of the key.
func (c *checkup) inFile(m settings.Mistake, v writtenValue) string {
	switch {
	case v.noText && m.Line > 0: // the lines of its text are nowhere to be seen
		m.Line = 0
	case m.Line == 0 && v.line > 0:
		m.Path = fmt.Sprintf("%s (line %d of %s)", m.Path, v.line, c.fileName())
	case m.Line > 0 && v.before > 0:
		m.Path = fmt.Sprintf("%s (line %d of the key, line %d of %s)", m.Path, m.Line, v.before+m.Line, c.fileName())
		m.Line = 0
	}
	return m.Error()
}

// leftOut is the row of a key without a value, which a ConfigMap in a cluster cannot have; forAll: there are Scanners for
// namespaces without a key.
func (c *checkup) leftOut(key string, v writtenValue, forAll bool) row {
	so := ""
	if forAll {
		so = ", so " + settings.AllKey + " would hear of it"
	}
	return row{rowOfKey(key), isProblem, c.whereIs(key, v) + ": there is no value, and kubectl apply leaves such a key out" + so + `: write "" to opt out`}
}

// checkKey has the rows of a key that could be read, and its Scanners if they could be in force.
func (c *checkup) checkKey(key string, all settings.Settings, inherited []findings.Ignore, v writtenValue, now time.Time) ([]row, []checkedScanner) {
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
	for _, s := range scanners {
		channel, err := c.channelOf(s)
		checked := newCheckedScanner(s)
		is := isOK
		switch {
		case errors.Is(err, errNoFolder): // which is told once
			is = isInfo
		case err != nil:
			rows = append(rows, row{what, isProblem, c.inFile(s.WebhookMistake(err.Error()), v)})
		default:
			checked.Channel = channel.String()
		}
		found := checked.String()
		if key == settings.AllKey {
			found = "each namespace without a key: " + found
		}
		good = append(good, row{what, is, found})
		effective = append(effective, checked)
		if s.Tell == (settings.Tell{}) {
			rows = append(rows, row{what, isWarning, c.inFile(s.TellMistake("all of it is off, so the channel hears nothing: turn on what it is to hear, or take the Scanner out"), v)})
		}
		if !slices.Equal(s.Rules.Ignore, inherited) { // which is told once
			rows = append(rows, c.ends(what, s, v, now)...)
		}
	}
	if slices.ContainsFunc(rows, func(r row) bool { return r.Outcome == isProblem }) { // none of them is in force
		return rows, nil
	}
	return append(good, rows...), effective
}

// endsSoon is how long before the end of an ignore somebody hears of it.
const endsSoon = 7 * 24 * time.Hour

// ends has a row for each ignore of a Scanner that has ended, or does so soon.
func (c *checkup) ends(what string, s settings.Scanner, v writtenValue, now time.Time) []row {
	var rows []row
	say := func(is outcome, entry int, said string) {
		rows = append(rows, row{what, is, c.inFile(s.IgnoreMistake(entry, said), v)})
	}
	for i, entry := range s.Rules.Ignore {
		about := strings.TrimSpace(entry.ID + " " + entry.Package)
		until := entry.Until.Format(time.RFC3339)
		if entry.Until.Equal(entry.Until.Truncate(24 * time.Hour)) {
			until = entry.Until.Format(time.DateOnly)
		}
		switch {
		case entry.Until.IsZero():
		case !entry.Until.After(now):
			say(isWarning, i, about+": it ended on "+until+", so its findings are told: take it out, or decide anew")
		case !entry.Until.After(now.Add(endsSoon)):
			say(isInfo, i, about+": it ends on "+until+"; from then on its findings are told")
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
