package watcher

import (
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

// What has gone from a report is counted no more once a look has noted it, whether rules have the report read or not.
func TestExplainGoneIsNoted(t *testing.T) {
	for rules, want := range map[string]string{
		"":                    "told 2 high 2 low",
		"minSeverity: High\n": "told 2 high untold 2 low minSeverity 2 low",
	} {
		inRig(t, func(t *testing.T, r *rig) {
			c := r.clairs[clairBase]
			known := append(mixed[:0:0], mixed...)
			for i := range known {
				known[i].updater = "debian"
			}
			c.found[digest(1)], c.updaters = known, []clair.Updater{updater("debian", 24*time.Hour)}
			r.settings(map[string]string{"shop": scanner("shop") + rules})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.pass(time.Hour + settled)
			r.finds(1, known[1:]...)
			r.pass(time.Hour)
			r.wantBrief(r.explain("shop", ""), "Pod app-0/1 container app/1: scanned", "  default: "+want)
		})
	}
}
