package watcher

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// BenchmarkKeepPods decodes 10,000 pods of 500 workloads in 50 namespaces, as a Deployment with a usual chart makes them,
// and keeps what the cache does. B/pod is what stays of each, without the cache's own tables.
func BenchmarkKeepPods(b *testing.B) {
	const number = 10_000
	encoded, size := make([][]byte, number), 0
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
	whole := chartPod(1)
	b.ReportAllocs()
	for b.Loop() {
		newPod(whole, false)
	}
}

// chartPod is one of many pods that a Deployment makes, with what charts add to it.
func chartPod(number int) *corev1.Pod {
	yes, no, user, grace, expires := true, false, int64(10_001), int64(30), int64(3607)
	app, namespace := fmt.Sprintf("app-%d", number%500), fmt.Sprintf("team-%d", number%50)
	began := metav1.NewTime(time.Unix(1_790_000_000, 0))
	spec := fmt.Sprintf("registry.example.com/%s/%s:1.27.3", namespace, app)
	env := []corev1.EnvVar{{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}
	for i := range 14 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("APPLICATION_SETTING_%d", i), Value: fmt.Sprintf("http://backend-%d.%s.svc.cluster.local:8080/path", i, namespace)})
	}
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}}, PeriodSeconds: 10, TimeoutSeconds: 3}
	}
	var conditions []corev1.PodCondition
	for _, kind := range []corev1.PodConditionType{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		conditions = append(conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: began})
	}
	managed := metav1.NewFieldsV1(`{"f:status":{` + strings.Repeat(`"f:conditions":{},`, 105) + `"f:phase":{}}}`)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: fmt.Sprintf("%s-5d9c7b8f6d-%05x", app, number),
			UID: types.UID(fmt.Sprintf("0b8d4ed0-6a57-4f34-8a52-%012x", number)), ResourceVersion: fmt.Sprint(1_000_000 + number),
			Annotations: map[string]string{
				"checksum/config":      "7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069",
				"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "prometheus.io/path": "/metrics",
				"kubectl.kubernetes.io/restartedAt": "2026-11-01T10:00:00Z", reportedPrefix + "main": digest(number % 500),
			},
			Labels: map[string]string{
				"app.kubernetes.io/name": app, "app.kubernetes.io/instance": app, "app.kubernetes.io/version": "1.27.3",
				"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": app + "-4.5.6", "team": namespace, podTemplateHash: "5d9c7b8f6d",
			},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app + "-5d9c7b8f6d", UID: "0b8d4ed0-6a57-4f34-8a52-2b9a4c5f9d11", Controller: &yes}},
			ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", FieldsV1: managed},
				{Manager: "kubelet", Operation: "Update", APIVersion: "v1", FieldsV1: managed, Subresource: "status"},
			},
		},
		Spec: corev1.PodSpec{
			NodeName: fmt.Sprintf("node-%d", number%100), ServiceAccountName: "default", EnableServiceLinks: &no, TerminationGracePeriodSeconds: &grace,
			ImagePullSecrets: []corev1.LocalObjectReference{{Name: "regcred"}},
			SecurityContext:  &corev1.PodSecurityContext{RunAsUser: &user, RunAsNonRoot: &yes},
			Containers: []corev1.Container{{
				Name: "main", Image: spec, Env: env, Args: []string{"--config=/etc/app/config.yaml", "--log-level=info"},
				Ports:         []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: 9090}},
				LivenessProbe: probe("/healthz"), ReadinessProbe: probe("/readyz"),
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
					Limits:   corev1.ResourceList{"memory": resource.MustParse("256Mi")},
				},
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
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
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, Conditions: conditions, HostIP: "192.0.2.10", HostIPs: []corev1.HostIP{{IP: "192.0.2.10"}},
			PodIP: "10.1.2.3", PodIPs: []corev1.PodIP{{IP: "10.1.2.3"}}, StartTime: &began, QOSClass: corev1.PodQOSBurstable,
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "main", Image: spec, ImageID: fmt.Sprintf("registry.example.com/%s/%s@%s", namespace, app, digest(number%500)), Ready: true, Started: &yes,
				ContainerID: fmt.Sprintf("containerd://%064x", number),
				State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}},
				Resources:   &corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m")}},
			}},
		},
	}
}
