package watcher

import (
	"context"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
)

// watched are what is watched, as a label of errors.
var watched = [...]string{"pods", "nodes", "settings"}

// countWatchErrors has it counted and logged, in place of client-go, when the API server does not let an informer list or
// watch. Ends that are in order, after which it lists or watches again, do not count.
func (w *Watcher) countWatchErrors(resource string, informer cache.SharedIndexInformer) error {
	counter := w.metrics.watchErrors.WithLabelValues(resource)
	err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || ctx.Err() != nil {
			w.log.Debug("a watch has ended, and is begun again", "resource", resource, "error", err)
			return
		}
		counter.Inc()
		w.log.Warn("the Kubernetes API does not let us watch: what happens there is not seen until it does; it is tried again",
			"resource", resource, "error", err)
	})
	if err != nil {
		return fmt.Errorf("counting the errors of watching %s: %w", resource, err)
	}
	return nil
}
