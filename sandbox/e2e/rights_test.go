package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// shardCount is how many ConfigMaps the ledger has.
const shardCount = 16

// deployed is the path of a file of deploy.
func deployed(name string) string { return filepath.Join("..", "..", "deploy", name) }

// startRights starts an API server to which some manifests are applied, and has the daemon's token for it.
func startRights(t *testing.T, manifests ...string) (*rights, *sandbox.Sandbox) {
	t.Helper()
	ctx := t.Context()
	box, err := sandbox.Start(ctx, sandbox.Options{Parts: []sandbox.Part{sandbox.APIServer}, Log: t.Logf})
	must(t, err)
	t.Cleanup(func() { must(t, box.Stop()) })
	for _, manifest := range manifests {
		must(t, box.Apply(ctx, manifest))
	}
	admin, err := kubernetes.NewForConfig(box.AdminConfig())
	must(t, err)
	path, err := box.Kubeconfig(ctx, stage.Namespace, stage.Namespace)
	must(t, err)
	config, err := clientcmd.BuildConfigFromFlags("", path)
	must(t, err)
	config.QPS = -1 // no limit
	token, err := kubernetes.NewForConfig(config)
	must(t, err)
	return &rights{admin: admin, token: token}, box
}

// TestRights uses the daemon's token against a real API server: for what it must not be able to do, for what
// it must, and for the answers that the ledger and the leader election are built on.
func TestRights(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an API server")
	}
	t.Parallel()
	manifest := deployed("clairwatch.yaml")
	r, box := startRights(t, manifest)

	t.Run("must not", r.mustNot)
	t.Run("may", r.may)
	t.Run("ledger", r.ledger)
	t.Run("Lease", r.lease)
	t.Run("pull secrets", func(t *testing.T) { r.pullSecrets(t, box) })
	t.Run("annotations", func(t *testing.T) { r.annotations(t, box) })
	t.Run("newer manifest", func(t *testing.T) {
		before := r.versions(t)
		must(t, box.Apply(t.Context(), manifest))
		if after := r.versions(t); after != before {
			t.Errorf("applying the manifest changes %s to %s", before, after)
		}
	})
}

// rights is what the parts of the test share.
type rights struct{ admin, token kubernetes.Interface }

func shard(n int) string { return fmt.Sprintf("%s-ledger-%d", stage.Namespace, n) }

// applyMap applies a ConfigMap with a label, which creates one that does not exist.
func applyMap(ctx context.Context, client kubernetes.Interface, namespace, name string) (*corev1.ConfigMap, error) {
	return client.CoreV1().ConfigMaps(namespace).Apply(ctx,
		applycorev1.ConfigMap(name, namespace).WithLabels(map[string]string{"app.kubernetes.io/name": "clairwatch"}),
		metav1.ApplyOptions{FieldManager: "clairwatch", Force: true})
}

// putLease writes a Lease by a PUT, which creates one that does not exist.
func putLease(ctx context.Context, client kubernetes.Interface, name, holder string) (*coordinationv1.Lease, error) {
	return client.CoordinationV1().Leases(stage.Namespace).Update(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder},
	}, metav1.UpdateOptions{})
}

func (r *rights) mustNot(t *testing.T) {
	const own, other = stage.Namespace, metav1.NamespaceDefault
	label := []byte(`{"metadata":{"labels":{"x":"y"}}}`)
	ctx, core, none := t.Context(), r.token.CoreV1(), metav1.GetOptions{}
	maps, leases, pods := core.ConfigMaps(own), r.token.CoordinationV1().Leases(own), core.Pods(other)
	list, patch, remove := metav1.ListOptions{}, metav1.PatchOptions{}, metav1.DeleteOptions{}
	update, create := metav1.UpdateOptions{}, metav1.CreateOptions{}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	for name, try := range map[string]func() error{
		"read a secret": func() error { _, err := core.Secrets(own).Get(ctx, "clairwatch", none); return err },
		"list secrets":  func() error { _, err := core.Secrets("").List(ctx, list); return err },

		"list config maps":     func() error { _, err := maps.List(ctx, list); return err },
		"list all config maps": func() error { _, err := core.ConfigMaps("").List(ctx, list); return err },
		"watch config maps":    func() error { _, err := maps.Watch(ctx, list); return err },
		"read another":         func() error { _, err := maps.Get(ctx, "clairwatch-config", none); return err },
		"create a config map": func() error {
			_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: named("x")}, create)
			return err
		},
		"create a shard by POST": func() error {
			_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: named(shard(0))}, create)
			return err
		},
		"create another":        func() error { _, err := applyMap(ctx, r.token, own, "x"); return err },
		"create one more shard": func() error { _, err := applyMap(ctx, r.token, own, shard(shardCount)); return err },
		"create a shard in another namespace": func() error {
			_, err := applyMap(ctx, r.token, other, shard(0))
			return err
		},
		"update another": func() error {
			_, err := maps.Update(ctx, &corev1.ConfigMap{ObjectMeta: named("clairwatch-config")}, update)
			return err
		},
		"patch the settings": func() error { _, err := maps.Patch(ctx, own, types.MergePatchType, label, patch); return err },
		"apply the settings": func() error { _, err := applyMap(ctx, r.token, own, own); return err },
		"update the settings": func() error {
			_, err := maps.Update(ctx, &corev1.ConfigMap{ObjectMeta: named(own)}, update)
			return err
		},
		"delete the settings": func() error { return maps.Delete(ctx, own, remove) },
		"delete a shard":      func() error { return maps.Delete(ctx, shard(0), remove) },
		"delete all shards":   func() error { return maps.DeleteCollection(ctx, remove, list) },

		"create a Lease by POST": func() error {
			_, err := leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: named(own)}, create)
			return err
		},
		"create another Lease": func() error { _, err := putLease(ctx, r.token, "x", "me"); return err },
		"list Leases":          func() error { _, err := leases.List(ctx, list); return err },
		"watch Leases":         func() error { _, err := leases.Watch(ctx, list); return err },
		"patch the Lease":      func() error { _, err := leases.Patch(ctx, own, types.MergePatchType, label, patch); return err },
		"delete the Lease":     func() error { return leases.Delete(ctx, own, remove) },
		"read a Lease of the cluster's": func() error {
			_, err := r.token.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, own, none)
			return err
		},

		"create an Event in another namespace": func() error { _, err := core.Events(other).Create(ctx, eventOn(other), create); return err },
		"list Events":                          func() error { _, err := core.Events(own).List(ctx, list); return err },
		"list Events by the newer API":         func() error { _, err := r.token.EventsV1().Events(own).List(ctx, list); return err },
		"patch an Event": func() error {
			_, err := core.Events(own).Patch(ctx, "x", types.MergePatchType, label, patch)
			return err
		},
		"delete an Event": func() error { return core.Events(own).Delete(ctx, "x", remove) },

		"create a pod":         func() error { _, err := pods.Create(ctx, &corev1.Pod{ObjectMeta: named("x")}, create); return err },
		"patch a pod":          func() error { _, err := pods.Patch(ctx, "x", types.MergePatchType, label, patch); return err },
		"patch a pod's status": func() error { _, err := pods.Patch(ctx, "x", types.MergePatchType, label, patch, "status"); return err },
		"delete a pod":         func() error { return pods.Delete(ctx, "x", remove) },
		"evict a pod": func() error {
			return pods.EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: other}})
		},
		"read a pod's log": func() error { return pods.GetLogs("x", &corev1.PodLogOptions{}).Do(ctx).Error() },
		"patch a node":     func() error { _, err := core.Nodes().Patch(ctx, "x", types.MergePatchType, label, patch); return err },

		"list namespaces":       func() error { _, err := core.Namespaces().List(ctx, list); return err },
		"list service accounts": func() error { _, err := core.ServiceAccounts("").List(ctx, list); return err },
		"get a token": func() error {
			_, err := core.ServiceAccounts(own).CreateToken(ctx, own, &authenticationv1.TokenRequest{}, create)
			return err
		},
		"list deployments": func() error { _, err := r.token.AppsV1().Deployments("").List(ctx, list); return err },
		"patch its deployment": func() error {
			_, err := r.token.AppsV1().Deployments(own).Patch(ctx, own, types.MergePatchType, label, patch)
			return err
		},
		"list roles": func() error { _, err := r.token.RbacV1().ClusterRoles().List(ctx, list); return err },
		"patch its role": func() error {
			_, err := r.token.RbacV1().Roles(own).Patch(ctx, own, types.MergePatchType, label, patch)
			return err
		},
	} {
		if err := try(); !apierrors.IsForbidden(err) {
			t.Errorf("the daemon's token may %s: %v", name, err)
		}
	}
}

func (r *rights) may(t *testing.T) {
	ctx, core := t.Context(), r.token.CoreV1()
	settings := metav1.ListOptions{FieldSelector: "metadata.name=" + stage.Namespace}
	for name, try := range map[string]func() error{
		"list pods":         func() error { _, err := core.Pods("").List(ctx, metav1.ListOptions{}); return err },
		"list nodes":        func() error { _, err := core.Nodes().List(ctx, metav1.ListOptions{}); return err },
		"list the settings": func() error { _, err := core.ConfigMaps(stage.Namespace).List(ctx, settings); return err },
		"watch pods": func() error {
			w, err := core.Pods("").Watch(ctx, metav1.ListOptions{})
			if err == nil {
				w.Stop()
			}
			return err
		},
		"watch nodes": func() error {
			w, err := core.Nodes().Watch(ctx, metav1.ListOptions{})
			if err == nil {
				w.Stop()
			}
			return err
		},
		"create an Event": func() error {
			_, err := core.Events(stage.Namespace).Create(ctx, eventOn(stage.Namespace), metav1.CreateOptions{})
			return err
		},
		"watch the settings": func() error {
			w, err := core.ConfigMaps(stage.Namespace).Watch(ctx, settings)
			if err == nil {
				w.Stop()
			}
			return err
		},
	} {
		if err := try(); err != nil {
			t.Errorf("the daemon's token may not %s: %v", name, err)
		}
	}
}

// eventOn is an Event on the settings ConfigMap, as if it were in a namespace.
func eventOn(namespace string) *corev1.Event {
	now := metav1.Now()
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: "clairwatch.x"},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: namespace, Name: stage.Namespace},
		Type:           corev1.EventTypeWarning, Reason: "SettingsMistake", Message: "x",
		FirstTimestamp: now, LastTimestamp: now, Count: 1, Source: corev1.EventSource{Component: "clairwatch"},
	}
}

// ledger does to every shard what the daemon does.
func (r *rights) ledger(t *testing.T) {
	ctx := t.Context()
	maps, people := r.token.CoreV1().ConfigMaps(stage.Namespace), r.admin.CoreV1().ConfigMaps(stage.Namespace)
	write := func(m *corev1.ConfigMap, data string) (*corev1.ConfigMap, error) {
		m = m.DeepCopy()
		m.ManagedFields = nil
		m.BinaryData = map[string][]byte{"ledger": []byte(data)}
		return maps.Update(ctx, m, metav1.UpdateOptions{FieldManager: "clairwatch"})
	}
	for n := range shardCount {
		name := shard(n)
		if _, err := maps.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Fatalf("%s: got %v, want that it is not found", name, err)
		}
		created, err := applyMap(ctx, r.token, stage.Namespace, name)
		must(t, err)
		first, err := write(created, "first")
		must(t, err)
		if _, err := write(created, "late"); !apierrors.IsConflict(err) {
			t.Errorf("%s: got %v for a write that does not know the last one, want a conflict", name, err)
		}
		// An apply of labels alone finds what is there and changes nothing.
		found, err := applyMap(ctx, r.token, stage.Namespace, name)
		must(t, err)
		if found.ResourceVersion != first.ResourceVersion || string(found.BinaryData["ledger"]) != "first" {
			t.Errorf("%s: an apply made version %s of %s, with %q", name, found.ResourceVersion, first.ResourceVersion, found.BinaryData)
		}
		must(t, people.Delete(ctx, name, metav1.DeleteOptions{}))
		if _, err := write(first, "second"); !apierrors.IsNotFound(err) {
			t.Errorf("%s: got %v for a write after it was deleted, want that it is not found", name, err)
		}
		_, err = applyMap(ctx, r.token, stage.Namespace, name)
		must(t, err)
		if _, err := write(first, "second"); !apierrors.IsConflict(err) {
			t.Errorf("%s: got %v for a write after it was created anew, want a conflict", name, err)
		}
	}
}

// lease has several daemons get the Lease at once.
func (r *rights) lease(t *testing.T) {
	ctx := t.Context()
	leases := r.token.CoordinationV1().Leases(stage.Namespace)
	if _, err := leases.Get(ctx, stage.Namespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatalf("got %v, want that it is not found", err)
	}
	const daemons = 8
	answers := make(chan error, daemons)
	for n := range daemons {
		go func() {
			_, err := putLease(ctx, r.token, stage.Namespace, fmt.Sprint("daemon-", n))
			answers <- err
		}()
	}
	created := 0
	for range daemons {
		switch err := <-answers; {
		case err == nil:
			created++
		case !apierrors.IsInvalid(err) && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err):
			t.Errorf("got %v, want a refusal", err)
		}
	}
	if created != 1 {
		t.Errorf("%d of %d daemons created the Lease, want one", created, daemons)
	}
	if _, err := putLease(ctx, r.token, stage.Namespace, "late"); !apierrors.IsInvalid(err) {
		t.Errorf("got %v for a PUT without a version, want that it replaces nothing", err)
	}
	held, err := leases.Get(ctx, stage.Namespace, metav1.GetOptions{})
	must(t, err)
	held.Spec.HolderIdentity = new(string)
	released, err := leases.Update(ctx, held, metav1.UpdateOptions{})
	must(t, err)
	if _, err := leases.Update(ctx, held, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("got %v for a PUT of an earlier version, want a conflict", err)
	}
	must(t, r.admin.CoordinationV1().Leases(stage.Namespace).Delete(ctx, stage.Namespace, metav1.DeleteOptions{}))
	if _, err := leases.Update(ctx, released, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("got %v for a PUT of a deleted one, want a conflict", err)
	}
	_, err = putLease(ctx, r.token, stage.Namespace, "next")
	must(t, err)
}

// versions returns the versions of what a newer manifest must not touch.
func (r *rights) versions(t *testing.T) string {
	t.Helper()
	lease, err := r.admin.CoordinationV1().Leases(stage.Namespace).Get(t.Context(), stage.Namespace, metav1.GetOptions{})
	must(t, err)
	versions := "Lease " + lease.ResourceVersion
	for _, name := range []string{stage.Namespace, shard(0), shard(shardCount - 1)} {
		m, err := r.admin.CoreV1().ConfigMaps(stage.Namespace).Get(t.Context(), name, metav1.GetOptions{})
		must(t, err)
		versions += ", " + name + " " + m.ResourceVersion
	}
	return versions
}
