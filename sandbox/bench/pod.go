package main

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// annotation is what clairwatch writes on a pod for its container main.
const annotation = "reported.clairwatch.io/main"

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
	pod.Status = statusOf(i.image, i.imageID, i.number)
	return pod
}

// samplePod is a pod as a Deployment makes it: with what charts add to it, it takes 5 to 8 kB in the API server.
func samplePod() *corev1.Pod {
	controls, no, user, grace, expires := true, false, int64(10_001), int64(30), int64(3607)
	const namespace, app = "team", "app"
	annotations := map[string]string{
		"checksum/config":      "7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069",
		"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "prometheus.io/path": "/metrics",
		"kubectl.kubernetes.io/restartedAt": "2026-11-01T10:00:00Z",
	}
	env := []corev1.EnvVar{{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}
	for i := range 14 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("APPLICATION_SETTING_%d", i), Value: fmt.Sprintf("http://backend-%d.%s.svc.cluster.local:8080/path", i, namespace)})
	}
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}}, PeriodSeconds: 10, TimeoutSeconds: 3}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Annotations: annotations,
			Labels: map[string]string{
				"app.kubernetes.io/version":    "1.27.3",
				"app.kubernetes.io/managed-by": "Helm", "pod-template-hash": "5d9c7b8f6d",
			},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", UID: "0b8d4ed0-6a57-4f34-8a52-2b9a4c5f9d11", Controller: &controls}},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-1", ServiceAccountName: "default", EnableServiceLinks: &no, TerminationGracePeriodSeconds: &grace,
			SecurityContext: &corev1.PodSecurityContext{RunAsUser: &user, RunAsNonRoot: &controls},
			Containers: []corev1.Container{{
				Name: "main", Env: env, Args: []string{"--config=/etc/app/config.yaml", "--log-level=info"},
				Ports:         []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: 9090}},
				LivenessProbe: probe("/healthz"), ReadinessProbe: probe("/readyz"),
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
					Limits:   corev1.ResourceList{"memory": resource.MustParse("256Mi")},
				},
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &controls, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
				VolumeMounts:    []corev1.VolumeMount{{Name: "config", MountPath: "/etc/app"}, {Name: "tmp", MountPath: "/tmp"}, {Name: "token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
			}},
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: app}}}},
				{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &expires, Path: "token"}},
					{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
				}}}},
			},
			Tolerations: []corev1.Toleration{
				{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &grace},
				{Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &grace},
			},
		},
	}
}

// statusOf is what a kubelet reports of a pod that runs an image with a digest.
func statusOf(image, imageID string, number int) corev1.PodStatus {
	began := metav1.NewTime(time.Now().Add(-time.Hour))
	var conditions []corev1.PodCondition
	for _, kind := range []corev1.PodConditionType{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		conditions = append(conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: began})
	}
	started, ip := true, fmt.Sprintf("10.%d.%d.%d", 240+number>>16&7, number>>8&0xff, number&0xff)
	return corev1.PodStatus{
		Phase: corev1.PodRunning, Conditions: conditions, HostIP: "192.0.2.10", HostIPs: []corev1.HostIP{{IP: "192.0.2.10"}},
		PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, StartTime: &began, QOSClass: corev1.PodQOSBurstable,
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "main", Image: image, ImageID: imageID, Ready: true, Started: &started,
			ContainerID: fmt.Sprintf("containerd://%064x", number),
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}},
		}},
	}
}
