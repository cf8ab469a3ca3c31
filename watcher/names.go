package watcher

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/clairwatch/clairwatch/findings"
)

// judgements say under which names images ran when they were last looked at, for destinations that ignore something in
// some images only. The names are not in the ledger: a start looks at all images.
type judgements struct {
	// mu is held from when the names are read until they are noted: a pod that comes in between is compared with them.
	mu sync.Mutex
	of map[heldImage]judgement
}

// judgement is by what a report was last judged.
type judgement struct {
	names   []string // each once, in order
	ignores []findings.Ignore
}

// judge returns the rules by which a listener's report of an image is judged, and notes what they rest on.
func (w *Watcher) judge(l listener, of subjectOf, digest string, now time.Time) findings.Rules {
	if !l.byName {
		return l.rules.At(of.name, now)
	}
	w.judged.mu.Lock()
	defer w.judged.mu.Unlock()
	key := heldImage{l.destination, digest}
	before, known := w.judged.of[key]
	names := w.namesOf(of, digest, before)
	w.judged.of[key] = judgement{names, l.rules.Ignore}
	rules := rulesUnder(l.rules, names, now)
	rules.Settled = known && slices.Equal(before.ignores, l.rules.Ignore)
	return rules
}

// rulesAt are the rules of a listener for an image at a time.
func (w *Watcher) rulesAt(l listener, of subjectOf, digest string, now time.Time) findings.Rules {
	if !l.byName {
		return l.rules.At(of.name, now)
	}
	return rulesUnder(l.rules, w.namesOf(of, digest, w.judged.get(heldImage{l.destination, digest})), now)
}

// rulesUnder are rules for an image that runs under some names. What is ignored in some images is ignored in this one if
// all of them fit: which of them is found first changes from look to look.
func rulesUnder(rules findings.Rules, names []string, now time.Time) findings.Rules {
	for _, name := range names {
		rules = rules.At(name, now)
	}
	return rules
}

// namesOf returns the names under which an image runs in its namespace, each once and in order. While nobody can tell
// they are those of before, or that under which it was looked for.
func (w *Watcher) namesOf(of subjectOf, digest string, before judgement) []string {
	names := make(map[string]struct{})
	for name := range w.namesIn(of.image.namespace, digest) {
		names[name] = struct{}{}
	}
	switch {
	case len(names) > 0:
		return slices.Sorted(maps.Keys(names))
	case len(before.names) > 0:
		return before.names
	default:
		return []string{of.name}
	}
}

// namesIn yields the name under which each container of a namespace runs an image that anybody looks at, as far as it is
// known.
func (w *Watcher) namesIn(namespace, digest string) iter.Seq[string] {
	ls := w.assigned.Load().of(namespace)
	return func(yield func(string) bool) {
		for id, pod := range w.users(namespace, digest) {
			if !seenBy(ls, pod, id) {
				continue
			}
			for c := range containers(pod) {
				if imageID(c) == id && isNamed(c) && !yield(c.spec) {
					return
				}
			}
		}
	}
}

// isNamed says whether it is known under which name a container runs its image. That of one that is about to be changed
// may be the name of the image to come.
func isNamed(c container) bool { return c.spec != "" && !c.outdated }

// get returns by what an image was last judged; the zero value when it was not.
func (j *judgements) get(key heldImage) judgement {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.of[key]
}

// sweep forgets those that are not kept.
func (j *judgements) sweep(kept func(heldImage) bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.of, func(key heldImage, _ judgement) bool { return !kept(key) })
}

// lookAtRenamed queues an image of a pod that has come, if it runs under a name by which somebody's ignores were not
// judged when it was looked at.
func (w *Watcher) lookAtRenamed(ls []listener, img image, pod *corev1.Pod) {
	w.lookIfJudged(ls, img, func(_ string, names []string) bool {
		for c := range containers(pod) {
			if isNamed(c) && imageID(c) == img.id && !slices.Contains(names, c.spec) {
				return true
			}
		}
		return false
	})
}

// lookAtUnnamed queues an image if it runs, and no longer under each name by which somebody's ignores were judged when it
// was looked at.
func (w *Watcher) lookAtUnnamed(img image) {
	w.lookIfJudged(w.assigned.Load().of(img.namespace), img, func(digest string, names []string) bool {
		left, runs := slices.Clone(names), false
		for name := range w.namesIn(img.namespace, digest) { // the first of them is all of them, as a rule
			runs = true
			if left = slices.DeleteFunc(left, func(n string) bool { return n == name }); len(left) == 0 {
				return false
			}
		}
		return runs
	})
}

// lookIfJudged queues an image that differs from what somebody's ignores were judged by. Where nobody ignores anything in
// some images only it costs nothing.
func (w *Watcher) lookIfJudged(ls []listener, img image, differs func(digest string, names []string) bool) {
	if !slices.ContainsFunc(ls, func(l listener) bool { return l.byName }) {
		return
	}
	digest := w.book.Manifest(img.inLedger())
	for _, l := range ls {
		if names := w.judged.get(heldImage{l.destination, digest}).names; l.byName && len(names) > 0 && differs(digest, names) {
			w.look(img)
			return
		}
	}
}
