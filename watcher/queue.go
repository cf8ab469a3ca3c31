package watcher

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
)

const (
	// firstRetry and lastRetry bound the back-off of a failed scan or message; it doubles in between.
	firstRetry = 5 * time.Second
	lastRetry  = 10 * time.Minute
)

// newImageQueue returns queue 1: the images to scan, namespaces in turn.
func newImageQueue(limit workqueue.TypedRateLimiter[image], metrics workqueue.MetricsProvider) workqueue.TypedRateLimitingInterface[image] {
	const name = "images"
	return workqueue.NewTypedRateLimitingQueueWithConfig(limit, workqueue.TypedRateLimitingQueueConfig[image]{
		Name:            name,
		MetricsProvider: metrics,
		DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[image]{
			Name:            name,
			MetricsProvider: metrics,
			Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[image]{
				Name:            name,
				MetricsProvider: metrics,
				Queue:           new(fairQueue),
			}),
		}),
	})
}

// backoff is client-go's exponential back-off with a little randomness, so that what failed together
// does not come back together.
type backoff[T comparable] struct{ workqueue.TypedRateLimiter[T] }

func newBackoff[T comparable]() workqueue.TypedRateLimiter[T] {
	return backoff[T]{workqueue.NewTypedItemExponentialFailureRateLimiter[T](firstRetry, lastRetry)}
}

func (b backoff[T]) When(item T) time.Duration {
	return wait.Jitter(b.TypedRateLimiter.When(item), 0.2)
}

// fairQueue holds images and serves their namespaces in turn, so that a namespace with thousands of
// images does not keep one with a single image waiting.
type fairQueue struct {
	waiting map[string][]image // by namespace, in order of arrival; never an empty list
	turns   []string           // the namespaces that have images waiting, next one first
	length  int
}

var _ workqueue.Queue[image] = (*fairQueue)(nil)

// Touch implements workqueue.Queue: an image that is added again keeps its place.
func (q *fairQueue) Touch(image) {}

// Len implements workqueue.Queue.
func (q *fairQueue) Len() int { return q.length }

// Push implements workqueue.Queue.
func (q *fairQueue) Push(img image) {
	if q.waiting == nil {
		q.waiting = make(map[string][]image)
	}
	if len(q.waiting[img.namespace]) == 0 {
		q.turns = append(q.turns, img.namespace)
	}
	q.waiting[img.namespace] = append(q.waiting[img.namespace], img)
	q.length++
}

// Pop implements workqueue.Queue. The caller has seen that Len is not zero.
func (q *fairQueue) Pop() image {
	namespace := q.turns[0]
	q.turns = q.turns[1:]
	list := q.waiting[namespace]
	img := list[0]
	q.length--
	if len(list) == 1 {
		delete(q.waiting, namespace)
		return img
	}
	q.waiting[namespace] = list[1:]
	q.turns = append(q.turns, namespace)
	return img
}

// popFirst is a Pop of the first image that is chosen; false when none is. Namespaces before it keep their turn.
func (q *fairQueue) popFirst(chosen func(image) bool) (image, bool) {
	for i, namespace := range q.turns {
		for _, img := range q.waiting[namespace] {
			if !chosen(img) {
				continue
			}
			q.remove(img)
			if len(q.waiting[namespace]) > 0 { // it has had its turn
				q.turns = append(slices.Delete(q.turns, i, i+1), namespace)
			}
			return img, true
		}
	}
	return image{}, false
}

// remove takes an image out and says whether it was in.
func (q *fairQueue) remove(img image) bool {
	list := q.waiting[img.namespace]
	i := slices.Index(list, img)
	if i < 0 {
		return false
	}
	q.length--
	if len(list) > 1 {
		q.waiting[img.namespace] = slices.Delete(list, i, i+1)
		return true
	}
	delete(q.waiting, img.namespace)
	q.turns = slices.DeleteFunc(q.turns, func(ns string) bool { return ns == img.namespace })
	return true
}
