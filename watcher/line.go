package watcher

import (
	"errors"
	"fmt"
	"sync"

	"github.com/clairwatch/clairwatch/registry"
)

// errInLine says that a Clair is busy with as many images as it may be. The image is looked at again when its turn has
// come.
var errInLine = errors.New("waiting for its turn at Clair")

// errUnread is an errInLine of an image of which Clair was not asked yet what it knows.
var errUnread = fmt.Errorf("not asked yet: %w", errInLine)

// line is where images wait for one of a Clair's slots, namespaces in turn. It holds images and never a
// worker: a Clair that is busy for hours keeps nobody from what other Clairs, or its own reports, have.
type line struct {
	// call has an image looked at whose turn has come.
	call func(image)

	mu sync.Mutex
	// free slots are there only while nobody waits who could use one.
	free int
	// waiting are those that come first, later those that come when none of them waits: what is known of them is out of
	// date at the most, and there can be thousands.
	waiting, later fairQueue
	// called are the images that a slot is kept for. They have left waiting and not come yet.
	called map[image]bool
	// resolved has the manifest of each image that waits or was called, where it is known: Clair is known not to have
	// it then, so neither Clair nor the registry is asked again.
	resolved map[image]*registry.Image
	// shares says that no namespace gets more than a quarter of the slots that the others leave. taken counts those of
	// each namespace that are kept for it or that it has; never zero.
	shares bool
	taken  map[string]int
	// under are the manifests of those that have a slot or are called: who wants the same one, in another namespace,
	// waits until it is there.
	under map[string]bool
}

func newLine(slots int, call func(image)) *line {
	return &line{call: call, free: max(slots, 1), called: make(map[image]bool), resolved: make(map[image]*registry.Image),
		under: make(map[string]bool), taken: make(map[string]int)}
}

// newSharedLine is a line before something that those who want it choose themselves, such as a registry: one that hangs
// keeps every slot that is taken for it. A namespace gets as many as it is said, and less where others have some; however
// many have none that comes free, something is left for one more.
func newSharedLine(each int, call func(image)) *line {
	l := newLine(lineShares*max(each, 1), call)
	l.shares = true
	return l
}

// lineShares is how many times as many slots there are as one namespace gets.
const lineShares = 4

// manifestOf is the digest of a manifest; empty where it is not known, or of no interest.
func manifestOf(resolved *registry.Image) string {
	if resolved == nil {
		return ""
	}
	return resolved.Digest
}

// remembered returns the manifest of an image that stands in line; nil for one that does not.
func (l *line) remembered(img image) *registry.Image {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.resolved[img]
}

// isCalled says whether a slot is kept for an image.
func (l *line) isCalled(img image) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.called[img]
}

// has says whether an image stands in line or is called.
func (l *line) has(img image) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, has := l.resolved[img]
	return has
}

// enter takes a slot, which is to be given back with exit. It says false when all are taken, or when somebody has one
// for the same manifest; then the image stands in line and will be called. last says that it comes after all that are
// not; once it is not it stays so.
func (l *line) enter(img image, resolved *registry.Image, last bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, waits := l.resolved[img]
	switch {
	case l.called[img]:
		if held := l.resolved[img]; manifestOf(held) != manifestOf(resolved) { // the slot is for another one now
			delete(l.under, manifestOf(held))
			l.hold(resolved)
		}
		delete(l.called, img)
		delete(l.resolved, img)
		return true
	case waits:
		if !last && l.later.remove(img) {
			l.waiting.Push(img)
		}
		return false
	case l.free > 0 && !l.under[manifestOf(resolved)] && l.hasShare(img.namespace):
		l.free--
		l.taken[img.namespace]++
		l.hold(resolved)
		return true
	}
	if last {
		l.later.Push(img)
	} else {
		l.waiting.Push(img)
	}
	l.resolved[img] = resolved
	return false
}

// hold notes that somebody has a slot for a manifest. l.mu is held.
func (l *line) hold(resolved *registry.Image) {
	if digest := manifestOf(resolved); digest != "" {
		l.under[digest] = true
	}
}

// exit gives back an image's slot that was taken for a manifest, or for nil, and calls those who can use what is free now.
func (l *line) exit(img image, resolved *registry.Image) {
	for _, next := range l.release(img, resolved) {
		l.call(next)
	}
}

// release frees a slot and returns those that are called now.
func (l *line) release(of image, resolved *registry.Image) []image {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free++
	if l.taken[of.namespace]--; l.taken[of.namespace] == 0 {
		delete(l.taken, of.namespace)
	}
	delete(l.under, manifestOf(resolved))
	var next []image
	for l.free > 0 {
		img, ok := l.waiting.popFirst(l.canUse)
		if !ok {
			if img, ok = l.later.popFirst(l.canUse); !ok {
				break
			}
		}
		l.free--
		l.taken[img.namespace]++
		l.called[img] = true
		l.hold(l.resolved[img])
		next = append(next, img)
	}
	return next
}

// canUse says whether an image that waits can have a slot: nobody has one for its manifest, and its namespace has not all
// that it may have. l.mu is held.
func (l *line) canUse(img image) bool {
	return !l.under[manifestOf(l.resolved[img])] && l.hasShare(img.namespace)
}

// hasShare says whether a namespace may have one more slot. l.mu is held.
func (l *line) hasShare(namespace string) bool {
	return !l.shares || (lineShares-1)*l.taken[namespace] < l.free
}

// abandon has an image stand in line no more. A slot that was kept for it goes to the next.
func (l *line) abandon(img image) {
	if resolved, kept := l.strike(img); kept {
		l.exit(img, resolved)
	}
}

// strike removes an image and says whether a slot was kept for it, and for which manifest.
func (l *line) strike(img image) (resolved *registry.Image, kept bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	resolved, waits := l.resolved[img]
	if !waits {
		return nil, false
	}
	delete(l.resolved, img)
	if l.called[img] {
		delete(l.called, img)
		return resolved, true
	}
	if !l.waiting.remove(img) {
		l.later.remove(img)
	}
	return nil, false
}
