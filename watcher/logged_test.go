package watcher

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// logOfALife is what is logged at info while the pods of ten images begin, change, end and begin again; one image of
// them cannot be scanned, and some run where nobody watches.
func logOfALife(t *testing.T, replicas int) (log string) {
	t.Helper()
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
		r.settings(map[string]string{"shop": scanner("C1")})
		r.registry.manifests[digest(3)] = map[registry.Platform]string{} // it has none for the node
		each := func(do func(namespace, name string, image int)) {
			for n := range 10 {
				namespace := "shop"
				if n == 9 {
					namespace = "unwatched"
				}
				for replica := range replicas {
					do(namespace, fmt.Sprintf("app%d-%d", n, replica), n)
				}
			}
		}
		start := func(namespace, name string, image int) { r.run(podOf(namespace, name, image)) }
		each(start)
		r.start()
		r.pass(time.Minute)
		each(func(namespace, name string, image int) {
			p := podOf(namespace, name, image)
			p.Status.ContainerStatuses[0].RestartCount, p.Status.ContainerStatuses[0].Ready = 1, true
			r.change(p)
		})
		r.pass(time.Minute)
		each(func(namespace, name string, _ int) { r.delete(namespace, name) })
		r.pass(time.Minute)
		each(start)
		r.pass(2 * removalGrace)
		each(func(namespace, name string, _ int) { r.delete(namespace, name) })
		r.pass(2 * removalGrace)
		r.stop()
		log = r.log.String()
	})
	return log
}

// TestLogDoesNotGrowWithPods has as many lines at info for a thousand pods as for the ten images that they run: what is
// logged is what somebody has to know, and no event of a pod is such.
func TestLogDoesNotGrowWithPods(t *testing.T) {
	few, many := logOfALife(t, 1), logOfALife(t, 100)
	a, b := strings.Count(few, "\n"), strings.Count(many, "\n")
	// Each time that the image begins to run anew, it is said once more that it cannot be scanned.
	if b > a || strings.Count(many, "image could not be scanned") != 2 || strings.Count(many, "namespace is not watched") != 1 {
		t.Errorf("%d lines for 10 pods:\n%s\n%d lines for 1,000:\n%s", a, few, b, many)
	}
	if strings.Contains(many, "level=DEBUG") || !strings.Contains(many, "msg=told") {
		t.Errorf("that is not the log at info:\n%s", many)
	}
}
