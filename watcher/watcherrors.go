package watcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
)

// watched are what is watched, as a label of errors.
var watched = [...]string{"pods", "nodes", "settings"}

// watchErrorPause is how often at the most the log warns that something cannot be watched: it is tried again every few
// seconds.
const watchErrorPause = 5 * time.Minute

// countWatchErrors has it counted and logged, in place of client-go, when the API server does not let an informer list or
// watch. Ends that are in order, after which it lists or watches again, do not count. Nor does a watch to which the
// API server refuses the connection, or answers that there are too many requests: client-go tries that again by itself
// (tools/cache/reflector.go, isWatchErrorRetriable).
func (w *Watcher) countWatchErrors(resource string, informer cache.SharedIndexInformer) error {
	counter := w.metrics.watchErrors.WithLabelValues(resource)
	warnings := rate.Sometimes{Interval: watchErrorPause}
	err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || ctx.Err() != nil {
			w.log.Debug("a watch has ended, and is begun again", "resource", resource, "error", err)
			return
		}
		counter.Inc()
		level := slog.LevelDebug
		warnings.Do(func() { level = slog.LevelWarn })
		w.log.Log(ctx, level, "the Kubernetes API does not let us watch: what happens there is not seen until it does; it is tried again",
			"resource", resource, "error", err)
	})
	if err != nil {
		return fmt.Errorf("counting the errors of watching %s: %w", resource, err)
	}
	return nil
}
