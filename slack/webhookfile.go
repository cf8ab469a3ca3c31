package slack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// webhookFileLimit bounds a file that holds a webhook, in bytes.
const webhookFileLimit = 4 << 10

// WebhookFolder is the folder of the files that hold webhooks, as a Secret is mounted. Empty: there is none.
type WebhookFolder string

// ManifestFolder is where deploy/clairwatch.yaml mounts the Secret clairwatch.
const ManifestFolder WebhookFolder = "/etc/clairwatch-secret"

// Webhook reads the webhook that a file holds, with white space around it ignored; parse reads its address. The errors
// hold nothing of the file.
func (folder WebhookFolder) Webhook(name string, parse func(address string) (Webhook, error)) (Webhook, error) {
	address, err := folder.read(name)
	if err != nil {
		return Webhook{}, err
	}
	webhook, err := parse(address)
	if err != nil {
		return Webhook{}, fmt.Errorf("what the file %s holds: %w", name, err)
	}
	return webhook, nil
}

// read returns the address that a file holds.
func (folder WebhookFolder) read(name string) (string, error) {
	if folder == "" {
		return "", errors.New("the daemon has no folder of webhooks (webhookFolder in its config)")
	}
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\`) {
		return "", errors.New("want the name of a file, not a path")
	}
	file, err := os.Open(filepath.Join(string(folder), name))
	if err == nil {
		defer file.Close()
		var text []byte
		if text, err = io.ReadAll(io.LimitReader(file, webhookFileLimit+1)); err == nil && len(text) > webhookFileLimit {
			return "", fmt.Errorf("the file %s holds more than a webhook", name)
		}
		if text = bytes.TrimSpace(text); err == nil && len(text) == 0 {
			return "", fmt.Errorf("the file %s is empty: put the address of the webhook into the key %s of the Secret that is mounted there", name, name)
		}
		if err == nil {
			return string(text), nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the file %s in %s cannot be read", name, folder)
	}
	if _, err := os.Stat(string(folder)); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s does not exist: mount a Secret there that has a file %s", folder, name)
	}
	return "", folder.lacks(name)
}

// lacks says that there is no file of a name, and where to put it.
func (folder WebhookFolder) lacks(name string) error {
	if folder == ManifestFolder {
		return fmt.Errorf("there is no file %s in %s, where the manifest mounts the Secret clairwatch: put it into that Secret", name, folder)
	}
	return fmt.Errorf("there is no file %s in %s: put it into the Secret that is mounted there", name, folder)
}

// String names a folder for people. What is no absolute path may be a webhook that was written in the wrong place.
func (folder WebhookFolder) String() string {
	if !filepath.IsAbs(string(folder)) {
		return "the folder of webhooks (webhookFolder)"
	}
	return string(folder) + " (webhookFolder)"
}
