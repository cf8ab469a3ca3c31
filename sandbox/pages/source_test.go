package pages

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/web"
)

// noon is when the pages are made.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// source is a cluster that stands still.
type source struct {
	cluster    web.Cluster
	clairs     []web.Clair
	images     []web.Image
	channels   []web.Channel
	mistakes   []web.Mistake
	reports    map[string]findings.Report // by digest
	failing    error                      // what fetching a report gives; nil: the report
	hearers    []web.Hearer               // of every image, without decisions
	namespaces map[string]web.Namespace
}

func (s *source) Cluster() web.Cluster    { return s.cluster }
func (s *source) Clairs() []web.Clair     { return s.clairs }
func (s *source) Images() []web.Image     { return s.images }
func (s *source) Channels() []web.Channel { return s.channels }
func (s *source) Mistakes() []web.Mistake { return s.mistakes }

func (s *source) Having(name string) map[string][]findings.Finding {
	having := make(map[string][]findings.Finding)
	for digest, r := range s.reports {
		for _, f := range r.Findings {
			if f.IsCalled(name) || f.Mentions(name) {
				f.Description = ""
				having[digest] = append(having[digest], f)
			}
		}
	}
	return having
}

func (s *source) Report(_ context.Context, digest string) (web.Report, error) {
	r, ok := s.reports[digest]
	switch {
	case s.failing != nil:
		return web.Report{}, s.failing
	case !ok:
		return web.Report{}, web.ErrNotIndexed
	}
	report := web.Report{Report: r, Clair: clairURL}
	for _, h := range s.hearers {
		h.Decisions = make([]web.Decision, len(r.Findings))
		for i, f := range r.Findings {
			h.Decisions[i] = decide(h, f)
		}
		report.Hearers = append(report.Hearers, h)
	}
	return report, nil
}

// decide is what the hearers here do with a finding: their entries of ignore are about packages.
func decide(h web.Hearer, f findings.Finding) web.Decision {
	ignored := slices.IndexFunc(h.Ignore, func(i findings.Ignore) bool { return i.Package == f.Package })
	switch {
	case ignored >= 0:
		return web.Decision{Fate: findings.Ignored, Ignore: int32(ignored)}
	case f.Severity < h.MinSeverity:
		return web.Decision{Fate: findings.BelowMinSeverity}
	case h.OnlyFixable && !f.Fixable():
		return web.Decision{Fate: findings.WithoutFix}
	}
	return web.Decision{Fate: findings.Passes, Told: h.Told}
}

func (s *source) Namespace(_ context.Context, name string) (web.Namespace, error) {
	if !s.cluster.Leads {
		return web.Namespace{}, web.ErrStandby
	}
	if n, ok := s.namespaces[name]; ok {
		return n, nil
	}
	unknown := web.Namespace{Name: name}
	if len(name) > 2 {
		for _, known := range slices.Sorted(maps.Keys(s.namespaces)) {
			if strings.HasPrefix(known, name[:3]) {
				unknown.Near = append(unknown.Near, known)
			}
		}
	}
	return unknown, web.ErrUnknown
}

// serve serves the pages of a source on 127.0.0.1 while the test runs, and returns their address without a slash at
// the end.
func serve(t *testing.T, s web.Source) string {
	t.Helper()
	handler, err := web.New(web.Config{Source: s, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

const clairURL = "http://clair.clair.svc:6060"

func digestOf(n int) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(fmt.Append(nil, n))) }

// leads is a cluster in which this replica leads.
var leads = web.Cluster{Name: "production", Leads: true, Since: noon.Add(-26 * time.Hour)}

// sourceOf is a source with n images, of which the first has a report of 900 findings.
func sourceOf(n int) *source {
	s := &source{
		cluster: leads,
		clairs: []web.Clair{
			{URL: clairURL, Up: true, Asked: noon.Add(-4 * time.Minute), Newest: noon.Add(-3 * time.Hour)},
		},
		reports: make(map[string]findings.Report),
		hearers: []web.Hearer{
			{
				Key: "shop", Name: "default", Namespaces: []string{"shop"}, Channel: "hooks.slack.com/…#d41a20",
				UnknownAs: claircore.Medium, Told: true, Since: noon.Add(-9 * 24 * time.Hour),
				Ignore: []findings.Ignore{
					{Package: "linux-libc-dev", Reason: "headers only: the kernel is the node's"},
					{Package: "imagemagick", Image: "shop/*", Reason: "not reachable from outside", Until: noon.Add(40 * 24 * time.Hour)},
				},
			},
			{
				Key: "_all", Name: "platform", Namespaces: []string{"cart", "checkout", "default", "monitoring", "shop"}, Channel: "hooks.slack.com/…#90b77e",
				MinSeverity: claircore.High, UnknownAs: claircore.Medium, OnlyFixable: true, Told: true, Since: noon.Add(-30 * 24 * time.Hour),
			},
		},
		namespaces: make(map[string]web.Namespace),
	}
	if n > 1 {
		s.clairs = append(s.clairs, web.Clair{URL: "https://clair.example.com", Away: noon.Add(-50 * time.Minute), Asked: noon.Add(-52 * time.Minute), Newest: noon.Add(-3 * 24 * time.Hour)})
		s.channels = channels()
		s.mistakes = mistakes()
	} else if n == 1 {
		s.channels = channels()[2:3]
	}
	pool := manyFindings(900)
	for i := range n {
		img := imageAt(i, n)
		if img.Found {
			r := findings.Report{Digest: img.Digest, Distribution: "Debian 12", Packages: 412 - i, Covered: true, Findings: some(pool, i, n)}
			if img.State == "not_covered" {
				r = findings.Report{Digest: img.Digest, Packages: 1}
			}
			for _, f := range r.Findings {
				img.Counts = add(img.Counts, f)
			}
			s.reports[img.Digest] = r
		}
		s.images = append(s.images, img)
	}
	slices.SortStableFunc(s.images, func(a, b web.Image) int {
		return cmp.Or(cmp.Compare(b.Counts.Critical, a.Counts.Critical), cmp.Compare(b.Counts.High, a.Counts.High), cmp.Compare(b.Counts.Medium, a.Counts.Medium))
	})
	for _, img := range s.images {
		for _, name := range img.Namespaces {
			s.namespaces[name] = withImage(s.namespaces[name], name, img)
		}
	}
	return s
}

// some are the findings of the image i of n: all of the first, none of every eighth, and of the others a few, among
// which is the worst, as if it were in the base image of all.
func some(pool []findings.Finding, i, n int) []findings.Finding {
	if i == 0 {
		return pool
	}
	if i%8 == 7 {
		return nil
	}
	most := everywhere(pool)
	fs := []findings.Finding{most}
	for k := i % 11; k < len(pool); k += 7 + i*40/n + i%5 {
		if pool[k].Name != most.Name {
			fs = append(fs, pool[k])
		}
	}
	return fs
}

// everywhere is the one of the findings that most images have.
func everywhere(pool []findings.Finding) findings.Finding {
	return pool[slices.IndexFunc(pool, func(f findings.Finding) bool { return f.Package == "openssl" && f.Fixable() })]
}

func add(c findings.Counts, f findings.Finding) findings.Counts {
	switch f.Severity {
	case claircore.Critical:
		c.Critical++
	case claircore.High:
		c.High++
	case claircore.Medium:
		c.Medium++
	case claircore.Low:
		c.Low++
	case claircore.Negligible:
		c.Negligible++
	default:
		c.Unknown++
	}
	if f.Fixable() {
		c.Fixable++
	}
	return c
}

// longNamespace is as long as they get.
const longNamespace = "team-abcdefgh-abcdefgh-abcdefgh-abcdefgh-abcdefgh-abcdefgh-wxyz"

// imageAt is the image i of n as a cluster has them: in every state, under names and in namespaces as long as they get.
func imageAt(i, n int) web.Image {
	names := []string{
		"docker.io/library/nginx", "ghcr.io/shop/checkout-api", "quay.io/prometheus/node-exporter", "docker.io/library/redis",
		"registry.example.com:5000/payments/ledger/settlement-worker", "europe-west3-docker.pkg.dev/acme-production-europe/platform-services/notification-dispatcher-with-a-very-long-name",
	}
	namespaces := []string{"cart", "checkout", "default", "kube-system", "monitoring", "payments", "shop", longNamespace}
	troubles := []web.Image{
		{State: "unauthorized", Advice: "the registry refuses access", Remedy: "add credentials for it to the docker config of clairwatch"},
		{State: "not_covered", Advice: "Clair has no data for what is in it", Remedy: "know that nobody checks it", Found: true, Told: true},
		{State: "clair_unavailable", Advice: "Clair does not answer", Remedy: "clairwatch goes on trying; check that Clair and its database run, that clairBaseUrl is right, and that it wants no authentication"},
		{State: "untried"},
	}
	img := web.Image{State: "scanned", Found: true, Told: true, Since: noon.Add(-time.Duration(i+1) * 7 * time.Hour)}
	if n > 20 && i%20 >= 16 {
		img = troubles[i%4]
	}
	img.Name = fmt.Sprintf("%s:1.%d.%d", names[i%len(names)], i/len(names), i%4)
	img.Digest = digestOf(i)
	img.Platform = "linux/amd64"
	img.Namespaces = namespaces[i%3 : i%3+1+i%6]
	for j, namespace := range img.Namespaces {
		kind := []string{"Deployment", "StatefulSet", "DaemonSet", "CronJob"}[(i+j)%4]
		img.Workloads = append(img.Workloads, web.Workload{Kind: kind, Namespace: namespace, Name: fmt.Sprint("web-", i), Pods: 1 + j})
		img.Pods += 1 + j
	}
	if i%9 == 4 {
		img.Digest, img.Platform, img.Found, img.Told, img.Since = "", "", false, false, time.Time{}
		img.State, img.Advice, img.Remedy = "untried", "", ""
	}
	return img
}

// mentioned is a vulnerability that is called otherwise wherever it is.
const mentioned = "CVE-2011-4862"

// manyFindings are n of them as reports have them, worst first.
func manyFindings(n int) []findings.Finding {
	packages := []string{"openssl", "glibc", "curl", "libxml2", "python3.11", "imagemagick", "linux-libc-dev", "libwebp", "golang.org/x/net", "github.com/very-long-organization-name/an-even-longer-repository-name/v2/internal/client"}
	fs := make([]findings.Finding, n)
	for i := range fs {
		f := findings.Finding{
			Name:      fmt.Sprintf("CVE-20%02d-%04d", 12+i%14, 1000+i),
			Package:   packages[i%len(packages)],
			Installed: fmt.Sprintf("1.%d.0-2+deb12u1", i%len(packages)),
			Severity:  findings.Severities[(i*i+i/7)%len(findings.Severities)],
			Updater:   "debian/updater",
			Layer:     digestOf(1000 + i%3),
		}
		if i%3 == 0 {
			f.FixedIn = fmt.Sprintf("1.%d.0-2+deb12u%d", i%len(packages), 2+i%9)
		}
		if i%5 != 0 {
			f.CVSS = float64(i%100)/10 + 0.1
		}
		if i%11 != 0 {
			f.Link = "https://security-tracker.debian.org/tracker/" + f.Name
		}
		if i%50 == 49 { // the same under another name
			f.Name = fmt.Sprintf("GHSA-%04x-qrst-vwxy", i)
			f.Link = fmt.Sprintf("https://nvd.nist.gov/vuln/detail/CVE-20%02d-%04d", 12+(i-1)%14, 1000+i-1)
		}
		if i%300 == 149 {
			f.Link = "https://nvd.nist.gov/vuln/detail/" + mentioned
		}
		fs[i] = f
	}
	findings.Sort(fs)
	return fs
}

// withImage adds what runs an image to what is known of a namespace.
func withImage(n web.Namespace, name string, img web.Image) web.Namespace {
	if n.Name == "" {
		n = web.Namespace{
			Name: name, Applies: "Namespace " + name + " has a key of its own in the settings.",
			Scanners: []web.Scanner{
				{
					Name: "default", Clair: clairURL, Channel: "hooks.slack.com/…#d41a20", HearsOf: "every vulnerability",
					Ignore: []web.IgnoreEntry{
						{About: "the package linux-libc-dev", Reason: "headers only: the kernel is the node's", Matches: 90, Counted: true},
						{About: "the package imagemagick in images shop/*", Reason: "not reachable from outside", Until: noon.Add(40 * 24 * time.Hour), Matches: 3, Counted: true},
						{About: "CVE-2021-44228", Reason: "log4j is not in use", Until: noon.Add(-3 * 24 * time.Hour), Ended: true},
					},
				},
				{
					Name: "platform", Clair: "https://clair.example.com", Away: noon.Add(-50 * time.Minute), Channel: "hooks.slack.com/…#3fa2c1", HearsOf: "critical and high ones with a fix",
					Waiting: 14, Trouble: "Slack does not know the webhook (any more): make a new one and put it into the settings", Since: noon.Add(-3 * time.Hour), Next: noon.Add(11 * time.Minute),
				},
			},
		}
		if name == "checkout" {
			n.Applies += " There is a mistake, and until it is mended the last good settings stay in force."
			n.Mistakes = []string{"checkout[1].minSeverty (line 7): no such field; did you mean minSeverity?"}
		}
	}
	for _, w := range img.Workloads {
		if w.Namespace != name {
			continue
		}
		lines := []web.Line{{Text: "Scanned."}}
		switch {
		case img.Advice != "":
			lines = []web.Line{{Text: "Could not be scanned: " + img.Advice + ". What to do: " + img.Remedy + "."}, {Text: "Since 2026-03-01 08:12 UTC, tried 14 times, last at 2026-03-01 11:48 UTC."}}
		case img.Found:
			lines = append(lines, web.Line{Text: "Scanner default:"},
				web.Line{Depth: 1, Text: fmt.Sprintf("hooks.slack.com/…#d41a20 was told of %d vulnerabilities.", img.Counts.Total())},
				web.Line{Depth: 1, Text: "Held back: 2 ignored, 14 below minSeverity high."},
				web.Line{Depth: 2, Text: "CVE-2023-4911 of glibc: ignored until 2026-04-10, not reachable from outside."})
		}
		n.Workloads = append(n.Workloads, web.NamespaceWorkload{
			Kind: w.Kind, Name: w.Name, Pods: w.Pods,
			Containers: []web.Container{{Kind: "container", Name: "main", Pods: w.Pods, Image: img.Name, Digest: img.Digest, Platform: img.Platform, Lines: lines}},
		})
	}
	return n
}

func channels() []web.Channel {
	return []web.Channel{
		{
			Name: "hooks.slack.com/…#3fa2c1", Namespaces: []string{"checkout", "payments"}, Waiting: 14,
			Trouble: "Slack does not know the webhook (any more): make a new one and put it into the settings",
			Since:   noon.Add(-3 * time.Hour), Next: noon.Add(11 * time.Minute),
		},
		{Name: "hooks.slack.com/…#90b77e", Namespaces: []string{"cart", "default", "kube-system", "monitoring", "shop"}, Waiting: 1},
		{Name: "hooks.slack.com/…#d41a20", Namespaces: []string{"shop"}},
		{Name: "hooks.slack.com/…#08e5b1", Namespaces: []string{"payments-staging"}, Untried: true},
	}
}

func mistakes() []web.Mistake {
	return []web.Mistake{
		{Key: "_defaults", Lines: []string{"_defaults.clairBaseUrl (line 1): not an http or https address: want an address such as http://clair.clair:6000/"}, Effect: "all keys keep their last good settings"},
		{Key: "checkout", Lines: []string{
			"checkout[1].minSeverty (line 7): no such field; did you mean minSeverity?",
			"checkout[1].slackWebhookUrl (line 8): the webhook has no path",
		}, Effect: "the last good settings stay in force"},
	}
}

func withoutFindings(r findings.Report) findings.Report {
	r.Findings = nil
	return r
}
