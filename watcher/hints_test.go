package watcher

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/quay/claircore"
	"golang.org/x/time/rate"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/registry"
)

// A webhook has a Clair asked anew also about an image of which the look has begun, and waits for another Clair.
func TestNotifyDuringALook(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		first, second := r.clairs[clairBase], r.clairs[secondBase]
		first.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		in := func(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") }
		r.settings(map[string]string{
			"shop": "- name: a\n  " + in(scanner("a")) + "\n- name: b\n  " + in(scannerAt(secondBase, "b")) + "\n",
			"blog": scannerAt(secondBase, "blog"),
		})
		for n, namespace := range []string{"shop", "blog", "blog"} {
			second.indexed[digest(n+1)] = true
			r.run(podOf(namespace, "app-"+digest(n)[70:], n+1))
		}
		r.start()
		r.pass(10 * time.Minute)
		second.set(func(c *fakeClair) { c.reportSlots, c.reportLag = 2, 24*time.Hour })
		for _, img := range r.w.imagesAt(secondBase) {
			if img.namespace == "blog" {
				r.w.images.Add(img) // they have the slots of the second one
			}
		}
		r.pass(time.Second)
		r.w.lookAllAt(clairBase)
		r.pass(settled) // the first one has answered
		found := append([]vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}},
			vulnerability{name: "CVE-2026-31415", severity: claircore.High, updater: "debian"})
		first.set(func(c *fakeClair) {
			c.found[digest(1)], c.notified = found, []string{digest(1)}
			c.updaters[0].Last = time.Now()
		})
		r.notify()
		r.pass(groupMax)
		r.wantEach("a", "app1:v1 is running with", "app1:v1: 1 newly disclosed")
	})
}

// A webhook of a Clair that does not say just then what data it has is not lost.
func TestNotifyWhileAway(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.set(away)
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(1)
		r.pass(time.Minute)
		c.set(wellAgain)
		r.pass(lookedAt)
		r.wantTexts("app1:v1 is running with", "app1:v1: 1 newly disclosed")
	})
}

// What has been looked at since Clair has its data is not looked at again for a notification that cannot be read either.
func TestNotifyIncompleteOfWhatIsFresh(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) {
			c.fail = func(call string) error {
				if call == "notified" {
					return &clair.Error{Op: call, Kind: clair.Incomplete}
				}
				return nil
			}
		})
		for _, step := range []struct {
			change  func(*fakeClair)
			reports int
		}{
			{func(*fakeClair) {}, 0},
			{func(c *fakeClair) { c.updaters[0].Last = time.Now() }, 1},
		} {
			c.set(step.change)
			c.called()
			r.notify()
			r.pass(deletePause)
			if calls := strings.Join(c.called(), " "); strings.Count(calls, "report") != step.reports || !strings.Contains(calls, "delete") {
				t.Errorf("calls to Clair: %s, want %d reports", calls, step.reports)
			}
			r.pass(wholePause)
		}
	})
}

// An image that only Clair can say something about is found by what its node calls it.
func TestNotifyOfWhatCannotBePulled(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		r.registry.failWith(func(int) error { return registry.ErrUnauthorized })
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) { c.indexed[digest(1)], c.notified = true, []string{digest(1)} }) // by somebody else
		r.notify()
		r.pass(settled)
		r.wantTexts("app1:v1` could not be scanned", "app1:v1 is running with")
	})
}

// hoarder is a Clair that does not answer who wants a notification deleted.
type hoarder struct{ *fakeClair }

func (hoarder) DeleteNotification(ctx context.Context, _ uuid.UUID) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// Webhooks are taken also while Clair cannot delete those of before.
func TestNotifyWhileNothingIsDeleted(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		r.cfg.Backends["clair"] = func(string) (Clair, error) { return hoarder{c}, nil }
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.w.hintRate = rate.Inf
		h := r.w.Notify()
		for n := range mostDeletions + 10 {
			select {
			case got := <-r.deliver(t.Context(), h, strings.NewReader(hook)):
				if got != http.StatusOK {
					t.Fatalf("webhook %d got %d", n, got)
				}
			default:
				t.Fatalf("webhook %d waits", n)
			}
		}
		r.pass(time.Hour)
	})
}
