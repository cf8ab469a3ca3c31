package slack

import (
	"strings"
	"testing"
)

func TestParseWebhook(t *testing.T) {
	own := []string{"127.0.0.1:8443", "Slack.Example.com"}
	for _, c := range []struct {
		raw   string
		hosts []string
		shown string // how the webhook's text begins
		err   string // what the error says
	}{
		{"https://hooks.slack.com/services/T0/B0/xyzzy", nil, "hooks.slack.com/…#", ""},
		{" https://hooks.slack.com/services/T0/B0/xyzzy\n", nil, "hooks.slack.com/…#", ""},
		{"https://hooks.slack-gov.com/services/T0/B0/xyzzy", nil, "hooks.slack-gov.com/…#", ""},
		{"https://HOOKS.slack.com:443/services/T0/B0/xyzzy", nil, "hooks.slack.com/…#", ""},
		{"https://127.0.0.1:8443/services/xyzzy", own, "127.0.0.1:8443/…#", ""},
		{"https://slack.example.com/services/xyzzy", own, "slack.example.com/…#", ""},
		{"https://hooks.slack.com/services/T0/B0/xyzzy extra words", nil, "", "white space in it"},
		{"", nil, "", "looks like https://hooks.slack.com/"},
		{"xyzzy", nil, "", "https://"},
		{"://xyzzy", nil, "", "looks like https://hooks.slack.com/"},
		{"https://hooks.slack.com/\x7fxyzzy", nil, "", "looks like https://hooks.slack.com/"},
		{"http://hooks.slack.com/services/T0/B0/xyzzy", nil, "", "https://"},
		{"https://hooks.slack.com/services/T0/B0/xyzzy", own, "", `"hooks.slack.com" is not allowed: allowed are 127.0.0.1:8443, Slack.Example.com (slackHosts)`},
		{"https://hooks.slack.com:8443/xyzzy", nil, "", `"hooks.slack.com:8443" is not allowed`},
		{"https://hooks.slack.com.evil.example/xyzzy", nil, "", `"hooks.slack.com.evil.example" is not allowed`},
		{"https://127.0.0.1/services/xyzzy", own, "", "is not allowed"},
		{"https://xyzzy/services", nil, "", "host (not shown) is not allowed"},
		{"https://xyzzy@hooks.slack.com/services", nil, "", "a user or a fragment"},
		{"https://hooks.slack.com/services#xyzzy", nil, "", "a user or a fragment"},
		{"https://hooks.slack.com/", nil, "", "has no path"},
		{"https:///xyzzy", []string{""}, "", "is not allowed"},
		{"https:hooks.slack.com/xyzzy", nil, "", "is not allowed"},
	} {
		w, err := ParseWebhook(c.raw, c.hosts)
		switch {
		case c.err == "" && (err != nil || !strings.HasPrefix(w.String(), c.shown)):
			t.Errorf("%q: %v, %v", c.raw, w, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || w != Webhook{}):
			t.Errorf("%q: %v, %v, want %q", c.raw, w, err, c.err)
		case err != nil && strings.Contains(err.Error(), "xyzzy"):
			t.Errorf("%q: the error tells: %v", c.raw, err)
		}
	}
}

func TestWebhooksCompare(t *testing.T) {
	parse := func(raw string) Webhook {
		t.Helper()
		w, err := ParseWebhook(raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	a, again, b := parse("https://hooks.slack.com/services/a"), parse("https://hooks.slack.com:443/services/a\n"), parse("https://hooks.slack.com/services/b")
	if a != again || a.String() != again.String() {
		t.Errorf("%v and %v are the same webhook", a, again)
	}
	if a == b || a.String() == b.String() {
		t.Errorf("%v and %v are two webhooks", a, b)
	}
	if s := (Webhook{}).String(); s != "no webhook" {
		t.Errorf("no webhook reads %q", s)
	}
}

func FuzzParseWebhook(f *testing.F) {
	f.Add("https://hooks.slack.com/services/T0/B0/x", "hooks.slack.com")
	f.Add("https://hooks.slack.com:443/%zz", "")
	f.Add("https://[::1]:8443/x?y", "[::1]:8443")
	f.Fuzz(func(t *testing.T, raw, host string) {
		w, err := ParseWebhook(raw, []string{host})
		if err != nil {
			return
		}
		if !strings.HasPrefix(w.secret(), "https://") || hostPort(w.Host()) != hostPort(host) {
			t.Errorf("%q is allowed for %q", w.secret(), host)
		}
		if again, err := ParseWebhook(w.secret(), []string{host}); err != nil || again != w {
			t.Errorf("%q is not read back: %q, %v", w.secret(), again.secret(), err)
		}
	})
}
