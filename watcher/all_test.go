package watcher

import (
	"fmt"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

// Whoever hears of all namespaces hears of one that comes later, too. One that gets a key of its own goes on where the
// other stopped, because its Scanner has the same name.
func TestAll(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"_all": scanner("all")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.wantEach("all", "shop/app1:v1 is running with")
		r.run(podOf("blog", "app-0", 2))
		r.pass(settled)
		r.wantEach("all", "shop/app1:v1 is running with", "shop/app2:v1 is running with…blog")

		r.settings(map[string]string{"_all": scanner("all"), "shop": scanner("shop")})
		r.pass(time.Hour)
		r.wantEach("shop")
		r.run(podOf("shop", "app-1", 3))
		r.pass(settled)
		r.wantEach("shop", "shop/app3:v1 is running with")

		// And back.
		r.settings(map[string]string{"_all": scanner("all")})
		r.restart()
		r.pass(time.Hour)
		r.run(podOf("shop", "app-2", 4))
		r.pass(settled)
		r.wantEach("shop", "app3:v1")
		r.wantEach("all", "app1:v1", "app2:v1", "app4:v1 is running with…shop")

		// One of another name is another one.
		r.settings(map[string]string{"_all": scanner("all"), "blog": scanner("blog") + "name: other\n"})
		r.pass(time.Hour)
		r.wantEach("blog", "app2:v1 is running with")
	})
}

// A namespace that opts out is not heard of, and nothing is repeated when it is again.
func TestAllOptOut(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		out := map[string]string{"_all": scanner("all"), "shop": "# nobody\n"}
		r.settings(out)
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2))
		r.start()
		r.pass(settled)
		r.wantTexts("app2:v1 is running with")
		r.wantLogged(0, "it has no key")
		r.settings(map[string]string{"_all": scanner("all")})
		r.pass(settled)
		r.wantTexts("app2:v1 is running with", "app1:v1 is running with")

		// What waits when it opts out goes to nobody, and what ends is not told.
		r.run(podOf("shop", "app-1", 3))
		r.settings(out)
		r.delete("shop", "app-0")
		r.pass(2 * removalGrace)
		r.wantTexts("app2:v1 is running with", "app1:v1 is running with")
		r.settings(map[string]string{"_all": scanner("all")})
		r.pass(2 * removalGrace)
		r.wantTexts("app2:v1", "app1:v1 is running with", "app3:v1 is running with", "app1:v1 is no longer running")
	})
}

// That the last image of a namespace is gone is told, though nothing is left there.
func TestAllRemoved(t *testing.T) {
	for name, away := range map[string]bool{"watched": false, "while no daemon ran": true} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.settings(map[string]string{"_all": scanner("all")})
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(settled)
				if away {
					r.stop()
				}
				r.delete("shop", "app-0")
				if away {
					r.pass(time.Hour)
					r.start()
				}
				r.pass(2 * removalGrace)
				r.wantTexts("app1:v1 is running with", "app1:v1 is no longer running in shop")
			})
		})
	}
}

// What was told of a namespace is known for as long as of one with a key, also when nothing runs there for weeks and
// _all cannot be read for some time.
func TestAllRemembers(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		all := map[string]string{"_all": scanner("all") + "tell: {removed: false}\n"}
		r.settings(all)
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2))
		r.start()
		r.pass(settled)
		r.wantTexts("Now watching 2 images")
		r.delete("shop", "app-0")
		r.skip(absentFor + time.Hour)
		r.settings(map[string]string{"_all": "no scanner"})
		r.skip(absentFor + time.Hour)
		r.settings(all)
		r.pass(time.Hour)
		r.run(podOf("shop", "app-1", 1))
		r.pass(time.Hour)
		r.wantTexts("Now watching 2 images")
		// Those of one that nobody hears of any more are forgotten.
		r.settings(map[string]string{"shop": scanner("shop")})
		r.skip(absentFor + time.Hour)
		r.settings(all)
		r.pass(time.Hour)
		r.wantTexts("Now watching 2 images", "app2:v1 is running with")
	})
}

// The ledger forgets a namespace that is gone, as soon as it has forgotten what ran and failed there, and not before: who
// is back within that time is told nothing twice. A namespace with a key of its own is named by the settings.
func TestAllForgets(t *testing.T) {
	for name, c := range map[string]struct {
		gone  time.Duration
		known string
		want  []string // what the channel hears of the namespaces that come back
	}{
		"within 30 days": {goneFor - time.Hour, "[{blog default} {lab default} {shop default}]", nil},
		"later":          {goneFor + time.Hour, "[{blog default}]", []string{"app1:v1 is running with…shop", "app2:v1 could not be scanned"}},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.clairs[clairBase].failOf = map[string]error{digest(2): &clair.Error{Op: "asking for the report", Kind: clair.TooLarge}}
				r.settings(map[string]string{"_all": scanner("all") + "tell: {removed: false}\n", "blog": scanner("blog") + "tell: {removed: false}\n"})
				r.run(podOf("shop", "app-0", 1), podOf("lab", "app-0", 2), podOf("blog", "app-0", 3))
				r.start()
				r.pass(time.Hour)
				for _, ns := range []string{"shop", "lab", "blog"} {
					r.delete(ns, "app-0")
				}
				r.pass(2 * removalGrace)
				r.skip(c.gone)
				r.restart() // what is stored counts
				if got := fmt.Sprint(r.w.book.Destinations()); got != c.known {
					t.Errorf("the ledger knows %v, want %v", got, c.known)
				}
				r.slack.forget()
				r.run(podOf("shop", "app-1", 1), podOf("lab", "app-1", 2))
				r.pass(time.Hour)
				r.wantEach("all", c.want...)
			})
		})
	}
}

// With a mistake in _all, or in what all inherit, the last good settings stay in force, for namespaces that come later
// too. A daemon that starts with it tells nothing of those, and repeats nothing when it is mended.
func TestMistakesForAll(t *testing.T) {
	good := map[string]string{"_defaults": "minSeverity: Low\n", "_all": scanner("all"), "blog": scanner("blog"), "quiet": ""}
	edited := func(key, value string) map[string]string {
		data := map[string]string{key: value}
		for k, v := range good {
			if k != key {
				data[k] = v
			}
		}
		return data
	}
	effects := map[string]string{"_all": "the last good settings stay in force", "_defaults": "all keys keep their last good settings"}
	for key, bad := range map[string]map[string]string{
		"_all":      edited("_all", scanner("all")+"minSeverty: Low\n"),
		"_defaults": edited("_defaults", "minSeverity: Lwo\n"),
	} {
		t.Run(key, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.settings(good)
				r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2), podOf("quiet", "app-0", 3))
				r.start()
				r.pass(settled)
				r.settings(bad)
				r.wantLogged(1, `msg="mistake in the settings"`)
				r.wantLogged(1, `effect="`+effects[key]+`"`)
				r.wantTold("Warning SettingsMistake " + key + ".minSever")
				if got := r.metric("clairwatch_settings_mistakes", key); got != 1 {
					t.Errorf("%v mistakes, want 1", got)
				}
				r.run(podOf("shop", "app-1", 4), podOf("blog", "app-1", 5), podOf("new", "app-0", 6), podOf("quiet", "app-1", 7))
				r.pass(settled)
				r.wantEach("all", "app1:v1", "Now watching 2 images in 2 namespaces")
				r.wantEach("blog", "app2:v1", "app5:v1 is running with")

				r.restart()
				r.run(podOf("shop", "app-2", 8), podOf("newer", "app-0", 9))
				r.pass(24 * time.Hour)
				r.wantLogged(0, "it has no key")
				r.wantEach("all", "app1:v1", "Now watching 2 images")
				r.settings(good)
				r.wantLogged(1, "mistake in the settings is mended")
				r.pass(time.Hour)
				r.wantEach("blog", "app2:v1", "app5:v1")
				r.wantEach("all", "app1:v1", "Now watching 2 images", "Now watching 2 images in 2 namespaces…app8:v1…app9:v1")
			})
		})
	}
}

// The log says which keys an edit has changed, and not all of thousands.
func TestSettingsInForce(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog"), "lab": scanner("lab"), "wrong": "x"})
		r.start()
		r.wantLogged(1, `msg="settings in force" changed=[] added="[blog lab shop]" removed=[] keys=3`)
		r.settings(map[string]string{"shop": scanner("other"), "blog": "# the same\n" + scanner("blog"), "quiet": "", "_all": scanner("all"), "wrong": "x"})
		r.wantLogged(1, `msg="settings in force" changed=[shop] added="[_all quiet]" removed=[lab] keys=4`)
		r.settings(map[string]string{"shop": "x", "blog": scanner("blog"), "quiet": "", "_all": scanner("all"), "wrong": scanner("wrong")})
		r.wantLogged(1, `msg="settings in force" changed=[] added=[wrong] removed=[] keys=5`) // of shop the last good ones are
		many := make(map[string]string)
		for i := range 1000 {
			many[fmt.Sprintf("ns-%03d", i)] = scanner("many")
		}
		r.settings(many)
		r.wantLogged(1, "ns-018 ns-019 and 980 more]")
		r.wantLogged(0, "ns-020")
		r.wantLogged(4, "settings in force")
		r.settings(map[string]string{"shop": scanner("other"), "_defaults": "minSeverity: Low"})
		r.settings(map[string]string{"shop": scanner("other"), "_defaults": "minSeverity: High"})
		r.wantLogged(1, `msg="settings in force" changed=[shop] added=[] removed=[] keys=1`)
	})
}

// A key is in force when it was read without a mistake once: not when nobody hears of its namespace because of one, nor
// when those of _all stand in.
func TestSettingsNotInForce(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.WebhookFolder = t.TempDir()
		const inForce, waits = `msg="settings in force"`, `level=WARN msg="settings wait until _defaults is mended"`
		data := map[string]string{"_all": scanner("all"), "shop": scanner("shop"), "out": ""}
		edit := func(key, value string) {
			data[key] = value
			r.settings(data)
		}
		r.settings(data)
		r.start()
		r.wantLogged(1, inForce+` changed=[] added="[_all out shop]" removed=[] keys=3`)

		// Its file is missing.
		edit("platform", byFile("platform"))
		r.wantLogged(1, inForce)
		r.put("platform", webhook("platform"))
		r.pass(2 * sweepEvery)
		r.wantLogged(1, inForce+" changed=[] added=[platform] removed=[] keys=4")

		// What it inherits has a mistake. Of those that are in force already nothing is to be said.
		edit("_defaults", "minSeverity: Hgh")
		r.wantLogged(1, `effect="all keys keep their last good settings"`)
		r.wantLogged(0, waits)
		edit("blog", scanner("blog"))
		edit("lab", scanner("lab"))
		edit("out", "minSeverty: Low") // its opt-out is what stays
		r.wantLogged(1, waits+` keys=[blog]`)
		r.wantLogged(1, waits+` keys=[lab]`)
		r.wantLogged(2, inForce)
		edit("_defaults", "minSeverity: Low")
		r.wantLogged(1, inForce+` changed="[_all platform shop]" added="[blog lab]" removed=[] keys=6`)
		r.wantLogged(2, waits)

		// After a restart none of them is in force, as before with those that are new.
		edit("_defaults", "minSeverity: Hgh")
		many := make(map[string]string)
		for i := range 1000 {
			many[fmt.Sprintf("ns-%03d", i)] = scanner("many")
		}
		many["_defaults"] = "minSeverity: Hgh"
		r.settings(many)
		r.restart()
		r.wantLogged(2, waits+` keys="[ns-000 ns-001 `)
		r.wantLogged(2, `ns-018 ns-019 and 980 more]"`)
		r.wantLogged(1, `effect="no namespace is watched until it is mended"`)
	})
}
