package watcher

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

// counted are events that are counted, by name. after is what the last back said.
func counted(counts map[string]int, after *time.Duration) dataEvents {
	return dataEvents{
		changed: func() { counts["changed"]++ },
		away:    func(*awayError) { counts["away"]++ },
		lasting: func(*awayError) { counts["lasting"]++ },
		back:    func(d time.Duration) { counts["back"]++; *after = d },
		hidden:  func() { counts["hidden"]++ },
	}
}

// Each event is one, however often a Clair is asked: all of its images are looked at because of some of them.
func TestDataEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away, hides error
		list := []clair.Updater{updater("debian", 24*time.Hour)}
		c := newDataClair(func(string) (clair.Updates, error) {
			return clair.Updates{Now: time.Now(), Updaters: slices.Clone(list)}, hides
		})
		state := "s1"
		c.state = func() (string, error) { return state, away }
		got := make(map[string]int)
		var after time.Duration
		s := newDataSource(counted(got, &after))
		for _, step := range []struct {
			name   string
			change func()
			want   map[string]int
		}{
			{"as it is from the start", func() {}, nil},
			{"away", func() { away = &clair.Error{Kind: clair.Temporary} }, map[string]int{"away": 1, "lasting": 1}},
			{"back", func() { away = nil }, map[string]int{"back": 1}},
			{"hides what it has", func() { hides = &clair.Error{Kind: clair.NotFound} }, map[string]int{"hidden": 1}},
			{"as before, but who knows what it has had meanwhile", func() { hides = nil }, map[string]int{"changed": 1}},
			{"newer data", func() { list[0].Last = time.Now() }, map[string]int{"changed": 1}},
			{"hides it again", func() { hides = &clair.Error{Kind: clair.Unauthorized} }, map[string]int{"hidden": 1}},
			{"in another way", func() { hides = &clair.Error{Kind: clair.Invalid} }, nil},
			{"another state", func() { state = "s2" }, map[string]int{"changed": 1}},
			{"no state for a while", func() { state = "" }, nil},
		} {
			step.change()
			clear(got)
			for range 30 * 60 / 5 { // for half an hour
				_, _ = s.read(t.Context(), c, fiveMinutes)
				time.Sleep(dataRetry)
			}
			if !maps.Equal(got, step.want) {
				t.Errorf("%s: %v, want %v", step.name, got, step.want)
			}
		}
		if after != 30*time.Minute {
			t.Errorf("it was away for %s", after)
		}
	})
}

// A list that was hidden for a moment is neither relied on meanwhile nor new afterwards.
func TestDataHiddenForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hides error
		c := newDataClair(func(string) (clair.Updates, error) {
			return clair.Updates{Now: time.Now(), Updaters: []clair.Updater{updater("debian", 24*time.Hour)}}, hides
		})
		s := newDataSource(noEvents())
		read := func() data {
			t.Helper()
			d, err := s.read(t.Context(), c, fiveMinutes)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			return d
		}
		read()
		hides = &clair.Error{Kind: clair.NotFound}
		if d := read(); d.updaters != nil || d.edition != 0 {
			t.Errorf("it does not say what it has: %+v", d)
		}
		hides = nil
		if d := read(); len(d.updaters) != 1 || d.loading || d.late || d.edition == 0 {
			t.Errorf("it says again what it has: %+v", d)
		}
	})
}

// How long is waited for further updaters is what is left of the shorter one of both times.
func TestDataLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for oldest, want := range map[time.Duration]time.Duration{10 * time.Minute: 4 * time.Minute, 58 * time.Minute: 2 * time.Minute} {
			c := newDataClair(func(string) (clair.Updates, error) {
				return clair.Updates{Now: time.Now(), Updaters: []clair.Updater{updater("debian", oldest), updater("osv", time.Minute)}}, nil
			})
			d, err := newDataSource(noEvents()).read(t.Context(), c, fiveMinutes)
			if err != nil || !d.loading || d.left != want {
				t.Errorf("the oldest is %s old: %+v, %v, want %s", oldest, d, err, want)
			}
		}
	})
}

// What was asked for before a time and answered after it is not as it was then.
func TestDataSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDataClair(func(string) (clair.Updates, error) {
			return clair.Updates{Now: time.Now(), Updaters: []clair.Updater{updater("debian", 24*time.Hour)}}, nil
		})
		c.state = func() (string, error) {
			time.Sleep(10 * time.Second)
			return "s1", nil
		}
		s := newDataSource(noEvents())
		before := time.Now()
		time.Sleep(time.Second)
		if _, err := s.read(t.Context(), c, fiveMinutes); err != nil {
			t.Fatal(err)
		}
		between := time.Now().Add(-5 * time.Second)
		for _, step := range []struct {
			since    time.Time
			requests int
		}{{before, 1}, {between, 2}, {between, 2}} {
			if _, err := s.readSince(t.Context(), c, fiveMinutes, step.since); err != nil {
				t.Fatal(err)
			}
			if c.requests != step.requests {
				t.Errorf("asked %d times, want %d", c.requests, step.requests)
			}
		}
	})
}

// Who wants to know of a Clair that does not answer hears so at once, also while it is asked once more.
func TestDataOfAClairThatIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDataClair(nil)
		c.state = func() (string, error) {
			time.Sleep(time.Minute)
			return "", &clair.Error{Op: "asking", Kind: clair.Temporary}
		}
		s := newDataSource(noEvents())
		if _, err := s.read(t.Context(), c, fiveMinutes); err == nil {
			t.Fatal("it has answered")
		}
		time.Sleep(dataRetry)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = s.read(t.Context(), c, fiveMinutes)
		}()
		synctest.Wait()
		for name, read := range map[string]func() (data, error){
			"read":      func() (data, error) { return s.read(t.Context(), c, fiveMinutes) },
			"readNow":   func() (data, error) { return s.readNow(t.Context(), c, fiveMinutes) },
			"readSince": func() (data, error) { return s.readSince(t.Context(), c, fiveMinutes, time.Now()) },
		} {
			_, err := read()
			if _, away := errors.AsType[*awayError](err); !away {
				t.Errorf("%s: %v", name, err)
			}
			select {
			case <-done:
				t.Errorf("%s has waited for the one before", name)
			default:
			}
		}
		<-done
	})
}
