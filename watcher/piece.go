package watcher

import (
	"iter"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// container is one container of a pod as far as its image is concerned, or one image volume.
type container struct {
	// spec is the image as the pod asks for it, imageID what the runtime says it runs; empty until it
	// was pulled.
	spec, imageID string
	// outdated says that the pod has been changed since the runtime said so: spec may be another image.
	outdated bool
	// kind is what it is.
	kind containerKind
	// id is what identifies the image; empty until it was pulled. newPod finds it out, once: that takes parsing.
	id string
}

// containerKind is what an image is used as.
type containerKind uint8

const (
	ordinaryContainer containerKind = iota
	initContainer
	ephemeralContainer
	imageVolume
)

// word is what an Explanation calls it.
func (k containerKind) word() string {
	return [...]string{ordinaryContainer: KindContainer, initContainer: KindInit, ephemeralContainer: KindEphemeral, imageVolume: KindVolume}[k]
}

// piece is a container of a pod, or an image volume, whether it has a status or not.
type piece struct {
	container
	name string
	// started says, of an image volume, that a container which mounts it has.
	started bool
}

// piecesOf returns the containers of a pod by their kinds, and its image volumes.
func piecesOf(pod *corev1.Pod) []piece {
	ids := make(map[string]string)
	for _, s := range statuses(pod) {
		ids[s.Name] = s.ImageID
	}
	outdated := isOutdated(pod)
	all := make([]piece, 0, len(ids))
	add := func(kind containerKind, name, spec string) {
		all = append(all, piece{container: container{spec: spec, imageID: ids[name], outdated: outdated, kind: kind}, name: name})
	}
	for _, c := range pod.Spec.InitContainers {
		add(initContainer, c.Name, c.Image)
	}
	for _, c := range pod.Spec.Containers {
		add(ordinaryContainer, c.Name, c.Image)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		add(ephemeralContainer, c.Name, c.Image)
	}
	for kind, s := range statuses(pod) { // what runs, whatever is asked for
		if !slices.ContainsFunc(all, func(p piece) bool { return p.name == s.Name }) {
			add(kind, s.Name, "")
		}
	}
	return append(all, volumePieces(pod)...)
}

// volumePieces returns the image volumes of a pod. Those of one reference are one, with the names of all of them.
func volumePieces(pod *corev1.Pod) []piece {
	references := volumeReferences(pod)
	if len(references) == 0 { // as nearly all pods
		return nil
	}
	names := make(map[string][]string) // of volumes, by what they refer to
	for _, name := range slices.Sorted(maps.Keys(references)) {
		names[references[name]] = append(names[references[name]], name)
	}
	var all []piece
	started := make(map[string]bool)
	for c := range mountedVolumes(pod, references) {
		started[c.spec] = true
		if p := (piece{c, strings.Join(names[c.spec], ", "), true}); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	for _, reference := range slices.Sorted(maps.Keys(names)) {
		if !started[reference] {
			all = append(all, piece{container{spec: reference, kind: imageVolume}, strings.Join(names[reference], ", "), false})
		}
	}
	return all
}

// isOutdated says whether a pod's status is older than its spec.
func isOutdated(pod *corev1.Pod) bool {
	return pod.Status.ObservedGeneration != 0 && pod.Status.ObservedGeneration < pod.Generation
}

// statuses yields the statuses of the init, ordinary and ephemeral containers of a pod.
func statuses(pod *corev1.Pod) iter.Seq2[containerKind, *corev1.ContainerStatus] {
	return func(yield func(containerKind, *corev1.ContainerStatus) bool) {
		for _, of := range [...]struct {
			kind     containerKind
			statuses []corev1.ContainerStatus
		}{
			{initContainer, pod.Status.InitContainerStatuses},
			{ordinaryContainer, pod.Status.ContainerStatuses},
			{ephemeralContainer, pod.Status.EphemeralContainerStatuses},
		} {
			for i := range of.statuses {
				if !yield(of.kind, &of.statuses[i]) {
					return
				}
			}
		}
	}
}
