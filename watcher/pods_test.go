package watcher

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	coreinformers "k8s.io/client-go/informers/core/v1"
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
			r.cfg.Workers = 1
			r.clairs[clairBase].slow = time.Minute
			r.settings(map[string]string{"shop": scanner("shop")})
			r.run(podOf("shop", "app-0", 1))
			r.start()
			r.run(podOf("shop", "app-1", 2))
			r.delete("shop", "app-1")
			r.pass(time.Minute + settled)
			r.wantTexts("app1:v1 is running with")
			if n := r.registry.resolved(); n != 1 {
				t.Errorf("resolved %d times, want once", n)
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

// fullPod is a pod with all that trim may meet.
func fullPod() *corev1.Pod {
	yes := true
	pod := podOf("shop", "web-5d4f8c7b9-x2x4z", 1)
	pod.UID, pod.ResourceVersion = types.UID("u"), "7"
	pod.Labels = map[string]string{podTemplateHash: "5d4f8c7b9", "app": "web"}
	pod.Annotations = map[string]string{"a": "b"}
	pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
	pod.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "Other", Name: "other"},
		{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-5d4f8c7b9", Controller: &yes},
	}
	pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "PASSWORD", Value: "secret"}}
	pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "registry.example.com/shop/init:v1"}}
	pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}}}
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", ImageID: "registry.example.com/shop/init@" + digest(2)}}
	pod.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debug", ImageID: "docker.io/library/busybox@" + digest(3)}, {Name: "pulling"}}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "plugins", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{
			Reference: "registry.example.com/shop/plugins:v1", PullPolicy: corev1.PullAlways,
		}}},
		{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "registry.example.com/shop/model@" + digest(5)}}},
	}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "cache", MountPath: "/cache"}, {Name: "plugins", MountPath: "/plugins"}}
	pod.Spec.EphemeralContainers[0].VolumeMounts = []corev1.VolumeMount{{Name: "model", MountPath: "/model"}}
	pod.Status.ContainerStatuses[0].VolumeMounts = []corev1.VolumeMountStatus{
		{Name: "cache", MountPath: "/cache"},
		{Name: "plugins", MountPath: "/plugins", VolumeStatus: &corev1.VolumeStatus{Image: &corev1.ImageVolumeStatus{ImageRef: digest(4)}}},
	}
	return pod
}

func TestTrim(t *testing.T) {
	for name, pod := range map[string]*corev1.Pod{"full": fullPod(), "empty": {}, "plain": podOf("shop", "app-0", 1)} {
		t.Run(name, func(t *testing.T) {
			before := pod.DeepCopy()
			obj, err := trim(pod)
			if err != nil {
				t.Fatal(err)
			}
			once, ok := obj.(*corev1.Pod)
			if !ok {
				t.Fatalf("trim made a %T of a pod", obj)
			}
			twice, err := trim(once)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(once, twice) {
				t.Errorf("trimming twice is not trimming once:\n%v\n%v", once, twice)
			}
			if !reflect.DeepEqual(pod, before) {
				t.Error("the pod that was given was changed")
			}
			if got, want := imageIDs(once), imageIDs(pod); !slices.Equal(got, want) {
				t.Errorf("images %v, want %v", got, want)
			}
			if got, want := workload(once), workload(pod); got != want {
				t.Errorf("workload %v, want %v", got, want)
			}
			if !sameImages(once, pod) {
				t.Error("trim changed what runs")
			}
			if len(once.Annotations)+len(once.ManagedFields) > 0 || len(once.Spec.Containers) > 0 && once.Spec.Containers[0].Env != nil {
				t.Error("what nobody reads was kept")
			}
			if text := once.String(); strings.Contains(text, "cache") || strings.Contains(text, "/plugins,") || strings.Contains(text, string(corev1.PullAlways)) {
				t.Errorf("of the volumes more was kept than is read: %s", text)
			}
		})
	}
	if obj, err := trim("a tombstone"); obj != "a tombstone" || err != nil {
		t.Errorf("trim of something else: %v, %v", obj, err)
	}
}

func TestImageIDs(t *testing.T) {
	if got, want := imageIDs(fullPod()), []string{digest(2), digest(1), digest(3), digest(4), digest(5)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	unknown := podOf("shop", "app", 1)
	unknown.Status.ContainerStatuses[0].ImageID = "what is this"
	if got := imageIDs(unknown); !slices.Equal(got, []string{"what is this"}) {
		t.Errorf("what cannot be understood is not looked at: %v", got)
	}
}

func TestWorkload(t *testing.T) {
	yes := true
	tests := []struct {
		kind, name, hash string
		want             slack.Workload
	}{
		{"", "", "", slack.Workload{Kind: "Pod", Name: "pod"}},
		{"ReplicaSet", "web-5d4f8c7b9", "5d4f8c7b9", slack.Workload{Kind: "Deployment", Name: "web"}},
		{"ReplicaSet", "web-5d4f8c7b9", "", slack.Workload{Kind: "ReplicaSet", Name: "web-5d4f8c7b9"}},
		{"ReplicaSet", "web", "5d4f8c7b9", slack.Workload{Kind: "ReplicaSet", Name: "web"}},
		{"ReplicaSet", "-x", "x", slack.Workload{Kind: "ReplicaSet", Name: "-x"}},
		{"StatefulSet", "db", "", slack.Workload{Kind: "StatefulSet", Name: "db"}},
		{"Job", "backup-28912345", "", slack.Workload{Kind: "CronJob", Name: "backup"}},
		{"Job", "backup-2891234", "", slack.Workload{Kind: "Job", Name: "backup-2891234"}},
		{"Job", "backup-289123456", "", slack.Workload{Kind: "Job", Name: "backup-289123456"}},
		{"Job", "28912345", "", slack.Workload{Kind: "Job", Name: "28912345"}},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+tt.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "pod"}}
			if tt.kind != "" {
				pod.OwnerReferences = []metav1.OwnerReference{{Kind: tt.kind, Name: tt.name, Controller: &yes}}
			}
			if tt.hash != "" {
				pod.Labels = map[string]string{podTemplateHash: tt.hash}
			}
			tt.want.Namespace, tt.want.Pods = "shop", 1
			if got := workload(pod); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestWorkloads(t *testing.T) {
	got := workloads([]*corev1.Pod{podOf("shop", "b", 1), fullPod(), fullPod(), podOf("shop", "a", 1)})
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
		r.check(r.w.pods.GetStore().Delete(podOf("shop", "app-0", 1))) // as the informer does before its handlers
		r.w.podHandler().DeleteFunc(coreinformers.DeletedPod{FinalStateUnknown: &cache.DeletedFinalStateUnknown{Key: "shop/app-0"}})
		synctest.Wait()
		keys := r.w.progress.filter(func(image) bool { return true })
		if len(keys) != 1 || keys[0].id != digest(2) {
			t.Errorf("want the image that still runs: %v", keys)
		}
		r.wantCalls(2)
	})
}
