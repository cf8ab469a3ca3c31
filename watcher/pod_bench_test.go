package watcher

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// BenchmarkKeepPods decodes 10,000 pods of 500 workloads in 50 namespaces, as a Deployment with a usual chart makes them,
// and keeps what the cache does. B/pod is what stays of each, without the cache's own tables.
func BenchmarkKeepPods(b *testing.B) {
	const number = 10_000
	encoded, size, chartPod := make([][]byte, number), 0, chartPods(b)
	for i := range encoded {
		data, err := chartPod(i).Marshal()
		if err != nil {
			b.Fatal(err)
		}
		encoded[i] = data
		size += len(data)
	}
	for _, annotated := range []bool{false, true} {
		b.Run(fmt.Sprintf("annotated=%v", annotated), func(b *testing.B) {
			keep := keepPods(annotated)
			var stays uint64
			for b.Loop() {
				before := live()
				cached := make([]any, 0, number)
				for _, data := range encoded {
					var whole corev1.Pod
					if err := whole.Unmarshal(data); err != nil {
						b.Fatal(err)
					}
					obj, err := keep(&whole)
					if err != nil {
						b.Fatal(err)
					}
					cached = append(cached, obj)
				}
				stays = live() - before
				runtime.KeepAlive(cached)
			}
			b.ReportMetric(float64(stays)/number, "B/pod")
			b.ReportMetric(float64(size)/number, "encoded-B/pod")
		})
	}
}

// live is how much is in use.
func live() uint64 {
	runtime.GC()
	runtime.GC() // what a finalizer or a cleanup held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkNewPod is the transform alone.
func BenchmarkNewPod(b *testing.B) {
	whole := chartPods(b)(1)
	b.ReportAllocs()
	for b.Loop() {
		newPod(whole, false)
	}
}

// chartPods makes pods that a Deployment makes, with what charts add to them, each by its number.
func chartPods(b *testing.B) func(number int) *corev1.Pod {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "pod.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	var sample corev1.Pod
	if err := yaml.UnmarshalStrict(text, &sample); err != nil {
		b.Fatal(err)
	}
	managed := metav1.NewFieldsV1(`{"f:status":{` + strings.Repeat(`"f:conditions":{},`, 105) + `"f:phase":{}}}`)
	sample.ManagedFields = []metav1.ManagedFieldsEntry{
		{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", FieldsV1: managed},
		{Manager: "kubelet", Operation: "Update", APIVersion: "v1", FieldsV1: managed, Subresource: "status"},
	}
	sample.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "regcred"}}
	return func(number int) *corev1.Pod {
		pod := sample.DeepCopy()
		app, namespace := fmt.Sprintf("app-%d", number%500), fmt.Sprintf("team-%d", number%50)
		repository := "registry.example.com/" + namespace + "/" + app
		pod.Namespace, pod.Name = namespace, fmt.Sprintf("%s-5d9c7b8f6d-%05x", app, number)
		pod.UID, pod.ResourceVersion = types.UID(fmt.Sprintf("0b8d4ed0-6a57-4f34-8a52-%012x", number)), fmt.Sprint(1_000_000+number)
		pod.Annotations[reportedPrefix+"main"] = digest(number % 500)
		pod.Labels["app.kubernetes.io/name"], pod.Labels["team"] = app, namespace
		pod.OwnerReferences[0].Name = app + "-5d9c7b8f6d"
		pod.Spec.NodeName = fmt.Sprintf("node-%d", number%100)
		pod.Spec.Containers[0].Image = repository + ":1.27.3"
		main := &pod.Status.ContainerStatuses[0]
		main.Image, main.ImageID, main.ContainerID = repository+":1.27.3", repository+"@"+digest(number%500), fmt.Sprintf("containerd://%064x", number)
		return pod
	}
}
