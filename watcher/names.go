package watcher

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// mostNames is of how many names one image is judged by in a namespace. Whoever makes pods there chooses their number, and
// each is compared with each ignore: where an image has more, what is ignored in some images only is not ignored in it.
const mostNames = 50

// judgements say under which names images ran when they were last looked at, for destinations that ignore something in
// some images only. The names are not in the ledger: a start looks at all images. So it does not know either of a name
// that is away by then: what was told because of it counts as not told, and is told once more when the name is back.
type judgements struct {
	// mu is held from when the names are read until they are noted: a pod that comes in between is compared with them.
	mu sync.Mutex
	of map[heldImage]judgement
}

// judgement is by what a report was last judged, and when. Its zero value is none.
type judgement struct {
	// names are without tag and digest, each once and in order: all there are, or mostNames and one more.
	names []string
	rules findings.Rules // as they were written, for all images
	at    time.Time
}

// settled are the ignores of some images that were in force then.
func (j judgement) settled() []findings.Ignore { return j.rules.InSome(j.at) }

// judge returns the rules by which a listener's report of an image is judged, and notes what they rest on.
func (w *Watcher) judge(l listener, of subjectOf, digest string, now time.Time) findings.Rules {
	if !l.byName {
		w.judged.forget(heldImage{l.destination, digest}) // an ignore that comes again is another decision
		return l.rules.At(of.name, now)
	}
	before, names := w.noteJudgement(l, of, digest, now)
	return rulesUnder(l.rules, names, before, now)
}

// noteJudgement notes by what a listener's report of an image is judged, and returns by what it was before.
func (w *Watcher) noteJudgement(l listener, of subjectOf, digest string, now time.Time) (before judgement, names []string) {
	w.judged.mu.Lock()
	defer w.judged.mu.Unlock()
	key := heldImage{l.destination, digest}
	before = w.judged.of[key]
	names = w.namesOf(of, digest, before)
	w.judged.of[key] = judgement{names, l.rules, now}
	return before, names
}

// rulesAt are the rules by which a listener's report of an image would be judged.
func (w *Watcher) rulesAt(l listener, of subjectOf, digest string, now time.Time) findings.Rules {
	if !l.byName {
		return l.rules.At(of.name, now)
	}
	before := w.judged.get(heldImage{l.destination, digest})
	return rulesUnder(l.rules, w.namesOf(of, digest, before), before, now)
}

// rulesUnder are rules for an image that runs under some names. What is ignored in some images is ignored in this one if
// all of them fit: which of them is found first changes from look to look.
func rulesUnder(rules findings.Rules, names []string, before judgement, now time.Time) findings.Rules {
	if len(names) > mostNames {
		rules, names = rules.InAll(), names[:1]
	}
	for _, name := range names {
		rules = rules.At(name, now)
	}
	rules.Settled = before.settled()
	return rules
}

// namesOf returns the names of a judgement: those under which an image runs in its namespace. While nobody can tell they
// are those of before, or that under which it was looked for.
func (w *Watcher) namesOf(of subjectOf, digest string, before judgement) []string {
	switch names := w.namesNow(of.image.namespace, digest); {
	case len(names) > 0:
		return names
	case len(before.names) > 0:
		return before.names
	default:
		return []string{repositoryOf(of.name)}
	}
}

// namesNow returns what is known of the names under which an image runs in a namespace, as a judgement has them.
func (w *Watcher) namesNow(namespace, digest string) []string {
	names := make(map[string]struct{})
	for name := range w.namesIn(namespace, digest) {
		if names[name] = struct{}{}; len(names) > mostNames {
			break
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// namesIn yields the name under which each container of a namespace runs an image that anybody looks at, as far as it is
// known. It has neither tag nor digest, as no ignore goes by them: else each new tag would have the image looked at.
func (w *Watcher) namesIn(namespace, digest string) iter.Seq[string] {
	ls := w.assigned.Load().of(namespace)
	return func(yield func(string) bool) {
		for id, pod := range w.users(namespace, digest) {
			if !seenBy(ls, pod, id) {
				continue
			}
			for c := range containers(pod) {
				if c.id == id && isNamed(c) && !yield(repositoryOf(c.spec)) {
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

// forget forgets by what an image was judged.
func (j *judgements) forget(key heldImage) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.of, key)
}

// sweep forgets those that are not kept.
func (j *judgements) sweep(kept func(heldImage) bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.of, func(key heldImage, _ judgement) bool { return !kept(key) })
}

// lookAtRenamed queues an image of a pod that has come, if it runs under a name by which somebody's ignores were not
// judged when it was looked at.
func (w *Watcher) lookAtRenamed(ls []listener, img image, pod *pod) {
	w.lookIfJudged(ls, img, func(_ string, names []string) bool {
		if len(names) > mostNames { // too many, and one more
			return false
		}
		for c := range containers(pod) {
			if isNamed(c) && c.id == img.id && !slices.Contains(names, repositoryOf(c.spec)) {
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
		if len(names) > mostNames { // not all are known: it matters whether they are still too many
			now := w.namesNow(img.namespace, digest)
			return len(now) > 0 && len(now) <= mostNames
		}
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
