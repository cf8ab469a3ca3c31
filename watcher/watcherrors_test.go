package watcher

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
)

func TestWatchErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"forbidden":    {apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no right")), true},
		"not answered": {apierrors.NewInternalError(errors.New("no database")), true},
		"expired":      {apierrors.NewResourceExpired("too old"), false},
		"gone":         {&apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusGone, Reason: metav1.StatusReasonGone}}, false},
		"ended":        {io.EOF, false},
		"cut off":      {io.ErrUnexpectedEOF, false},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				var mended atomic.Bool
				r.kube.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
					return !mended.Load(), nil, tt.err
				})
				r.startUnsynced()
				r.pass(time.Minute)
				if got := r.metric("clairwatch_watch_errors_total", "pods"); (got > 0) != tt.want {
					t.Errorf("%v errors", got)
				}
				if logged := strings.Contains(r.log.String(), "does not let us watch"); logged != tt.want {
					t.Errorf("it is logged: %v", logged)
				}
				if got := r.metric("clairwatch_synced"); got != 0 {
					t.Errorf("synced is %v", got)
				}
				if got := r.metric("clairwatch_watch_errors_total", "settings"); got != 0 {
					t.Errorf("%v errors of the settings", got)
				}
				mended.Store(true)
				r.pass(2 * time.Minute)
				if got := r.metric("clairwatch_synced"); got != 1 {
					t.Errorf("synced is %v", got)
				}
			})
		})
	}
}

// What cannot be watched is a warning when that begins and every few minutes, however often it is tried.
func TestWatchErrorsAreNotLoud(t *testing.T) {
	const text = `msg="the Kubernetes API does not let us watch`
	inRig(t, func(t *testing.T, r *rig) {
		r.kube.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no right"))
		})
		r.startUnsynced()
		r.pass(watchErrorPause - time.Second)
		r.wantLogged(1, "level=WARN "+text)
		errors := r.metric("clairwatch_watch_errors_total", "pods")
		if errors < 3 {
			t.Fatalf("only %v errors", errors)
		}
		r.wantLogged(int(errors)-1, "level=DEBUG "+text)
		r.pass(3 * watchErrorPause)
		if n := strings.Count(r.log.String(), "level=WARN "+text); n < 3 || n > 4 {
			t.Errorf("%d warnings in four times the pause", n)
		}
	})
}

// A watch whose connection is refused does not count: client-go tries it again and tells nobody.
func TestRefusedWatchesDoNotCount(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"refused":           {syscall.ECONNREFUSED, false},
		"too many requests": {apierrors.NewTooManyRequests("later", 1), false},
		"not answered":      {apierrors.NewInternalError(errors.New("no database")), true},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				var tried atomic.Int32
				r.kube.PrependWatchReactor("pods", func(clienttesting.Action) (bool, watch.Interface, error) {
					tried.Add(1)
					return true, nil, tt.err
				})
				r.startUnsynced()
				r.pass(time.Minute)
				if got := r.metric("clairwatch_watch_errors_total", "pods"); tried.Load() < 2 || (got > 0) != tt.want {
					t.Errorf("%v errors of %d tries", got, tried.Load())
				}
			})
		})
	}
}
