package watcher

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
)

const (
	wentAway = "this Clair does not answer, or refuses; its images wait"
	cameBack = "this Clair answers again"
)

// A Clair that is away is told once, for all that it is asked about, however the images' turns are spread; and once it
// is back all of them are looked at, and nothing is told that is no news.
func TestClairAway(t *testing.T) {
	const images = 30
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scannerAt(secondBase, "blog")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.run(podOf("blog", "app", 99))
		r.start()
		r.pass(3 * time.Hour)
		r.wantEach("shop", "Now watching 30 images")
		c.called()
		c.set(func(c *fakeClair) {
			c.away = &clair.Error{Op: "asking for the indexer's state", Kind: clair.Temporary, Status: 500}
		})

		r.pass(awayPatience)
		r.wantLogged(1, wentAway)
		r.wantEach("shop", "Now watching 30 images")
		r.pass(4 * time.Hour)
		r.wantEach("shop", "Now watching 30 images", "30 images…could not be scanned…Clair does not answer")
		r.wantLogged(1, wentAway)
		r.wantLogged(0, `level=WARN msg="image could not be scanned"`)
		if calls := c.called(); len(calls) > 0 {
			t.Errorf("a Clair that is away is asked for %v", calls)
		}

		c.set(func(c *fakeClair) {
			c.away = nil
			c.found = all(images, []vulnerability{
				{name: "CVE-2026-0001", severity: claircore.Critical},
				{name: "CVE-2026-31415", severity: claircore.High, updater: "debian"},
			})
		})
		r.pass(15 * time.Minute)
		r.wantLogged(1, cameBack)
		r.wantEach("shop", "Now watching 30 images", "30 images…could not be scanned", "CVE-2026-31415…30 running images",
			"30 images* are scanned again")
		if got := r.w.progress.count(); got[StateScanned] != images+1 {
			t.Errorf("states: %v", got)
		}
		r.wantEach("blog", "app99:v1 is running with") // who has another Clair hears nothing of it
	})
}

// A Clair that restarts is nobody's business.
func TestClairAwayForAMoment(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		for range 20 {
			c.set(func(c *fakeClair) { c.away = &clair.Error{Kind: clair.Temporary} })
			r.run(podOf("shop", "new", 2)) // which has not been scanned at all
			r.pass(awayPatience - time.Minute)
			c.set(func(c *fakeClair) { c.away = nil })
			r.pass(10 * time.Minute)
			r.delete("shop", "new")
			r.pass(time.Minute)
		}
		r.wantTexts("app1:v1 is running with", "app2:v1 is running with")
		r.wantLogged(20, wentAway)
		r.wantLogged(20, cameBack)
	})
}

// An image that comes while a Clair has been away for long is told at once, and a restart repeats nothing.
func TestClairAwayForAnImageThatComes(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.away = &clair.Error{Kind: clair.Temporary}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(time.Hour)
		r.wantTexts("app1:v1…could not be scanned")
		r.run(podOf("shop", "app-1", 2))
		r.pass(settled)
		r.wantTexts("app1:v1…could not be scanned", "app2:v1…could not be scanned")
		r.restart()
		r.pass(time.Hour)
		r.wantTexts("app1:v1…could not be scanned", "app2:v1…could not be scanned")
		c.set(func(c *fakeClair) { c.away = nil })
		r.pass(15 * time.Minute)
		r.wantTexts("app1:v1…could not be scanned", "app2:v1…could not be scanned", "app1:v1 is running with", "app2:v1 is running with")
	})
}

// hangingClair does not answer at all.
type hangingClair struct{ *fakeClair }

func (c hangingClair) State(ctx context.Context) (string, error) {
	c.set(func(c *fakeClair) { c.asked++ })
	select {
	case <-time.After(time.Minute): // the client's own limit
		return "", &clair.Error{Kind: clair.Temporary}
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// A Clair that hangs holds up neither the images of another one nor the workers.
func TestClairHangs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		good := r.clairs[secondBase]
		hung := r.clairs[clairBase]
		r.cfg.Backends["clair"] = func(base string) (Clair, error) {
			if base == clairBase {
				return hangingClair{hung}, nil
			}
			return good, nil
		}
		settings := map[string]string{"blog": scannerAt(secondBase, "blog")}
		for n := range 40 {
			namespace := fmt.Sprintf("shop-%d", n)
			settings[namespace] = scanner("shop")
			r.run(podOf(namespace, "app", n+1))
		}
		r.settings(settings)
		r.run(podOf("blog", "app", 99))
		r.start()
		r.pass(settled)
		r.wantTexts("app99:v1 is running with")
		r.pass(30 * time.Minute)
		r.wantTexts("app99:v1 is running with", "40 images could not be scanned…Clair does not answer")
		var asked int
		hung.set(func(c *fakeClair) { asked = c.asked })
		if asked > 31 { // one after the other, each for a minute
			t.Errorf("asked %d times in half an hour", asked)
		}
	})
}

// A webhook's time is over before that of a Clair that hangs: it says nothing about the Clair.
func TestDataWhileTheCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDataClair(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.state = func() (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		events := noEvents()
		events.away = func(err *awayError) { t.Errorf("said to be away: %v", err) }
		s := newDataSource(events)
		done := make(chan error)
		go func() {
			_, err := s.readNow(ctx, c, fiveMinutes)
			done <- err
		}()
		synctest.Wait()
		if _, err := s.read(ctx, c, fiveMinutes); err == nil { // it waits for the one before
			t.Error("no error")
		}
		if err := <-done; err == nil {
			t.Error("no error")
		}
	})
}

// A Clair that says what data it has, or whose gateway hides that, and gives no reports, is told like one that is away.
func TestClairGivesNoReports(t *testing.T) {
	const images = 100
	for name, kind := range map[string]clair.Kind{"errors": clair.Temporary, "it wants another key": clair.Unauthorized} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.cfg.Refresh = time.Hour
				c := r.clairs[clairBase]
				c.found = all(images, []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}})
				for n := range images {
					c.indexed[digest(n+1)] = true
					r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
				}
				r.settings(map[string]string{"shop": scanner("shop")})
				r.start()
				r.pass(3 * time.Hour)
				r.wantTexts("Now watching 100 images")
				c.set(func(c *fakeClair) { c.fail = func(string) error { return &clair.Error{Kind: kind, Status: 500} } })
				r.pass(4 * time.Hour)
				r.wantTexts("Now watching 100 images", "100 images could not be scanned: Clair does not answer")
				r.wantLogged(1, "this Clair gives no reports; its images wait")
				if n := strings.Count(r.log.String(), `level=WARN msg="image could not be scanned"`); n > 10 {
					t.Errorf("%d lines of the log say that an image could not be scanned", n)
				}
				c.set(func(c *fakeClair) { c.fail = nil })
				r.pass(30 * time.Minute)
				r.wantTexts("Now watching 100 images", "100 images could not be scanned", "100 images are scanned again")
				r.wantLogged(1, "this Clair gives reports again")
			})
		})
	}
}

// One image whose report cannot be had is no reason to look at all others again and again.
func TestOneReportCannotBeHad(t *testing.T) {
	const images = 50
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		for n := range images {
			c.indexed[digest(n+1)] = true
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.settings(map[string]string{"shop": scanner("shop")})
		c.failOf = map[string]error{digest(1): &clair.Error{Kind: clair.Temporary}, digest(2): &clair.Error{Kind: clair.Temporary}}
		r.start()
		r.pass(time.Minute)
		c.called()
		r.pass(24 * time.Hour)
		r.wantTexts("Now watching 48 images", "2 images could not be scanned")
		tries := 2 * int(24*time.Hour/lastRetry)
		if calls := len(c.called()); calls > 3*images+2*tries {
			t.Errorf("%d reports of %d images in a day", calls, images)
		}
	})
}

// One answer that is an error does not cost the images that wait to be indexed their places, nor the registry a request
// for each of them.
func TestClairAwayWhileImagesWait(t *testing.T) {
	const images = 60
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		c.slots, c.slow = 1, 20*time.Second
		r.settings(map[string]string{"shop": scanner("shop")})
		for n := range images {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.start()
		for range 10 {
			c.set(func(c *fakeClair) { c.away = &clair.Error{Kind: clair.Temporary, Status: 500} })
			r.pass(time.Minute)
			c.set(func(c *fakeClair) { c.away = nil })
			r.pass(3 * time.Minute)
		}
		r.pass(time.Hour)
		if got := r.w.progress.count(); got[StateScanned] != images {
			t.Errorf("states: %v", got)
		}
		if got := r.registry.resolved(); got > images+5 {
			t.Errorf("%d requests to the registry for %d images", got, images)
		}
	})
}
