package limits

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/sandbox/load"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// given is the memory that the manifest gives to clairwatch.
type given struct {
	// goal is GOMEMLIMIT, limit that of the container, in MiB.
	goal  string
	limit int
}

// givenByManifest reads it from the manifest.
func givenByManifest(t *testing.T) given {
	t.Helper()
	root, err := stage.Root(t.Context())
	must(t, err)
	text, err := os.ReadFile(filepath.Join(root, "deploy", "clairwatch.yaml"))
	must(t, err)
	var g given
	var collected string
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var deployment appsv1.Deployment
		must(t, yaml.Unmarshal(document, &deployment))
		if deployment.Kind != "Deployment" {
			continue
		}
		container := deployment.Spec.Template.Spec.Containers[0]
		g.limit = int(container.Resources.Limits.Memory().Value() >> 20)
		for _, variable := range container.Env {
			switch variable.Name {
			case "GOMEMLIMIT":
				g.goal = variable.Value
			case "GOGC":
				collected = variable.Value
			}
		}
	}
	if g.limit == 0 || !strings.HasSuffix(g.goal, "MiB") {
		t.Fatalf("the manifest gives clairwatch %+v", g)
	}
	if collected != load.GOGC {
		t.Fatalf("the manifest has GOGC %q, and what is tested %q", collected, load.GOGC)
	}
	return g
}

// within runs something, says what was asked meanwhile, and fails when clairwatch has taken more memory than its
// container may.
func (c *cluster) within(t *testing.T, run func()) load.Traffic {
	t.Helper()
	c.Traffic()
	process := c.Daemon.PID()
	must(t, load.ForgetTop(process))
	before, err := load.UsageOf(process)
	must(t, err)
	run()
	after, err := load.UsageOf(c.Daemon.PID())
	must(t, err)
	if c.Daemon.PID() != process { // another one has begun
		before = load.Usage{}
	}
	traffic := c.Traffic()
	t.Logf("at the most %d MiB of %d, %d MiB in the end, %.1f s of CPU; Clair: %s; registry: %s; messages: %s; API server: %s",
		after.Top, c.given.limit, after.Resident, (after.CPU - before.CPU).Seconds(), traffic.Clair, traffic.Registry, traffic.Slack, traffic.API)
	if after.Top >= c.given.limit {
		t.Errorf("it took %d MiB, and its container may take %d", after.Top, c.given.limit)
	}
	return traffic
}
