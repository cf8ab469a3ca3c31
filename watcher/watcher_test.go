package watcher

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/slack"
)

func TestGrouping(t *testing.T) {
	begin := func(r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 100))
		r.start()
		r.pass(settled)
		r.wantTexts("app100:v1")
	}
	t.Run("additions restart the wait", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			begin(r)
			for i := range 7 {
				r.run(podOf("shop", string(rune('a'+i)), i+1))
				r.pass(groupWait - time.Second)
				r.wantTexts("app100:v1")
			}
			r.pass(2 * time.Second)
			r.wantTexts("app100:v1", "7 new images")
		})
	})
	t.Run("but not beyond the longest wait", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			begin(r)
			began := time.Now()
			for i := range 45 {
				r.run(podOf("shop", "app-"+digest(i + 1)[60:], i+1))
				r.pass(groupWait - time.Second)
			}
			r.pass(settled)
			r.wantTexts("app100:v1", "new images", "new images")
			if at := r.slack.all()[1].at.Sub(began); at != groupMax {
				t.Errorf("the first part came after %v, want %v", at, groupMax)
			}
		})
	})
	t.Run("untried images hold the group back", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].slow, r.clairs[clairBase].slots = 2*time.Minute, 1
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2), podOf("shop", "app-2", 3))
			r.start()
			r.pass(4*time.Minute + settled)
			r.wantTexts()
			r.pass(2 * time.Minute)
			r.wantTexts("Now watching 3 images")
		})
	})
	t.Run("until the longest wait", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].slow, r.clairs[clairBase].slots = 4*time.Minute, 1
			r.settings(map[string]string{"shop": scanner("shop")})
			for i := range 9 {
				r.run(podOf("shop", string(rune('a'+i)), i+1))
			}
			r.start()
			r.pass(4*time.Minute + groupMax + time.Second)
			r.wantTexts("Now watching 9 images…2 scanned so far")
			r.pass(time.Hour)
			sent := r.slack.accepted()
			if n := len(sent); n < 2 {
				t.Fatalf("%d messages, want the others to follow", n)
			}
			for i := range 9 {
				if _, told := r.w.book.Record(ledger.Destination{Key: "shop", Name: "default"}, digest(i+1)); !told {
					t.Errorf("image %d was never told", i+1)
				}
			}
		})
	})
	t.Run("a failed try counts", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.registry.failWith(func(n int) error {
				if n > 1 {
					return errors.New("connection refused")
				}
				return nil
			})
			r.cfg.Workers = 1
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
			r.start()
			r.pass(groupWait + 3*time.Second)
			if n := len(r.slack.all()); n != 1 {
				t.Errorf("%d messages, want 1", n)
			}
		})
	})
}

func TestStop(t *testing.T) {
	t.Run("scan in hand ends within grace", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			c := r.clairs[clairBase]
			c.slow, c.slots = grace-5*time.Second, 1
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
			r.start()
			began := time.Now()
			r.stop()
			if d := time.Since(began); d != c.slow {
				t.Errorf("stopped after %v, want the end of the scan after %v", d, c.slow)
			}
			if c.aborted != nil {
				t.Errorf("the scan was cut short: %v", c.aborted)
			}
			if n := strings.Count(strings.Join(c.called(), " "), "index"); n != 1 {
				t.Errorf("%d images were begun, want the one in hand", n)
			}
		})
	})
	t.Run("a longer one is cut short", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			c := r.clairs[clairBase]
			c.slow = time.Hour
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			began := time.Now()
			r.stop()
			if d := time.Since(began); d != grace {
				t.Errorf("stopped after %v, want %v", d, grace)
			}
			if !errors.Is(c.aborted, errGrace) {
				t.Errorf("cut short by %v, want %v", c.aborted, errGrace)
			}
			r.wantLogged(0, "could not be scanned")
			// The next start finds it again.
			c.set(func(c *fakeClair) { c.slow = 0 })
			r.start()
			r.pass(settled)
			r.wantTexts("app1:v1 is running with")
		})
	})
	t.Run("a message in hand is recorded", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.slack.slow = 10 * time.Second
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.pass(groupWait + time.Second)
			r.stop()
			r.start()
			r.pass(time.Hour)
			r.wantTexts("app1:v1 is running with")
		})
	})
	t.Run("a restart is silent", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.registry.failWith(func(n int) error {
				if n == 1 {
					return &slack.Error{Kind: slack.Temporary} // anything that is no registry error
				}
				return nil
			})
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
			r.start()
			r.pass(time.Hour)
			before := len(r.slack.all())
			if before == 0 {
				t.Fatal("nothing was told")
			}
			r.stop()
			resolved := r.registry.resolved()
			r.clairs[clairBase].called()
			r.start()
			r.pass(4 * time.Hour)
			if n := len(r.slack.all()); n != before {
				t.Errorf("%d messages after the restart", n-before)
			}
			r.wantCalls(resolved, "report", "report")
		})
	})
}
