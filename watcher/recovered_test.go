package watcher

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

const (
	notAnswered  = "could not be scanned: Clair does not answer"
	scannedAgain = "scanned again; before: Clair does not answer"
	// lookedAt is longer than it takes until the images of a Clair that is back were looked at and told.
	lookedAt = 15 * time.Minute
)

// away has a Clair give no answer.
func away(c *fakeClair) {
	c.away = &clair.Error{Op: "asking for the indexer's state", Kind: clair.Temporary, Status: 500}
}

// wellAgain has it answer again.
func wellAgain(c *fakeClair) { c.away, c.fail = nil, nil }

// tooLarge has it give no report, for good.
func tooLarge(c *fakeClair) {
	c.fail = onReport(func(call string) error { return &clair.Error{Op: call, Kind: clair.TooLarge} })
}

// inWatchedRig runs a test when a channel was told of so many images of a namespace, each in a pod of its own.
func inWatchedRig(t *testing.T, images int, test func(*testing.T, *rig, *fakeClair)) {
	t.Helper()
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(settled)
		r.slack.forget()
		test(t, r, r.clairs[clairBase])
	})
}

// forget drops what was sent so far.
func (f *fakeSlack) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = nil
}

// failureOfShop is what the ledger has of an image of the shop that could not be scanned.
func (r *rig) failureOfShop(n int) (ledger.Failure, bool) {
	return r.w.book.Failure(ledger.Destination{Key: "shop", Name: "default"}, ledger.Image{ID: digest(n), Platform: "linux/amd64"})
}

// wantNoFailure checks that the ledger has no failure of an image any more.
func (r *rig) wantNoFailure(n int) {
	r.t.Helper()
	if f, has := r.failureOfShop(n); has {
		r.t.Errorf("the ledger has %q for image %d", f.Cause, n)
	}
}

// What could not be scanned is told once, and its end is, for all images and whatever restarts in between.
func TestRecovered(t *testing.T) {
	inWatchedRig(t, 30, func(t *testing.T, r *rig, c *fakeClair) {
		c.set(away)
		r.pass(time.Hour)
		r.restart()
		r.pass(time.Hour)
		r.wantTexts("30 images…could not be scanned: Clair does not answer…and 24 more")
		c.set(wellAgain)
		r.pass(lookedAt)
		want := []string{"30 images…could not be scanned", "30 images* are " + scannedAgain + "…app10:v1`, …and 24 more…in shop"}
		r.wantTexts(want...)
		for _, word := range []string{"✅", "vulnerabilit", "is running"} {
			if strings.Contains(r.slack.accepted()[1].json, word) {
				t.Errorf("it says %q: %s", word, r.slack.accepted()[1].json)
			}
		}
		for n := range 30 {
			r.wantNoFailure(n + 1)
		}
		if n := r.metric("clairwatch_messages_total", "recovered", "ok"); n != 1 {
			t.Errorf("%v messages are counted", n)
		}
		r.restart()
		r.pass(3 * time.Hour)
		r.wantTexts(want...)
		c.set(away) // and it starts anew
		r.pass(time.Hour)
		c.set(wellAgain)
		r.pass(lookedAt)
		r.wantTexts(append(want, "30 images…could not be scanned", "30 images* are "+scannedAgain)...)
	})
}

// The daemon after this one finds what this one had no time to tell.
func TestRecoveredWhileDown(t *testing.T) {
	for name, seen := range map[string]bool{"back while down": false, "back, and not told yet": true} {
		t.Run(name, func(t *testing.T) {
			inWatchedRig(t, 2, func(t *testing.T, r *rig, c *fakeClair) {
				c.set(away)
				r.pass(time.Hour)
				if seen {
					c.set(wellAgain)
					for range 200 {
						if r.pass(time.Second); r.w.pending.count() == 2 {
							break
						}
					}
					if r.w.pending.count() != 2 {
						t.Fatal("it is not seen")
					}
				}
				r.stop()
				c.set(wellAgain)
				r.start()
				r.pass(settled)
				r.wantTexts("2 images…could not be scanned", "2 images* are "+scannedAgain)
				r.restart()
				r.pass(lookedAt)
				r.wantTexts("2 images", "2 images* are "+scannedAgain)
			})
		})
	}
}

// What is news as well is a message of its own.
func TestRecoveredWithNews(t *testing.T) {
	inWatchedRig(t, 1, func(t *testing.T, r *rig, c *fakeClair) {
		c.set(away)
		r.pass(time.Hour)
		c.set(func(c *fakeClair) {
			wellAgain(c)
			c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High}}
		})
		r.pass(lookedAt)
		r.wantTexts("app1:v1` "+notAnswered, "app1:v1: 1 newly disclosed", "app1:v1` is "+scannedAgain)
		if strings.Contains(r.slack.accepted()[2].json, "CVE") {
			t.Errorf("got %s", r.slack.accepted()[2].json)
		}
	})
}

// A channel that takes nothing hears of it when it does, once, however often the images are looked at meanwhile.
func TestRecoveredRefused(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarts %v", restarts), func(t *testing.T) {
			inWatchedRig(t, 3, func(t *testing.T, r *rig, c *fakeClair) {
				c.set(away)
				r.pass(time.Hour)
				r.slack.set(func(slack.Webhook) error { return &slack.Error{Kind: slack.Channel, Status: 404} })
				c.set(wellAgain)
				r.pass(5 * time.Hour)
				r.wantTexts("3 images")
				if _, has := r.failureOfShop(1); !has {
					t.Error("it is recorded, though nobody was told")
				}
				if restarts {
					r.restart()
					r.pass(time.Hour)
				}
				r.slack.set(nil)
				r.pass(5 * time.Hour)
				r.wantTexts("3 images…could not be scanned", "3 images* are "+scannedAgain)
				r.wantNoFailure(1)
			})
		})
	}
}

// What fails again before its recovery was told has not recovered: the channel knows.
func TestRecoveredForAMoment(t *testing.T) {
	inWatchedRig(t, 1, func(t *testing.T, r *rig, c *fakeClair) {
		c.set(func(c *fakeClair) { c.notified = []string{digest(1)} })
		look := func(script func(*fakeClair), then time.Duration) {
			t.Helper()
			c.set(script)
			r.notify()
			r.pass(then)
		}
		largeCause := advice[CauseTooLarge][0]
		look(tooLarge, settled)
		want := []string{"could not be scanned: " + largeCause}
		r.wantTexts(want...)
		for range 3 {
			look(wellAgain, groupWait/2)
			look(tooLarge, settled)
		}
		r.wantTexts(want...)
		// So it is when it could not be scanned for a moment.
		look(wellAgain, groupWait/2)
		look(func(c *fakeClair) {
			c.fail = onReport(func(call string) error { return &clair.Error{Op: call, Kind: clair.Temporary} })
		}, settled-groupWait)
		r.wantTexts(want...)
		look(wellAgain, settled)
		want = append(want, "app1:v1` is scanned again; before: "+largeCause)
		r.wantTexts(want...)
		// Another cause is told as ever, and then it is that one which is over.
		look(tooLarge, settled)
		look(wellAgain, groupWait/2)
		look(func(c *fakeClair) {
			c.fail = onReport(func(call string) error { return &clair.Error{Op: call, Kind: clair.Invalid} })
		}, settled)
		want = append(want, "could not be scanned: "+largeCause, "could not be scanned: "+advice[CauseUnsupported][0])
		r.wantTexts(want...)
		look(wellAgain, settled)
		r.wantTexts(append(want, "is scanned again; before: "+advice[CauseUnsupported][0])...)
	})
}

// What happens while a message is on its way is told after it.
func TestRecoveredWhileTold(t *testing.T) {
	inWatchedRig(t, 1, func(t *testing.T, r *rig, c *fakeClair) {
		r.slack.mu.Lock()
		r.slack.slow = 20 * time.Second
		r.slack.mu.Unlock()
		c.set(func(c *fakeClair) { tooLarge(c); c.notified = []string{digest(1)} })
		r.notify()
		r.pass(groupWait + time.Second) // the failure is on its way
		c.set(wellAgain)
		r.notify()
		r.pass(20*time.Second + groupWait) // it has arrived, and its end is on its way
		r.wantTexts("could not be scanned")
		r.pass(2 * time.Second)
		c.set(tooLarge)
		r.notify()
		r.pass(25 * time.Second)
		r.wantTexts("could not be scanned", "is scanned again")
		r.pass(time.Minute)
		r.wantTexts("could not be scanned", "is scanned again", "could not be scanned")
	})
}

// What runs no longer is not told to be scanned again. When it comes back it is, because the last that the channel
// heard of it is that it could not be.
func TestRecoveredAndRemoved(t *testing.T) {
	inWatchedRig(t, 2, func(t *testing.T, r *rig, c *fakeClair) {
		c.set(func(c *fakeClair) { tooLarge(c); c.notified = []string{digest(1)} })
		r.notify()
		r.pass(settled)
		c.set(wellAgain)
		r.notify()
		r.pass(groupWait / 2)
		r.delete("shop", "app-0")
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.wantTexts("app1:v1` could not be scanned", "app1:v1` is no longer running")
		r.restart()
		r.pass(3 * time.Hour)
		r.wantTexts("app1:v1` could not be scanned", "app1:v1` is no longer running")
		r.run(podOf("shop", "app-0", 1))
		r.pass(settled)
		r.wantTexts("app1:v1` could not be scanned", "app1:v1` is no longer running", "app1:v1` is scanned again")
	})
}

// The namespaces of one channel are one message; a channel that was told of no failure hears of no end.
func TestRecoveredInNamespaces(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("all"), "blog": scanner("all"), "data": scannerAt(secondBase, "data"), "late": scanner("late")})
		r.run(podOf("shop", "app", 1), podOf("blog", "app", 2), podOf("blog", "web", 1), podOf("data", "app", 1))
		r.start()
		r.pass(settled)
		c.set(away)
		r.pass(time.Hour)
		c.set(wellAgain)
		r.pass(lookedAt)
		r.wantEach("all", "Now watching 2 images", "2 images…could not be scanned", "2 images* are "+scannedAgain+"…app1:v1`, …app2:v1`…in blog, shop")
		r.wantEach("data", "app1:v1 is running with")
		// An image that could not be scanned for less than it takes to be told is none.
		c.set(away)
		r.pass(awayPatience - time.Minute)
		c.set(wellAgain)
		r.pass(3 * time.Hour)
		r.wantEach("all", "Now watching 2 images", "2 images", "2 images* are "+scannedAgain)
	})
}

// Whoever was not told of an image hears its report when there is one, which says that it is scanned.
func TestFirstReportAfterFailure(t *testing.T) {
	// What a node runs can be the image's index or its manifest: that is one image under two ids.
	for name, ids := range map[string][]int{"one id": {1}, "two ids": {0xa1, 1}} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.cfg.Refresh = time.Hour
				c := r.clairs[clairBase]
				r.registry.manifests[digest(0xa1)] = map[registry.Platform]string{{OS: "linux", Architecture: "amd64"}: digest(1)}
				c.set(away)
				r.settings(map[string]string{"shop": scanner("shop")})
				for i, id := range ids {
					pod := podOf("shop", fmt.Sprintf("app-%d", i), 1)
					pod.Status.ContainerStatuses[0].ImageID = "registry.example.com/shop/app1@" + digest(id)
					r.run(pod)
				}
				r.start()
				r.pass(time.Hour)
				c.set(wellAgain)
				r.pass(lookedAt)
				want := []string{"could not be scanned", "app1:v1 is running with"}
				r.wantTexts(want...)
				for _, id := range ids {
					r.wantNoFailure(id)
				}
				r.pass(3 * time.Hour)
				r.restart()
				r.pass(time.Hour)
				r.wantTexts(want...)
			})
		})
	}
}

// An image that came back over the limit and is let in is scanned again.
func TestRecoveredFromTheLimit(t *testing.T) {
	inLimitedRig(t, 1, 1, func(t *testing.T, r *rig) {
		r.delete("shop", "app-0")
		r.run(podOf("shop", "app-1", 2))
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.run(podOf("shop", "app-0", 1))
		r.pass(settled)
		want := []string{"app1:v1 is running with", "app2:v1 is running with", "app1:v1` is no longer running", "app1:v1` could not be scanned…maxImages"}
		r.wantTexts(want...)
		r.delete("shop", "app-1")
		r.pass(settled)
		r.wantTexts(append(want, "app1:v1` is scanned again; before: "+advice[CauseOverLimit][0])...)
		r.wantNoFailure(1)
	})
}

// What the ledger has learned since is not told: that it is over, or that it is something else by now.
func TestRecoveredOfWhatIsNot(t *testing.T) {
	shop, image := ledger.Destination{Key: "shop", Name: "default"}, image{namespace: "shop", id: digest(1), platform: registry.Platform{OS: "linux", Architecture: "amd64"}}
	for name, c := range map[string]struct {
		cause string
		want  []string
	}{
		"over":                       {"", nil},
		"another cause":              {string(CauseTooLarge), []string{"before: " + advice[CauseTooLarge][0]}},
		"loading":                    {causeLoading, nil},
		"a cause of another version": {"of_tomorrow", []string{"app1:v1` is scanned again; before: of_tomorrow"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWatchedRig(t, 1, func(t *testing.T, r *rig, _ *fakeClair) {
				r.w.book.Remember([]ledger.Told{{Destination: shop, Image: image.inLedger(), Failure: ledger.Failure{Cause: c.cause}}})
				r.w.tell(&news{
					kind: kindRecovered, destination: shop, subject: failureOf(image), image: image, name: "app1", cause: CauseNotFound,
					told: ledger.Told{Destination: shop, Image: image.inLedger()},
				})
				r.pass(2 * settled)
				r.wantTexts(c.want...)
				r.wantNoFailure(1)
			})
		})
	}
}

// What was over for several reasons while no daemon ran is one message, in the order in which people read causes.
func TestRecoveredFromSeveralCauses(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		failed := func(n int, c Cause) ledger.Told {
			return ledger.Told{
				Destination: ledger.Destination{Key: "shop", Name: "default"},
				Image:       ledger.Image{ID: digest(n), Platform: "linux/amd64"}, Failure: ledger.Failure{Cause: string(c)},
			}
		}
		r.remember(toldOf("shop", 1), toldOf("shop", 2), toldOf("shop", 3),
			failed(1, CauseTooLarge), failed(2, CauseNotFound), failed(3, CauseTooLarge))
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2), podOf("shop", "app-2", 3))
		r.start()
		r.pass(settled)
		r.wantTexts("3 images* are scanned again; before: " + advice[CauseNotFound][0] + " (1), " + advice[CauseTooLarge][0] + " (2)")
	})
}
