package watcher

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestFairQueue(t *testing.T) {
	q := new(fairQueue)
	for _, key := range []string{"a1", "a2", "a3", "b1", "c1", "c2"} {
		q.Push(image{namespace: key[:1], id: key})
	}
	var order []string
	for q.Len() > 0 {
		order = append(order, q.Pop().id)
	}
	if want := []string{"a1", "b1", "c1", "a2", "c2", "a3"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
}

// TestFairQueueAlways compares the queue with a list: nothing is lost or doubled, the order within a
// namespace is kept, and no namespace is served twice while another waits longer than a round.
func TestFairQueueAlways(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		q := new(fairQueue)
		waiting := make(map[string][]string)
		skipped := make(map[string]int) // pops since it waits, without being served
		total := 0
		for n := range 300 {
			if total == 0 || rng.IntN(2) == 0 {
				img := image{namespace: strconv.Itoa(rng.IntN(5)), id: strconv.Itoa(n)}
				q.Push(img)
				waiting[img.namespace] = append(waiting[img.namespace], img.id)
				total++
			} else {
				img := q.Pop()
				if list := waiting[img.namespace]; len(list) == 0 || list[0] != img.id {
					t.Fatalf("got %v, waiting in its namespace: %v", img, list)
				}
				waiting[img.namespace] = waiting[img.namespace][1:]
				total--
				for ns, list := range waiting {
					if ns == img.namespace || len(list) == 0 {
						skipped[ns] = 0
					} else if skipped[ns]++; skipped[ns] > 4 {
						t.Fatalf("namespace %s was passed over %d times by 4 others", ns, skipped[ns])
					}
				}
			}
			if q.Len() != total {
				t.Fatalf("length %d, want %d", q.Len(), total)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	b := newBackoff[string]()
	least := firstRetry
	for range 20 {
		if d := b.When("x"); d < least || d > least+least/5 {
			t.Fatalf("waits %v, want %v and at most a fifth more", d, least)
		}
		least = min(2*least, lastRetry)
	}
	b.Forget("x")
	if d := b.When("x"); d > 2*firstRetry {
		t.Errorf("waits %v after it was forgotten", d)
	}
	var sum time.Duration
	for range patience - 1 {
		sum += b.When("y")
	}
	if sum > 3*time.Minute {
		t.Errorf("a passing failure is told after %v", sum)
	}
}
