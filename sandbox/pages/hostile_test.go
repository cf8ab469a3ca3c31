package pages

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/web"
)

// hostile are strings that try to be more than text. What runs leaves window.ran behind.
func hostile() []string {
	return []string{
		`<script>window.ran = 1; alert(1)</script>`,
		`"><img src=x onerror="window.ran = 1; alert(1)">`,
		`' autofocus onfocus='window.ran = 1' x='`,
		`</title></bdi></td></tr></table><h1>owned</h1><iframe src="//example.com/">`,
		`javascript:window.ran=1,alert(1)`,
		`https://example.com/"onclick="window.ran=1`,
		`</style><style>* { background: url(//example.com/style) }</style>`,
		`<meta http-equiv="refresh" content="0; url=//example.com/">`,
		`<base href="//example.com/">`,
		`<form action="//example.com/"><button autofocus>x`,
		`//example.com/`,
		`../../..//example.com/`,
		"a\u202egnp.exe\u2066\u200b\u0000\u0007\r\n\t",
		strings.Repeat("w", 10<<10),
		strings.Repeat("é🙂", 2<<10),
		strings.Repeat("﷽", 400), // the widest letter that there is
	}
}

// paged is as much of s as the address of a page may end in.
func paged(s string) string { return strings.ToValidUTF8(s[:min(len(s), 400)], "") }

// hostileSource is a cluster in which everything is called s.
func hostileSource(s string) *source {
	digest := digestOf(0)
	f := findings.Finding{Name: s, Package: s, Installed: s, FixedIn: s, Severity: claircore.Critical, CVSS: 9.9, Updater: s, Link: s, Layer: s, Description: s}
	ours := s
	if len(s) > 40 {
		ours = "short" // the words of states and advice are the daemon's own
	}
	linked := f
	linked.Link = "https://example.com/" + s
	named := linked
	named.Name = paged(s)
	img := web.Image{
		Name: s, Digest: digest, Platform: s, Namespaces: []string{s, s + "2"}, Pods: 3, State: ours, Advice: ours, Remedy: ours, Found: true, Told: true, Since: noon,
		Workloads: []web.Workload{{Kind: s, Namespace: s, Name: s, Pods: 2}, {Kind: s, Namespace: s + "2", Name: s, Pods: 1}},
		Counts:    findings.Counts{Critical: 2, Fixable: 2},
	}
	unread := img
	unread.Digest, unread.Found, unread.Told = s, false, false
	return &source{
		cluster:  web.Cluster{Name: s, Leads: true, Since: noon},
		clairs:   []web.Clair{{URL: s, Up: true, Asked: noon}, {URL: s, Away: noon}},
		images:   []web.Image{img, unread},
		channels: []web.Channel{{Name: s, Namespaces: []string{s}, Trouble: s, Since: noon}, {Name: s, Namespaces: []string{s}}, {Name: s, Untried: true}},
		mistakes: []web.Mistake{{Key: s, Lines: []string{s, s}, Effect: s}},
		reports:  map[string]findings.Report{digest: {Digest: digest, Distribution: s, Packages: 3, Covered: true, Findings: []findings.Finding{f, linked, named}}},
		hearers: []web.Hearer{{
			Key: s, Name: s, Namespaces: []string{s}, Channel: s, Told: true, Since: noon,
			Ignore: []findings.Ignore{{ID: s, Package: s, Image: s, Reason: s}},
		}},
		namespaces: map[string]web.Namespace{paged(s): {
			Name: s, Applies: s, Mistakes: []string{s}, Notes: []string{s}, Near: []string{s},
			Scanners: []web.Scanner{{Name: s, Clair: s, Away: noon, Channel: s, Trouble: s, HearsOf: s, Ignore: []web.IgnoreEntry{{About: s, Reason: s}}}},
			Workloads: []web.NamespaceWorkload{{Kind: s, Name: s, Pods: 1, Containers: []web.Container{
				{Kind: s, Name: s, Pods: 1, Image: s, Digest: digest, Platform: s, Lines: []web.Line{{Text: s}, {Depth: 1, Text: s}}},
			}}},
		}},
	}
}

// foreignScript says what of a page is not made of what pages are made of.
const foreignScript = `(() => {
	const faults = []
	if (window.ran) faults.push('something ran')
	if (document.querySelectorAll('h1').length !== 1) faults.push('it has several headings')
	for (const e of document.querySelectorAll('script, style, img, iframe, object, embed, base, meta[http-equiv]')) faults.push('it has an element ' + e.tagName)
	for (const e of document.querySelectorAll('*')) for (const a of e.attributes) if (a.name.startsWith('on') || a.name === 'style' || a.name === 'autofocus') faults.push('it has the attribute ' + a.name)
	for (const a of document.querySelectorAll('a[href]')) if (a.host !== location.host && a.host !== 'example.com' || !['http:', 'https:'].includes(a.protocol)) faults.push('it links to ' + a.href.slice(0, 80))
	for (const f of document.querySelectorAll('form')) if (new URL(f.getAttribute('action'), location).host !== location.host) faults.push('a form goes to ' + f.action)
	if (/[\u202e\u2066\u200b]/.test(document.documentElement.outerHTML)) faults.push('it has letters that turn others around')
	return faults.slice(0, 10)
})()`

// testHostile shows strings that try to be more than text, wherever strings come from outside: nothing runs, nothing is
// asked for, and the page can still be read.
func (o tools) testHostile(t *testing.T) {
	for i, s := range hostile() {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			root := serve(t, hostileSource(s))
			tab := o.open(t)
			as := url.QueryEscape(s)
			if len(as) > 4<<10 {
				as = as[:4<<10-1] // longer addresses are refused before they come to a page
			}
			part := url.PathEscape(paged(s))
			for n, path := range []string{"/", "/?q=" + as + "&namespace=" + as + "&state=" + as + "&severity=" + as, "/images/" + digestOf(0), "/vulnerabilities/" + part, "/namespaces/" + part, "/" + url.PathEscape(s[:min(len(s), 1000)])} {
				l := looks[(i+n)%len(looks)] // which costs less than all, and finds what all would in the end
				done(t, tab.Look(l.Look))
				if _, err := tab.Visit(root + path); err != nil {
					t.Fatal(err)
				}
				checkNotes(t, tab.Notes(), root, path)
				checkLayout(t, tab, l.Look)
				for _, f := range evaluate[[]string](t, tab, foreignScript) {
					t.Errorf("%.80s: %s", path, f)
				}
			}
		})
	}
}
