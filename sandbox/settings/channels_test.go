package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// webhookChanged leads a namespace to another channel, which goes on where the one before stopped.
func (c *cluster) webhookChanged(t *testing.T) {
	apps := c.run(t, "moves", 2)
	c.edit(t, "moves", c.scanner("moves-from"))
	c.hears(t, "moves-from", "Now watching 2 images in moves")
	c.silently(t, "moves", c.scanner("moves-to"), apps...)
	a := c.run(t, "moves", 1)[0]
	c.hears(t, "moves-to", a.name+" is running with")
	c.remove(t, "moves", apps[0])
	c.hears(t, "moves-to", apps[0].name+" is no longer running")

	// What a channel does not take moves on with the webhook.
	c.refuse("moves-to")
	a = c.run(t, "moves", 1)[0]
	c.refused(t, "moves-to", 1)
	c.edit(t, "moves", c.scanner("moves-on"))
	c.hears(t, "moves-on", a.name+" is running with")
	c.Slack.Mend(slackstand.Path("moves-to"))
}

// takenBack makes edits, and takes them back, while Slack takes nothing. What is told in the end is as if nobody had
// made them, and by the rules of the end.
func (c *cluster) takenBack(t *testing.T) {
	apps := c.run(t, "slips", 1)
	c.edit(t, "slips", c.scanner("slips", high))
	c.hears(t, "slips", apps[0].name+" is running with 3 high")
	c.refuse("slips")
	c.edit(t, "slips", c.scanner("slips"))
	c.refused(t, "slips", 1)
	c.silently(t, "slips", c.scanner("slips", high), apps...) // there is nothing to tell any more
	from := c.now()
	apps = append(apps, c.run(t, "slips", 1)...)
	c.looked(t, from, apps[1])
	from = c.now()
	c.edit(t, "slips", c.scanner("slips", high, ignoreCVE))
	c.looked(t, from, apps...)
	c.Slack.Mend(slackstand.Path("slips"))
	c.hears(t, "slips", apps[1].name+" is running with 2 high", "1 is ignored")
}

// secondScanner adds one to a key, for who is on call, and takes the first one out.
func (c *cluster) secondScanner(t *testing.T) {
	first, second := item("default", c.scanner("two")), item("on-call", c.scanner("on-call", high))
	apps := c.run(t, "two", 1)
	c.edit(t, "two", c.scanner("two"))
	c.hears(t, "two", apps[0].name+" is running with")
	c.edit(t, "two", first+second)
	c.hears(t, "on-call", apps[0].name+" is running with 3 high")
	apps = append(apps, c.run(t, "two", 1)...)
	c.next(t, "two", apps[1].name+" is running with")
	c.hears(t, "on-call", apps[1].name+" is running with 3 high")
	c.silently(t, "two", second, apps...)
	c.remove(t, "two", apps[1])
	c.hears(t, "on-call", apps[1].name+" is no longer running")
}

// item makes a Scanner one of a list.
func item(name, scanner string) string {
	return "- name: " + name + "\n  " + strings.ReplaceAll(strings.TrimSuffix(scanner, "\n"), "\n", "\n  ") + "\n"
}

// webhookFile has the webhook of a namespace in a file, which the kubelet replaces when the Secret changes.
func (c *cluster) webhookFile(t *testing.T) {
	c.mount(t, map[string]string{"files": c.gate.Webhook("files-from") + "\n"})
	apps := c.run(t, "files", 1)
	c.edit(t, "files", c.scanner("files-from"))
	c.hears(t, "files-from", apps[0].name+" is running with")
	c.silentlySame(t, "files", "clairBaseUrl: "+c.gate.ClairURL+"\nslackWebhookFile: files\n")

	from := c.now()
	c.mount(t, map[string]string{"files": c.gate.Webhook("files-to")})
	c.looked(t, from, apps...)
	c.nothingElse(t)
	apps = append(apps, c.run(t, "files", 1)...)
	c.hears(t, "files-to", apps[1].name+" is running with")

	// The Secret loses the key, and gets it back with what is no webhook, and then with one.
	said := c.logged(t)
	c.mount(t, nil)
	c.logs(t, said, mistake+`files error="files.slackWebhookFile \(line 2\): there is no file files in .* \(webhookFolder\): put it into the Secret .*`+inForce)
	c.mistaken(t, "files")
	apps = append(apps, c.run(t, "files", 1)...)
	c.hears(t, "files-to", apps[2].name+" is running with")
	c.mount(t, map[string]string{"files": "https://example.com/services/T0/B0/x"})
	c.logs(t, said, mistake+`files error="files.slackWebhookFile \(line 2\): what the file files holds: .*`+inForce)
	from = c.now()
	c.mount(t, map[string]string{"files": c.gate.Webhook("files-again")})
	c.logs(t, said, mended+"files")
	c.mistaken(t)
	c.looked(t, from, apps...)
	c.nothingElse(t)
	a := c.run(t, "files", 1)[0]
	c.hears(t, "files-again", a.name+" is running with")
}

// mount replaces the files of a mounted Secret as the kubelet does: each is a link into a folder that is exchanged as a
// whole.
func (c *cluster) mount(t *testing.T, files map[string]string) {
	t.Helper()
	const data = "..data"
	fresh, err := os.MkdirTemp(c.folder, "..")
	must(t, err)
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(fresh, name), []byte(text), 0o600))
	}
	next := filepath.Join(c.folder, "..next")
	must(t, os.Symlink(filepath.Base(fresh), next))
	must(t, os.Rename(next, filepath.Join(c.folder, data)))
	present, err := os.ReadDir(c.folder)
	must(t, err)
	for _, file := range present {
		if _, stays := files[file.Name()]; !stays && file.Name()[0] != '.' {
			must(t, os.Remove(filepath.Join(c.folder, file.Name())))
		}
	}
	for name := range files {
		if err := os.Symlink(filepath.Join(data, name), filepath.Join(c.folder, name)); !os.IsExist(err) {
			must(t, err)
		}
	}
}
