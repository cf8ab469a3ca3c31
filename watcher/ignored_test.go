package watcher

import (
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
)

// News about images that run says how many findings of the same kind are ignored, however often the images are looked
// at before it is told. That all of it is ignored is no news.
func TestNewsCountsWhatIsIgnored(t *testing.T) {
	const (
		ignoring = "ignore: [{id: CVE-2026-0002}, {id: CVE-2026-0009}]\n"
		one      = "🔕 1 more vulnerability is ignored by this channel's settings"
	)
	mildCritical := vulnerability{name: critical.name, severity: claircore.Low}
	mildHigh := vulnerability{name: high.name, severity: claircore.Low}
	from := func(updater string, v vulnerability) vulnerability { v.updater = updater; return v }
	for name, c := range map[string]struct {
		before, after map[int][]vulnerability // of image numbers
		off, on       string                  // the settings
		change        func(*fakeClair)
		want          []string
	}{
		"disclosed in one image": {
			before: map[int][]vulnerability{1: {low}}, after: map[int][]vulnerability{1: {low, critical, high}},
			want: []string{"app1:v1: 1 newly disclosed critical…" + one},
		},
		"widespread": {
			before: map[int][]vulnerability{1: {low}, 2: {low}}, after: map[int][]vulnerability{1: {low, critical, high}, 2: {low, critical}},
			want: []string{"CVE-2026-0001 (critical)…now affects…2 running images…" + one},
		},
		"many disclosed": {
			before: map[int][]vulnerability{1: {}, 2: {}}, after: map[int][]vulnerability{1: {critical, low, high}, 2: {critical, low, high}},
			want: []string{"2 vulnerabilities newly disclosed in 2 running images…" + one},
		},
		"rose": {
			before: map[int][]vulnerability{1: {mildCritical, mildHigh}}, after: map[int][]vulnerability{1: {critical, high}},
			want: []string{"CVE-2026-0001…is critical now…" + one},
		},
		"visible": {
			before: map[int][]vulnerability{1: {critical, low, high}}, off: "minSeverity: High\n",
			want: []string{"1 vulnerability…no longer held back or ignored…" + one},
		},
		"sourced": {
			before: map[int][]vulnerability{1: {from("debian", low)}}, after: map[int][]vulnerability{1: {from("debian", low), from("osv", critical), from("osv", high)}},
			change: func(c *fakeClair) { c.updaters = append(c.updaters, updater("osv", 24*time.Hour)) },
			want:   []string{"a new source of advisories…1 vulnerability…" + one},
		},
		"renewed": {
			before: map[int][]vulnerability{1: {low}},
			change: func(c *fakeClair) { c.state, c.deeper = "s2", []vulnerability{low, critical, high} },
			want:   []string{"by other scanners…+1…" + one},
		},
		"all of it": {
			before: map[int][]vulnerability{1: {low}}, after: map[int][]vulnerability{1: {low, high}},
		},
		"below the threshold": {
			before: map[int][]vulnerability{1: {low}}, after: map[int][]vulnerability{1: {low, critical, {name: "CVE-2026-0009", severity: claircore.Low}}},
			off: "minSeverity: Medium\n", on: "minSeverity: Medium\n",
			want: []string{"app1:v1: 1 newly disclosed critical"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				fake := r.clairs[clairBase]
				if name == "sourced" {
					fake.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
				}
				for n, found := range c.before {
					fake.found[digest(n)] = found
					r.run(podOf("shop", "app-"+digest(n)[70:], n))
				}
				r.settings(map[string]string{"shop": scanner("shop") + ignoring + c.off})
				r.start()
				r.pass(2 * dataQuiet)
				r.slack.forget()
				fake.set(func(f *fakeClair) {
					for n, found := range c.after {
						f.found[digest(n)] = found
					}
					if c.change != nil {
						c.change(f)
					}
				})
				r.settings(map[string]string{"shop": scanner("shop") + ignoring + c.on})
				for range 3 { // the second time it is known what there is
					r.w.lookAllAt(clairBase)
					r.pass(groupWait / 5)
				}
				r.pass(time.Hour)
				r.wantTexts(c.want...)
				if len(c.want) > 0 && !strings.Contains(c.want[0], one) && strings.Contains(r.slack.accepted()[0].json, "🔕") {
					t.Errorf("it says that something is ignored: %s", r.slack.accepted()[0].json)
				}
				r.restart()
				r.pass(time.Hour)
				r.wantTexts(c.want...)
			})
		})
	}
}
