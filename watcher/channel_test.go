package watcher

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quay/claircore"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/slack"
)

// failing answers the first n messages with an error, and accepts the others.
func failing(n int, err *slack.Error) func(slack.Webhook) error {
	return func(slack.Webhook) error {
		if n == 0 {
			return nil
		}
		n--
		return err
	}
}

func TestSlackFailures(t *testing.T) {
	tests := []struct {
		name   string
		answer func(slack.Webhook) error
		// by is when the first message is accepted; before it so many were sent.
		notBefore, by time.Duration
		refused       int
	}{
		{name: "500 first", answer: failing(1, &slack.Error{Kind: slack.Temporary, Status: 500}),
			notBefore: firstRetry, by: 2 * firstRetry, refused: 1},
		{name: "503 with a time", answer: failing(1, &slack.Error{Kind: slack.Temporary, Status: 503, RetryAfter: time.Minute}),
			notBefore: time.Minute, by: time.Minute + time.Second, refused: 1},
		{name: "429", answer: failing(2, &slack.Error{Kind: slack.RateLimited, Status: 429, RetryAfter: 30 * time.Second}),
			notBefore: time.Minute, by: time.Minute + time.Second, refused: 2},
		{name: "webhook revoked", answer: failing(3, &slack.Error{Kind: slack.Channel, Status: 404}),
			notBefore: 3 * mendPause, by: 3*mendPause + time.Second, refused: 3},
		{name: "all is well", by: time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.slack.answer = tt.answer
				r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
				r.run(podOf("shop", "app-0", 1))
				r.start()
				began := time.Now().Add(groupWait)
				r.pass(groupWait + time.Second)
				// News that comes meanwhile is no reason to try before the time.
				r.run(podOf("shop", "app-1", 2))
				r.pass(2 * time.Hour)
				r.wantTexts("app1:v1 is running with", "app2:v1 is running with")
				all := r.slack.all()
				if len(all) != tt.refused+2 {
					t.Fatalf("%d messages were sent, want %d", len(all), tt.refused+2)
				}
				if at := all[tt.refused].at.Sub(began); at < tt.notBefore || at > tt.by {
					t.Errorf("accepted after %v, want %v to %v", at, tt.notBefore, tt.by)
				}
				r.wantLogged(min(tt.refused, 1), `level=WARN msg="message not accepted`)
			})
		})
	}
}

func TestOneFailingChannelHoldsUpNoOther(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		shop, _ := r.cfg.Webhook(webhook("shop"))
		r.slack.answer = func(w slack.Webhook) error {
			if w == shop {
				return &slack.Error{Kind: slack.Channel, Webhook: w, Status: 404}
			}
			return nil
		}
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2))
		r.start()
		r.pass(settled)
		r.wantTexts("app2:v1 is running with")
		r.run(podOf("blog", "app-1", 3)) // while the other one is left alone for a while
		r.pass(settled)
		r.wantTexts("app2:v1 is running with", "app3:v1 is running with")
	})
}

func TestSimplerForms(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.slack.answer = failing(2, &slack.Error{Kind: slack.Payload, Status: 400})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		sent := r.slack.all()
		if len(sent) != 3 {
			t.Fatalf("%d messages were sent, want 3", len(sent))
		}
		for i, want := range []struct{ table, blocks bool }{{true, true}, {false, true}, {false, false}} {
			if got := strings.Contains(sent[i].json, `"type":"table"`); got != want.table {
				t.Errorf("message %d: table is %v, want %v", i, got, want.table)
			}
			if got := strings.Contains(sent[i].json, `"blocks"`); got != want.blocks {
				t.Errorf("message %d: blocks is %v, want %v", i, got, want.blocks)
			}
		}
		// The next message is whole again.
		r.run(podOf("shop", "app-1", 2))
		r.pass(settled)
		sent = r.slack.all()
		if len(sent) != 4 || !strings.Contains(sent[3].json, `"type":"table"`) {
			t.Errorf("want a fourth message with a table: %v", sent[3:])
		}
	})
}

func TestLedgerFails(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		var tries atomic.Int32
		var works atomic.Bool
		r.kube.PrependReactor("*", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
			if patch, ok := a.(clienttesting.PatchAction); !ok || !strings.Contains(patch.GetName(), "-ledger-") {
				return false, nil, nil
			}
			tries.Add(1)
			if !works.Load() {
				return true, nil, errors.New("etcd has no leader")
			}
			return false, nil, nil
		})
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c := r.clairs[clairBase]
		// While it is not recorded it is neither sent again nor overtaken by anything else.
		c.set(func(c *fakeClair) {
			c.notified = []string{digest(1)}
			c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High}}
		})
		r.notify()
		r.run(podOf("shop", "app-1", 2))
		r.pass(time.Hour)
		r.wantTexts("app1:v1 is running with 1 critical")
		r.wantLogged(1, `level=WARN msg="message accepted but not recorded`)
		if n := tries.Load(); n < 5 || n > 60 {
			t.Errorf("recording was tried %d times in an hour", n)
		}
		works.Store(true)
		r.pass(lastRetry + time.Minute)
		r.wantTexts("app1:v1 is running with 1 critical", "app2:v1 is running with", "app1:v1: 1 newly disclosed high vulnerability")
	})
}

func TestTwoNamespacesOneChannel(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("all"), "blog": scanner("all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		r.wantTexts("app1:v1 is running with…2 pods")
		for _, key := range []string{"shop", "blog"} {
			if _, told := r.w.book.Record(ledger.Destination{Key: key, Name: "default"}, digest(1)); !told {
				t.Errorf("nothing is recorded for %s", key)
			}
		}
	})
}

func TestTwoClairsOneChannel(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.clairs[secondBase].found[digest(1)] = []vulnerability{{name: "CVE-2026-0009", severity: claircore.High}}
		r.settings(map[string]string{"shop": scannerAt(clairBase, "all"), "blog": scannerAt(secondBase, "all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		r.wantTexts("Now watching 2 images…1 critical…1 high")
	})
}

func TestNewsWaitsForOtherNamespaceOfChannel(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		// What blog runs was told before, so its look brings no news; shop's waits for it all the same.
		r.remember(toldOf("blog", 2))
		r.clairs[clairBase].indexed[digest(1)] = true
		r.clairs[clairBase].slow = time.Minute
		r.settings(map[string]string{"shop": scanner("all"), "blog": scanner("all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2))
		r.start()
		r.pass(50 * time.Second)
		r.wantTexts()
		r.pass(settled)
		r.wantTexts("app1:v1 is running with")
	})
}

func TestWebhookChanges(t *testing.T) {
	channelOf := func(r *rig, name string) string {
		ch, err := r.cfg.Webhook(webhook(name))
		r.check(err)
		return ch.String()
	}
	t.Run("while news is pending", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.settings(map[string]string{"shop": scanner("old")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.pass(time.Second)
			r.settings(map[string]string{"shop": scanner("new")})
			r.pass(settled)
			sent := r.slack.all()
			if len(sent) != 1 || sent[0].channel != channelOf(r, "new") {
				t.Errorf("want one message in the new channel: %v", sent)
			}
			r.settings(map[string]string{"shop": scanner("newest")})
			r.pass(time.Hour)
			if n := len(r.slack.all()); n != 1 {
				t.Errorf("a changed webhook repeated what was told: %d messages", n)
			}
		})
	})
	for name, answer := range map[string]*slack.Error{"accepted": nil, "refused": {Kind: slack.Channel, Status: 404}} {
		t.Run("while a message is being "+name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.settings(map[string]string{"shop": scanner("old")})
				r.slack.slow = 10 * time.Second
				if answer != nil {
					r.slack.answer = failing(1, answer)
				}
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(groupWait + 5*time.Second)
				r.delete("shop", "app-0") // so that no look at the image brings the news again
				r.settings(map[string]string{"shop": scanner("new")})
				r.pass(removalGrace / 2)
				r.wantTexts("app1:v1 is running with")
				want := "old"
				if answer != nil {
					want = "new"
				}
				if got := r.slack.accepted()[0].channel; got != channelOf(r, want) {
					t.Errorf("told in %s, want the %s channel", got, want)
				}
			})
		})
	}
}

func TestScanDuringSendingIsNotToldTwice(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("shop")})
		r.slack.slow = 10 * time.Second
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(groupWait + 5*time.Second)
		c.set(func(c *fakeClair) {
			c.notified = []string{digest(1)}
			c.found[digest(1)] = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High}}
		})
		r.notify()
		r.pass(time.Hour)
		r.wantTexts("app1:v1 is running with 1 critical", "app1:v1: 1 newly disclosed high vulnerability")
	})
}

// TestNewsThatWasToldMeanwhile has the ledger learn of something between the look at an image and the
// turn of its news.
func TestNewsThatWasToldMeanwhile(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.w.book.Remember([]ledger.Told{toldOf("shop", 1)})
		r.pass(settled)
		r.wantTexts()
		r.wantCalls(1, "report", "index", "report", "report") // and looks again whether there is more
	})
}

// What Slack refuses in every form, twice, is not tried for ever: the channel is told that there is something, and the
// log has it.
func TestRefusedInEveryForm(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Second // it is the same news, however often its image is looked at meanwhile
		r.slack.answer = failing(6, &slack.Error{Kind: slack.Payload, Status: 400})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		if n := len(r.slack.all()); n != 3 {
			t.Fatalf("%d messages were sent, want 3", n)
		}
		r.pass(mendPause)
		sent := r.slack.all()
		if len(sent) != 7 || strings.Contains(sent[6].json, "app1") {
			t.Fatalf("sent %+v", sent)
		}
		r.wantLogged(1, `level=WARN msg="Slack refuses a message in every form`)
		r.wantLogged(6, `level=DEBUG msg="Slack refuses this form of a message"`)
		for line := range strings.Lines(r.log.String()) {
			if strings.Contains(line, "in every form") && !strings.Contains(line, "CVE-2026-0001") {
				t.Errorf("the log does not say what it was: %s", line)
			}
		}
		if got := r.metric("clairwatch_messages_total", "report", "unsaid"); got != 1 {
			t.Errorf("%v messages are counted as unsaid", got)
		}
		r.run(podOf("shop", "app-1", 2))
		r.pass(settled)
		r.wantTexts("Slack", "app2:v1 is running with") // the next one is whole
		r.cfg.Refresh = 0
		r.restart()
		r.pass(time.Hour)
		if n := len(r.slack.all()); n != 8 {
			t.Errorf("%d messages after a restart, want 8", n)
		}
	})
}

// A webhook that refuses even that takes nothing at all: it is tried now and then, with the whole message.
func TestRefusesEverything(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.slack.answer = failing(8, &slack.Error{Kind: slack.Payload, Status: 400})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		if got := r.metric("clairwatch_channels", "untried"); got != 1 {
			t.Errorf("%v channels are counted as untried", got)
		}
		r.pass(settled)
		if got := r.metric("clairwatch_channels", "payload"); got != 1 {
			t.Errorf("%v channels are counted as refusing", got)
		}
		if c := r.w.Channels(); len(c) != 1 || c[0].Trouble == nil || c[0].Waiting != 1 || !c[0].Next.After(time.Now()) || c[0].Since.After(time.Now()) {
			t.Errorf("the pages show %+v", c)
		}
		r.pass(mendPause) // all forms again, and the last one
		if n := len(r.slack.all()); n != 7 {
			t.Fatalf("%d messages were sent, want 7", n)
		}
		r.pass(mendPause)
		r.wantTexts("is running with")
		if c := r.w.Channels(); c[0].Trouble != nil || c[0].Waiting != 0 || c[0].Untried {
			t.Errorf("the pages show %+v", c)
		}
		if got := r.metric("clairwatch_channels", "ok"); got != 1 {
			t.Errorf("%v channels are well", got)
		}
	})
}

// A proxy that answers for Slack for a few seconds makes nobody miss anything.
func TestRefusedForAMoment(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.slack.answer = failing(3, &slack.Error{Kind: slack.Payload, Status: 400})
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range 7 {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		r.pass(mendPause + settled)
		r.wantTexts("Now watching 7 images…\"table\"…app1:v1")
	})
}
