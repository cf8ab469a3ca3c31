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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	clienttesting "k8s.io/client-go/testing"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/registry"
)

// TestGrant names clairwatch in the command as the API server knows it, so that a shell takes it as it is.
func TestGrant(t *testing.T) {
	for name, c := range map[string]struct {
		user string
		err  error
		want string
	}{
		"its account":                {user: "system:serviceaccount:security:watch", want: "--serviceaccount=security:watch"},
		"a user":                     {user: "ada@example.com", want: "--user='ada@example.com'"},
		"a user whom a shell parses": {user: "o'brien; x", want: `--user='o'\''brien; x'`},
		"no name":                    {want: "--serviceaccount=settings:clairwatch"},
		"not said":                   {err: errors.New("unknown resource"), want: "--serviceaccount=settings:clairwatch"},
	} {
		t.Run(name, func(t *testing.T) {
			kube := fake.NewClientset()
			kube.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
				if c.err != nil {
					return true, nil, c.err
				}
				return true, &authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{
					UserInfo: authenticationv1.UserInfo{Username: c.user},
				}}, nil
			})
			got := newPullSecrets(kube, time.Minute).grant(t.Context(), secretName{"shop", "regcred"}, "settings")
			want := "kubectl -n shop create role clairwatch-regcred --verb=get --resource=secrets --resource-name=regcred && " +
				"kubectl -n shop create rolebinding clairwatch-regcred --role=clairwatch-regcred " + c.want
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// What is too old to be used makes room for what is read now.
func TestPullSecretsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kube := fake.NewClientset()
		secrets := newPullSecrets(kube, time.Minute)
		for i := range mostSecretsKept {
			secrets.get(t.Context(), secretName{"shop", fmt.Sprintf("s%d", i)})
		}
		time.Sleep(time.Minute)
		kube.ClearActions()
		for range 2 {
			secrets.get(t.Context(), secretName{"shop", "new"})
		}
		if got := secretRequests(t, kube); len(got) != 1 {
			t.Errorf("asked for %v, want it once", got)
		}
	})
}

// Secrets of one name in two namespaces are two.
func TestPullSecretsOfTwoNamespaces(t *testing.T) {
	kube := fake.NewClientset(
		pullSecret("shop", "regcred", dockerConfigOf("registry.example.com", "shop's")),
		pullSecret("blog", "regcred", dockerConfigOf("registry.example.com", "blog's")))
	secrets := newPullSecrets(kube, time.Hour)
	for _, namespace := range []string{"shop", "blog", "shop"} {
		found, err := secrets.of(kept(pulledWith(podOf(namespace, "a", 1), "regcred"))).Lookup(t.Context(), "registry.example.com/app")
		if err != nil || len(found) != 1 || found[0].Password != namespace+"'s" {
			t.Errorf("%s: got %d credentials, %v", namespace, len(found), err)
		}
	}
	if got := secretRequests(t, kube); !slices.Equal(got, []string{"shop/regcred", "blog/regcred"}) {
		t.Errorf("asked for %v", got)
	}
}

// silentServer is an API server that does not answer who asks for a Secret.
type silentServer struct{ kubernetes.Interface }

func (s silentServer) CoreV1() corev1client.CoreV1Interface { return silentCore{s.Interface.CoreV1()} }

type silentCore struct{ corev1client.CoreV1Interface }

func (silentCore) Secrets(string) corev1client.SecretInterface { return silentSecrets{} }

type silentSecrets struct{ corev1client.SecretInterface }

func (silentSecrets) Get(ctx context.Context, _ string, _ metav1.GetOptions) (*corev1.Secret, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A Secret that is never answered for is given up long before anything else is.
func TestPullSecretHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		secrets := newPullSecrets(silentServer{fake.NewClientset()}, time.Minute)
		_, err := secrets.of(kept(pulledWith(podOf("shop", "a", 1), "regcred"))).Lookup(ctx, "registry.example.com/app")
		if err == nil || !strings.Contains(err.Error(), "shop/regcred cannot be used: reading it") || ctx.Err() != nil {
			t.Errorf("got %v; who asked has been given up: %v", err, ctx.Err())
		}
	})
}

// No right to read a damaged Secret mends it: no command is logged, and nothing of what it holds.
func TestDamagedPullSecret(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.private = []string{"right"}
		_, err := r.kube.CoreV1().Secrets("shop").Create(t.Context(), pullSecret("shop", "regcred", []byte(`{"auths":[hush`)), metav1.CreateOptions{})
		r.check(err)
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.run(pulledWith(podOf("shop", "a", 1), "regcred"))
		r.pass(settled)
		r.wantTexts("could not be scanned…the image pull secret of its pods")
		r.wantLogged(1, "shop/regcred cannot be used: its data is not the JSON of a docker config")
		r.wantLogged(0, "kubectl")
		r.wantLogged(0, "hush")
	})
}

// A docker config that has changed and does not help either costs one try, not one each minute.
func TestDockerConfigStillWrong(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.private = []string{"right"}
		config := configWith("wrong")
		r.cfg.Credentials = config
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.run(podOf("shop", "a", 1))
		r.pass(settled)
		config.password.Store("wrong too")
		r.pass(time.Hour)
		if got := r.registry.resolved(); got != 2 {
			t.Errorf("%d registry calls, want 2", got)
		}
		r.wantLogged(1, "the docker config has changed")
		r.wantTexts("could not be scanned")
	})
}

// Whatever the registry says of an image that is not the asker's, a docker config that has changed may help.
func TestDockerConfigHelps(t *testing.T) {
	for name, c := range map[string]struct {
		fails error // of the registry; nil: the image is private, and its pull secret may not be read
		told  string
	}{
		"not found":            {fails: registry.ErrNotFound, told: "not in the registry"},
		"docker config broken": {fails: registry.ErrCredentials, told: "the docker config of clairwatch cannot be used"},
		"pull secret":          {told: "cannot use the image pull secret"},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				config := configWith("wrong")
				r.cfg.Credentials = config
				if c.fails == nil {
					r.registry.private = []string{"right"}
				}
				r.registry.failWith(func(int) error {
					if config.Edition() == "right" {
						return nil
					}
					return c.fails
				})
				forbid(r.kube.Clientset, func(string) bool { return true })
				r.settings(map[string]string{"shop": scanner("shop")})
				r.start()
				r.run(pulledWith(podOf("shop", "a", 1), "regcred"))
				r.pass(time.Hour)
				r.wantTexts("could not be scanned…" + c.told)
				if c.fails == registry.ErrCredentials { // which is tried now and then by itself: this was just now
					for before := r.registry.resolved(); r.registry.resolved() == before; {
						r.pass(time.Second)
					}
				}
				config.password.Store("right")
				r.pass(sweepEvery + settled)
				r.wantTexts("could not be scanned", "is running with")
			})
		})
	}
}

// A docker config that was mended while no daemon ran helps at the start, also where the pull secret may not be read yet.
func TestDockerConfigMendedWhileDown(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.private = []string{"right"}
		config := configWith("wrong")
		r.cfg.Credentials = config
		forbid(r.kube.Clientset, func(string) bool { return true })
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.run(pulledWith(podOf("shop", "a", 1), "regcred"))
		r.pass(settled)
		r.wantTexts("could not be scanned…cannot use the image pull secret")
		r.stop()
		config.password.Store("right")
		r.start()
		r.pass(settled)
		r.wantTexts("could not be scanned", "is running with")
	})
}

// privateLayers is a registry that wants the password for its layers too.
type privateLayers struct {
	*fakeRegistry
	sources atomic.Int32
}

func (p *privateLayers) Sources(ctx context.Context, img *registry.Image, of registry.Credentials, left time.Duration) ([]registry.Source, time.Time, error) {
	p.sources.Add(1)
	if err := p.refuses(ctx, img.Repo, of); err != nil {
		return nil, time.Time{}, err
	}
	return p.fakeRegistry.Sources(ctx, img, of, left)
}

// The pull secret of its pods opens an image's layers too, and again when it is indexed anew.
func TestPullSecretForLayers(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.registry.private = []string{"right"}
		layers := &privateLayers{fakeRegistry: r.registry}
		r.cfg.Registry = layers
		r.cfg.Credentials = configWith("wrong")
		_, err := r.kube.CoreV1().Secrets("shop").Create(t.Context(), pullSecret("shop", "regcred", dockerConfigOf("registry.example.com", "right")), metav1.CreateOptions{})
		r.check(err)
		c := r.clairs[clairBase]
		c.updaters = []clair.Updater{updater("debian", 24*time.Hour)}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.run(pulledWith(podOf("shop", "a", 1), "regcred"))
		r.pass(settled)
		r.wantTexts("is running with")
		c.called()
		c.set(func(c *fakeClair) { c.state = "s2" })
		r.pass(time.Hour)
		if calls := c.called(); !slices.Contains(calls, "index") || layers.sources.Load() != 2 {
			t.Errorf("calls to Clair: %v, and layers were asked for %d times", calls, layers.sources.Load())
		}
	})
}
