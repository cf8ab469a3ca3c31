package web

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// shop is a namespace in which something is wrong with most things that can be.
func shop() Namespace {
	return Namespace{
		Name:    "shop",
		Applies: "Namespace shop has a key of its own in the settings. There is a mistake, and until it is mended the last good settings stay in force:",
		Mistakes: []string{
			"shop[1].minSeverty (line 7): no such field; did you mean minSeverity?",
			"shop[1].slackWebhookUrl (line 8): the webhook has no path",
		},
		Scanners: []Scanner{
			{
				Name: "audit", Clair: "http://clair-audit.clair:6000/", Away: noon.Add(-3 * time.Hour), Channel: "hooks.slack.com/…#d41a20", Waiting: 14,
				Trouble: "Slack does not know the webhook (any more): make a new one and put it into the settings",
				Since:   noon.Add(-2 * time.Hour), Next: noon.Add(11 * time.Minute),
				HearsOf: "everything",
			},
			{
				Name: "default", Clair: "http://clair.clair:6000/", Channel: "hooks.slack.com/…#3fa2c1", Untried: true, Waiting: 1,
				HearsOf: "Medium or worse with a fix, Unknown as Medium, 4 ignores, no look.init",
				Ignore: []IgnoreEntry{
					{About: "CVE-2023-4911, package glibc", Reason: "not reachable", Until: day(2027, time.March, 1), Matches: 2, Counted: true},
					{About: "package linux-libc-dev, image shop/*", Reason: "headers only", Matches: 0, Counted: true},
					{About: "CVE-2022-0001", Until: day(2026, time.February, 1), Ended: true},
					{About: "CVE-2025-7777"},
				},
			},
		},
		Workloads: []NamespaceWorkload{
			{Kind: "CronJob", Name: "nightly", Pods: 1, Containers: []Container{{
				Kind: "container", Name: "report", Pods: 1, Image: "ghcr.io/shop/report:2",
				Lines: []Line{{0, "Not pulled yet: the status of the pod does not say what it runs."}},
			}}},
			{Kind: "Deployment", Name: "web-0", Pods: 3, Containers: []Container{
				{
					Kind: "init container", Name: "migrate", Pods: 3, Image: "docker.io/library/nginx:1.0.0", Digest: digestOf(0), Platform: "linux/amd64",
					Lines: []Line{{0, "Scanned."}, {0, "default: does not look at it (look.init is false)"}},
				},
				{
					Kind: "container", Name: "web", Pods: 2, Image: "docker.io/library/nginx:1.0.0", Digest: digestOf(0), Platform: "linux/amd64",
					Lines: []Line{
						{0, "Scanned."},
						{0, "audit: told nothing of it yet"},
						{1, "waits to be told since 2026-03-01 09:00 UTC: a new image (its channel is in trouble, see above)"},
						{0, "default: told of 1 critical, 3 high"},
						{1, "of these by now:"},
						{2, "1 high: ignored by CVE-2023-4911, package glibc, until 2027-03-01 00:00 UTC: not reachable"},
						{1, "not told: 2 low"},
						{2, "2 low: below minSeverity Medium"},
					},
				},
			}},
		},
		MoreContainers: 3,
		Notes:          []string{"Which rule keeps something from being told is not looked up for so many images: ask clairwatch explain about one workload, shop/NAME."},
	}
}

func namespacePages() map[string]goldenPage {
	images := manyImages(40)
	images[0].Namespaces = []string{"shop"}
	images[0].Workloads = []Workload{{Kind: "Deployment", Namespace: "shop", Name: "web-0", Pods: 3}}
	refused := refusedOf(images)
	refused.Namespaces = []string{"cart", "shop"}
	refused.Workloads = []Workload{{Kind: "Deployment", Namespace: "cart", Name: "cart", Pods: 2}, {Kind: "Job", Namespace: "shop", Name: "import", Pods: 1}}
	source := &fixture{cluster: leading, images: images, namespaces: map[string]Namespace{
		"shop": shop(),
		"kube-public": {
			Name:    "kube-public",
			Applies: "Namespace kube-public is opted out: its key in the settings is empty, so that nobody hears of it, not even by _all.",
		},
	}, near: []string{"shop", "checkout"}}
	return map[string]goldenPage{
		"namespace":           {source, "/namespaces/shop", "", 200},
		"namespace-opted-out": {source, "/namespaces/kube-public", "", 200},
		"namespace-unknown":   {source, "/namespaces/shpo", "", 404},
		"namespace-standby":   {&fixture{}, "/namespaces/shop", "", 503},
	}
}

// TestOutline shows that lines nest by their depth, whatever it is.
func TestOutline(t *testing.T) {
	var said func(os []outline) string
	said = func(os []outline) string {
		var s string
		for _, o := range os {
			s += o.Text
			if len(o.Under) > 0 {
				s += "(" + said(o.Under) + ")"
			}
		}
		return s
	}
	for depths, want := range map[string]string{
		"": "", "0": "a", "000": "abc", "01": "a(b)", "0120": "a(b(c))d", "0110": "a(bc)d", "02": "a(b)", "021": "a(bc)", "10": "ab", "0220": "a(bc)d", "9": "a",
		"0123456789": "a(b(c(d(e(f(ghij))))))",
	} {
		var lines []Line
		for i, d := range depths {
			lines = append(lines, Line{Depth: int(d - '0'), Text: string(rune('a' + i))})
		}
		if got := said(newOutline(lines)); got != want {
			t.Errorf("%s: %s, want %s", depths, got, want)
		}
	}
}

// slowSpaces is a source that answers about namespaces as it is told to.
type slowSpaces struct {
	fixture
	answer func(context.Context) (Namespace, error)
}

func (s *slowSpaces) Namespace(ctx context.Context, _ string) (Namespace, error) {
	return s.answer(ctx)
}

// TestNamespaceErrors shows that no error's text is shown.
func TestNamespaceErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		says   string
	}{
		{fmt.Errorf("hunter2: %w", ErrUnknown), 404, "Did you mean"},
		{fmt.Errorf("hunter2: %w", ErrStandby), 503, "stands by"},
		{errors.New("hunter2"), 503, "took too long"},
	} {
		source := &slowSpaces{answer: func(context.Context) (Namespace, error) { return Namespace{Near: []string{"shop"}}, c.err }}
		w := get(t, newPages(t, source), "/namespaces/x", "")
		if page := w.Body.String(); w.Code != c.status || !strings.Contains(page, c.says) || strings.Contains(page, "hunter2") {
			t.Errorf("%v: %d\n%s", c.err, w.Code, page)
		}
	}
	for _, name := range []string{"", strings.Repeat("n", 64)} {
		asked := false
		source := &slowSpaces{answer: func(context.Context) (Namespace, error) { asked = true; return Namespace{}, nil }}
		if w := get(t, newPages(t, source), "/namespaces/"+name, ""); w.Code != 404 || asked {
			t.Errorf("%q: %d, asked: %t", name, w.Code, asked)
		}
	}
}

// TestNamespacesAtOnce shows that no more than two are asked about at a time, that the others wait their turn, and
// that who waits too long is told when to come again.
func TestNamespacesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		source := &slowSpaces{answer: func(ctx context.Context) (Namespace, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			select {
			case <-time.After(20 * time.Second):
				return shop(), nil
			case <-ctx.Done():
				return Namespace{}, ctx.Err()
			}
		}}
		h := newPages(t, source)
		var mu sync.Mutex
		statuses := make(map[int]int)
		var wg sync.WaitGroup
		for range 9 {
			wg.Go(func() {
				w := get(t, h, "/namespaces/shop", "")
				mu.Lock()
				defer mu.Unlock()
				statuses[w.Code]++
				if retry := w.Header().Get("Retry-After"); (retry == "30") != (w.Code == 503) {
					t.Errorf("%d with Retry-After %q", w.Code, retry)
				}
			})
		}
		wg.Wait()
		// Pairs begin at 0, 20 and 40 seconds, and the last of them is given up with those who wait.
		if statuses[200] != 4 || statuses[503] != 5 || most.Load() != 2 {
			t.Errorf("statuses %v, %d at once", statuses, most.Load())
		}
	})
}

// TestNamespaceBounds shows that the page stays small whatever runs there.
func TestNamespaceBounds(t *testing.T) {
	long := strings.Repeat("é", 500) // more than a page shows of it
	n := Namespace{Name: "shop", Applies: long, MoreContainers: 7}
	for i := range 137 {
		n.Mistakes, n.Notes = append(n.Mistakes, long), append(n.Notes, long)
		s := Scanner{Name: fmt.Sprint(i, long), Clair: long, Channel: long, Trouble: long, HearsOf: long}
		if i == 0 {
			s.Ignore = make([]IgnoreEntry, 300)
		}
		n.Scanners = append(n.Scanners, s)
	}
	for i := range 1000 {
		w := NamespaceWorkload{Kind: "Job", Name: fmt.Sprint(i, long), Pods: 1}
		for range 3 {
			c := Container{Kind: "container", Name: long, Image: long, Pods: 1}
			for d := range 10 {
				c.Lines = append(c.Lines, Line{Depth: d, Text: long})
			}
			w.Containers = append(w.Containers, c)
		}
		n.Workloads = append(n.Workloads, w)
	}
	images := manyImages(3000)
	for i := range images {
		images[i].Namespaces = []string{"shop"}
	}
	site := newPages(t, &fixture{cluster: leading, images: images, namespaces: map[string]Namespace{"shop": n}})
	page := get(t, site, "/namespaces/shop", "").Body.String()
	for _, says := range []string{
		"and 117 more mistakes", "and 117 more notes", "and 87 more Scanners", "and 200 more", "3,000 images, worst first; the first 500 are shown", "500 of 1,000 workloads are shown",
		"2,507 containers are left out", "and 3 more containers",
	} {
		if !strings.Contains(page, says) {
			t.Errorf("the page does not say %q", says)
		}
	}
	if n := strings.Count(page, `<details class="workload">`); n != mostRunning {
		t.Errorf("%d workloads, closed", n)
	}
	if len(page) > mostBytes {
		t.Errorf("the page has %d bytes", len(page))
	}
}

// TestHostileNamespace shows that whatever is known of a namespace stays text.
func TestHostileNamespace(t *testing.T) {
	for i, s := range hostile {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			n := Namespace{
				Name: s, Applies: s, Mistakes: []string{s}, Notes: []string{s}, Near: []string{s, "x" + s},
				Scanners: []Scanner{
					{Name: s, Clair: s, Channel: s, Trouble: s, HearsOf: s, Waiting: -1, Ignore: []IgnoreEntry{{About: s, Reason: s, Matches: -1, Counted: true}}},
					{Name: s, Away: noon, Trouble: "x" + s},
				},
				Workloads: []NamespaceWorkload{{Kind: s, Name: s, Pods: -1, Containers: []Container{{
					Kind: s, Name: s, Image: s, Digest: s, Platform: s, Lines: []Line{{-1, s}, {99, s}, {0, s}},
				}}}},
			}
			image := Image{Name: s, Digest: s, Platform: s, Namespaces: []string{"shop", s}, State: s, Advice: s, Remedy: s}
			for _, err := range []error{nil, ErrUnknown} {
				source := &slowSpaces{answer: func(context.Context) (Namespace, error) { return n, err }}
				source.fixture = fixture{cluster: Cluster{Name: s}, images: []Image{image}}
				h := newPages(t, source)
				for _, w := range []*httptest.ResponseRecorder{get(t, h, "/namespaces/shop", ""), get(t, h, "/namespaces/"+s, ""), get(t, h, "/namespaces/x"+s, "")} {
					isText(t, w.Body.String())
				}
			}
		})
	}
}
