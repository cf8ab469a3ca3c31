package watcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
)

// heard writes who hears of an image and what each decides, a letter for a finding: passes, ignored, below, unfixable; in
// capitals what was told.
func (r *rig) heard(n int) []string {
	r.t.Helper()
	report, err := r.w.Report(r.t.Context(), digest(n))
	if err != nil {
		r.t.Fatal(err)
	}
	var all []string
	for _, h := range report.Hearers {
		if strings.Contains(h.Channel.String(), webhookPath) || h.Clair == report.Clair && len(h.Decisions) != len(report.Findings) || h.Clair != report.Clair && h.Decisions != nil {
			r.t.Errorf("of %d findings: %+v", len(report.Findings), h)
		}
		line := fmt.Sprintf("%s/%s for %s", h.Key, h.Name, strings.Join(h.Namespaces, ","))
		if h.Told {
			line += " told"
		}
		line += ":"
		for i, d := range h.Decisions {
			letter := map[findings.Fate]string{findings.Passes: "p", findings.Ignored: "i", findings.BelowMinSeverity: "b", findings.WithoutFix: "u"}[d.Fate]
			if d.Told {
				letter = strings.ToUpper(letter)
			}
			if d.Fate == findings.Ignored {
				if entry := h.Rules.Ignore[d.Ignore]; entry.ID != report.Findings[i].Name {
					r.t.Errorf("%s: %s is ignored by %+v", line, report.Findings[i].Name, entry)
				}
			}
			line += " " + letter
		}
		all = append(all, line)
	}
	return all
}

func TestHearers(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		found := []vulnerability{
			{name: "CVE-2026-0005", severity: claircore.Critical}, {name: "CVE-2026-0004", severity: claircore.High},
			{name: "CVE-2026-0003", severity: claircore.High, unfixed: true}, {name: "CVE-2026-0002", severity: claircore.Low},
		}
		r.clairs[clairBase].found[digest(1)], r.clairs[secondBase].found[digest(1)] = found, found[:1]
		at := func(name, more string) string {
			return fmt.Sprintf("- {name: %s, clairBaseUrl: '%s', slackWebhookUrl: '%s'%s}\n", name, clairBase, webhook(name), more)
		}
		all := at("low", ", onlyFixable: true") +
			at("high", ", minSeverity: High, ignore: [{id: CVE-2026-0002, reason: first}, {id: CVE-2026-0004, reason: a, image: 'shop/*'}]")
		r.settings(map[string]string{
			"_all": all,
			"shop": at("own", ", ignore: [{id: CVE-2026-0005, reason: b}]") + at("second", "") +
				"- {name: other, clairBaseUrl: '" + secondBase + "', slackWebhookUrl: '" + webhook("other") + "'}\n",
			"jobs": at("none", ", look: {finished: false}"),
		})
		named := podOf("blog", "named", 1)
		named.Spec.Containers[0].Image = "registry.example.com/blog/fork:v1"
		named.Status.ContainerStatuses[0].Image = named.Spec.Containers[0].Image
		ended := podOf("jobs", "job", 1)
		ended.Status.Phase = "Succeeded"
		r.registry.manifests[digest(9)] = map[registry.Platform]string{amd64: digest(1)}
		r.run(podOf("shop", "a", 1), podOf("lab", "a", 1), podOf("lab", "by-index", 9), podOf("attic", "a", 1), named, ended)
		r.start()
		r.pass(settled)
		want := []string{
			"_all/high for attic,lab told: P i P i", // which is shop/app1
			"_all/high for blog told: P P P i",
			"_all/low for attic,blog,lab told: P P u P",
			"shop/other for shop told:", // its Clair is another one
			"shop/own for shop told: i P P P",
			"shop/second for shop told: P P P P",
		}
		if got := r.heard(1); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// What was told in one namespace of _all was told to the channel of all.
func TestHearersOfOtherRules(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.clairs[clairBase].found[digest(1)] = []vulnerability{{name: "CVE-2026-0002", severity: claircore.High}, {name: "CVE-2026-0001", severity: claircore.Low}}
		r.settings(map[string]string{"_all": scanner("all")})
		r.run(podOf("lab", "a", 1))
		r.start()
		r.pass(settled)
		wants := func(want ...string) {
			t.Helper()
			if got := r.heard(1); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		wants("_all/default for lab told: P P")
		r.settings(map[string]string{"_all": scanner("all") + "minSeverity: High\nignore: [{id: CVE-2026-0002, reason: a}]\n"})
		r.pass(settled)
		wants("_all/default for lab told: i B") // what is ignored counts as not told
		r.run(podOf("attic", "a", 1))
		wants("_all/default for attic,lab told: i B")
		r.pass(settled)
		wants("_all/default for attic,lab told: i B")
	})
}

// No more Scanners decide about a report than are of use, and who asks can give up.
func TestHearersAreBounded(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		data := make(map[string]string)
		for n := range mostHearers + 5 {
			namespace := fmt.Sprintf("ns-%03d", n)
			data[namespace] = scanner("all")
			r.run(podOf(namespace, "a", 1))
		}
		r.settings(data)
		r.start()
		r.pass(settled)
		got := r.heard(1)
		if n := len(got); n != mostHearers || got[n-1] != "ns-099/default for ns-099 told: P" {
			t.Errorf("%d hearers: %q", n, got)
		}
		report, err := r.w.Report(r.t.Context(), digest(1))
		if err != nil || report.Clair != clairBase || report.MoreHearers != 5 {
			t.Fatalf("from %q, %d more: %v", report.Clair, report.MoreHearers, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.w.decide(ctx, report.Hearers, report.Clair, report.Report); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A report is that of the Clair that found the worst, as the list of images has it, and Scanners of another one have not
// decided about what that has not said. When it does not answer another one does.
func TestReportOfTheWorstClair(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		mild, worse := []vulnerability{{name: "CVE-2026-0001", severity: claircore.Low}}, []vulnerability{{name: "CVE-2026-0002", severity: claircore.Critical}}
		for _, bases := range [][2]string{{clairBase, secondBase}, {secondBase, clairBase}} {
			r.clairs[bases[0]].found[digest(1)], r.clairs[bases[1]].found[digest(1)] = mild, worse
			if r.w == nil {
				r.settings(map[string]string{"shop": scannerAt(clairBase, "shop"), "blog": scannerAt(secondBase, "blog")})
				r.run(podOf("shop", "app", 1), podOf("blog", "app", 1))
				r.start()
			}
			r.w.lookAllAt(clairBase)
			r.w.lookAllAt(secondBase)
			r.pass(settled)
			report, err := r.w.Report(t.Context(), digest(1))
			if err != nil || report.Clair != bases[1] || len(report.Hearers) != 2 {
				t.Fatalf("from %q, %+v, %v", report.Clair, report.Hearers, err)
			}
			if counts := findings.Count(report.Findings); counts != r.w.Running()[0].Counts || counts.Critical != 1 {
				t.Errorf("the report has %+v, and the list %+v", counts, r.w.Running()[0].Counts)
			}
			for _, h := range report.Hearers {
				if own := h.Clair == bases[1]; len(h.Decisions) > 0 != own || !h.Told {
					t.Errorf("%+v", h)
				}
			}
			r.clairs[bases[1]].set(func(c *fakeClair) {
				c.fail = func(string) error { return &clair.Error{Op: "asking", Kind: clair.Temporary} }
			})
			if report, err = r.w.Report(t.Context(), digest(1)); err != nil || report.Clair != bases[0] {
				t.Errorf("from %q: %v", report.Clair, err)
			}
			r.clairs[bases[1]].set(func(c *fakeClair) { c.fail = nil })
		}
	})
}

// A Scanner that does not want to hear of new images knows of one without a message.
func TestQuietHearer(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "tell: {report: false}\n"})
		r.run(podOf("shop", "app", 1))
		r.start()
		r.pass(settled)
		r.wantTexts()
		if running := r.w.Running()[0]; running.Told || !running.Since.IsZero() {
			t.Errorf("the list says %+v", running)
		}
		if report, err := r.w.Report(t.Context(), digest(1)); err != nil || !report.Hearers[0].Quiet || !report.Hearers[0].Told {
			t.Errorf("%+v, %v", report.Hearers, err)
		}
	})
}
