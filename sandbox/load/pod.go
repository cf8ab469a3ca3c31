package load

import (
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/yaml"
)

// annotation is what clairwatch writes on a pod for its container main.
const annotation = "reported.clairwatch.io/main"

// samplePod reads the pod that all are made of, from the source of clairwatch.
func samplePod(root string) (*corev1.Pod, error) {
	text, err := os.ReadFile(filepath.Join(root, "watcher", "testdata", "pod.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading the sample of a pod: %w", err)
	}
	pod := new(corev1.Pod)
	if err := yaml.UnmarshalStrict(text, pod); err != nil {
		return nil, fmt.Errorf("reading the sample of a pod: %w", err)
	}
	return pod, nil
}

// identity is what tells apart pods that are made of one sample.
type identity struct {
	namespace, app string
	number         int
	image, imageID string
	manifest       string
	annotated      bool
}

// podLike is a pod like a sample, and another one.
func podLike(sample *corev1.Pod, i identity) *corev1.Pod {
	pod := sample.DeepCopy()
	pod.Namespace, pod.Name = i.namespace, fmt.Sprintf("%s-5d9c7b8f6d-%05x", i.app, i.number)
	if pod.UID != "" { // the API server makes that of the first one
		pod.UID, pod.ResourceVersion = uuid.NewUUID(), ""
	}
	for _, label := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance"} {
		pod.Labels[label] = i.app
	}
	pod.Labels["helm.sh/chart"], pod.Labels["team"] = i.app+"-4.5.6", i.namespace
	pod.OwnerReferences[0].Name = i.app + "-5d9c7b8f6d"
	if i.annotated {
		pod.Annotations[annotation] = i.manifest
	}
	pod.Spec.Containers[0].Image = i.image
	ip := fmt.Sprintf("10.%d.%d.%d", 240+i.number>>16&7, i.number>>8&0xff, i.number&0xff)
	pod.Status.PodIP, pod.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	main := &pod.Status.ContainerStatuses[0]
	main.Image, main.ImageID, main.ContainerID = i.image, i.imageID, fmt.Sprintf("containerd://%064x", i.number)
	return pod
}
