package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// TestAnnotatePolicyByField changes one field after the other of a pod that so many manage that the policy does not look at
// who manages what, under a name that is not clairwatch's: each field is refused by the validation that is about it. Of
// other pods the one about managers refuses most of that too, and would hide that another one is gone.
func TestAnnotatePolicyByField(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an API server")
	}
	t.Parallel()
	ctx := t.Context()
	r, box := startRights(t, deployed("clairwatch.yaml"), deployed("annotate.yaml"))
	pod := r.podOfManyManagers(t)
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	must(t, stage.Await(wait, "the policy to take effect", func() (bool, error) {
		err := r.tryLabel(ctx, pod)
		return err != nil && strings.Contains(err.Error(), annotatePolicy), nil
	}))

	for name, c := range map[string]struct {
		kind  types.PatchType
		patch string
		says  string
	}{
		"add a label":          {types.MergePatchType, `{"metadata":{"labels":{"x":"y"}}}`, "may not change labels"},
		"change a label":       {types.MergePatchType, `{"metadata":{"labels":{"app":"y"}}}`, "may not change labels"},
		"remove the labels":    {types.MergePatchType, `{"metadata":{"labels":null}}`, "may not change labels"},
		"add a finalizer":      {types.StrategicMergePatchType, `{"metadata":{"finalizers":["example.com/more"]}}`, "may not change finalizers"},
		"remove the finalizer": {types.MergePatchType, `{"metadata":{"finalizers":null}}`, "may not change finalizers"},
		"add an owner": {types.StrategicMergePatchType, `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x",` +
			`"uid":"a3f5b6f0-0000-4000-8000-000000000002"}]}}`, "may not change owners"},
		"remove the owner":       {types.MergePatchType, `{"metadata":{"ownerReferences":null}}`, "may not change owners"},
		"change generateName":    {types.MergePatchType, `{"metadata":{"generateName":"x-"}}`, "may not change generateName"},
		"remove generateName":    {types.MergePatchType, `{"metadata":{"generateName":null}}`, "may not change generateName"},
		"change the image":       {types.StrategicMergePatchType, `{"spec":{"containers":[{"name":"app","image":"evil.example.com/x"}]}}`, "may not change the spec"},
		"set a deadline":         {types.MergePatchType, `{"spec":{"activeDeadlineSeconds":1}}`, "may not change the spec"},
		"add a toleration":       {types.JSONPatchType, `[{"op":"add","path":"/spec/tolerations/-","value":{"operator":"Exists"}}]`, "may not change the spec"},
		"add an annotation":      {types.MergePatchType, `{"metadata":{"annotations":{"x":"y"}}}`, "may change no annotation"},
		"change an annotation":   {types.MergePatchType, `{"metadata":{"annotations":{"example.com/0":"y"}}}`, "may change no annotation"},
		"remove an annotation":   {types.MergePatchType, `{"metadata":{"annotations":{"example.com/0":null}}}`, "may change no annotation"},
		"remove all annotations": {types.MergePatchType, `{"metadata":{"annotations":null}}`, "may change no annotation"},
		"annotate the prefix":    {types.MergePatchType, `{"metadata":{"annotations":{"reported.clairwatch.io":"y"}}}`, "may change no annotation"},
		"write text":             {types.MergePatchType, `{"metadata":{"annotations":{"` + reported + `app":"clean"}}}`, "digests of manifests only"},
		"write before a digest": {types.MergePatchType, `{"metadata":{"annotations":{"` + reported + `app":"x sha256:` +
			strings.Repeat("3", 64) + `"}}}`, "digests of manifests only"},
		"annotate for no container": {types.MergePatchType, `{"metadata":{"annotations":{"` + reported + `more":"sha256:` +
			strings.Repeat("3", 64) + `"}}}`, "for each of its containers only"},
	} {
		_, err := r.token.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, c.kind, []byte(c.patch), metav1.PatchOptions{FieldManager: "deployer"})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), annotatePolicy+": clairwatch ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("the daemon's token may %s, or it is refused for another reason: %v", name, err)
		}
	}

	// What a validation cannot make sense of is refused: here managed fields without those of annotations.
	err := r.patchPod(ctx, pod, types.JSONPatchType, `[{"op":"add","path":"/metadata/managedFields/-","value":{"manager":"clairwatch","operation":"Update",`+
		`"subresource":"status","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{}}}}]`)
	if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) || !strings.Contains(fmt.Sprint(err), annotatePolicy) {
		t.Errorf("got %v where an expression fails", err)
	}

	// Containers of all kinds may be annotated for.
	for _, container := range []string{"app", "setup", "debug"} {
		must(t, r.annotate(ctx, pod, container, "sha256:"+strings.Repeat("1", 64)))
	}
	// Another account of the same namespace is not confined.
	other := rest.CopyConfig(box.AdminConfig())
	other.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + stage.Namespace + ":other", Groups: []string{"system:masters"}}
	others, err := kubernetes.NewForConfig(other)
	must(t, err)
	_, err = others.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`), metav1.PatchOptions{})
	must(t, err)
}

// podOfManyManagers makes a pod with containers of all kinds that twelve have written annotations on.
func (r *rights) podOfManyManagers(t *testing.T) *corev1.Pod {
	t.Helper()
	ctx, people := t.Context(), r.admin.CoreV1().Pods(metav1.NamespaceDefault)
	pod, err := people.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "web-", Labels: map[string]string{"app": "web"}, Finalizers: []string{"example.com/kept"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "a3f5b6f0-0000-4000-8000-000000000000", Controller: new(true),
			}},
		},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "setup", Image: "registry.example.com/setup:1"}},
			Containers:     []corev1.Container{{Name: "app", Image: "registry.example.com/web:1"}},
		},
	}, metav1.CreateOptions{})
	must(t, err)
	for n := range 12 {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"example.com/%d":"x"}}}`, n)
		_, err := people.Patch(ctx, pod.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: fmt.Sprintf("somebody-%d", n)})
		must(t, err)
	}
	debug := `{"spec":{"ephemeralContainers":[{"name":"debug","image":"registry.example.com/debug:1"}]}}`
	pod, err = people.Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(debug), metav1.PatchOptions{}, "ephemeralcontainers")
	must(t, err)
	return pod
}
