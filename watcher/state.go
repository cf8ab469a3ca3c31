package watcher

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// restPause is how often at the most an image is looked at for its new pods that has failed in a way that only
// a change outside can help. Pods that cannot start come and go. It is longer than a registry's refusal is remembered.
const restPause = 11 * time.Minute

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
	// failed is when the last try failed, since when the first of those alike did.
	failed, since time.Time
	// next is when it is looked at again, if nothing comes up before; zero while that is not settled.
	next time.Time
	// came is since when one that is untried waits: when it began to run, as far as this process knows, or when this
	// replica began to lead, if that was later; zero for all others.
	came time.Time
	// indexed are the Clairs that have indexed the image and had no report at that time, or not all of it.
	indexed []string
}

// progress is the state of each image that runs in a namespace with a Scanner.
type progress struct {
	mu      sync.Mutex
	images  map[string]map[image]step // by namespace; never an empty map
	untried map[string]int            // namespace -> images that are untried
	// due are the images that are looked at again because of something that concerns many of them, with the number of
	// the mark; marks is that of the latest one. A look takes away only a mark that is older than itself.
	due   map[string]map[image]uint64 // by namespace; never an empty map
	marks uint64
	// sights are what is known of the images at each Clair.
	sights map[image]map[string]sight
	// packedSize is how many bytes the findings in sights take.
	packedSize int
	// admitted are the images of each namespace that count for its limit, over those that wait to be let in.
	admitted, over byNamespace
}

func newProgress() *progress {
	return &progress{
		images:  make(map[string]map[image]step),
		untried: make(map[string]int),
		due:     make(map[string]map[image]uint64),
		sights:  make(map[image]map[string]sight),
		// The limit of each namespace.
		admitted: make(byNamespace),
		over:     make(byNamespace),
	}
}

// start notes an image that a new pod runs. It says whether it is to be looked at, and after what time: at once
// when it is seen for the first time, and after a rest when it has failed in a way that only a change outside
// can help. For all others their next look is planned.
func (p *progress) start(img image) (after time.Duration, look bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, known := p.images[img.namespace][img]; known {
		return max(0, time.Until(s.failed.Add(restPause))), s.resting
	}
	p.set(img, step{state: StateUntried, came: time.Now()})
	p.untried[img.namespace]++
	return 0, true
}

// waitFromNow has the images that are untried wait from now on: nobody could have tried them before, because this replica
// stood by.
func (p *progress) waitFromNow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for img, s := range p.all() {
		if s.state == StateUntried {
			s.came = now
			p.set(img, s)
		}
	}
}

// set notes how far an image has come. p.mu is held.
func (p *progress) set(img image, s step) {
	if p.images[img.namespace] == nil {
		p.images[img.namespace] = make(map[image]step)
	}
	p.images[img.namespace][img] = s
}

// isUntried says whether an image runs and has not been tried.
func (p *progress) isUntried(img image) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.images[img.namespace][img].state == StateUntried
}

// reach notes how far an image has come. One that was tried never becomes untried again.
func (p *progress) reach(img image, s State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uncount(img)
	p.set(img, step{state: s, indexed: p.images[img.namespace][img].indexed})
}

// fail notes that a try failed. resting says that trying again will not help by itself. It returns how far
// the image has come now, and whether its state is another one than before.
func (p *progress) fail(img image, s State, resting bool) (now step, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uncount(img)
	was := p.images[img.namespace][img]
	now = step{state: s, failures: was.failures + 1, alike: 1, resting: resting, failed: time.Now(), indexed: was.indexed}
	now.since = now.failed
	if was.state == s {
		now.alike, now.since = was.alike+1, was.since
	}
	p.set(img, now)
	return now, was.state != s
}

// plan notes when an image is looked at again that has failed or waits.
func (p *progress) plan(img image, next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, known := p.images[img.namespace][img]; known {
		s.next = next
		p.set(img, s)
	}
}

// step returns how far an image has come.
func (p *progress) step(img image) step {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.images[img.namespace][img]
}

// forget drops an image that no longer runs, or that nobody wants to hear about. It returns one that can be looked
// at in its place, if any was over the limit.
func (p *progress) forget(img image) (next image, waits bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uncount(img)
	delete(p.images[img.namespace], img)
	if len(p.images[img.namespace]) == 0 {
		delete(p.images, img.namespace)
	}
	p.undue(img)
	for _, s := range p.sights[img] {
		p.packedSize -= s.packedSize()
	}
	delete(p.sights, img)
	return p.leave(img)
}

// admit says whether an image is one of the most that are looked at in its namespace; zero is no limit. Who is in
// stays in until it is forgotten, and who is not waits for that.
func (p *progress) admit(img image, most int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, in := p.admitted[img.namespace][img]; in || p.images[img.namespace][img].state == "" { // or it has gone meanwhile
		return true
	}
	if most > 0 && len(p.admitted[img.namespace]) >= most {
		p.over.put(img)
		return false
	}
	p.over.remove(img)
	p.admitted.put(img)
	return true
}

// admitKnown lets in what was looked at by the daemon before this one, before anything else is: a restart changes
// nothing.
func (p *progress) admitKnown(img image) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.admitted.put(img)
}

// leave takes an image out of those that count for the limit of its namespace. It returns one that has waited for
// that, if any. p.mu is held.
func (p *progress) leave(img image) (next image, waits bool) {
	p.over.remove(img)
	if !p.admitted.remove(img) {
		return image{}, false
	}
	for next = range p.over[img.namespace] {
		p.over.remove(next)
		return next, true
	}
	return image{}, false
}

// markDue notes that images are going to be looked at for one reason: what comes of it belongs together.
func (p *progress) markDue(imgs []image) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks++
	for _, img := range imgs {
		if _, known := p.images[img.namespace][img]; !known {
			continue
		}
		if p.due[img.namespace] == nil {
			p.due[img.namespace] = make(map[image]uint64)
		}
		p.due[img.namespace][img] = p.marks
	}
}

// beginLook returns what markLooked wants to know of a look that begins now.
func (p *progress) beginLook() (began uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks
}

// markLooked notes that a look at an image has ended: if it was due when that began it is so no more.
func (p *progress) markLooked(img image, began uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due[img.namespace][img] <= began {
		p.undue(img)
	}
}

// undue takes away an image's mark, if any. p.mu is held.
func (p *progress) undue(img image) {
	delete(p.due[img.namespace], img)
	if len(p.due[img.namespace]) == 0 {
		delete(p.due, img.namespace)
	}
}

// isDue says whether an image is looked at because of something that concerns many.
func (p *progress) isDue(img image) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, due := p.due[img.namespace][img]
	return due
}

// uncount takes an image from the untried ones if it is one of them. p.mu is held.
func (p *progress) uncount(img image) {
	if step, known := p.images[img.namespace][img]; !known || step.state != StateUntried {
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
	s, known := p.images[img.namespace][img]
	if !known || slices.Contains(s.indexed, clair) {
		return false
	}
	s.indexed = append(slices.Clip(s.indexed), clair)
	p.set(img, s)
	return true
}

// isIndexed says whether markIndexed has noted it.
func (p *progress) isIndexed(img image, clair string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.images[img.namespace][img].indexed, clair)
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

// outstanding counts the images of some namespaces of which more is to be expected at once: those that are
// untried, and those that are due.
func (p *progress) outstanding(namespaces []string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, ns := range namespaces {
		n += p.untried[ns] + len(p.due[ns])
	}
	return n
}

// all yields every image and how far it has come. p.mu is held.
func (p *progress) all() iter.Seq2[image, step] {
	return func(yield func(image, step) bool) {
		for _, images := range p.images {
			for img, s := range images {
				if !yield(img, s) {
					return
				}
			}
		}
	}
}

// filter returns the images that are chosen.
func (p *progress) filter(chosen func(image) bool) []image {
	p.mu.Lock()
	defer p.mu.Unlock()
	var imgs []image
	for img := range p.all() {
		if chosen(img) {
			imgs = append(imgs, img)
		}
	}
	return imgs
}

// filterIn returns the images of a namespace that are chosen, and asks about no other: it is asked for each pod that ends.
func (p *progress) filterIn(namespace string, chosen func(image) bool) []image {
	p.mu.Lock()
	defer p.mu.Unlock()
	var imgs []image
	for img := range p.images[namespace] {
		if chosen(img) {
			imgs = append(imgs, img)
		}
	}
	return imgs
}

// inStates returns the images that are in one of some states.
func (p *progress) inStates(states ...State) []image {
	p.mu.Lock()
	defer p.mu.Unlock()
	var imgs []image
	for img, s := range p.all() {
		if slices.Contains(states, s.state) {
			imgs = append(imgs, img)
		}
	}
	return imgs
}

// namespaces returns those of the images.
func (p *progress) namespaces() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.images))
}

// in returns those of some images that are in a state.
func (p *progress) in(state State, imgs []image) []image {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(imgs, func(img image) bool { return p.images[img.namespace][img].state != state })
}

// states returns the state of every image.
func (p *progress) states() map[image]State {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := make(map[image]State)
	for img, s := range p.all() {
		states[img] = s.state
	}
	return states
}

// oldestUntried is since when the image waits that has not been tried for the longest time; zero when all have been.
func (p *progress) oldestUntried() (since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.all() {
		if s.state == StateUntried && !s.came.IsZero() && (since.IsZero() || s.came.Before(since)) {
			since = s.came
		}
	}
	return since
}

// count counts images by state.
func (p *progress) count() map[State]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := make(map[State]int)
	for _, s := range p.all() {
		counts[s.state]++
	}
	return counts
}
