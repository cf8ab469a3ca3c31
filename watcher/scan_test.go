package watcher

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quay/claircore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

func TestReplicasAreOneScanAndOneMessage(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		settings := map[string]string{"shop": scanner("shop")}
		r.settings(settings)
		for i := range 12 {
			r.run(podOf("shop", fmt.Sprintf("app-%d", i), 1))
		}
		r.start()
		for i := range 8 {
			r.run(podOf("shop", fmt.Sprintf("later-%d", i), 1))
		}
		r.pass(settled)
		r.wantTexts("shop/app1:v1 is running with 1 critical…20 pods")
		r.wantCalls(1, "report", "index", "report")

		pod := podOf("shop", "app-1", 1)
		pod.Status.Phase, pod.Status.ContainerStatuses[0].Ready = corev1.PodRunning, true
		r.change(pod)
		node := nodeOf("node-1", "amd64")
		node.Annotations = map[string]string{"heartbeat": "1"}
		_, err := r.nodes().UpdateFake(node, metav1.UpdateOptions{})
		r.check(err)
		settings["shop"] = "# a comment\n" + settings["shop"]
		r.settings(settings)
		r.delete("shop", "app-2")
		r.pass(settled)
		r.wantCalls(1)
		if n := len(r.slack.all()); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
	})
}

func TestInventoryOrCards(t *testing.T) {
	tests := []struct {
		name         string
		first, later int // images at the start, and added together later
		want         []string
		wantAtTheEnd []string
	}{
		{name: "one at first", first: 1, later: 1,
			want: []string{"app1:v1 is running with"}, wantAtTheEnd: []string{"app2:v1 is running with"}},
		{name: "three at first", first: 3, later: 1,
			want: []string{"Now watching 3 images"}, wantAtTheEnd: []string{"app4:v1 is running with"}},
		{name: "three later", first: 1, later: 3,
			want:         []string{"app1:v1 is running with"},
			wantAtTheEnd: []string{"app4:v1 is running with 3 critical", "app3:v1 is running with 2 critical", "app2:v1 is running with 1 critical"}},
		{name: "six later", first: 1, later: 6,
			want: []string{"app1:v1 is running with"}, wantAtTheEnd: []string{"6 new images"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				for i := range 4 {
					for v := range i {
						found := r.clairs[clairBase].found
						found[digest(i+1)] = append(found[digest(i+1)], vulnerability{name: fmt.Sprintf("CVE-2026-%04d", v), severity: claircore.Critical})
					}
				}
				r.clairs[clairBase].found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.High}}
				r.settings(map[string]string{"shop": scanner("shop")})
				for i := range tt.first {
					r.run(podOf("shop", fmt.Sprintf("app-%d", i), i+1))
				}
				r.start()
				r.pass(settled)
				r.wantTexts(tt.want...)
				for i := range tt.later {
					n := tt.first + i
					r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
				}
				r.pass(settled)
				r.wantTexts(append(tt.want, tt.wantAtTheEnd...)...)
				sent := r.slack.all()
				for i := 1; i < len(sent); i++ {
					if d := sent[i].at.Sub(sent[i-1].at); d < pace {
						t.Errorf("message %d came %v after the one before, want at least %v", i, d, pace)
					}
				}
			})
		})
	}
}

func TestClairLoading(t *testing.T) {
	clairErr := func(k clair.Kind) error { return &clair.Error{Op: "fetching a report", Kind: k} }
	t.Run("for a long time", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].loading = true
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.pass(groupMax - time.Second)
			r.wantTexts()
			r.pass(2 * time.Second)
			r.wantTexts("Indexed shop/app1:v1…still loading")
			// Other trouble in between must not tell that again.
			r.clairs[clairBase].set(func(c *fakeClair) { c.fail = func(string) error { return clairErr(clair.Temporary) } })
			r.pass(loadingPause)
			r.clairs[clairBase].set(func(c *fakeClair) { c.fail = nil })
			r.pass(2 * groupMax)
			r.wantTexts("Indexed shop/app1:v1")
			r.clairs[clairBase].set(func(c *fakeClair) { c.loading = false })
			r.pass(loadingPause + settled)
			r.wantTexts("Indexed shop/app1:v1", "app1:v1 is running with")
			if n := r.registry.resolved(); n != 1 {
				t.Errorf("resolved %d times, want once", n)
			}
		})
	})
	t.Run("for a short time", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].loading = true
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.wantCalls(1, "report", "index", "report")
			r.pass(time.Minute)
			r.clairs[clairBase].set(func(c *fakeClair) { c.loading = false })
			r.pass(loadingPause + settled)
			r.wantTexts("app1:v1 is running with")
		})
	})
	t.Run("of one of two Clairs", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[secondBase].loading = true
			r.settings(map[string]string{"shop": "- {name: a, clairBaseUrl: '" + clairBase + "', slackWebhookUrl: '" + webhook("a") + "'}\n" +
				"- {name: b, clairBaseUrl: '" + secondBase + "', slackWebhookUrl: '" + webhook("b") + "'}\n"})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.pass(settled)
			// The first Clair's report waits for nothing.
			r.wantEach("a", "app1:v1 is running with")
			r.wantEach("b", "Indexed shop/app1:v1")
			r.clairs[secondBase].set(func(c *fakeClair) { c.loading = false })
			r.pass(loadingPause + settled)
			r.wantEach("a", "app1:v1 is running with")
			r.wantEach("b", "Indexed shop/app1:v1", "app1:v1 is running with")
		})
	})
	t.Run("told before a restart", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].loading = true
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
			r.start()
			r.pass(groupMax + time.Second)
			r.wantTexts("Indexed 2 images…still loading")
			for range 2 {
				r.restart()
				r.pass(2 * groupMax)
			}
			r.wantTexts("Indexed 2 images")
			r.clairs[clairBase].set(func(c *fakeClair) { c.loading = false })
			r.pass(loadingPause + settled)
			r.wantTexts("Indexed 2 images", "Now watching 2 images") // that was not the first inventory
			r.clairs[clairBase].set(func(c *fakeClair) { c.loading = true })
			r.registry.failWith(func(int) error { return registry.ErrUnauthorized })
			r.run(podOf("shop", "app-2", 3))
			r.pass(settled)
			r.wantTexts("Indexed 2 images", "Now watching 2 images", "app3:v1…could not be scanned")
		})
	})
	t.Run("of one image under two ids", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].loading = true
			r.registry.manifests[digest(2)] = map[registry.Platform]string{{OS: "linux", Architecture: "amd64"}: digest(1)}
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
			r.start()
			r.pass(groupMax + time.Second)
			for range 3 {
				r.restart()
				r.pass(2 * groupMax)
			}
			r.wantTexts("Indexed shop/app")
		})
	})
	t.Run("and then a failure", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].loading = true
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.pass(groupMax + time.Second)
			r.clairs[clairBase].set(func(c *fakeClair) { c.fail = func(string) error { return clairErr(clair.Temporary) } })
			r.pass(time.Hour)
			r.wantTexts("Indexed shop/app1:v1", "could not be scanned")
		})
	})
	t.Run("after a restart", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.pass(settled)
			r.stop()
			r.clairs[clairBase].set(func(c *fakeClair) { c.loading = true })
			r.start()
			r.pass(2 * groupMax)
			r.wantTexts("app1:v1 is running with")
		})
	})
}

func TestTellIndexed(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "tell: {indexed: true}\n"})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.wantTexts("Indexed shop/app1:v1", "app1:v1 is running with")
		r.run(podOf("shop", "app-1", 2), podOf("shop", "app-2", 3))
		r.pass(settled)
		r.wantTexts("Indexed shop/app1:v1", "app1:v1", "Indexed 2 images", "is running with", "is running with")
	})
}

func TestDisclosed(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) {
			c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High}}
			c.notified = []string{digest(1)}
		})
		for range 2 {
			r.notify()
			r.pass(settled)
		}
		r.wantTexts("app1:v1 is running with", "app1:v1: 1 newly disclosed high vulnerability")
		if told := r.slack.all()[1].json; strings.Contains(told, "CVE-2026-0001") {
			t.Errorf("what was known is told as newly disclosed: %s", told)
		}
		// What is withdrawn before it was told is not told.
		c.set(func(c *fakeClair) {
			c.found[digest(1)] = append(c.found[digest(1)], vulnerability{name: "CVE-2026-0003", severity: claircore.High})
		})
		r.notify()
		c.set(func(c *fakeClair) { c.found[digest(1)] = c.found[digest(1)][:2] })
		r.notify()
		r.pass(settled)
		if n := len(r.slack.all()); n != 2 {
			t.Errorf("%d messages, want 2", n)
		}
	})
}

func TestRefresh(t *testing.T) {
	const refresh = time.Hour
	begin := func(r *rig) *fakeClair {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.wantCalls(1, "report", "index", "report")
		return r.clairs[clairBase]
	}
	disclose := func(c *fakeClair) {
		c.set(func(c *fakeClair) {
			c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High}}
		})
	}
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = refresh
		c := begin(r)
		r.pass(2 * refresh)
		if n := len(c.called()); n < 1 || n > 2 {
			t.Errorf("asked %d times in two hours", n)
		}
		r.wantTexts("app1:v1 is running with") // nothing new
		disclose(c)
		r.pass(2 * refresh)
		r.wantTexts("app1:v1 is running with", "app1:v1: 1 newly disclosed high vulnerability")
		// It ends with the image.
		r.delete("shop", "app-0")
		c.called()
		r.pass(4 * refresh)
		if calls := c.called(); len(calls) > 0 {
			t.Errorf("asked about an image that is gone: %v", calls)
		}
	})
	inRig(t, func(t *testing.T, r *rig) {
		disclose(begin(r))
		r.pass(100 * refresh)
		r.wantCalls(1)
		r.wantTexts("app1:v1 is running with")
	})
}

func TestFailures(t *testing.T) {
	always := func(err error) func(int) error { return func(int) error { return err } }
	begin := func(r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
	}
	t.Run("layer unauthorized once", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			refused := false
			r.clairs[clairBase].fail = func(call string) error {
				if call == "index" && !refused {
					refused = true
					return &clair.Error{Op: "indexing", Kind: clair.LayerUnauthorized}
				}
				return nil
			}
			begin(r)
			r.wantCalls(1, "report", "index", "index", "report")
			if r.registry.renewals != 1 {
				t.Errorf("%d renewals, want 1", r.registry.renewals)
			}
			r.pass(settled)
			r.wantTexts("app1:v1 is running with")
		})
	})
	t.Run("layer unauthorized for ever", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].fail = func(call string) error {
				if call == "index" {
					return &clair.Error{Op: "indexing", Kind: clair.LayerUnauthorized}
				}
				return nil
			}
			begin(r)
			r.pass(time.Minute)
			r.wantTexts()
			r.pass(4 * time.Minute)
			r.wantTexts("could not be scanned…" + advice[CauseLayerRefused][0])
			r.pass(4 * time.Hour)
			r.wantTexts("could not be scanned")
			if n := r.registry.resolved(); n < 4*5 || n > 4*6+8 {
				t.Errorf("tried %d times in four hours, want about every %v", n, lastRetry)
			}
		})
	})
	t.Run("not found", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.registry.failWith(always(registry.ErrNotFound))
			begin(r)
			r.pass(settled)
			r.wantTexts("could not be scanned…" + advice[CauseNotFound][0] + "…app1:v1")
			r.pass(recheck)
			r.wantTexts("could not be scanned")
			r.wantCalls(2, "report", "report")
			// An update that changes no image is no reason to ask again.
			pod := podOf("shop", "app-0", 1)
			pod.Status.Phase = corev1.PodFailed
			r.change(pod)
			r.wantCalls(2)
			// Another pod may come because somebody has pushed the image. Many are no reason to ask often.
			for i := range 10 {
				r.run(podOf("shop", fmt.Sprintf("new-%d", i), 1))
				r.delete("shop", fmt.Sprintf("new-%d", i))
			}
			r.wantCalls(2)
			r.registry.failWith(nil)
			r.run(podOf("shop", "app-1", 1))
			r.pass(restPause + settled)
			r.wantTexts("could not be scanned", "app1:v1 is running with…2 pods")
			// The failure is over: the next one is told again.
			if c, told := r.w.book.Failure(ledger.Destination{Key: "shop", Name: "default"}, ledger.Image{ID: digest(1), Platform: "linux/amd64"}); told {
				t.Errorf("the ledger still has the failure %q", c.Cause)
			}
		})
	})
	t.Run("not found, mended without an event", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.registry.failWith(always(registry.ErrNotFound))
			begin(r)
			r.pass(settled)
			r.registry.failWith(nil)
			r.pass(recheck)
			r.wantTexts("could not be scanned", "app1:v1 is running with")
		})
	})
	t.Run("failing, well, failing", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			tooLarge := func(call string) error { return &clair.Error{Op: call, Kind: clair.TooLarge} }
			begin(r)
			r.pass(settled)
			c := r.clairs[clairBase]
			for range 2 {
				c.set(func(c *fakeClair) { c.notified, c.fail = []string{digest(1)}, onReport(tooLarge) })
				r.notify()
				r.pass(settled)
				c.set(func(c *fakeClair) { c.fail = nil })
				r.notify()
				r.pass(settled)
			}
			r.wantTexts("app1:v1 is running with", "could not be scanned", "is scanned again", "could not be scanned", "is scanned again")
		})
	})
	t.Run("a Clair that restarts", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			c := r.clairs[clairBase]
			c.fail = func(call string) error { return &clair.Error{Op: call, Kind: clair.Temporary} }
			begin(r)
			r.pass(time.Minute)
			c.set(func(c *fakeClair) { c.fail = nil })
			r.pass(3 * time.Minute)
			r.wantTexts("app1:v1 is running with")
		})
	})
	t.Run("new pods do not use up the patience", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			c := r.clairs[clairBase]
			c.fail = func(call string) error { return &clair.Error{Op: call, Kind: clair.Temporary} }
			begin(r)
			for i := range 10 {
				r.run(podOf("shop", fmt.Sprintf("more-%d", i), 1))
			}
			r.wantCalls(0, "report")
		})
	})
	t.Run("two causes in turn", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.registry.failWith(func(n int) error {
				if n%2 == 0 {
					return &registry.RateLimitedError{Registry: "docker.io"}
				}
				return errors.New("connection refused")
			})
			begin(r)
			r.pass(4 * time.Hour)
			r.wantTexts("could not be scanned")
		})
	})
	t.Run("a Clair that is busy", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			c := r.clairs[clairBase]
			c.fail = func(call string) error {
				if call == "index" {
					return &clair.Error{Op: call, Kind: clair.Busy}
				}
				return nil
			}
			begin(r)
			r.pass(time.Hour) // no failure, and so nothing to tell
			r.wantTexts()
			if got := r.metric("clairwatch_images", string(StateUntried)); got != 1 {
				t.Errorf("%v images wait, want 1", got)
			}
			c.set(func(c *fakeClair) { c.fail = nil })
			r.pass(2*busyPause + settled)
			r.wantTexts("app1:v1 is running with")
		})
	})
	t.Run("rate limited", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.registry.failWith(func(n int) error {
				if n == 1 {
					return &registry.RateLimitedError{Registry: "docker.io", RetryAfter: 100 * time.Second}
				}
				return nil
			})
			begin(r)
			r.run(podOf("shop", "app-1", 1)) // does not ask again before the time
			r.pass(99 * time.Second)
			if n := r.registry.resolved(); n != 1 {
				t.Errorf("asked %d times, want once", n)
			}
			r.pass(settled)
			r.wantTexts("app1:v1 is running with")
		})
	})
	t.Run("rate limited for hours", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.registry.failWith(always(&registry.RateLimitedError{Registry: "docker.io", RetryAfter: 6 * time.Hour}))
			begin(r)
			r.pass(settled)
			r.wantTexts("could not be scanned…" + advice[CauseRateLimited][0])
		})
	})
	t.Run("rate limited without a time", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.registry.failWith(always(&registry.RateLimitedError{Registry: "docker.io"}))
			begin(r)
			r.pass(time.Hour)
			if n := r.registry.resolved(); n > 20 {
				t.Errorf("asked %d times in an hour", n)
			}
		})
	})
	t.Run("in an inventory", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.registry.failWith(func(n int) error {
				if n == 1 {
					return registry.ErrNotFound
				}
				return nil
			})
			r.cfg.Workers = 1
			r.run(podOf("shop", "app-1", 2), podOf("shop", "app-2", 3))
			begin(r)
			r.pass(time.Minute)
			r.wantTexts("Now watching 3 images…Not in the registry…3 pods")
		})
	})
	t.Run("of one of two Clairs", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[secondBase].fail = func(call string) error { return &clair.Error{Op: call, Kind: clair.TooLarge} }
			r.settings(map[string]string{"shop": "- {name: a, clairBaseUrl: '" + clairBase + "', slackWebhookUrl: '" + webhook("a") + "'}\n" +
				"- {name: b, clairBaseUrl: '" + secondBase + "', slackWebhookUrl: '" + webhook("b") + "'}\n"})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.pass(settled)
			sent := r.slack.accepted()
			if len(sent) != 2 || sent[0].channel == sent[1].channel {
				t.Fatalf("want one message in each channel: %v", sent)
			}
			for _, m := range sent {
				failed := strings.Contains(m.json, "could not be scanned")
				if ch, _ := slack.ParseWebhook(webhook("b"), nil); failed != (m.channel == ch.String()) {
					t.Errorf("%s: %s", m.channel, m.json)
				}
			}
		})
	})
	t.Run("of an image that is gone", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.registry.failWith(always(registry.ErrNotFound))
			begin(r)
			r.delete("shop", "app-0")
			r.pass(time.Minute)
			r.wantTexts()
		})
	})
	t.Run("a destination that comes late", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].fail = func(call string) error { return &clair.Error{Op: call, Kind: clair.Temporary} }
			begin(r)
			r.pass(time.Hour)
			r.settings(map[string]string{"shop": "[{clairBaseUrl: '" + clairBase + "', slackWebhookUrl: '" + webhook("shop") + "'}, " +
				"{name: b, clairBaseUrl: '" + clairBase + "', slackWebhookUrl: '" + webhook("b") + "'}]"})
			r.pass(settled)
			r.wantTexts("could not be scanned", "could not be scanned")
		})
	})
}

// onReport fails reports alone.
func onReport(fail func(call string) error) func(string) error {
	return func(call string) error {
		if call != "report" {
			return nil
		}
		return fail(call)
	}
}

// notify delivers a webhook of the first Clair.
func (r *rig) notify() *httptest.ResponseRecorder {
	r.t.Helper()
	return r.notifyOf(clairBase)
}

// notifyOf delivers a Clair's webhook.
func (r *rig) notifyOf(base string) *httptest.ResponseRecorder {
	r.t.Helper()
	body := `{"notification_id":"269886f3-0146-4f08-9bf7-cb1138d48643","callback":"` + base + `notifier/api/v1/notification/269886f3-0146-4f08-9bf7-cb1138d48643"}`
	rec := httptest.NewRecorder()
	r.w.Notify().ServeHTTP(rec, httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, "/notify", strings.NewReader(body)))
	synctest.Wait()
	return rec
}
