package watcher

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/clairwatch/clairwatch/slack"
)

// A simpler form was for the message that Slack refused. What comes first in its place is sent whole.
func TestNextMessageIsWhole(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.remember(toldOf("shop", 8), toldOf("blog", 9)) // so that there is a message for each image
		r.slack.answer = failing(1, &slack.Error{Kind: slack.Payload, Status: 400})
		r.settings(map[string]string{"shop": scanner("all"), "blog": scanner("all")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2))
		r.start()
		r.pass(groupWait + pace/2)
		if sent := r.slack.all(); len(sent) != 1 || !strings.Contains(sent[0].text, "app1:v1") {
			t.Fatalf("sent %+v", sent)
		}
		r.settings(map[string]string{"blog": scanner("all")}) // nobody is to hear of the first any more
		r.pass(settled)
		r.wantTexts(`app2:v1 is running with…"type":"table"`)
	})
}

// Slack may ask for less than the pace.
func TestPaceAfterRateLimit(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.slack.answer = failing(3, &slack.Error{Kind: slack.RateLimited, RetryAfter: pace / 2})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		sent := r.slack.all()
		if len(sent) != 4 {
			t.Fatalf("%d messages were sent, want 4", len(sent))
		}
		for i := range sent[1:] {
			if between := sent[i+1].at.Sub(sent[i].at); between < pace {
				t.Errorf("message %d was sent %v after the one before", i+1, between)
			}
		}
	})
}

// The pages say since when a channel is in trouble, however often it was tried since, and which of them is.
func TestTroubleSince(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		shop, blog := r.channel("shop"), r.channel("blog")
		r.slack.set(func(w slack.Webhook) error {
			if w == shop {
				return &slack.Error{Kind: slack.Channel, Status: 404}
			}
			return nil
		})
		r.settings(map[string]string{"blog": scanner("blog"), "shop": scanner("shop")})
		r.run(podOf("blog", "app-0", 1), podOf("shop", "app-0", 2), podOf("shop", "app-1", 3))
		r.start()
		r.pass(settled)
		first := r.slack.all()
		r.pass(3 * mendPause)
		var failed []message
		for _, m := range r.slack.all() {
			if m.err != nil {
				failed = append(failed, m)
			}
		}
		if len(first) != 2 || len(failed) != 4 {
			t.Fatalf("sent %d and then %d in vain, want 2 and 4", len(first), len(failed))
		}
		got := r.w.Channels()
		if len(got) != 2 || got[0].Channel != shop || got[1].Channel != blog {
			t.Fatalf("the channel in trouble is not the first: %+v", got)
		}
		if !got[0].Since.Equal(failed[0].at) || !got[0].Next.Equal(failed[3].at.Add(mendPause)) {
			t.Errorf("since %v and again %v, want %v and %v", got[0].Since, got[0].Next, failed[0].at, failed[3].at.Add(mendPause))
		}
		if got[0].Waiting != 2 || got[1].Waiting != 0 || got[1].Trouble != nil || !got[1].Since.IsZero() || !got[1].Next.IsZero() {
			t.Errorf("got %+v", got)
		}
		for state, want := range map[channelState]float64{channelOK: 1, "channel": 1, "temporary": 0, channelUnrecorded: 0} {
			if n := r.metric("clairwatch_channels", string(state)); n != want {
				t.Errorf("%v channels are %s, want %v", n, state, want)
			}
		}
	})
}

// A channel that took a message which the ledger cannot remember is no channel that Slack has trouble with.
func TestTroubleOfTheLedger(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		var works atomic.Bool
		r.kube.PrependReactor("patch", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
			if patch, ok := a.(clienttesting.PatchAction); works.Load() || !ok || !strings.Contains(patch.GetName(), "-ledger-") {
				return false, nil, nil
			}
			return true, nil, errors.New("etcd has no leader")
		})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		if n := r.metric("clairwatch_channels", string(channelUnrecorded)); n != 1 {
			t.Errorf("%v channels are unrecorded: %+v", n, r.w.Channels())
		}
		works.Store(true)
		r.pass(time.Hour)
		if n := r.metric("clairwatch_channels", string(channelOK)); n != 1 {
			t.Errorf("%v channels are well: %+v", n, r.w.Channels())
		}
		r.wantTexts("app1:v1 is running with")
	})
}

// channel is the webhook of a channel's settings.
func (r *rig) channel(name string) slack.Webhook {
	r.t.Helper()
	w, err := r.cfg.Webhook(webhook(name))
	r.check(err)
	return w
}
