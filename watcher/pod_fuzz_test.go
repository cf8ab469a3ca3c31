package watcher

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"
)

// FuzzPod: whoever writes a pod writes most of what is kept of it. All images that its status shows are looked at, none
// twice, and what is kept is the same however often it is made.
func FuzzPod(f *testing.F) {
	text, err := os.ReadFile("testdata/pod.yaml")
	if err != nil {
		f.Fatal(err)
	}
	recorded, err := yaml.YAMLToJSON(text)
	if err != nil {
		f.Fatal(err)
	}
	whole, err := json.Marshal(fullPod())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(recorded)
	f.Add(whole)
	f.Add([]byte(`{"metadata":{"generation":2},"spec":{"containers":[{"name":"a","image":"a"},{"name":"a","image":"b"}]},"status":{"observedGeneration":1,"containerStatuses":[{"name":"a","imageID":"sha256:x"},{"name":"b","imageID":"b@` + digest(1) + `"}]}}`))
	f.Add([]byte(`{"spec":{"volumes":[{"name":"v","image":{"reference":"a@` + digest(1) + `"}},{"name":"v","image":{"reference":"b"}}],"containers":[{"name":"a","volumeMounts":[{"name":"v"},{"name":"v"}]}]},"status":{"containerStatuses":[{"name":"a","imageID":"x","volumeMounts":[{"name":"v","volumeStatus":{"image":{"imageRef":"` + digest(2) + `"}}}]}]}}`))
	f.Add([]byte(`{"metadata":{"labels":{"pod-template-hash":""},"ownerReferences":[{"kind":"ReplicaSet","name":"-","controller":true}]}}`))
	f.Add([]byte(`{"metadata":{"ownerReferences":[{"kind":"Job","name":"a-12345678","controller":true},{"kind":"","name":"","controller":true}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := new(corev1.Pod)
		if json.Unmarshal(data, whole) != nil {
			return
		}
		before := whole.DeepCopy()
		for _, annotated := range []bool{false, true} {
			keep := keepPods(annotated)
			first, err := keep(whole)
			if err != nil {
				t.Fatal(err)
			}
			again, err := keep(first)
			if err != nil || again != first {
				t.Fatalf("the second time it is %+v, %v", again, err)
			}
			p, other := first.(*pod), newPod(before.DeepCopy(), annotated)
			if !reflect.DeepEqual(p, other) || !sameImages(p, other) || !reflect.DeepEqual(p.DeepCopyObject(), other) {
				t.Errorf("two readings differ: %+v, %+v", p, other)
			}
			ids := imageIDs(p)
			for i, id := range ids {
				if id == "" || slices.Contains(ids[:i], id) {
					t.Errorf("images %q", ids)
				}
			}
			for _, s := range whole.Status.ContainerStatuses {
				last := lastStatus(whole, s.Name)
				if last.ImageID != "" && !slices.ContainsFunc(slices.Collect(containers(p)), func(c container) bool { return c.imageID == last.ImageID }) {
					t.Errorf("%q of the container %q is not among %q", last.ImageID, s.Name, ids)
				}
			}
			if w := workload(p); w.Pods != 1 || w.Kind == "" {
				t.Errorf("workload %+v", w)
			}
			if whole, kept := len(data), sizeOf(p); kept > 4*whole+1<<10 {
				t.Errorf("of %d bytes it keeps %d", whole, kept)
			}
		}
		if !reflect.DeepEqual(whole, before) {
			t.Error("the pod was changed")
		}
	})
}

// lastStatus is what the API server would have of a name that only one container may have.
func lastStatus(whole *corev1.Pod, name string) (last corev1.ContainerStatus) {
	for _, s := range statuses(whole) {
		if s.Name == name {
			last = *s
		}
	}
	return last
}

// sizeOf is how much text is kept of a pod, in bytes.
func sizeOf(p *pod) int {
	c := p.common.Value()
	n := len(p.name) + len(p.version) + len(p.node.Value()) + len(c.namespace) + len(c.kind) + len(c.name)
	for _, h := range p.pieces {
		n += len(h.Value().name) + len(h.Value().spec) + len(h.Value().imageID)
	}
	for _, h := range p.pullSecrets {
		n += len(h.Value())
	}
	return n
}

// FuzzNode: of a node its name and the two labels of its platform are kept, which is known only by both.
func FuzzNode(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"a","labels":{"kubernetes.io/os":"linux","kubernetes.io/arch":"arm64","other":"x"},"annotations":{"a":"b"}}}`))
	f.Add([]byte(`{"metadata":{"labels":{"kubernetes.io/os":""}}}`))
	f.Add([]byte(`{"metadata":{"managedFields":[{"manager":"x"}],"ownerReferences":[{}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		node := new(metav1.PartialObjectMetadata)
		if json.Unmarshal(data, node) != nil {
			return
		}
		before := node.DeepCopy()
		first, err := trimNode(node)
		if err != nil {
			t.Fatal(err)
		}
		again, err := trimNode(first)
		if err != nil || !reflect.DeepEqual(again, first) || !reflect.DeepEqual(node, before) {
			t.Errorf("the second time it is %+v, %v", again, err)
		}
		kept := first.(*metav1.PartialObjectMetadata)
		if p := platformOf(kept); p != platformOf(node) || (p.OS == "") != (p.Architecture == "") {
			t.Errorf("platform %s of %v", p, node.Labels)
		}
		if len(kept.Labels) > 2 || kept.Annotations != nil || kept.ManagedFields != nil || kept.Name != node.Name || kept.ResourceVersion != node.ResourceVersion {
			t.Errorf("it keeps %+v", kept)
		}
	})
}

// FuzzPullSecret: what a Secret gives is a credential of a docker config; what it does not give, and why, is said without
// a word of its data.
func FuzzPullSecret(f *testing.F) {
	const marked = "hunter2-3f9a7c"
	before, after, _ := strings.Cut(string(dockerConfigOf("registry.example.com", marked)), marked)
	f.Add("kubernetes.io/dockerconfigjson", "registry", before, after)
	f.Add("kubernetes.io/dockercfg", "registry", `{"registry.example.com":{"auth":"dTpwYXNz","password":"`, `"}}`)
	f.Add("kubernetes.io/dockerconfigjson", "registry", `{"auths":{"registry.example.com":"`, `"}}`)
	f.Add("kubernetes.io/dockerconfigjson", "registry", "", "")
	f.Add("Opaque\x1b[2J", "a b;$(reboot)", before, after)
	f.Add(strings.Repeat("x", 100), "registry", "", "")
	var secret *corev1.Secret
	kube := fake.NewClientset()
	kube.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, secret, nil })
	f.Fuzz(func(t *testing.T, kind, name, before, after string) {
		kube.ClearActions()
		data := []byte(before + marked + after)
		secret = &corev1.Secret{Type: corev1.SecretType(kind), Data: map[string][]byte{corev1.DockerConfigJsonKey: data, corev1.DockerConfigKey: data}}
		var use secretsUse
		secrets := newPullSecrets(kube, time.Minute).of(kept(pulledWith(podOf("shop", "web", 1), name)))
		secrets.used = func(u secretsUse) { use = u }
		found, err := secrets.Lookup(t.Context(), "registry.example.com/shop/web")
		if asked := len(kube.Actions()); (asked > 0) != (len(validation.IsDNS1123Subdomain(name)) == 0) {
			t.Errorf("%q was asked for %d times", name, asked)
		}
		known := corev1.SecretType(kind) == corev1.SecretTypeDockerConfigJson || corev1.SecretType(kind) == corev1.SecretTypeDockercfg
		if len(found) > 0 && (!known || err != nil || use.lacks != "") {
			t.Errorf("%q gives %d credentials, %v, %q", kind, len(found), err, use.lacks)
		}
		said := use.lacks
		if err != nil {
			var e *secretsError
			if !errors.As(err, &e) || !e.lasting() {
				t.Errorf("got %v", err)
			}
			said += err.Error()
		}
		if strings.Contains(said, marked) && !strings.Contains(kind+name, marked) || strings.ContainsFunc(said, unicode.IsControl) || len(said) > 1000 {
			t.Errorf("it says %q", said)
		}
	})
}
