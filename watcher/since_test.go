package watcher

import (
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/slack"
)

// since is when a namespace was first told of image number n.
func (r *rig) since(namespace string, n int) time.Time {
	return r.w.book.Since(ledger.Destination{Key: namespace, Name: "default"}, digest(n))
}

// wantSince checks when a namespace was first told of image number n.
func (r *rig) wantSince(namespace string, n int, want time.Time) {
	r.t.Helper()
	if got := r.since(namespace, n); !got.Equal(want.Truncate(time.Second)) {
		r.t.Errorf("%s was told of image %d at %v, want %v", namespace, n, got, want)
	}
}

// An image is told when its channel takes the message. Neither a restart, nor what is told of it later, nor that it was
// gone for a while moves that.
func TestSinceIsKept(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.slack.set(func(slack.Webhook) error { return &slack.Error{Kind: slack.Temporary, Status: 500} })
		r.start()
		r.pass(time.Hour)
		r.wantSince("shop", 1, time.Time{})
		r.slack.set(nil)
		r.pass(time.Hour)
		r.wantTexts("Now watching 2 images")
		told := r.slack.accepted()[0].at
		for n := range 2 {
			r.wantSince("shop", n+1, told)
		}

		r.skip(24 * time.Hour)
		r.wantSince("shop", 1, told)
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(1)
		r.pass(settled)
		r.wantTexts("Now watching", "app1:v1: 1 newly disclosed")
		r.wantSince("shop", 1, told)
		r.skip(time.Hour)
		r.wantSince("shop", 1, told)

		r.delete("shop", "app-0")
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.wantTexts("Now watching", "app1:v1: 1 newly disclosed", "is no longer running")
		r.wantSince("shop", 1, told)
		r.skip(goneFor / 2)
		r.run(podOf("shop", "app-0", 1))
		r.pass(settled)
		r.wantSince("shop", 1, told)

		// After a month it is a new image.
		r.delete("shop", "app-0")
		r.pass(removalGrace + 2*sweepEvery + settled)
		r.skip(goneFor)
		r.wantSince("shop", 1, time.Time{})
		r.run(podOf("shop", "app-0", 1))
		r.pass(settled)
		all := r.slack.accepted()
		r.wantSince("shop", 1, all[len(all)-1].at)
		r.wantSince("shop", 2, told)
	})
}

// Who does not want to hear of new images was through with one when there was its report.
func TestSinceOfWhatIsNotTold(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "tell: {report: false}\n"})
		r.run(podOf("shop", "app-0", 1))
		began := time.Now().Truncate(time.Second)
		r.start()
		r.pass(settled)
		r.wantTexts()
		noted := r.since("shop", 1)
		if noted.Before(began) || noted.After(time.Now()) {
			t.Errorf("noted at %v, between %v and %v", noted, began, time.Now())
		}
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(1)
		r.pass(settled)
		r.wantTexts("app1:v1: 1 newly disclosed")
		r.skip(time.Hour)
		r.wantSince("shop", 1, noted)
	})
}

// A ledger of before does not say when an image was told, and what is told today does not say it either.
func TestSinceIsNotKnown(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.remember(toldOf("shop", 1))
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.disclose(vulnerability{name: "CVE-2026-31415", severity: claircore.High})(1)
		r.pass(settled)
		r.wantTexts("app1:v1: 1 newly disclosed")
		r.wantSince("shop", 1, time.Time{})
		r.skip(time.Hour)
		r.wantSince("shop", 1, time.Time{})
	})
}

// The channel of _all was told of an image when the first of its namespaces was, whatever order they come in.
func TestSinceOfAll(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"_all": scanner("all")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		first := r.slack.accepted()[0].at
		r.skip(24 * time.Hour)
		r.run(podOf("blog", "app-0", 1))
		r.pass(settled)
		r.wantSince("blog", 1, first)

		// While it runs nowhere it is new in another namespace; back where it was, it is as old as it was.
		r.delete("shop", "app-0")
		r.delete("blog", "app-0")
		r.pass(2 * removalGrace)
		r.run(podOf("news", "app-0", 1))
		r.pass(settled)
		r.wantTexts("app1:v1 is running with…shop", "app1:v1 is no longer running", "app1:v1 is running with…news")
		r.wantSince("news", 1, r.slack.accepted()[2].at)
		r.run(podOf("shop", "app-0", 1))
		r.skip(time.Hour) // now the ledger has news before shop
		r.run(podOf("late", "app-0", 1))
		r.pass(settled)
		r.skip(time.Hour)
		for _, ns := range []string{"shop", "blog", "late"} {
			r.wantSince(ns, 1, first)
		}
	})
}

// In whatever order those come that share an image, the first time counts that is known.
func TestSinceOfSharers(t *testing.T) {
	w := &Watcher{book: ledger.New()}
	early, late := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	at := map[string]time.Time{"early": early, "late": late, "unknown": {}}
	for key, t := range at {
		w.book.Remember([]ledger.Told{{Destination: ledger.Destination{Key: key}, Digest: digest(1), At: t}})
	}
	for _, c := range []struct {
		sharing []string
		want    time.Time
	}{
		{nil, time.Time{}},
		{[]string{"late"}, late},
		{[]string{"early", "late"}, early},
		{[]string{"late", "early"}, early},
		{[]string{"unknown"}, time.Time{}},
		{[]string{"unknown", "late"}, late},
		{[]string{"late", "unknown"}, late},
		{[]string{"late", "unknown", "forgotten", "early"}, early},
	} {
		var sharing []ledger.Sharer
		for _, key := range c.sharing {
			sharing = append(sharing, ledger.Sharer{Destination: ledger.Destination{Key: key}})
		}
		if got := w.since(sharing, digest(1)); got != c.want {
			t.Errorf("%v: got %v, want %v", c.sharing, got, c.want)
		}
	}
}

// The pages say since when the first of several channels knows of an image, and of each Scanner since when it does.
func TestSinceOnPages(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		early := r.since("shop", 1)
		r.skip(24 * time.Hour)
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.run(podOf("blog", "app-0", 1), podOf("blog", "app-1", 2))
		r.pass(settled)
		late := r.since("blog", 1)
		if early.IsZero() || !late.After(early) {
			t.Fatalf("told at %v and %v", early, late)
		}
		for _, running := range r.w.Running() {
			want := early
			if running.Image.Digest == digest(2) {
				want = r.since("blog", 2)
			}
			if !running.Since.Equal(want) {
				t.Errorf("%s is told since %v, want %v", running.Image.Name, running.Since, want)
			}
		}
		report, err := r.w.Report(t.Context(), digest(1))
		if err != nil || len(report.Hearers) != 2 || !report.Hearers[0].Since.Equal(late) || !report.Hearers[1].Since.Equal(early) {
			t.Errorf("who hears of it is %+v, %v", report.Hearers, err)
		}
	})
}
