package watcher

import (
	"slices"
	"strings"

	"k8s.io/client-go/tools/cache"
)

// podHandler returns the handler that queues the images that come and go with pods.
func (w *Watcher) podHandler() cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if pod := w.pods.read(obj); pod != nil {
				w.appeared(pod)
			}
		},
		UpdateFunc: func(old, now any) {
			before, after := w.pods.read(old), w.pods.read(now)
			if before == nil || after == nil || sameImages(before, after) { // as in most updates: only the status moves on
				return
			}
			w.appeared(after)
			w.disappeared(before)
		},
		DeleteFunc: func(obj any) {
			if missed, is := obj.(cache.DeletedFinalStateUnknown); is {
				if obj = missed.Obj; obj == nil {
					// The watch missed the end of the pod and its last state: any image there may be gone.
					namespace, _, _ := strings.Cut(missed.Key, "/")
					w.lookAtGone(namespace, func(image) bool { return true })
					return
				}
			}
			if pod := w.pods.read(obj); pod != nil {
				w.disappeared(pod)
			}
		},
	}
}

// appeared queues the images of a pod that are to be looked at.
func (w *Watcher) appeared(pod *pod) {
	if len(imageIDs(pod)) == 0 {
		return
	}
	ls := w.assigned.Load().of(pod.namespace())
	if len(ls) == 0 {
		// If the namespace gets a Scanner at this moment, assign finds the pod in the cache.
		w.sayUnwatched(pod.namespace())
		return
	}
	w.sayUnpinned(pod)
	platform := w.nodes.platform(pod.node.Value())
	for _, id := range w.seen(pod) {
		img := image{namespace: pod.namespace(), id: id, platform: platform}
		switch after, look := w.progress.start(img); {
		case look && after > 0 && w.leading.Load():
			w.images.AddAfter(img, after)
		case look:
			w.look(img)
		default:
			w.lookAtRenamed(ls, img, pod)
		}
	}
	w.annotator.look(pod)
}

// disappeared queues the images of a pod that run no longer, on whatever kind of node it was, or not under each name.
func (w *Watcher) disappeared(pod *pod) {
	ids := imageIDs(pod)
	if len(ids) == 0 {
		return
	}
	w.lookAtGone(pod.namespace(), func(img image) bool { return slices.Contains(ids, img.id) })
}

// lookAtGone queues those of some images of a namespace that no pod runs any more, or none under a name that counts.
func (w *Watcher) lookAtGone(namespace string, among func(image) bool) {
	for _, img := range w.progress.filterIn(namespace, among) {
		switch {
		case len(w.running(img)) > 0:
			w.lookAtUnnamed(img)
		case w.leading.Load():
			w.lookAnew(img)
		default:
			w.dismiss(img)
		}
	}
}

// sayUnwatched logs once that a namespace has no Scanner.
func (w *Watcher) sayUnwatched(namespace string) {
	assigned := w.assigned.Load()
	if _, optsOut := assigned.byNamespace[namespace]; optsOut || assigned.inDoubt(namespace) { // which the log has said
		return
	}
	if _, said := w.unwatched.LoadOrStore(namespace, true); !said {
		w.log.Info("namespace is not watched: it has no key in the settings", "namespace", namespace)
	}
}

// sayUnpinned logs once for a namespace that there are image volumes which nobody can look at.
func (w *Watcher) sayUnpinned(pod *pod) {
	for c := range imageVolumes(pod) {
		if c.imageID != "" {
			continue
		}
		if _, said := w.unpinned.LoadOrStore(pod.namespace(), true); !said {
			w.log.Info("image volumes without a digest are not scanned, because the status of the pod does not show what was mounted: pin them by digest",
				"namespace", pod.namespace(), "pod", pod.name, "volume", c.spec)
		}
		return
	}
}
