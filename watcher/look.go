package watcher

import (
	"slices"

	"github.com/clairwatch/clairwatch/settings"
)

// optOut is the annotation by which the author of a pod takes it out, where its Scanner lets that be.
const optOut = "clairwatch.io/scan"

// isOut says whether a pod's author wants it not to be looked at.
func isOut(pod *pod) bool { return pod.common.Value().out }

// isFinished says whether a pod has ended.
func isFinished(pod *pod) bool { return pod.common.Value().finished }

// seesPod says whether images of a pod are looked at.
func seesPod(look settings.Look, pod *pod) bool {
	return (look.Finished || !isFinished(pod)) && (!look.OptOut || !isOut(pod))
}

// seesContainer says whether the images of such containers are looked at.
func seesContainer(look settings.Look, c container) bool {
	switch c.kind {
	case initContainer:
		return look.Init
	case ephemeralContainer:
		return look.Ephemeral
	case imageVolume:
		return look.Volumes
	}
	return true
}

// sees says whether an image is looked at as a pod uses it.
func sees(look settings.Look, pod *pod, id string) bool {
	if !seesPod(look, pod) {
		return false
	}
	for c := range containers(pod) {
		if c.id == id && seesContainer(look, c) {
			return true
		}
	}
	return false
}

// seen returns what identifies the images of a pod that anybody looks at, each once.
func (w *Watcher) seen(pod *pod) []string {
	ids, ls := imageIDs(pod), w.assigned.Load().of(pod.namespace())
	if slices.ContainsFunc(ls, func(l listener) bool { return l.look == settings.DefaultLook() }) {
		return ids
	}
	return slices.DeleteFunc(ids, func(id string) bool { return !seenBy(ls, pod, id) })
}

// seenBy says whether any of some listeners wants to hear of an image as a pod uses it.
func seenBy(ls []listener, pod *pod, id string) bool {
	return slices.ContainsFunc(ls, func(l listener) bool { return sees(l.look, pod, id) })
}
