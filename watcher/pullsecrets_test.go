package watcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/clairwatch/clairwatch/registry"
)

// dockerConfigOf is a docker config with one password for a host.
func dockerConfigOf(host, password string) []byte {
	return fmt.Appendf(nil, `{"auths":{%q:{"username":"u","password":%q}}}`, host, password)
}

// pullSecret is a Secret as kubectl create secret docker-registry makes it.
func pullSecret(namespace, name string, config []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: config},
	}
}

// pulledWith has a pod name image pull secrets.
func pulledWith(pod *corev1.Pod, names ...string) *corev1.Pod {
	for _, n := range names {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: n})
	}
	return pod
}

// secretRequests are the requests for Secrets so far; anything but reading one by its name is an error.
func secretRequests(t *testing.T, kube *fake.Clientset) []string {
	t.Helper()
	var names []string
	for _, a := range kube.Actions() {
		if a.GetResource().Resource != "secrets" {
			continue
		}
		get, ok := a.(clienttesting.GetAction)
		if !ok {
			t.Errorf("%s of Secrets", a.GetVerb())
			continue
		}
		names = append(names, a.GetNamespace()+"/"+get.GetName())
	}
	return names
}

// forbid answers requests for Secrets as an API server does to whom has no right.
func forbid(kube *fake.Clientset, forbidden func(name string) bool) {
	kube.PrependReactor("get", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		name := a.(clienttesting.GetAction).GetName()
		if !forbidden(name) {
			return false, nil, nil
		}
		return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), name, errors.New("no rule"))
	})
}

func TestPullSecrets(t *testing.T) {
	const host, repo = "registry.example.com", "registry.example.com/shop/app1"
	secrets := []runtime.Object{
		pullSecret("shop", "one", dockerConfigOf(host, "one")),
		pullSecret("shop", "two", dockerConfigOf(host, "two")),
		pullSecret("shop", "specific", dockerConfigOf(host+"/shop", "specific")),
		pullSecret("shop", "elsewhere", dockerConfigOf("quay.io", "elsewhere")),
		pullSecret("shop", "damaged", []byte(`{"auths":[hush`)),
		pullSecret("shop", "empty", nil),
		pullSecret("other", "three", dockerConfigOf(host, "three")),
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "legacy"}, Type: corev1.SecretTypeDockercfg,
			Data: map[string][]byte{corev1.DockerConfigKey: fmt.Appendf(nil, `{%q:{"username":"u","password":"legacy"}}`, host)},
		},
		&corev1.Secret{ // of a type that a kubelet does not look into
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "opaque"}, Type: corev1.SecretTypeOpaque,
			Data: map[string][]byte{corev1.DockerConfigJsonKey: dockerConfigOf(host, "opaque")},
		},
	}
	for name, c := range map[string]struct {
		pods    []*corev1.Pod
		want    []string // passwords
		asked   []string // Secrets
		unusual string   // in the error
	}{
		"none":                    {pods: []*corev1.Pod{podOf("shop", "a", 1)}},
		"one":                     {pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "one")}, want: []string{"one"}, asked: []string{"shop/one"}},
		"in the order of the pod": {pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "two", "one")}, want: []string{"two", "one"}, asked: []string{"shop/two", "shop/one"}},
		"specific first":          {pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "one", "specific")}, want: []string{"specific", "one"}, asked: []string{"shop/one", "shop/specific"}},
		"by the names of pods": {
			pods: []*corev1.Pod{pulledWith(podOf("shop", "b", 1), "two", "one"), pulledWith(podOf("shop", "a", 1), "one")},
			want: []string{"one", "two"}, asked: []string{"shop/one", "shop/two"},
		},
		"of another registry":   {pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "elsewhere")}, asked: []string{"shop/elsewhere"}},
		"older form":            {pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "legacy")}, want: []string{"legacy"}, asked: []string{"shop/legacy"}},
		"of another type":       {pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "opaque")}, asked: []string{"shop/opaque"}},
		"without data":          {pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "empty")}, asked: []string{"shop/empty"}},
		"does not exist":        {pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "gone", "one")}, want: []string{"one"}, asked: []string{"shop/gone", "shop/one"}},
		"only in its namespace": {pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "three")}, asked: []string{"shop/three"}},
		"damaged beside another": {
			pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "damaged", "one")}, want: []string{"one"}, asked: []string{"shop/damaged", "shop/one"},
			unusual: "the image pull secret shop/damaged cannot be used: its data is not the JSON of a docker config",
		},
		"forbidden beside another": {
			pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "forbidden", "one")}, want: []string{"one"}, asked: []string{"shop/forbidden", "shop/one"},
			unusual: "the image pull secret shop/forbidden cannot be used: clairwatch has no right to read it",
		},
		// The API server takes any text for a name.
		"no name of a Secret": {pods: []*corev1.Pod{pulledWith(podOf("shop", "a", 1), "", "x; rm -rf /", "$(id)", "../../nodes", "one")}, want: []string{"one"}, asked: []string{"shop/one"}},
		"too many": {
			pods:  []*corev1.Pod{pulledWith(podOf("shop", "a", 1), strings.Split("a1,a2,a3,a4,a5,a6,a7,a8,a9,a10,a11,a12,a13,a14,a15,a16,one", ",")...)},
			asked: strings.Split("shop/a1,shop/a2,shop/a3,shop/a4,shop/a5,shop/a6,shop/a7,shop/a8,shop/a9,shop/a10,shop/a11,shop/a12,shop/a13,shop/a14,shop/a15,shop/a16", ","),
		},
	} {
		t.Run(name, func(t *testing.T) {
			kube := fake.NewClientset(secrets...)
			forbid(kube, func(name string) bool { return name == "forbidden" })
			found, err := newPullSecrets(kube, time.Minute).of(kept(c.pods...)).Lookup(t.Context(), repo)
			var got []string
			for _, f := range found {
				got = append(got, f.Password)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if asked := secretRequests(t, kube); !slices.Equal(asked, c.asked) {
				t.Errorf("asked for %v, want %v", asked, c.asked)
			}
			switch {
			case c.unusual == "" && err != nil:
				t.Error(err)
			case c.unusual != "" && (err == nil || err.Error() != c.unusual):
				t.Errorf("got %v, want %s", err, c.unusual)
			}
		})
	}
}

// What was read is used for a while, also that it may not be; what could not be asked for is asked for again.
func TestPullSecretsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kube := fake.NewClientset(pullSecret("shop", "one", dockerConfigOf("registry.example.com", "one")))
		forbid(kube, func(name string) bool { return name == "forbidden" })
		var broken error = errors.New("broken")
		kube.PrependReactor("get", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
			return broken != nil && a.(clienttesting.GetAction).GetName() == "broken", nil, broken
		})
		secrets := newPullSecrets(kube, time.Minute)
		of := secrets.of(kept(pulledWith(podOf("shop", "a", 1), "one", "forbidden", "gone", "broken")))
		lookup := func(want int, wantErr ...string) {
			t.Helper()
			kube.ClearActions()
			_, err := of.Lookup(t.Context(), "registry.example.com/shop/app1")
			if got := secretRequests(t, kube); len(got) != want {
				t.Errorf("asked for %v, want %d", got, want)
			}
			for _, w := range wantErr {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("got %v, want %q", err, w)
				}
			}
		}
		lookup(4, "shop/forbidden cannot be used: clairwatch has no right", "shop/broken cannot be used: reading it: broken")
		lookup(1, "shop/forbidden", "shop/broken")
		broken = nil
		lookup(1, "shop/forbidden")
		lookup(0, "shop/forbidden")
		time.Sleep(time.Minute)
		lookup(4, "shop/forbidden")
	})
}

// Only so many are kept, and all that is beyond is read each time.
func TestPullSecretsBounded(t *testing.T) {
	kube := fake.NewClientset()
	secrets := newPullSecrets(kube, time.Hour)
	for i := range 2 * mostSecretsKept {
		secrets.get(t.Context(), secretName{"shop", fmt.Sprintf("s%d", i)})
	}
	if got := len(secrets.kept); got != mostSecretsKept {
		t.Errorf("%d are kept, want %d", got, mostSecretsKept)
	}
}

// A private image whose pull secret may not be read is told once, with what to do; the log has the command, once for all
// images. When it may be read they are scanned within minutes, without a registry having been asked in between.
func TestForbiddenPullSecret(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.private = []string{"right"}
		var forbidden atomic.Bool
		forbidden.Store(true)
		forbid(r.kube.Clientset, func(string) bool { return forbidden.Load() })
		r.kube.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, &authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{
				UserInfo: authenticationv1.UserInfo{Username: "system:serviceaccount:security:watch"},
			}}, nil
		})
		_, err := r.kube.CoreV1().Secrets("shop").Create(t.Context(), pullSecret("shop", "regcred", dockerConfigOf("registry.example.com", "right")), metav1.CreateOptions{})
		r.check(err)
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.run(pulledWith(podOf("shop", "a", 1), "regcred"), pulledWith(podOf("shop", "b", 2), "regcred"))
		r.pass(settled)
		r.wantTexts("2 images could not be scanned…cannot use the image pull secret of its pods")
		const grant = "kubectl -n shop create role clairwatch-regcred --verb=get --resource=secrets --resource-name=regcred && " +
			"kubectl -n shop create rolebinding clairwatch-regcred --role=clairwatch-regcred --serviceaccount=security:watch"
		r.wantLogged(1, grant)
		if got := r.registry.resolved(); got != 2 {
			t.Errorf("%d registry calls, want 2", got)
		}

		r.kube.ClearActions()
		r.pass(time.Hour)
		if got := len(secretRequests(t, r.kube.Clientset)); got < 5 || got > 13 {
			t.Errorf("the Secret was asked for %d times in an hour, want about every five minutes", got)
		}
		if got := r.registry.resolved(); got != 2 {
			t.Errorf("%d registry calls, want no more than 2", got)
		}
		r.wantTexts("could not be scanned")

		forbidden.Store(false)
		r.pass(7 * time.Minute)
		r.wantTexts("could not be scanned", "app1:v1 is running with", "app2:v1 is running with")
		r.wantLogged(1, grant)

		// What is forbidden again is said again.
		forbidden.Store(true)
		r.pass(10 * time.Minute)
		r.run(pulledWith(podOf("shop", "c", 3), "regcred"))
		r.pass(settled)
		r.wantLogged(2, grant)
	})
}

// A Secret that the API server cannot give for the moment is no reason to tell anybody.
func TestPullSecretPasses(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.private = []string{"right"}
		var broken atomic.Bool
		broken.Store(true)
		r.kube.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return broken.Load(), nil, apierrors.NewInternalError(errors.New("etcd"))
		})
		_, err := r.kube.CoreV1().Secrets("shop").Create(t.Context(), pullSecret("shop", "regcred", dockerConfigOf("registry.example.com", "right")), metav1.CreateOptions{})
		r.check(err)
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.run(pulledWith(podOf("shop", "a", 1), "regcred"))
		r.pass(settled)
		r.wantTexts()
		broken.Store(false)
		r.pass(time.Minute)
		r.wantTexts("is running with")
	})
}

// fakeConfig is a docker config of the daemon's own.
type fakeConfig struct{ password atomic.Value }

func configWith(password string) *fakeConfig {
	f := new(fakeConfig)
	f.password.Store(password)
	return f
}

func (f *fakeConfig) Lookup(context.Context, string) ([]registry.Credential, error) {
	return []registry.Credential{{Username: "u", Password: f.Edition()}}, nil
}

func (f *fakeConfig) Check() (int, error) { return 1, nil }

func (f *fakeConfig) Edition() string { return f.password.Load().(string) }

// When the docker config changes, what was refused is tried again within a minute, and at each start; nobody hears twice.
func TestDockerConfigChanges(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.private = []string{"right"}
		config := configWith("wrong")
		r.cfg.Credentials = config
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.run(podOf("shop", "a", 1))
		r.pass(settled)
		r.wantTexts("could not be scanned…the registry refuses access…image pull secret")
		r.pass(time.Hour)
		if got := r.registry.resolved(); got != 1 {
			t.Errorf("%d registry calls, want 1", got)
		}

		r.stop()
		r.start()
		r.pass(settled)
		if got := r.registry.resolved(); got != 2 {
			t.Errorf("%d registry calls, want 2", got)
		}
		r.wantTexts("could not be scanned")

		config.password.Store("right")
		r.pass(2 * time.Minute)
		r.wantTexts("could not be scanned", "is running with")
	})
}

// What its pods name comes first, as a kubelet has it, and the daemon's own config also where that cannot be read.
func TestPullSecretsBeforeDockerConfig(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.Credentials = configWith("own")
		forbid(r.kube.Clientset, func(name string) bool { return name == "forbidden" })
		_, err := r.kube.CoreV1().Secrets("shop").Create(t.Context(), pullSecret("shop", "regcred", dockerConfigOf("registry.example.com", "pods")), metav1.CreateOptions{})
		r.check(err)
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.run(pulledWith(podOf("shop", "a", 1), "regcred"), pulledWith(podOf("shop", "b", 2), "forbidden"))
		r.pass(settled)
		for n, want := range map[int]string{1: "pods own", 2: "own"} {
			found, err := r.w.credentials(image{namespace: "shop", id: digest(n), platform: registry.Platform{OS: "linux", Architecture: "amd64"}}).
				Lookup(t.Context(), "registry.example.com/shop/app")
			var got []string
			for _, f := range found {
				got = append(got, f.Password)
			}
			if strings.Join(got, " ") != want || (err != nil) != (n == 2) {
				t.Errorf("image %d: got %v and %v, want %s", n, got, err, want)
			}
		}
		r.wantLogged(0, "may not be read") // nothing was refused for it
	})
}

// The log says which pull secrets gave nothing, and why: a registry's refusal is the same for all of these mistakes.
func TestPullSecretsLackSomething(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.private = []string{"right"}
		opaque := pullSecret("shop", "opaque", dockerConfigOf("registry.example.com", "right"))
		opaque.Type = corev1.SecretTypeOpaque
		for _, s := range []*corev1.Secret{opaque, pullSecret("shop", "empty", nil), pullSecret("shop", "elsewhere", dockerConfigOf("quay.io", "right"))} {
			_, err := r.kube.CoreV1().Secrets("shop").Create(t.Context(), s, metav1.CreateOptions{})
			r.check(err)
		}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.run(pulledWith(podOf("shop", "a", 1), "gone", "opaque", "empty", "elsewhere"))
		r.pass(settled)
		r.wantTexts("could not be scanned…the registry refuses access")
		r.wantLogged(1, `pullSecrets="shop/gone does not exist; shop/opaque has the type \"Opaque\", not kubernetes.io/dockerconfigjson; `+
			`shop/empty has the type \"kubernetes.io/dockerconfigjson\", and no .dockerconfigjson with data; shop/elsewhere has nothing for registry.example.com/shop/app1"`)

		_, err := r.kube.CoreV1().Secrets("shop").Create(t.Context(), pullSecret("shop", "gone", dockerConfigOf("registry.example.com", "right")), metav1.CreateOptions{})
		r.check(err)
		r.pass(7 * time.Minute)
		r.wantTexts("could not be scanned", "is running with")
	})
}

// One that is read is mended, or one of two that may not be: what they give is another thing then.
func TestMendedPullSecret(t *testing.T) {
	for name, mend := range map[string]func(r *rig, forbidden *atomic.Bool){
		"another password": func(r *rig, _ *atomic.Bool) {
			_, err := r.kube.CoreV1().Secrets("shop").Update(r.t.Context(), pullSecret("shop", "regcred", dockerConfigOf("registry.example.com", "right")), metav1.UpdateOptions{})
			r.check(err)
		},
		"one of two granted": func(_ *rig, forbidden *atomic.Bool) { forbidden.Store(false) },
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.registry.private = []string{"right", "granted"}
				var forbidden atomic.Bool
				forbidden.Store(true)
				forbid(r.kube.Clientset, func(name string) bool { return name == "never" || name == "later" && forbidden.Load() })
				for name, password := range map[string]string{"regcred": "old", "later": "granted", "never": "right"} {
					_, err := r.kube.CoreV1().Secrets("shop").Create(t.Context(), pullSecret("shop", name, dockerConfigOf("registry.example.com", password)), metav1.CreateOptions{})
					r.check(err)
				}
				r.settings(map[string]string{"shop": scanner("shop")})
				r.start()
				r.run(pulledWith(podOf("shop", "a", 1), "never", "later", "regcred"))
				r.pass(settled)
				asked := r.registry.resolved()
				r.pass(time.Hour)
				if got := r.registry.resolved(); got != asked {
					t.Errorf("the registry was asked %d times more, and nothing had changed", got-asked)
				}
				mend(r, &forbidden)
				r.pass(7 * time.Minute)
				r.wantTexts("could not be scanned", "is running with")
			})
		})
	}
}

// What one secret may cost, and all together, is bounded.
func TestPullSecretsSize(t *testing.T) {
	kube := fake.NewClientset(pullSecret("shop", "large", make([]byte, mostConfig+1)))
	for i := range 2 * mostBytesKept / mostConfig {
		if err := kube.Tracker().Add(pullSecret("shop", fmt.Sprintf("s%d", i), make([]byte, mostConfig))); err != nil {
			t.Fatal(err)
		}
	}
	secrets := newPullSecrets(kube, time.Hour)
	if s := secrets.get(t.Context(), secretName{"shop", "large"}); !errors.Is(s.err, errLarge) || s.config != nil {
		t.Errorf("got %d bytes and %v", len(s.config), s.err)
	}
	for i := range 2 * mostBytesKept / mostConfig {
		if s := secrets.get(t.Context(), secretName{"shop", fmt.Sprintf("s%d", i)}); len(s.config) != mostConfig {
			t.Errorf("got %d bytes and %v", len(s.config), s.err)
		}
	}
	kept := 0
	for _, s := range secrets.kept {
		kept += len(s.config)
	}
	if kept != mostBytesKept || secrets.bytes != kept {
		t.Errorf("%d bytes are kept, counted %d, want %d", kept, secrets.bytes, mostBytesKept)
	}
}

// An API server that is away for a while is no reason to look at what was refused, nor to tell of it again.
func TestPullSecretsDuringAnOutage(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.private = []string{"right"}
		var away atomic.Bool
		var n atomic.Int32
		r.kube.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return away.Load(), nil, fmt.Errorf("read tcp 10.0.0.1:%d: connection reset", n.Add(1))
		})
		_, err := r.kube.CoreV1().Secrets("shop").Create(t.Context(), pullSecret("shop", "regcred", dockerConfigOf("registry.example.com", "old")), metav1.CreateOptions{})
		r.check(err)
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.run(pulledWith(podOf("shop", "a", 1), "regcred"))
		for _, is := range []bool{false, true, false} {
			away.Store(is)
			r.pass(30 * time.Minute)
		}
		r.wantTexts("could not be scanned")
		if got := r.registry.resolved(); got != 1 {
			t.Errorf("%d registry calls, want 1", got)
		}
	})
}

// Names that one namespace makes up do not keep the log from what another one needs.
func TestPullSecretsSaid(t *testing.T) {
	secrets := newPullSecrets(fake.NewClientset(), time.Hour)
	said := 0
	for i := range 10 * mostSaid {
		if secrets.isNew(secretName{"evil", fmt.Sprintf("s%d", i)}) {
			said++
		}
	}
	if said != mostSaid || !secrets.isNew(secretName{"shop", "regcred"}) || secrets.isNew(secretName{"shop", "regcred"}) {
		t.Errorf("%d were said of one namespace, want %d, and another one's once", said, mostSaid)
	}
}

// A Clair that begins to load its data while an image of two namespaces is indexed: both hear that it was.
func TestLoadingForBothNamespaces(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		c := r.clairs[clairBase]
		c.slow = 20 * time.Second
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.start()
		r.run(podOf("shop", "a", 1), podOf("blog", "a", 1))
		r.pass(5 * time.Second)
		c.set(func(c *fakeClair) { c.loading = true })
		r.pass(10 * time.Minute)
		r.wantEach("shop", "still loading")
		r.wantEach("blog", "still loading")
	})
}
