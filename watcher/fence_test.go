package watcher

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/clairwatch/clairwatch/slack"
)

// fencedSlack notes the messages whose request may last for longer than the Lease is sure.
type fencedSlack struct {
	Notifier
	lease atomic.Pointer[lease] // of the Watcher that sends

	mu      sync.Mutex
	sent    int // guarded by mu
	tooLong int // guarded by mu
}

func (f *fencedSlack) Send(ctx context.Context, w slack.Webhook, m slack.Message) error {
	ends, bounded := ctx.Deadline()
	until, leads := f.lease.Load().sendUntil()
	f.mu.Lock()
	f.sent++
	if !bounded || !leads || ends.After(until) {
		f.tooLong++
	}
	f.mu.Unlock()
	return f.Notifier.Send(ctx, w, m)
}

// A leader that does not reach the API server any more sends nothing that could still be under way when another one
// leads, although it has not lost the Lease yet; and no request lasts for longer than the Lease is sure. Whoever leads
// next tells it, once.
func TestSendingIsFenced(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.leases()
		var cut atomic.Bool
		r.kube.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			return cut.Load(), nil, errors.New("the API server does not answer")
		})
		fenced := &fencedSlack{Notifier: r.slack}
		r.cfg.Notifiers = map[string]Notifier{"slack": fenced}
		r.cfg.Lease = LeaseConfig{Name: "clairwatch", Identity: "a", Duration: 45 * time.Second}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		fenced.lease.Store(r.w.lease)
		r.pass(settled)
		r.wantTexts("app1:v1 is running")

		cut.Store(true)
		r.pass(16*time.Second - groupWait)
		r.run(podOf("shop", "app-1", 2)) // its news is ripe when less than a third of the Lease is left, and more than nothing
		r.pass(time.Second + groupWait)
		if until, leads := r.w.lease.sendUntil(); !leads || !r.w.leading.Load() {
			t.Fatalf("it leads no more: until %v", until)
		}
		r.pass(time.Minute)
		if err := r.end(); !errors.Is(err, errLeaseLost) {
			t.Errorf("Run returned %v", err)
		}
		r.end = nil
		r.wantTexts("app1:v1 is running")

		cut.Store(false)
		r.cfg.Lease.Identity = "b"
		r.start()
		fenced.lease.Store(r.w.lease)
		r.pass(settled + time.Minute)
		r.wantTexts("app1:v1 is running", "app2:v1 is running")
		fenced.mu.Lock()
		defer fenced.mu.Unlock()
		if fenced.sent != 2 || fenced.tooLong > 0 {
			t.Errorf("of %d requests %d may last for longer than the Lease", fenced.sent, fenced.tooLong)
		}
	})
}
