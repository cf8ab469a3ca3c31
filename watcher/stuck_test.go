package watcher

import (
	"encoding/binary"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clairwatch/clairwatch/clair"
)

// What was read in between, or will never be, is not stuck: when it cannot be read later its hour begins then.
func TestNotifyStuckInBetween(t *testing.T) {
	for name, end := range map[string]error{"read": nil, "refused": &clair.Error{Kind: clair.Unauthorized, Status: 401}} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				c := r.clairs[clairBase]
				r.settings(map[string]string{"shop": scanner("shop")})
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(settled)
				h := r.w.Notify()
				deliver := func(answer error, want int) {
					t.Helper()
					c.set(func(c *fakeClair) {
						c.fail = func(call string) error {
							if call == "notified" {
								return answer
							}
							return nil
						}
					})
					if got := <-r.deliver(t.Context(), h, strings.NewReader(hook)); got != want {
						t.Errorf("%v: status %d, want %d", answer, got, want)
					}
				}
				down := &clair.Error{Kind: clair.Temporary, Status: 500}
				deliver(down, http.StatusServiceUnavailable)
				r.pass(time.Minute)
				deliver(end, http.StatusOK)
				r.pass(2 * stuckPatience)
				deliver(down, http.StatusServiceUnavailable)
				r.pass(stuckPatience - time.Minute)
				deliver(down, http.StatusServiceUnavailable)
				r.pass(time.Minute)
				deliver(down, http.StatusOK)
			})
		})
	}
}

// Ids that somebody makes up neither fill the memory nor keep those of Clair from being given up one day.
func TestManyStuck(t *testing.T) {
	box := &inbox{stuck: make(map[uuid.UUID]time.Time)}
	now := time.Now()
	for n := range 10 * mostStuck {
		var id uuid.UUID
		binary.BigEndian.PutUint64(id[:], uint64(n))
		if got := box.judge(id, hintRetry, now); got != hintRetry {
			t.Fatalf("id %d is %s", n, got)
		}
		if len(box.stuck) > mostStuck {
			t.Fatalf("%d are remembered", len(box.stuck))
		}
	}
	id := uuid.MustParse(notification)
	var got hint
	for range 2 * int(stuckPatience/time.Minute) { // Clair delivers it again and again
		if got = box.judge(id, hintRetry, now); got != hintRetry {
			break
		}
		now = now.Add(time.Minute)
	}
	if got != hintIncomplete {
		t.Errorf("it is %s after two hours", got)
	}
}
