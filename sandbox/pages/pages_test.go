// Package pages tests the daemon's pages in a real browser: that they can be read and used by everybody, in light and in
// dark, on a screen, a phone and paper, and that they ask for nothing and run nothing.
package pages

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/browser"
	"github.com/clairwatch/clairwatch/web"
)

// shotsFolder is the variable of the environment with the folder that pictures of all pages are written to.
const shotsFolder = "BROWSER_SHOTS"

// longest is how much of a long page a picture shows.
const longest = 2500

var (
	//go:embed layout.js
	layoutScript string
	//go:embed accessibility.js
	accessibilityScript string
)

// tools are what the tests look at pages with.
type tools struct {
	browser *browser.Browser
	axe     string // its script
}

// TestPages starts one browser for all tests.
func TestPages(t *testing.T) {
	tools := start(t)
	for name, test := range map[string]func(*testing.T){
		"checks":   tools.testChecks,
		"look":     tools.testLook,
		"readme":   tools.testReadme,
		"print":    tools.testPrint,
		"filter":   tools.testFilter,
		"findings": tools.testFindings,
		"sort":     tools.testSort,
		"links":    tools.testLinks,
		"keyboard": tools.testKeyboard,
		"hostile":  tools.testHostile,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// start starts the browser, which ends with the test, or skips the test where there is none.
func start(t *testing.T) tools {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Chromium")
	}
	chromium, err := sandbox.FindChromium(t.Context(), t.Logf)
	if err == nil {
		var axe string
		if axe, err = sandbox.AxeCore(t.Context(), t.Logf); err == nil {
			b, err := browser.Start(context.WithoutCancel(t.Context()), chromium, t.TempDir()) // the context ends before the test is over
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
			return tools{browser: b, axe: axe}
		}
	}
	if (errors.Is(err, sandbox.ErrNoChromium) || errors.Is(err, sandbox.ErrNoAxe)) && os.Getenv("CI") == "" {
		t.Skip(err) // where a change is judged it is an error
	}
	t.Fatal(err)
	return tools{}
}

// open opens a tab, which is closed with the test.
func (o tools) open(t *testing.T) *browser.Tab {
	t.Helper()
	tab, err := o.browser.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tab.Close)
	return tab
}

// view is a page with what it shows.
type view struct {
	name   string
	source *source
	path   string // with the query
	status int
}

// views are all pages, with nothing, little and much in them.
func views() []view {
	none, one, few, many := sourceOf(0), sourceOf(1), sourceOf(40), sourceOf(400)
	away := sourceOf(1)
	away.failing = errors.New("no route to a host whose name is nobody's business")
	noReport := sourceOf(1)
	noReport.reports = nil
	clean := sourceOf(1)
	clean.reports[digestOf(0)] = withoutFindings(clean.reports[digestOf(0)])
	standby := &source{}
	fewClairs := sourceOf(40)
	fewClairs.clairs = append(fewClairs.clairs[:1:1], web.Clair{URL: "https://clair.example.com", Up: true, Asked: noon, Newest: noon.Add(-time.Minute)}, web.Clair{URL: "http://clair.new"})
	in := func(state string) web.Image {
		return many.images[slices.IndexFunc(many.images, func(i web.Image) bool { return i.State == state && i.Digest != "" })]
	}
	outside := sourceOf(1)
	outside.namespaces["default"] = web.Namespace{
		Name: "default", Applies: "Namespace default is opted out: its key in the settings is empty, so that nobody hears of it, not even by _all.",
		Notes: []string{"Nobody looks at what runs there: 3 pods."},
	}
	worst := "/vulnerabilities/" + everywhere(manyFindings(900)).Name
	return []view{
		{"overview-0", none, "/", 200},
		{"overview-1", one, "/", 200},
		{"overview-400", many, "/", 200},
		{"overview-not-covered", fewClairs, "/?state=not_covered", 200},
		{"overview-filtered", many, "/?namespace=checkout&q=CHECKOUT-api:1.1", 200},
		{"overview-severe", few, "/?severity=critical&fixable=yes&state=scanned", 200},
		{"overview-sorted-page-2", many, "/?sort=pods&order=asc&page=2&namespace=default", 200},
		{"overview-vulnerability", few, "/?q=" + path.Base(worst), 200},
		{"overview-nothing-passes", many, "/?q=no+such+image", 200},
		{"overview-standby", standby, "/", 200},
		{"image-900", many, "/images/" + digestOf(0), 200},
		{"image-page-2", many, "/images/" + digestOf(0) + "?page=2", 200},
		{"image-filtered", many, "/images/" + digestOf(0) + "?severity=high&fixable=yes&q=lib&package=libxml2", 200},
		{"image-nothing-passes", many, "/images/" + digestOf(0) + "?q=no+such+advisory", 200},
		{"image-few", many, "/images/" + digestOf(5), 200},
		{"image-clean", clean, "/images/" + digestOf(0), 200},
		{"image-refused", many, "/images/" + in("unauthorized").Digest, 200},
		{"image-not-covered", many, "/images/" + in("not_covered").Digest, 200},
		{"image-no-report", noReport, "/images/" + digestOf(0), 200},
		{"image-clair-away", away, "/images/" + digestOf(0), 502},
		{"image-gone", one, "/images/" + digestOf(7), 404},
		{"vulnerability-400", many, worst, 200},
		{"vulnerability-1", one, worst, 200},
		{"vulnerability-0", many, "/vulnerabilities/CVE-1999-0001", 404},
		{"vulnerability-mentioned", many, "/vulnerabilities/" + mentioned, 200},
		{"vulnerability-standby", standby, worst, 503},
		{"namespace-400", many, "/namespaces/checkout", 200},
		{"namespace-1", one, "/namespaces/cart", 200},
		{"namespace-long", many, "/namespaces/" + longNamespace, 200},
		{"namespace-outside", outside, "/namespaces/default", 200},
		{"namespace-unknown", many, "/namespaces/payment", 404},
		{"no-such-page", one, "/no/such/page", 404},
	}
}

// looks are what pages look like.
var looks = []struct {
	name string
	browser.Look
}{
	{"light-1280", browser.Look{Width: 1280, Height: 900}},
	{"dark-1280", browser.Look{Width: 1280, Height: 900, Dark: true}},
	{"light-390", browser.Look{Width: 390, Height: 844, Phone: true}},
	{"dark-390", browser.Look{Width: 390, Height: 844, Phone: true, Dark: true}},
}

// testLook looks at each page in each way: it can be read, it asks for itself, its style and its icon alone, and nobody
// complains.
func (o tools) testLook(t *testing.T) {
	shots := os.Getenv(shotsFolder)
	for i, v := range views() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			root := serve(t, v.source)
			tab := o.open(t)
			for _, l := range looks {
				// Nothing but colours differs in the dark, so that one width is enough: the next page has the other one.
				if l.Dark && shots == "" && l.Phone != (i%2 == 0) {
					continue
				}
				t.Run(l.name, func(t *testing.T) {
					done(t, tab.Look(l.Look))
					visit(t, tab, root+v.path, v.status)
					checkLayout(t, tab, l.Look)
					checkNotes(t, tab.Notes(), root, v.path)
					if shots != "" {
						shoot(t, tab, filepath.Join(shots, v.name+"-"+l.name+".png"), longest, 1)
					}
					o.checkAccessibility(t, tab)
				})
			}
		})
	}
}

// checkNotes says what the page asked for that it should not, and what there was to complain about.
func checkNotes(t *testing.T, n browser.Notes, root, path string) {
	t.Helper()
	page, _, _ := strings.Cut(path, "#")
	want := []string{root + page, root + "/style.css"}
	var got []string
	for _, r := range n.Requests {
		r, _, _ = strings.Cut(r, "?v=") // the version of what is kept
		if r != root+"/icon.svg" {
			got = append(got, r)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("it asked for %.300q, want %.300q and at most the icon", n.Requests, want)
	}
	for _, f := range complaints(n) {
		t.Error(f)
	}
}

// complaints are what of a tab's notes ought not to be.
func complaints(n browser.Notes) []string { return slices.Concat(n.Failed, n.Complaints, n.Dialogs) }

// checkLayout says what cannot be read or hit.
func checkLayout(t *testing.T, tab *browser.Tab, l browser.Look) {
	t.Helper()
	for _, f := range layoutFaults(t, tab, l) {
		t.Error(f)
	}
}

func layoutFaults(t *testing.T, tab *browser.Tab, l browser.Look) []string {
	t.Helper()
	return evaluate[[]string](t, tab, fmt.Sprintf("(%s)(%d, %t)", layoutScript, l.Width, l.Phone))
}

// checkAccessibility says what axe-core finds wrong. It takes most of long tables away.
func (o tools) checkAccessibility(t *testing.T, tab *browser.Tab) {
	t.Helper()
	for _, f := range o.accessibilityFaults(t, tab) {
		t.Error(f)
	}
}

func (o tools) accessibilityFaults(t *testing.T, tab *browser.Tab) []string {
	t.Helper()
	done(t, tab.Evaluate(o.axe+";undefined", nil))
	return evaluate[[]string](t, tab, accessibilityScript)
}

// shoot writes a picture of the page, down to most pixels of its own, each of which is as many wide and high as scale.
func shoot(t *testing.T, tab *browser.Tab, file string, most, scale int) {
	t.Helper()
	picture, err := tab.Shot(most, scale)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
