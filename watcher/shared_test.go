package watcher

import (
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

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
