package main

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/watcher"
	"github.com/clairwatch/clairwatch/web"
)

// TestNamespaceOfSite asks a Watcher about namespaces, and looks for webhooks in all that it says.
func TestNamespaceOfSite(t *testing.T) {
	inSite(t, func(t *testing.T, s *site) {
		m := settingsOf()
		m.Data["shop"] += "ignore: [{id: CVE-2026-0001, package: openssl, reason: not reachable}]\n"
		if _, err := s.kube.CoreV1().ConfigMaps(m.Namespace).Update(t.Context(), m, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ask := func(name string) (web.Namespace, error) {
			t.Helper()
			n, err := s.source.Namespace(t.Context(), name)
			text, marshal := json.Marshal(n)
			if marshal != nil {
				t.Fatal(marshal)
			}
			for part := range strings.SplitSeq(revokedPath+idlePath, "/") {
				if part != "" && strings.Contains(string(text), part) {
					t.Errorf("%s: %q of a webhook is shown: %s", name, part, text)
				}
			}
			return n, err
		}

		n, err := ask("shop")
		if err != nil {
			t.Fatal(err)
		}
		if n.Name != "shop" || n.Applies != "Namespace shop has a key of its own in the settings." || len(n.Mistakes)+len(n.Notes)+len(n.Near)+n.MoreContainers > 0 {
			t.Errorf("%+v", n)
		}
		if len(n.Scanners) != 1 {
			t.Fatalf("%+v", n.Scanners)
		}
		scanner := n.Scanners[0]
		if scanner.Name != "default" || scanner.Clair != "http://clair:6060/" || !scanner.Away.IsZero() || scanner.HearsOf != "all vulnerabilities; ignore has 1 entry" ||
			!strings.HasPrefix(scanner.Channel, "hooks.slack.com/…#") || !strings.Contains(scanner.Trouble, "Slack does not know the webhook") ||
			scanner.Since.IsZero() || scanner.Next.IsZero() || scanner.Untried {
			t.Errorf("%+v", scanner)
		}
		if want := []web.IgnoreEntry{{About: "CVE-2026-0001, package openssl", Reason: "not reachable", Matches: 1, Counted: true}}; !reflect.DeepEqual(scanner.Ignore, want) {
			t.Errorf("%+v, want %+v", scanner.Ignore, want)
		}
		if len(n.Workloads) != 1 || n.Workloads[0].Kind != "Pod" || n.Workloads[0].Name != "api-7d4f" || n.Workloads[0].Pods != 1 || len(n.Workloads[0].Containers) != 1 {
			t.Fatalf("%+v", n.Workloads)
		}
		c := n.Workloads[0].Containers[0]
		if c.Kind != "container" || c.Name != "api" || c.Pods != 1 || c.Image != "registry.example.com/shop/api:v1" || c.Digest != runningDigest || c.Platform != "linux/amd64" {
			t.Errorf("%+v", c)
		}
		if !slices.Contains(c.Lines, web.Line{Depth: 0, Text: "Scanned."}) || !slices.Contains(c.Lines, web.Line{Depth: 2, Text: "1 critical: ignored by CVE-2026-0001, package openssl: not reachable"}) {
			t.Errorf("%+v", c.Lines)
		}
		if e, ok := n.Data.(watcher.Explanation); !ok || e.Namespace != "shop" || e.Pods != 1 {
			t.Errorf("the API answers %+v", n.Data)
		}

		if n, err := ask("idle"); err != nil || len(n.Scanners) != 1 || len(n.Workloads) != 0 || !n.Scanners[0].Untried {
			t.Errorf("nothing runs in idle, which has a key: %v, %+v", err, n)
		}
		if n, err := ask("shops"); !errors.Is(err, web.ErrUnknown) || n.Name != "shops" || !slices.Contains(n.Near, "shop") {
			t.Errorf("shops: %v, %+v", err, n)
		}
		for _, name := range []string{"", "_all", "Shop", "a/b", strings.Repeat("a", 64), "\x1b"} {
			if n, err := ask(name); !errors.Is(err, web.ErrUnknown) || !reflect.DeepEqual(n, web.Namespace{}) {
				t.Errorf("%q: %v, %+v", name, err, n)
			}
		}
	})
}

// TestNamespaceErrors has what the pages are told when nothing can be explained.
func TestNamespaceErrors(t *testing.T) {
	nothing := func(applies string) watcher.Explanation {
		return watcher.Explanation{Namespace: "shop", Settings: watcher.ExplainedSettings{Applies: applies}}
	}
	for name, c := range map[string]struct {
		explanation watcher.Explanation
		err, want   error
	}{
		"standby":    {err: &watcher.StandbyError{Leader: "clairwatch-6f-x2x7k"}, want: web.ErrStandby},
		"too late":   {err: context.DeadlineExceeded, want: context.DeadlineExceeded},
		"nobody":     {explanation: nothing(watcher.AppliesNone), want: web.ErrUnknown},
		"all":        {explanation: nothing(watcher.AppliesAll), want: web.ErrUnknown},
		"its own":    {explanation: nothing(watcher.AppliesOwn)},
		"opted out":  {explanation: nothing(watcher.AppliesOptedOut)},
		"everything": {explanation: shopExplanation()},
	} {
		_, err := explainedPage(t.Context(), func(ctx context.Context, q watcher.Question) (watcher.Explanation, error) {
			if _, limited := ctx.Deadline(); !limited || q != (watcher.Question{Namespace: "shop"}) {
				t.Errorf("%s: it is asked %+v, with a deadline: %v", name, q, limited)
			}
			return c.explanation, c.err
		}, "shop")
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestNamespacePageSaysTheSame shows that page and command have one text: each line of a container stands in what the
// command prints, as far to the right as the page has it.
func TestNamespacePageSaysTheSame(t *testing.T) {
	e := shopExplanation()
	var printed strings.Builder
	if err := writeExplained(&printed, e); err != nil {
		t.Fatal(err)
	}
	n := namespacePage(e)
	if n.MoreContainers != 12 || len(n.Scanners) != 2 || len(n.Workloads) != 3 || len(n.Notes) > 0 {
		t.Errorf("%+v", n)
	}
	lines := 0
	for _, w := range n.Workloads {
		for _, c := range w.Containers {
			var text strings.Builder
			for _, l := range c.Lines {
				text.WriteString(strings.Repeat("  ", l.Depth+2) + l.Text + "\n")
			}
			if !strings.Contains(printed.String(), text.String()) {
				t.Errorf("the command does not say of %s\n%sbut\n%s", c.Name, &text, &printed)
			}
			lines += len(c.Lines)
		}
	}
	if lines < 30 {
		t.Errorf("only %d lines", lines)
	}
}

func TestNamespacePageNotes(t *testing.T) {
	many := shopExplanation()
	many.Workloads[0].Containers[0].Scanners[1].Unread = watcher.UnreadMany
	unwatched := watcher.Explanation{Namespace: "shop", Pods: 2, Settings: watcher.ExplainedSettings{Applies: watcher.AppliesNone},
		Workloads: []watcher.ExplainedWorkload{{Kind: "Pod", Name: "web", Pods: 2}}}
	broken := unwatched
	broken.Settings = watcher.ExplainedSettings{Applies: watcher.AppliesOwn, Key: "shop", Mistakes: []string{"shop: not valid YAML"}}
	for name, c := range map[string]struct {
		explanation watcher.Explanation
		applies     string
		note        string
		mistakes    []string
	}{
		"many": {many, "Namespace shop has a key of its own in the settings.",
			"Which rule keeps something from being told is not looked up for so many images: see clairwatch explain shop/NAME, for one workload or pod.", nil},
		"unwatched": {unwatched, "Namespace shop is not watched: it has no key in the settings, and there is no _all. Nobody hears of it.",
			"Nobody looks at what runs there: 2 pods.", nil},
		"broken": {broken, "Namespace shop has a key of its own in the settings. There is a mistake, and nobody hears of it until that is mended.",
			"Nobody looks at what runs there: 2 pods.", []string{"shop: not valid YAML"}},
	} {
		n := namespacePage(c.explanation)
		if n.Applies != c.applies || !slices.Equal(n.Notes, []string{c.note}) || !slices.Equal(n.Mistakes, c.mistakes) {
			t.Errorf("%s: %q, %q, %q", name, n.Applies, n.Notes, n.Mistakes)
		}
		if len(c.explanation.Scanners) == 0 && len(n.Workloads) > 0 {
			t.Errorf("%s: %+v", name, n.Workloads)
		}
	}
}
