package watcher

import (
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

// A sidecar that comes to one namespace after the other is told once to who hears of all of them, and so is that the
// last of them is gone. What is disclosed for it is told of each.
func TestAllShare(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"_all": scanner("all"), "own": scanner("own")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		want := []string{"shop/app1:v1 is running with"}
		r.wantEach("all", want...)

		r.run(podOf("blog", "app-0", 1), podOf("own", "app-0", 1))
		r.pass(settled)
		r.wantEach("all", want...)
		r.wantEach("own", "app1:v1 is running with") // its Scanner is another one
		r.run(podOf("news", "app-0", 1), podOf("news", "app-1", 2))
		r.pass(settled)
		want = append(want, "app2:v1 is running with…news")
		r.wantEach("all", want...)

		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(1)
		r.pass(settled)
		want = append(want, "app1:v1: 1 newly disclosed…blog…news…shop")
		r.wantEach("all", want...)
		r.restart()
		r.pass(time.Hour)
		r.wantEach("all", want...)

		r.delete("shop", "app-0")
		r.delete("news", "app-0")
		r.pass(2 * removalGrace)
		r.wantEach("all", want...)
		r.delete("blog", "app-0")
		r.pass(2 * removalGrace)
		want = append(want, "app1:v1 is no longer running in blog")
		r.wantEach("all", want...)

		// What runs nowhere is told when it comes to another namespace, and is no news in one of before.
		r.run(podOf("late", "app-0", 1))
		r.pass(settled)
		want = append(want, "app1:v1 is running with…late")
		r.wantEach("all", want...)
		r.run(podOf("shop", "app-1", 1))
		r.pass(settled)
		r.wantEach("all", want...)
	})
}

// All that end together are told together.
func TestAllShareEnds(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"_all": scanner("all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		r.delete("shop", "app-0")
		r.delete("blog", "app-0")
		r.pass(2 * removalGrace)
		r.wantTexts("app1:v1 is running with", "app1:v1 is no longer running")
	})
}

// A namespace comes while the report of its image is being sent: it waits for the answer, and is not told again.
func TestAllShareWhileSending(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		answer := make(chan struct{})
		r.slack.set(func(slack.Webhook) error {
			<-answer
			return nil
		})
		r.settings(map[string]string{"_all": scanner("all")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.run(podOf("blog", "app-0", 1))
		r.pass(groupWait / 2)
		close(answer)
		r.pass(settled)
		r.wantTexts("shop/app1:v1 is running with…shop")
		if !r.w.book.Has(ledger.Destination{Key: "blog", Name: "default"}, digest(1)) {
			t.Error("the other namespace has no record")
		}
	})
}

// Two Scanners of _all are two.
func TestAllShareByName(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		named := func(name string) string {
			return "- name: " + name + "\n  " + strings.ReplaceAll(scanner(name), "\n", "\n  ") + "\n"
		}
		r.settings(map[string]string{"_all": named("a") + named("b")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.run(podOf("blog", "app-0", 1))
		r.pass(settled)
		r.wantEach("a", "app1:v1 is running with")
		r.wantEach("b", "app1:v1 is running with")
		r.settings(map[string]string{"_all": named("a") + named("c")})
		r.pass(settled)
		r.wantEach("a", "app1:v1 is running with")
		r.wantEach("c", "app1:v1 is running with")
	})
}

// Why an image cannot be scanned is told once, unless its namespace has to do with it. That it is again is told of all.
func TestAllShareFailure(t *testing.T) {
	const failed, report = "app1:v1 could not be scanned…", "app1:v1 is running with…"
	for name, tt := range map[string]struct {
		err          error
		failed, then []string
	}{
		"of the image":     {registry.ErrNotFound, []string{failed + "shop"}, []string{report + "shop"}},
		"of the namespace": {registry.ErrUnauthorized, []string{failed + "shop", failed + "blog"}, []string{report + "shop", "app1:v1 is scanned again…blog"}},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.settings(map[string]string{"_all": scanner("all")})
				r.registry.failWith(func(int) error { return tt.err })
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(settled)
				r.run(podOf("blog", "app-0", 1))
				r.pass(settled)
				r.wantTexts(tt.failed...)
				r.pass(7 * time.Hour)
				r.wantTexts(tt.failed...)
				r.registry.failWith(nil)
				r.pass(7 * time.Hour)
				r.wantTexts(append(tt.failed, tt.then...)...)
				r.restart()
				r.pass(7 * time.Hour)
				r.wantTexts(append(tt.failed, tt.then...)...)
			})
		})
	}
}

// What was told under a key of its own, to whomever, the channel of _all has not heard; nor what was kept from it. Moved
// to _all it is not repeated, but for the namespaces that come later it is told.
func TestAllSharesWhatItHeard(t *testing.T) {
	const report, failed = "app1:v1 is running with…blog", "app1:v1 could not be scanned…blog"
	for name, tt := range map[string]struct {
		before string
		fails  bool
		want   string
	}{
		"a key of its own":                     {before: "shop: " + scanner("shop"), want: report},
		"a key of its own, told nothing":       {before: "shop: " + scanner("shop") + "tell: {report: false}\n", want: report},
		"a key of its own, not to be scanned":  {before: "shop: " + scanner("shop"), fails: true, want: failed},
		"kept from it, and not to be scanned":  {before: "_all: " + scanner("all") + "tell: {failed: false}\n", fails: true, want: failed},
		"of another Clair in an own namespace": {before: "shop: " + scannerAt(secondBase, "shop"), want: report},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				if tt.fails {
					r.clairs[clairBase].failOf = map[string]error{digest(1): &clair.Error{Op: "report", Kind: clair.TooLarge}}
				}
				key, value, _ := strings.Cut(tt.before, ": ")
				r.settings(map[string]string{"_all": scanner("all"), key: value})
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(settled)
				r.settings(map[string]string{"_all": scanner("all")})
				r.pass(time.Hour)
				r.wantEach("all")
				r.run(podOf("blog", "app-0", 1))
				r.pass(24 * time.Hour)
				r.wantEach("all", tt.want)
				r.run(podOf("late", "app-0", 1)) // and now it has
				r.restart()
				r.pass(24 * time.Hour)
				r.wantEach("all", tt.want)
			})
		})
	}
}

// That images known to many namespaces are scanned again is told once, however far apart they are looked at.
func TestAllShareRecovery(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"_all": scanner("all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		c := r.clairs[clairBase]
		c.set(func(c *fakeClair) {
			c.failOf = map[string]error{digest(1): &clair.Error{Op: "report", Kind: clair.TooLarge}}
		})
		for _, ns := range []string{"shop", "blog"} {
			r.w.look(image{namespace: ns, id: digest(1), platform: r.w.nodes.platform("node-1")})
			r.pass(3 * time.Hour)
		}
		r.wantTexts("app1:v1 is running with", "app1:v1 could not be scanned…in shop")
		c.set(func(c *fakeClair) { c.failOf = nil })
		r.pass(48 * time.Hour)
		r.wantTexts("app1:v1 is running with", "app1:v1 could not be scanned", "app1:v1 is scanned again")
	})
}

// Two ends within removalGrace of one another are one: the last. The end of a Job's pod is none.
func TestAllShareEndsApart(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"_all": scanner("all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		r.run(byJob(podOf("cron", "job-0", 1)))
		r.pass(settled)
		r.delete("shop", "app-0")
		r.pass(removalGrace / 2)
		r.delete("blog", "app-0")
		r.pass(2 * removalGrace)
		want := []string{"app1:v1 is running with", "app1:v1 is no longer running in blog"}
		r.wantTexts(want...)
		r.delete("cron", "job-0")
		r.pass(2 * removalGrace)
		r.wantTexts(want...)
	})
}

// An end that waits to be told is none when the image comes to another namespace meanwhile.
func TestAllShareEndTakenBack(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.GroupWait = time.Minute
		r.settings(map[string]string{"_all": scanner("all")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(2 * time.Minute)
		r.delete("shop", "app-0")
		for r.w.pending.count() == 0 {
			r.pass(time.Second)
		}
		r.run(podOf("blog", "app-0", 1))
		r.pass(time.Hour)
		r.wantTexts("app1:v1 is running with")
		r.delete("blog", "app-0")
		r.pass(time.Hour)
		r.wantTexts("app1:v1 is running with", "app1:v1 is no longer running in blog")
	})
}
