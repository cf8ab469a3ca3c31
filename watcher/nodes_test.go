package watcher

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
)

var (
	amd64 = registry.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = registry.Platform{OS: "linux", Architecture: "arm64"}
)

// on puts a pod on a node.
func on(node string, pod *corev1.Pod) *corev1.Pod {
	pod.Spec.NodeName = node
	return pod
}

func TestUnknownNode(t *testing.T) {
	several := map[registry.Platform]string{amd64: digest(11), arm64: digest(12)}
	one := map[registry.Platform]string{{}: digest(13)}
	tests := []struct {
		name      string
		manifests map[registry.Platform]string
		appears   bool // within the minute
		want      string
	}{
		{"of several platforms", several, false, "could not be scanned…" + advice[CauseUnknownPlatform][0][:9]},
		{"of one platform", one, false, "app1:v1 is running with"},
		{"that appears", several, true, "app1:v1 (linux/arm64) is running with"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.registry.manifests[digest(1)] = tt.manifests
				r.settings(map[string]string{"shop": scanner("shop")})
				r.run(on("node-2", podOf("shop", "app-0", 1)))
				r.start()
				r.pass(settled)
				r.wantCalls(0)
				if tt.appears {
					r.node("node-2", "arm64")
					if n := r.registry.resolved(); n != 1 {
						t.Errorf("the node is known, but the image was resolved %d times", n)
					}
				}
				r.pass(nodePatience)
				r.wantTexts(tt.want)
				if n := r.registry.resolved(); n != 1 {
					t.Errorf("resolved %d times, want once", n)
				}
				if keys := r.w.progress.filter(func(image) bool { return true }); len(keys) != 1 {
					t.Errorf("one image, but %v", keys)
				}
			})
		})
	}
}

func TestNodeAppearsAfterFailure(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.manifests[digest(1)] = map[registry.Platform]string{amd64: digest(11), arm64: digest(12)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(on("node-2", podOf("shop", "app-0", 1)))
		r.start()
		r.pass(nodePatience + settled)
		r.wantTexts("could not be scanned")
		r.node("node-2", "arm64")
		r.pass(settled)
		r.wantTexts("could not be scanned", "app1:v1 (linux/arm64) is running with")
		if keys := r.w.progress.filter(func(img image) bool { return img.platform != arm64 }); len(keys) != 0 {
			t.Errorf("left over: %v", keys)
		}
	})
}

func TestNodeChangesPlatform(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.manifests[digest(1)] = map[registry.Platform]string{amd64: digest(11), arm64: digest(12)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		_, err := r.nodes().UpdateFake(nodeOf("node-1", "arm64"), metav1.UpdateOptions{})
		r.check(err)
		if keys := r.w.progress.filter(func(image) bool { return true }); len(keys) != 1 || keys[0].platform != arm64 {
			t.Errorf("want the image on arm64 alone: %v", keys)
		}
	})
}

func TestNodeGoesBeforeItsPods(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.check(r.meta.Resource(corev1.SchemeGroupVersion.WithResource("nodes")).Delete(t.Context(), "node-1", metav1.DeleteOptions{}))
		r.delete("shop", "app-0")
		if left := r.w.progress.count(); len(left) != 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

func TestOneIndexOnTwoPlatforms(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.manifests[digest(1)] = map[registry.Platform]string{amd64: digest(11), arm64: digest(12)}
		r.node("node-2", "arm64")
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 2))
		r.start()
		r.pass(settled)
		r.run(podOf("shop", "app-1", 1), on("node-2", podOf("shop", "app-2", 1)))
		r.pass(settled)
		r.wantTexts("app2:v1 is running with", "app1:v1 (linux/amd64)", "app1:v1 (linux/arm64)")
		if n := r.registry.resolved(); n != 3 {
			t.Errorf("resolved %d times, want once for each platform", n)
		}
		for _, d := range []string{digest(11), digest(12)} {
			if _, told := r.w.book.Record(ledger.Destination{Key: "shop", Name: "default"}, d); !told {
				t.Errorf("nothing is recorded of %s", d)
			}
		}
	})
}
