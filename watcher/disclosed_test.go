package watcher

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/slack"
)

// disclose has Clair find more in some images from now on, and say so in a notification.
func (r *rig) disclose(found ...vulnerability) func(images ...int) {
	return func(images ...int) {
		r.t.Helper()
		r.clairs[clairBase].set(func(c *fakeClair) {
			c.notified = nil
			for _, n := range images {
				before, scripted := c.found[digest(n)]
				if !scripted {
					before = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}}
				}
				c.found[digest(n)] = append(slices.Clone(before), found...)
				c.notified = append(c.notified, digest(n))
			}
		})
		r.notify()
	}
}

func TestOneDisclosedInManyImages(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const images = 14
		r.settings(map[string]string{"shop": scanner("all"), "blog": scanner("all")})
		var all []int
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1), podOf("shop", fmt.Sprintf("more-%d", n), n+1))
			all = append(all, n+1)
		}
		r.run(podOf("blog", "app-0", 3))
		r.start()
		r.pass(settled)
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(all...)
		r.pass(settled)
		r.wantTexts("Now watching 14 images", "CVE-2026-31415…14 running images…29 pods…app3:v1…blog, shop")
		r.restart()
		r.notify()
		r.pass(time.Hour)
		if n := len(r.slack.all()); n != 2 {
			t.Errorf("%d messages after a restart", n)
		}
		for n := range images {
			if got, _ := r.w.book.Record(ledger.Destination{Key: "shop", Name: "default"}, digest(n+1)); len(got.Entries) != 2 {
				t.Errorf("image %d: %d findings are remembered", n+1, len(got.Entries))
			}
		}
	})
}

func TestManyDisclosedInManyImages(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range 6 {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(settled)
		// More than are kept by name: all are counted.
		var many []vulnerability
		for n := range 2 * worstNamed {
			many = append(many, vulnerability{name: fmt.Sprintf("CVE-2026-2%03d", n), severity: claircore.Low})
		}
		r.clairs[clairBase].set(func(c *fakeClair) {
			for n := range 3 {
				c.found[digest(n+1)] = slices.Concat([]vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}}, many)
			}
		})
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.Critical})(1, 2, 5)
		r.clairs[clairBase].set(func(c *fakeClair) { c.notified = append(c.notified, digest(3)) })
		r.notify()
		r.pass(settled)
		r.wantTexts("Now watching 6 images", "49 vulnerabilities…newly disclosed…4 running images…CVE-2026-31415")
	})
}

// The image in which several channels' rules see different parts is one image.
func TestDisclosedToTwoThresholdsOfOneChannel(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("all") + "minSeverity: High\n", "blog": scanner("all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		n := len(r.slack.all())
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.Low})(1)
		r.pass(settled)
		if got := r.slack.all()[n:]; len(got) != 1 || !strings.Contains(got[0].json, "newly disclosed low vulnerability") {
			t.Errorf("got %+v", got)
		}
	})
}

func TestManyNamespacesOneChannel(t *testing.T) {
	const namespaces = 200
	inRig(t, func(t *testing.T, r *rig) {
		data := make(map[string]string)
		for n := range namespaces {
			ns := fmt.Sprintf("team-%d", n)
			data[ns] = scanner("all")
			r.run(podOf(ns, "app-0", 1), podOf(ns, "app-1", n+2))
		}
		r.settings(data)
		r.start()
		r.pass(groupMax)
		r.wantTexts("Now watching 201 images…200 namespaces")
		all := []int{1}
		for n := range namespaces {
			all = append(all, n+2)
		}
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(all...)
		r.pass(groupMax)
		r.wantTexts("Now watching 201 images", "CVE-2026-31415…201 running images…400 pods")
	})
}

func TestWithdrawn(t *testing.T) {
	withdraw := func(c *fakeClair) {
		c.found[digest(1)] = nil
		c.found[digest(2)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}}
		c.notified = []string{digest(1), digest(2)}
	}
	for name, test := range map[string]struct {
		settings string
		want     []string
	}{
		"wanted":     {"tell: {withdrawn: true}\n", []string{"withdrawn"}},
		"not wanted": {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				c := r.clairs[clairBase]
				for n := range 2 {
					c.found[digest(n+1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High}}
				}
				c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
				r.settings(map[string]string{"shop": scanner("shop") + test.settings})
				r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
				r.start()
				r.pass(settled)
				// Slack takes nothing when it is to be told; the daemon ends meanwhile.
				r.slack.set(func(slack.Webhook) error { return &slack.Error{Kind: slack.Temporary} })
				c.set(withdraw)
				r.notify()
				r.pass(settled)
				r.stop()
				r.slack.set(nil)
				r.start()
				r.notify()
				r.pass(time.Hour)
				want := append([]string{"Now watching 2 images"}, test.want...)
				r.wantTexts(want...)
				if len(test.want) > 0 && !strings.Contains(r.slack.accepted()[1].json, "2 vulnerabilities") {
					t.Errorf("got %s", r.slack.accepted()[1].json)
				}
				// Who heard of it hears that it is back.
				c.set(func(c *fakeClair) {
					c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0002", severity: claircore.High}}
				})
				r.notify()
				r.pass(time.Hour)
				r.restart()
				r.pass(time.Hour)
				if len(test.want) > 0 {
					want = append(want, "1 vulnerability…is reported again")
				}
				r.wantTexts(want...)
			})
		})
	}
}

// What goes with an image is said with its end.
func TestRemovedSaysWhatItTakesAway(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.clairs[clairBase].found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High}}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.delete("shop", "app-0")
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.wantTexts("is running with", "no longer running…it had…1 critical, 1 high")
	})
}

// What no notification tells of, as Clair has none for Alpine, is found by the look at one image, each of which has
// its own time: what it brings to light is one message all the same.
func TestDisclosedWithoutANotification(t *testing.T) {
	for _, images := range []int{14, 300} {
		inRig(t, func(t *testing.T, r *rig) {
			r.cfg.Refresh = time.Hour
			r.cfg.GroupWait, r.cfg.GroupMax = 30*time.Second, 10*time.Minute // as shipped
			r.settings(map[string]string{"shop": scanner("shop")})
			for n := range images {
				r.check(r.kube.Tracker().Add(podOf("shop", fmt.Sprintf("app-%d", n), n+1)))
			}
			r.start()
			r.pass(5 * time.Hour)
			r.clairs[clairBase].called()
			r.clairs[clairBase].set(func(c *fakeClair) {
				c.found = all(images, []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-31415", severity: claircore.High}})
			})
			r.pass(2 * time.Hour)
			r.wantTexts("Now watching", fmt.Sprintf("CVE-2026-31415…%d running images", images))
			if calls := len(r.clairs[clairBase].called()); calls > 5*images {
				t.Errorf("%d calls to Clair", calls)
			}
		})
	}
}

// One image in namespaces with different thresholds is one image to a channel that they share.
func TestTwoThresholdsOfOneImage(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		found := func(second claircore.Severity) []vulnerability {
			return []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: second}}
		}
		c.found[digest(1)] = found(claircore.Low)
		r.settings(map[string]string{"shop": scanner("all") + "minSeverity: High\n", "blog": scanner("all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) { c.found[digest(1)], c.notified = found(claircore.High), []string{digest(1)} })
		r.notify()
		r.pass(settled)
		r.delete("shop", "app-0")
		r.delete("blog", "app-0")
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.wantTexts("is running with 1 critical, 1 low…2 pods", "CVE-2026-0002…is high now: `shop/app1:v1`", "no longer running…1 critical, 1 high")
	})
}

// Who was told that something was withdrawn is told when it is back.
func TestWithdrawnAndBack(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop") + "tell: {withdrawn: true}\n", "blog": scanner("blog")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		for _, found := range [][]vulnerability{nil, {{name: "CVE-2026-0001", severity: claircore.Critical}}} {
			c.set(func(c *fakeClair) { c.found[digest(1)], c.notified = found, []string{digest(1)} })
			r.notify()
			r.pass(time.Hour)
			r.restart()
			r.pass(time.Hour)
		}
		r.wantEach("shop", "is running with", "was withdrawn", "is reported again")
		r.wantEach("blog", "is running with")
	})
}
