package watcher

import "sync"

// rounds are the looks at images that have begun and not ended: one of their Clairs could not be asked yet. A look that
// goes on asks nobody twice, or two Clairs that are busy would have an image go from one line to the other for ever.
type rounds struct {
	mu sync.Mutex
	// anew are the images about which something has come up since a look at them began: the next one starts over.
	anew map[image]struct{}
	// paused is what has come of the others so far.
	paused map[image]outcome
}

// begin has the next look at an image start over.
func (r *rounds) begin(img image) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.anew == nil {
		r.anew = make(map[image]struct{})
	}
	r.anew[img] = struct{}{}
}

// resume returns what has come of the look at an image so far, of which nothing is kept.
func (r *rounds) resume(img image) outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.paused[img]
	delete(r.paused, img)
	if _, anew := r.anew[img]; anew {
		delete(r.anew, img)
		return outcome{}
	}
	return o
}

// pause keeps what has come of a look so far.
func (r *rounds) pause(img image, o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paused == nil {
		r.paused = make(map[image]outcome)
	}
	r.paused[img] = o
}

// forget drops all of an image.
func (r *rounds) forget(img image) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.anew, img)
	delete(r.paused, img)
}
