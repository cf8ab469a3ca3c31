package watcher

import (
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/ledger"
)

func TestRipen(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	times := groupTimes{wait: 10 * time.Second, most: time.Minute}
	d := ledger.Destination{Key: "shop", Name: "default"}
	tests := []struct {
		name    string
		added   []time.Duration // one piece of news each
		ripe    bool            // whether the first was ripe before
		times   groupTimes
		untried bool
		now     time.Duration
		want    int
		again   time.Duration
	}{
		{"nothing", nil, false, times, false, 0, 0, 0},
		{"too early", []time.Duration{0}, false, times, false, 4 * time.Second, 0, 6 * time.Second},
		{"quiet", []time.Duration{0}, false, times, false, 10 * time.Second, 1, 0},
		{"added since", []time.Duration{0, 8 * time.Second}, false, times, false, 10 * time.Second, 0, 8 * time.Second},
		{"quiet, untried", []time.Duration{0}, false, times, true, 10 * time.Second, 0, 50 * time.Second},
		{"not quiet, untried", []time.Duration{0}, false, times, true, 4 * time.Second, 0, 6 * time.Second},
		{"at the latest", []time.Duration{0, 58 * time.Second}, false, times, true, time.Minute, 2, 0},
		{"near the latest", []time.Duration{0, 52 * time.Second}, false, times, false, 55 * time.Second, 0, 5 * time.Second},
		{"ripe before the others", []time.Duration{0, 1}, true, times, true, time.Second, 1, 0},
		{"no waiting at all", []time.Duration{0}, false, groupTimes{}, true, 0, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPending()
			for i, at := range tt.added {
				p.add(&news{destination: d, subject: subject{digest: digest(i)}, ripe: tt.ripe && i == 0}, start.Add(at))
			}
			ripe, again := p.ripen([]ledger.Destination{d, {Key: "other", Name: "default"}}, tt.times, tt.untried, start.Add(tt.now))
			if len(ripe) != tt.want || again != tt.again {
				t.Errorf("%d ripe, again after %v; want %d, %v", len(ripe), again, tt.want, tt.again)
			}
		})
	}
}

func TestPendingInHand(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := ledger.Destination{Key: "shop", Name: "default"}
	of := func() *news { return &news{kind: kindReport, destination: d, subject: subject{digest: digest(1)}} }
	p := newPending()
	first, second := of(), of()
	p.add(first, now)
	p.add(second, now.Add(time.Second))
	if second.added != now {
		t.Error("newer news about the same waits anew")
	}
	if p.takeInHand([]*news{first}) {
		t.Error("what was replaced was taken in hand")
	}
	if !p.takeInHand([]*news{second}) {
		t.Fatal("what waits was not taken in hand")
	}
	p.add(of(), now)
	p.withdraw(topic{d, kindReport, second.subject})
	if ripe, _ := p.ripen([]ledger.Destination{d}, groupTimes{}, false, now); len(ripe) != 0 || p.count() != 1 {
		t.Errorf("in hand, but %d are ripe and %d wait", len(ripe), p.count())
	}
	if over := p.putBack([]*news{second}); len(over) != 1 {
		t.Errorf("%d were overtaken, want 1", len(over))
	}
	if ripe, _ := p.ripen([]ledger.Destination{d}, groupTimes{}, false, now); len(ripe) != 1 {
		t.Errorf("%d are ripe after it was put back, want 1", len(ripe))
	}
	if over := p.remove([]*news{second}); len(over) != 0 || p.count() != 0 || p.has([]ledger.Destination{d}) {
		t.Errorf("left over: %d, overtaken %d", p.count(), len(over))
	}
}
