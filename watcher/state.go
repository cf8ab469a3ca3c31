package watcher

import (
	"slices"
	"sync"
	"time"
)

// restPause is how often at the most an image is looked at for its new pods that has failed in a way that only
// a change outside can help. Pods that cannot start come and go.
const restPause = 5 * time.Minute

// State is how far an image that runs has come.
type State string

// The states. An image that could not be scanned is in the state of its Cause.
const (
	// StateUntried has not been scanned yet.
	StateUntried State = "untried"
	// StateScanned has a report.
	StateScanned State = "scanned"
	// StateNotCovered has a report that says nothing, because Clair has no data for what is in it.
	StateNotCovered State = "not_covered"
)

// States lists all of them, in the order in which people read them.
func States() []State {
	states := []State{StateUntried, StateScanned, StateNotCovered}
	for _, c := range Causes {
		states = append(states, State(c))
	}
	return states
}

// step is how far one image has come.
type step struct {
	state State
	// failures counts the tries that failed since the last one that did not, alike those of them at the
	// end that had the same cause.
	failures, alike int
	// resting is set when nothing but a change outside helps, such as another pod's image name.
	resting bool
	// failed is when the last try failed.
	failed time.Time
	// indexed are the Clairs that have indexed the image and had no report at that time.
	indexed []string
}

// progress is the state of each image that runs in a namespace with a Scanner.
type progress struct {
	mu      sync.Mutex
	images  map[image]step
	untried map[string]int // namespace -> images that are untried
}

func newProgress() *progress {
	return &progress{images: make(map[image]step), untried: make(map[string]int)}
}

// start notes an image that a new pod runs. It says whether it is to be looked at, and after what time: at once
// when it is seen for the first time, and after a rest when it has failed in a way that only a change outside
// can help. For all others their next look is planned.
func (p *progress) start(img image) (after time.Duration, look bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, known := p.images[img]; known {
		return max(0, time.Until(s.failed.Add(restPause))), s.resting
	}
	p.images[img] = step{state: StateUntried}
	p.untried[img.namespace]++
	return 0, true
}

// isUntried says whether an image runs and has not been tried.
func (p *progress) isUntried(img image) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.images[img].state == StateUntried
}

// reach notes how far an image has come. One that was tried never becomes untried again.
func (p *progress) reach(img image, s State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uncount(img)
	p.images[img] = step{state: s, indexed: p.images[img].indexed}
}

// fail notes that a try failed. resting says that trying again will not help by itself. It returns how far
// the image has come now, and whether its state is another one than before.
func (p *progress) fail(img image, s State, resting bool) (now step, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uncount(img)
	was := p.images[img]
	now = step{state: s, failures: was.failures + 1, alike: 1, resting: resting, failed: time.Now(), indexed: was.indexed}
	if was.state == s {
		now.alike = was.alike + 1
	}
	p.images[img] = now
	return now, was.state != s
}

// forget drops an image that no longer runs, or that nobody wants to hear about.
func (p *progress) forget(img image) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uncount(img)
	delete(p.images, img)
}

// uncount takes an image from the untried ones if it is one of them. p.mu is held.
func (p *progress) uncount(img image) {
	if step, known := p.images[img]; !known || step.state != StateUntried {
		return
	}
	p.untried[img.namespace]--
	if p.untried[img.namespace] == 0 {
		delete(p.untried, img.namespace)
	}
}

// markIndexed notes that a Clair has indexed an image, and says whether that is new.
func (p *progress) markIndexed(img image, clair string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, known := p.images[img]
	if !known || slices.Contains(s.indexed, clair) {
		return false
	}
	s.indexed = append(slices.Clip(s.indexed), clair)
	p.images[img] = s
	return true
}

// isIndexed says whether markIndexed has noted it.
func (p *progress) isIndexed(img image, clair string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.images[img].indexed, clair)
}

// waiting counts the untried images of some namespaces.
func (p *progress) waiting(namespaces []string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, ns := range namespaces {
		n += p.untried[ns]
	}
	return n
}

// filter returns the images that are chosen.
func (p *progress) filter(chosen func(image) bool) []image {
	p.mu.Lock()
	defer p.mu.Unlock()
	var imgs []image
	for img := range p.images {
		if chosen(img) {
			imgs = append(imgs, img)
		}
	}
	return imgs
}

// count counts images by state.
func (p *progress) count() map[State]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := make(map[State]int)
	for _, s := range p.images {
		counts[s.state]++
	}
	return counts
}
