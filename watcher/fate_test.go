package watcher

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

// mixed are vulnerabilities of several severities, one of them without a fix.
var mixed = []vulnerability{
	{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High},
	{name: "CVE-2026-0003", severity: claircore.High, unfixed: true}, {name: "CVE-2026-0004", severity: claircore.Low},
	{name: "CVE-2026-0005", severity: claircore.Low},
}

// TestExplainRulesChange has what was told and what was not add up by the rules of now, whichever rules it was told by.
func TestExplainRulesChange(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		with := func(rules string) {
			t.Helper()
			r.settings(map[string]string{"shop": scanner("shop") + rules})
			r.pass(settled)
		}
		want := func(view string) {
			t.Helper()
			r.wantBrief(r.explain("shop", ""), "Pod app-0/1 container app/1: scanned", "  default: "+view)
		}
		r.clairs[clairBase].found[digest(1)] = mixed
		r.run(podOf("shop", "app-0", 1))
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.pass(settled)
		want("told 1 critical 2 high 2 low")
		with("minSeverity: High\n")
		want("told 1 critical 2 high 2 low told and minSeverity 2 low")
		with("minSeverity: High\nonlyFixable: true\n")
		want("told 1 critical 2 high 2 low told and minSeverity 2 low told and onlyFixable 1 high")
		with("minSeverity: High\nignore: [{id: CVE-2026-0002}, {id: CVE-2026-0004}]\n")
		want("told 1 critical 1 high 1 low untold 1 high 1 low told and minSeverity 1 low ignored 1 by CVE-2026-0002 ignored 1 by CVE-2026-0004")

		// Another channel that begins with the rules hears of less, and in time of more: its channel is the one in trouble.
		r.slack.set(func(ch slack.Webhook) error {
			return &slack.Error{Kind: slack.Channel, Webhook: ch, Status: 404, Reason: "no_service"}
		})
		with("")
		want("told 1 critical 1 high 1 low untold 1 high 1 low coming 1 high 1 low pending visible")
	})
}

// TestExplainToldUnderAnotherName has what an entry ignores that was told while the image ran under a name that the entry
// does not fit.
func TestExplainToldUnderAnotherName(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + notInShop})
		r.run(podOf("shop", "app-0", 1), mirrored("copy-0"))
		r.start()
		r.pass(settled)
		r.wantSought("CVE-2026-0001", "default: CVE-2026-0001 in openssl passes told missed by opensslshop/*: image")
		r.delete("shop", "copy-0")
		r.finds(1, critical, high)
		r.pass(time.Hour)
		e := r.explain("shop", "")
		r.wantBrief(e, "Pod app-0/1 container app/1: scanned",
			"  default: told 1 critical untold 1 high told and ignored 1 by openssl ignored 1 by openssl")
		if i := e.Scanners[0].Ignore[0]; i.Matches != 2 || !e.Scanners[0].IgnoreCounted {
			t.Errorf("%+v", i)
		}
		r.wantSought("CVE-2026-0001", "default: CVE-2026-0001 in openssl ignored told by openssl")
		r.wantSought("CVE-2026-0002", "default: CVE-2026-0002 in openssl ignored by openssl")
		// What another entry ignores counts as not told, once the image is looked at.
		r.settings(map[string]string{"shop": scanner("shop") + "ignore: [{id: CVE-2026-0001}]\n"})
		r.pass(settled)
		r.wantSought("CVE-2026-0001", "default: CVE-2026-0001 in openssl ignored by CVE-2026-0001")
	})
}

// TestExplainGone has what was told and is not in the report, before the look that says so.
func TestExplainGone(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.found[digest(1)] = mixed
		r.settings(map[string]string{"shop": scanner("shop") + "minSeverity: High\n"})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) {
			c.found[digest(1)] = append(slices.Clone(mixed[1:4]), vulnerability{name: "CVE-2026-0009", severity: claircore.High})
		})
		r.wantBrief(r.explain("shop", ""), "Pod app-0/1 container app/1: scanned",
			"  default: told 1 critical 2 high untold 1 high 1 low minSeverity 1 low coming 1 high told and gone 1 critical")
	})
}

// TestExplainUntoldWithoutRules has the rest of what rules held back that are none any more.
func TestExplainUntoldWithoutRules(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.clairs[clairBase].found[digest(1)] = mixed
		r.settings(map[string]string{"shop": scanner("shop") + "minSeverity: High\n"})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.slack.set(func(ch slack.Webhook) error {
			return &slack.Error{Kind: slack.Channel, Webhook: ch, Status: 404, Reason: "no_service"}
		})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.pass(settled)
		r.wantBrief(r.explain("shop", ""), "Pod app-0/1 container app/1: scanned",
			"  default: told 1 critical 2 high untold 2 low coming 2 low pending visible")
	})
}

// seek asks about one vulnerability in the pod app-0 and returns what is said of its container for each Scanner.
func (r *rig) seek(vulnerability string) []string {
	r.t.Helper()
	e := r.ask(Question{Namespace: "shop", Name: "app-0", Vulnerability: vulnerability})
	if e.Vulnerability != vulnerability {
		r.t.Errorf("asked about %q, answered about %q", vulnerability, e.Vulnerability)
	}
	var views []string
	for _, v := range e.Workloads[0].Containers[0].Scanners {
		_, found, _ := strings.Cut(briefView(v), " found ")
		views = append(views, v.Scanner+": "+found)
		if v.Held == nil {
			r.t.Errorf("no report was read: %+v", v)
		}
	}
	return views
}

func (r *rig) wantSought(vulnerability string, want ...string) {
	r.t.Helper()
	if got := r.seek(vulnerability); !slices.Equal(got, want) {
		r.t.Errorf("%s: got\n%s\nwant\n%s", vulnerability, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestExplainVulnerability asks what each Scanner did with one vulnerability.
func TestExplainVulnerability(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		of := func(name, rules string) string {
			return "- {name: " + name + ", clairBaseUrl: \"" + clairBase + "\", slackWebhookUrl: \"" + webhook(name) + "\", " + rules + "}\n"
		}
		r.settings(map[string]string{"shop": of("all", "minSeverity: Unknown") +
			of("severe", "minSeverity: High") + of("fixed", "onlyFixable: true") +
			of("ignoring", "ignore: [{id: cve-2026-0003}, {package: zlib}, {id: CVE-2026-0004, package: zlib}, {id: CVE-2026-0004, image: \"blog/*\"}, "+
				"{id: CVE-2026-0004, image: \"shop/*\", until: 1999-01-01}, {package: openssl, image: \"blog/*\"}, {id: CVE-2026-0077}]")})
		r.clairs[clairBase].found[digest(1)] = append(slices.Clone(mixed),
			vulnerability{name: "GHSA-7777", severity: claircore.High, links: "https://nvd.nist.gov/vuln/detail/CVE-2026-0077"})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.clairs[clairBase].called()
		const elsewhere = " missed by opensslblog/*: image"
		r.wantSought("CVE-2026-0001", "all: CVE-2026-0001 in openssl passes told", "severe: CVE-2026-0001 in openssl passes told",
			"fixed: CVE-2026-0001 in openssl passes told", "ignoring: CVE-2026-0001 in openssl passes told"+elsewhere)
		if got := r.clairs[clairBase].called(); !slices.Equal(got, []string{"report"}) {
			t.Errorf("Clair was asked for %v, want one report for all Scanners", got)
		}
		r.wantSought("cve-2026-0003", "all: CVE-2026-0003 in openssl passes told", "severe: CVE-2026-0003 in openssl passes told",
			"fixed: CVE-2026-0003 in openssl onlyFixable", "ignoring: CVE-2026-0003 in openssl ignored by cve-2026-0003")
		r.wantSought("CVE-2026-0004", "all: CVE-2026-0004 in openssl passes told", "severe: CVE-2026-0004 in openssl minSeverity",
			"fixed: CVE-2026-0004 in openssl passes told", "ignoring: CVE-2026-0004 in openssl passes told"+
				" missed by CVE-2026-0004zlib: package missed by CVE-2026-0004blog/*: image missed by CVE-2026-0004shop/*: until"+elsewhere)
		r.wantSought("CVE-2026-0077", "all: GHSA-7777 in openssl passes told", "severe: GHSA-7777 in openssl passes told",
			"fixed: GHSA-7777 in openssl passes told", "ignoring: GHSA-7777 in openssl passes told"+elsewhere+" missed by CVE-2026-0077: id")
		r.wantSought("CVE-2026-9999", "all: ", "severe: ", "fixed: ", "ignoring: ")
	})
}

// TestExplainVulnerabilityBounded has more findings of one name, and more entries that miss it, than anybody reads.
func TestExplainVulnerabilityBounded(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		var entries []string
		for n := range mostMissed + 2 {
			entries = append(entries, fmt.Sprintf("{package: openssl, image: blog/%d}", n))
		}
		r.settings(map[string]string{"shop": scanner("shop") + "ignore: [" + strings.Join(entries, ", ") + "]\n"})
		for n := range mostFound + 3 {
			r.clairs[clairBase].found[digest(1)] = append(r.clairs[clairBase].found[digest(1)],
				vulnerability{name: fmt.Sprintf("GHSA-%d", n), severity: claircore.High, links: "https://example.com/CVE-2026-0001"})
		}
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		v := r.ask(Question{Namespace: "shop", Vulnerability: "CVE-2026-0001"}).Workloads[0].Containers[0].Scanners[0]
		if len(v.Found) != mostFound || v.FoundMore != 3 || len(v.Found[0].Missed) != mostMissed {
			t.Errorf("%d found and %d more, %d missed", len(v.Found), v.FoundMore, len(v.Found[0].Missed))
		}
	})
}

// TestExplainPackage is asked about a package where a vulnerability is wanted.
func TestExplainPackage(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.pass(settled)
		for asked, want := range map[string]bool{"": false, "openssl": true, "CVE-2026-0001": false, "curl": false} {
			if e := r.ask(Question{Namespace: "shop", Vulnerability: asked}); e.NamesPackage != want {
				t.Errorf("%q names a package: %v, want %v", asked, e.NamesPackage, want)
			}
		}
		// A vulnerability can be called like one.
		r.clairs[clairBase].set(func(c *fakeClair) { c.found[digest(2)] = []vulnerability{{name: "OpenSSL", severity: claircore.High}} })
		if e := r.ask(Question{Namespace: "shop", Vulnerability: "openssl"}); e.NamesPackage {
			t.Error("the vulnerability is taken for a package")
		}
	})
}

// TestExplainNearNamespaces proposes namespaces that have a key or pods to who asks about one that has neither.
func TestExplainNearNamespaces(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop"), "_all": scanner("all"), "quiet": "", "wrong": "x"})
		r.run(podOf("ship", "a", 1), podOf("kube-system", "b", 2))
		r.start()
		r.pass(settled)
		for namespace, want := range map[string][]string{
			"shp": {"ship", "shop"}, "shpo": {"ship", "shop"}, "kube-sytem": {"kube-system"}, "wrng": {"wrong"}, "qiet": {"quiet"}, "web": nil,
			"shop": nil, "ship": nil, "quiet": nil, "wrong": nil, // are known
		} {
			if e := r.explain(namespace, ""); !slices.Equal(e.NearNamespaces, want) {
				t.Errorf("%s: got %q, want %q", namespace, e.NearNamespaces, want)
			}
		}
		if e := r.explain("shp", "web"); !slices.Equal(e.NearNamespaces, []string{"ship", "shop"}) {
			t.Errorf("with a name: %q", e.NearNamespaces)
		}
	})
}

// TestExplainName asks for pods and for what runs them.
func TestExplainName(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		of := func(kind, owner, name string) *corev1.Pod {
			pod := podOf("shop", name, 1)
			pod.Labels = map[string]string{podTemplateHash: "7d4f"}
			yes := true
			pod.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: owner, Controller: &yes}}
			return pod
		}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(of("ReplicaSet", "web-7d4f", "web-7d4f-aaaaa"), of("ReplicaSet", "web-7d4f", "web-7d4f-bbbbb"), of("StatefulSet", "web", "web-0"),
			of("StatefulSet", "db", "db-0"), of("DaemonSet", "db-0", "db-0-x"), podOf("shop", "alone", 1), podOf("blog", "other", 1))
		r.start()
		r.pass(settled)
		for name, c := range map[string]struct {
			pod, workload string
			pods          int
			near          []string
		}{
			"web":              {"", "web", 3, nil},
			"web-7d4f-aaaaa":   {"web-7d4f-aaaaa", "", 1, nil},
			"db-0":             {"db-0", "", 1, nil}, // a pod comes before a workload
			"alone":            {"alone", "", 1, nil},
			"web-7d4f-ccccc":   {"web-7d4f-ccccc", "", 0, []string{"web", "web-7d4f-aaaaa", "web-7d4f-bbbbb", "web-0", "db-0-x"}},
			"wbe":              {"wbe", "", 0, []string{"db", "web", "db-0", "web-0", "alone"}},
			"other":            {"other", "", 0, []string{"web", "alone", "db", "db-0", "web-0"}},
			"web-7d4f-aaaaa-1": {"web-7d4f-aaaaa-1", "", 0, []string{"web", "web-7d4f-aaaaa", "web-7d4f-bbbbb", "web-0", "db-0-x"}},
		} {
			e := r.explain("shop", name)
			if e.Pod != c.pod || e.Workload != c.workload || e.Pods != c.pods || !slices.Equal(e.Near, c.near) {
				t.Errorf("%s: pod %q, workload %q, %d pods, near %q", name, e.Pod, e.Workload, e.Pods, e.Near)
			}
		}
		if e := r.explain("none", "web"); e.Pods != 0 || len(e.Near) > 0 {
			t.Errorf("%+v", e)
		}
	})
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"web", "", 3}, {"", "web", 3}, {"web", "web", 0}, {"web", "wib", 1}, {"web", "we", 1}, {"web", "webs", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestExplainShared has what the channel of _all was told of an image in another namespace.
func TestExplainShared(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		state string
		told  string
	}{
		"scanned": {nil, "scanned", "told 1 critical 2 high untold 2 low minSeverity 2 low"},
		"refused": {registry.ErrUnsupported, "unsupported", "told of unsupported"},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.registry.failWith(func(int) error { return c.err })
				r.settings(map[string]string{"_all": scanner("all") + "minSeverity: High\n"})
				r.clairs[clairBase].found[digest(1)] = mixed
				r.run(podOf("blog", "app-1", 1))
				r.start()
				r.pass(settled)
				r.run(podOf("shop", "app-1", 1))
				r.pass(settled)
				for _, namespace := range []string{"blog", "shop"} {
					r.wantBrief(r.explain(namespace, ""), "Pod app-1/1 container app/1: "+c.state, "  default: "+c.told)
				}
			})
		})
	}
}
