package watcher

import (
	"fmt"
	"testing"

	"github.com/clairwatch/clairwatch/slack"
)

// News that no webhook takes does not pile up with every image that ever ran.
func TestDeadWebhookKeepsOnlyWhatRuns(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.slack.answer = func(slack.Webhook) error { return &slack.Error{Kind: slack.Channel} }
		r.settings(map[string]string{"shop": scanner("shop")})
		const gone = 5
		for i := range gone + 1 {
			r.run(podOf("shop", fmt.Sprintf("app-%d", i), i+1))
		}
		r.start()
		r.pass(settled)
		for i := range gone {
			r.delete("shop", fmt.Sprintf("app-%d", i))
		}
		r.pass(stale / 2)
		if got := r.metric("clairwatch_news_pending"); got != gone+1 {
			t.Errorf("%v pieces wait, want all as they are young", got)
		}
		r.pass(stale/2 + 2*mendPause)
		if got := r.metric("clairwatch_news_pending"); got != 1 {
			t.Errorf("%v pieces wait, want that of the image that runs", got)
		}
		if got := r.metric("clairwatch_news_dropped_total"); got != gone {
			t.Errorf("%v pieces counted as dropped, want %d", got, gone)
		}
		r.slack.mu.Lock()
		r.slack.answer = nil
		r.slack.mu.Unlock()
		r.pass(2 * mendPause)
		r.wantTexts("app6:v1 is running with")
	})
}

// What the settings do not name any more leaves nothing behind.
func TestTidy(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("one")})
		r.run(podOf("shop", "app", 1), podOf("other", "app", 1))
		r.start()
		r.pass(settled)
		r.delete("other", "app")
		r.settings(map[string]string{"shop": scanner("two")})
		if n := len(r.w.deliveries); n != 0 {
			t.Errorf("%d channels are remembered", n)
		}
		if _, said := r.w.unwatched.Load("other"); said {
			t.Error("a namespace without pods is remembered")
		}
	})
}
