package kubelet_test

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/kubelet"
)

// cluster is a fake API server with a running stand-in and two nodes.
func cluster(t *testing.T) (kubernetes.Interface, *kubelet.Kubelet) {
	t.Helper()
	client := fake.NewClientset()
	// The fake keeps a Binding as it is; a real server writes spec.nodeName.
	client.PrependReactor("create", "pods", func(action k8stesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "binding" {
			return false, nil, nil
		}
		binding := action.(k8stesting.CreateAction).GetObject().(*corev1.Binding)
		object, err := client.Tracker().Get(corev1.SchemeGroupVersion.WithResource("pods"), binding.Namespace, binding.Name)
		if err != nil {
			return true, nil, err
		}
		pod := object.(*corev1.Pod).DeepCopy()
		pod.Spec.NodeName = binding.Target.Name
		return true, binding, client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, pod.Namespace)
	})
	k := kubelet.New(client, nil)
	for _, n := range []struct{ name, arch string }{{"amd", "amd64"}, {"arm", "arm64"}} {
		if err := k.AddNode(t.Context(), n.name, n.arch); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return client, k
}

// host starts a registry on loopback and returns its host:port.
func host(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func push(t *testing.T, reference string, artifact image.Artifact) string {
	t.Helper()
	digest, err := image.Push(t.Context(), reference, artifact, nil)
	if err != nil {
		t.Fatal(err)
	}
	repository := reference[:strings.LastIndex(reference, ":")]
	return repository + "@" + digest.String()
}

func build(t *testing.T, spec image.Spec) *image.Sample {
	t.Helper()
	built, err := image.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	return &image.Sample{Artifact: built}
}

func create(t *testing.T, client kubernetes.Interface, name string, spec corev1.PodSpec) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: spec}
	if _, err := client.CoreV1().Pods("shop").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until the pod is as it should be.
func eventually(t *testing.T, client kubernetes.Interface, name string, ok func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	changes, err := client.CoreV1().Pods("shop").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()
	for {
		pod, err := client.CoreV1().Pods("shop").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if ok(pod) {
			return pod
		}
		select {
		case <-changes.ResultChan():
		case <-ctx.Done():
			t.Fatalf("pod %s is still %+v", name, pod.Status)
		}
	}
}

func running(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodRunning }

func TestPodRunsWithTheImageIDOfItsTag(t *testing.T) {
	client, _ := cluster(t)
	at := host(t) + "/shop/web:1"
	want := push(t, at, build(t, image.Spec{Release: image.Bookworm, Base: image.BookwormBase()}).Artifact)
	initAt := strings.Replace(at, "web", "migrate", 1)
	wantInit := push(t, initAt, build(t, image.Spec{Files: map[string]string{"migrate": "x"}}).Artifact)

	create(t, client, "web", corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "migrate", Image: initAt}},
		Containers:     []corev1.Container{{Name: "web", Image: at}},
	})
	pod := eventually(t, client, "web", running)

	status := pod.Status.ContainerStatuses[0]
	if status.ImageID != want || status.Image != at || !status.Ready || status.State.Running == nil {
		t.Errorf("container: got %+v, want it running with imageID %s", status, want)
	}
	done := pod.Status.InitContainerStatuses[0]
	if done.ImageID != wantInit || done.State.Terminated == nil || done.State.Terminated.Reason != "Completed" {
		t.Errorf("init container: got %+v, want it completed with imageID %s", done, wantInit)
	}
	if !strings.HasPrefix(status.ContainerID, "containerd://") || status.ContainerID == done.ContainerID {
		t.Errorf("container ids: %q and %q", status.ContainerID, done.ContainerID)
	}
}

func TestIndexKeepsItsDigestOnBothArchitectures(t *testing.T) {
	client, _ := cluster(t)
	at := host(t) + "/platform/proxy:1"
	amd, err := image.Build(image.Spec{Release: image.Alpine320, Arch: "amd64", Base: image.AlpineBase()})
	if err != nil {
		t.Fatal(err)
	}
	arm, err := image.Build(image.Spec{Release: image.Alpine320, Arch: "arm64", Base: image.AlpineBase()})
	if err != nil {
		t.Fatal(err)
	}
	index, err := image.Index(amd, arm)
	if err != nil {
		t.Fatal(err)
	}
	want := push(t, at, index)
	for arch, node := range map[string]string{"amd64": "amd", "arm64": "arm"} {
		create(t, client, node, corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelArchStable: arch},
			Containers:   []corev1.Container{{Name: "proxy", Image: at}},
		})
		pod := eventually(t, client, node, running)
		if pod.Spec.NodeName != node || pod.Status.ContainerStatuses[0].ImageID != want {
			t.Errorf("%s: on %s with %s, want %s", arch, pod.Spec.NodeName, pod.Status.ContainerStatuses[0].ImageID, want)
		}
	}

	onlyAmd, err := image.Index(amd)
	if err != nil {
		t.Fatal(err)
	}
	lone := host(t) + "/platform/lone:1"
	push(t, lone, onlyAmd)
	create(t, client, "lone", corev1.PodSpec{NodeName: "arm", Containers: []corev1.Container{{Name: "proxy", Image: lone}}})
	pod := eventually(t, client, "lone", func(p *corev1.Pod) bool { return len(p.Status.ContainerStatuses) == 1 })
	if w := pod.Status.ContainerStatuses[0].State.Waiting; w == nil || !strings.Contains(w.Message, "no match for platform") {
		t.Errorf("an index without the node's platform: got %+v", pod.Status.ContainerStatuses[0])
	}
}

func TestImageThatCannotBePulled(t *testing.T) {
	client, k := cluster(t)
	registryHost := host(t)
	tests := []struct{ name, image, reason, message string }{
		{"missing", registryHost + "/shop/none:1", "ImagePullBackOff", "not found"},
		{"invalid", "Not/A/Name:?", "InvalidImageName", "invalid reference format"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			create(t, client, test.name, corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: test.image}}})
			pod := eventually(t, client, test.name, func(p *corev1.Pod) bool {
				return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting.Reason == test.reason
			})
			status := pod.Status.ContainerStatuses[0]
			if pod.Status.Phase != corev1.PodPending || status.ImageID != "" || status.Image != test.image || !strings.Contains(status.State.Waiting.Message, test.message) {
				t.Errorf("phase %s, status %+v", pod.Status.Phase, status)
			}
		})
	}
	t.Run("forced", func(t *testing.T) {
		gone := registryHost + "/shop/gone:1"
		want := registryHost + "/shop/gone@sha256:" + strings.Repeat("ab", 32)
		k.Force(gone, want)
		create(t, client, "gone", corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: gone}}})
		pod := eventually(t, client, "gone", running)
		if got := pod.Status.ContainerStatuses[0].ImageID; got != want {
			t.Errorf("imageID %s, want %s", got, want)
		}
	})
}

// mounting is the spec of a pod that mounts an image.
func mounting(at, volume string) corev1.PodSpec {
	return corev1.PodSpec{
		Volumes: []corev1.Volume{
			{Name: "data", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: volume}}},
		},
		Containers: []corev1.Container{{Name: "app", Image: at, VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data", ReadOnly: true}}}},
	}
}

func TestImageVolume(t *testing.T) {
	client, k := cluster(t)
	registryHost := host(t)
	at := registryHost + "/shop/web:1"
	push(t, at, build(t, image.Spec{Release: image.Bookworm, Base: image.BookwormBase()}).Artifact)
	var platforms []v1.Image
	configs := map[string]string{}
	for _, arch := range []string{"amd64", "arm64"} {
		built, err := image.Build(image.Spec{Release: image.Alpine320, Arch: arch, Base: image.AlpineBase()})
		if err != nil {
			t.Fatal(err)
		}
		config, err := built.ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		platforms, configs[arch] = append(platforms, built), config.String()
	}
	index, err := image.Index(platforms...)
	if err != nil {
		t.Fatal(err)
	}
	volume := registryHost + "/shop/data:1"
	pinned := push(t, volume, index)
	forced := registryHost + "/shop/loaded:1"
	k.Force(forced, "sha256:"+strings.Repeat("ab", 32))
	for _, test := range []struct{ name, arch, volume, want string }{
		{"tagged", "amd64", volume, configs["amd64"]},
		{"pinned", "arm64", pinned, configs["arm64"]},
		{"loaded", "amd64", forced, "sha256:" + strings.Repeat("ab", 32)},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := mounting(at, test.volume)
			spec.NodeSelector = map[string]string{corev1.LabelArchStable: test.arch}
			create(t, client, test.name, spec)
			pod := eventually(t, client, test.name, running)
			want := []corev1.VolumeMountStatus{{Name: "data", MountPath: "/data", ReadOnly: true, VolumeStatus: &corev1.VolumeStatus{
				Image: &corev1.ImageVolumeStatus{ImageRef: test.want},
			}}}
			if got := pod.Status.ContainerStatuses[0].VolumeMounts; !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	t.Run("cannot be pulled", func(t *testing.T) {
		spec := mounting(at, registryHost+"/shop/none:1")
		spec.Containers = append(spec.Containers, corev1.Container{Name: "other", Image: at})
		create(t, client, "missing", spec)
		pod := eventually(t, client, "missing", running)
		app, other := pod.Status.ContainerStatuses[0], pod.Status.ContainerStatuses[1]
		if w := app.State.Waiting; w == nil || app.ImageID != "" || !strings.Contains(w.Message, "shop/none:1: not found") {
			t.Errorf("the container that mounts it: %+v", app)
		}
		if other.State.Running == nil {
			t.Errorf("the container that does not: %+v", other)
		}
	})
}

func TestPodThatIsBeingDeletedIsLetGo(t *testing.T) {
	client, _ := cluster(t)
	now := metav1.Now()
	pods := client.CoreV1().Pods("shop")
	changes, err := pods.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()
	if _, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "leaving", DeletionTimestamp: &now, Finalizers: []string{}},
		Spec:       corev1.PodSpec{NodeName: "amd", Containers: []corev1.Container{{Name: "app", Image: "x"}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for change := range changes.ResultChan() {
		if change.Type == "DELETED" {
			return
		}
	}
	t.Error("the watch ended without a deletion")
}

func TestReplicas(t *testing.T) {
	client, _ := cluster(t)
	at := host(t) + "/shop/web:1"
	push(t, at, build(t, image.Spec{Release: image.Bookworm, Base: image.BookwormBase()}).Artifact)
	set := kubelet.Replicas{
		Namespace: "shop", Deployment: "web", Hash: "5d9c7b8f6d", Count: 4,
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: at}}},
	}
	names, err := set.Create(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]int{}
	for _, name := range names {
		pod := eventually(t, client, name, running)
		nodes[pod.Spec.NodeName]++
		owner := metav1.GetControllerOf(pod)
		if owner == nil || owner.Kind != "ReplicaSet" || owner.Name != "web-5d9c7b8f6d" || pod.Labels["pod-template-hash"] != "5d9c7b8f6d" {
			t.Errorf("pod %s: owner %+v, labels %v", name, owner, pod.Labels)
		}
	}
	if len(names) != 4 || nodes["amd"] != 2 || nodes["arm"] != 2 {
		t.Errorf("pods %v on %v, want two on each node", names, nodes)
	}
	if err := set.Delete(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	left, err := client.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(left.Items) != 0 {
		t.Errorf("%d pods are left", len(left.Items))
	}
}
