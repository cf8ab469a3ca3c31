package watcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
)

// dataClair is a Clair of which only the data is asked for.
type dataClair struct {
	Clair
	state    func() (string, error)
	updates  func(etag string) (clair.Updates, error)
	requests int
}

func (c *dataClair) State(context.Context) (string, error) {
	c.requests++
	return c.state()
}

func (c *dataClair) Updates(_ context.Context, etag string) (clair.Updates, error) {
	return c.updates(etag)
}

func newDataClair(updates func(etag string) (clair.Updates, error)) *dataClair {
	return &dataClair{state: func() (string, error) { return "s1", nil }, updates: updates}
}

// noEvents are events of which nobody hears.
func noEvents() dataEvents { return onChange(func() {}) }

func onChange(changed func()) dataEvents {
	nobody := func(*awayError) {}
	return dataEvents{changed: changed, away: nobody, lasting: nobody, back: func(time.Duration) {}, hidden: func() {}}
}

var fiveMinutes = dataTimes{every: time.Minute, quiet: 5 * time.Minute, most: time.Hour}

func TestDataIsAskedForSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tags []string
		debian := updater("debian", time.Hour)
		c := newDataClair(func(etag string) (clair.Updates, error) {
			tags = append(tags, etag)
			if etag != "" {
				return clair.Updates{Unchanged: true, ETag: etag, Now: time.Now()}, nil
			}
			return clair.Updates{ETag: "e", Now: time.Now(), Updaters: []clair.Updater{debian}}, nil
		})
		s := newDataSource(noEvents())
		for range 30 * 60 {
			d, err := s.read(t.Context(), c, fiveMinutes)
			if err != nil || d.loading || len(d.updaters) != 1 || d.state != "s1" {
				t.Fatalf("got %+v, %v", d, err)
			}
			time.Sleep(time.Second)
		}
		whole := 0
		for _, tag := range tags {
			if tag == "" {
				whole++
			}
		}
		if c.requests != 30 || whole != 7 { // each minute until it has been the same for five, then every ten
			t.Errorf("asked %d times in half an hour, %d times for the whole list", c.requests, whole)
		}
	})
}

func TestDataCannotBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		c := newDataClair(func(string) (clair.Updates, error) {
			return clair.Updates{}, &clair.Error{Op: "listing updates", Kind: clair.NotFound, Status: 404}
		})
		c.state = func() (string, error) {
			if away {
				return "", errors.New("away")
			}
			return "s1", nil
		}
		s := newDataSource(noEvents())
		for range 60 { // many images at once, and retries
			if _, err := s.read(t.Context(), c, fiveMinutes); err == nil {
				t.Fatal("no error")
			}
			time.Sleep(time.Second)
		}
		if c.requests != 12 {
			t.Errorf("asked %d times in a minute", c.requests)
		}
		away = false
		time.Sleep(dataRetry)
		d, err := s.read(t.Context(), c, fiveMinutes)
		if err != nil || d.updaters != nil || d.loading || d.late || d.state != "s1" {
			t.Errorf("a Clair that hides its updates: %+v, %v", d, err)
		}
	})
}

func TestDataLoading(t *testing.T) {
	const skew = 3 * time.Hour // between Clair's clock and ours
	for name, test := range map[string]struct {
		ages          []time.Duration
		quiet         dataTimes
		loading, late bool
	}{
		"just set up":                   {[]time.Duration{0, 2 * time.Minute}, fiveMinutes, true, false},
		"quiet for long enough":         {[]time.Duration{5 * time.Minute, 10 * time.Minute}, fiveMinutes, false, false},
		"old, with a new one":           {[]time.Duration{time.Minute, 30 * 24 * time.Hour}, fiveMinutes, false, true},
		"for too long":                  {[]time.Duration{time.Minute, time.Hour}, fiveMinutes, false, true},
		"nobody waits":                  {[]time.Duration{0}, dataTimes{every: time.Minute}, false, false},
		"old":                           {[]time.Duration{24 * time.Hour}, fiveMinutes, false, false},
		"nothing yet":                   {nil, fiveMinutes, true, false},
		"nothing yet, and nobody waits": {nil, dataTimes{every: time.Minute}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newDataClair(func(string) (clair.Updates, error) {
					u := clair.Updates{ETag: "e", Now: time.Now().Add(skew)}
					for i, age := range test.ages {
						at := time.Now().Add(skew - age)
						u.Updaters = append(u.Updaters, clair.Updater{Name: string(rune('a' + i)), Vulnerabilities: true, First: at, Last: time.Now().Add(skew)})
					}
					return u, nil
				})
				s := newDataSource(noEvents())
				d, err := s.read(t.Context(), c, test.quiet)
				if err != nil || d.loading != test.loading || d.late != test.late || len(d.updaters) != len(test.ages) || d.updaters == nil {
					t.Errorf("got %+v, %v", d, err)
				}
			})
		})
	}
}

// An updater whose first update took an hour is dated by its beginning. It is new when it appears.
func TestDataAppearsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		first := clair.Updater{Name: "debian", Vulnerabilities: true, First: begin, Last: begin}
		list := []clair.Updater{first}
		c := newDataClair(func(etag string) (clair.Updates, error) {
			if etag == "e" { // the tag stays: the update that began last ended first
				return clair.Updates{Unchanged: true, ETag: etag, Now: time.Now()}, nil
			}
			return clair.Updates{ETag: "e", Now: time.Now(), Updaters: list}, nil
		})
		changes := 0
		s := newDataSource(onChange(func() { changes++ }))
		for _, step := range []struct {
			after   time.Duration
			list    []clair.Updater
			loading bool
		}{
			{0, list, true},
			{4 * time.Minute, append(list, clair.Updater{Name: "ubuntu", Vulnerabilities: true, First: begin, Last: begin}), true},
			{4 * time.Minute, append(list, clair.Updater{Name: "ubuntu", Vulnerabilities: true, First: begin, Last: begin}), true},
			{2 * time.Minute, append(list, clair.Updater{Name: "ubuntu", Vulnerabilities: true, First: begin, Last: begin}), false},
			{10 * time.Minute, append(list, clair.Updater{Name: "osv", Vulnerabilities: true, First: begin, Last: begin}), true},
			{3 * time.Minute, append(list, clair.Updater{Name: "osv", Vulnerabilities: true, First: begin, Last: begin}), true},
			{3 * time.Minute, append(list, clair.Updater{Name: "osv", Vulnerabilities: true, First: begin, Last: begin}), false},
		} {
			time.Sleep(step.after)
			list = step.list
			d, err := s.read(t.Context(), c, fiveMinutes)
			if err != nil || d.loading != step.loading {
				t.Errorf("%s after the beginning: %+v, %v", time.Since(begin), d, err)
			}
			if b := d.basis("http://clair/"); b.Clair != findings.NameID("http://clair/") || b.State != "s1" || len(b.Updaters) != len(list) {
				t.Errorf("basis %+v", b)
			}
		}
		if changes < 2 {
			t.Errorf("%d changes were noticed", changes)
		}
	})
}

// A Clair of several replicas that is upgraded shows two states in turn. Each change would have all of its images
// indexed anew.
func TestStateIsAdoptedWhenItStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shown := "s1"
		c := newDataClair(func(string) (clair.Updates, error) {
			return clair.Updates{}, &clair.Error{Op: "listing updates", Kind: clair.NotFound, Status: 404}
		})
		c.state = func() (string, error) { return shown, nil }
		changes := 0
		s := newDataSource(onChange(func() { changes++ }))
		for minute := range 60 {
			switch {
			case minute < 20: // by turns
				shown = []string{"s1", "s2"}[minute%2]
			case minute < 40:
				shown = "s2"
			default:
				shown = []string{"s1", "s2"}[minute%2]
			}
			d, err := s.read(t.Context(), c, fiveMinutes)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]string{true: "s1", false: "s2"}[minute < 24]; d.state != want {
				t.Errorf("minute %d: %s, want %s", minute, d.state, want)
			}
			time.Sleep(time.Minute)
		}
		if changes != 1 {
			t.Errorf("%d changes", changes)
		}
	})
}

// Newer data has all images looked at, once it has come to rest: neither a notification nor the hour tells of it.
func TestProbe(t *testing.T) {
	const images = 20
	found := []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical, updater: "debian"}}
	for name, test := range map[string]struct {
		updates  int           // of the two updaters, one each minute
		earliest time.Duration // after the first update
		latest   time.Duration
	}{
		"one update":      {1, dataQuiet, dataQuiet + 3*time.Minute},
		"several":         {8, 7*time.Minute + dataQuiet, 7*time.Minute + dataQuiet + 3*time.Minute},
		"without an end":  {90, dataMax, dataMax + 3*time.Minute},
		"nothing changes": {0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				c := r.clairs[clairBase]
				c.updaters = []clair.Updater{updater("debian", 24*time.Hour), updater("nvd", 24*time.Hour)}
				c.found = all(images, found)
				r.settings(map[string]string{"shop": scanner("shop")})
				for n := range images {
					r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
				}
				r.start()
				r.pass(time.Hour)
				c.called()
				began := time.Now()
				if test.updates > 0 {
					c.set(func(c *fakeClair) {
						c.found = all(images, append(slices.Clone(found), vulnerability{name: "CVE-2026-31415", severity: claircore.High, updater: "debian"}))
					})
				}
				for n := range test.updates {
					c.set(func(c *fakeClair) { c.updaters[n%2].Last = time.Now() })
					r.pass(time.Minute)
				}
				r.pass(3 * time.Hour)
				if test.updates == 0 {
					if calls := c.called(); len(calls) > 0 {
						t.Errorf("calls to Clair although nothing changed: %v", calls)
					}
					return
				}
				r.wantTexts("Now watching 20 images", "CVE-2026-31415…20 running images")
				if at := r.slack.all()[1].at.Sub(began); at < test.earliest || at > test.latest+groupWait {
					t.Errorf("told %v after the update, want %v to %v", at, test.earliest, test.latest)
				}
				// What has ended is looked at once, and what goes on once in dataMax.
				if calls := c.called(); len(calls) > 3*images {
					t.Errorf("%d calls to Clair for %d images", len(calls), images)
				}
			})
		})
	}
}

// A Clair that takes a moment to answer is looked at as often as one that does not.
func TestProbeOfASlowClair(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.lag = time.Second
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		asked := func() (n int) {
			c.set(func(c *fakeClair) { n, c.asked = c.asked, 0 })
			return n
		}
		asked()
		r.pass(time.Hour)
		if n := asked(); n < 2*50 || n > 2*60 { // for its state and for its updates
			t.Errorf("%d requests in an hour", n)
		}
	})
}

// Who waits for a Clair that does not answer does not ask it once more when the one before has given up.
func TestWaitingForAHangingClair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDataClair(nil)
		c.state = func() (string, error) {
			time.Sleep(time.Minute)
			return "", &clair.Error{Op: "asking", Kind: clair.Temporary}
		}
		s := newDataSource(noEvents())
		began := time.Now()
		for range 16 { // each waits for the one before
			if _, err := s.read(t.Context(), c, fiveMinutes); err == nil {
				t.Error("it has answered")
			}
		}
		if c.requests != 1 || time.Since(began) != time.Minute {
			t.Errorf("%d requests in %s", c.requests, time.Since(began))
		}
	})
}
