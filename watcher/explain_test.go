package watcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
)

// explain asks the Watcher about a namespace, or about what has a name there.
func (r *rig) explain(namespace, name string) Explanation {
	r.t.Helper()
	return r.ask(Question{Namespace: namespace, Name: name})
}

// ask asks the Watcher, and looks for webhooks in what it says.
func (r *rig) ask(q Question) Explanation {
	r.t.Helper()
	e, err := r.w.Explain(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		r.t.Fatal(err)
	}
	if strings.Contains(string(text), webhookPath) {
		r.t.Errorf("a webhook is given away: %s", text)
	}
	for _, w := range e.Workloads {
		for _, c := range w.Containers {
			for _, v := range c.Scanners {
				if wrong := wrongSums(v); wrong != "" {
					r.t.Errorf("%s, %s: %s: %s", w.Name, c.Name, wrong, briefView(v))
				}
			}
		}
	}
	var read Explanation
	if err := json.Unmarshal(text, &read); err != nil {
		r.t.Fatal(err)
	}
	if again, err := json.Marshal(read); err != nil || string(again) != string(text) {
		r.t.Errorf("%v: as JSON it is\n%s\nand read\n%s", err, text, again)
	}
	return e
}

// wrongSums says which figures of a view do not add up; empty: all do.
func wrongSums(v ExplainedView) string {
	if v.Held == nil {
		return ""
	}
	at := func(c *SeverityCount) findings.Counts {
		if c == nil {
			return findings.Counts{}
		}
		return c.Counts()
	}
	told, untold := v.Held.Told, v.Held.Untold
	sum := untold.MinSeverity.Counts().Add(untold.OnlyFixable.Counts()).Add(untold.Coming.Counts())
	for _, i := range untold.Ignored {
		if sum = sum.Add(i.Counts.Counts()); i.Counts.Counts().Total() != i.Matches {
			return "an entry of ignore"
		}
	}
	if sum != at(v.Untold) {
		return "what was not told"
	}
	less := told.MinSeverity.Counts().Add(told.OnlyFixable.Counts()).Add(told.Gone.Counts())
	for _, i := range told.Ignored {
		if less = less.Add(i.Counts.Counts()); i.Counts.Counts().Total() != i.Matches {
			return "an entry of ignore that has told"
		}
	}
	for _, s := range findings.Severities {
		if less.Of(s) > at(v.Told).Of(s) {
			return "what was told"
		}
	}
	return ""
}

// brief writes what is said of the containers of an explanation, a line for each and for each view of it.
func brief(e Explanation) []string {
	var lines []string
	for _, w := range e.Workloads {
		for _, c := range w.Containers {
			line := fmt.Sprintf("%s %s/%d %s %s/%d: %s", w.Kind, w.Name, w.Pods, c.Kind, c.Name, c.Pods, c.State)
			for _, wait := range c.Waits {
				line += " waits for " + wait.For
			}
			lines = append(lines, line)
			for _, v := range c.Scanners {
				lines = append(lines, "  "+briefView(v))
			}
		}
	}
	return lines
}

func briefView(v ExplainedView) string {
	s := v.Scanner + ":"
	if v.Skipped != "" {
		s += " skipped by " + v.Skipped
	}
	if v.Elsewhere {
		s += ", elsewhere"
	}
	add := func(what string, c SeverityCount) {
		for _, n := range []struct {
			n    int
			name string
		}{{c.Critical, "critical"}, {c.High, "high"}, {c.Medium, "medium"}, {c.Low, "low"}, {c.Negligible, "negligible"}, {c.Unknown, "unknown"}} {
			if n.n > 0 {
				what += fmt.Sprintf(" %d %s", n.n, n.name)
			}
		}
		s += what
	}
	if v.Told != nil {
		add(" told", *v.Told)
	}
	if v.Failure != "" {
		s += " told of " + v.Failure
	}
	if v.Untold != nil {
		add(" untold", *v.Untold)
	}
	if h := v.Held; h != nil {
		for _, c := range []struct {
			name  string
			count SeverityCount
		}{
			{"minSeverity", h.Untold.MinSeverity}, {"onlyFixable", h.Untold.OnlyFixable}, {"coming", h.Untold.Coming},
			{"told and minSeverity", h.Told.MinSeverity}, {"told and onlyFixable", h.Told.OnlyFixable}, {"told and gone", h.Told.Gone},
		} {
			if c.count != (SeverityCount{}) {
				add(" "+c.name, c.count)
			}
		}
		for _, i := range h.Told.Ignored {
			s += fmt.Sprintf(" told and ignored %d by %s%s", i.Matches, i.ID, i.Package)
		}
		for _, i := range h.Untold.Ignored {
			s += fmt.Sprintf(" ignored %d by %s%s", i.Matches, i.ID, i.Package)
		}
	}
	for _, f := range v.Found {
		s += fmt.Sprintf(" found %s in %s %s", f.Name, f.Package, f.Fate)
		if f.Told {
			s += " told"
		}
		if f.Ignore != nil {
			s += fmt.Sprintf(" by %s%s", f.Ignore.ID, f.Ignore.Package)
		}
		for _, m := range f.Missed {
			s += fmt.Sprintf(" missed by %s%s%s: %s", m.ID, m.Package, m.Image, strings.Join(m.By, "+"))
		}
	}
	if v.FoundMore > 0 {
		s += fmt.Sprintf(" and %d more", v.FoundMore)
	}
	if v.Unread != "" {
		s += " unread " + v.Unread
	}
	for _, n := range v.Pending {
		s += " pending " + n.Kind
	}
	return s
}

// wantBrief checks what is said of the containers.
func (r *rig) wantBrief(e Explanation, want ...string) {
	r.t.Helper()
	if got := brief(e); !slices.Equal(got, want) {
		r.t.Errorf("got\n%s\nwant\n%s\nlog:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), r.log)
	}
}

func TestExplainSettings(t *testing.T) {
	const wrong = "clairBaseUrl: [1"
	shop, all := scanner("shop"), scanner("all")
	for name, c := range map[string]struct {
		before, data map[string]string
		want         ExplainedSettings
		scanners     int
		mistake      string
	}{
		"own":                      {nil, map[string]string{"shop": shop, "_all": all}, ExplainedSettings{Applies: AppliesOwn, Key: "shop"}, 1, ""},
		"all":                      {nil, map[string]string{"blog": shop, "_all": all}, ExplainedSettings{Applies: AppliesAll, Key: "_all"}, 1, ""},
		"opted out":                {nil, map[string]string{"shop": "# no", "_all": all}, ExplainedSettings{Applies: AppliesOptedOut, Key: "shop"}, 0, ""},
		"opted out of nothing":     {nil, map[string]string{"shop": ""}, ExplainedSettings{Applies: AppliesOptedOut, Key: "shop"}, 0, ""},
		"no key":                   {nil, map[string]string{"blog": shop}, ExplainedSettings{Applies: AppliesNone}, 0, ""},
		"no settings":              {nil, nil, ExplainedSettings{Applies: AppliesNone}, 0, ""},
		"all is empty":             {nil, map[string]string{"_all": ""}, ExplainedSettings{Applies: AppliesNone}, 0, ""},
		"another one's mistake":    {nil, map[string]string{"shop": shop, "blog": wrong, "_all": wrong}, ExplainedSettings{Applies: AppliesOwn, Key: "shop"}, 1, ""},
		"a mistake":                {nil, map[string]string{"shop": wrong, "_all": all}, ExplainedSettings{Applies: AppliesOwn, Key: "shop"}, 0, "shop (line 1): not valid YAML"},
		"a mistake, and before":    {map[string]string{"shop": shop}, map[string]string{"shop": wrong}, ExplainedSettings{Applies: AppliesOwn, Key: "shop", LastGood: true}, 1, "shop (line 1): not valid YAML"},
		"a mistake of all":         {nil, map[string]string{"_all": wrong}, ExplainedSettings{Applies: AppliesAll, Key: "_all"}, 0, "_all (line 1): not valid YAML"},
		"of all, and before":       {map[string]string{"_all": all}, map[string]string{"_all": wrong}, ExplainedSettings{Applies: AppliesAll, Key: "_all", LastGood: true}, 1, "_all (line 1): not valid YAML"},
		"of defaults":              {nil, map[string]string{"shop": shop, "_defaults": "colour: red"}, ExplainedSettings{Applies: AppliesOwn, Key: "shop"}, 0, "_defaults.colour"},
		"of defaults, and before":  {map[string]string{"shop": shop}, map[string]string{"shop": shop, "_defaults": "colour: red"}, ExplainedSettings{Applies: AppliesOwn, Key: "shop", LastGood: true}, 1, "_defaults.colour"},
		"opted out under defaults": {nil, map[string]string{"shop": "", "_defaults": "colour: red"}, ExplainedSettings{Applies: AppliesOptedOut, Key: "shop"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				if c.before != nil {
					r.settings(c.before)
				}
				r.start()
				r.settings(c.data)
				e := r.explain("shop", "")
				got := e.Settings
				if (len(got.Mistakes) > 0) != (c.mistake != "") || !strings.HasPrefix(strings.Join(got.Mistakes, "\n"), c.mistake) {
					t.Errorf("mistakes %q, want %q", got.Mistakes, c.mistake)
				}
				got.Mistakes = nil
				if got.Applies != c.want.Applies || got.Key != c.want.Key || got.LastGood != c.want.LastGood || len(e.Scanners) != c.scanners {
					t.Errorf("got %+v and %d Scanners, want %+v and %d", got, len(e.Scanners), c.want, c.scanners)
				}
				if e.Pods != 0 || len(e.Workloads) > 0 {
					t.Errorf("nothing runs, and there is %+v", e.Workloads)
				}
			})
		})
	}
}

func TestExplainRules(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": `
- clairBaseUrl: ` + clairBase + `
  slackWebhookUrl: ` + webhook("shop") + `
  minSeverity: Medium
  ignore:
  - {id: CVE-2026-0003, reason: not reachable, until: "` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}
  - {id: CVE-2026-0009}
  - {package: openssl, image: "blog/*"}
  - {id: CVE-2026-0001, until: 1999-01-01}
- {name: critical, clairBaseUrl: "` + clairBase + `", slackWebhookUrl: "` + webhook("critical") + `", minSeverity: Critical}
- {name: all, clairBaseUrl: "` + clairBase + `", slackWebhookUrl: "` + webhook("all") + `"}
`})
		r.clairs[clairBase].found[digest(1)] = []vulnerability{
			{name: "CVE-2026-0001", severity: claircore.Critical}, {name: "CVE-2026-0002", severity: claircore.High},
			{name: "CVE-2026-0003", severity: claircore.High}, {name: "CVE-2026-0004", severity: claircore.Low},
		}
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.clairs[clairBase].called()
		e := r.explain("shop", "")
		r.wantBrief(e, "Pod app-0/1 container app/1: scanned",
			"  default: told 1 critical 1 high untold 1 high 1 low minSeverity 1 low ignored 1 by CVE-2026-0003",
			"  critical: told 1 critical untold 2 high 1 low minSeverity 2 high 1 low",
			"  all: told 1 critical 2 high 1 low")
		if got := r.clairs[clairBase].called(); !slices.Equal(got, []string{"report"}) {
			t.Errorf("Clair was asked for %v, want one report for all Scanners", got)
		}
		s := e.Scanners[0]
		var ignores []string
		for _, i := range s.Ignore {
			ignores = append(ignores, fmt.Sprintf("%s%s %d %v", i.ID, i.Package, i.Matches, i.Ended))
		}
		if want := []string{"CVE-2026-0003 1 false", "CVE-2026-0009 0 false", "openssl 0 false", "CVE-2026-0001 0 true"}; !slices.Equal(ignores, want) || !s.IgnoreCounted {
			t.Errorf("ignore %q, want %q; counted: %v", ignores, want, s.IgnoreCounted)
		}
		if i := e.Workloads[0].Containers[0].Scanners[0].Held.Untold.Ignored[0]; i.Reason != "not reachable" || i.Until.IsZero() {
			t.Errorf("neither why nor until when: %+v", i)
		}
		c := e.Workloads[0].Containers[0]
		if c.Digest != digest(1) || c.Platform != "linux/amd64" || c.Image != "registry.example.com/shop/app1:v1" {
			t.Errorf("%+v", c)
		}
		ch, err := r.cfg.Webhook(webhook("shop"))
		r.check(err)
		if s.Name != "default" || s.Clair != clairBase || s.Channel != ch.String() || s.MinSeverity != "Medium" || s.UnknownAs != "Medium" ||
			s.OnlyFixable || s.Tell != settings.DefaultTell() || s.Look != settings.DefaultLook() || s.Waiting != 0 || s.Untried || s.Trouble != "" {
			t.Errorf("%+v", s)
		}

		r.clairs[clairBase].set(func(c *fakeClair) {
			c.failOf = map[string]error{digest(1): &clair.Error{Op: "fetching the vulnerability report", Kind: clair.Temporary, Status: 500}}
		})
		e = r.explain("shop", "")
		r.wantBrief(e, "Pod app-0/1 container app/1: scanned",
			"  default: told 1 critical 1 high untold 1 high 1 low unread clair",
			"  critical: told 1 critical untold 2 high 1 low unread clair",
			"  all: told 1 critical 2 high 1 low")
		if e.Scanners[0].IgnoreCounted {
			t.Error("what is ignored is counted without a report")
		}
	})
}

func TestExplainOnlyFixable(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "onlyFixable: true\n"})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.wantBrief(r.explain("shop", "app-0"), "Pod app-0/1 container app/1: scanned", "  default: told 1 critical")
	})
}

// noReport is an error of a Clair that indexes and gives no report.
func noReport(call string) error {
	if call == "report" {
		return &clair.Error{Op: "fetching the vulnerability report", Kind: clair.NotReady, Status: 202}
	}
	return nil
}

func TestExplainWaiting(t *testing.T) {
	t.Run("in line", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			c := r.clairs[clairBase]
			c.slots, c.slow = 1, time.Hour
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-1", 1))
			r.start()
			r.pass(time.Second)
			r.run(podOf("shop", "app-2", 2))
			r.pass(settled)
			r.wantBrief(r.explain("shop", ""),
				"Pod app-1/1 container app/1: untried waits for turn", "  default:",
				"Pod app-2/1 container app/1: untried waits for slot", "  default:")
		})
	})
	t.Run("for data", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].fail = noReport
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-1", 1))
			r.start()
			r.pass(time.Second)
			e := r.explain("shop", "")
			r.wantBrief(e, "Pod app-1/1 container app/1: untried waits for data", "  default: pending indexed")
			if next := e.Workloads[0].Containers[0].Next; !next.After(time.Now()) {
				t.Errorf("it is looked at again at %v", next)
			}
			r.pass(groupMax + settled)
			r.wantBrief(r.explain("shop", ""), "Pod app-1/1 container app/1: untried waits for data", "  default: told of loading")
		})
	})
	t.Run("for its node", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.settings(map[string]string{"shop": scanner("shop")})
			pod := podOf("shop", "app-1", 1)
			pod.Spec.NodeName = "node-9"
			r.run(pod)
			r.start()
			r.wantBrief(r.explain("shop", ""), "Pod app-1/1 container app/1: untried waits for node", "  default:")
		})
	})
	t.Run("for a Clair that does not answer", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			c := r.clairs[clairBase]
			c.slots, c.slow = 1, time.Hour
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-1", 1))
			r.start()
			r.pass(time.Second)
			r.run(podOf("shop", "app-2", 2))
			r.pass(time.Second)
			c.set(func(c *fakeClair) { c.away = &clair.Error{Op: "asking for the indexer's state", Kind: clair.Temporary} })
			since := time.Now()
			r.pass(2 * time.Minute)
			e := r.explain("shop", "")
			r.wantBrief(e, "Pod app-1/1 container app/1: untried waits for clair", "  default:",
				"Pod app-2/1 container app/1: untried waits for clair", "  default:")
			if away := e.Scanners[0].ClairAway; away.Before(since) || away.After(time.Now()) {
				t.Errorf("away since %v, want after %v", away, since)
			}
		})
	})
}

func TestExplainFailure(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.failWith(func(int) error { return fmt.Errorf("%w at registry", registry.ErrUnauthorized) })
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-1", 1))
		since := time.Now()
		r.start()
		e := r.explain("shop", "")
		r.wantBrief(e, "Pod app-1/1 container app/1: unauthorized", "  default: pending failed")
		r.pass(7 * time.Hour)
		e = r.explain("shop", "")
		r.wantBrief(e, "Pod app-1/1 container app/1: unauthorized", "  default: told of unauthorized")
		c := e.Workloads[0].Containers[0]
		what, remedy := State(CauseUnauthorized).Advice()
		if c.Advice != what || c.Remedy != remedy || !c.Since.Equal(since) || c.Tries != 2 || !c.Next.After(time.Now()) ||
			!c.Tried.Equal(since.Add(recheck)) || !c.Follows {
			t.Errorf("%+v", c)
		}
		// Another cause begins anew.
		r.registry.failWith(func(int) error { return errors.New("no route to host") })
		r.stop()
		since = time.Now()
		r.start()
		e = r.explain("shop", "")
		r.wantBrief(e, "Pod app-1/1 container app/1: registry_failed", "  default: told of unauthorized")
		if c := e.Workloads[0].Containers[0]; !c.Since.Equal(since) || c.Tries != 1 || !c.Tried.Equal(since) || c.Follows {
			t.Errorf("%+v", c)
		}
	})
}

func TestExplainFailureAfterRestart(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.failWith(func(int) error { return fmt.Errorf("%w at registry", registry.ErrUnsupported) })
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-1", 1))
		r.start()
		r.pass(settled)
		before := r.explain("shop", "").Workloads[0].Containers[0]
		r.stop()
		r.start()
		e := r.explain("shop", "")
		r.wantBrief(e, "Pod app-1/1 container app/1: unsupported", "  default: told of unsupported")
		if after := e.Workloads[0].Containers[0]; after.Next.IsZero() || after.Next.Sub(before.Next).Abs() > time.Second {
			t.Errorf("tried again at %v, before the restart at %v", after.Next, before.Next)
		}
	})
}

func TestExplainNotCovered(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.found[digest(1)] = nil
		c.updaters = []clair.Updater{updater("osv", 24*time.Hour)} // nothing for Debian
		r.settings(map[string]string{"shop": scanner("shop") + "minSeverity: High\n"})
		r.run(podOf("shop", "app-1", 1))
		r.start()
		r.pass(settled)
		e := r.explain("shop", "")
		r.wantBrief(e, "Pod app-1/1 container app/1: not_covered", "  default: told")
		if e.Workloads[0].Containers[0].Advice == "" {
			t.Error("it does not say why")
		}
	})
}

// TestExplainLook has a pod with a container of each kind, and Scanners that look at none but the ordinary one, and at all.
func TestExplainLook(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": `
- {clairBaseUrl: "` + clairBase + `", slackWebhookUrl: "` + webhook("shop") + `", look: {init: false, ephemeral: false, volumes: false, finished: false, optOut: true}}
- {name: all, clairBaseUrl: "` + clairBase + `", slackWebhookUrl: "` + webhook("all") + `"}
`})
		pinned := "registry.example.com/shop/data@" + digest(4)
		pod := mounting(pinned)
		pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "shop/init"}, {Name: "same", Image: "registry.example.com/shop/app1:v1"}}
		pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{
			{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "shop/debug"}},
			{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "late", Image: "shop/late"}},
		}
		pod.Spec.Volumes = append(pod.Spec.Volumes,
			corev1.Volume{Name: "tag", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "shop/data:v1"}}},
			corev1.Volume{Name: "unused", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "shop/other:v1"}}})
		pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "tag"})
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{
			{Name: "init", ImageID: "shop/init@" + digest(2)}, {Name: "same", ImageID: "registry.example.com/shop/app1@" + digest(1)},
		}
		pod.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debug", ImageID: "shop/debug@" + digest(3)}}
		ended, out := podOf("shop", "ended", 5), podOf("shop", "out", 6)
		ended.Status.Phase = corev1.PodSucceeded
		out.Annotations = map[string]string{optOut: "false"}
		r.run(pod, ended, out)
		r.start()
		r.pass(settled)
		e := r.explain("shop", "")
		told := "  all: told 1 critical"
		r.wantBrief(e,
			"Pod app-0/1 container app/1: scanned", "  default: told 1 critical", told,
			"Pod app-0/1 init init/1: scanned", "  default: skipped by init", told,
			"Pod app-0/1 init same/1: scanned", "  default: skipped by init, elsewhere told 1 critical", told,
			"Pod app-0/1 ephemeral debug/1: scanned", "  default: skipped by ephemeral", told,
			"Pod app-0/1 ephemeral late/1: not_pulled", "  default: skipped by ephemeral",
			"Pod app-0/1 volume data/1: scanned", "  default: skipped by volumes", told,
			"Pod app-0/1 volume tag/1: no_digest", "  default: skipped by volumes",
			"Pod app-0/1 volume unused/1: not_mounted", "  default: skipped by volumes",
			"Pod ended/1 container app/1: scanned", "  default: skipped by finished", told,
			"Pod out/1 container app/1: scanned", "  default: skipped by optOut", told,
		)
		last := e.Workloads[2].Containers[0]
		if !last.OptedOut || last.Finished || !e.Workloads[1].Containers[0].Finished {
			t.Errorf("neither ended nor opted out: %+v", e.Workloads)
		}

		// Without the second Scanner nobody looks at them.
		r.settings(map[string]string{"shop": `{clairBaseUrl: "` + clairBase + `", slackWebhookUrl: "` + webhook("shop") + `", look: {optOut: true}}`})
		r.pass(settled)
		r.wantBrief(r.explain("shop", "out"), "Pod out/1 container app/1: not_looked_at", "  default: skipped by optOut")
		r.settings(map[string]string{"shop": ""})
		r.pass(settled)
		r.wantBrief(r.explain("shop", "out"), "Pod out/1 container app/1: not_looked_at")
	})
}

// TestExplainSumsUp has what is alike in the pods of a workload once.
func TestExplainSumsUp(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		of := func(name string, n int) *corev1.Pod {
			pod := podOf("shop", name, n)
			pod.Labels = map[string]string{podTemplateHash: "7d4f"}
			yes := true
			pod.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-7d4f", Controller: &yes}}
			return pod
		}
		starting := of("web-3", 1)
		starting.Status = corev1.PodStatus{}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(of("web-1", 1), of("web-2", 1), starting, podOf("shop", "alone", 1), podOf("blog", "web-1", 9))
		r.start()
		r.pass(settled)
		e := r.explain("shop", "")
		r.wantBrief(e, "Deployment web/3 container app/1: not_pulled",
			"Deployment web/3 container app/2: scanned", "  default: told 1 critical",
			"Pod alone/1 container app/1: scanned", "  default: told 1 critical")
		if e.Pods != 4 || e.LeftOut != 0 {
			t.Errorf("%d pods, %d left out", e.Pods, e.LeftOut)
		}
		r.wantBrief(r.explain("shop", "web-2"), "Deployment web/1 container app/1: scanned", "  default: told 1 critical")
		if e := r.explain("shop", "web-9"); e.Pods != 0 || e.Pod != "web-9" {
			t.Errorf("a pod that is none: %+v", e)
		}
	})
}

// TestExplainMany asks no Clair for the reports of more images than a question may be about.
func TestExplainMany(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "minSeverity: High\n"})
		for n := range mostReports + 1 {
			r.clairs[clairBase].found[digest(n+1)] = []vulnerability{
				{name: "CVE-2026-0001", severity: claircore.High}, {name: "CVE-2026-0002", severity: claircore.Low},
			}
			r.run(podOf("shop", fmt.Sprintf("app-%02d", n+1), n+1))
		}
		r.start()
		r.pass(settled)
		r.clairs[clairBase].called()
		e := r.explain("shop", "")
		for _, w := range e.Workloads {
			if got := briefView(w.Containers[0].Scanners[0]); got != "default: told 1 high untold 1 low unread many" {
				t.Errorf("%s: %s", w.Name, got)
			}
		}
		if calls := r.clairs[clairBase].called(); len(e.Workloads) != mostReports+1 || len(calls) > 0 {
			t.Errorf("%d workloads; Clair was asked for %v", len(e.Workloads), calls)
		}
		r.wantBrief(r.explain("shop", "app-01"), "Pod app-01/1 container app/1: scanned", "  default: told 1 high untold 1 low minSeverity 1 low")
		r.delete("shop", "app-21")
		for _, w := range r.explain("shop", "").Workloads {
			if got := briefView(w.Containers[0].Scanners[0]); got != "default: told 1 high untold 1 low minSeverity 1 low" {
				t.Errorf("%s: %s", w.Name, got)
			}
		}
	})
}

// TestExplainHangingClair is answered in time where Clair gives no report.
func TestExplainHangingClair(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "minSeverity: High\n"})
		r.run(podOf("shop", "app-1", 1))
		r.start()
		r.pass(settled)
		c, err := r.w.clairs.at(clairBase)
		r.check(err)
		for range cap(c.permits) { // others ask for reports, and get no answer
			c.permits <- struct{}{}
		}
		r.wantBrief(r.explain("shop", ""), "Pod app-1/1 container app/1: scanned", "  default: told 1 critical unread clair")
		for range cap(c.permits) {
			<-c.permits
		}
	})
}

func TestExplainLeftOut(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		pod := podOf("shop", "app", 1)
		for n := range mostExplained + 2 {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprintf("app-%03d", n), Image: "app"})
		}
		r.run(pod)
		r.start()
		e := r.explain("shop", "")
		if n := len(e.Workloads[0].Containers); len(e.Workloads) != 1 || n != mostExplained || e.LeftOut != 3 || e.Pods != 1 {
			t.Errorf("%d containers, %d left out, %d pods", n, e.LeftOut, e.Pods)
		}
	})
}

func TestExplainChannelInTrouble(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.slack.set(func(ch slack.Webhook) error {
			return &slack.Error{Kind: slack.Channel, Webhook: ch, Status: 404, Reason: "no_service"}
		})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-1", 1))
		r.start()
		r.pass(settled)
		e := r.explain("shop", "")
		r.wantBrief(e, "Pod app-1/1 container app/1: scanned", "  default: pending report")
		s := e.Scanners[0]
		if s.Waiting != 1 || s.Untried || !strings.Contains(s.Trouble, "make a new one") || s.TroubleSince.IsZero() || !s.NextTry.After(time.Now()) {
			t.Errorf("%+v", s)
		}
	})
}

// TestExplainSecrets has webhooks where they do not belong, and one that is refused.
func TestExplainSecrets(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		token := tokenOf("shop")
		hook := webhook(token)
		r.slack.set(func(ch slack.Webhook) error {
			return &slack.Error{Kind: slack.Channel, Webhook: ch, Status: 404, Reason: "no_service"}
		})
		data := map[string]string{
			"shop":     scanner(token),
			"as-clair": "clairBaseUrl: " + hook + "\nslackWebhookUrl: " + hook,
			"as-name":  "name: " + hook + "\n" + scanner(token),
			"as-field": hook + ": " + hook + "\n" + scanner(token),
			"as-id":    scanner(token) + "ignore: [{id: \"" + hook + "\"",
			"_all":     hook,
		}
		r.settings(data)
		for n, namespace := range []string{"shop", "as-clair", "as-name", "as-field", "as-id", "other"} {
			r.run(podOf(namespace, "app", n+1))
		}
		r.start()
		r.pass(settled)
		for _, namespace := range []string{"shop", "as-clair", "as-name", "as-field", "as-id", "other"} {
			e := r.explain(namespace, "")
			if (len(e.Settings.Mistakes) > 0) == (namespace == "shop") || e.Pods != 1 {
				t.Errorf("%s: %+v", namespace, e)
			}
			if text := fmt.Sprintf("%+v", e); given(text, token) != "" {
				t.Errorf("%s: %q of a webhook is given away: %s", namespace, given(text, token), text)
			}
		}
	})
}

func TestExplainStandby(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.leases()
		r.cfg.Lease = LeaseConfig{Identity: "first"}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-1", 1))
		r.start()
		leader, end := r.w, r.end
		r.cfg.Lease = LeaseConfig{Identity: "second"}
		r.start()
		r.pass(time.Minute)
		_, err := r.w.Explain(t.Context(), Question{Namespace: "shop"})
		standby, ok := errors.AsType[*StandbyError](err)
		if !ok || standby.Leader != "first" || !strings.HasSuffix(err.Error(), "ask the one that leads, first") {
			t.Errorf("who stands by says %v", err)
		}
		if _, err := leader.Explain(t.Context(), Question{Namespace: "shop"}); err != nil {
			t.Error(err)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
		_, err = leader.Explain(t.Context(), Question{Namespace: "shop"})
		if standby, ok := errors.AsType[*StandbyError](err); !ok || standby.Leader != "" {
			t.Errorf("who has ended says %v", err)
		}
	})
}

// TestExplainTellOff has what a channel does not want to hear of known without a message.
func TestExplainTellOff(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "tell: {report: false}\n"})
		r.run(podOf("shop", "app-1", 1))
		r.start()
		r.pass(settled)
		e := r.explain("shop", "")
		r.wantTexts()
		r.wantBrief(e, "Pod app-1/1 container app/1: scanned", "  default: told 1 critical")
		if e.Scanners[0].Tell.Report {
			t.Error("it is said to be told")
		}
	})
}

func TestKindWords(t *testing.T) {
	for k := kindIndexed; k <= kindRemoved; k++ {
		if !slices.Contains(MessageKinds(), k.word()) {
			t.Errorf("%d is called %q", k, k.word())
		}
	}
}

// TestExplainWhileItRuns asks again and again while pods and settings change; the race detector looks on.
func TestExplainWhileItRuns(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "minSeverity: High\n"})
		r.start()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 40 {
				if _, err := r.w.Explain(t.Context(), Question{Namespace: "shop"}); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
			}
		}()
		for n := range 8 {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
			r.settings(map[string]string{"shop": scanner(fmt.Sprintf("shop-%d", n)) + "minSeverity: High\n"})
			r.pass(5 * time.Second)
		}
		<-done
		r.pass(settled)
		if got := r.w.book.Held(ledger.Destination{Key: "shop", Name: "default"}); len(got) != 8 {
			t.Errorf("%d images were told, want all", len(got))
		}
	})
}
