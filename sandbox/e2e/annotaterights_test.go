package e2e

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// annotatePolicy is how the API server names the policy of deploy/annotate.yaml to whoever it refuses.
const annotatePolicy = "ValidatingAdmissionPolicy 'clairwatch-annotate' with binding 'clairwatch-annotate' denied request"

// reported is what the daemon writes on a pod.
const reported = "reported.clairwatch.io/"

// annotations tries what deploy/annotate.yaml allows, and that it allows no more: neither by the right that it grants nor,
// where somebody has granted all rights on pods, by its policy.
func (r *rights) annotations(t *testing.T, box *sandbox.Sandbox) {
	ctx, one, other := t.Context(), "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	people := r.admin.CoreV1().Pods(metav1.NamespaceDefault)
	pod, err := people.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "web-", Labels: map[string]string{"app": "web"}, Finalizers: []string{"example.com/kept"},
			Annotations: map[string]string{"example.com/owner": "shop", reported + "forged": "nonsense"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "a3f5b6f0-0000-4000-8000-000000000000", Controller: new(true),
			}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "app", Image: "registry.example.com/web:1",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}},
		}}},
	}, metav1.CreateOptions{})
	must(t, err)

	if err := r.annotate(ctx, pod, "app", one); !apierrors.IsForbidden(err) {
		t.Errorf("got %v before the right was granted", err)
	}
	must(t, box.Apply(ctx, deployed("annotate.yaml")))
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	must(t, stage.Await(wait, "the policy to take effect", func() (bool, error) {
		err := r.tryLabel(ctx, pod)
		return err != nil && strings.Contains(err.Error(), annotatePolicy), nil
	}))

	// What it is for.
	for _, value := range []string{one, other} {
		must(t, r.annotate(ctx, pod, "app", value))
	}
	must(t, r.patchPod(ctx, pod, types.MergePatchType, `{"metadata":{"annotations":{"`+reported+`app":null}}}`))
	must(t, r.annotate(ctx, pod, "app", one))
	must(t, r.annotate(ctx, pod, "forged", one))
	now, err := people.Get(ctx, pod.Name, metav1.GetOptions{})
	must(t, err)
	if a := now.Annotations; len(a) != 3 || a["example.com/owner"] != "shop" || a[reported+"app"] != one || a[reported+"forged"] != one {
		t.Errorf("the annotations are %v", a)
	}
	// Another pod of the same name is not annotated.
	impostor := pod.DeepCopy()
	impostor.UID = "a3f5b6f0-0000-4000-8000-000000000001"
	if err := r.annotate(ctx, impostor, "app", other); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "metadata.uid") {
		t.Errorf("got %v for a pod that is another one", err)
	}
	// A large one is.
	large := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "large", Annotations: make(map[string]string)}}
	for n := range 200 {
		c := corev1.Container{Name: fmt.Sprintf("app-%d", n), Image: "registry.example.com/web:1"}
		for m := range 50 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", m), Value: strings.Repeat("x", 50)})
		}
		large.Spec.Containers = append(large.Spec.Containers, c)
		large.Annotations[fmt.Sprintf("example.com/%d", n)] = strings.Repeat("x", 1000)
	}
	large, err = people.Create(ctx, large, metav1.CreateOptions{})
	must(t, err)
	must(t, r.annotate(ctx, large, "app-7", one))
	// Nobody else is confined.
	_, err = people.Patch(ctx, "large", types.MergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`), metav1.PatchOptions{})
	must(t, err)
	must(t, people.Delete(ctx, "large", metav1.DeleteOptions{}))

	r.keepsManagers(t)

	t.Run("by right", func(t *testing.T) { r.onlyAnnotates(t, pod, "forbidden") })
	_, err = r.admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "too-much"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Verbs: []string{"*"}, Resources: []string{
			"pods", "pods/attach", "pods/binding", "pods/ephemeralcontainers", "pods/eviction", "pods/exec", "pods/portforward", "pods/proxy", "pods/resize", "pods/status",
		}}},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = r.admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "too-much"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "too-much"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: stage.Namespace, Name: stage.Namespace}},
	}, metav1.CreateOptions{})
	must(t, err)
	must(t, stage.Await(wait, "the right to take effect", func() (bool, error) {
		_, err := r.token.CoreV1().Pods(metav1.NamespaceDefault).Get(ctx, pod.Name, metav1.GetOptions{})
		return err == nil, nil
	}))
	t.Run("by policy", func(t *testing.T) { r.onlyAnnotates(t, pod, annotatePolicy) })

	after, err := people.Get(ctx, pod.Name, metav1.GetOptions{})
	must(t, err)
	if after.ResourceVersion != now.ResourceVersion {
		t.Errorf("the pod was changed from %v to %v", now, after)
	}
	must(t, r.admin.RbacV1().ClusterRoleBindings().Delete(ctx, "too-much", metav1.DeleteOptions{}))
}

// keepsManagers annotates pods that others have written as well: it works whoever they are, and leaves to them what is
// theirs, but for annotations of ours.
func (r *rights) keepsManagers(t *testing.T) {
	ctx, digest := t.Context(), "sha256:"+strings.Repeat("1", 64)
	people := r.admin.CoreV1().Pods(metav1.NamespaceDefault)
	var manyKeys []string
	for n := range 14 {
		manyKeys = append(manyKeys, fmt.Sprintf("example.com/%d", n))
	}
	for name, c := range map[string]struct {
		annotations []string // which somebody writes, each as a manager of its own
		apply       bool     // somebody applies a label
		strip       bool     // somebody takes all managers away
		changes     bool     // who manages other fields may change
	}{
		"alone":       {},
		"applied":     {apply: true},
		"few":         {annotations: []string{"example.com/a", "example.com/b"}, apply: true},
		"many":        {annotations: manyKeys, changes: true},
		"overwritten": {annotations: []string{reported + "app"}, changes: true},
		"beside":      {annotations: []string{reported + "other"}},
		"stripped":    {strip: true},
	} {
		pod, err := people.Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.com/web:1"}}},
		}, metav1.CreateOptions{})
		must(t, err)
		patch := func(kind types.PatchType, manager, text string, subresources ...string) {
			t.Helper()
			_, err := people.Patch(ctx, name, kind, []byte(text), metav1.PatchOptions{FieldManager: manager}, subresources...)
			must(t, err)
		}
		patch(types.MergePatchType, "kubelet", `{"status":{"phase":"Running"}}`, "status")
		if c.apply {
			patch(types.ApplyPatchType, "deployer", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"`+name+`","labels":{"app":"web"}}}`)
		}
		for n, key := range c.annotations {
			patch(types.MergePatchType, fmt.Sprintf("somebody-%d", n), fmt.Sprintf(`{"metadata":{"annotations":{%q:"x-%d"}}}`, key, n))
		}
		if c.strip {
			patch(types.MergePatchType, "somebody", `{"metadata":{"managedFields":[{}]}}`)
		}
		before, err := people.Get(ctx, name, metav1.GetOptions{})
		must(t, err)
		if err := r.annotate(ctx, pod, "app", digest); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		after, err := people.Get(ctx, name, metav1.GetOptions{})
		must(t, err)
		if after.Annotations[reported+"app"] != digest {
			t.Errorf("%s has %v", name, after.Annotations)
		}
		if !c.changes && !reflect.DeepEqual(othersOf(before), othersOf(after)) {
			t.Errorf("%s: others are %v, then %v", name, othersOf(before), othersOf(after))
		}
		must(t, people.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	}
}

// othersOf are the managers of a pod's fields but clairwatch.
func othersOf(pod *corev1.Pod) []metav1.ManagedFieldsEntry {
	return slices.DeleteFunc(slices.Clone(pod.ManagedFields), func(m metav1.ManagedFieldsEntry) bool { return m.Manager == stage.Namespace })
}

// annotate does what the daemon does.
func (r *rights) annotate(ctx context.Context, pod *corev1.Pod, container, digest string) error {
	return r.patchPod(ctx, pod, types.MergePatchType, fmt.Sprintf(`{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, pod.UID, reported+container, digest))
}

// tryLabel does what the policy refuses, and which is not carried out where it is not in force yet.
func (r *rights) tryLabel(ctx context.Context, pod *corev1.Pod) error {
	_, err := r.token.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"other"}}}`),
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

func (r *rights) patchPod(ctx context.Context, pod *corev1.Pod, kind types.PatchType, patch string, subresources ...string) error {
	_, err := r.token.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, kind, []byte(patch), metav1.PatchOptions{FieldManager: "clairwatch"}, subresources...)
	return err
}

// onlyAnnotates tries all else, which must be refused, in these words.
func (r *rights) onlyAnnotates(t *testing.T, pod *corev1.Pod, words string) {
	ctx, core := t.Context(), r.token.CoreV1()
	pods := core.Pods(pod.Namespace)
	rest := core.RESTClient()
	merge := func(patch string, subresources ...string) func() error {
		return func() error { return r.patchPod(ctx, pod, types.MergePatchType, patch, subresources...) }
	}
	strategic := func(patch string, subresources ...string) func() error {
		return func() error { return r.patchPod(ctx, pod, types.StrategicMergePatchType, patch, subresources...) }
	}
	json := func(patch string) func() error {
		return func() error { return r.patchPod(ctx, pod, types.JSONPatchType, patch) }
	}
	now, err := r.admin.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	must(t, err)
	another := fmt.Sprintf("/metadata/managedFields/%d", slices.IndexFunc(now.ManagedFields, func(m metav1.ManagedFieldsEntry) bool { return m.Manager != stage.Namespace }))
	mine := `"` + reported + `app":"sha256:` + strings.Repeat("3", 64) + `"`
	for name, try := range map[string]func() error{
		"add a label":                 merge(`{"metadata":{"labels":{"x":"y"}}}`),
		"change a label":              merge(`{"metadata":{"labels":{"app":"y"}}}`),
		"remove the labels":           merge(`{"metadata":{"labels":null}}`),
		"add a label beside its own":  merge(`{"metadata":{"labels":{"x":"y"},"annotations":{` + mine + `}}}`),
		"add an annotation":           merge(`{"metadata":{"annotations":{"x":"y"}}}`),
		"add one beside its own":      merge(`{"metadata":{"annotations":{"x":"y",` + mine + `}}}`),
		"add one with its name":       merge(`{"metadata":{"annotations":{"reported.clairwatch.io":"y"}}}`),
		"add one like its own":        merge(`{"metadata":{"annotations":{"reported.clairwatch.io.example.com/app":"y"}}}`),
		"opt a pod out":               merge(`{"metadata":{"annotations":{"clairwatch.io/scan":"false"}}}`),
		"change an annotation":        merge(`{"metadata":{"annotations":{"example.com/owner":"me"}}}`),
		"remove an annotation":        merge(`{"metadata":{"annotations":{"example.com/owner":null}}}`),
		"remove all annotations":      merge(`{"metadata":{"annotations":null}}`),
		"annotate for no container":   merge(`{"metadata":{"annotations":{"` + reported + `more":"` + "sha256:" + strings.Repeat("3", 64) + `"}}}`),
		"write text":                  merge(`{"metadata":{"annotations":{"` + reported + `app":"clean"}}}`),
		"write a digest and more":     merge(`{"metadata":{"annotations":{"` + reported + `app":"sha256:` + strings.Repeat("3", 64) + ` x"}}}`),
		"write lines":                 merge(`{"metadata":{"annotations":{"` + reported + `app":"sha256:` + strings.Repeat("3", 64) + `\n"}}}`),
		"change the image":            strategic(`{"spec":{"containers":[{"name":"app","image":"evil.example.com/x"}]}}`),
		"set a deadline":              merge(`{"spec":{"activeDeadlineSeconds":1}}`),
		"add a toleration":            json(`[{"op":"add","path":"/spec/tolerations/-","value":{"operator":"Exists"}}]`),
		"add a finalizer":             strategic(`{"metadata":{"finalizers":["example.com/more"]}}`),
		"remove the finalizer":        merge(`{"metadata":{"finalizers":null}}`),
		"remove the owner":            merge(`{"metadata":{"ownerReferences":null}}`),
		"take the pod over":           strategic(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"a3f5b6f0-0000-4000-8000-000000000002"}]}}`),
		"change generateName":         merge(`{"metadata":{"generateName":"x-"}}`),
		"remove generateName":         merge(`{"metadata":{"generateName":null}}`),
		"wipe who manages what":       merge(`{"metadata":{"managedFields":[{}]}}`),
		"wipe it beside its own":      merge(`{"metadata":{"managedFields":[{}],"annotations":{` + mine + `}}}`),
		"give away a label":           json(`[{"op":"add","path":"/metadata/managedFields/-","value":{"manager":"deployer","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{"f:app":{}}}}}}]`),
		"take a manager's fields":     json(`[{"op":"replace","path":"` + another + `/fieldsV1","value":{"f:metadata":{"f:labels":{"f:app":{}}}}}]`),
		"manage a label":              json(`[{"op":"add","path":"/metadata/managedFields/-","value":{"manager":"clairwatch","operation":"Update","time":"2020-01-01T00:00:00Z","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{"f:app":{}}}}}}]`),
		"manage the spec by a status": json(`[{"op":"add","path":"/metadata/managedFields/-","value":{"manager":"clairwatch","operation":"Update","subresource":"status","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{}}}}]`),
		"manage by applying":          json(`[{"op":"add","path":"/metadata/managedFields/-","value":{"manager":"clairwatch","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{"f:reported.clairwatch.io/app":{}}}}}}]`),
		"manage what is not there":    json(`[{"op":"add","path":"/metadata/managedFields/-","value":{"manager":"clairwatch","operation":"Update","subresource":"status","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{"f:reported.clairwatch.io/` + strings.Repeat("x", 100_000) + `":{}}}}}}]`),
		"rename a manager":            json(`[{"op":"replace","path":"` + another + `/manager","value":"deployer"}]`),
		"write as somebody else": func() error {
			_, err := pods.Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"metadata":{"annotations":{`+mine+`}}}`), metav1.PatchOptions{FieldManager: "deployer"})
			return err
		},
		"change the status":          merge(`{"status":{"phase":"Failed"}}`, "status"),
		"annotate by the status":     merge(`{"metadata":{"annotations":{`+mine+`}}}`, "status"),
		"add a container":            strategic(`{"spec":{"ephemeralContainers":[{"name":"x","image":"evil.example.com/x"}]}}`, "ephemeralcontainers"),
		"annotate by its containers": strategic(`{"metadata":{"annotations":{`+mine+`}}}`, "ephemeralcontainers"),
		"resize":                     strategic(`{"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"2"}}}]}}`, "resize"),
		"delete the pod":             func() error { return pods.Delete(ctx, pod.Name, metav1.DeleteOptions{}) },
		"delete all pods":            func() error { return pods.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}) },
		"create a pod": func() error {
			_, err := pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: pod.Spec}, metav1.CreateOptions{})
			return err
		},
		"create a pod by applying it": func() error {
			_, err := pods.Patch(ctx, "x", types.ApplyPatchType, []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"containers":[{"name":"app","image":"x"}]}}`),
				metav1.PatchOptions{FieldManager: "clairwatch"})
			return err
		},
		"update the pod": func() error {
			labelled := pod.DeepCopy()
			labelled.ResourceVersion, labelled.Labels["x"] = "", "y"
			_, err := pods.Update(ctx, labelled, metav1.UpdateOptions{})
			return err
		},
		"evict the pod": func() error {
			return pods.EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}})
		},
		"bind the pod": func() error {
			return rest.Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("binding").
				Body(&corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "x"}}).Do(ctx).Error()
		},
		"run a command": func() error {
			return rest.Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("exec").
				VersionedParams(&corev1.PodExecOptions{Container: "app", Command: []string{"sh"}, Stdout: true}, scheme.ParameterCodec).Do(ctx).Error()
		},
		"attach to the pod": func() error {
			return rest.Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("attach").
				VersionedParams(&corev1.PodAttachOptions{Stdout: true}, scheme.ParameterCodec).Do(ctx).Error()
		},
		"reach its ports": func() error {
			return rest.Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("portforward").Do(ctx).Error()
		},
		"reach its ports by the proxy": func() error {
			return rest.Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("proxy").Do(ctx).Error()
		},
	} {
		if err := try(); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), words) {
			t.Errorf("the daemon's token may %s: %v", name, err)
		}
	}
}
