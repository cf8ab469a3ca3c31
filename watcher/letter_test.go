package watcher

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/registry"
)

// A pod with two images is one pod.
func TestInventoryCountsPodsOnce(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		pod := podOf("shop", "app", 1)
		second := podOf("shop", "", 2)
		second.Spec.Containers[0].Name, second.Status.ContainerStatuses[0].Name = "sidecar", "sidecar"
		pod.Spec.Containers = append(pod.Spec.Containers, second.Spec.Containers...)
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, second.Status.ContainerStatuses...)
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(pod, podOf("shop", "other", 2))
		r.start()
		r.pass(settled)
		r.wantTexts("Now watching 2 images…2 pods")
	})
}

// One image can fail for another reason in another namespace. Both are told.
func TestTwoCausesOfOneImage(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Workers = 1
		r.registry.failWith(func(n int) error {
			if n == 1 {
				return registry.ErrNotFound
			}
			return registry.ErrUnauthorized
		})
		r.settings(map[string]string{"shop": scanner("all"), "blog": scanner("all")})
		r.run(podOf("shop", "app", 1), podOf("blog", "app", 1))
		r.start()
		r.pass(settled)
		r.wantTexts("could not be scanned")
		told := r.slack.accepted()[0].json
		for _, c := range []Cause{CauseNotFound, CauseUnauthorized} {
			// The first letter is a capital in the message.
			if text := advice[c][0][1:]; !strings.Contains(told, text) {
				t.Errorf("%q is not told: %s", text, told)
			}
		}
	})
}

// CRI-O shows the digest that a pod asks for: one manifest can run under its own digest and that of an index.
func TestOneManifestUnderTwoIDs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		amd64 := registry.Platform{OS: "linux", Architecture: "amd64"}
		r.registry.manifests[digest(2)] = map[registry.Platform]string{amd64: digest(1)}
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		for i := range 3 {
			r.run(podOf("shop", fmt.Sprintf("index-%d", i), 2))
		}
		r.run(podOf("shop", "platform", 1), podOf("blog", "platform", 1))
		r.start()
		r.pass(settled)
		r.wantEach("shop", "is running with…4 pods")
		r.wantEach("blog", "is running with")
		if n := len(r.slack.accepted()); n != 2 {
			t.Errorf("%d messages, want one in each channel", n)
		}
	})
}
