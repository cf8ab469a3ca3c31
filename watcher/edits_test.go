package watcher

import (
	"fmt"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

// A namespace of _all whose first own key has a mistake, or names a file that is not there yet, keeps what was good for
// it.
func TestFirstKeyOfItsOwnIsWrong(t *testing.T) {
	for name, own := range map[string]string{"mistake": scanner("shop") + "minSeverty: Low\n", "no such file": byFile("shop")} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.cfg.WebhookFolder = t.TempDir()
				r.settings(map[string]string{"_all": scanner("all")})
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(settled)
				r.settings(map[string]string{"_all": scanner("others"), "shop": own}) // what was good for it was in force before
				r.run(podOf("shop", "app-1", 2))
				r.pass(time.Hour)
				r.wantEach("all", "app1:v1 is running with", "app2:v1 is running with")
				r.wantEach("others")
			})
		})
	}
}

// A failing image that is gone before it is told is told by nobody, whatever is looked at.
func TestFailureOfWhatIsGone(t *testing.T) {
	for name, look := range map[string]string{"default": "", "own": "look: {optOut: true}\n"} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.registry.failWith(func(int) error { return registry.ErrNotFound })
				r.settings(map[string]string{"shop": scanner("shop") + look})
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(2 * time.Second)
				r.delete("shop", "app-0")
				r.pass(time.Hour)
				r.wantTexts()
			})
		})
	}
}

// One edit that gives a dead channel another webhook and makes the rules stricter: what has waited is told by the rules
// of now.
func TestStricterWhileItWaits(t *testing.T) {
	for name, c := range map[string]struct {
		more string
		want []string
	}{
		"ignore":      {"ignore: [{id: CVE-2026-0001}]\n", []string{"ignored by this channel's settings"}},
		"minSeverity": {"minSeverity: Critical\n", []string{"below this channel's minimum severity"}},
		"report":      {"tell: {report: false}\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.clairs[clairBase].set(func(f *fakeClair) {
					f.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.High}}
				})
				dead, err := r.cfg.Webhook(webhook("dead"))
				r.check(err)
				r.slack.set(func(ch slack.Webhook) error {
					if ch == dead {
						return &slack.Error{Kind: slack.Channel}
					}
					return nil
				})
				r.settings(map[string]string{"shop": scanner("dead")})
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(time.Hour)
				r.settings(map[string]string{"shop": scanner("new") + c.more})
				r.pass(time.Hour)
				r.wantEach("new", c.want...)
			})
		})
	}
}

// Who takes over has stood by while a file with a webhook was rotated.
func TestStandbyKnowsRotatedWebhook(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.leases()
		r.cfg.WebhookFolder = t.TempDir()
		r.put("shop", webhook("old"))
		r.settings(map[string]string{"shop": byFile("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.cfg.Lease = LeaseConfig{Name: "clairwatch", Identity: "a", Duration: 45 * time.Second}
		r.start()
		r.pass(settled)
		endFirst := r.end
		r.cfg.Lease.Identity = "b"
		r.start()
		r.pass(time.Hour)
		r.put("shop", webhook("rotated"))
		r.check(endFirst())
		r.run(podOf("shop", "app-2", 3))
		r.pass(time.Hour)
		r.wantEach("old", "app1:v1 is running with")
		r.wantEach("rotated", "app3:v1 is running with")
	})
}

// What one edit brings to light in many images is one message of a kind, though Clair takes minutes to report on them.
func TestEditIsOneMessage(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const images = 300
		const rules = "minSeverity: High\nignore: [{id: CVE-2026-0002}]\n"
		r.cfg.GroupWait = time.Second / 2 // shorter than a report takes
		c := r.clairs[clairBase]
		data := map[string]string{"shop": scanner("shop") + rules, "blog": scanner("shop") + rules}
		for n := range images {
			c.found[digest(n+1)] = []vulnerability{critical, high, low}
			r.run(podOf([]string{"shop", "blog"}[n%2], fmt.Sprintf("app-%d", n), n+1))
		}
		r.settings(data)
		r.start()
		r.pass(settled)
		r.slack.forget()
		c.set(func(c *fakeClair) { c.reportLag = time.Second })
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("shop")})
		r.pass(time.Hour)
		r.wantTexts("2 vulnerabilities…in *300 images*…no longer held back or ignored")
	})
}
