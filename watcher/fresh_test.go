package watcher

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

// Clair makes notifications again that were deleted. What has been looked at since it has its data is not looked at
// again for them.
func TestNotifyAgain(t *testing.T) {
	for name, hides := range map[string]bool{"a Clair that says what data it has": false, "one that hides it": true} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				c := r.clairs[clairBase]
				if !hides {
					c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
				}
				r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
				r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2))
				r.start()
				r.pass(settled)
				c.called()
				c.set(func(c *fakeClair) {
					c.notified = []string{digest(1), digest(99)}
					if !hides {
						c.updaters[0].Last = time.Now()
					}
				})
				reports := func() (n int) {
					r.notify()
					r.pass(time.Minute) // of which the probe makes nothing yet
					for _, call := range c.called() {
						if call == "report" {
							n++
						}
					}
					return n
				}
				again := 0
				if hides {
					again = 1
				}
				for i, want := range []int{1, again, again} {
					if got := reports(); got != want {
						t.Errorf("notification %d: %d reports, want %d", i+1, got, want)
					}
				}
				if got := r.metric("clairwatch_notifications_total", string(hintFresh)); got != float64(2-2*again) {
					t.Errorf("counted %v as fresh", got)
				}
				c.set(func(c *fakeClair) { c.notified = []string{digest(99)} })
				reports()
				if got := r.metric("clairwatch_notifications_total", string(hintIdle)); got != 1 {
					t.Errorf("counted %v as idle", got)
				}
			})
		})
	}
}

// What is known of a Clair's data has a number that changes with it.
func TestDataEdition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := []clair.Updater{updater("debian", time.Hour)}
		state := "s1"
		c := newDataClair(func(etag string) (clair.Updates, error) {
			return clair.Updates{ETag: "e", Now: time.Now(), Updaters: slices.Clone(list)}, nil
		})
		c.state = func() (string, error) { return state, nil }
		s := newDataSource(noEvents())
		read := func() uint64 {
			t.Helper()
			d, err := s.readNow(t.Context(), c, dataTimes{every: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			return d.edition
		}
		first := read()
		if first == 0 || read() != first {
			t.Error("another edition of the same data")
		}
		for _, step := range []struct {
			name   string
			change func()
		}{
			{"newer", func() { list[0].Last = list[0].Last.Add(time.Second) }},
			{"an updater", func() { list = append(list, updater("osv", time.Minute)) }},
			{"one less", func() { list = list[:1] }},
			{"another state", func() { state = "s2" }},
		} {
			before := read()
			step.change()
			if after := read(); after == before || read() != after {
				t.Errorf("%s: edition %d after %d", step.name, after, before)
			}
		}
	})
}

// A notification that Clair cannot give is not waited for in ever: nothing behind it is delivered.
func TestNotifyStuck(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) {
			c.fail = func(call string) error {
				if call == "notified" {
					return &clair.Error{Kind: clair.Temporary, Status: 500}
				}
				return nil
			}
		})
		h := r.w.Notify()
		for minute := range 3 * 60 {
			c.called()
			got := <-r.deliver(t.Context(), h, strings.NewReader(hook))
			want := http.StatusServiceUnavailable
			if minute%61 == 60 { // another hour: it begins anew
				want = http.StatusOK
			}
			if got != want {
				t.Fatalf("minute %d: %d, want %d", minute, got, want)
			}
			r.pass(deletePause)
			if calls := strings.Count(strings.Join(c.called(), " "), "report"); got == http.StatusOK && calls != 2 {
				t.Errorf("it was given up, and %d of 2 images were looked at", calls)
			}
			r.pass(time.Minute - deletePause)
		}
	})
}

// Who sends one id after the other of a Clair without a notifier does not keep it busy with all of its reports.
func TestNotifyWhole(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c.set(func(c *fakeClair) {
			c.fail = func(call string) error {
				if call == "notified" {
					return &clair.Error{Kind: clair.NotFound, Status: 404}
				}
				return nil
			}
		})
		c.called()
		h := r.w.Notify()
		for range 60 * 60 {
			if got := <-r.deliver(t.Context(), h, strings.NewReader(hook)); got != http.StatusOK {
				t.Fatalf("status %d", got)
			}
			r.pass(time.Second)
		}
		r.pass(wholePause)
		if calls := strings.Count(strings.Join(c.called(), " "), "report"); calls < 6 || calls > 8 {
			t.Errorf("looked at everything %d times in an hour, want each ten minutes, and once after the last", calls)
		}
	})
}

// What anybody can send does not fill the log.
func TestNotifyNonsense(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		h := r.w.Notify()
		for range 100 {
			for _, body := range []string{"nonsense", `{"notification_id":"` + notification + `","callback":"http://u:p@foreign/a/id?x=y#z"}`} {
				if got := <-r.deliver(t.Context(), h, strings.NewReader(body)); got != http.StatusOK {
					t.Errorf("status %d", got)
				}
			}
		}
		r.wantLogged(1, "ignored a webhook that is not Clair's")
		r.wantLogged(1, `ignored a webhook: its callback begins with no clairBaseUrl`)
		r.wantLogged(1, "callback=http://foreign/a/ known=[http://clair.clair:6000/]")
		r.pass(refusalPause)
		<-r.deliver(t.Context(), h, strings.NewReader("nonsense"))
		r.wantLogged(2, "ignored a webhook that is not Clair's")
	})
}
