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
	// free slots are there only while nobody waits.
	free int
	// waiting are those that come first, later those that come when none of them waits: what is known of them is out of
	// date at the most, and there can be thousands.
	waiting, later fairQueue
	// called are the images that a slot is kept for. They have left waiting and not come yet.
	called map[image]bool
	// resolved has the manifest of each image that waits or was called, where it is known: Clair is known not to have
	// it then, so neither Clair nor the registry is asked again.
	resolved map[image]*registry.Image
}

func newLine(slots int, call func(image)) *line {
	return &line{call: call, free: max(slots, 1), called: make(map[image]bool), resolved: make(map[image]*registry.Image)}
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

// enter takes a slot, which is to be given back with exit. It says false when all are taken; then the image
// stands in line and will be called. last says that it comes after all that are not; once it is not it stays so.
func (l *line) enter(img image, resolved *registry.Image, last bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, waits := l.resolved[img]
	switch {
	case l.called[img]:
		delete(l.called, img)
		delete(l.resolved, img)
		return true
	case waits:
		if !last && l.later.remove(img) {
			l.waiting.Push(img)
		}
		return false
	case l.free > 0:
		l.free--
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

// exit gives a slot to the next image, or back.
func (l *line) exit() {
	if next, ok := l.next(); ok {
		l.call(next)
	}
}

func (l *line) next() (image, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := &l.waiting
	if from.Len() == 0 {
		from = &l.later
	}
	if from.Len() == 0 {
		l.free++
		return image{}, false
	}
	img := from.Pop()
	l.called[img] = true
	return img, true
}

// abandon has an image stand in line no more. A slot that was kept for it goes to the next.
func (l *line) abandon(img image) {
	if l.strike(img) {
		l.exit()
	}
}

// strike removes an image and says whether a slot was kept for it.
func (l *line) strike(img image) (kept bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, waits := l.resolved[img]; !waits {
		return false
	}
	delete(l.resolved, img)
	if l.called[img] {
		delete(l.called, img)
		return true
	}
	if !l.waiting.remove(img) {
		l.later.remove(img)
	}
	return false
}
