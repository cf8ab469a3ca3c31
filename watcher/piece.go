package watcher

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

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
	var all []piece
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
	names := make(map[string][]string) // of volumes, by what they refer to
	references := volumeReferences(pod)
	for _, name := range slices.Sorted(maps.Keys(references)) {
		names[references[name]] = append(names[references[name]], name)
	}
	started := make(map[string]bool)
	for c := range imageVolumes(pod) {
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

// word is what an Explanation calls it.
func (k containerKind) word() string {
	return [...]string{ordinaryContainer: KindContainer, initContainer: KindInit, ephemeralContainer: KindEphemeral, imageVolume: KindVolume}[k]
}
