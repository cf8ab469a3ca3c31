package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/clairwatch/clairwatch/slack"
)

func TestImageChangesInPlace(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.change(podOf("shop", "app-0", 2))
		r.pass(settled)
		// The first one ran when it was looked at, so it is told.
		r.wantTexts("Now watching 2 images…app2:v1…1 pod")
		keys := r.w.progress.filter(func(image) bool { return true })
		if len(keys) != 1 || keys[0].id != digest(2) {
			t.Errorf("want the second image alone: %v", keys)
		}
	})
}

func TestImageIDComesLater(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		pod := podOf("shop", "app-0", 1)
		pulled := pod.Status
		pod.Status = corev1.PodStatus{}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(pod.DeepCopy())
		r.start()
		r.pass(settled)
		r.wantCalls(0)
		pod.Status = pulled
		r.change(pod)
		r.pass(settled)
		r.wantTexts("app1:v1 is running with")
	})
}

func TestPodGoes(t *testing.T) {
	t.Run("after its turn", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.delete("shop", "app-0")
			r.pass(settled)
			r.wantTexts("app1:v1 is running with")
			if left := r.w.progress.count(); len(left) != 0 {
				t.Errorf("left over: %v", left)
			}
		})
	})
	t.Run("before its turn", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			c := r.clairs[clairBase]
			c.slow, c.slots = time.Minute, 1
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.run(podOf("shop", "app-1", 2))
			r.delete("shop", "app-1")
			r.pass(time.Minute + settled)
			r.wantTexts("app1:v1 is running with")
			if n := strings.Count(strings.Join(c.called(), " "), "index"); n != 1 {
				t.Errorf("indexed %d times, want once", n)
			}
		})
	})
	t.Run("and comes back during the look", func(t *testing.T) {
		inRig(t, func(t *testing.T, r *rig) {
			r.clairs[clairBase].slow = time.Minute
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.delete("shop", "app-0")
			r.run(podOf("shop", "app-1", 1))
			r.pass(time.Minute + settled)
			r.wantTexts("app1:v1 is running with")
			if got := r.w.progress.count(); got[StateScanned] != 1 {
				t.Errorf("states: %v", got)
			}
		})
	})
}

// TestPodAppearsWhileImageIsForgotten has a pod come in between the look at what runs and its end, in which
// its handler finds the image known.
func TestPodAppearsWhileImageIsForgotten(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.w.dismiss(image{namespace: "shop", id: digest(1), platform: amd64})
		synctest.Wait()
		if got := r.w.progress.count(); got[StateScanned] != 1 {
			t.Errorf("an image that runs is forgotten; states: %v", got)
		}
	})
}

// TestMissedDeletion has a watch end, two pods go while there is none, and the list after it miss them.
func TestMissedDeletion(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		var watches []*watch.RaceFreeFakeWatcher
		r.kube.PrependWatchReactor("pods", func(clienttesting.Action) (bool, watch.Interface, error) {
			w := watch.NewRaceFreeFake()
			watches = append(watches, w)
			return true, w, nil
		})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.delete("shop", "app-0") // nobody hears of it
		if n := r.w.progress.count()[StateScanned]; n != 2 {
			t.Fatalf("%d images are scanned, want 2", n)
		}
		watches[len(watches)-1].Error(&metav1.Status{Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired})
		r.pass(settled)
		keys := r.w.progress.filter(func(image) bool { return true })
		if len(keys) != 1 || keys[0].id != digest(2) {
			t.Errorf("want the image that still runs: %v", keys)
		}
	})
}

func TestWorkloads(t *testing.T) {
	got := workloads(kept(podOf("shop", "b", 1), fullPod(), fullPod(), podOf("shop", "a", 1)))
	want := []slack.Workload{
		{Kind: "Deployment", Namespace: "shop", Name: "web", Pods: 2},
		{Kind: "Pod", Namespace: "shop", Name: "a", Pods: 1},
		{Kind: "Pod", Namespace: "shop", Name: "b", Pods: 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestMissedDeletionWithoutObject has the watch miss the end of a pod of which nothing but the name is left.
func TestMissedDeletionWithoutObject(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.clairs[clairBase].called()
		r.check(r.w.pods.informer.GetStore().Delete(podOf("shop", "app-0", 1))) // as the informer does before its handlers
		r.w.podHandler().DeleteFunc(cache.DeletedFinalStateUnknown{Key: "shop/app-0"})
		synctest.Wait()
		keys := r.w.progress.filter(func(image) bool { return true })
		if len(keys) != 1 || keys[0].id != digest(2) {
			t.Errorf("want the image that still runs: %v", keys)
		}
		r.wantCalls(2)
	})
}

// TestSomethingElseAmongPods has the handler and the cache meet what is no pod: the log says so, and nothing else happens.
func TestSomethingElseAmongPods(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		something := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "something"}}
		handler, pod := r.w.podHandler(), newPod(podOf("shop", "app-0", 2), false)
		handler.AddFunc(something)
		handler.UpdateFunc(pod, something)
		handler.DeleteFunc(something)
		handler.DeleteFunc(cache.DeletedFinalStateUnknown{Key: "shop/something", Obj: something})
		r.check(r.w.pods.informer.GetStore().Add(something))
		if got := r.w.pods.in("shop"); len(got) != 1 || got[0].name != "app-0" {
			t.Errorf("got %v, want the pod alone", got)
		}
		if got := r.w.pods.named(cache.NewObjectName("shop", "something")); got != nil {
			t.Errorf("got %v", got)
		}
		r.wantLogged(6, "level=ERROR msg=\"there is something among the pods that is none; it is passed over\" type=*v1.PartialObjectMetadata")
		if keys := r.w.progress.filter(func(image) bool { return true }); len(keys) != 1 || keys[0].id != digest(1) {
			t.Errorf("want the image that runs: %v", keys)
		}
	})
}

// TestPodsOfWatchList has a real client stream pods, for which the transform runs twice, see one change, and find out
// from a second list that it has gone.
func TestPodsOfWatchList(t *testing.T) {
	event := func(kind watch.EventType, object any) string {
		data, err := json.Marshal(map[string]any{"type": kind, "object": object})
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	podEvent := func(kind watch.EventType, name, version string, n int) string {
		p := podOf("shop", name, n)
		p.TypeMeta, p.ResourceVersion = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, version
		return event(kind, p)
	}
	bookmark := event(watch.Bookmark, &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{ResourceVersion: "3", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}},
	})
	expired := event(watch.Error, &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired,
	})
	lists := make(chan []string, 2)
	lists <- []string{podEvent(watch.Added, "app-0", "1", 1), podEvent(watch.Added, "app-1", "2", 2), bookmark, podEvent(watch.Modified, "app-0", "4", 3), expired}
	lists <- []string{podEvent(watch.Added, "app-1", "2", 2), bookmark}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case list := <-lists:
			if r.URL.Query().Get("sendInitialEvents") != "true" {
				t.Errorf("it asked for %s", r.URL)
			}
			w.Header().Set("Content-Type", "application/json")
			for _, line := range list {
				fmt.Fprintln(w, line)
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			if list[len(list)-1] == expired {
				return
			}
		case <-r.Context().Done():
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	client, err := NewKubernetes(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPods(client, false, newDiscardLog())
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan string, 10)
	say := func(what string, obj any) {
		events <- fmt.Sprint(what, " ", p.read(obj).name, " ", imageIDs(p.read(obj)))
	}
	_, err = p.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { say("added", obj) },
		UpdateFunc: func(_, now any) { say("updated", now) },
		DeleteFunc: func(obj any) {
			missed, is := obj.(cache.DeletedFinalStateUnknown)
			if !is {
				t.Errorf("got a %T", obj)
			}
			say("missed", missed.Obj)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var informers sync.WaitGroup
	defer informers.Wait()
	defer stop()
	informers.Go(func() { p.informer.RunWithContext(ctx) })
	var got []string
	for range 4 {
		got = append(got, <-events)
	}
	slices.Sort(got[:2]) // a list has no order
	want := []string{"added app-0 [" + digest(1) + "]", "added app-1 [" + digest(2) + "]", "updated app-0 [" + digest(3) + "]", "missed app-0 [" + digest(3) + "]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, left := range map[string][]*pod{"of the image": p.with("shop", digest(2)), "of the node": p.on("node-1"), "of the namespace": p.in("shop"), "of all": p.all()} {
		if len(left) != 1 || left[0] != p.named(cache.NewObjectName("shop", "app-1")) {
			t.Errorf("%s: %v", name, left)
		}
	}
	if got := append(p.with("shop", digest(3)), p.in("blog")...); len(got) > 0 || !slices.Equal(p.namespaces(), []string{"shop"}) {
		t.Errorf("there are %v, and %v", got, p.namespaces())
	}
}
