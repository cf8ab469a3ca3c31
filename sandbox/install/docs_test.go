package install

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/sandbox"
)

// document reads a text of the repository.
func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	must(t, err)
	return string(text)
}

// recipes are the blocks of commands of a document that write a Secret or a ConfigMap, or read one.
func recipes(t *testing.T, name string) []string {
	t.Helper()
	text := document(t, name)
	if filepath.Ext(name) == ".yaml" {
		text = strings.ReplaceAll(text, "\n#   ", "\n    ")
	}
	writes := regexp.MustCompile(`(?:create|patch|get) (?:secret|configmap) `)
	var found []string
	for _, block := range regexp.MustCompile(`(?m)(?:^ {4,}\S.*\n)+`).FindAllString(text, -1) {
		if writes.MatchString(block) {
			found = append(found, block)
		}
	}
	if len(found) == 0 {
		t.Errorf("%s has no recipe", name)
	}
	return found
}

// reader is somebody who does what the documents say, in one folder.
type reader struct {
	*cluster
	dir string
}

// readersKubectl reaches the cluster of the test, whatever the context, does nothing where a pod or a controller would
// have to answer, and goes on where something is there already.
const readersKubectl = `#!/bin/sh
if [ "$1" = --context ]; then shift 2; fi
case "$*" in
*" rollout "*) ;;
*" exec "*) cat >"$HOME/stdin" ;;
*" create "*)
  if ! out=$("$KUBECTL" "$@" 2>&1); then
    case "$out" in
    *"already exists"*) ;;
    *) echo "$out" >&2; exit 1 ;;
    esac
  else
    printf '%s\n' "$out"
  fi ;;
*) exec "$KUBECTL" "$@" ;;
esac
`

func newReader(t *testing.T) *reader {
	t.Helper()
	for _, program := range []string{"bash", "openssl", "base64"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s", program)
		}
	}
	r := &reader{cluster: start(t), dir: t.TempDir()}
	for _, folder := range []string{"bin", ".docker"} {
		must(t, os.Mkdir(filepath.Join(r.dir, folder), 0o700))
	}
	for name, text := range map[string]string{
		".docker/config.json": `{"auths": {}}`, "config.yaml": "cluster: user's\n", "ca.pem": "user's\n",
	} {
		must(t, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600))
	}
	must(t, os.WriteFile(filepath.Join(r.dir, "bin", "kubectl"), []byte(readersKubectl), 0o700))
	must(t, os.Symlink(deploy(t, ""), filepath.Join(r.dir, "deploy")))
	return r
}

// does runs a block of commands as somebody pastes it.
func (r *reader) does(t *testing.T, block string) {
	t.Helper()
	kubectl, err := sandbox.BuildKubectl(t.Context(), nil)
	must(t, err)
	command := exec.CommandContext(t.Context(), "bash", "-c", "set -euo pipefail\n"+block)
	command.Dir = r.dir
	command.Env = []string{
		"PATH=" + filepath.Join(r.dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + r.dir, "KUBECTL=" + kubectl, "KUBECONFIG=" + r.AdminKubeconfig,
	}
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v of\n%s\n%s", err, block, out)
	}
}

// secret returns what is in one.
func (r *reader) secret(t *testing.T, namespace, name string) map[string][]byte {
	t.Helper()
	s, err := r.admin.CoreV1().Secrets(namespace).Get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	return s.Data
}

// TestRecipes does all that the documents say about Secrets and ConfigMaps, one after the other: none takes away what
// another one has put there. Then it keeps what there is, removes clairwatch and puts everything back.
func TestRecipes(t *testing.T) {
	r := newReader(t)
	for _, name := range []string{
		"deploy/clair.yaml", "README.md", "docs/clair.md", "docs/settings.md", "docs/registries.md", "deploy/kind/README.md",
	} {
		for _, block := range recipes(t, name) {
			if !strings.Contains(block, " docker run ") { // which need an image
				r.does(t, block)
			}
		}
	}

	clair, daemon := r.secret(t, "clair", "clair"), r.secret(t, "clairwatch", "clairwatch")
	for _, c := range []struct {
		secret map[string][]byte
		want   []string
	}{
		{clair, []string{"offline.yaml", "psk.yaml", "sources.yaml"}},
		{daemon, []string{"clair-psk", "config.json", "notify-token", "shop"}},
		{r.secret(t, "clair", "clair-database"), []string{"password"}},
	} {
		if got := slices.Sorted(maps.Keys(c.secret)); !slices.Equal(got, c.want) {
			t.Errorf("a Secret has %q, want %q", got, c.want)
		}
	}
	for name, text := range clair {
		var piece map[string]any
		if err := yaml.UnmarshalStrict(text, &piece); err != nil || len(piece) == 0 {
			t.Errorf("%s is no piece of Clair's config: %v\n%s", name, err, text)
		}
	}
	var psk struct {
		Auth struct{ PSK struct{ Key string } }
	}
	must(t, yaml.Unmarshal(clair["psk.yaml"], &psk))
	if key := strings.TrimSpace(string(daemon["clair-psk"])); key == "" || psk.Auth.PSK.Key != key {
		t.Errorf("Clair has the key %q, clairwatch %q", psk.Auth.PSK.Key, key)
	}
	asked, err := os.ReadFile(filepath.Join(r.dir, "stdin"))
	must(t, err)
	if password := string(r.secret(t, "clair", "clair-database")["password"]); !strings.Contains(string(asked), "'"+password+"'") {
		t.Errorf("Postgres is told %q, Clair has another password", asked)
	}

	r.kubectl(t, "-n", "clairwatch", "patch", "configmap", "clairwatch", "-p", `{"data": {"shop": "a: \"<b>\"\n", "_all": "ü: |\n  c\n"}}`)
	var keeps, back string
	for _, block := range recipes(t, "docs/upgrade.md") {
		switch {
		case strings.Contains(block, "--patch-file"):
			back = block
		case strings.Contains(block, "secret.json"):
			keeps = block
		}
	}
	before := r.users(t)
	r.does(t, keeps)
	for _, what := range []string{"configmap/clairwatch", "configmap/clairwatch-config", "secret/clairwatch"} {
		r.kubectl(t, "-n", "clairwatch", "delete", what)
	}
	r.apply(t, "-f", deploy(t, daemonFile))
	r.does(t, back)
	if after := r.users(t); after != before {
		t.Errorf("what was kept became\n%s\nof\n%s", after, before)
	}
}

// patched builds what the kustomization of a chapter makes of the manifests.
func patched(t *testing.T, page, chapter string) string {
	t.Helper()
	_, text, found := strings.Cut(document(t, page), "\n## "+chapter+"\n")
	_, text, block := strings.Cut(text, "```yaml\n")
	text, _, ends := strings.Cut(text, "\n```")
	if !found || !block || !ends {
		t.Fatalf("%s has no kustomization under %q", page, chapter)
	}
	var kustomization map[string]any
	must(t, yaml.UnmarshalStrict([]byte(text), &kustomization))
	folder := t.TempDir()
	relative, err := filepath.Rel(folder, deploy(t, ""))
	must(t, err)
	kustomization["resources"] = []string{relative}
	written, err := yaml.Marshal(kustomization)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), written, 0o600))
	return kustomize(t, folder)
}

// outlined is what the kustomizations change of the manifests.
type outlined struct {
	pods     map[string]corev1.PodSpec
	policies map[string]networkingv1.NetworkPolicySpec
}

func outline(t *testing.T, manifest string) outlined {
	t.Helper()
	o := outlined{make(map[string]corev1.PodSpec), make(map[string]networkingv1.NetworkPolicySpec)}
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		var kind metav1.TypeMeta
		must(t, yaml.Unmarshal([]byte(document), &kind))
		switch kind.Kind {
		case "Deployment", "StatefulSet": // which have the same template
			var d appsv1.Deployment
			must(t, yaml.Unmarshal([]byte(document), &d))
			o.pods[d.Name] = d.Spec.Template.Spec
		case "NetworkPolicy":
			var p networkingv1.NetworkPolicy
			must(t, yaml.UnmarshalStrict([]byte(document), &p))
			o.policies[p.Name] = p.Spec
		}
	}
	return o
}

// TestOpenShift builds the kustomization of docs/faq.md.
func TestOpenShift(t *testing.T) {
	if testing.Short() {
		t.Skip("builds kubectl")
	}
	manifest := patched(t, "docs/faq.md", "OpenShift")
	for _, field := range []string{"runAsUser:", "runAsGroup:", "fsGroup:", "kube-system"} {
		if strings.Contains(manifest, field) {
			t.Errorf("%s is still there", field)
		}
	}
	o := outline(t, manifest)
	for name, pod := range o.pods {
		if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil {
			t.Errorf("%s has lost more than its user: %+v", name, s)
		}
	}
	if len(o.pods) != 3 || strings.Count(manifest, "openshift-dns") != 2 || strings.Count(manifest, "port: 5353") != 4 {
		t.Errorf("%d pods, and the DNS in\n%s", len(o.pods), manifest)
	}
}

// TestProxy builds the kustomization of docs/registries.md.
func TestProxy(t *testing.T) {
	if testing.Short() {
		t.Skip("builds kubectl")
	}
	o := outline(t, patched(t, "docs/registries.md", "An outgoing proxy"))
	for name, pod := range o.pods {
		set := make(map[string]string)
		for _, e := range pod.Containers[0].Env {
			set[e.Name] = e.Value
		}
		if has, want := set["HTTPS_PROXY"] != "" && set["NO_PROXY"] != "", name != "postgres"; has != want {
			t.Errorf("%s has a proxy: %v, want %v", name, has, want)
		}
	}
	for name, policy := range o.policies {
		has := slices.ContainsFunc(policy.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return r.Ports[0].Port.IntVal == 3128 })
		if want := name != "postgres"; has != want {
			t.Errorf("%s gets to the proxy: %v, want %v", name, has, want)
		}
	}
	if len(o.pods) != 3 || len(o.policies) != 3 {
		t.Errorf("%d pods, %d policies", len(o.pods), len(o.policies))
	}
}
