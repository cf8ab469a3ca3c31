package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/clairwatch/clairwatch/sandbox/load"
)

// result is what was measured of one size.
type result struct {
	plan     plan
	podBytes int
	phases   []phase
	rollout  load.Rollout
}

func (r result) phase(name string) phase {
	for _, p := range r.phases {
		if p.name == name {
			return p
		}
	}
	return phase{}
}

// write prints it as Markdown.
func (r result) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s pods, %s images, %d namespaces\n\n", thousands(r.plan.Pods), thousands(r.plan.Images), r.plan.Namespaces)
	fmt.Fprintf(&b, "Pods of %.1f kB, %d findings an image, `GOMEMLIMIT` %s. In the churn %s pods were replaced, %d a second, and\n%d images by new versions.\n\n",
		float64(r.podBytes)/1000, r.plan.Findings, r.plan.Memory, thousands(r.rollout.Pods), r.plan.rolled, r.rollout.Images)
	fmt.Fprint(&b, "| phase | wall s | CPU s | most MiB | at its end MiB |\n| --- | ---: | ---: | ---: | ---: |\n")
	for _, p := range r.phases {
		fmt.Fprintf(&b, "| %s | %.0f | %.2f | %d | %d |\n", p.name, p.wall.Seconds(), p.cpu.Seconds(), p.top, p.resident)
	}
	r.writeTraffic(&b)
	fmt.Fprint(&b, "\n| goal | at most | measured | |\n| --- | ---: | ---: | --- |\n")
	for _, g := range r.goals() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", g.what, number(g.most), number(g.measured), g.verdict())
	}
	b.WriteString("\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// writeTraffic prints what was asked: a row for each kind of request, a column for each phase.
func (r result) writeTraffic(b *strings.Builder) {
	b.WriteString("\n| requests, and bytes both ways |")
	for _, p := range r.phases {
		short, _, _ := strings.Cut(p.name, ",")
		fmt.Fprintf(b, " %s |", short)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(r.phases)) + "\n")
	for _, side := range []struct {
		name string
		of   func(load.Traffic) load.Tally
	}{
		{"API server", func(t load.Traffic) load.Tally { return t.API }},
		{"Clair", func(t load.Traffic) load.Tally { return t.Clair }},
		{"registry", func(t load.Traffic) load.Tally { return t.Registry }},
		{"Slack", func(t load.Traffic) load.Tally { return t.Slack }},
	} {
		kinds := make(map[string]bool)
		for _, p := range r.phases {
			for kind := range side.of(p.traffic) {
				kinds[kind] = true
			}
		}
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			fmt.Fprintf(b, "| %s: %s |", side.name, kind)
			for _, p := range r.phases {
				fmt.Fprintf(b, " %s |", side.of(p.traffic)[kind])
			}
			b.WriteString("\n")
		}
	}
}

// goal is a figure that is to be reached.
type goal struct {
	what           string
	most, measured float64
}

func (g goal) verdict() string {
	if g.measured > g.most {
		return "missed"
	}
	return "reached"
}

// goals are those of a size, with what was measured.
func (r result) goals() []goal {
	cold, calm, again := r.phase(coldStart), r.phase(settled), r.phase(restart)
	pods, images, findings := float64(r.plan.Pods), float64(r.plan.Images), float64(r.plan.Findings)
	goals := []goal{
		{"CPU s of the cold start: 0.25 ms a pod, 1 ms and 12 µs a finding an image", pods*0.25e-3 + images*(1e-3+12e-6*findings), cold.cpu.Seconds()},
		{"CPU s an hour without work", 5, calm.cpu.Seconds() * float64(time.Hour) / float64(max(calm.wall, 1))},
		{"requests to the registry for each new image", 1, float64(cold.traffic.Registry.Sum()) / images},
		{"requests to Clair for each new image", 3, float64(cold.traffic.Clair.Requests("report")+cold.traffic.Clair.Requests("index")) / images},
		{"messages of the cold start for each channel", 1, float64(cold.traffic.Slack.Requests("message")) / float64(r.plan.Namespaces)},
		{"updates of the ledger for each message", 1, float64(cold.traffic.API.Requests("update configmaps")) / float64(max(cold.traffic.Slack.Requests("message"), 1))},
		{"requests to the registry after a restart", 0, float64(again.traffic.Registry.Sum())},
		{"images indexed after a restart", 0, float64(again.traffic.Clair.Requests("index"))},
		{"reports for each image after a restart", 1, float64(again.traffic.Clair.Requests("report")) / images},
		{"messages after a restart", 0, float64(again.traffic.Slack.Requests("message"))},
	}
	switch r.plan.Pods {
	case 10_000:
		goals = append(goals, goal{"most memory, MiB", 120, float64(cold.top)}, goal{"settled memory, MiB", 80, float64(calm.resident)})
	case 100_000:
		goals = append(goals, goal{"settled memory, MiB", 350, float64(calm.resident)})
	}
	return goals
}

// writeGrowth prints how cost grows with size.
func writeGrowth(out io.Writer, all []result) error {
	var b strings.Builder
	b.WriteString("## How cost grows\n\n")
	b.WriteString("| pods | images | CPU s of the cold start | ms a pod | ms an image | of a restart | most MiB | settled MiB | kB a pod |\n")
	b.WriteString("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range all {
		cold, calm, again := r.phase(coldStart), r.phase(settled), r.phase(restart)
		fmt.Fprintf(&b, "| %s | %s | %.1f | %.2f | %.1f | %.1f | %d | %d | %.1f |\n", thousands(r.plan.Pods), thousands(r.plan.Images),
			cold.cpu.Seconds(), cold.cpu.Seconds()*1000/float64(r.plan.Pods), cold.cpu.Seconds()*1000/float64(r.plan.Images),
			again.cpu.Seconds(), cold.top, calm.resident, float64(calm.resident)*1024/float64(r.plan.Pods))
	}
	b.WriteString("\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// number is a figure as people read it.
func number(f float64) string {
	switch {
	case f == float64(int(f)):
		return thousands(int(f))
	case f >= 100:
		return thousands(int(f + 0.5))
	}
	return fmt.Sprintf("%.2f", f)
}

// thousands is a number with commas.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
