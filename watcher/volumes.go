package watcher

import (
	"iter"

	corev1 "k8s.io/api/core/v1"

	"github.com/clairwatch/clairwatch/registry"
)

// imageVolumes yields the images that a pod has as volumes, each under the reference of its volume, from when a
// container that mounts it has started. A volume of which only a tag is known has no imageID: whether the tag
// still means what was mounted nobody can tell.
func imageVolumes(pod *pod) iter.Seq[container] {
	return func(yield func(container) bool) {
		for c := range containers(pod) {
			if c.kind == imageVolume && !yield(c) {
				return
			}
		}
	}
}

// mountedVolumes yields the image volumes that imageVolumes does, some of them more than once; references are those of
// the pod's image volumes.
func mountedVolumes(pod *corev1.Pod, references map[string]string) iter.Seq[container] {
	return func(yield func(container) bool) {
		shown := make(map[string]bool)
		// With the feature gate ImageVolumeWithDigest the status shows what is mounted; where containers
		// mount different states of one tag, all of them.
		for _, s := range statuses(pod) {
			for _, m := range s.VolumeMounts {
				reference, ok := references[m.Name]
				if !ok || mountedID(m) == "" {
					continue
				}
				shown[m.Name] = true
				if !yield(container{spec: reference, imageID: mountedID(m), kind: imageVolume}) {
					return
				}
			}
		}
		// Without it a digest in the reference is as good, because volumes cannot be changed.
		mounts := volumeMounts(pod)
		for _, s := range statuses(pod) {
			if s.ImageID == "" { // the kubelet may not have pulled the volume either
				continue
			}
			for _, m := range mounts[s.Name] {
				reference, ok := references[m.Name]
				if !ok || shown[m.Name] {
					continue
				}
				shown[m.Name] = true
				if !yield(container{spec: reference, imageID: pinned(reference), kind: imageVolume}) {
					return
				}
			}
		}
	}
}

// volumeReferences returns the references of a pod's image volumes by the volumes' names; nil when it has none.
func volumeReferences(pod *corev1.Pod) map[string]string {
	var all map[string]string
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Image == nil || v.Image.Reference == "" {
			continue
		}
		if all == nil {
			all = make(map[string]string)
		}
		all[v.Name] = v.Image.Reference
	}
	return all
}

// volumeMounts returns what each container of a pod mounts, by the containers' names.
func volumeMounts(pod *corev1.Pod) map[string][]corev1.VolumeMount {
	all := make(map[string][]corev1.VolumeMount)
	for _, c := range pod.Spec.InitContainers {
		all[c.Name] = c.VolumeMounts
	}
	for _, c := range pod.Spec.Containers {
		all[c.Name] = c.VolumeMounts
	}
	for _, c := range pod.Spec.EphemeralContainers {
		all[c.Name] = c.VolumeMounts
	}
	return all
}

// mountedID is what the kubelet says of a mounted image volume: as a container's imageID, but in fact the id of
// the image in the runtime's store, which is a config id (kubernetes pkg/kubelet/kubelet_pods.go,
// convertToAPIContainerStatuses).
func mountedID(m corev1.VolumeMountStatus) string {
	if m.VolumeStatus == nil || m.VolumeStatus.Image == nil {
		return ""
	}
	return m.VolumeStatus.Image.ImageRef
}

// pinned returns a reference as a runtime would report it if it has a digest; else nothing.
func pinned(reference string) string {
	if _, err := registry.Identify(reference, reference); err != nil {
		return ""
	}
	return reference
}

// onlyMounted says whether some pods have an image as a volume and no container runs it.
func onlyMounted(pods []*pod, id string) bool {
	mounted := false
	for _, pod := range pods {
		for c := range containers(pod) {
			if c.id != id {
				continue
			}
			if c.kind != imageVolume {
				return false
			}
			mounted = true
		}
	}
	return mounted
}
