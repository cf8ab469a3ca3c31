package watcher

import (
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

// finds has Clair find something in image number n, and say so.
func (r *rig) finds(n int, found ...vulnerability) {
	r.t.Helper()
	r.clairs[clairBase].set(func(c *fakeClair) {
		c.found[digest(n)] = found
		for i := range c.updaters { // where it says what it has
			c.updaters[i].Last = time.Now()
		}
		c.notified = []string{digest(n)}
	})
	r.notify()
}

var (
	critical = vulnerability{name: "CVE-2026-0001", severity: claircore.Critical}
	high     = vulnerability{name: "CVE-2026-0002", severity: claircore.High}
	low      = vulnerability{name: "CVE-2026-0003", severity: claircore.Low}
)

// kindTest is a kind of news that a channel does not want to hear, and later does.
type kindTest struct {
	off, on string // the settings
	first   string // what the channel hears before all of it
	// unheard happens while the kind is off, heard when it is on.
	unheard, heard func(*rig)
	want           []string
}

var kindTests = map[string]kindTest{
	"indexed": {
		off: "tell: {indexed: false}", on: "tell: {indexed: true}", first: "app1:v1 is running with",
		unheard: func(*rig) {},
		heard:   func(r *rig) { r.run(podOf("shop", "app-1", 2)) },
		want:    []string{"Indexed shop/app2:v1", "app2:v1 is running with"},
	},
	"report": {
		off: "tell: {report: false}", on: "tell: {report: true}",
		unheard: func(r *rig) { r.run(podOf("shop", "app-1", 2)) },
		heard:   func(r *rig) { r.run(podOf("shop", "app-2", 3)) },
		want:    []string{"app3:v1 is running with"},
	},
	"disclosed": {
		off: "tell: {disclosed: false}", on: "", first: "app1:v1 is running with",
		unheard: func(r *rig) { r.finds(1, critical, high) },
		heard:   func(r *rig) { r.finds(1, critical, high, low) },
		want:    []string{"app1:v1: 1 newly disclosed low vulnerability"},
	},
	"rose": {
		off: "tell: {disclosed: false}", on: "", first: "app1:v1 is running with",
		unheard: func(r *rig) { r.finds(1, vulnerability{name: critical.name, severity: claircore.Critical}) },
		heard:   func(r *rig) { r.finds(1, critical, high) },
		want:    []string{"app1:v1: 1 newly disclosed high vulnerability"},
	},
	"visible": {
		off: "minSeverity: High\ntell: {disclosed: false}", on: "minSeverity: Low", first: "app1:v1 is running with",
		unheard: func(r *rig) {
			r.finds(1, critical, low)
			r.pass(settled)
			r.settings(map[string]string{"shop": scanner("shop") + "minSeverity: Low\ntell: {disclosed: false}"})
		},
		heard: func(r *rig) { r.finds(1, critical, low, high) },
		want:  []string{"app1:v1: 1 newly disclosed high vulnerability"},
	},
	"withdrawn": {
		off: "tell: {withdrawn: false}", on: "tell: {withdrawn: true}", first: "app1:v1 is running with",
		unheard: func(r *rig) { r.finds(1, high) }, // of three, which it has from the start
		heard:   func(r *rig) { r.finds(1) },
		want:    []string{"1 vulnerability…withdrawn"},
	},
	"removed": {
		off: "tell: {removed: false}", on: "", first: "Now watching 2 images",
		unheard: func(r *rig) {
			r.delete("shop", "app-1")
			r.pass(2 * removalGrace)
		},
		heard: func(r *rig) {
			r.delete("shop", "app-0")
			r.pass(2 * removalGrace)
		},
		want: []string{"app1:v1 is no longer running"},
	},
	"failed": {
		off: "tell: {failed: false}", on: "", first: "app1:v1 is running with",
		unheard: func(r *rig) {
			r.registry.failWith(func(int) error { return registry.ErrNotFound })
			r.run(podOf("shop", "app-1", 2))
		},
		heard: func(r *rig) { r.run(podOf("shop", "app-2", 3)) },
		want:  []string{"app3:v1 could not be scanned"},
	},
}

// begin has run what a test of a kind begins with.
func (r *rig) begin(name string) {
	r.t.Helper()
	c := r.clairs[clairBase]
	r.run(podOf("shop", "app-0", 1))
	switch name {
	case "withdrawn": // which nobody believes of a Clair that does not say what data it has
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		c.found[digest(1)] = []vulnerability{critical, high, low}
	case "rose":
		c.found[digest(1)] = []vulnerability{{name: critical.name, severity: claircore.Low}}
	case "removed":
		r.run(podOf("shop", "app-1", 2))
	}
}

// What is not wanted is not told, and nothing of it is news when it is.
func TestTellOffAndOn(t *testing.T) {
	for name, test := range kindTests {
		for _, restarts := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + ", restarted"}[restarts], func(t *testing.T) {
				inRig(t, func(t *testing.T, r *rig) {
					r.begin(name)
					var want []string
					if test.first != "" {
						want = append(want, test.first)
					}
					r.settings(map[string]string{"shop": scanner("shop") + test.off})
					r.start()
					r.pass(settled)
					r.wantTexts(want...)
					test.unheard(r)
					r.pass(lookedAt)
					r.wantTexts(want...)
					if restarts {
						r.restart()
						r.pass(lookedAt)
					}
					r.settings(map[string]string{"shop": scanner("shop") + test.on})
					r.pass(2 * time.Hour)
					r.wantTexts(want...)
					if restarts {
						r.restart()
						r.pass(2 * time.Hour)
						r.wantTexts(want...)
					}
					test.heard(r)
					r.pass(lookedAt)
					r.wantTexts(append(want, test.want...)...)
				})
			})
		}
	}
}

// What waits for a channel that takes nothing is not told when it is not wanted any more.
func TestTellOffWhileItWaits(t *testing.T) {
	for name, test := range kindTests {
		if name == "indexed" || name == "visible" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.begin(name)
				r.settings(map[string]string{"shop": scanner("shop") + test.on})
				r.start()
				r.pass(settled)
				r.slack.forget()
				r.slack.set(func(slack.Webhook) error { return &slack.Error{Kind: slack.Temporary} })
				test.unheard(r)
				r.pass(lookedAt)
				if r.w.pending.count() == 0 {
					t.Fatal("nothing waits")
				}
				r.settings(map[string]string{"shop": scanner("shop") + test.off})
				r.pass(2 * sweepEvery)
				if n := r.w.pending.count(); n != 0 {
					t.Errorf("%d pieces of news wait that nobody wants", n)
				}
				r.slack.set(nil)
				r.pass(time.Hour)
				r.wantTexts()
				r.settings(map[string]string{"shop": scanner("shop") + test.on})
				r.pass(2 * time.Hour)
				r.wantTexts()
			})
		})
	}
}

// A failure that was kept from a channel ends in silence, also when the channel wants to hear of failures by then: it
// never heard of this one. One that it heard of ends in silence only where it does not want to hear of that.
func TestRecoveredOff(t *testing.T) {
	const (
		report, failed, recovered = "app1:v1 is running with", "app1:v1 could not be scanned", "app1:v1 is scanned again"
		off, on                   = "tell: {failed: false}", ""
	)
	for name, test := range map[string]struct {
		begins, ends string // the settings when it begins and when it ends
		other        bool   // it has another cause by then
		want         []string
	}{
		"off":                         {off, off, false, []string{report}},
		"off, then on":                {off, on, false, []string{report}},
		"off, then on, another cause": {off, on, true, []string{report, failed, recovered}},
		"on, then off":                {on, off, false, []string{report, failed}},
		"on, then off, another cause": {on, off, true, []string{report, failed}},
		"on":                          {on, on, false, []string{report, failed, recovered}},
	} {
		for _, restarts := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + ", restarted"}[restarts], func(t *testing.T) {
				inRig(t, func(t *testing.T, r *rig) {
					edit := func(tell string) {
						r.settings(map[string]string{"shop": scanner("shop") + tell})
						if restarts {
							r.restart()
						}
						r.pass(3 * time.Hour)
					}
					r.cfg.Refresh = time.Hour
					r.settings(map[string]string{"shop": scanner("shop") + test.begins})
					r.run(podOf("shop", "app-0", 1))
					r.start()
					r.pass(settled)
					c := r.clairs[clairBase]
					c.set(tooLarge)
					r.pass(2 * time.Hour)
					edit(test.ends)
					if test.other {
						c.set(func(c *fakeClair) {
							c.fail = onReport(func(call string) error { return &clair.Error{Op: call, Kind: clair.Invalid} })
						})
						r.pass(7 * time.Hour)
					}
					c.set(wellAgain)
					r.pass(10 * time.Hour)
					edit(on)
					r.pass(10 * time.Hour)
					r.wantTexts(test.want...)
					r.wantNoFailure(1)
				})
			})
		}
	}
}

// Who knew that an image fails before it did not want to hear of failures hears that it is scanned again when it does,
// whatever the cause has become meanwhile.
func TestRecoveredAfterOff(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Refresh = time.Hour
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		c := r.clairs[clairBase]
		c.set(tooLarge)
		r.pass(2 * time.Hour)
		r.settings(map[string]string{"shop": scanner("shop") + "tell: {failed: false}"})
		c.set(func(c *fakeClair) {
			c.fail = onReport(func(call string) error { return &clair.Error{Op: call, Kind: clair.Invalid} })
		})
		r.pass(7 * time.Hour)
		r.settings(map[string]string{"shop": scanner("shop")})
		r.pass(time.Hour)
		c.set(wellAgain)
		r.pass(7 * time.Hour)
		r.wantTexts("app1:v1 is running with", "app1:v1 could not be scanned", "app1:v1 is scanned again")
	})
}
