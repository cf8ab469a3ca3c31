package watcher

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/slack"
)

// longestPiece is how many characters of a secret may show: as many look like it by chance.
const longestPiece = 8

// given returns the first piece of a webhook's secret token that a text gives away, in whatever disguise, or what
// else of the webhook's path it holds; empty when it gives nothing away.
func given(text, token string) string {
	lower := strings.ToLower(text)
	for _, part := range []string{"services/T", "services%2FT", "T00000000", "B00000000"} {
		if strings.Contains(lower, strings.ToLower(part)) {
			return part
		}
	}
	for i := range len(token) - longestPiece {
		piece := token[i : i+longestPiece+1] // its length is one that base64 does not pad
		if strings.Contains(lower, strings.ToLower(piece)) || strings.Contains(lower, hex.EncodeToString([]byte(piece))) ||
			strings.Contains(lower, percents(piece)) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(piece))) {
			return piece
		}
	}
	return ""
}

// percents is a text in which every byte is escaped as in a URL.
func percents(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func TestGiven(t *testing.T) {
	token := tokenOf("shop")
	address := webhook(token)
	for name, text := range map[string]string{
		"plain":               "x " + address,
		"path":                "x " + strings.TrimPrefix(address, "https://hooks.slack.com"),
		"token":               "x" + token + "x",
		"a piece":             "x" + token[3:3+longestPiece+1] + "x",
		"lower case":          strings.ToLower(token),
		"query":               "x=" + url.QueryEscape(address),
		"without letters":     percents(token),
		"quoted":              fmt.Sprintf("%q", address),
		"hex":                 fmt.Sprintf("%x", address),
		"HEX":                 fmt.Sprintf("%X", token),
		"base64":              base64.StdEncoding.EncodeToString([]byte(address)),
		"base64, moved by 1":  base64.StdEncoding.EncodeToString([]byte("1" + token)),
		"base64, moved by 2":  base64.RawURLEncoding.EncodeToString([]byte("12" + token)),
		"base64 of a piece":   base64.StdEncoding.EncodeToString([]byte(token[len(token)-longestPiece-1:])),
		"path, other token":   "/services/T1/B1/x",
		"path, escaped":       "%2Fservices%2FT1",
		"only the team":       "T00000000",
		"only the bot's part": "B00000000",
	} {
		if given(text, token) == "" {
			t.Errorf("%s: %q is not seen", name, text)
		}
	}
	channel, err := slack.ParseWebhook(address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "shop", "https://hooks.slack.com/services/…", channel.String(), token[:longestPiece], tokenOf("blog")} {
		if got := given(text, token); got != "" {
			t.Errorf("%q: sees %q", text, got)
		}
	}
}

// overhearing is a notifier whose errors are kept.
type overhearing struct {
	Notifier
	mu   sync.Mutex
	errs []error
}

func (o *overhearing) Send(ctx context.Context, w slack.Webhook, m slack.Message) error {
	err := o.Notifier.Send(ctx, w, m)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.errs = append(o.errs, err)
	}
	return err
}

// heard returns the errors so far.
func (o *overhearing) heard() []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.errs)
}

// printed is an error, with those that it wraps, in every way that it may be printed.
func printed(err error) string {
	var b strings.Builder
	for ; err != nil; err = errors.Unwrap(err) {
		inJSON, jsonErr := json.Marshal(err)
		fmt.Fprintf(&b, "%v %+v %#v %q %x %s %v\n", err, err, err, err, err, inJSON, jsonErr)
	}
	return b.String()
}

// TestSecrets has webhooks meet every fault that Slack is known to have, and settings every mistake with a
// webhook, and looks for their addresses in all that leaves the process.
func TestSecrets(t *testing.T) {
	inTraffic(t, everyFault, func(t *testing.T, x *traffic) {
		x.stop() // it starts again with what is overheard
		heard := &overhearing{Notifier: x.cfg.Notifiers["slack"]}
		x.cfg.Notifiers["slack"] = heard
		x.start()
		spoken := map[string]string{} // by where it was found

		mistaken := tokenOf("mistaken")
		hook := webhook(mistaken)
		data := x.scanners()
		for name, address := range map[string]string{
			"wrong-scheme":      "http" + strings.TrimPrefix(hook, "https"),
			"no-scheme":         strings.TrimPrefix(hook, "https://"),
			"wrong-host":        strings.Replace(hook, "hooks.slack.com", "hooks.example.com", 1),
			"with-a-user":       strings.Replace(hook, "https://", "https://"+mistaken+":"+mistaken+"@", 1),
			"with-a-fragment":   hook + "#" + mistaken,
			"with-a-port":       strings.Replace(hook, "slack.com", "slack.com:"+mistaken, 1),
			"without-an-escape": hook + "%zz",
			"control-character": `"` + hook + `\x7f"`,
			"only-the-token":    mistaken,
			"only-the-path":     strings.TrimPrefix(hook, "https://hooks.slack.com"),
			"two":               "[" + hook + ", " + hook + "]",
			"open-quote":        `"` + hook,
			"no-yaml":           hook + "\n" + hook + ": {",
		} {
			data[name] = "clairBaseUrl: " + clairBase + "\nslackWebhookUrl: " + address + "\n"
		}
		data["as-clair"] = "clairBaseUrl: " + hook + "\nslackWebhookUrl: " + hook + "\n"
		data["as-name"] = "name: " + hook + "\n" + scanner(mistaken)
		data["as-field"] = hook + ": " + hook + "\n" + scanner(mistaken)
		data["as-scanner"] = hook
		mistakes := len(data) - len(x.faults)

		x.news(before)
		x.settings(data)
		x.inject()
		x.news(1)
		spoken["metrics while it fails"] = metricsText(t, x.cfg.Metrics)
		for key, err := range x.w.assigned.Load().mistakes {
			spoken["the mistake "+key] = printed(err)
			mistakes--
		}
		if mistakes != 0 {
			t.Errorf("%d mistakes in the settings are not seen as such", mistakes)
		}
		x.restart()
		x.news(2)
		delete(data, "status-403-for-hours") // with news that waits
		x.settings(data)
		x.finish(3 * every)
		spoken["metrics"] = metricsText(t, x.cfg.Metrics)

		reasons := make(map[string]bool)
		for i, err := range heard.heard() {
			spoken[fmt.Sprintf("error %d of Slack", i)] = printed(err)
			reasons[fmt.Sprint(err)] = true
		}
		if len(reasons) < len(x.faults)/2 {
			t.Errorf("only %d different errors of Slack: the faults did not happen", len(reasons))
		}
		spoken["log"] = x.log.String()
		x.log = &logBuffer{} // the rig takes what a webhook looks like, in the text of some mistakes, for a webhook
		for _, text := range []string{"mistake in the settings", "message not accepted", "Slack refuses", "level=DEBUG", "hooks.slack.com/…#"} {
			if !strings.Contains(spoken["log"], text) {
				t.Errorf("the log does not have %q", text)
			}
		}
		ledgers := 0
		for where, text := range x.written(t) {
			spoken[where] = text
			if strings.Contains(text, "registry.example.com/shop/app") {
				ledgers++
			}
		}
		if ledgers == 0 {
			t.Error("no ConfigMap of the ledger could be read")
		}

		tokens := []string{mistaken}
		for _, f := range x.faults {
			tokens = append(tokens, tokenOf(f.name))
		}
		for where, text := range spoken {
			for _, token := range tokens {
				if piece := given(text, token); piece != "" {
					i := max(strings.Index(text, piece), 0)
					t.Errorf("%s gives %q away: …%s…", where, piece, text[max(i-200, 0):min(i+200, len(text))])
					break
				}
			}
		}
	})
}

// metricsText is what is served at /metrics.
func metricsText(t *testing.T, r prometheus.Registerer) string {
	t.Helper()
	registry, ok := r.(*prometheus.Registry)
	if !ok {
		t.Fatal("the rig has changed")
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(answer.Body.String(), "clairwatch_messages_total") {
		t.Errorf("no metrics: %s", answer.Body)
	}
	return answer.Body.String()
}

// written is all that is stored in the API server but the settings, which the test has written. What is compressed
// is there as it is, and decompressed.
func (x *traffic) written(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	store := func(kind, name string, object any) {
		inJSON, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		found[kind+" "+name] = string(inJSON)
	}
	maps, err := x.kube.CoreV1().ConfigMaps(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	x.check(err)
	for _, m := range maps.Items {
		if m.Name == x.cfg.SettingsName {
			continue
		}
		store("ConfigMap", m.Name, m)
		for key, data := range m.BinaryData {
			where := "ConfigMap " + m.Name + ", " + key
			found[where] = string(data)
			for at := range min(len(data), 8<<10) { // wherever the compressed part begins
				if text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[at:])), 1<<20)); err == nil {
					found[fmt.Sprintf("%s, from %d", where, at)] = string(text)
				}
			}
		}
	}
	events, err := x.kube.CoreV1().Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	x.check(err)
	for _, e := range events.Items {
		store("Event", e.Name, e)
	}
	newer, err := x.kube.EventsV1().Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	x.check(err)
	for _, e := range newer.Items {
		store("Event", e.Name, e)
	}
	for _, a := range x.kube.Actions() { // what is not stored any more
		if a.GetVerb() == "create" && a.GetResource().Resource == "events" {
			store("Event that was created", fmt.Sprint(time.Now()), a)
		}
	}
	return found
}
