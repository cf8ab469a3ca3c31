package watcher

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/clairwatch/clairwatch/slack"
)

// kept is what the cache has of pods.
func kept(whole ...*corev1.Pod) []*pod {
	all := make([]*pod, 0, len(whole))
	for _, p := range whole {
		all = append(all, newPod(p, false))
	}
	return all
}

// fullPod is a pod with all that there may be in one.
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

func TestKeepPods(t *testing.T) {
	full := newPod(fullPod(), false)
	if full.namespace() != "shop" || full.name != "web-5d4f8c7b9-x2x4z" || full.version != "7" || full.node.Value() != "node-1" || full.notes != nil {
		t.Errorf("got %+v", full)
	}
	var pieces []piece
	for _, h := range full.pieces {
		pieces = append(pieces, h.Value())
	}
	const repo = "registry.example.com/shop/"
	model := repo + "model@" + digest(5)
	want := []piece{
		{container{spec: repo + "init:v1", imageID: repo + "init@" + digest(2), kind: initContainer, id: digest(2)}, "init", false},
		{container{spec: repo + "app1:v1", imageID: repo + "app1@" + digest(1), id: digest(1)}, "app", false},
		{container{spec: "busybox", imageID: "docker.io/library/busybox@" + digest(3), kind: ephemeralContainer, id: digest(3)}, "debug", false},
		{container{kind: ephemeralContainer}, "pulling", false},
		{container{spec: repo + "plugins:v1", imageID: digest(4), kind: imageVolume, id: digest(4)}, "plugins", true},
		{container{spec: model, imageID: model, kind: imageVolume, id: digest(5)}, "model", true},
	}
	if !slices.Equal(pieces, want) {
		t.Errorf("got\n%+v\nwant\n%+v", pieces, want)
	}
	for name, pod := range map[string]*corev1.Pod{"full": fullPod(), "empty": {}, "plain": podOf("shop", "app-0", 1)} {
		for _, annotated := range []bool{false, true} {
			t.Run(fmt.Sprint(name, annotated), func(t *testing.T) {
				before, keep := pod.DeepCopy(), keepPods(annotated)
				once, err := keep(pod)
				if err != nil {
					t.Fatal(err)
				}
				if twice, err := keep(once); twice != once || err != nil {
					t.Errorf("the second time gives %v, %v", twice, err)
				}
				if !reflect.DeepEqual(pod, before) {
					t.Error("the pod that was given was changed")
				}
				if again, err := keep(pod); !reflect.DeepEqual(again, once) || err != nil {
					t.Errorf("of one pod come %v and %v, %v", once, again, err)
				}
				key, err := cache.MetaNamespaceKeyFunc(once)
				if want, errOf := cache.MetaNamespaceKeyFunc(pod); key != want || err != nil || errOf != nil {
					t.Errorf("its key is %q, want %q; %v, %v", key, want, err, errOf)
				}
				object, err := meta.Accessor(once)
				if err != nil || object.GetResourceVersion() != pod.ResourceVersion {
					t.Errorf("its version is %v, %v", object, err)
				}
			})
		}
	}
	if obj, err := keepPods(true)("a tombstone"); obj != "a tombstone" || err != nil {
		t.Errorf("of something else comes %v, %v", obj, err)
	}
}

// The copy by which a change in the cache is found shares nothing that can be changed.
func TestPodDeepCopy(t *testing.T) {
	whole := fullPod()
	whole.Annotations = map[string]string{reportedPrefix + "app": digest(1)}
	whole.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "regcred"}}
	original := newPod(whole, true)
	changed, ok := original.DeepCopyObject().(*pod)
	if !ok || !reflect.DeepEqual(changed, original) {
		t.Fatalf("the copy is %v, not %v", changed, original)
	}
	changed.pieces[0], changed.pullSecrets[0] = changed.pieces[1], unique.Make("another")
	changed.notes.uid, changed.notes.reported[0] = "another", unique.Make(toldManifest{})
	if !reflect.DeepEqual(original, newPod(whole, true)) {
		t.Error("a change of the copy changed the original")
	}
}

func TestImageIDs(t *testing.T) {
	if got, want := imageIDs(newPod(fullPod(), false)), []string{digest(2), digest(1), digest(3), digest(4), digest(5)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	unknown := podOf("shop", "app", 1)
	unknown.Status.ContainerStatuses[0].ImageID = "what is this"
	if got := imageIDs(newPod(unknown, false)); !slices.Equal(got, []string{"what is this"}) {
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
			if got := workload(newPod(pod, false)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// A pod that was replaced by one of its name while nobody watched is to be annotated like any new one.
func TestSameImagesOfAnotherPod(t *testing.T) {
	first := podOf("shop", "app-0", 1)
	first.UID = "first"
	second := first.DeepCopy()
	second.UID = "second"
	for _, annotated := range []bool{true, false} {
		if got := sameImages(newPod(first, annotated), newPod(second, annotated)); got == annotated {
			t.Errorf("annotated %v: it is the same: %v", annotated, got)
		}
	}
}
