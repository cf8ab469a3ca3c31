package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestBench runs it all with little, so that what is measured is what it says: each image is asked for once, and each
// channel is told once.
func TestBench(t *testing.T) {
	l := load{pods: 60, images: 12, namespaces: 3, findings: 20, memory: "200MiB"}
	c, err := start(t.Context(), l, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Error(err)
		}
	})
	var out bytes.Buffer
	if err := c.measure(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Log(out.String())
	if c.podBytes < 5_000 || c.podBytes > 8_000 {
		t.Errorf("a pod has %d bytes, want 5 to 8 kB", c.podBytes)
	}
	lines := strings.Split(out.String(), "\n")
	for n, want := range map[int][]string{
		2: {"cold start", "Clair index 12,", "Clair report 24,", "registry manifest 12,", "Slack 3"},
		5: {"restart", "Clair report 12,", "Slack 0"},
	} {
		for _, w := range want {
			if len(lines) <= n || !strings.Contains(lines[n], w) {
				t.Errorf("line %d lacks %q:\n%s", n, w, out.String())
			}
		}
	}
	if strings.Contains(out.String(), "other") || strings.Contains(lines[5], "index") || strings.Contains(lines[5], "registry") {
		t.Errorf("asked for what nobody needs:\n%s", out.String())
	}
}
