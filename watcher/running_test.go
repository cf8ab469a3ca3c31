package watcher

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"
	corev1 "k8s.io/api/core/v1"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
)

// The pages show an image once, with what is worst of all that is known of it.
func TestRunning(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const images = 8 // enough that no order of a map is right by chance
		all := []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.Low}}
		for n := range images {
			r.clairs[clairBase].found[digest(n+1)] = all[:1+n%2]
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1), podOf("shop", fmt.Sprintf("more-%d", n), n+1), podOf("blog", fmt.Sprintf("app-%d", n), n+1))
		}
		r.clairs[secondBase].fail = func(string) error { return &clair.Error{Op: "fetching a report", Kind: clair.Unauthorized} }
		r.settings(map[string]string{
			"shop": scanner("shop"),
			"blog": "- {name: high, minSeverity: High, clairBaseUrl: '" + clairBase + "', slackWebhookUrl: '" + webhook("blog") + "'}\n" +
				"- {name: other, clairBaseUrl: '" + secondBase + "', slackWebhookUrl: '" + webhook("blog") + "'}\n",
			"lab": scanner("lab"),
		})
		r.run(podOf("lab", "app-0", 90))
		r.start()
		r.pass(settled)

		got := r.w.Running()
		if len(got) != images+1 {
			t.Fatalf("%d images run, want %d: %+v", len(got), images+1, got)
		}
		for i, g := range got {
			want := findings.Counts{Critical: 1, Fixable: 1}
			if i < images/2 { // those with more come first
				want.Low, want.Fixable = 1, 2
			}
			if g.Counts != want || !g.Told || !g.Found {
				t.Errorf("%s: %+v, told: %v, want %+v", g.Image.Name, g.Counts, g.Told, want)
			}
			if g.Image.Digest == digest(90) {
				if g.State != StateScanned || g.Pods != 1 || !slices.Equal(g.Namespaces, []string{"lab"}) {
					t.Errorf("got %+v", g)
				}
				continue
			}
			if g.State != State(CauseClairUnavailable) || g.Pods != 3 || len(g.Workloads) != 3 || !slices.Equal(g.Namespaces, []string{"blog", "shop"}) {
				t.Errorf("got %+v", g)
			}
		}
	})
}

// A pod that runs one image under two ids is one pod; an image of which nothing was told says so.
func TestRunningOfTwoIDs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.manifests[digest(2)] = map[registry.Platform]string{{OS: "linux", Architecture: "amd64"}: digest(1)}
		pod := podOf("shop", "app-0", 1)
		twin := pod.Spec.Containers[0]
		twin.Name = "twin"
		pod.Spec.Containers = append(pod.Spec.Containers, twin)
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: "twin", Image: twin.Image, ImageID: "registry.example.com/shop/app1@" + digest(2),
		})
		r.clairs[clairBase].loading = true
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(pod)
		r.start()
		r.pass(settled)
		got := r.w.Running()
		if len(got) != 1 || got[0].Pods != 1 || len(got[0].Workloads) != 1 || got[0].Workloads[0].Pods != 1 {
			t.Errorf("got %+v", got)
		}
		if got[0].Told || got[0].Found || got[0].Counts != (findings.Counts{}) {
			t.Errorf("of what was not told: %+v", got[0])
		}
		r.clairs[clairBase].set(func(c *fakeClair) { c.loading = false })
		r.pass(loadingPause + settled)
		if got := r.w.Running(); len(got) != 1 || !got[0].Told || !got[0].Found || got[0].Counts != (findings.Counts{Critical: 1, Fixable: 1}) {
			t.Errorf("of what was told: %+v", got)
		}
	})
}

// A report is fetched for what runs, and for nothing else.
func TestReport(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("elsewhere", "app-0", 2))
		r.start()
		r.pass(settled)
		c := r.clairs[clairBase]
		c.called()
		report, err := r.w.Report(t.Context(), digest(1))
		if err != nil || report.Digest != digest(1) || len(report.Findings) != 1 {
			t.Errorf("got %+v, %v", report, err)
		}
		if calls := c.called(); !slices.Equal(calls, []string{"report"}) {
			t.Errorf("calls to Clair: %v", calls)
		}
		for _, d := range []string{digest(2), digest(3), "", "latest"} {
			if _, err := r.w.Report(t.Context(), d); !errors.Is(err, ErrNotRunning) {
				t.Errorf("%q: %v", d, err)
			}
		}
		if calls := c.called(); len(calls) != 0 {
			t.Errorf("calls to Clair for what does not run: %v", calls)
		}
		c.set(func(c *fakeClair) { c.loading = true })
		if _, err := r.w.Report(t.Context(), digest(1)); !clair.IsKind(err, clair.NotReady) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLeading(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		began := time.Now()
		r.start()
		r.pass(time.Hour)
		if since, leads := r.w.Leading(); !leads || since.Before(began) || since.After(began.Add(time.Minute)) {
			t.Errorf("leads: %v, since %v, want %v", leads, since, began)
		}
		r.stop()
		if since, leads := r.w.Leading(); leads || !since.IsZero() {
			t.Errorf("after the end: %v, since %v", leads, since)
		}
	})
}

// Messages lead to the daemon's pages where these have an address, and nowhere else than there.
func TestLinks(t *testing.T) {
	const site = "https://clairwatch.example.com/"
	for _, external := range []string{site, ""} {
		t.Run("address "+external, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.cfg.ExternalURL = external
				r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
				r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2), podOf("blog", "app-1", 3))
				r.start()
				r.pass(settled)
				page := func(n int) string { return fmt.Sprintf("%simages/%s", external, digest(n)) }
				all := func(namespace string) string { return external + "?namespace=" + namespace + "|All" }
				having := external + "vulnerabilities/CVE-2026-31415|All images"
				if external == "" {
					all, page, having = func(string) string { return "" }, func(int) string { return "" }, ""
				}
				r.wantEach("shop", "app1:v1 is running with…"+page(1))
				r.wantEach("blog", "Now watching 2 images…"+page(2)+"…"+page(3)+"…"+all("blog"))
				r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(1, 2, 3)
				r.pass(settled)
				r.wantEach("shop", "is running with", "1 newly …high vulnerability…"+page(1)+"…"+having)
				r.wantEach("blog", "Now watching", "CVE-2026-31415…2 running images…"+page(2)+"…"+page(3)+"…"+having)
				r.registry.failWith(func(int) error { return registry.ErrUnauthorized })
				r.run(podOf("shop", "app-1", 4))
				r.pass(settled)
				r.wantEach("shop", "is running with", "1 newly", "app4:v1…could not be scanned…"+all("shop"))
				if external == "" {
					for _, m := range r.slack.accepted() {
						if strings.Contains(m.json, "images/sha256") || strings.Contains(m.json, "vulnerabilities/") {
							t.Errorf("a link to nowhere: %s", m.json)
						}
					}
				}
			})
		})
	}
}

// Two looks at the same say the same.
func TestRunningIsStable(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"a": scanner("a"), "b": scannerAt("http://nowhere.example.com/", "b"), "c": scannerAt(secondBase, "c")})
		r.clairs[secondBase].fail = func(string) error { return &clair.Error{Op: "x", Kind: clair.IndexFailed} }
		r.run(podOf("a", "app-0", 1), podOf("b", "app-0", 1), podOf("c", "app-0", 1))
		r.start()
		r.pass(time.Hour)
		first := r.w.Running()
		for range 100 {
			if now := r.w.Running(); !reflect.DeepEqual(first, now) {
				t.Fatalf("got %+v, then %+v", first, now)
			}
		}
	})
}
