package watcher

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/clairwatch/clairwatch/registry"
)

// mounting is a pod of image number 1 that also has an image volume.
func mounting(reference string) *corev1.Pod {
	pod := podOf("shop", "app-0", 1)
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: reference}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	return pod
}

// shows has the status of a container say what was mounted.
func shows(s *corev1.ContainerStatus, imageRef string) {
	s.VolumeMounts = []corev1.VolumeMountStatus{{Name: "data", MountPath: "/data", VolumeStatus: &corev1.VolumeStatus{
		Image: &corev1.ImageVolumeStatus{ImageRef: imageRef},
	}}}
}

func TestImageVolumes(t *testing.T) {
	const repo = "registry.example.com/shop/data"
	tagged, pinned := repo+":v1", repo+"@"+digest(2)
	bare := digest(3)[len("sha256:"):]
	another := func(s *corev1.PodSpec) *corev1.Container {
		s.Containers = append(s.Containers, corev1.Container{Name: "other", Image: "other"})
		return &s.Containers[1]
	}
	tests := []struct {
		name, reference string
		change          func(*corev1.Pod)
		want            []container
	}{
		{name: "pinned", reference: pinned,
			want: []container{{spec: pinned, imageID: pinned, kind: imageVolume}}},
		{name: "pinned with a tag", reference: tagged + "@" + digest(2),
			want: []container{{spec: tagged + "@" + digest(2), imageID: tagged + "@" + digest(2), kind: imageVolume}}},
		{name: "pinned, nothing has started", reference: pinned,
			change: func(p *corev1.Pod) { p.Status.ContainerStatuses[0].ImageID = "" }},
		{name: "pinned, no status", reference: pinned,
			change: func(p *corev1.Pod) { p.Status = corev1.PodStatus{} }},
		{name: "pinned, what mounts it has not started", reference: pinned,
			change: func(p *corev1.Pod) {
				another(&p.Spec).VolumeMounts, p.Spec.Containers[0].VolumeMounts = p.Spec.Containers[0].VolumeMounts, nil
				p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: "other"})
			}},
		{name: "pinned, nothing mounts it", reference: pinned,
			change: func(p *corev1.Pod) { p.Spec.Containers[0].VolumeMounts = nil }},
		{name: "pinned, an init container mounts it", reference: pinned,
			change: func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "init", VolumeMounts: p.Spec.Containers[0].VolumeMounts}}
				p.Spec.Containers[0].VolumeMounts = nil
				p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", ImageID: "init@" + digest(4)}}
			},
			want: []container{{spec: pinned, imageID: pinned, kind: imageVolume}}},
		{name: "pinned, two mount it", reference: pinned,
			change: func(p *corev1.Pod) {
				another(&p.Spec).VolumeMounts = p.Spec.Containers[0].VolumeMounts
				p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: "other", ImageID: "other@" + digest(4)})
			},
			want: []container{{spec: pinned, imageID: pinned, kind: imageVolume}}},
		{name: "tagged", reference: tagged,
			want: []container{{spec: tagged, kind: imageVolume}}},
		{name: "an id of the node's store", reference: bare,
			want: []container{{spec: bare, kind: imageVolume}}},
		{name: "tagged, shown by containerd", reference: tagged,
			change: func(p *corev1.Pod) { shows(&p.Status.ContainerStatuses[0], digest(3)) },
			want:   []container{{spec: tagged, imageID: digest(3), kind: imageVolume}}},
		{name: "tagged, shown by CRI-O", reference: tagged,
			change: func(p *corev1.Pod) { shows(&p.Status.ContainerStatuses[0], bare) },
			want:   []container{{spec: tagged, imageID: bare, kind: imageVolume}}},
		{name: "pinned, shown", reference: pinned,
			change: func(p *corev1.Pod) { shows(&p.Status.ContainerStatuses[0], digest(3)) },
			want:   []container{{spec: pinned, imageID: digest(3), kind: imageVolume}}},
		{name: "shown, not the id", reference: pinned,
			change: func(p *corev1.Pod) { shows(&p.Status.ContainerStatuses[0], "") },
			want:   []container{{spec: pinned, imageID: pinned, kind: imageVolume}}},
		{name: "the tag has moved between two containers", reference: tagged,
			change: func(p *corev1.Pod) {
				shows(&p.Status.ContainerStatuses[0], digest(3))
				p.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debug"}}
				shows(&p.Status.EphemeralContainerStatuses[0], digest(4))
			},
			want: []container{{spec: tagged, imageID: digest(3), kind: imageVolume}, {spec: tagged, imageID: digest(4), kind: imageVolume}}},
		{name: "shown for a volume that is none", reference: tagged,
			change: func(p *corev1.Pod) {
				shows(&p.Status.ContainerStatuses[0], digest(3))
				p.Spec.Volumes = nil
			}},
		{name: "the pod was changed since", reference: pinned, // which volumes cannot be
			change: func(p *corev1.Pod) { p.Generation, p.Status.ObservedGeneration = 2, 1 },
			want:   []container{{spec: pinned, imageID: pinned, kind: imageVolume}}},
		{name: "no reference yet", reference: ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := mounting(tt.reference)
			if tt.change != nil {
				tt.change(pod)
			}
			for i, c := range tt.want {
				tt.want[i].id = identified(c.spec, c.imageID)
			}
			kept := newPod(pod, false)
			if got := slices.Collect(imageVolumes(kept)); !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			var first []container // as who looks for one thing alone
			for c := range containers(kept) {
				if c.kind == imageVolume {
					first = append(first, c)
					break
				}
			}
			if !slices.Equal(first, tt.want[:min(len(tt.want), 1)]) {
				t.Errorf("the first: got %+v, want %+v", first, tt.want)
			}
		})
	}
}

// TestImageVolumeOfARunningImage has a container run an image that it mounts too: that is one image.
func TestImageVolumeOfARunningImage(t *testing.T) {
	const pinned = "registry.example.com/shop/app1@sha256:" // what podOf runs as number 1
	pod := mounting(pinned + digest(1)[len("sha256:"):])
	pod.Spec.Containers[0].Image = pod.Spec.Volumes[0].Image.Reference
	pod.Status.ContainerStatuses[0].ImageID = pod.Spec.Volumes[0].Image.Reference
	if got := imageIDs(newPod(pod, false)); !slices.Equal(got, []string{digest(1)}) {
		t.Errorf("images %v, want one", got)
	}
	pods := []*corev1.Pod{pod}
	if onlyMounted(kept(pods...), digest(1)) {
		t.Error("what a container runs is taken for a mere volume")
	}
	for n := range mostSpecs - 1 { // two of one would leave no room for the last of these
		pods = append(pods, podOf("shop", fmt.Sprint(n), 1))
		pods[n+1].Spec.Containers[0].Image = fmt.Sprintf("registry.example.com/shop/z%d:v1", n)
	}
	identity, _, err := identify(kept(pods...), image{namespace: "shop", id: digest(1), platform: amd64})
	if err != nil || len(identity.Candidates) != mostSpecs {
		t.Errorf("got %v, %v, want all %d places to ask", identity.Candidates, err, mostSpecs)
	}
}

func TestImageVolume(t *testing.T) {
	const repo = "registry.example.com/shop/data"
	t.Run("pinned", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			pod := mounting(repo + "@" + digest(2))
			status := pod.Status
			pod.Status = corev1.PodStatus{}
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(pod.DeepCopy())
			r.start()
			r.pass(settled)
			r.wantCalls(0)
			pod.Status = status
			r.change(pod)
			r.pass(settled)
			r.wantTexts("Now watching 2 images…shop/data@sha256:…1 pod")
			if n := r.registry.resolved(); n != 2 {
				t.Errorf("%d images are resolved, want 2", n)
			}
			r.delete("shop", "app-0")
			r.pass(removalGrace + 2*sweepEvery + settled)
			r.wantTexts("Now watching 2 images", "data@sha256:…app1:v1")
			r.wantLogged(0, "are not scanned")
		})
	})
	t.Run("shown by the status", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			// The id of the store is not the digest of the manifest.
			r.registry.manifests[digest(3)] = map[registry.Platform]string{amd64: digest(2)}
			pod := mounting(repo + ":v1")
			shows(&pod.Status.ContainerStatuses[0], digest(3))
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(pod)
			r.start()
			r.pass(settled)
			r.wantTexts("Now watching 2 images…shop/data:v1…1 pod")
			r.wantLogged(0, "are not scanned")
			if !r.clairs[clairBase].indexed[digest(2)] {
				t.Error("the manifest of the volume is not indexed")
			}
		})
	})
	t.Run("tagged", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			second := mounting(repo + ":v2")
			second.Name = "app-1"
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(mounting(repo+":v1"), second)
			r.start()
			r.pass(settled)
			r.wantTexts("app1:v1 is running with…2 pods")
			r.wantLogged(1, "image volumes without a digest are not scanned")
			if n := r.registry.resolved(); n != 1 {
				t.Errorf("%d images are resolved, want one: a tag is a guess", n)
			}
		})
	})
}

// TestImageVolumeThatIsNoImage has a volume with something that no container could run.
func TestImageVolumeThatIsNoImage(t *testing.T) {
	const model = "registry.example.com/shop/model"
	noImage := fmt.Errorf("image %s: %w: an artifact, not an image", model, registry.ErrUnsupported)
	begin := func(r *rig, err error) {
		r.registry.failWith(func(n int) error {
			if n > 1 { // the first is the container's
				return err
			}
			return nil
		})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-1", 1))
		r.start()
		r.run(mounting(model + "@" + digest(2)))
		r.pass(settled)
	}
	t.Run("is counted and not told", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			begin(r, noImage)
			r.wantTexts("app1:v1 is running with")
			if got := r.w.progress.count(); got[State(CauseUnsupported)] != 1 {
				t.Errorf("states: %v", got)
			}
			r.wantLogged(1, "level=INFO msg=\"image could not be scanned\"")
			r.pass(recheck + settled)
			r.wantTexts("app1:v1 is running with")
			// A container cannot run it: that its image is none has a reason that somebody should know.
			pod := podOf("shop", "app-2", 2)
			pod.Spec.Containers[0].Image, pod.Status.ContainerStatuses[0].ImageID = model+"@"+digest(2), model+"@"+digest(2)
			r.run(pod)
			r.pass(restPause + settled)
			r.wantTexts("app1:v1 is running with", "could not be scanned…shop/model")
		})
	})
	t.Run("is an image, but cannot be read", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			begin(r, errors.Join(registry.ErrUnauthorized, noImage))
			r.wantTexts("app1:v1 is running with", "could not be scanned…shop/model…the registry refuses access")
		})
	})
}
