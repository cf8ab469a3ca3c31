package slack

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

var update = flag.Bool("update", false, "write the golden files")

const digest = "sha256:3f2a9c41d7be0c6a9f5b8a1e7d4c3b2a190807f6e5d4c3b2a1f0e9d8c7b6a594"

// debian is an advisory of Debian's.
func debian(cve, pkg, installed, fixed string, s findings.Severity, cvss float64) findings.Finding {
	return findings.Finding{
		Name: cve, Package: pkg, Installed: installed, FixedIn: fixed, Severity: s, CVSS: cvss,
		Updater: "debian/updater", Link: "https://security-tracker.debian.org/tracker/" + cve,
	}
}

// bookworm is what is known of an image that was built on an early Debian 12.
func bookworm() []findings.Finding {
	const critical, high, medium, low = claircore.Critical, claircore.High, claircore.Medium, claircore.Low
	return []findings.Finding{
		debian("CVE-2023-38545", "curl", "7.88.1-10+deb12u3", "7.88.1-10+deb12u4", critical, 9.8),
		debian("CVE-2023-38546", "curl", "7.88.1-10+deb12u3", "7.88.1-10+deb12u4", low, 3.7),
		debian("CVE-2024-45491", "expat", "2.5.0-1", "2.5.0-1+deb12u1", critical, 9.8),
		debian("CVE-2024-45492", "expat", "2.5.0-1", "2.5.0-1+deb12u1", critical, 9.8),
		debian("CVE-2024-45490", "expat", "2.5.0-1", "2.5.0-1+deb12u1", high, 7.5),
		debian("CVE-2023-45853", "zlib", "1:1.2.13.dfsg-1", "", critical, 9.8),
		debian("CVE-2024-37371", "krb5", "1.20.1-2+deb12u1", "1.20.1-2+deb12u2", critical, 9.1),
		debian("CVE-2024-37370", "krb5", "1.20.1-2+deb12u1", "1.20.1-2+deb12u2", high, 7.5),
		debian("CVE-2023-4863", "libwebp", "1.2.4-0.2", "1.2.4-0.2+deb12u1", high, 8.8),
		debian("CVE-2023-4911", "glibc", "2.36-9+deb12u1", "2.36-9+deb12u3", high, 7.8),
		debian("CVE-2023-44487", "nghttp2", "1.52.0-1", "1.52.0-1+deb12u1", high, 7.5),
		debian("CVE-2023-5363", "openssl", "3.0.11-1~deb12u1", "3.0.11-1~deb12u2", high, 7.5),
		debian("CVE-2024-0553", "gnutls28", "3.7.9-2", "3.7.9-2+deb12u1", high, 7.5),
		debian("CVE-2023-50387", "systemd", "252.17-1~deb12u1", "252.23-1~deb12u1", high, 7.5),
		debian("CVE-2023-31484", "perl", "5.36.0-7", "5.36.0-7+deb12u1", medium, 8.1),
		debian("CVE-2022-0563", "util-linux", "2.38.1-5", "", low, 5.5),
		debian("CVE-2011-3374", "apt", "2.6.1", "", claircore.Negligible, 3.7),
		debian("CVE-2023-29383", "shadow", "1:4.13+dfsg1-1", "", claircore.Unknown, 0),
	}
}

// summarize makes a summary as the daemon does. The findings are expected worst first.
func summarize(distribution string, packages int, fs ...findings.Finding) findings.Summary {
	return summarizeFrom(claircore.Unknown, distribution, packages, fs...)
}

// summarizeFrom does so for a channel that wants to hear of one severity and worse.
func summarizeFrom(least findings.Severity, distribution string, packages int, fs ...findings.Finding) findings.Summary {
	return summarizeBy(findings.Rules{MinSeverity: least}, distribution, packages, fs...)
}

func summarizeBy(rules findings.Rules, distribution string, packages int, fs ...findings.Finding) findings.Summary {
	r := findings.Report{Digest: digest, Distribution: distribution, Packages: packages, Covered: true, Findings: fs}
	return r.Summarize(8, rules)
}

// ignoring are rules that ignore some packages.
func ignoring(packages ...string) (r findings.Rules) {
	for _, p := range packages {
		r.Ignore = append(r.Ignore, findings.Ignore{Package: p, Reason: "not reachable"})
	}
	return r
}

func checkout() Report {
	return Report{
		Image:   Image{Name: "registry.example.com/shop/checkout:v2.14.0", Digest: digest},
		Cluster: "prod-eu",
		Summary: summarize("Debian 12", 118, bookworm()...),
		Place: Place{Workloads: []Workload{
			{Kind: "CronJob", Namespace: "shop", Name: "checkout-reconcile", Pods: 1},
			{Kind: "Deployment", Namespace: "shop", Name: "checkout", Pods: 6},
			{Kind: "Deployment", Namespace: "shop-staging", Name: "checkout", Pods: 2},
		}, Pods: 9},
		Link: "https://clairwatch.example.com/image/sha256:3f2a9c41d7be",
	}
}

func with(change func(*Report)) Report {
	r := checkout()
	change(&r)
	return r
}

// hostile are strings that try to ping people, to format, to forge links and to hide.
var hostile = []string{
	"<!channel>/`x`*bold*_it_~s~&amp;:<https://evil.example|click> :tada:",
	"@here <@U123> <!subteam^S1|all> <!date^1^{date}|x>",
	"\u202egnp.exe\u202c \u2066x\u2069 a\u200bb\u200dc\ufeffd \u3164\u115f",
	"z\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307algo",
	"line\nline\r\n\tline\x00\x1b[31mred\x7f",
	"\xff\xfe not utf-8 \xc3",
	"```\n*x*\n```",
	"עברית و عربي 日本語 🧨👩‍👩‍👧",
}

func hostileReport() Report {
	var fs []findings.Finding
	for i, h := range hostile {
		fs = append(fs, findings.Finding{
			Name: h, Package: hostile[(i+1)%len(hostile)], Installed: hostile[(i+2)%len(hostile)], FixedIn: hostile[(i+3)%len(hostile)],
			Severity: findings.Severities[i%len(findings.Severities)], CVSS: 9.8, Link: "https://evil.example/?q=|<!channel>`",
		})
	}
	slices.SortStableFunc(fs, func(a, b findings.Finding) int { return int(b.Severity) - int(a.Severity) })
	fs[0].Link = "javascript:alert(1)"
	fs[1].Link = "https://user:password@evil.example/"
	return Report{
		Image:   Image{Name: "registry.example.com/" + hostile[0] + ":\u202egnp.exe", Digest: "sha256:<!here>" + hostile[4], Platform: "linux/<!channel>"},
		Cluster: hostile[1],
		Summary: summarize(hostile[1], 3, fs...),
		Place: Place{Workloads: []Workload{
			{Kind: hostile[4], Namespace: "<!everyone>", Name: hostile[0], Pods: 1},
			{Kind: "", Namespace: "", Name: "", Pods: 0},
			{Kind: "Job", Namespace: hostile[2], Name: hostile[3], Pods: -1},
		}},
		Link: "https://clairwatch.example.com/image/<!channel>|x>y&z",
	}
}

func hostileChange(kind ChangeKind) Change {
	c := Change{Kind: kind, Cluster: hostile[4], Namespaces: hostile, Updaters: hostile, Counts: findings.Counts{Critical: 3, Unknown: 9}}
	for i, h := range hostile {
		c.Rows = append(c.Rows, Row{Image: Image{Name: h, Platform: hostile[0]}, Namespace: h, Counts: c.Counts, Link: hostile[1]})
		c.Worst = append(c.Worst, findings.Spread{Finding: findings.Finding{Name: h, Package: hostile[(i+1)%len(hostile)], FixedIn: hostile[(i+2)%len(hostile)], Link: "https://evil.example/?q=|<!channel>`&"}})
	}
	c.Worst[0].Finding.Link, c.Worst[1].Finding.Link = "javascript:alert(1)", "https://user:password@evil.example/"
	return c
}

func inventory() Inventory {
	row := func(name, ns string, critical, high, medium, fixable, pods int) Row {
		return Row{
			Image: Image{Name: name}, Namespace: ns, Pods: pods,
			Counts: findings.Counts{Critical: critical, High: high, Medium: medium, Fixable: fixable},
			Link:   "https://clairwatch.example.com/image/" + name,
		}
	}
	edge := func(platform string) Row {
		r := row("registry.example.com/platform/ingress:1.11.3", "platform", 2, 12, 9, 19, 3)
		r.Image.Platform = platform
		return r
	}
	return Inventory{
		Cluster:    "prod-eu",
		Namespaces: []string{"data", "platform", "shop"},
		Images:     42, Pods: 618,
		Counts: findings.Counts{Critical: 118, High: 2310, Medium: 9120, Low: 7044, Negligible: 15800, Unknown: 610, Fixable: 1204},
		Worst: []Row{
			row("registry.example.com/legacy/reporting-monolith:2019.4-patched", "shop", 61, 214, 803, 618, 431),
			row("apache/airflow:2.10.4", "data", 9, 77, 310, 140, 5),
			row("registry.example.com/shop/checkout:v2.14.0", "shop", 5, 8, 1, 13, 9),
			row("registry.example.com/ml/notebook@sha256:71be0c9dd2f1a85f3c3d7f4c6f8f7a3b2a190807f6e5d4c3b2a1f0e9d8c7b6a5", "data", 3, 18, 44, 22, 2),
			edge("linux/amd64"),
			edge("linux/arm64"),
		},
		Clean:      9,
		NotCovered: 3,
		Failed: []Cause{
			{Name: "unauthorized", Hint: "add the registry's credentials to the docker config", Images: []Image{
				{Name: "registry.example.com/billing/core:4.2"}, {Name: "registry.example.com/billing/batch:4.2"}, {Name: "registry.example.com/billing/ui:4.2"},
			}},
			{Name: "not found", Hint: "the registry no longer has it; push it again", Images: []Image{{Name: "ghcr.io/acme/gone:1.0"}}},
		},
		Link: "https://clairwatch.example.com/",
	}
}

func withInventory(change func(*Inventory)) Inventory {
	v := inventory()
	change(&v)
	return v
}

// removed are n images that ran in some namespaces.
func removed(n int, namespaces ...string) Removed {
	r := Removed{Cluster: "prod-eu"}
	for i, image := range images(n) {
		r.Images = append(r.Images, RemovedImage{Image: image, Namespace: namespaces[i%len(namespaces)]})
	}
	return r
}

// change is about one image, or about several of which seven are given.
func change(kind ChangeKind, images int) Change {
	fs := bookworm()
	slices.SortStableFunc(fs, func(a, b findings.Finding) int { return int(b.Severity) - int(a.Severity) })
	c := Change{Kind: kind, Cluster: "prod-eu", Namespaces: []string{"shop"}, Gone: 12, Updaters: []string{"debian/updater"}}
	if images == 1 {
		r := checkout()
		c.Worst, c.Counts = spreadsOf(fs[3:7]...), findings.Count(fs[3:7])
		c.Rows = []Row{{Image: r.Image, Namespace: "shop", Counts: c.Counts, Pods: 9, Link: r.Link}}
		return c
	}
	c.Images, c.Namespaces, c.Rows = images, []string{"data", "platform", "shop"}, append(inventory().Worst, rows(1, "shop/x:1")...)
	for i := range c.Rows {
		c.Rows[i].Counts = findings.Count(fs[i : i+3])
	}
	c.Worst, c.Counts = spreadsOf(fs...), findings.Count(fs)
	return c
}

func withChange(kind ChangeKind, images int, edit func(*Change)) Change {
	c := change(kind, images)
	edit(&c)
	return c
}

// oversized says what an advisory is about, at the length of OpenSSL's.
const oversized = "Issue summary: Processing a maliciously crafted TLS ClientHello message with an oversized key_share extension may cause " +
	"an out-of-bounds write in the server.\n\nImpact summary: a remote attacker may be able to crash the server process or possibly " +
	"execute code before the handshake is complete. The FIPS modules in 3.0 and 3.1 are not affected by this issue."

func widespread() Widespread {
	affected := func(name string, pods int, installed string, namespaces ...string) Affected {
		return Affected{
			Image: Image{Name: name}, Namespaces: namespaces, Pods: pods, Installed: installed, FixedIn: "3.0.17-1~deb12u3",
			Link: "https://clairwatch.example.com/images/" + name,
		}
	}
	f := debian("CVE-2026-31415", "openssl", "", "", claircore.Critical, 9.8)
	f.Description = oversized
	many := slices.Repeat([]string{"auth"}, 12)
	return Widespread{
		Cluster: "prod-eu", Finding: f, Images: 14, Workloads: 37, Pods: 74,
		Rows: []Affected{
			affected("registry.example.com/shop/checkout:v2.14.0", 9, "3.0.15-1~deb12u1", "shop", "shop-staging"),
			affected("registry.example.com/shop/catalog:v5.2.2", 8, "3.0.15-1~deb12u1", "shop"),
			affected("registry.example.com/platform/ingress:1.11.3", 6, "3.0.14-1~deb12u2", "ingress"),
			affected("registry.example.com/platform/auth-proxy:7.6.0", 31, "3.0.15-1~deb12u1", many...),
			affected("registry.example.com/data/airflow:2.10.4", 5, "3.0.13-1~deb12u1", "data"),
			affected("postgres:16.4", 7, "3.0.15-1~deb12u1", many[:4]...),
			affected("registry.example.com/ml/notebook@sha256:71be0c9dd2f1a85f3c3d7f4c6f8f7a3b2a190807f6e5d4c3b2a1f0e9d8c7b6a5", 2, "3.0.15-1~deb12u1", "ml"),
			affected("registry.example.com/shop/mailer:v1.9.0", 1, "3.0.11-1~deb12u2", "shop"),
		},
		Link: "https://clairwatch.example.com/",
	}
}

func withWidespread(change func(*Widespread)) Widespread {
	w := widespread()
	change(&w)
	return w
}

func disclosedMany() DisclosedMany {
	spread := func(f findings.Finding, images int) findings.Spread {
		return findings.Spread{Finding: f, Images: images}
	}
	ghsa := findings.Finding{
		Name: "GHSA-2c8p-x7jq-v5gh", Package: "github.com/quic-go/quic-go", FixedIn: "v0.57.1", Severity: claircore.High,
		CVSS: 7.5, Link: "https://osv.dev/vulnerability/GHSA-2c8p-x7jq-v5gh",
	}
	d := DisclosedMany{
		Cluster: "prod-eu", Namespaces: []string{"data", "ingress", "ml", "shop", "shop-staging"},
		Counts: findings.Counts{Critical: 2, High: 9, Medium: 17, Low: 6, Negligible: 4, Fixable: 21},
		Rows: []findings.Spread{
			spread(debian("CVE-2026-31415", "openssl", "", "3.0.17-1~deb12u3", claircore.Critical, 9.8), 14),
			spread(debian("CVE-2026-31500", "libwebp", "", "", claircore.Critical, 9.1), 2),
			spread(debian("CVE-2026-31416", "openssl", "", "3.0.17-1~deb12u3", claircore.High, 8.1), 14),
			spread(debian("CVE-2026-31702", "linux", "", "6.1.176-1", claircore.High, 7.8), 11),
			spread(ghsa, 6),
			spread(debian("CVE-2026-31333", "python3.11", "", "3.11.2-6+deb12u9", claircore.High, 7.5), 5),
			spread(debian("CVE-2026-31288", "git", "", "", claircore.High, 0), 1),
			spread(debian("CVE-2026-30114", "python-urllib3", "", "1.26.12-1+deb12u2", claircore.Medium, 6.5), 3),
		},
		Images: 51, Pods: 618, Link: "https://clairwatch.example.com/",
	}
	for _, r := range widespread().Rows {
		d.Named = append(d.Named, r.Image)
	}
	return d
}

func withDisclosedMany(change func(*DisclosedMany)) DisclosedMany {
	d := disclosedMany()
	change(&d)
	return d
}

// hostileWidespread has a hostile string in each place, and rows that differ.
// differ has the images of some vulnerabilities fixed by different versions.
func differ(d *DisclosedMany) { d.Rows[0].FixesDiffer, d.Rows[2].FixesDiffer = true, true }

func hostileWidespread() Widespread {
	w := Widespread{
		Cluster: hostile[0], Images: 9, Workloads: -1, Pods: -1, Link: "https://clairwatch.example.com/?a=|<!channel>`",
		Finding: findings.Finding{Name: hostile[0], Package: hostile[1], Description: strings.Join(hostile, " "), CVSS: 11, Link: "https://evil.example/?q=|<!channel>`&"},
	}
	for i, h := range hostile {
		w.Rows = append(w.Rows, Affected{Image: Image{Name: h, Platform: hostile[0]}, Namespaces: hostile[:i%4], Pods: i - 1,
			Installed: hostile[(i+1)%len(hostile)], FixedIn: hostile[(i+2)%len(hostile)], Link: "javascript:alert(1)"})
	}
	return w
}

func hostileDisclosedMany() DisclosedMany {
	d := DisclosedMany{Cluster: hostile[4], Namespaces: hostile, Counts: findings.Counts{Unknown: 9}, Pods: -1, Link: hostile[1]}
	for i, h := range hostile {
		d.Rows = append(d.Rows, findings.Spread{Finding: findings.Finding{Name: h, Package: hostile[(i+1)%len(hostile)], FixedIn: hostile[(i+2)%len(hostile)],
			Link: "https://evil.example/?q=|<!channel>`&"}, Images: i - 1})
		d.Named = append(d.Named, Image{Name: h, Platform: hostile[0]})
	}
	return d
}

// images are n images with names of their own.
func images(n int) []Image {
	var is []Image
	for i := range n {
		is = append(is, Image{Name: fmt.Sprintf("registry.example.com/shop/service-%d:v1.%d", i, i)})
	}
	return is
}

// spreadsOf are vulnerabilities of which the n-th is in n images; the fixes of the second one differ.
func spreadsOf(fs ...findings.Finding) []findings.Spread {
	var ss []findings.Spread
	for i, f := range fs {
		ss = append(ss, findings.Spread{Finding: f, Images: i + 1, FixesDiffer: i == 1})
	}
	return ss
}

// rows are n rows with the given name.
func rows(n int, name string) []Row {
	var rs []Row
	for i := range n {
		rs = append(rs, Row{Image: Image{Name: name, Platform: name}, Namespace: name, Counts: findings.Counts{Critical: 1 << 30, Fixable: i}, Pods: 1 << 30})
	}
	return rs
}

// messages are all kinds of messages and their edges, by the name of their golden file.
func messages() map[string]Message {
	long := strings.Repeat("very-long-name/", 700) // 10 kB
	many := make([]findings.Finding, 0, 900)
	for i := range 900 {
		s := findings.Severities[min(i/200, 5)]
		many = append(many, debian(fmt.Sprintf("CVE-2025-%d", 10000+i), fmt.Sprintf("package-%d", i/3), "1.0", "1.1", s, 0))
	}
	var crowd []Workload
	for i := range 200 {
		crowd = append(crowd, Workload{Kind: "Deployment", Namespace: fmt.Sprintf("team-%d", i), Name: "agent", Pods: 200 - i})
	}
	noFix := []findings.Finding{
		debian("CVE-2023-45853", "zlib", "1:1.2.13.dfsg-1", "", claircore.Critical, 9.8),
		debian("CVE-2022-0563", "util-linux", "2.38.1-5", "", claircore.Low, 5.5),
		debian("CVE-2011-3374", "apt", "2.6.1", "", claircore.Negligible, 3.7),
	}
	alpine := []findings.Finding{
		{Name: "CVE-2023-5363", Package: "openssl", Installed: "3.1.3-r0", FixedIn: "3.1.4-r0", CVSS: 7.5, Link: "https://www.cve.org/CVERecord?id=CVE-2023-5363"},
		{Name: "CVE-2023-42366", Package: "busybox", Installed: "1.36.1-r2", FixedIn: "1.36.1-r6", CVSS: 5.5, Link: "https://www.cve.org/CVERecord?id=CVE-2023-42366"},
	}
	disclosed := func(fs ...findings.Finding) Disclosed {
		r := checkout()
		return Disclosed{Image: r.Image, Cluster: r.Cluster, Summary: summarize("Debian 12", 118, fs...), Place: r.Place, Link: r.Link}
	}
	rung := func(m Message, steps int) Message {
		for range steps {
			m, _ = m.Simplify()
		}
		return m
	}
	emptyUpdate := findings.Summary{Covered: true, Counts: findings.Counts{High: 1, Fixable: 1}, Updates: []findings.Update{{Findings: 1}}}

	return map[string]Message{
		"report":               checkout().Message(),
		"report.list":          rung(checkout().Message(), 1),
		"report.text":          rung(checkout().Message(), 2),
		"report.last":          rung(checkout().Message(), 3),
		"report-platform":      with(func(r *Report) { r.Image.Platform = "linux/arm64" }).Message(),
		"report-no-link":       with(func(r *Report) { r.Link = "" }).Message(),
		"report-one-pod":       with(func(r *Report) { r.Place = Place{Workloads: []Workload{{"Pod", "shop", "debug", 1}}} }).Message(),
		"report-no-place":      with(func(r *Report) { r.Place = Place{} }).Message(),
		"report-200-workloads": with(func(r *Report) { r.Place = Place{Workloads: crowd} }).Message(),
		"report-no-fix":        with(func(r *Report) { r.Summary = summarize("Debian 12", 118, noFix...) }).Message(),
		"report-no-fix.list":   rung(with(func(r *Report) { r.Summary = summarize("Debian 12", 118, noFix...) }).Message(), 1),
		"report-one":           with(func(r *Report) { r.Summary = summarize("Debian 12", 118, bookworm()[0]) }).Message(),
		"report-one-no-fix":    with(func(r *Report) { r.Summary = summarize("Debian 12", 118, noFix[0]) }).Message(),
		"report-alpine": with(func(r *Report) {
			r.Image.Name, r.Summary = "alpine:3.18", summarize("Alpine 3.18", 15, alpine...)
		}).Message(),
		"report-900": with(func(r *Report) { r.Summary = summarize("Debian 12", 118, many...) }).Message(),
		"report-digest-only": with(func(r *Report) {
			r.Image.Name = "sha256:9d0b4f1ec6ea9c2f6be7dc1c4f0cd6b1ad0d8ffe9d07f5a4f3e2d1c0b9a89786"
		}).Message(),
		"report-long-names": Report{
			Image: Image{Name: long, Digest: "sha256:" + long, Platform: long}, Cluster: long, Link: "https://clairwatch.example.com/" + long,
			Summary: summarize(long, 1<<30, debian(long, long, long, long, claircore.High, 10)),
			Place:   Place{Workloads: []Workload{{long, long, long, 1 << 30}}},
		}.Message(),
		"report-hostile":      hostileReport().Message(),
		"report-hostile.list": rung(hostileReport().Message(), 1),
		"report-hostile.text": rung(hostileReport().Message(), 2),
		"report-empty-fields": Report{Summary: emptyUpdate}.Message(),

		"widespread":      widespread().Message(),
		"widespread.list": rung(widespread().Message(), 1),
		"widespread.text": rung(widespread().Message(), 2),
		"widespread-differ": withWidespread(func(w *Widespread) {
			w.Rows[2].FixedIn, w.Rows[4].Installed, w.Rows[4].FixedIn = "", "1.1.1w-0+deb11u1", "1.1.1w-0+deb11u4"
		}).Message(),
		"widespread-differ.list": rung(withWidespread(func(w *Widespread) { w.Rows[2].FixedIn = "" }).Message(), 1),
		"widespread-no-fix": withWidespread(func(w *Widespread) {
			for i := range w.Rows {
				w.Rows[i].FixedIn = ""
			}
			w.Finding.CVSS, w.Finding.Description, w.Link = 0, "", ""
		}).Message(),
		"widespread-one": withWidespread(func(w *Widespread) {
			w.Images, w.Rows, w.Workloads, w.Pods, w.Finding.Severity = 0, w.Rows[1:2], 1, 8, claircore.Unknown
		}).Message(),
		"widespread-ignored": withWidespread(func(w *Widespread) { w.Ignored = 1 }).Message(),
		"widespread-no-rows": Widespread{Finding: bookworm()[9], Images: 3}.Message(),
		"widespread-bare":    Widespread{Rows: []Affected{{}}}.Message(),
		"widespread-10kB": withWidespread(func(w *Widespread) {
			w.Finding.Description = strings.Repeat("A heap <buffer> overflow & *more* in `parse()` <!channel>\n", 180)
		}).Message(),
		"widespread-odd-version": withWidespread(func(w *Widespread) {
			w.Rows = w.Rows[:1]
			w.Rows[0].FixedIn = "1.0~+dfsg-1"
		}).Message(),
		"widespread-1000": withWidespread(func(w *Widespread) {
			w.Images, w.Workloads, w.Pods, w.Rows = 1000, 4321, 98765, slices.Repeat(w.Rows[3:4], 1000)
		}).Message(),
		"widespread-long": Widespread{
			Cluster: long, Finding: findings.Finding{Name: long, Package: long, Severity: claircore.High, Description: strings.Repeat("x", 10<<10), Link: "https://example.com/" + long},
			Rows: []Affected{
				{Image: Image{Name: long, Platform: long}, Namespaces: []string{long, long}, Pods: 1 << 30, Installed: long, FixedIn: long},
				{Image: Image{Name: long}, Installed: long, FixedIn: "1"},
			},
		}.Message(),
		"widespread-hostile":      hostileWidespread().Message(),
		"widespread-hostile.list": rung(hostileWidespread().Message(), 1),

		"disclosed-many":      disclosedMany().Message(),
		"disclosed-many.list": rung(disclosedMany().Message(), 1),
		"disclosed-many.text": rung(disclosedMany().Message(), 2),
		"disclosed-many-no-fix": withDisclosedMany(func(d *DisclosedMany) {
			d.Rows, d.Counts, d.Named, d.Images, d.Link = []findings.Spread{d.Rows[1], d.Rows[6]}, findings.Counts{Critical: 1, High: 1}, d.Named[:2], 0, ""
		}).Message(),
		"disclosed-many-ignored":     withDisclosedMany(func(d *DisclosedMany) { d.Ignored = 1234 }).Message(),
		"disclosed-many-differ":      withDisclosedMany(differ).Message(),
		"disclosed-many-differ.list": rung(withDisclosedMany(differ).Message(), 1),
		"disclosed-many-bare":        DisclosedMany{Counts: findings.Counts{High: 1, Fixable: 1}, Rows: []findings.Spread{{}}}.Message(),
		"disclosed-many-900": withDisclosedMany(func(d *DisclosedMany) {
			d.Counts, d.Rows, d.Images, d.Named = findings.Count(many), nil, 1000, images(1000)
			for i, f := range many {
				d.Rows = append(d.Rows, findings.Spread{Finding: f, Images: 1000 - i})
			}
		}).Message(),
		"disclosed-many-long": DisclosedMany{
			Cluster: long, Namespaces: []string{long, long}, Counts: findings.Counts{Critical: 1 << 30}, Named: []Image{{Name: long, Platform: long}},
			Rows: []findings.Spread{{Finding: debian(long, long, long, long, claircore.Critical, 10), Images: 1 << 30}},
		}.Message(),
		"disclosed-many-hostile":      hostileDisclosedMany().Message(),
		"disclosed-many-hostile.list": rung(hostileDisclosedMany().Message(), 1),

		"clean": with(func(r *Report) { r.Summary = summarize("Debian 12", 61) }).Message(),
		"clean-hostile": func() Message {
			r := hostileReport()
			r.Summary = summarize(hostile[0], 0)
			return r.Message()
		}(),
		"not-covered":   with(func(r *Report) { r.Summary = findings.Summary{} }).Message(),
		"empty":         Report{}.Message(),
		"trial":         Trial{Cluster: "prod-eu", Namespaces: []string{"checkout", "shop"}}.Message(),
		"trial-one":     Trial{Namespaces: []string{"shop"}}.Message(),
		"trial-many":    Trial{Cluster: long, Namespaces: slices.Repeat([]string{long}, 400)}.Message(),
		"trial-others":  Trial{Namespaces: []string{"shop", "web"}, Others: true}.Message(),
		"trial-all":     Trial{Cluster: "prod-eu", Others: true}.Message(),
		"trial-hostile": Trial{Cluster: hostile[0], Namespaces: hostile}.Message(),

		"indexed":         Indexed{Image: checkout().Image, Cluster: "prod-eu", Distribution: "Debian 12", Packages: 118}.Message(),
		"indexed-loading": Indexed{Image: checkout().Image, Distribution: "Debian 12", Packages: 118, Loading: true}.Message(),
		"indexed-nothing": Indexed{}.Message(),
		"indexed-many": IndexedMany{
			Images: slices.Repeat([]Image{checkout().Image}, 9), Cluster: "prod-eu", Namespaces: []string{"payments", "shop"}, Loading: true,
		}.Message(),
		"indexed-hostile": Indexed{Image: hostileReport().Image, Cluster: hostile[4], Distribution: hostile[6], Link: hostileReport().Link}.Message(),

		"inventory":      inventory().Message(),
		"inventory.list": rung(inventory().Message(), 1),
		"inventory.text": rung(inventory().Message(), 2),
		"inventory-one-namespace": withInventory(func(v *Inventory) {
			v.Namespaces, v.Images, v.Pods, v.Worst, v.Clean, v.NotCovered, v.Failed = []string{"shop"}, 3, 11, v.Worst[1:3], 1, 0, nil
			for i := range v.Worst {
				v.Worst[i].Namespace = ""
			}
			v.Counts = v.Worst[0].Counts.Add(v.Worst[1].Counts)
		}).Message(),
		"inventory-first-120":   withInventory(func(v *Inventory) { v.Images, v.Untried = 400, 280 }).Message(),
		"inventory-clean":       Inventory{Cluster: "prod-eu", Namespaces: []string{"shop"}, Images: 3, Pods: 5, Clean: 3}.Message(),
		"inventory-blind":       Inventory{Namespaces: []string{"shop"}, Images: 3, Pods: 5, NotCovered: 1, Failed: []Cause{{Name: "not found", Images: images(2)}}}.Message(),
		"inventory-half-blind":  Inventory{Namespaces: []string{"shop"}, Images: 3, Pods: 5, Clean: 2, NotCovered: 1}.Message(),
		"inventory-cluster":     withInventory(func(v *Inventory) { v.Namespaces = nil }).Message(),
		"inventory-untried":     Inventory{Namespaces: []string{"shop"}, Images: 10, Untried: 10}.Message(),
		"inventory-medium":      Inventory{Namespaces: []string{"shop"}, Images: 1, Counts: findings.Counts{Medium: 1}}.Message(),
		"inventory-nothing":     Inventory{}.Message(),
		"inventory-1000-images": withInventory(func(v *Inventory) { v.Images, v.Worst, v.Failed = 1000, rows(500, "shop/x:1"), causes(40, 300) }).Message(),
		"inventory-hostile": Inventory{
			Cluster: hostile[0], Namespaces: hostile, Images: 9, Worst: rows(3, hostile[2]+hostile[0]), Counts: findings.Counts{Unknown: 3},
			Failed: []Cause{{Name: hostile[4], Hint: hostile[1], Images: []Image{{Name: hostile[0]}, {}}}}, Link: "https://clairwatch.example.com/?a=|b>c",
		}.Message(),
		"inventory-long-names": Inventory{Cluster: long, Namespaces: []string{long}, Images: 1, Worst: rows(1, long), Counts: findings.Counts{Critical: 1 << 30}}.Message(),

		"failed-one": Failed{Cluster: "prod-eu", Namespaces: []string{"shop"}, Causes: []Cause{{
			Name: "unauthorized", Hint: "Add the registry's credentials to the docker config.", Images: images(1),
		}}, Link: "https://clairwatch.example.com/"}.Message(),
		"failed": Failed{Cluster: "prod-eu", Namespaces: []string{"billing", "data", "platform", "shop"}, Causes: []Cause{
			{Name: "unauthorized", Hint: "Add the registry's credentials to the docker config.", Images: images(9)},
			{Name: "not found", Hint: "The registry no longer has it: push it again.", Images: images(2)},
			{Name: "nothing", Images: nil},
		}}.Message(),
		"failed-link":    Failed{Causes: causes(2, 2), Link: "https://clairwatch.example.com/"}.Message(),
		"failed-1000":    Failed{Namespaces: slices.Repeat([]string{"shop"}, 500), Causes: causes(40, 1000)}.Message(),
		"failed-hostile": Failed{Cluster: hostile[0], Causes: []Cause{{Name: hostile[0], Hint: hostile[1], Images: []Image{{Name: hostile[0]}, {Name: hostile[2]}, {}}}}}.Message(),

		"recovered-one": Recovered{Cluster: "prod-eu", Namespaces: []string{"shop"}, Causes: []Cause{{
			Name: "Clair does not answer", Hint: "clairwatch goes on trying", Images: images(1),
		}}}.Message(),
		"recovered": Recovered{Cluster: "prod-eu", Namespaces: []string{"shop"}, Causes: []Cause{
			{Name: "Clair does not answer", Hint: "clairwatch goes on trying", Images: images(30)}, {Name: "nothing"},
		}}.Message(),
		"recovered-namespaces": Recovered{Namespaces: []string{"billing", "data", "platform", "shop"}, Causes: []Cause{
			{Name: "Clair does not answer", Images: images(2)},
			{Name: "not in the registry", Hint: "push it again", Images: images(3)[2:]},
		}}.Message(),
		"recovered-bare": Recovered{Causes: []Cause{{Images: []Image{{}}}, {Images: []Image{{}, {}}}}}.Message(),
		"recovered-1000": Recovered{Cluster: long, Namespaces: slices.Repeat([]string{"shop"}, 500), Causes: causes(40, 1000)}.Message(),
		"recovered-hostile": Recovered{Cluster: hostile[0], Namespaces: hostile, Causes: []Cause{
			{Name: hostile[4], Hint: hostile[1], Images: []Image{{Name: hostile[0]}, {Name: hostile[2]}, {Name: hostile[6], Platform: hostile[1]}, {}}},
			{Name: hostile[0], Images: []Image{hostileReport().Image}},
		}}.Message(),
		"recovered-hostile-one": Recovered{Cluster: hostile[4], Causes: []Cause{{Name: hostile[0], Images: []Image{hostileReport().Image}}}}.Message(),

		"report-held-back": with(func(r *Report) { r.Summary = summarizeFrom(claircore.Medium, "Debian 12", 118, bookworm()...) }).Message(),
		"report-held-back-one": with(func(r *Report) {
			r.Summary = summarizeFrom(claircore.Medium, "Debian 12", 118, noFix[0], noFix[1])
		}).Message(),
		"report-low": with(func(r *Report) {
			r.Summary = summarizeFrom(claircore.Medium, "Debian 12", 118, bookworm()[1], bookworm()[15], bookworm()[16])
		}).Message(),
		"report-low-unknown":   with(func(r *Report) { r.Summary = summarizeFrom(claircore.Low, "Alpine 3.18", 15, alpine...) }).Message(),
		"report-held-back-all": with(func(r *Report) { r.Summary = findings.Summary{Covered: true, Hidden: findings.Count(bookworm())} }).Message(),
		"report-ignored": with(func(r *Report) {
			r.Summary = summarizeBy(ignoring("curl", "perl"), "Debian 12", 118, bookworm()...)
		}).Message(),
		"report-ignored-one": with(func(r *Report) {
			r.Summary = summarizeBy(ignoring("perl"), "Debian 12", 118, bookworm()[10:15]...)
		}).Message(),
		"report-ignored-and-held-back": with(func(r *Report) {
			rules := ignoring("curl", "perl")
			rules.MinSeverity = claircore.Medium
			r.Summary = summarizeBy(rules, "Debian 12", 118, bookworm()...)
		}).Message(),
		"report-only-fixable": with(func(r *Report) {
			r.Summary = summarizeBy(findings.Rules{OnlyFixable: true}, "Debian 12", 118, bookworm()...)
		}).Message(),
		"report-all-ignored": with(func(r *Report) {
			r.Summary = summarizeBy(ignoring("curl", "perl"), "Debian 12", 118, bookworm()[0], bookworm()[1], bookworm()[14])
		}).Message(),
		"report-all-ignored-one": with(func(r *Report) {
			r.Loading, r.Summary = true, summarizeBy(ignoring("perl"), "Debian 12", 118, bookworm()[14])
		}).Message(),
		"report-none-fixable": with(func(r *Report) {
			r.Summary = summarizeBy(findings.Rules{OnlyFixable: true}, "Debian 12", 118, bookworm()[15:]...)
		}).Message(),
		"report-all-left-out": with(func(r *Report) {
			rules := ignoring("curl")
			rules.OnlyFixable, rules.MinSeverity = true, claircore.High
			r.Summary = summarizeBy(rules, "Debian 12", 118, bookworm()[0], bookworm()[14], bookworm()[15], bookworm()[16])
		}).Message(),
		"report-loading": with(func(r *Report) { r.Loading = true }).Message(),
		"report-low-loading": with(func(r *Report) {
			r.Loading, r.Summary = true, summarizeFrom(claircore.Medium, "Debian 12", 118, bookworm()[1])
		}).Message(),
		"clean-loading":       with(func(r *Report) { r.Loading, r.Summary = true, summarize("Debian 12", 61) }).Message(),
		"not-covered-loading": with(func(r *Report) { r.Loading, r.Summary = true, findings.Summary{} }).Message(),

		"inventory-held-back": withInventory(func(v *Inventory) {
			v.Rules.MinSeverity, v.Counts.Low, v.Counts.Negligible = claircore.Medium, 0, 0
			v.Hidden, v.Quiet = findings.Counts{Low: 7044, Negligible: 15800}, 5
		}).Message(),
		"inventory-held-back-high": withInventory(func(v *Inventory) {
			v.Rules.MinSeverity, v.Counts = claircore.High, findings.Counts{Critical: 118, High: 2310, Fixable: 903}
			v.Hidden, v.Quiet = findings.Counts{Medium: 9120, Low: 7044, Negligible: 15800, Unknown: 610}, 11
			for i := range v.Worst {
				v.Worst[i].Counts.Medium, v.Worst[i].Counts.Fixable = 0, v.Worst[i].Counts.Critical
			}
		}).Message(),
		"inventory-held-back-one": withInventory(func(v *Inventory) {
			v.Hidden, v.Quiet = findings.Counts{Low: 1}, 1
		}).Message(),
		"inventory-quiet": Inventory{Cluster: "prod-eu", Namespaces: []string{"shop"}, Images: 3, Pods: 5, Clean: 1, Quiet: 2,
			Hidden: findings.Counts{Low: 11, Negligible: 3}, Rules: findings.Rules{MinSeverity: claircore.Medium}}.Message(),
		"inventory-ignored": withInventory(func(v *Inventory) {
			v.Ignored, v.Quiet = findings.Counts{High: 12, Low: 30}, 2
		}).Message(),
		"inventory-ignored-and-held-back": withInventory(func(v *Inventory) {
			v.Rules.MinSeverity, v.Counts.Low, v.Counts.Negligible = claircore.Medium, 0, 0
			v.Hidden, v.Ignored, v.Quiet = findings.Counts{Low: 7044, Negligible: 15800}, findings.Counts{High: 1, Low: 3}, 1
		}).Message(),
		"inventory-only-fixable": withInventory(func(v *Inventory) {
			v.Rules = findings.Rules{OnlyFixable: true, MinSeverity: claircore.Medium}
			v.Counts = findings.Counts{Critical: 100, High: 700, Medium: 404, Fixable: 1204}
			v.Hidden, v.Quiet = findings.Counts{Critical: 18, High: 1610, Medium: 8716, Low: 7044}, 14
		}).Message(),
		"inventory-all-ignored": Inventory{Cluster: "prod-eu", Namespaces: []string{"shop"}, Images: 3, Pods: 5, Clean: 1, Quiet: 2,
			Ignored: findings.Counts{High: 2, Low: 1}}.Message(),
		"inventory-all-left-out": Inventory{Namespaces: []string{"shop"}, Images: 4, Pods: 5, Quiet: 3, NotCovered: 1,
			Hidden: findings.Counts{Low: 11}, Ignored: findings.Counts{Critical: 1}, Rules: findings.Rules{OnlyFixable: true}}.Message(),
		"inventory-more":        withInventory(func(v *Inventory) { v.More, v.Images, v.Namespaces = true, 12, []string{"shop"} }).Message(),
		"inventory-more-first":  withInventory(func(v *Inventory) { v.More, v.Images, v.Untried = true, 400, 280 }).Message(),
		"inventory-again":       withInventory(func(v *Inventory) { v.Again = true }).Message(),
		"inventory-again-first": withInventory(func(v *Inventory) { v.Again, v.Images, v.Untried = true, 400, 280 }).Message(),
		"inventory-again-clean": Inventory{Again: true, Namespaces: []string{"shop"}, Images: 1, Pods: 1, Clean: 1}.Message(),
		"inventory-quiet-half-blind": Inventory{Namespaces: []string{"shop"}, Images: 3, Pods: 5, Quiet: 2, NotCovered: 1, Loading: true,
			Hidden: findings.Counts{Low: 1, Negligible: 3}}.Message(),
		"inventory-loading":       withInventory(func(v *Inventory) { v.Loading = true }).Message(),
		"inventory-clean-loading": Inventory{Namespaces: []string{"shop"}, Images: 3, Pods: 5, Clean: 3, Loading: true}.Message(),

		"removed":          removed(1, "shop").Message(),
		"removed-replaced": Removed{Images: []RemovedImage{{Image: checkout().Image, Namespace: "shop", Replaced: true}}}.Message(),
		"removed-many-replaced": func() Message {
			r := removed(3, "shop")
			r.Images[1].Replaced = true
			return r.Message()
		}(),
		"removed-with": Removed{Cluster: "prod-eu", Images: []RemovedImage{
			{Image: checkout().Image, Namespace: "shop", Counts: findings.Counts{Critical: 3, High: 21}},
		}}.Message(),
		"removed-replaced-with": Removed{Images: []RemovedImage{
			{Image: checkout().Image, Namespace: "shop", Replaced: true, Counts: findings.Counts{Critical: 3}},
		}}.Message(),
		"removed-many-with": func() Message {
			r := removed(14, "data", "platform", "shop")
			for i := range r.Images {
				r.Images[i].Counts = findings.Counts{Critical: i / 9, High: i, Medium: 11 * i, Fixable: i}
			}
			r.Images[1].Replaced, r.Images[2].Replaced = true, true
			return r.Message()
		}(),
		"removed-nowhere":  Removed{Images: []RemovedImage{{Image: checkout().Image}}}.Message(),
		"removed-many":     removed(14, "data", "platform", "shop").Message(),
		"removed-one-of-2": removed(2, "shop", "").Message(),
		"removed-in-one":   removed(3, "shop").Message(),
		"removed-1000":     removed(1000, "a", "b", "c", "d", "e").Message(),
		"removed-hostile":  Removed{Cluster: hostile[4], Images: []RemovedImage{{Image: Image{Name: hostile[0]}, Namespace: hostile[6]}}}.Message(),
		"removed-hostile-many": Removed{Cluster: hostile[0], Images: []RemovedImage{
			{Image: hostileReport().Image, Namespace: hostile[1]}, {Image: Image{Name: hostile[2]}, Namespace: hostile[0]}, {Namespace: hostile[2]},
		}}.Message(),

		"renewed":      change(Renewed, 14).Message(),
		"renewed-one":  change(Renewed, 1).Message(),
		"renewed-gone": withChange(Renewed, 14, func(c *Change) { c.Counts, c.Rows, c.Worst, c.Gone = findings.Counts{}, nil, nil, 1 }).Message(),
		"renewed-new": withChange(Renewed, 1, func(c *Change) {
			c.Counts, c.Worst, c.Gone = findings.Counts{High: 1}, spreadsOf(bookworm()[8:9]...), 0
		}).Message(),
		"sourced":     withChange(Sourced, 14, func(c *Change) { c.Updaters = append(c.Updaters, "pyupio", "rhel-vex") }).Message(),
		"sourced-one": change(Sourced, 1).Message(),
		"sourced-unnamed": withChange(Sourced, 1, func(c *Change) {
			c.Updaters, c.Worst, c.Counts, c.Namespaces = nil, spreadsOf(alpine[:1]...), findings.Counts{Unknown: 1}, nil
		}).Message(),
		"returned":       change(Returned, 14).Message(),
		"returned-one":   withChange(Returned, 1, func(c *Change) { c.Counts, c.Worst = findings.Counts{High: 1}, spreadsOf(bookworm()[8:9]...) }).Message(),
		"withdrawn":      withChange(Withdrawn, 14, func(c *Change) { c.Worst = nil }).Message(),
		"withdrawn-one":  withChange(Withdrawn, 1, func(c *Change) { c.Worst, c.Counts = nil, findings.Counts{High: 1} }).Message(),
		"withdrawn-bare": Change{Kind: Withdrawn, Images: 1, Counts: findings.Counts{Unknown: 2}}.Message(),
		"visible-linked": withChange(Visible, 14, func(c *Change) {
			c.Rules.MinSeverity = claircore.Low
			for i := range c.Rows {
				c.Rows[i].Link = "https://clairwatch.example.com/images/" + strconv.Itoa(i)
			}
		}).Message(),
		"visible-fixable": withChange(Visible, 14, func(c *Change) {
			c.Rules.OnlyFixable = true
			c.Worst = slices.DeleteFunc(c.Worst, func(s findings.Spread) bool { return s.Finding.FixedIn == "" })
			c.Counts = findings.Counts{Critical: 4, High: 8, Medium: 1, Low: 1, Fixable: 14}
		}).Message(),
		"visible-fixable-one": withChange(Visible, 1, func(c *Change) {
			c.Rules.OnlyFixable = true
			c.Counts, c.Worst = findings.Counts{High: 1, Fixable: 1}, spreadsOf(bookworm()[9:10]...)
		}).Message(),
		"visible":         change(Visible, 14).Message(),
		"visible-one":     withChange(Visible, 1, func(c *Change) { c.Counts, c.Worst = findings.Counts{Low: 1}, spreadsOf(bookworm()[1:2]...) }).Message(),
		"rose":            change(Rose, 14).Message(),
		"rose-one":        withChange(Rose, 1, func(c *Change) { c.Counts, c.Worst = findings.Counts{High: 1}, spreadsOf(bookworm()[11:12]...) }).Message(),
		"rose-one-of":     withChange(Rose, 14, func(c *Change) { c.Counts, c.Worst = findings.Counts{Critical: 1}, spreadsOf(bookworm()[5:6]...) }).Message(),
		"rose-three":      withChange(Rose, 1, func(c *Change) { c.Counts, c.Worst = findings.Counts{High: 3}, spreadsOf(bookworm()[8:11]...) }).Message(),
		"renewed-ignored": withChange(Renewed, 1, func(c *Change) { c.Ignored = 2 }).Message(),
		"sourced-ignored": withChange(Sourced, 14, func(c *Change) { c.Ignored = 2 }).Message(),
		"visible-ignored": withChange(Visible, 14, func(c *Change) { c.Ignored = 12 }).Message(),
		"rose-ignored": withChange(Rose, 1, func(c *Change) {
			c.Counts, c.Worst, c.Ignored = findings.Counts{High: 1}, spreadsOf(bookworm()[11:12]...), 1
		}).Message(),
		"change-1000": withChange(Rose, 1000, func(c *Change) {
			c.Worst, c.Counts, c.Rows, c.Namespaces = spreadsOf(many...), findings.Count(many), rows(1000, "shop/x:1"), strings.Split(long, "/")
		}).Message(),
		"change-long":           Change{Kind: Sourced, Cluster: long, Namespaces: []string{long, long}, Updaters: slices.Repeat([]string{long}, 9), Counts: findings.Counts{Critical: 1 << 30}, Rows: rows(9, long), Worst: spreadsOf(debian(long, long, long, long, claircore.High, 10))}.Message(),
		"change-bare":           Change{Kind: Rose, Counts: findings.Counts{Unknown: 1}, Worst: spreadsOf(findings.Finding{})}.Message(),
		"change-hostile":        hostileChange(Rose).Message(),
		"change-hostile-source": hostileChange(Sourced).Message(),
		"change-hostile-gone":   hostileChange(Withdrawn).Message(),

		"disclosed":     disclosed(bookworm()[0], bookworm()[8]).Message(),
		"disclosed-one": disclosed(bookworm()[9]).Message(),
		"disclosed-one-having": func() Message {
			d := disclosed(bookworm()[9])
			d.Having = "https://clairwatch.example.com/vulnerabilities/CVE-2026-31415"
			return d.Message()
		}(),
		"disclosed-unknown": disclosed(alpine...).Message(),
		"disclosed-ignored": func() Message {
			d := disclosed(bookworm()[0], bookworm()[8])
			d.Ignored = 3
			return d.Message()
		}(),
	}
}

func causes(n, each int) []Cause {
	var cs []Cause
	for i := range n {
		cs = append(cs, Cause{Name: fmt.Sprintf("cause %d", i), Hint: "Do something about it.", Images: images(each)})
	}
	return cs
}

func TestMessages(t *testing.T) {
	again := messages()
	for name, m := range messages() {
		t.Run(name, func(t *testing.T) {
			got := indented(t, m)
			if !bytes.Equal(got, indented(t, again[name])) {
				t.Error("the same input gave another message")
			}
			file := filepath.Join("testdata", name+".golden.json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("differs from %s; if that is meant, run go test ./slack -update and look at it\n%s", file, got)
			}
			for _, v := range violations(got) {
				t.Error(v)
			}
		})
	}
	files, err := filepath.Glob("testdata/*.golden.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := again[strings.TrimSuffix(filepath.Base(f), ".golden.json")]; !ok {
			t.Errorf("%s belongs to no message", f)
		}
	}
}

func indented(t *testing.T, m Message) []byte {
	t.Helper()
	raw, err := m.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

func TestLadder(t *testing.T) {
	all := messages()
	last := indented(t, all["report.last"])
	for name, want := range map[string]int{"report": 4, "report-hostile": 4, "inventory": 4, "inventory-clean": 3, "clean": 3, "failed": 3, "disclosed": 4,
		"report-loading": 4, "removed": 3, "removed-many": 3, "recovered": 3, "recovered-one": 3, "renewed": 3, "sourced": 3, "visible": 3, "visible-fixable": 3, "report-all-ignored": 3, "report-ignored": 4, "rose": 3, "change-hostile": 3,
		"indexed": 3, "indexed-many": 3, "withdrawn": 3, "widespread": 4, "widespread-hostile": 4, "widespread-no-rows": 3, "disclosed-many": 4} {
		t.Run(name, func(t *testing.T) {
			m, forms := all[name], 1
			size := len(indented(t, m))
			for {
				next, ok := m.Simplify()
				if ok == m.Final() {
					t.Errorf("form %d is final: %v, and has a simpler one: %v", forms, m.Final(), ok)
				}
				if !ok {
					break
				}
				if forms++; next.Final() {
					if raw := indented(t, m); bytes.Contains(raw, []byte(`"blocks"`)) || bytes.Contains(raw, []byte(`"attachments"`)) {
						t.Errorf("the last form but one is more than text: %s", raw)
					}
					m = next
					continue
				}
				if next.Text() != m.Text() {
					t.Errorf("form %d says %q, the one before %q", forms, next.Text(), m.Text())
				}
				if n := len(indented(t, next)); n >= size {
					t.Errorf("form %d has %d bytes, the one before %d", forms, n, size)
				} else {
					size = n
				}
				m = next
			}
			if forms != want {
				t.Errorf("%d forms, want %d", forms, want)
			}
			if got, want := string(indented(t, m)), string(last); got != want {
				t.Errorf("the last form has something of its own: %s", got)
			}
		})
	}
}

func TestNoMessage(t *testing.T) {
	for name, m := range map[string]Message{
		"zero": {}, "no failure": Failed{Causes: []Cause{{Name: "not found"}}}.Message(), "nothing disclosed": Disclosed{}.Message(),
		"nothing recovered": Recovered{Cluster: "prod-eu", Causes: []Cause{{Name: "not found"}}}.Message(),
		"nothing removed":   Removed{Cluster: "prod-eu"}.Message(), "nothing renewed": Change{Kind: Renewed, Images: 3}.Message(),
		"nothing withdrawn": Change{Kind: Withdrawn, Images: 3, Gone: 2}.Message(), "affects nothing": Widespread{Finding: bookworm()[0]}.Message(),
		"nothing disclosed in many": DisclosedMany{Images: 3, Rows: make([]findings.Spread, 2)}.Message(),
		"gone, but not renewed":     Change{Kind: Visible, Gone: 3}.Message(), "change of no kind": Change{Counts: findings.Counts{High: 1}}.Message(),
	} {
		raw, err := m.JSON()
		if next, ok := m.Simplify(); m.Text() != "" || string(raw) != "null" || err != nil || ok || next.Text() != "" || m.Final() {
			t.Errorf("%s: text %q, JSON %s, %v, simpler %v", name, m.Text(), raw, err, ok)
		}
	}
}

// TestTexts reads the lines that phones show, as people would.
func TestTexts(t *testing.T) {
	want := map[string]string{
		"report":                     "🔴 shop/checkout:v2.14.0 is running with 5 critical, 8 high; 14 of 18 fixable",
		"report-platform":            "🔴 shop/checkout:v2.14.0 (linux/arm64) is running with 5 critical, 8 high; 14 of 18 fixable",
		"report-no-fix":              "🔴 shop/checkout:v2.14.0 is running with 1 critical, 1 low; no fixes yet",
		"report-alpine":              "❔ alpine:3.18 is running with 2 vulnerabilities of unknown severity; 2 of 2 fixable",
		"report-digest-only":         "🔴 sha256:9d0b4f1ec6ea is running with 5 critical, 8 high; 14 of 18 fixable",
		"report-empty-fields":        "🟠 an image without a name is running with 1 high; 1 of 1 fixable",
		"clean":                      "✅ shop/checkout:v2.14.0 is running, no known vulnerabilities",
		"not-covered":                "❔ shop/checkout:v2.14.0 is running, but was not checked: Clair has no data for what is in it",
		"indexed":                    "🔎 Indexed shop/checkout:v2.14.0: 118 packages",
		"indexed-loading":            "🔎 Indexed shop/checkout:v2.14.0: 118 packages. Clair is still loading its vulnerability data; reports follow",
		"indexed-many":               "🔎 Indexed 9 images. Clair is still loading its vulnerability data; reports follow",
		"inventory":                  "🔴 Now watching 42 images in 3 namespaces: 118 critical, 2,310 high",
		"inventory-one-namespace":    "🔴 Now watching 3 images in shop: 14 critical, 85 high",
		"inventory-first-120":        "🔴 Now watching 400 images in 3 namespaces, 120 scanned so far: 118 critical, 2,310 high",
		"inventory-cluster":          "🔴 Now watching 42 images in prod-eu: 118 critical, 2,310 high",
		"inventory-untried":          "❔ Now watching 10 images in shop: none of them has been checked yet",
		"inventory-nothing":          "💤 Now watching 0 images: nothing is running yet",
		"inventory-clean":            "✅ Now watching 3 images in shop: no known vulnerabilities",
		"inventory-blind":            "❔ Now watching 3 images in shop: none of them could be checked",
		"inventory-half-blind":       "❔ Now watching 3 images in shop: no known vulnerabilities in the 2 that could be checked",
		"failed-one":                 "⚠️ shop/service-0:v1.0 could not be scanned: unauthorized",
		"failed":                     "⚠️ 11 images could not be scanned, for 2 reasons",
		"recovered-one":              "▶️ shop/service-0:v1.0 is scanned again; before: Clair does not answer",
		"recovered":                  "▶️ 30 images are scanned again; before: Clair does not answer",
		"recovered-namespaces":       "▶️ 3 images are scanned again; before: Clair does not answer (2), not in the registry (1)",
		"report-held-back":           "🔴 shop/checkout:v2.14.0 is running with 5 critical, 8 high; 13 of 14 fixable",
		"report-low":                 "🔵 shop/checkout:v2.14.0 is running with 2 low, 1 negligible, all below this channel's minimum severity (medium)",
		"report-low-unknown":         "❔ shop/checkout:v2.14.0 is running with 2 vulnerabilities of unknown severity, all below this channel's minimum severity (low)",
		"report-held-back-all":       "🔴 shop/checkout:v2.14.0 is running with 5 critical, 8 high, 1 medium, 2 low, 1 negligible, 1 unknown, all held back by the rules of this channel",
		"clean-loading":              "❔ shop/checkout:v2.14.0 is running, no known vulnerabilities so far",
		"not-covered-loading":        "❔ shop/checkout:v2.14.0 is running, but was not checked: Clair has no data for what is in it",
		"inventory-quiet":            "🔵 Now watching 3 images in shop: 11 low, 3 negligible, all below this channel's minimum severity (medium)",
		"inventory-quiet-half-blind": "🔵 Now watching 3 images in shop: 1 low, 3 negligible in the 2 that could be checked, all held back by the rules of this channel",
		"inventory-clean-loading":    "❔ Now watching 3 images in shop: no known vulnerabilities so far",
		"removed":                    "🧹 shop/service-0:v1.0 is no longer running in shop",
		"removed-replaced":           "🧹 One build of shop/checkout:v2.14.0 is no longer running in shop, another one still is",
		"removed-many-replaced":      "🧹 3 images are no longer running in shop",
		"removed-nowhere":            "🧹 shop/checkout:v2.14.0 is no longer running",
		"removed-many":               "🧹 14 images are no longer running",
		"removed-in-one":             "🧹 3 images are no longer running in shop",
		"renewed":                    "🔄 14 images are scanned by another Clair now, or by other scanners: +18, −12 vulnerabilities",
		"renewed-one":                "🔄 shop/checkout:v2.14.0 is scanned by another Clair now, or by other scanners: +4, −12 vulnerabilities",
		"renewed-gone":               "🔄 14 images are scanned by another Clair now, or by other scanners: −1 vulnerability",
		"renewed-new":                "🔄 shop/checkout:v2.14.0 is scanned by another Clair now, or by other scanners: +1 vulnerability",
		"sourced":                    "📚 Clair has 3 new sources of advisories: 5 critical, 8 high in 14 images",
		"sourced-one":                "📚 Clair has a new source of advisories, debian/updater: 2 critical, 2 high in shop/checkout:v2.14.0",
		"sourced-unnamed":            "📚 Clair has a new source of advisories: 1 vulnerability of unknown severity in shop/checkout:v2.14.0",
		"visible":                    "👀 5 critical, 8 high in 14 images are no longer held back or ignored by this channel's settings",
		"visible-one":                "👀 1 low in shop/checkout:v2.14.0 is no longer held back or ignored by this channel's settings",
		"visible-fixable":            "👀 4 critical, 8 high in 14 images can be fixed now",
		"visible-fixable-one":        "👀 CVE-2023-4911 in glibc can be fixed now: shop/checkout:v2.14.0",
		"report-ignored":             "🔴 shop/checkout:v2.14.0 is running with 4 critical, 8 high; 11 of 15 fixable",
		"report-all-ignored":         "🔕 shop/checkout:v2.14.0 is running with 1 critical, 1 medium, 1 low, all ignored by this channel's settings",
		"report-all-ignored-one":     "🔕 shop/checkout:v2.14.0 is running with 1 medium, ignored by this channel's settings",
		"report-none-fixable":        "🔵 shop/checkout:v2.14.0 is running with 1 low, 1 negligible, 1 unknown, all without a fix yet (this channel wants only what has one)",
		"report-all-left-out":        "🟡 shop/checkout:v2.14.0 is running with 1 critical, 1 medium, 1 low, 1 negligible, all held back (3) or ignored (1) by this channel's settings",
		"inventory-ignored":          "🔴 Now watching 42 images in 3 namespaces: 118 critical, 2,310 high",
		"inventory-all-ignored":      "🔕 Now watching 3 images in shop: 2 high, 1 low, all ignored by this channel's settings",
		"inventory-all-left-out":     "🔵 Now watching 4 images in shop: 1 critical, 11 low in the 3 that could be checked, all held back (11) or ignored (1) by this channel's settings",
		"rose":                       "📈 The severity of 18 vulnerabilities in 14 images rose: 5 critical, 8 high",
		"rose-one":                   "📈 CVE-2023-5363 in openssl is high now: shop/checkout:v2.14.0",
		"rose-one-of":                "📈 CVE-2023-45853 in zlib is critical now: 14 images",
		"report-low-loading":         "🔵 shop/checkout:v2.14.0 is running with 1 low, below this channel's minimum severity (medium)",
		"withdrawn":                  "↩️ 18 vulnerabilities in 14 images were withdrawn (5 critical, 8 high); there is nothing to do",
		"withdrawn-one":              "↩️ 1 vulnerability in shop/checkout:v2.14.0 was withdrawn (1 high); there is nothing to do",
		"inventory-more":             "🔴 12 new images in shop: 118 critical, 2,310 high",
		"inventory-more-first":       "🔴 400 new images in 3 namespaces, 120 scanned so far: 118 critical, 2,310 high",
		"inventory-again":            "🔴 What was told before is lost, starting over with 42 images in 3 namespaces: 118 critical, 2,310 high",
		"inventory-again-first":      "🔴 What was told before is lost, starting over with 400 images in 3 namespaces, 120 scanned so far: 118 critical, 2,310 high",
		"removed-with":               "🧹 shop/checkout:v2.14.0 is no longer running in shop; it had 3 critical, 21 high",
		"removed-many-with":          "🧹 14 images are no longer running; they had 5 critical, 88 high",
		"removed-replaced-with":      "🧹 One build of shop/checkout:v2.14.0 is no longer running in shop, another one still is",
		"widespread":                 "🔴 CVE-2026-31415 (critical) in openssl now affects 14 running images; fixed in 3.0.17-1~deb12u3",
		"widespread-odd-version":     "🔴 CVE-2026-31415 (critical) in openssl now affects 14 running images; a fix is there",
		"widespread-differ":          "🔴 CVE-2026-31415 (critical) in openssl now affects 14 running images; fixes differ by image",
		"widespread-no-fix":          "🔴 CVE-2026-31415 (critical) in openssl now affects 14 running images; no fix yet",
		"widespread-one":             "❔ CVE-2026-31415 (unknown severity) in openssl now affects 1 running image; fixed in 3.0.17-1~deb12u3",
		"widespread-bare":            "❔ – (unknown severity) now affects 1 running image; no fix yet",
		"disclosed-many":             "🔴 38 vulnerabilities newly disclosed in 51 running images: 2 critical, 9 high; 21 of 38 fixable",
		"disclosed-many-bare":        "🟠 1 vulnerability newly disclosed: 1 high; 1 of 1 fixable",
		"report.last":                "⚠️ clairwatch has something to tell, but Slack refuses it in every form. The log of clairwatch has it.",
		"disclosed":                  "🔴 shop/checkout:v2.14.0: 2 newly disclosed vulnerabilities, 1 critical; 2 of 2 fixable",
		"disclosed-one":              "🟠 shop/checkout:v2.14.0: 1 newly disclosed high vulnerability; 1 of 1 fixable",
		"disclosed-unknown":          "❔ shop/checkout:v2.14.0: 2 newly disclosed vulnerabilities of unknown severity; 2 of 2 fixable",
	}
	ms := messages()
	for name, text := range want {
		if got := ms[name].Text(); got != text {
			t.Errorf("%s:\n got %s\nwant %s", name, got, text)
		}
	}
}

// TestSize shows that messages do not grow with their input.
func TestSize(t *testing.T) {
	const mostBytes, mostBlocks = 24 << 10, 20
	for name, m := range messages() {
		raw, err := m.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			Blocks      []any
			Attachments []struct{ Blocks []any }
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		blocks := len(p.Blocks)
		for _, a := range p.Attachments {
			blocks += len(a.Blocks)
		}
		if len(raw) > mostBytes || blocks > mostBlocks || !utf8.Valid(raw) {
			t.Errorf("%s has %d bytes, at most %d; %d blocks, at most %d; UTF-8: %v", name, len(raw), mostBytes, blocks, mostBlocks, utf8.Valid(raw))
		}
	}
}

// FuzzMessages puts any string in every place that takes one.
func FuzzMessages(f *testing.F) {
	for _, h := range hostile {
		f.Add(h, h, 3, 9.8)
	}
	f.Add("", "", 0, 0.0)
	f.Add("0", "http://<", -7, -1.0)
	f.Add("registry.example.com:5000/a/b:c@sha256:"+strings.Repeat("0a", 32), "https://example.com/?q=<|>", -7, -1.0)
	f.Add(strings.Repeat("&", 300), "https://example.com/?"+strings.Repeat("&", 75), 7, 5.0) // grows fivefold
	f.Add(strings.Repeat("&", 300), "https://example.com/?"+strings.Repeat("&", 150), 7, 5.0)
	f.Add(strings.Repeat("`", 10_000), strings.Repeat("&<>", 3000), 1<<30, 1e300)
	// An address of 1,000 characters in each of ten places, and the longest text, of which JSON writes a character
	// in at most six bytes.
	const mostBytes = 6 * (10*longestLink + ruleAllText)
	f.Fuzz(func(t *testing.T, s, link string, n int, score float64) {
		fs := []findings.Finding{
			{Name: s, Package: s, Installed: s, FixedIn: s, Severity: findings.Severities[uint(n)%6], CVSS: score, Link: link},
			{Name: s, Package: link, Installed: link, Severity: claircore.Low, Link: s},
		}
		image := Image{Name: s, Digest: link, Platform: s}
		place := Place{Workloads: []Workload{{s, s, link, n}, {link, link, s, -n}}, Pods: n}
		cs := []Cause{{Name: s, Hint: link, Images: []Image{image, {}, image}}, {Name: link, Hint: s, Images: []Image{image}}}
		counts := findings.Counts{Critical: n, Unknown: 1, Fixable: n}
		changed := func(kind ChangeKind, images int, rules ...findings.Rules) Message {
			c := Change{Kind: kind, Cluster: s, Namespaces: []string{s, link, s}, Images: n, Counts: counts, Ignored: n, Gone: n, Updaters: slices.Repeat([]string{s, link}, images)}
			c.Counts.Critical = max(n, 1)
			for _, r := range rules {
				c.Rules = r
			}
			c.Rows = slices.Repeat([]Row{{Image: image, Namespace: s, Counts: counts, Pods: n, Link: link}}, images)
			for i := range images {
				c.Worst = append(c.Worst, spreadsOf(fs...)...)
				c.Worst[2*i].Finding.Package, c.Worst[2*i+1].Finding.Link = s+strconv.Itoa(i), link
			}
			return c.Message()
		}
		fixable := findings.Rules{OnlyFixable: true}
		affected := slices.Repeat([]Affected{
			{Image: image, Namespaces: []string{s, link}, Pods: n, Installed: s, FixedIn: link, Link: link},
			{Image: image, Namespaces: []string{s, link, s}, Pods: n, Installed: link, FixedIn: s, Link: link},
		}, 5)
		described := findings.Finding{Name: s, Package: s, FixedIn: link, Severity: fs[0].Severity, CVSS: score, Link: link, Description: strings.Repeat(s+" "+link, 20)}
		spreads := slices.Repeat([]findings.Spread{{Finding: described, Images: n}, {Finding: fs[1], Images: -n}}, 5)
		for _, m := range []Message{
			Widespread{Cluster: s, Finding: described, Ignored: n, Images: n, Rows: affected, Workloads: n, Pods: n, Link: link}.Message(),
			Widespread{Cluster: link, Finding: described, Rows: affected[:1], Link: s}.Message(),
			Widespread{Finding: described, Images: 1 + max(n, 0)%9, Link: link}.Message(),
			DisclosedMany{Cluster: s, Namespaces: []string{s, link}, Counts: findings.Counts{High: max(n, 1), Fixable: n}, Ignored: n, Rows: spreads, Images: n, Named: slices.Repeat([]Image{image}, 9), Pods: n, Link: link}.Message(),
			DisclosedMany{Cluster: link, Counts: findings.Counts{Unknown: 1}, Rows: spreads[:1], Named: []Image{image}, Link: s}.Message(),
			Removed{Cluster: s, Images: slices.Repeat([]RemovedImage{{Image: image, Namespace: s, Counts: counts}}, 1+max(n, 0)%9)}.Message(),
			Inventory{Cluster: s, Images: n, Counts: counts, Hidden: findings.Counts{Low: n}, Rules: findings.Rules{MinSeverity: fs[0].Severity}, Again: true, Quiet: n, Worst: rows(1, s), Link: link}.Message(),
			Failed{Cluster: s, Causes: cs[1:], Link: link}.Message(),
			Recovered{Cluster: s, Namespaces: []string{s, link, s, s, s}, Causes: cs}.Message(),
			Recovered{Cluster: link, Namespaces: []string{s}, Causes: cs[1:]}.Message(),
			Recovered{Cluster: s, Causes: slices.Repeat(cs[:1], 1+max(n, 0)%9)}.Message(),
			changed(Withdrawn, 1), changed(Withdrawn, 9),
			Report{Image: image, Cluster: s, Summary: summarize(s, n, fs...), Place: place, Link: link}.Message(),
			Report{Image: image, Cluster: link, Summary: summarize(link, n, fs[1]), Place: place, Link: s}.Message(),
			Report{Image: image, Cluster: link, Summary: summarize(link, n), Place: place, Link: link}.Message(),
			Report{Image: image, Cluster: link, Summary: findings.Summary{Counts: counts}, Link: s}.Message(),
			Disclosed{Image: image, Cluster: s, Summary: summarize(s, n, fs...), Ignored: n, Place: place, Link: link}.Message(),
			Indexed{Image: image, Cluster: s, Distribution: link, Packages: n, Link: link}.Message(),
			IndexedMany{Images: slices.Repeat([]Image{image}, 1+max(n, 0)%9), Cluster: s, Namespaces: []string{s, link}, Loading: true}.Message(),
			Inventory{Cluster: s, Namespaces: []string{link}, Images: n, Pods: n, Counts: counts, Worst: rows(3, s), Failed: cs, Clean: n, NotCovered: n, Untried: n, Link: link}.Message(),
			Inventory{Cluster: s, Namespaces: []string{s, link}, Images: n, Worst: []Row{{Image: image, Namespace: link, Counts: counts, Pods: n, Link: link}}, Untried: -n, Link: link}.Message(),
			Failed{Cluster: s, Namespaces: []string{s, link, s, s, s}, Causes: cs}.Message(),
			Report{Image: image, Cluster: s, Summary: findings.Summary{Hidden: counts}, Loading: true, Link: link}.Message(),
			Report{Image: image, Cluster: s, Summary: findings.Summary{Ignored: counts}, Place: place, Link: link}.Message(),
			Report{Image: image, Cluster: s, Summary: summarizeBy(ignoring(s, link), link, n, fs...), Place: place, Link: link}.Message(),
			Inventory{Cluster: s, Images: n, Counts: counts, Hidden: counts, Ignored: findings.Counts{Low: n}, Quiet: n, Rules: findings.Rules{OnlyFixable: true}, Worst: rows(1, s)}.Message(),
			Inventory{Cluster: link, Images: n, Ignored: counts, Quiet: n}.Message(),
			Report{Image: image, Cluster: s, Summary: summarizeFrom(claircore.High, link, n, fs...), Place: place, Loading: true, Link: link}.Message(),
			Inventory{Cluster: s, Images: n, Hidden: counts, Quiet: n, Loading: true}.Message(),
			Removed{Cluster: s, Images: []RemovedImage{{Image: image, Namespace: link, Replaced: true}}}.Message(),
			Removed{Cluster: s, Images: slices.Repeat([]RemovedImage{{Image: image, Namespace: s}, {Image: image, Namespace: link, Replaced: true}}, 5)}.Message(),
			changed(Renewed, 1), changed(Renewed, 9), changed(Sourced, 1), changed(Sourced, 9),
			changed(Visible, 1), changed(Visible, 9), changed(Visible, 1, fixable), changed(Visible, 9, fixable), changed(Rose, 1), changed(Rose, 9),
		} {
			for ok := true; ok; m, ok = m.Simplify() {
				raw, err := m.JSON()
				if err != nil {
					t.Fatal(err)
				}
				if vs := violations(raw); len(vs) > 0 {
					t.Fatalf("%q\n%s", vs, raw)
				}
				if len(raw) > mostBytes {
					t.Fatalf("%d bytes, at most %d\n%s", len(raw), mostBytes, raw)
				}
			}
		}
	})
}
