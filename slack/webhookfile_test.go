package slack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWebhookFile has what is said of each file, and never what is in it.
func TestWebhookFile(t *testing.T) {
	const address = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
	folder := t.TempDir()
	for name, text := range map[string]string{
		"shop": address, "lines": "\n  " + address + "\n\n", "empty": " \n", "long": strings.Repeat("X", webhookFileLimit+1),
		"two": address + "\n" + address, "http": "http" + strings.TrimPrefix(address, "https"), "noise": "XXXXXXXX\x00\x1b[2J",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	parse := func(address string) (Webhook, error) { return ParseWebhook(address, nil) }
	want, err := parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		folder WebhookFolder
		name   string
		err    string // the beginning; empty: none
	}{
		{WebhookFolder(folder), "shop", ""},
		{WebhookFolder(folder), "lines", ""},
		{"", "shop", "the daemon has no folder of webhooks (webhookFolder in its config)"},
		{WebhookFolder(folder), "none", "there is no file none in " + folder + " (webhookFolder): put it into the Secret that is mounted there"},
		{WebhookFolder(folder + "/none"), "shop", folder + "/none (webhookFolder) does not exist: mount a Secret there that has a file shop"},
		{"testdata", "none", "there is no file none in the folder of webhooks (webhookFolder): put it into the Secret that is mounted there"},
		{address, "none", "the folder of webhooks (webhookFolder) does not exist: mount a Secret there that has a file none"},
		{WebhookFolder(folder), "empty", "the file empty is empty: put the address of the webhook into the key empty of the Secret that is mounted there"},
		{WebhookFolder(folder), "long", "the file long holds more than a webhook"},
		{WebhookFolder(folder), "folder", "the file folder in " + folder + " (webhookFolder) cannot be read"},
		{WebhookFolder(folder), "two", "what the file two holds: "},
		{WebhookFolder(folder), "http", "what the file http holds: the webhook does not begin with https://"},
		{WebhookFolder(folder), "noise", "what the file noise holds: "},
		{WebhookFolder(folder), "", "want the name of a file, not a path"},
		{WebhookFolder(folder), "..", "want the name of a file, not a path"},
		{WebhookFolder(folder), "../shop", "want the name of a file, not a path"},
		{WebhookFolder(folder), `a\b`, "want the name of a file, not a path"},
	} {
		got, err := c.folder.Webhook(c.name, parse)
		switch {
		case c.err == "" && (err != nil || got != want):
			t.Errorf("%q: got %v, %v", c.name, got, err)
		case c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err) || got != Webhook{}):
			t.Errorf("%q: got %v, want %s", c.name, err, c.err)
		case err != nil && strings.Contains(err.Error(), "XXXX"):
			t.Errorf("%q: %v gives away what it must not", c.name, err)
		}
	}
}

// Where the manifest of this repository is used, the Secret is named.
func TestWebhookFileOfTheManifest(t *testing.T) {
	const want = "there is no file platform in /etc/clairwatch-secret (webhookFolder), where the manifest mounts the Secret clairwatch: put it into that Secret"
	if got := ManifestFolder.lacks("platform").Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	manifest, err := os.ReadFile("../deploy/clairwatch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"mountPath: " + string(ManifestFolder) + "\n", "secretName: clairwatch\n"} {
		if !strings.Contains(string(manifest), part) {
			t.Errorf("the manifest does not say %q", part)
		}
	}
}
