package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// TestAnnotations has the daemon annotate pods: not without the right to, not without the policy that confines it, and
// with both.
func TestAnnotations(t *testing.T) {
	if os.Getenv(stage.AnnotateVariable) != "" {
		t.Skip("begins without what " + stage.AnnotateVariable + " applies")
	}
	t.Parallel()
	ctx := t.Context()
	s, err := stage.Start(ctx, stage.Options{Log: t.Logf, Race: true})
	must(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	e := &story{Stage: s}
	must(t, e.Watch(ctx, "shop", e.Scanner("shop")))
	proxy := stage.Workload{Namespace: "shop", Name: "proxy", Image: e.Image(image.PlatformProxy), Pods: 3}
	must(t, e.Run(ctx, proxy))

	e.startAnnotating(t)
	e.expect(t, e.message(t, "shop", 1), "platform/proxy:1.26", "3 pods")
	e.awaitLog(t, `level=WARN msg="no pod is annotated, because there is no right to do so: kubectl apply -f deploy/annotate.yaml`)
	e.awaitMetric(t, `clairwatch_annotating{state="forbidden"}`, 1)

	// The right without what confines it.
	file, err := os.ReadFile(deployed("annotate.yaml"))
	must(t, err)
	policy, rights, ok := bytes.Cut(file, []byte("\n---\napiVersion: rbac.authorization.k8s.io/v1\n"))
	if !ok {
		t.Fatal("the file is another one than this test knows")
	}
	must(t, e.ApplyYAML(ctx, append([]byte("apiVersion: rbac.authorization.k8s.io/v1\n"), rights...)))
	e.stopAnnotating(t, 1)
	e.startAnnotating(t)
	e.awaitMetric(t, `clairwatch_annotating{state="unconfined"}`, 1)
	e.awaitLog(t, `level=WARN msg="no pod is annotated, because the right to do so is not confined: kubectl apply -f deploy/annotate.yaml`)
	if out, code := e.checkAnnotating(t); code != 2 || !strings.Contains(out, "kubectl apply -f deploy/annotate.yaml confines it") {
		t.Errorf("check ends with %d:\n%s", code, out)
	}
	e.silence(t, "shop", 1)
	before := e.podsOf(t, "shop")
	for _, pod := range before {
		if len(pod.Annotations) > 0 || len(pod.Labels) == 0 || pod.Spec.ActiveDeadlineSeconds != nil {
			t.Errorf("%s was changed: %v", pod.Name, pod)
		}
	}
	// Of a deadline validation lets less be changed than of none.
	for name := range before {
		e.patchPod(t, name, `{"spec":{"activeDeadlineSeconds":86400}}`)
	}
	person := slices.Min(slices.Collect(maps.Keys(before)))
	e.patchPod(t, person, `{"metadata":{"annotations":{"example.com/owner":"jane","`+reported+`note":"mine"}}}`)
	before = e.podsOf(t, "shop")

	// With both: it is tried again within a minute.
	must(t, e.ApplyYAML(ctx, policy))
	e.awaitMetric(t, `clairwatch_annotating{state="on"}`, 1)
	e.awaitMetric(t, `clairwatch_annotations_total{outcome="ok"}`, float64(proxy.Pods))
	digest, err := e.ManifestDigest(ctx, image.PlatformProxy, "amd64") // not that of the index, which the pods show
	must(t, err)
	after := e.podsOf(t, "shop")
	for name, pod := range after {
		want := map[string]string{reported + pod.Spec.Containers[0].Name: digest}
		if pod.Name == person {
			want["example.com/owner"], want[reported+"note"] = "jane", "mine"
		}
		if !maps.Equal(pod.Annotations, want) {
			t.Errorf("%s has %v, want %v", pod.Name, pod.Annotations, want)
		}
		if !reflect.DeepEqual(pod.Spec, before[name].Spec) || !reflect.DeepEqual(pod.Labels, before[name].Labels) ||
			!reflect.DeepEqual(pod.OwnerReferences, before[name].OwnerReferences) || !reflect.DeepEqual(pod.Status, before[name].Status) {
			t.Errorf("%s was changed from %v to %v", pod.Name, before[name], pod)
		}
	}
	if out, code := e.checkAnnotating(t); code != 0 || !strings.Contains(out, "it refuses all but annotations that begin with "+reported) {
		t.Errorf("check ends with %d:\n%s", code, out)
	}

	// A restart annotates no pod again, and a new pod is annotated without a message.
	e.stopAnnotating(t, 1)
	e.startAnnotating(t)
	e.awaitMetric(t, `clairwatch_annotating{state="on"}`, 1)
	must(t, e.Run(e.wait(t), stage.Workload{Namespace: "shop", Name: "edge", Image: e.Image(image.PlatformProxy)}))
	e.awaitMetric(t, `clairwatch_annotations_total{outcome="ok"}`, 1)
	e.silence(t, "shop", 1)
	for name, pod := range e.podsOf(t, "shop") {
		was, known := after[name]
		if known && pod.ResourceVersion != was.ResourceVersion {
			t.Errorf("%s was written again: %v, %v", name, was, pod)
		}
		if pod.Annotations[reported+pod.Spec.Containers[0].Name] != digest {
			t.Errorf("%s has %v", name, pod.Annotations)
		}
	}
	e.stopAnnotating(t, 0)
}

// untold are the namespaces of the story in which there is no report to annotate: what runs there cannot be scanned, or
// the channel takes no message.
var untold = []string{"gone", "refused", "dead"}

// annotations waits until each pod has its annotation whose image was told to everybody who hears of it. No other has one.
func (e *story) annotations(t *testing.T) {
	var missing []string
	defer func() {
		if t.Failed() {
			t.Log(strings.Join(missing, "\n"))
		}
	}()
	e.await(t, "annotations", func() bool {
		missing = nil
		for _, pod := range e.listPods(t, metav1.NamespaceAll) {
			if got, want := pod.Annotations, e.wantedAnnotations(t, pod); !maps.Equal(got, want) {
				missing = append(missing, fmt.Sprintf("%s/%s has %v, want %v", pod.Namespace, pod.Name, got, want))
			}
		}
		return len(missing) == 0
	})
}

// wantedAnnotations are those that a pod of the story has in the end.
func (e *story) wantedAnnotations(t *testing.T, pod corev1.Pod) map[string]string {
	t.Helper()
	if slices.Contains(untold, pod.Namespace) {
		return nil
	}
	c := pod.Spec.Containers[0]
	_, sample, _ := strings.Cut(c.Image, "/")
	digest, err := e.ManifestDigest(e.wait(t), sample, pod.Spec.NodeSelector[corev1.LabelArchStable])
	must(t, err)
	return map[string]string{reported + c.Name: digest}
}

// nothingElse looks at who wrote what of pods, when the daemon has ended.
func (e *story) nothingElse(t *testing.T) {
	for _, pod := range e.listPods(t, metav1.NamespaceAll) {
		if want := e.wantedAnnotations(t, pod); !maps.Equal(pod.Annotations, want) {
			t.Errorf("%s/%s has %v, want %v", pod.Namespace, pod.Name, pod.Annotations, want)
		}
		wrote := make(map[string]bool)
		for _, m := range pod.ManagedFields {
			if m.Manager == stage.Namespace {
				wrote[fmt.Sprintf("%s%s %s", m.Operation, m.Subresource, m.FieldsV1)] = true
			}
		}
		want := make(map[string]bool)
		for key := range e.wantedAnnotations(t, pod) { // the daemon has made the map that they are in
			want[fmt.Sprintf(`Update {"f:metadata":{"f:annotations":{".":{},"f:%s":{}}}}`, key)] = true
		}
		if !maps.Equal(wrote, want) {
			t.Errorf("of %s/%s the daemon wrote %v, want %v", pod.Namespace, pod.Name, wrote, want)
		}
	}
}

// patchPod changes a pod of the namespace shop as somebody else.
func (e *story) patchPod(t *testing.T, name, patch string) {
	t.Helper()
	_, err := e.Client.CoreV1().Pods("shop").Patch(e.wait(t), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	must(t, err)
}

// startAnnotating starts a daemon that is to annotate pods.
func (e *story) startAnnotating(t *testing.T) {
	t.Helper()
	var err error
	e.daemon, err = e.Daemon(e.wait(t), map[string]any{"annotatePods": true})
	must(t, err)
	must(t, e.AwaitReady(e.wait(t)))
}

// stopAnnotating ends the daemon as a rollout does, and counts the warnings that it has logged.
func (e *story) stopAnnotating(t *testing.T, warnings int) {
	t.Helper()
	must(t, e.daemon.Signal(syscall.SIGTERM))
	must(t, e.daemon.Wait(e.wait(t)))
	log := e.log(t)
	if strings.Count(log, "no pod is annotated") != warnings || strings.Contains(log, "cannot be annotated") || strings.Contains(log, "DATA RACE") {
		t.Errorf("want %d warnings that no pod is annotated:\n%s", warnings, e.daemon.Tail(100))
	}
}

// checkAnnotating runs clairwatch check with the rights of the daemon.
func (e *story) checkAnnotating(t *testing.T) (out string, code int) {
	t.Helper()
	kubeconfig, err := e.Kubeconfig(e.wait(t), stage.Namespace, stage.Namespace)
	must(t, err)
	text, err := exec.CommandContext(t.Context(), e.Binary(), "check", "--annotate-pods", "--kubeconfig", kubeconfig, "--namespace", stage.Namespace,
		"--docker-config", "", "--slack-hosts", strings.TrimPrefix(e.Slack.URL(), "https://")).CombinedOutput()
	var exit *exec.ExitError
	if asExit(err, &exit) {
		return string(text), exit.ExitCode()
	}
	must(t, err)
	return string(text), 0
}

// podsOf returns the pods of a namespace by their names.
func (e *story) podsOf(t *testing.T, namespace string) map[string]corev1.Pod {
	t.Helper()
	pods := make(map[string]corev1.Pod)
	for _, pod := range e.listPods(t, namespace) {
		pods[pod.Name] = pod
	}
	return pods
}

// listPods returns the pods of a namespace.
func (e *story) listPods(t *testing.T, namespace string) []corev1.Pod {
	t.Helper()
	list, err := e.Client.CoreV1().Pods(namespace).List(e.wait(t), metav1.ListOptions{})
	must(t, err)
	return list.Items
}
