package watcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// leading is a replica that runs.
type leading struct {
	*replica
	stop  func()
	began chan struct{} // closed when it leads
	ended chan struct{} // closed when its work is to end, and cause is why
	cause error
	done  chan struct{} // closed when run has returned, and err is what
	err   error
}

// run runs a replica whose work takes a while to end.
func run(t *testing.T, r *replica, while time.Duration, result error) *leading {
	ctx, stop := context.WithCancel(t.Context())
	l := &leading{replica: r, stop: stop, began: make(chan struct{}), ended: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.err = r.run(ctx, func(ctx context.Context) error {
			close(l.began)
			<-ctx.Done()
			l.cause = context.Cause(ctx)
			close(l.ended)
			time.Sleep(while)
			return result
		})
	}()
	return l
}

// begin waits until it leads.
func (l *leading) begin(t *testing.T) {
	t.Helper()
	select {
	case <-l.began:
	case <-time.After(time.Hour):
		t.Fatalf("it does not lead:\n%s", l.log)
	}
}

// happened says whether a channel is closed when all has been done that is to be done now.
func happened(ch <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func (l *leading) finish(t *testing.T, want error) {
	t.Helper()
	l.stop()
	<-l.done
	if !errors.Is(l.err, want) {
		t.Errorf("run returned %v, want %v", l.err, want)
	}
}

func TestLeaseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		a := run(t, c.replica(LeaseConfig{Identity: "a"}), 0, nil)
		if !happened(a.began) {
			t.Fatal("it does not lead")
		}
		for range 100 {
			until, ok := a.sendUntil()
			if left := time.Until(until); !ok || left <= 20*time.Second || left > 30*time.Second {
				t.Fatalf("it may send for %v (%v), want between two and three ninths of 45 s less than 30", left, ok)
			}
			time.Sleep(33 * time.Second)
		}
		if err := a.holds(t.Context()); err != nil {
			t.Error(err)
		}
		if l := c.lease(); holder(l) != "a" || *l.Spec.LeaseDurationSeconds != 45 || l.Labels[nameLabel] != "clairwatch" {
			t.Errorf("the Lease is %+v", l)
		}
		a.finish(t, nil)
		if a.err != nil || holder(c.lease()) != "" {
			t.Errorf("it ended with %v, and %q holds the Lease", a.err, holder(c.lease()))
		}
		if _, ok := a.sendUntil(); ok {
			t.Error("it may send after its end")
		}
	})
}

func TestLeaseStandsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		a := run(t, c.replica(LeaseConfig{Identity: "a"}), 20*time.Second, nil)
		if !happened(a.began) {
			t.Fatal("the first one does not lead")
		}
		b := run(t, c.replica(LeaseConfig{Identity: "b"}), 0, nil)
		time.Sleep(time.Hour)
		if happened(b.began) {
			t.Fatal("both lead")
		}
		if _, ok := b.sendUntil(); ok {
			t.Error("who stands by may send")
		}
		if n := strings.Count(b.log.String(), `leader=a`); n != 1 {
			t.Errorf("the log says %d times who leads, want once:\n%s", n, b.log)
		}
		// The work that is in hand is finished under the Lease.
		a.stop()
		time.Sleep(19 * time.Second)
		if !happened(a.ended) || happened(a.done) || happened(b.began) {
			t.Error("the Lease changed hands before the work had ended")
		}
		if until, ok := a.sendUntil(); !ok || time.Until(until) <= 20*time.Second {
			t.Error("the Lease is not renewed while work is finished")
		}
		<-a.done
		time.Sleep(15 * time.Second)
		if a.err != nil || !happened(b.began) {
			t.Errorf("the first one ended with %v, and the second one does not lead", a.err)
		}
		if a.term() != 0 || b.term() != 1 {
			t.Errorf("terms %d and %d, want 0 and 1", a.term(), b.term())
		}
		b.finish(t, nil)
	})
}

// TestLeaseCutOff has the leader lose the API server at any moment between two renewals.
func TestLeaseCutOff(t *testing.T) {
	for phase := range 6 {
		t.Run(fmt.Sprintf("%d s later", phase), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				a := run(t, c.replica(LeaseConfig{Identity: "a"}), 0, nil)
				b := c.replica(LeaseConfig{Identity: "b"})
				a.begin(t)
				next := run(t, b, 0, nil)
				time.Sleep(time.Minute + time.Duration(phase)*time.Second)
				a.link.set(true, 0)
				var last time.Time // until when it could have sent
				for !happened(next.began) {
					if until, ok := a.sendUntil(); ok && until.After(last) {
						last = until
					}
					time.Sleep(100 * time.Millisecond)
				}
				if !time.Now().After(last) {
					t.Errorf("the second one leads %v before the first one ends to send", time.Until(last))
				}
				if !happened(a.ended) || !errors.Is(a.cause, errLeaseLost) {
					t.Errorf("the work of the first one ended with %v", a.cause)
				}
				a.finish(t, errLeaseLost)
				a.link.set(false, 0)
				time.Sleep(time.Minute)
				if holder(c.lease()) != "b" || happened(next.ended) {
					t.Error("the second one does not lead any more")
				}
				next.finish(t, nil)
			})
		})
	}
}

func TestLeaseShortTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		a := run(t, c.replica(LeaseConfig{Identity: "a"}), 0, nil)
		a.begin(t)
		time.Sleep(time.Second)
		a.link.set(true, 0)
		time.Sleep(18 * time.Second)
		a.link.set(false, 0)
		time.Sleep(time.Minute)
		if until, ok := a.sendUntil(); happened(a.ended) || !ok || time.Until(until) < 20*time.Second {
			t.Error("it does not lead after 18 s without the API server")
		}
		a.finish(t, nil)
	})
}

// TestLeaseLateAnswer counts from when a request was sent: the others see the renewal before its answer.
func TestLeaseLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		r := c.replica(LeaseConfig{Identity: "a"})
		r.link.set(false, 4*time.Second) // reading it, then creating it
		begin := time.Now()
		a := run(t, r, 0, nil)
		a.begin(t)
		if until, ok := a.sendUntil(); !ok || until.Sub(begin) != 34*time.Second {
			t.Errorf("it may send until %v after it began (%v), want 4 s for reading and 30 after that", until.Sub(begin), ok)
		}
		a.finish(t, nil)
	})
}

func TestLeaseTaken(t *testing.T) {
	for name, to := range map[string]string{"by another one": "x", "and given to nobody": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				a := run(t, c.replica(LeaseConfig{Identity: "a"}), 0, nil)
				a.begin(t)
				time.Sleep(time.Minute)
				edit(c, "clairwatch", func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = &to })
				time.Sleep(5 * time.Second) // the next renewal sees it; it does not wait until it is too late
				if !happened(a.ended) || !errors.Is(a.cause, errLeaseLost) {
					t.Errorf("it goes on, or ended with %v", a.cause)
				}
				a.finish(t, errLeaseLost)
				if holder(c.lease()) != to {
					t.Errorf("%q has the Lease of somebody else", holder(c.lease()))
				}
			})
		})
	}
}

func TestLeaseDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		a := run(t, c.replica(LeaseConfig{Identity: "a"}), 0, nil)
		a.begin(t)
		c.delete("clairwatch")
		time.Sleep(10 * time.Second)
		if l := c.lease(); happened(a.ended) || l == nil || holder(l) != "a" {
			t.Errorf("the Lease is not there again: %v", l)
		}
		a.finish(t, nil)
	})
}

// TestLeaseOfPod starts a container again in its pod: it has the Lease of its predecessor, which is dead.
func TestLeaseOfPod(t *testing.T) {
	for _, test := range []struct {
		identity string
		wait     time.Duration // at the least
		term     uint64
	}{{"pod-1", 0, 1}, {"pod-2", 45 * time.Second, 2}} {
		t.Run(test.identity, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				first := run(t, c.replica(LeaseConfig{Identity: "pod-0"}), 0, nil)
				first.begin(t)
				first.finish(t, nil)
				killed := run(t, c.replica(LeaseConfig{Identity: "pod-1"}), 0, nil)
				killed.begin(t)
				killed.link.set(true, 0) // nothing is heard of it any more
				begin := time.Now()
				next := run(t, c.replica(LeaseConfig{Identity: test.identity}), 0, nil)
				next.begin(t)
				if waited := time.Since(begin); waited < test.wait || waited > test.wait+15*time.Second {
					t.Errorf("it leads after %v, want %v and the time between two tries", waited, test.wait)
				}
				if next.term() != test.term {
					t.Errorf("term %d, want %d", next.term(), test.term)
				}
				next.finish(t, nil)
				killed.stop()
				<-killed.done
			})
		})
	}
}

func TestLeaseStopStandingBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		a := run(t, c.replica(LeaseConfig{Identity: "a"}), 0, nil)
		a.begin(t)
		b := run(t, c.replica(LeaseConfig{Identity: "b"}), 0, errors.New("must not lead"))
		time.Sleep(12 * time.Second)
		b.finish(t, nil)
		if b.err != nil || happened(b.began) || holder(c.lease()) != "a" {
			t.Errorf("it ended with %v; %q holds the Lease", b.err, holder(c.lease()))
		}
		a.finish(t, nil)
	})
}

func TestLeaseOfFailedWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		r := c.replica(LeaseConfig{Identity: "a"})
		broken := errors.New("broken")
		if err := r.run(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
		if holder(c.lease()) != "" {
			t.Error("the Lease is not released")
		}
	})
}

func TestLeaseOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		a, b := run(t, c.replica(LeaseConfig{Off: true}), 0, nil), run(t, c.replica(LeaseConfig{Off: true}), 0, nil)
		if !happened(a.began) || !happened(b.began) {
			t.Fatal("they do not lead")
		}
		time.Sleep(48 * time.Hour)
		if until, ok := a.sendUntil(); !ok || time.Until(until) < time.Hour {
			t.Error("it may not send")
		}
		if err := a.holds(t.Context()); err != nil {
			t.Error(err)
		}
		a.finish(t, nil)
		if a.err != nil {
			t.Error(a.err)
		}
		b.lose()
		b.finish(t, errLeaseLost)
		if c.lease() != nil {
			t.Error("there is a Lease")
		}
	})
}

func TestLeaseHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		a := run(t, c.replica(LeaseConfig{Identity: "a"}), 0, nil)
		a.begin(t)
		a.link.set(true, 0)
		if err := a.holds(t.Context()); err == nil || errors.Is(err, errLeaseLost) || happened(a.ended) {
			t.Errorf("got %v from an API server that does not answer", err)
		}
		a.link.set(false, 0)
		if err := a.holds(t.Context()); err != nil {
			t.Error(err)
		}
		edit(c, "clairwatch", func(l *coordinationv1.Lease) { *l.Spec.HolderIdentity = "x" })
		if err := a.holds(t.Context()); !errors.Is(err, errLeaseLost) || !happened(a.ended) {
			t.Errorf("got %v from the Lease of somebody else, and the work goes on", err)
		}
		a.finish(t, errLeaseLost)
	})
}

func TestLeaseWithoutRights(t *testing.T) {
	for _, readable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			c.readable = readable
			c.refuse["clairwatch"] = apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "clairwatch", errors.New("no rule"))
			a := run(t, c.replica(LeaseConfig{Identity: "a"}), 0, nil)
			time.Sleep(time.Minute)
			if n := strings.Count(a.log.String(), "apply the manifest"); n != 1 || happened(a.began) {
				t.Errorf("readable %t: the log says %d times what to do, want once:\n%s", readable, n, a.log)
			}
			a.finish(t, nil)
		})
	}
}

// TestLeaseRefusedByNewServer has an API server refuse everything while it begins: nobody is told to mend the rights.
func TestLeaseRefusedByNewServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		refuse := func(on bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.refuse, "clairwatch")
			if on {
				c.refuse["clairwatch"] = apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "clairwatch", errors.New("no rule"))
			}
		}
		a := run(t, c.replica(LeaseConfig{Identity: "a"}), 0, nil)
		<-a.began
		b := run(t, c.replica(LeaseConfig{Identity: "b"}), 0, nil) // which only reads
		for range 3 {                                              // at each of its starts
			refuse(true)
			time.Sleep(rightsPatience - time.Second)
			refuse(false)
			time.Sleep(time.Minute)
		}
		for _, r := range []*leading{a, b} {
			if strings.Contains(r.log.String(), "apply the manifest") || happened(r.ended) {
				t.Errorf("%s: the log says what to do, or it has ended:\n%s", r.cfg.Identity, r.log)
			}
		}
		b.finish(t, nil)
		a.finish(t, nil)
	})
}

func TestLeaseTooShort(t *testing.T) {
	for duration, want := range map[time.Duration]string{2900 * time.Millisecond: "a Lease of 2s is too short", -time.Second: "too short", 3900 * time.Millisecond: ""} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			r := c.replica(LeaseConfig{Duration: duration})
			err := r.run(t.Context(), func(context.Context) error { return nil })
			if got := fmt.Sprint(err); (want == "") != (err == nil) || want != "" && !strings.Contains(got, want) {
				t.Errorf("%v: got %v, want %q", duration, err, want)
			}
			if want == "" && *c.lease().Spec.LeaseDurationSeconds != 3 {
				t.Errorf("the Lease is for %d s, want 3", *c.lease().Spec.LeaseDurationSeconds)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	c := newCluster(t)
	a, b := c.replica(LeaseConfig{}), c.replica(LeaseConfig{})
	if a.cfg.Identity == "" || a.cfg.Identity == b.cfg.Identity {
		t.Errorf("two on one host are %q and %q", a.cfg.Identity, b.cfg.Identity)
	}
}

// TestLeaseClocks has the two clocks disagree, as no test can have the machine's do.
func TestLeaseClocks(t *testing.T) {
	begin := now()
	l := &lease{cfg: LeaseConfig{Duration: 45 * time.Second}, leads: true, renewed: begin}
	for name, test := range map[string]struct{ monotonic, wall, left time.Duration }{
		"both agree":        {10 * time.Second, 10 * time.Second, 20 * time.Second},
		"machine suspended": {2 * time.Second, time.Hour, 30*time.Second - time.Hour},
		"clock set back":    {31 * time.Second, -time.Hour, -time.Second},
		"clock set ahead":   {time.Second, 5 * time.Second, 25 * time.Second},
	} {
		at := instant{begin.monotonic.Add(test.monotonic), begin.wall.Add(test.wall)}
		if got := l.left(at); got != test.left {
			t.Errorf("%s: %v are left, want %v", name, got, test.left)
		}
	}
}
