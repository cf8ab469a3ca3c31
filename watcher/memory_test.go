package watcher

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

// writes counts what was written to the API server.
func (r *rig) writes() int {
	n := 0
	for _, a := range r.kube.Actions() {
		if a.GetResource().Resource == "configmaps" && slices.Contains([]string{"create", "update", "patch", "delete"}, a.GetVerb()) {
			n++
		}
	}
	return n
}

// restart ends the Watcher and starts another one, which knows what is in the API server and no more.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

// leases has Leases kept as an API server does.
func (r *rig) leases() *cluster {
	c := newCluster(r.t)
	r.kube.PrependReactor("*", "leases", c.react)
	return c
}

// skip lets time pass in which no Watcher runs, and a little more with another one.
func (r *rig) skip(d time.Duration) {
	r.t.Helper()
	r.pass(2 * sweepEvery) // what is to be noted by then
	r.stop()
	r.pass(d)
	r.start()
	r.pass(2 * sweepEvery)
}

// byJob has a Job run a pod.
func byJob(pod *corev1.Pod) *corev1.Pod {
	controls := true
	pod.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "backup-29000000", Controller: &controls}}
	return pod
}

// updater is one whose first data is as old as said.
func updater(name string, age time.Duration) clair.Updater {
	return clair.Updater{Name: name, Vulnerabilities: true, First: time.Now().Add(-age), Last: time.Now().Add(-age)}
}

func TestRestart(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const images, missing = 30, 4
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.registry.failWith(func(n int) error {
			if n <= missing {
				return registry.ErrNotFound
			}
			return nil
		})
		r.start()
		r.pass(settled)
		r.wantTexts("Now watching 30 images…could not be scanned")
		r.clairs[clairBase].called()
		for range 3 {
			resolved, writes := r.registry.resolved(), r.writes()
			r.restart()
			r.pass(settled)
			if got := r.registry.resolved(); got != resolved {
				t.Errorf("%d requests to the registry after a restart", got-resolved)
			}
			if got := r.writes(); got != writes {
				t.Errorf("%d writes after a restart", got-writes)
			}
			if calls := r.clairs[clairBase].called(); len(calls) != images-missing || slices.Contains(calls, "index") {
				t.Errorf("calls to Clair after a restart: %v", calls)
			}
			if got := r.w.progress.count(); got[StateScanned] != images-missing || got[State(CauseNotFound)] != missing {
				t.Errorf("states after a restart: %v", got)
			}
		}
		r.pass(recheck) // what could not be scanned is tried again when its time has come
		r.wantTexts("Now watching 30 images", "is running with", "is running with", "is running with", "is running with")
	})
}

func TestRemoved(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.pass(settled)
		r.delete("shop", "app-0")
		r.pass(removalGrace / 2)
		r.run(podOf("shop", "app-0", 1)) // a rollout
		r.pass(2 * removalGrace)
		r.wantTexts("Now watching 2 images")

		r.delete("shop", "app-0")
		writes := r.writes()
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.wantTexts("Now watching 2 images", "app1:v1` is no longer running in `shop`")
		if r.writes() != writes+1 {
			t.Errorf("%d writes for a removal", r.writes()-writes)
		}
		r.pass(24 * time.Hour)
		r.restart()
		r.run(podOf("shop", "app-0", 1)) // its return is no news
		r.pass(time.Hour)
		r.wantTexts("Now watching 2 images", "is no longer running")

		// What is new since is.
		r.delete("shop", "app-0")
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.clairs[clairBase].set(func(c *fakeClair) {
			c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High}}
		})
		r.run(podOf("shop", "app-0", 1))
		r.pass(time.Hour)
		r.wantTexts("Now watching 2 images", "is no longer running", "is no longer running", "app1:v1: 1 newly disclosed high vulnerability")

		// After a month it is a new image.
		r.delete("shop", "app-0")
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.skip(goneFor)
		r.run(podOf("shop", "app-0", 1))
		r.pass(time.Hour)
		r.wantTexts("Now watching", "is no longer", "is no longer", "newly disclosed", "is no longer", "app1:v1 is running with")
	})
}

func TestRemovedMeanwhile(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2), podOf("shop", "app-2", 3))
		r.start()
		r.pass(settled)
		r.stop()
		r.delete("shop", "app-0")
		r.delete("shop", "app-1")
		r.clairs[clairBase].set(func(c *fakeClair) {
			c.found[digest(3)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0007", severity: claircore.High}}
		})
		r.run(podOf("shop", "app-4", 4))
		r.start()
		r.pass(settled)
		r.wantTexts("Now watching 3 images", "app4:v1 is running with", "app3:v1: 1 newly disclosed")
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.wantTexts("Now watching 3 images", "app4:v1 is running with", "app3:v1: 1 newly disclosed", "2 images* are no longer running")
		r.restart()
		r.pass(time.Hour)
		r.wantTexts("Now watching 3 images", "app4:v1 is running with", "app3:v1: 1 newly disclosed", "2 images* are no longer running")
	})
}

// What runs and is not known may be what seems to be gone, under another id: then nothing is said of its end.
func TestRemovalIsSure(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.pass(settled)
		r.registry.failWith(func(int) error { return registry.ErrUnauthorized })
		again := podOf("shop", "app-0", 1)
		again.Status.ContainerStatuses[0].ImageID = "registry.example.com/shop/app1@" + digest(0xa1)
		r.delete("shop", "app-0")
		r.delete("shop", "app-1")
		r.run(again)
		r.pass(removalGrace + 3*sweepEvery + settled)
		r.wantTexts("Now watching 2 images", "app1:v1 could not be scanned", "app2:v1` is no longer running")
		r.registry.failWith(nil) // it is another image indeed
		r.pass(recheck + time.Hour)
		r.wantTexts("Now watching 2 images", "app1:v1 could not be scanned", "app2:v1` is no longer running",
			"app1:v1 is running with", "app1:v1` is no longer running")
	})
}

func TestJobs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		for day := range 3 { // each night it runs and goes
			r.run(byJob(podOf("shop", "backup", 1)), byJob(podOf("shop", "broken", 2)))
			if day == 0 {
				r.clairs[clairBase].indexed[digest(1)] = true
				r.registry.failWith(func(int) error { return registry.ErrNotFound })
				r.start()
			} else {
				r.restart()
			}
			r.pass(time.Hour)
			r.delete("shop", "backup")
			r.delete("shop", "broken")
			r.pass(23 * time.Hour)
		}
		r.wantTexts("app1:v1 is running with", "app2:v1 could not be scanned")
		// Once something else runs it, its end is told; not that of the Jobs afterwards.
		r.run(podOf("shop", "app", 1))
		r.pass(time.Hour)
		r.delete("shop", "app")
		for range 3 {
			r.pass(time.Hour)
			r.wantTexts("app1:v1 is running with", "app2:v1 could not be scanned", "is no longer running")
			r.run(byJob(podOf("shop", "backup", 1)))
			r.pass(time.Hour)
			r.delete("shop", "backup")
		}
	})
}

func TestThresholds(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.clairs[clairBase].found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.Low}}
		high := "minSeverity: High\n"
		r.settings(map[string]string{"shop": scanner("shop") + high, "blog": scanner("blog")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		r.wantEach("shop", "is running with 1 critical…1 more is below this channel's minimum severity (high)")
		r.wantEach("blog", "1 critical…1 low")
		// What the threshold holds back is remembered, so that it is not told as newly disclosed one day.
		r.clairs[clairBase].set(func(c *fakeClair) {
			c.found[digest(1)] = append(c.found[digest(1)], vulnerability{name: "CVE-2026-0003", severity: claircore.Medium})
		})
		r.pass(2 * time.Hour)
		r.cfg.Refresh = 0
		r.restart()
		r.pass(settled)
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.pass(settled)
		r.wantEach("shop", "is running with 1 critical", "no longer held back…1 medium…1 low")
		r.wantEach("blog", "1 critical…1 low", "newly disclosed medium")
		r.settings(map[string]string{"shop": scanner("shop") + high, "blog": scanner("blog")})
		r.pass(settled)
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.restart()
		r.pass(settled)
		r.wantEach("shop", "is running with 1 critical", "no longer held back")
	})
}

func TestSeverityRises(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		found := func(s claircore.Severity) func(*fakeClair) {
			return func(c *fakeClair) { c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: s}} }
		}
		r.cfg.Refresh = time.Hour
		r.clairs[clairBase].set(found(claircore.Low))
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.clairs[clairBase].set(found(claircore.Critical))
		r.pass(2 * time.Hour)
		r.wantTexts("is running with 1 low", "CVE-2026-0001…is critical now")
		r.clairs[clairBase].set(found(claircore.Low)) // as while a score is missing
		r.pass(2 * time.Hour)
		r.clairs[clairBase].set(found(claircore.Critical))
		r.restart()
		r.pass(2 * time.Hour)
		r.wantTexts("is running with 1 low", "is critical now")
	})
}

func TestAnotherClair(t *testing.T) {
	for name, test := range map[string]struct {
		found []vulnerability
		want  []string
	}{
		"that says the same": {[]vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}}, nil},
		"that says otherwise": {[]vulnerability{{name: "CVE-2026-0008", severity: claircore.High}, {name: "CVE-2026-0009", severity: claircore.Low}},
			[]string{"another Clair now…+2, −1"}},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				for n := range 2 {
					r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
					r.clairs[secondBase].found[digest(n+1)] = test.found
				}
				r.settings(map[string]string{"shop": scannerAt(clairBase, "shop")})
				r.start()
				r.pass(settled)
				r.settings(map[string]string{"shop": scannerAt(secondBase, "shop")})
				r.pass(settled)
				want := append([]string{"Now watching 2 images"}, test.want...)
				r.wantTexts(want...)
				r.restart()
				r.pass(time.Hour)
				r.wantTexts(want...)
			})
		})
	}
}

// A change that concerns many images is one message, although each of them has its own time to be looked at.
func TestOneCauseOneMessage(t *testing.T) {
	const images = 60
	old := vulnerability{name: "CVE-2026-0001", severity: claircore.Critical, updater: "debian"}
	more := []vulnerability{old, {name: "CVE-2020-0002", severity: claircore.High, updater: "osv"}}
	for name, change := range map[string]func(*fakeClair){
		"renewed": func(c *fakeClair) { c.state, c.deeper = "s2", more },
		"sourced": func(c *fakeClair) { c.updaters, c.found = append(c.updaters, updater("osv", 0)), all(images, more) },
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.cfg.Refresh = time.Hour
				c := r.clairs[clairBase]
				c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
				c.found = all(images, []vulnerability{old})
				r.settings(map[string]string{"shop": scanner("shop")})
				for n := range images {
					r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
				}
				r.start()
				r.pass(10 * time.Minute)
				c.set(change)
				r.pass(3 * time.Hour)
				if got := r.slack.accepted(); len(got) != 2 || !strings.Contains(got[1].json, "60 images") {
					t.Errorf("%d messages, the last one: %s", len(got), got[len(got)-1].json)
				}
			})
		})
	}
}

// While Clair loads its data it is left alone, whatever there is to wait for.
func TestLoadingIsCheap(t *testing.T) {
	const images = 10
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(settled)
		c.called()
		resolved := r.registry.resolved()
		load := func(minutes int) { // an updater each minute
			for n := range minutes {
				c.set(func(c *fakeClair) { c.updaters = append(c.updaters, updater(fmt.Sprint("u", len(c.updaters), n), 0)) })
				r.pass(time.Minute)
			}
		}
		c.set(func(c *fakeClair) { c.state, c.updaters = "s2", []clair.Updater{updater("debian", 0)} })
		load(50)
		r.run(podOf("shop", "new", images+1))
		load(5)
		if got := r.registry.resolved() - resolved; got > 1 {
			t.Errorf("%d images were resolved", got)
		}
		if calls := len(c.called()); calls > 70*images { // one report for each image and new source
			t.Errorf("%d calls to Clair", calls)
		}
		r.pass(3 * time.Hour)
		if calls := c.called(); strings.Count(strings.Join(calls, " "), "index") != images {
			t.Errorf("calls to Clair afterwards: %v", calls)
		}
	})
}

// The first updater of a new Clair makes it answer 200, with next to nothing: no image may be called clean by that.
func TestFirstUpdater(t *testing.T) {
	for offset := range 8 {
		inRig(t, func(t *testing.T, r *rig) {
			c := r.clairs[clairBase]
			c.loading, c.updaters = true, []clair.Updater{}
			r.settings(map[string]string{"shop": scanner("shop")})
			for n := range 3 {
				r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
			}
			r.start()
			r.pass(time.Duration(offset) * 11 * time.Second)
			c.set(func(c *fakeClair) {
				c.loading, c.updaters, c.found = false, []clair.Updater{updater("photon", 0)}, all(3, nil)
			})
			r.pass(4 * time.Minute)
			c.set(func(c *fakeClair) {
				c.updaters = append(c.updaters, updater("debian", 0))
				c.found = all(3, []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical, updater: "debian"}})
			})
			r.pass(30 * time.Minute)
			if got := r.slack.accepted(); len(got) > 2 || !strings.Contains(got[len(got)-1].json, "3 critical") {
				t.Errorf("offset %d: %d messages, the last one: %s", offset, len(got), got[len(got)-1].json)
			}
		})
	}
}

// When Clair has other scanners than before the image is indexed again: what they see is told in one line.
func TestOtherScanners(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.pass(settled)
		c.called()
		c.set(func(c *fakeClair) {
			c.state = "s2"
			c.deeper = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0008", severity: claircore.High}}
		})
		r.pass(3 * time.Hour)
		if calls := c.called(); strings.Count(strings.Join(calls, " "), "index") != 2 {
			t.Errorf("calls to Clair: %v", calls)
		}
		r.wantTexts("Now watching 2 images", "+1*")
		r.restart()
		r.pass(settled)
		if calls := c.called(); !slices.Equal(calls, []string{"report", "report"}) {
			t.Errorf("calls to Clair: %v", calls)
		}

		// One that the registry does not have any more keeps the report that there is.
		c.set(func(c *fakeClair) { c.state = "s3" })
		r.registry.failWith(func(int) error { return registry.ErrNotFound })
		r.pass(3 * time.Hour)
		r.wantTexts("Now watching 2 images", "+1*")
		if got := r.w.progress.count()[StateScanned]; got != 2 {
			t.Errorf("%d images are scanned", got)
		}
	})
}

func TestDataIsLoading(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 0)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(4 * time.Minute)
		r.wantTexts()
		c.set(func(c *fakeClair) { c.updaters = append(c.updaters, updater("osv", 0)) })
		r.pass(4 * time.Minute)
		r.wantTexts("Indexed…still loading")
		r.pass(4 * time.Minute)
		r.wantTexts("Indexed", "is running with 1 critical")
	})
}

func TestDataIsLoadingForTooLong(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("u0", 0)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		for n := range 20 { // one every four minutes
			r.pass(4 * time.Minute)
			c.set(func(c *fakeClair) { c.updaters = append(c.updaters, updater(fmt.Sprint("u", n+1), 0)) })
		}
		r.wantTexts("Indexed", "is running with 1 critical…more may follow")
	})
}

func TestNewSource(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical, updater: "debian"}}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) {
			c.updaters = append(c.updaters, updater("osv", 0))
			c.found[digest(1)] = append(c.found[digest(1)],
				vulnerability{name: "CVE-2020-0001", severity: claircore.High, updater: "osv"},
				vulnerability{name: "CVE-2026-0002", severity: claircore.High, updater: "debian"})
		})
		r.restart()
		r.pass(settled)
		r.wantTexts("Now watching 2 images", "app1:v1: 1 newly disclosed", "new source of advisories, `osv`")
		// From now on it is a source like the others.
		c.set(func(c *fakeClair) {
			c.found[digest(2)] = append(c.found[digest(2)], vulnerability{name: "CVE-2026-0001", severity: claircore.Critical},
				vulnerability{name: "CVE-2026-0003", severity: claircore.High, updater: "osv"})
		})
		r.pass(2 * time.Hour)
		r.restart()
		r.pass(settled)
		r.wantTexts("Now watching 2 images", "app1:v1: 1 newly disclosed", "new source", "app2:v1: 1 newly disclosed")
	})
}

// A Clair whose database is made anew has seen nothing, then finds bit by bit what it found before.
func TestClairIsReset(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = 10 * time.Minute
		c := r.clairs[clairBase]
		debian, osv := updater("debian", 24*time.Hour), updater("osv", 24*time.Hour)
		both := []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical, updater: "debian"}, {name: "CVE-2026-0002", severity: claircore.High, updater: "osv"}}
		c.updaters = []clair.Updater{debian, osv}
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range 8 {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
			c.found[digest(n+1)] = both
		}
		r.start()
		r.pass(settled)
		r.wantTexts("Now watching 8 images")
		for _, step := range []func(*fakeClair){
			func(c *fakeClair) { c.loading, c.updaters, c.indexed = true, []clair.Updater{}, map[string]bool{} },
			func(c *fakeClair) {
				c.loading, c.updaters, c.found = false, []clair.Updater{updater("debian", 0)}, all(8, both[:1])
			},
			func(c *fakeClair) { c.updaters, c.found = append(c.updaters, updater("osv", 0)), all(8, both) },
		} {
			c.set(step)
			r.pass(time.Hour)
			r.restart()
			r.pass(time.Hour)
			if got := r.slack.accepted(); len(got) != 1 {
				t.Fatalf("told %s", got[1].json)
			}
		}
		c.set(func(c *fakeClair) {
			c.found = all(8, append(both, vulnerability{name: "CVE-2026-0003", severity: claircore.High, updater: "osv"}))
		})
		r.pass(time.Hour)
		if got := len(r.slack.accepted()); got == 1 {
			t.Error("what is new afterwards is not told")
		}
	})
}

// all has images find the same.
func all(images int, found []vulnerability) map[string][]vulnerability {
	f := make(map[string][]vulnerability)
	for n := range images {
		f[digest(n+1)] = slices.Clone(found)
	}
	return f
}

func TestDestinationGone(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		both := map[string]string{"shop": scanner("shop"), "blog": scanner("blog")}
		r.settings(both)
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog") + "minSeverity: Hihg"}) // a mistake is no absence
		r.restart()
		r.skip(absentFor)
		r.settings(both)
		r.pass(settled)
		r.settings(map[string]string{"shop": scanner("shop")})
		r.skip(absentFor - 3*time.Hour)
		r.settings(both)
		r.pass(time.Hour)
		r.wantEach("blog", "is running with")
		r.settings(map[string]string{"shop": scanner("shop")})
		r.restart()
		r.skip(absentFor)
		r.restart()
		r.settings(both)
		r.pass(settled)
		r.wantEach("blog", "is running with", "is running with")
		r.wantEach("shop", "is running with")
	})
}

func TestDeleteFromClair(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.DeleteFrom = []string{clairBase}
		c := r.clairs[clairBase]
		c.indexed[digest(3)] = true // by somebody else
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2), podOf("shop", "app-2", 3), podOf("shop", "app-3", 4), podOf("shop", "app-4", 5),
			podOf("blog", "app-1", 2), podOf("unwatched", "app-3", 4))
		r.start()
		r.pass(settled)
		for n := range 4 {
			r.delete("shop", fmt.Sprintf("app-%d", n))
		}
		r.pass(deleteGrace)
		r.restart()
		if len(c.deleted) > 0 {
			t.Errorf("deleted too early: %v", c.deleted)
		}
		c.set(func(c *fakeClair) {
			c.fail = func(call string) error {
				if call == "forget" {
					return &clair.Error{Op: "deleting", Kind: clair.Busy, Status: http.StatusTooManyRequests}
				}
				return nil
			}
		})
		r.pass(time.Hour)
		c.set(func(c *fakeClair) { c.fail = nil })
		r.pass(time.Hour)
		r.restart()
		r.pass(time.Hour)
		if want := []string{digest(1)}; !slices.Equal(c.deleted, want) {
			t.Errorf("deleted %v, want %v", c.deleted, want)
		}
		// A destination that is gone uses nothing either.
		r.settings(map[string]string{"shop": scanner("shop")})
		r.delete("blog", "app-1")
		r.pass(deleteGrace + deleteAgain + 3*time.Hour)
		if want := []string{digest(1), digest(2)}; !slices.Equal(c.deleted, want) {
			t.Errorf("deleted %v, want %v", c.deleted, want)
		}
	})
}

// A pod whose image was changed in place says for a moment what runs still, and no longer under which name.
func TestStatusIsOlderThanSpec(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		pod := podOf("shop", "app-0", 1)
		pod.Generation, pod.Status.ObservedGeneration = 2, 1
		pod.Spec.Containers[0].Image = "registry.example.com/shop/other:v9"
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(pod)
		r.start()
		r.pass(settled)
		if sent := r.slack.accepted(); len(sent) != 1 || strings.Contains(sent[0].json, "other") {
			t.Errorf("got %v", sent)
		}
		pod = podOf("shop", "app-0", 2)
		pod.Generation, pod.Status.ObservedGeneration = 2, 2
		r.change(pod)
		r.pass(settled)
		r.wantTexts("is running with", "app2:v1 is running with")
	})
}

// Who has lost the Lease ends by itself, and does not go on with what was in hand.
func TestLeaseIsTaken(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		leases := r.leases()
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.cfg.Lease = LeaseConfig{Name: "clairwatch", Identity: "a", Duration: 45 * time.Second}
		r.start()
		r.pass(settled)
		r.clairs[clairBase].set(func(c *fakeClair) { c.slow = time.Hour })
		r.run(podOf("shop", "app-1", 2))
		edit(leases, "clairwatch", func(l *coordinationv1.Lease) {
			other := "b"
			l.Spec.HolderIdentity = &other
		})
		r.pass(time.Minute)
		if err := r.end(); !errors.Is(err, errLeaseLost) {
			t.Errorf("Run returned %v", err)
		}
		r.end = nil
		if reason := r.clairs[clairBase].aborted; !errors.Is(reason, errLeaseLost) {
			t.Errorf("the work in hand ended with %v", reason)
		}
	})
}

// One of two daemons tells. When it ends the other one goes on, and tells nothing again.
func TestStandby(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.leases()
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.cfg.Lease = LeaseConfig{Name: "clairwatch", Identity: "a", Duration: 45 * time.Second}
		r.start()
		r.pass(settled)
		first, endFirst := r.w, r.end
		r.cfg.Lease.Identity = "b"
		r.start()
		second := r.w
		r.run(podOf("shop", "app-1", 2))
		r.pass(settled)
		r.wantTexts("app1:v1 is running", "app2:v1 is running")
		if !first.leading.Load() || second.leading.Load() || !second.Synced() {
			t.Errorf("leading: %t, %t", first.leading.Load(), second.leading.Load())
		}
		rec := httptest.NewRecorder()
		second.Notify().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/notify", strings.NewReader(hook)))
		if rec.Code != http.StatusOK {
			t.Errorf("a replica that does not lead answers %d", rec.Code)
		}
		if err := endFirst(); err != nil {
			t.Error(err)
		}
		r.run(podOf("shop", "app-2", 3))
		r.pass(settled)
		r.wantTexts("app1:v1 is running", "app2:v1 is running", "app3:v1 is running")
		if known := second.book.Known(ledger.Destination{Key: "shop", Name: "default"}); !known {
			t.Error("the second one has not read the ledger")
		}
	})
}

// A channel that takes nothing for a day hears all that it missed when it is mended, and the other one, of the same
// images, nothing twice.
func TestRefusedForADay(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		first := vulnerability{name: "CVE-2026-0001", severity: claircore.Critical}
		for _, c := range r.clairs {
			c.found[digest(1)] = []vulnerability{first, {name: "CVE-2026-0002", severity: claircore.Low}}
			c.found[digest(2)] = []vulnerability{first}
		}
		r.settings(map[string]string{"shop": scannerAt(clairBase, "shop") + "minSeverity: High\n", "blog": scannerAt(secondBase, "blog")})
		for _, ns := range []string{"shop", "blog"} {
			r.run(podOf(ns, "app-0", 1), podOf(ns, "app-1", 2))
		}
		r.start()
		r.pass(settled)
		shop, err := r.cfg.Webhook(webhook("shop"))
		r.check(err)
		r.slack.set(func(ch slack.Webhook) error {
			if ch == shop {
				return &slack.Error{Kind: slack.Channel, Status: http.StatusNotFound}
			}
			return nil
		})
		for _, c := range r.clairs {
			c.set(func(c *fakeClair) {
				c.found[digest(1)] = append(c.found[digest(1)], vulnerability{name: "CVE-2026-0003", severity: claircore.High})
			})
		}
		r.pass(6 * time.Hour)
		for _, ns := range []string{"shop", "blog"} {
			r.delete(ns, "app-1")
			r.run(podOf(ns, "app-2", 3))
		}
		r.pass(6 * time.Hour)
		r.restart()
		r.pass(12 * time.Hour)
		r.wantEach("shop", "Now watching 2 images")
		blog := []string{"Now watching 2 images", "app1:v1: 1 newly disclosed high", "app3:v1 is running with", "app2:v1` is no longer running"}
		r.wantEach("blog", blog...)
		r.slack.set(nil)
		r.pass(time.Hour)
		r.wantEach("shop", "Now watching 2 images", "app3:v1 is running with", "app1:v1: 1 newly disclosed high", "app2:v1` is no longer running")
		r.wantEach("blog", blog...)
		r.restart()
		r.pass(2 * time.Hour)
		r.wantEach("shop", "Now watching 2 images", "app3:v1 is running with", "app1:v1: 1 newly disclosed high", "app2:v1` is no longer running")
		r.wantEach("blog", blog...)
	})
}

// Two builds of one name, of two platforms: the end of one is not that of the other.
func TestRemovalOfOneBuild(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.node("node-2", "arm64")
		index := digest(0x100)
		r.registry.manifests[index] = map[registry.Platform]string{
			{OS: "linux", Architecture: "amd64"}: digest(1),
			{OS: "linux", Architecture: "arm64"}: digest(2),
		}
		r.settings(map[string]string{"shop": scanner("shop")})
		pod := func(name, node string) *corev1.Pod {
			p := podOf("shop", name, 1)
			p.Spec.NodeName = node
			p.Status.ContainerStatuses[0].ImageID = "registry.example.com/shop/app1@" + index
			return p
		}
		r.run(pod("amd", "node-1"), pod("arm", "node-2"))
		r.start()
		r.pass(settled)
		r.delete("shop", "arm")
		r.restart()
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.wantTexts("Now watching 2 images", "One build of `shop/app1:v1 (linux/arm64)` is no longer running in `shop`, another one still is")
	})
}

// What somebody does to the ledger while nothing is told is mended before a restart can miss it.
func TestLedgerIsVerified(t *testing.T) {
	for name, harm := range map[string]func(*rig, *corev1.ConfigMap) error{
		"deleted": func(r *rig, m *corev1.ConfigMap) error {
			return r.kube.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("configmaps"), m.Namespace, m.Name)
		},
		"edited": func(r *rig, m *corev1.ConfigMap) error {
			m.BinaryData["ledger"] = []byte("hello")
			m.ResourceVersion = "7"
			return r.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("configmaps"), m, m.Namespace)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.settings(map[string]string{"shop": scanner("shop")})
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(settled)
				shards, err := r.kube.CoreV1().ConfigMaps("clairwatch").List(t.Context(), metav1.ListOptions{})
				r.check(err)
				for _, m := range shards.Items {
					if strings.Contains(m.Name, "-ledger-") {
						r.check(harm(r, &m))
					}
				}
				r.pass(saveEvery + sweepEvery)
				r.wantLogged(1, "ConfigMap of the ledger")
				stored := ledger.New()
				shards, err = r.kube.CoreV1().ConfigMaps("clairwatch").List(t.Context(), metav1.ListOptions{})
				r.check(err)
				for _, m := range shards.Items {
					if data := m.BinaryData["ledger"]; len(data) > 0 {
						_, err := stored.Load(0, data)
						r.check(err)
					}
				}
				if !stored.Known(ledger.Destination{Key: "shop", Name: "default"}) {
					t.Error("it is not there again")
				}
			})
		})
	}
}

// Who is told everything once more because the ledger was lost is told why.
func TestInventoryAfterADamagedLedger(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop"), "new": scanner("new")})
		for _, ns := range []string{"shop", "new"} {
			r.run(podOf(ns, "app-0", 1), podOf(ns, "app-1", 2))
		}
		_, err := r.kube.CoreV1().ConfigMaps("clairwatch").Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "clairwatch", Name: "clairwatch-ledger-3"},
			BinaryData: map[string][]byte{"ledger": []byte("CWL1 somebody has edited this")},
		}, metav1.CreateOptions{})
		r.check(err)
		r.start()
		r.pass(settled)
		r.wantEach("shop", "2 images…lost")
		// One that comes to the settings later was never told anything.
		r.settings(map[string]string{"shop": scanner("shop"), "new": scanner("new"), "later": scanner("later")})
		r.run(podOf("later", "app-0", 1), podOf("later", "app-1", 2))
		r.pass(settled)
		r.wantEach("later", "Now watching 2 images")
		r.restart()
		r.pass(settled)
		r.wantEach("shop", "2 images…lost")
		for n := range 6 {
			r.run(podOf("shop", fmt.Sprintf("new-%d", n), n+10))
		}
		r.pass(settled)
		r.wantEach("shop", "2 images…lost", "6 new images")
	})
}
