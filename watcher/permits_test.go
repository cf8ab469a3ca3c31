package watcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

// The pages, and who has a slot to index, ask for reports beside those that stand in line: no more of all of them than
// the Clair is to give at once. Who leaves before its turn asks for none.
func TestReportsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeClair()
		c.reportSlots, c.reportLag = 2, time.Second
		all := newClairs(1, func(string) (Clair, error) { return c, nil }, func(image) {}, func(string) clairEvents {
			return clairEvents{dataEvents: noEvents(), unmuted: func(time.Duration) {}}
		})
		s, err := all.at(clairBase)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 7 {
			group.Go(func() { _, _ = s.Report(t.Context(), digest(1)) })
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Report(ctx, digest(1)); !errors.Is(err, context.Canceled) {
			t.Errorf("who has left got %v", err)
		}
		group.Wait()
		if c.mostReports != 2 || len(c.called()) != 7 {
			t.Errorf("asked for %d at once", c.mostReports)
		}
	})
}

// What a Clair says about one image is an answer; what it does not say, and that somebody has left, is none.
func TestIsMute(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{&clair.Error{Kind: clair.NotFound, Status: 404}, false},
		{&clair.Error{Kind: clair.NotReady, Status: 202}, false},
		{&clair.Error{Kind: clair.TooLarge, Status: 200}, false},
		{fmt.Errorf("image a: %w", &clair.Error{Kind: clair.Invalid, Status: 400}), false},
		{&clair.Error{Kind: clair.Temporary, Status: 500}, true},
		{&clair.Error{Kind: clair.Unauthorized, Status: 401}, true},
		{&clair.Error{Kind: clair.NoKey}, true},
		{context.Canceled, true},
	} {
		if got := isMute(test.err); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
	}
}
