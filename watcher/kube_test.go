package watcher

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
)

// fakeKube is the fake clientset without managed fields, with which each write of the one of fake.NewClientset looks up
// all types that there are: that was a quarter of what the tests took.
type fakeKube struct {
	*fake.Clientset
	tracker clienttesting.ObjectTracker
}

func newFakeKube() *fakeKube {
	k := &fakeKube{&fake.Clientset{}, clienttesting.NewObjectTracker(scheme.Scheme, scheme.Codecs.UniversalDecoder())}
	k.AddReactor("patch", "configmaps", k.apply)
	k.AddReactor("*", "*", clienttesting.ObjectReaction(k.tracker))
	k.AddWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		var options metav1.ListOptions
		if a, is := a.(clienttesting.WatchActionImpl); is {
			options = a.ListOptions
		}
		w, err := k.tracker.Watch(a.GetResource(), a.GetNamespace(), options)
		return err == nil, w, err
	})
	return k
}

// Tracker has what the cluster has.
func (k *fakeKube) Tracker() clienttesting.ObjectTracker { return k.tracker }

// apply makes a ConfigMap that is not there yet, as server-side apply does and the tracker's does not.
func (k *fakeKube) apply(action clienttesting.Action) (bool, runtime.Object, error) {
	a, is := action.(clienttesting.PatchActionImpl)
	if !is || a.PatchType != types.ApplyPatchType {
		return false, nil, nil
	}
	at := a.GetResource()
	if _, err := k.tracker.Get(at, a.GetNamespace(), a.GetName()); !apierrors.IsNotFound(err) {
		return false, nil, nil
	}
	var m corev1.ConfigMap
	if err := json.Unmarshal(a.Patch, &m); err != nil {
		return true, nil, err
	}
	if err := k.tracker.Create(at, &m, a.GetNamespace()); err != nil {
		return true, nil, err
	}
	return true, &m, nil
}
