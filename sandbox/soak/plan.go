package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// verb is what an action does to the pods of a namespace.
type verb string

const (
	start   verb = "start"   // a workload with so many pods
	roll    verb = "roll"    // a workload gets another image: new pods first, then the old ones go
	scale   verb = "scale"   // a workload gets another number of pods
	replace verb = "replace" // each pod of a workload is replaced by another one
	remove  verb = "remove"  // a workload goes
	job     verb = "job"     // a Job's pod
	finish  verb = "finish"  // the Job's pod has ended
	clean   verb = "clean"   // the Job's pod is deleted
)

// action is one thing that happens to the pods of a namespace.
type action struct {
	verb      verb
	namespace string
	// name is the workload's, or the Job's.
	name  string
	image string
	pods  int
}

func (a action) String() string {
	return fmt.Sprintf("%s %s/%s %s %d", a.verb, a.namespace, a.name, a.image, a.pods)
}

// round is a fault and what happens meanwhile.
type round struct {
	fault   string // empty: none
	actions []action
	// publish is the package that something becomes known about; empty: none.
	publish string
	// long has the fault last longer than the daemon's Lease, where it concerns that.
	long bool
}

// Bounds of a namespace. Messages name six images at least: what they are about is read from them alone, so that no
// more may come or go between two times of rest.
const (
	mostWorkloads = 4
	mostPods      = 3
	mostActions   = 3
)

// planner decides what happens, by nothing but its seed: the same seed gives the same rounds.
type planner struct {
	random *rand.Rand
	faults []string // those of this turn that are still to come
	all    []string
	places []*place
	serial int
}

// place is a namespace as the planner knows it.
type place struct {
	namespace string
	workloads []*workload
	// fresh are the images that have never run there; rested are those that have, and have been gone for a round at least;
	// resting went in this round.
	fresh, rested, resting []string
	jobs                   []jobRun
}

type workload struct {
	name, image string
	pods        int
}

// jobRun is a Job's pod, and whether it has ended.
type jobRun struct {
	name, image string
	finished    bool
}

// plan makes a planner for some namespaces that run images of a fleet, and faults that come in turns.
func plan(seed uint64, namespaces, images, faults []string) *planner {
	p := &planner{random: rand.New(rand.NewPCG(seed, seed)), all: slices.Clone(faults)}
	for _, namespace := range namespaces {
		at := &place{namespace: namespace, fresh: slices.Clone(images)}
		p.random.Shuffle(len(at.fresh), func(i, k int) { at.fresh[i], at.fresh[k] = at.fresh[k], at.fresh[i] })
		p.places = append(p.places, at)
	}
	return p
}

// first is the round with which it begins: nothing fails, and something runs everywhere.
func (p *planner) first() round {
	var r round
	for _, at := range p.places {
		for range 2 {
			r.actions = append(r.actions, p.start(at))
		}
		r.actions = append(r.actions, p.job(at))
	}
	return r
}

// next is the next round. All faults come before one comes again.
func (p *planner) next() round {
	if len(p.faults) == 0 {
		p.faults = slices.Clone(p.all)
		p.random.Shuffle(len(p.faults), func(i, k int) { p.faults[i], p.faults[k] = p.faults[k], p.faults[i] })
	}
	r := round{fault: p.faults[0], long: p.random.IntN(2) == 0}
	p.faults = p.faults[1:]
	// What returns hears of all that became known since: it has a round without further news.
	if p.random.IntN(2) == 0 {
		r.publish = []string{"glibc", "gnutls28"}[p.random.IntN(2)]
	}
	for _, at := range p.places {
		at.rested, at.resting = append(at.rested, at.resting...), nil
		returned := r.publish != ""
		for range 1 + p.random.IntN(mostActions) {
			if a, ok := p.action(at, &returned); ok {
				r.actions = append(r.actions, a)
			}
		}
	}
	return r
}

// action is the next thing that happens in a namespace. returned says that nothing may return to it in this round.
func (p *planner) action(at *place, returned *bool) (action, bool) {
	choices := []func() (action, bool){
		func() (action, bool) { return p.starting(at, returned) },
		func() (action, bool) { return p.jobStep(at) },
	}
	if len(at.workloads) > 0 {
		choices = append(choices,
			func() (action, bool) { return p.starting(at, returned) },
			func() (action, bool) { return p.rolling(at) },
			func() (action, bool) { return p.rolling(at) },
			func() (action, bool) { return p.scaling(at), true },
			func() (action, bool) { return p.replacing(at), true },
			func() (action, bool) { return p.removing(at), true },
		)
	}
	return choices[p.random.IntN(len(choices))]()
}

func (p *planner) starting(at *place, returned *bool) (action, bool) {
	switch {
	case len(at.workloads) >= mostWorkloads:
		return p.removing(at), true
	case len(at.rested) > 0 && !*returned && (len(at.fresh) == 0 || p.random.IntN(4) == 0):
		*returned = true
		i := p.random.IntN(len(at.rested))
		image := at.rested[i]
		at.rested = slices.Delete(at.rested, i, i+1)
		return p.run(at, image), true
	case len(at.fresh) == 0:
		return action{}, false
	}
	return p.start(at), true
}

// start runs an image that has not run there before.
func (p *planner) start(at *place) action {
	return p.run(at, at.take())
}

func (p *planner) run(at *place, image string) action {
	p.serial++
	w := &workload{name: fmt.Sprintf("work-%d", p.serial), image: image, pods: 1 + p.random.IntN(mostPods)}
	at.workloads = append(at.workloads, w)
	return action{start, at.namespace, w.name, w.image, w.pods}
}

func (p *planner) rolling(at *place) (action, bool) {
	if len(at.fresh) == 0 {
		return action{}, false
	}
	w := p.any(at)
	at.resting = append(at.resting, w.image)
	w.image = at.take()
	return action{roll, at.namespace, w.name, w.image, w.pods}, true
}

func (p *planner) scaling(at *place) action {
	w := p.any(at)
	w.pods = 1 + p.random.IntN(mostPods)
	return action{scale, at.namespace, w.name, w.image, w.pods}
}

func (p *planner) replacing(at *place) action {
	w := p.any(at)
	return action{replace, at.namespace, w.name, w.image, w.pods}
}

func (p *planner) removing(at *place) action {
	w := p.any(at)
	at.workloads = slices.DeleteFunc(at.workloads, func(o *workload) bool { return o == w })
	at.resting = append(at.resting, w.image)
	return action{remove, at.namespace, w.name, w.image, 0}
}

func (p *planner) job(at *place) action {
	p.serial++
	j := jobRun{name: fmt.Sprintf("job-%d", p.serial), image: at.take()}
	at.jobs = append(at.jobs, j)
	return action{job, at.namespace, j.name, j.image, 1}
}

// jobStep has a Job run, end, or be cleaned up: of each namespace one at a time.
func (p *planner) jobStep(at *place) (action, bool) {
	switch {
	case len(at.jobs) == 0 && len(at.fresh) == 0:
		return action{}, false
	case len(at.jobs) == 0:
		return p.job(at), true
	case !at.jobs[0].finished:
		at.jobs[0].finished = true
		return action{finish, at.namespace, at.jobs[0].name, at.jobs[0].image, 1}, true
	}
	j := at.jobs[0]
	at.jobs = at.jobs[1:]
	return action{clean, at.namespace, j.name, j.image, 0}, true
}

func (p *planner) any(at *place) *workload { return at.workloads[p.random.IntN(len(at.workloads))] }

// take takes an image that has never run there.
func (at *place) take() string {
	image := at.fresh[0]
	at.fresh = at.fresh[1:]
	return image
}
