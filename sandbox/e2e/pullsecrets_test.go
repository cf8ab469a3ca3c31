package e2e

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// The images that only the tenant of the private registry can pull.
const (
	tenantVault = sandbox.TenantRepositories + "vault:1.0"
	tenantTill  = sandbox.TenantRepositories + "till:1.0"
	tenantPurse = sandbox.TenantRepositories + "purse:1.0"
)

// makePullSecret makes an image pull secret, as kubectl create secret docker-registry does.
func makePullSecret(ctx context.Context, t *testing.T, client kubernetes.Interface, namespace, name string, config []byte) {
	t.Helper()
	_, err := client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: config},
	}, metav1.CreateOptions{})
	must(t, err)
}

// forbiddenPullSecret runs an image that the docker config of the daemon cannot pull, with a pull secret that it may
// not read: its team is told, and the log has the command that grants it.
func (e *story) forbiddenPullSecret(t *testing.T) {
	ctx := e.wait(t)
	names := []string{tenantVault, tenantTill, tenantPurse}
	samples, err := image.Fleet(len(names))
	must(t, err)
	for i, name := range names {
		samples[i].Name, samples[i].Private = name, true
	}
	must(t, e.Push(ctx, samples...))
	must(t, e.MakeNamespace(ctx, "tenant"))
	config, err := e.TenantCredentials()
	must(t, err)
	makePullSecret(ctx, t, e.Client, "tenant", "regcred", config)
	m := e.tell(t, "tenant", stage.Workload{Name: "vault", Image: e.Image(tenantVault), PullSecrets: []string{"regcred"}})
	e.expect(t, m, "vault:1.0", "could not be scanned", "cannot use the image pull secret of its pods", "has the command")
	e.awaitMetric(t, `clairwatch_images{state="pull_secret"}`, 1)
	e.silence(t, "tenant", 1)
}

// grantPullSecret does what the log says.
func (e *story) grantPullSecret(t *testing.T) {
	ctx := e.wait(t)
	grant := regexp.MustCompile(`grant="kubectl -n (\S+) create role (\S+) --verb=(\S+) --resource=(\S+) --resource-name=(\S+) && ` +
		`kubectl -n (\S+) create rolebinding (\S+) --role=(\S+) --serviceaccount=(\S+):(\S+)"`)
	found := grant.FindAllStringSubmatch(e.log(t), -1)
	if len(found) != 1 {
		t.Fatalf("the log has %d commands to grant an image pull secret, want one", len(found))
	}
	said := found[0]
	_, err := e.Client.RbacV1().Roles(said[1]).Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: said[2]},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Verbs: []string{said[3]}, Resources: []string{said[4]}, ResourceNames: []string{said[5]}}},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = e.Client.RbacV1().RoleBindings(said[6]).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: said[7]},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: said[8]},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: said[9], Name: said[10]}},
	}, metav1.CreateOptions{})
	must(t, err)
}

// refusedPullSecret runs a private image with a pull secret that the registry does not take, in a namespace whose pull
// secrets may be read. Nobody else runs it: what Clair has for one namespace can be told to another.
func (e *story) refusedPullSecret(t *testing.T) {
	ctx := e.wait(t)
	must(t, e.MakeNamespace(ctx, "refused"))
	must(t, e.ApplyYAML(ctx, pullSecretsOf(t, "refused")))
	config, err := e.TenantCredentials()
	must(t, err)
	makePullSecret(ctx, t, e.Client, "refused", "regcred", []byte(strings.Replace(string(config), e.TenantPassword, "outdated", 1)))
	m := e.tell(t, "refused", stage.Workload{Name: "purse", Image: e.Image(tenantPurse), PullSecrets: []string{"regcred"}})
	e.expect(t, m, "purse:1.0", "could not be scanned", "the registry refuses access", "image pull secret")
	e.silence(t, "refused", 1)
}

// readPullSecret is told of the image that could not be scanned, once its pull secret may be read; a new pod in that
// namespace is scanned at once.
func (e *story) readPullSecret(t *testing.T) {
	e.expect(t, e.message(t, "tenant", 2), "vault:1.0", "is running with", "CVE-")
	must(t, e.Run(e.wait(t), stage.Workload{Namespace: "tenant", Name: "till", Image: e.Image(tenantTill), PullSecrets: []string{"regcred"}}))
	e.expect(t, e.message(t, "tenant", 3), "till:1.0", "is running with", "CVE-")
	e.silence(t, "tenant", 3)
}

// pullSecretsOf is the opt-in file for the pull secrets of a namespace, as kubectl -n applies it.
func pullSecretsOf(t *testing.T, namespace string) []byte {
	t.Helper()
	file, err := os.ReadFile(deployed("pull-secrets-namespace.yaml"))
	must(t, err)
	const name = "\nmetadata:\n  name: clairwatch-pull-secrets\n"
	if strings.Count(string(file), name) != 2 {
		t.Fatal("the file is another one than this test knows")
	}
	return []byte(strings.ReplaceAll(string(file), name, name+"  namespace: "+namespace+"\n"))
}

// pullSecrets tries what the opt-in files allow, and that they allow no more.
func (r *rights) pullSecrets(t *testing.T, box *sandbox.Sandbox) {
	ctx, none, list := t.Context(), metav1.GetOptions{}, metav1.ListOptions{}
	const granted, other = metav1.NamespaceDefault, metav1.NamespaceSystem
	for _, namespace := range []string{granted, other} {
		for _, name := range []string{"regcred", "database"} {
			makePullSecret(ctx, t, r.admin, namespace, name, []byte("{}"))
		}
	}
	may := func(namespace, name string, want bool) {
		t.Helper()
		_, err := r.token.CoreV1().Secrets(namespace).Get(ctx, name, none)
		if want && err != nil || !want && !apierrors.IsForbidden(err) {
			t.Errorf("reading %s/%s: got %v, want that it may: %v", namespace, name, err, want)
		}
	}
	mayNot := func() {
		t.Helper()
		for what, err := range map[string]error{
			"list":   func() error { _, err := r.token.CoreV1().Secrets(granted).List(ctx, list); return err }(),
			"watch":  func() error { _, err := r.token.CoreV1().Secrets(granted).Watch(ctx, list); return err }(),
			"delete": r.token.CoreV1().Secrets(granted).Delete(ctx, "regcred", metav1.DeleteOptions{}),
			"update": func() error {
				_, err := r.token.CoreV1().Secrets(granted).Update(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "regcred"}}, metav1.UpdateOptions{})
				return err
			}(),
		} {
			if !apierrors.IsForbidden(err) {
				t.Errorf("the daemon's token may %s Secrets: %v", what, err)
			}
		}
	}
	may(granted, "regcred", false)
	must(t, box.ApplyYAML(ctx, pullSecretsOf(t, granted)))
	must(t, stage.Await(ctx, "the right to take effect", func() (bool, error) {
		_, err := r.token.CoreV1().Secrets(granted).Get(ctx, "regcred", none)
		return err == nil, nil
	}))
	may(granted, "database", false)
	may(other, "regcred", false)
	mayNot()
	must(t, box.Apply(ctx, deployed("pull-secrets-cluster.yaml")))
	must(t, stage.Await(ctx, "the right to take effect", func() (bool, error) {
		_, err := r.token.CoreV1().Secrets(other).Get(ctx, "regcred", none)
		return err == nil, nil
	}))
	may(granted, "database", true)
	mayNot()
}
