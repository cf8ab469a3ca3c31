package watcher

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/slack"
)

const (
	// crowd is how many images the big namespace runs, numbered from 1. lateImage is what the other one runs.
	crowd     = 5000
	lateImage = crowd + 1
)

// runCrowd has the big namespace run its images.
func (r *rig) runCrowd() {
	r.t.Helper()
	for n := range crowd {
		p := podOf("big", fmt.Sprintf("app-%d", n), n+1)
		r.check(r.kube.Tracker().Create(corev1.SchemeGroupVersion.WithResource("pods"), p, p.Namespace))
	}
}

// asked are the images that the registry and the first Clair's reports were asked for so far.
func (r *rig) asked() (all []string) {
	r.registry.mu.Lock()
	all = append(all, r.registry.asked...)
	r.registry.mu.Unlock()
	r.clairs[clairBase].set(func(c *fakeClair) { all = append(all, c.reported...) })
	return all
}

// firstAsked says which call was the first about an image, from 1; zero: none was.
func firstAsked(calls []string, n int) int { return slices.Index(calls, digest(n)) + 1 }

// inCrowd runs a test while the big namespace has thousands of images to be looked at.
func inCrowd(t *testing.T, prepare, test func(r *rig)) {
	t.Helper()
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Workers = 16
		r.cfg.Log = slog.New(slog.NewTextHandler(r.log, nil)) // not a line for each image
		r.settings(map[string]string{"big": scanner("big"), "late": scanner("late")})
		r.runCrowd()
		prepare(r)
		r.start()
		test(r)
	})
}

// wantLate has the late namespace run its image, and wants it told while most of the others wait, and few of them asked
// about before.
func (r *rig) wantLate(few int) {
	r.t.Helper()
	r.pass(time.Minute)
	before := len(r.asked())
	registryBefore := r.registry.resolved()
	clairBefore := 0
	r.clairs[clairBase].set(func(c *fakeClair) { clairBefore = len(c.reported) })
	r.run(podOf("late", "app", lateImage))
	r.pass(time.Minute)
	r.wantEach("late", "app5001:v1 is running with")
	r.registry.mu.Lock()
	between := firstAsked(r.registry.asked[min(registryBefore, len(r.registry.asked)):], lateImage)
	r.registry.mu.Unlock()
	r.clairs[clairBase].set(func(c *fakeClair) { between = max(between, firstAsked(c.reported[clairBefore:], lateImage)) })
	if between == 0 || between > few {
		r.t.Errorf("the late image was asked about as number %d, want at most %d", between, few)
	}
	if got := r.w.progress.count()[StateUntried]; got < crowd/2 {
		r.t.Errorf("%d images are untried after %d calls: the late one had no crowd before it", got, before)
	}
}

// One image of a namespace is looked at within a few looks, while another namespace has thousands, whatever keeps these.
func TestOneAmongThousands(t *testing.T) {
	ofCrowd := func(id string) bool { return id != digest(lateImage) }
	for name, prepare := range map[string]func(r *rig){
		"that take their time": func(r *rig) {
			r.registry.lag = func(string) time.Duration { return time.Second }
			c := r.clairs[clairBase]
			c.slow, c.reportLag = time.Second, time.Second/10
		},
		"at a registry that hangs": func(r *rig) {
			r.registry.lag = func(id string) time.Duration {
				if ofCrowd(id) {
					return 10 * time.Minute
				}
				return 0
			}
		},
		"at a Clair that hangs": func(r *rig) {
			r.settings(map[string]string{"big": scannerAt(secondBase, "big"), "late": scanner("late")})
			r.clairs[secondBase].reportLag = 10 * time.Minute
		},
		"at a Clair that does not say what it has": func(r *rig) {
			r.settings(map[string]string{"big": scannerAt(secondBase, "big"), "late": scanner("late")})
			r.clairs[secondBase].lag = 10 * time.Minute
		},
		"at a registry that hangs, for another Clair besides": func(r *rig) {
			r.settings(map[string]string{"big": bothClairs("big"), "late": scanner("late")})
			r.clairs[clairBase].reportLag = time.Second / 10
			for n := range crowd {
				r.clairs[clairBase].indexed[digest(n+1)] = true
			}
			r.registry.lag = func(id string) time.Duration {
				if ofCrowd(id) {
					return 10 * time.Minute
				}
				return 0
			}
		},
		"at twenty Clairs that hang": func(r *rig) {
			var scanners strings.Builder
			for n := range 20 {
				base := fmt.Sprintf("http://clair-%d.big:6000/", n)
				r.clairs[base] = newFakeClair()
				r.clairs[base].slots, r.clairs[base].reportSlots = 4, 4
				r.clairs[base].reportLag = 10 * time.Minute
				fmt.Fprintf(&scanners, "- {name: s%d, clairBaseUrl: '%s', slackWebhookUrl: '%s'}\n", n, base, webhook("big"))
			}
			r.settings(map[string]string{"big": scanners.String(), "late": scanner("late")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inCrowd(t, prepare, func(r *rig) { r.wantLate(2 * 16) })
		})
	}
}

// A namespace whose channels hang, or are refused, holds up nobody's messages.
func TestChannelsOfACrowd(t *testing.T) {
	for name, answer := range map[string]func() error{
		"hang": func() error {
			time.Sleep(15 * time.Second)
			return &slack.Error{Kind: slack.Temporary}
		},
		"are limited": func() error { return &slack.Error{Kind: slack.RateLimited, RetryAfter: time.Hour} },
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				var scanners strings.Builder
				for n := range 50 { // as many as a key may have
					fmt.Fprintf(&scanners, "- {name: s%d, clairBaseUrl: '%s', slackWebhookUrl: '%s'}\n", n, clairBase, webhook(fmt.Sprintf("big%d", n)))
				}
				r.settings(map[string]string{"big": scanners.String(), "late": scanner("late")})
				r.slack.set(func(channel slack.Webhook) error {
					if late, err := r.cfg.Webhook(webhook("late")); err == nil && channel == late {
						return nil
					}
					return answer()
				})
				for n := range 20 {
					r.run(podOf("big", fmt.Sprintf("app-%d", n), n+1))
				}
				r.start()
				r.pass(groupWait - time.Second)
				r.run(podOf("late", "app", lateImage))
				r.pass(groupWait + time.Second)
				tried := 0
				for _, m := range r.slack.all() {
					if m.err != nil {
						tried++
					}
				}
				r.wantEach("late", "app5001:v1 is running with")
				if name == "hang" && tried >= 50 {
					t.Errorf("%d messages were given up before, want them to hang", tried)
				}
			})
		})
	}
}

// The reports of a namespace are read again as soon as those of one that has thousands, after Clair's data has changed and
// after a restart; what is new comes before both.
func TestKnownAmongThousands(t *testing.T) {
	inCrowd(t, func(r *rig) {
		c := r.clairs[clairBase]
		c.reportSlots = 2
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		for n := range crowd + 2 {
			c.indexed[digest(n+1)] = true
		}
		r.run(podOf("late", "app", lateImage))
	}, func(r *rig) {
		c := r.clairs[clairBase]
		r.pass(settled)
		r.wantScanned(crowd + 1)
		asked := func() (digests []string) {
			c.set(func(c *fakeClair) { digests, c.reported = c.reported, nil })
			return digests
		}
		wantSoon := func(when string, n int) {
			t.Helper()
			calls := asked()
			if at := firstAsked(calls, n); at == 0 || at > 10 {
				t.Errorf("%s the late image was asked about as number %d of %d, want one of the first", when, at, len(calls))
			}
			if len(calls) > crowd/2 {
				t.Errorf("%s there were %d calls: nobody waited", when, len(calls))
			}
		}
		asked()
		disclosed := []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical},
			{name: "CVE-2026-0002", severity: claircore.Critical, updater: "debian"}}
		c.set(func(c *fakeClair) {
			c.reportLag = time.Second
			c.updaters[0].Last = time.Now()
			c.found[digest(lateImage)] = disclosed
		})
		r.pass(dataQuiet + 3*time.Minute)
		wantSoon("after newer data", lateImage)
		r.wantEach("late", "app5001:v1 is running with", "CVE-2026-0002")
		r.run(podOf("late", "new", lateImage+1))
		r.pass(time.Minute)
		wantSoon("newly running", lateImage+1)
		r.restart()
		r.pass(time.Minute)
		wantSoon("after a restart", lateImage)
	})
}

// Of a namespace that runs more images than are looked at the others are told once, cost nobody a request, and have their
// turn when one ends.
func TestThousandsOverTheLimit(t *testing.T) {
	const most = 2000
	inCrowd(t, func(r *rig) {
		r.cfg.MaxImages = most
		r.cfg.GroupMax = time.Hour
		r.run(podOf("late", "app", lateImage))
	}, func(r *rig) {
		c := r.clairs[clairBase]
		r.pass(time.Minute)
		wantStates := func(when string) {
			t.Helper()
			got := r.w.progress.count()
			if got[StateScanned] != most+1 || got[State(CauseOverLimit)] != crowd-most {
				t.Errorf("%s: %v", when, got)
			}
		}
		wantStates("at first")
		if got := r.metric("clairwatch_images", string(CauseOverLimit)); got != crowd-most {
			t.Errorf("the metric has %v over the limit", got)
		}
		over := 0
		for _, running := range r.w.Running() {
			if running.State == State(CauseOverLimit) {
				over++
			}
		}
		if over != crowd-most {
			t.Errorf("the pages have %d over the limit", over)
		}
		if got := r.registry.resolved(); got != most+1 {
			t.Errorf("%d images resolved, want those within the limit", got)
		}
		calls := strings.Join(c.called(), " ")
		for call, want := range map[string]int{"report": 2 * (most + 1), "index": most + 1} {
			if got := strings.Count(calls, call); got != want {
				t.Errorf("%d times %s, want %d", got, call, want)
			}
		}
		r.wantEach("late", "app5001:v1 is running with")
		r.wantEach("big", "Now watching 5,000 images…3,000…maxImages")
		c.set(func(c *fakeClair) { c.reported = nil })
		r.restart()
		r.pass(time.Minute)
		wantStates("after a restart")
		r.wantEach("big", "Now watching 5,000 images")
		if got := r.registry.resolved(); got != most+1 {
			t.Errorf("%d images resolved after a restart, want no further one", got)
		}
		known := make(map[string]bool)
		c.set(func(c *fakeClair) {
			for _, d := range c.reported {
				known[d] = true
			}
		})
		if len(known) != most+1 {
			t.Errorf("Clair was asked about %d images after a restart, want those of before", len(known))
		}
		gone := 0
		for img, state := range r.w.progress.states() {
			if img.namespace == "big" && state == StateScanned && gone < 10 {
				gone++
				var n int
				_, err := fmt.Sscanf(img.id, "sha256:%x", &n)
				r.check(err)
				r.delete("big", fmt.Sprintf("app-%d", n-1))
			}
		}
		r.pass(settled)
		if got := r.w.progress.count(); got[StateScanned] != most+1 || got[State(CauseOverLimit)] != crowd-most-gone {
			t.Errorf("after %d have ended: %v", gone, got)
		}
		if got := r.registry.resolved(); got != most+1+gone {
			t.Errorf("%d images resolved after %d have ended, want one for each", got, gone)
		}
	})
}
