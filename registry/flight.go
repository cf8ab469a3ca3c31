package registry

import (
	"context"
	"sync"
)

// flights do once for all what several want at the same time.
type flights[K comparable, V any] struct {
	mu    sync.Mutex
	under map[K]*flight[V] // guarded by mu
}

// flight is something under way, which others wait for. Its results are set before done
// is closed.
type flight[V any] struct {
	done      chan struct{}
	value     V
	err       error
	abandoned bool // the context of the one who did it had ended
}

func newFlights[K comparable, V any]() *flights[K, V] {
	return &flights[K, V]{under: make(map[K]*flight[V])}
}

// share does what k stands for, unless somebody is at it: then it waits until that is
// done, and own is false. Its error is that of the wait.
func (f *flights[K, V]) share(ctx context.Context, k K, do func() (V, error)) (fl *flight[V], own bool, err error) {
	f.mu.Lock()
	fl, under := f.under[k]
	if !under {
		fl = &flight[V]{done: make(chan struct{})}
		f.under[k] = fl
	}
	f.mu.Unlock()
	if under {
		select {
		case <-fl.done:
			return fl, false, nil
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
	fl.value, fl.err = do()
	// Not to be read off the error: a registry's timeout looks the same.
	fl.abandoned = ctx.Err() != nil
	f.mu.Lock()
	delete(f.under, k)
	f.mu.Unlock()
	close(fl.done)
	return fl, true, nil
}
