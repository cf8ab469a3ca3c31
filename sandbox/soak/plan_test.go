package main

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
)

// TestPlan follows plans, and sees that nothing happens by which the checker could be wrong: an image that comes back in
// the round in which it went, one that is both a Job's and a workload's, or more at once than a message names.
func TestPlan(t *testing.T) {
	const rounds = 200
	var images []string
	for i := range 60 {
		images = append(images, fmt.Sprintf("fleet/app-%03d:1.0", i))
	}
	names := []string{"one", "two", "three"}
	for seed := range uint64(20) {
		p, same := plan(seed, namespaces, images, names), plan(seed, namespaces, images, names)
		pods := make(map[string]action)  // by workload
		owner := make(map[string]verb)   // by namespace and image
		returned := make(map[string]int) // how often, by namespace
		var turn []string
		for n := range rounds {
			next, again := p.next, same.next
			if n == 0 {
				next, again = p.first, same.first
			}
			r := next()
			if s := again(); !reflect.DeepEqual(r, s) {
				t.Fatalf("seed %d, round %d: %v, and again %v", seed, n, r, s)
			}
			if n > 0 {
				if turn = append(turn, r.fault); len(turn) == len(names) {
					if slices.Sort(turn); !slices.Equal(turn, []string{"one", "three", "two"}) {
						t.Errorf("seed %d, round %d: the faults of a turn are %q", seed, n, turn)
					}
					turn = nil
				}
			}
			went := make(map[string]bool)
			changes := make(map[string]int)
			for _, a := range r.actions {
				at := a.namespace + " " + a.image
				before, exists := pods[a.key()]
				if exists == (a.verb == start || a.verb == job) {
					t.Fatalf("seed %d, round %d: %s, and it is there: %v", seed, n, a, exists)
				}
				switch a.verb {
				case roll, remove:
					went[a.namespace+" "+before.image] = true
				case clean:
					went[at] = true
				}
				switch a.verb {
				case start, roll, job:
					kind := verb("workload")
					if a.verb == job {
						kind = job
					}
					if went[at] {
						t.Errorf("seed %d, round %d: %s, which went in this round", seed, n, a)
					}
					if o := owner[at]; o != "" && (o != kind || r.publish != "") {
						t.Errorf("seed %d, round %d: %s, which was a %s, with news: %q", seed, n, a, o, r.publish)
					} else if o != "" {
						returned[a.namespace]++
					}
					owner[at] = kind
					changes[a.namespace]++
				}
				if pods[a.key()] = a; a.verb == remove || a.verb == clean {
					delete(pods, a.key())
				}
				if a.pods < 0 || a.pods > mostPods || a.pods == 0 && a.verb != remove && a.verb != clean {
					t.Errorf("seed %d, round %d: %s", seed, n, a)
				}
			}
			running := make(map[string]int)
			for _, a := range pods {
				running[a.namespace]++
			}
			for _, namespace := range namespaces {
				if running[namespace] > mostWorkloads+1 || changes[namespace] > mostActions {
					t.Errorf("seed %d, round %d: %s runs %d, of which %d are new", seed, n, namespace, running[namespace], changes[namespace])
				}
			}
		}
		if len(returned) == 0 || len(pods) == 0 {
			t.Errorf("seed %d: %v returned, %d run in the end", seed, returned, len(pods))
		}
	}
	if reflect.DeepEqual(plan(1, namespaces, images, names).first(), plan(2, namespaces, images, names).first()) {
		t.Error("two seeds have the same plan")
	}
}
