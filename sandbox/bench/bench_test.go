package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/sandbox/load"
)

// TestBench runs it all with little, so that what is measured is what it says: each image is asked for once, and each
// channel is told once of what came and once of what went.
func TestBench(t *testing.T) {
	p := plan{
		Options: load.Options{
			Size:   load.Size{Pods: 60, Images: 12, Namespaces: 3, Findings: 20},
			Memory: "200MiB",
			Config: map[string]any{"removalGrace": "1s", "groupWait": "2s", "maxImages": 2_000},
			Log:    t.Logf,
		},
		rolled: 20, rolling: time.Second, grace: time.Second, often: time.Second / 2,
	}
	c, err := load.Start(t.Context(), p.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	r, err := (&bench{Cluster: c, plan: p}).phases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.write(&out); err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	if r.podBytes < 5_000 || r.podBytes > 8_000 {
		t.Errorf("a pod has %d bytes, want 5 to 8 kB", r.podBytes)
	}
	// 20 pods are those of four apps, of which two got a new image.
	if want := (load.Rollout{Pods: 20, Images: 2}); r.rollout != want {
		t.Errorf("rolled %+v, want %+v", r.rollout, want)
	}
	for _, want := range []struct {
		phase                               string
		index, reports, manifests, messages int
	}{
		{phase: coldStart, index: 12, reports: 24, manifests: 12, messages: 3},
		{phase: restart, reports: 12},
		{phase: churn, index: 2, reports: 4, manifests: 2, messages: 4},
		{phase: removal, messages: 3},
	} {
		got := r.phase(want.phase).traffic
		for what, counts := range map[string][2]int{
			"indexed":   {got.Clair.Requests("index"), want.index},
			"reports":   {got.Clair.Requests("report"), want.reports},
			"manifests": {got.Registry.Requests("manifest"), want.manifests},
			"messages":  {got.Slack.Requests("message"), want.messages},
			"other":     {got.Clair.Requests("other") + got.Registry.Requests("other") + got.API.Requests("other"), 0},
		} {
			if counts[0] != counts[1] {
				t.Errorf("%s: %s: %d, want %d", want.phase, what, counts[0], counts[1])
			}
		}
	}
	cold := r.phase(coldStart).traffic
	if got := cold.API.Requests("list pods") + cold.API.Requests("watch pods"); got == 0 || got > 2 {
		t.Errorf("pods were listed and watched %d times at the start", got)
	}
	if got := cold.API["update configmaps"]; got.Requests != 3 || got.Sent == 0 {
		t.Errorf("the ledger was updated %+v, want one update a message", got)
	}
	for _, g := range r.goals() {
		if strings.Contains(g.what, "a restart") && g.verdict() != "reached" {
			t.Errorf("%s: %v, want at most %v", g.what, g.measured, g.most)
		}
	}
}
