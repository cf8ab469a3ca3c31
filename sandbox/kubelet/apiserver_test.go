package kubelet_test

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/kubelet"
)

// TestAgainstARealAPIServer shows what a fake cannot: that a real one takes the
// nodes, the bindings, the statuses, and lets go of deleted pods.
func TestAgainstARealAPIServer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts etcd, an API server and a registry")
	}
	box, err := sandbox.Start(t.Context(), sandbox.Options{
		Parts: []sandbox.Part{sandbox.APIServer, sandbox.Registry, sandbox.PrivateRegistry}, Log: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Stop(); err != nil {
			t.Errorf("stopping the sandbox: %v", err)
		}
	})
	client, err := kubernetes.NewForConfig(box.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := box.ApplyYAML(t.Context(), []byte("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n")); err != nil {
		t.Fatal(err)
	}
	samples, err := image.Samples()
	if err != nil {
		t.Fatal(err)
	}
	at, want := map[string]string{}, map[string]string{}
	for _, sample := range samples {
		host := box.RegistryHost
		if sample.Private {
			host = box.PrivateRegistryHost
		}
		at[sample.Name] = host + "/" + sample.Name
		digest, err := image.Push(t.Context(), at[sample.Name], sample.Artifact, box.PushKeychain())
		if err != nil {
			t.Fatal(err)
		}
		want[sample.Name] = digest.String()
	}
	k := kubelet.New(client, box.PushKeychain())
	for node, arch := range map[string]string{"amd": "amd64", "arm": "arm64"} {
		if err := k.AddNode(t.Context(), node, arch); err != nil {
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

	web := kubelet.Replicas{Namespace: "shop", Deployment: "web", Hash: "5d9c7b8f6d", Count: 20, Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "migrate", Image: at[image.PaymentsLedger]}},
		Containers:     []corev1.Container{{Name: "web", Image: at[image.ShopWeb]}, {Name: "proxy", Image: at[image.PlatformProxy]}},
	}}
	names, err := web.Create(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		pod := eventually(t, client, name, running)
		status := pod.Status
		got := []string{status.InitContainerStatuses[0].ImageID, status.ContainerStatuses[0].ImageID, status.ContainerStatuses[1].ImageID}
		for i, image := range []string{image.PaymentsLedger, image.ShopWeb, image.PlatformProxy} {
			repository := at[image][:strings.LastIndex(at[image], ":")]
			if got[i] != repository+"@"+want[image] {
				t.Errorf("%s: imageID %s, want %s@%s", name, got[i], repository, want[image])
			}
		}
	}
	mounted := at[image.ShopWeb][:strings.LastIndex(at[image.ShopWeb], ":")] + "@" + want[image.ShopWeb]
	create(t, client, "mounts", mounting(at[image.PlatformProxy], mounted))
	mounts := eventually(t, client, "mounts", running)
	// What was mounted is an alpha field, which a server drops unless it is told otherwise.
	if s := mounts.Status.ContainerStatuses[0].VolumeMounts; len(s) != 1 || s[0].Name != "data" || s[0].VolumeStatus != nil || mounts.Spec.Volumes[0].Image.Reference != mounted {
		t.Errorf("an image volume: %+v, %+v", mounts.Spec.Volumes, s)
	}

	create(t, client, "broken", corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: box.RegistryHost + "/shop/none:1"}}})
	eventually(t, client, "broken", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil && p.Status.ContainerStatuses[0].ImageID == ""
	})

	if err := web.Delete(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	gone(t, client, names)
}

// gone waits until the pods do not exist any more.
func gone(t *testing.T, client kubernetes.Interface, names []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	changes, err := client.CoreV1().Pods("shop").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()
	for _, name := range names {
		for {
			_, err := client.CoreV1().Pods("shop").Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-changes.ResultChan():
			case <-ctx.Done():
				t.Fatalf("pod %s is still there", name)
			}
		}
	}
}
