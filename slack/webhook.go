package slack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unique"
)

// Webhook is the address of an incoming webhook. The address is the credential, so it never shows: as
// text, in JSON and in logs a webhook is its host and a hash to tell it from others, for example
// hooks.slack.com/…#3fa2c1. Equal webhooks are ==. The zero value is no webhook.
type Webhook struct {
	// A handle keeps what == needs and hides its text behind a pointer: fmt cannot call our methods on
	// a Webhook in another struct's unexported field, and would print a plain string there.
	url unique.Handle[string]
}

// ParseWebhook reads a webhook's address, around which white space is ignored. It must be https and its
// host (with its port, unless that is 443) one of hosts. No hosts: Slack's own, hooks.slack.com and
// hooks.slack-gov.com. The error says what would be right and holds no part of the address but its host.
func ParseWebhook(raw string, hosts []string) (Webhook, error) {
	if len(hosts) == 0 {
		hosts = []string{"hooks.slack.com", "hooks.slack-gov.com"}
	}
	raw = strings.TrimSpace(raw)
	if raw == "" {
		return Webhook{}, errors.New("the webhook is empty: it looks like https://hooks.slack.com/services/…")
	}
	if strings.ContainsFunc(raw, unicode.IsSpace) {
		return Webhook{}, errors.New("the webhook has white space in it: use the address exactly as Slack shows it, and nothing beside it")
	}
	u, err := url.Parse(raw)
	if err != nil { // not wrapped: it quotes the address
		return Webhook{}, errors.New("the webhook is not an address: it looks like https://hooks.slack.com/services/…")
	}
	if u.Scheme != "https" {
		return Webhook{}, errors.New("the webhook does not begin with https://, which is needed to keep its address secret")
	}
	if u.User != nil || u.Fragment != "" {
		return Webhook{}, errors.New("the webhook has a user or a fragment: use the address exactly as Slack shows it")
	}
	host := hostPort(u.Host)
	if host == "" || !slices.ContainsFunc(hosts, func(h string) bool { return hostPort(h) == host }) {
		return Webhook{}, fmt.Errorf("the webhook's host %s is not allowed: allowed are %s (slackHosts)",
			shownHost(host), strings.Join(hosts, ", "))
	}
	if strings.Trim(u.EscapedPath(), "/") == "" {
		return Webhook{}, errors.New("the webhook has no path: it looks like https://hooks.slack.com/services/…")
	}
	u.Host = host // so that spellings of one host are one channel
	return Webhook{url: unique.Make(u.String())}, nil
}

// hostPort writes a host in one way: lower case, without https's own port.
func hostPort(host string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(host)), ":443")
}

// shownHost quotes a refused host where it looks like one. Anything else may be a secret that was put in
// the wrong place.
func shownHost(host string) string {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if len(host) > 100 || !strings.Contains(name, ".") && name != "localhost" && !strings.Contains(name, ":") {
		return "(not shown)"
	}
	return fmt.Sprintf("%q", host)
}

// secret is the address itself. Only the sender has a use for it.
func (w Webhook) secret() string {
	if w == (Webhook{}) {
		return ""
	}
	return w.url.Value()
}

// Host is the host to which messages go, with its port unless that is 443; empty for no webhook.
func (w Webhook) Host() string {
	u, err := url.Parse(w.secret())
	if err != nil {
		return ""
	}
	return u.Host
}

// String names the webhook without giving it away.
func (w Webhook) String() string {
	s := w.secret()
	if s == "" {
		return "no webhook"
	}
	// 24 bits tell channels apart and say nothing of use about the address.
	sum := sha256.Sum256([]byte(s))
	return w.Host() + "/…#" + hex.EncodeToString(sum[:3])
}

// GoString is String: %#v gives nothing away either.
func (w Webhook) GoString() string { return w.String() }

// Format prints String for every verb.
func (w Webhook) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, w.String()) }

// LogValue logs String.
func (w Webhook) LogValue() slog.Value { return slog.StringValue(w.String()) }

// MarshalText writes String; it cannot be read back.
func (w Webhook) MarshalText() ([]byte, error) { return []byte(w.String()), nil }
