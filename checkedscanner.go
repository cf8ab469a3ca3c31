package main

import (
	"fmt"
	"time"

	"github.com/clairwatch/clairwatch/settings"
)

// checkedKey is a key of the settings: a namespace's, or that of all without one.
type checkedKey struct {
	Key      string           `json:"key"`
	Scanners []checkedScanner `json:"scanners"`
}

// checkedScanner is a Scanner with all that it inherits, as check shows it: the channel without its address.
type checkedScanner struct {
	Name     string `json:"name"`
	Backend  string `json:"backend"`
	Notifier string `json:"notifier"`
	Clair    string `json:"clair"`
	// Channel is where its messages go; empty: that is in WebhookFile, which is not here.
	Channel string `json:"channel,omitempty"`
	// WebhookFile is the file that holds the webhook; empty: the settings do.
	WebhookFile string          `json:"slackWebhookFile,omitempty"`
	MinSeverity string          `json:"minSeverity"`
	UnknownAs   string          `json:"unknownAs"`
	OnlyFixable bool            `json:"onlyFixable"`
	Ignore      []checkedIgnore `json:"ignore,omitempty"`
	Tell        settings.Tell   `json:"tell"`
	Look        settings.Look   `json:"look"`
}

// checkedIgnore is an entry of what a Scanner ignores.
type checkedIgnore struct {
	ID      string    `json:"id,omitempty"`
	Package string    `json:"package,omitempty"`
	Image   string    `json:"image,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Until   time.Time `json:"until,omitzero"`
}

// newCheckedScanner is a Scanner whose channel is not known yet.
func newCheckedScanner(s settings.Scanner) checkedScanner {
	c := checkedScanner{
		Name: s.Name, Backend: s.Backend, Notifier: s.Notifier, Clair: s.ClairBaseURL, WebhookFile: s.SlackWebhookFile,
		MinSeverity: s.Rules.MinSeverity.String(), UnknownAs: s.Rules.UnknownAs.String(), OnlyFixable: s.Rules.OnlyFixable,
		Tell: s.Tell, Look: s.Look,
	}
	for _, i := range s.Rules.Ignore {
		c.Ignore = append(c.Ignore, checkedIgnore{ID: i.ID, Package: i.Package, Image: i.Image, Reason: i.Reason, Until: i.Until})
	}
	return c
}

// String says in a line what it does.
func (c checkedScanner) String() string {
	channel := c.Channel
	if channel == "" {
		channel = "by the file " + c.WebhookFile + " (not looked at)"
	}
	return fmt.Sprintf("%s: Clair %s, channel %s hears of %s", c.Name, c.Clair, channel,
		hearsOf(c.MinSeverity, c.UnknownAs, c.OnlyFixable, len(c.Ignore), c.Tell, c.Look))
}
