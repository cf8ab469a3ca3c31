package install

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
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

// reader is somebody who does what the documents say.
type reader struct {
	*cluster
	home     string
	checkout string // where they are read, and commands are pasted
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
	r := &reader{cluster: start(t), home: t.TempDir()}
	r.checkout = filepath.Join(r.home, "clairwatch")
	for _, folder := range []string{"bin", ".docker", "clairwatch", "my-clairwatch"} {
		must(t, os.Mkdir(filepath.Join(r.home, folder), 0o700))
	}
	for name, text := range map[string]string{
		".docker/config.json": `{"auths": {}}`, "clairwatch/ca.pem": "user's\n",
		"my-clairwatch/kustomization.yaml": kustomization(t, "README.md", "Install it in a cluster"),
	} {
		must(t, os.WriteFile(filepath.Join(r.home, name), []byte(text), 0o600))
	}
	must(t, os.WriteFile(filepath.Join(r.home, "bin", "kubectl"), []byte(readersKubectl), 0o700))
	must(t, os.Symlink(deploy(t, ""), filepath.Join(r.checkout, "deploy")))
	r.edits(t)
	return r
}

// edits is what the reader writes where the documents say so.
func (r *reader) edits(t *testing.T) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(r.checkout, "config.yaml"), []byte("cluster: user's\n"), 0o600))
}

// does runs a block of commands as somebody pastes it.
func (r *reader) does(t *testing.T, block string) {
	t.Helper()
	kubectl, err := sandbox.BuildKubectl(t.Context(), nil)
	must(t, err)
	command := exec.CommandContext(t.Context(), "bash", "-c", "set -euo pipefail\n"+block)
	command.Dir = r.checkout
	command.Env = []string{
		"PATH=" + filepath.Join(r.home, "bin") + ":" + os.Getenv("PATH"), "HOME=" + r.home, "KUBECTL=" + kubectl, "KUBECONFIG=" + r.AdminKubeconfig,
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
		"README.md", "deploy/clair.yaml", "docs/install.md", "docs/clair.md", "docs/settings.md", "docs/registries.md",
		"docs/operating.md", "deploy/kind/README.md",
	} {
		for _, block := range recipes(t, name) {
			if !strings.Contains(block, " docker run ") { // which need an image
				r.does(t, block)
			}
			if strings.Contains(block, "> config.yaml") {
				r.edits(t)
			}
		}
	}
	r.leftNothing(t)

	clair, daemon := r.secret(t, "clair", "clair"), r.secret(t, "clairwatch", "clairwatch")
	for _, c := range []struct {
		secret map[string][]byte
		want   []string
	}{
		{clair, []string{"notify.yaml", "offline.yaml", "psk.yaml", "sources.yaml"}},
		{daemon, []string{"clair-psk", "config.json", "notify-token", "shop", "web-token"}},
		{r.secret(t, "clair", "clair-database"), []string{"password"}},
		{r.secret(t, "clairwatch", "regcred"), []string{corev1.DockerConfigJsonKey}},
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
	if token := strings.TrimSpace(string(daemon["notify-token"])); token == "" || !strings.Contains(string(clair["notify.yaml"]), "['Bearer "+token+"']") {
		t.Errorf("Clair sends %s, clairwatch wants %q", clair["notify.yaml"], token)
	}
	config, err := r.admin.CoreV1().ConfigMaps("clairwatch").Get(t.Context(), "clairwatch-config", metav1.GetOptions{})
	must(t, err)
	if want := map[string]string{"config.yaml": "cluster: user's\n", "ca.pem": "user's\n"}; !maps.Equal(config.Data, want) {
		t.Errorf("the settings of the daemon are %q, want %q", config.Data, want)
	}
	asked, err := os.ReadFile(filepath.Join(r.home, "stdin"))
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
	for _, what := range [][2]string{
		{"clairwatch", "configmap/clairwatch"}, {"clairwatch", "configmap/clairwatch-config"}, {"clairwatch", "secret/clairwatch"},
		{"clair", "secret/clair"},
	} {
		r.kubectl(t, "-n", what[0], "delete", what[1])
	}
	r.apply(t, "-k", deploy(t, ""))
	r.does(t, back)
	r.leftNothing(t)
	if after := r.users(t); after != before {
		t.Errorf("what was kept became\n%s\nof\n%s", after, before)
	}
}

// leftNothing fails where a file with a secret was not deleted.
func (r *reader) leftNothing(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(r.checkout)
	must(t, err)
	for _, file := range left {
		if !slices.Contains([]string{"ca.pem", "config.yaml", "deploy"}, file.Name()) {
			t.Errorf("%s is left behind", file.Name())
		}
	}
}

// kustomization is the first one that stands under a heading.
func kustomization(t *testing.T, page, chapter string) string {
	t.Helper()
	_, text, found := strings.Cut(document(t, page), "\n## "+chapter+"\n")
	block := regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$").FindStringSubmatch(text)
	if !found || block == nil {
		t.Fatalf("%s has no kustomization under %q", page, chapter)
	}
	return regexp.MustCompile("(?m)^"+block[1]).ReplaceAllString(block[2], "")
}

// patched builds what the kustomization of a chapter makes of the manifests.
func patched(t *testing.T, page, chapter string) string {
	t.Helper()
	var made map[string]any
	must(t, yaml.UnmarshalStrict([]byte(kustomization(t, page, chapter)), &made))
	folder := t.TempDir()
	relative, err := filepath.Rel(folder, deploy(t, ""))
	must(t, err)
	made["resources"] = []string{relative}
	written, err := yaml.Marshal(made)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), written, 0o600))
	must(t, os.WriteFile(filepath.Join(folder, "config.yaml"), []byte("cluster: user's\n"), 0o600))
	return kustomize(t, folder)
}

// outlined is what the kustomizations change of the manifests.
type outlined struct {
	pods     map[string]corev1.PodSpec
	policies map[string]networkingv1.NetworkPolicySpec
	settings map[string]string
	volume   corev1.PersistentVolumeClaimSpec
}

func outline(t *testing.T, manifest string) outlined {
	t.Helper()
	o := outlined{pods: make(map[string]corev1.PodSpec), policies: make(map[string]networkingv1.NetworkPolicySpec)}
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		var kind metav1.PartialObjectMetadata
		must(t, yaml.Unmarshal([]byte(document), &kind))
		switch kind.Kind {
		case "ConfigMap":
			if kind.Namespace == "clairwatch" && kind.Name == "clairwatch" {
				var m corev1.ConfigMap
				must(t, yaml.UnmarshalStrict([]byte(document), &m))
				o.settings = m.Data
			}
		case "PersistentVolumeClaim":
			var c corev1.PersistentVolumeClaim
			must(t, yaml.UnmarshalStrict([]byte(document), &c))
			o.volume = c.Spec
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

// TestSharedPages builds the kustomization of docs/operating.md, and reads what is to be applied beside the manifest.
func TestSharedPages(t *testing.T) {
	if testing.Short() {
		t.Skip("builds kubectl")
	}
	const page, chapter = "docs/operating.md", "Share the pages"
	o := outline(t, patched(t, page, chapter))
	proxy := slices.IndexFunc(o.pods["clairwatch"].Containers, func(c corev1.Container) bool {
		return slices.Contains(c.Args, "--upstream=http://127.0.0.1:8081/") && c.Ports[0].Name == "login"
	})
	if proxy < 0 || len(o.pods["clairwatch"].Containers) != 2 {
		t.Errorf("the daemon's pod has %+v", o.pods["clairwatch"].Containers)
	}
	if last := o.policies["clairwatch"].Ingress; len(last) != 2 || last[1].Ports[0].Port.StrVal != "login" {
		t.Errorf("who gets in: %+v", last)
	}

	block := regexp.MustCompile(`(?ms)^    kubectl apply -f - <<'END'\n(.*?)^    END\n`).FindStringSubmatch(document(t, page))
	if block == nil {
		t.Fatalf("%s applies nothing", page)
	}
	objects := strings.Split(regexp.MustCompile(`(?m)^    `).ReplaceAllString(block[1], ""), "---\n")
	if len(objects) != 3 {
		t.Fatalf("%d objects in\n%s", len(objects), block[1])
	}
	var service corev1.Service
	var policy networkingv1.NetworkPolicy
	var ingress networkingv1.Ingress
	for i, object := range []any{&service, &policy, &ingress} {
		must(t, yaml.UnmarshalStrict([]byte(objects[i]), object))
	}
	app := map[string]string{"app.kubernetes.io/name": "clairwatch"}
	if !maps.Equal(service.Spec.Selector, app) || !maps.Equal(policy.Spec.PodSelector.MatchLabels, app) {
		t.Errorf("they are about other pods: %+v, %+v", service.Spec, policy.Spec)
	}
	if service.Spec.Ports[0].TargetPort.IntVal != 8081 || policy.Spec.Ingress[0].Ports[0].Port.IntVal != 8081 {
		t.Errorf("other ports than that of the pages: %+v, %+v", service.Spec, policy.Spec)
	}
	if to := ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service; to.Name != service.Name || to.Port.Name != service.Spec.Ports[0].Name || len(ingress.Spec.TLS) != 1 {
		t.Errorf("it leads to %+v, with %+v", to, ingress.Spec.TLS)
	}
}

// TestOwnFolder builds the kustomizations of docs/install.md.
func TestOwnFolder(t *testing.T) {
	if testing.Short() {
		t.Skip("builds kubectl")
	}
	o := outline(t, patched(t, "docs/install.md", "What is in it"))
	if pod := o.pods["clairwatch"]; pod.Containers[0].Image != "registry.example.com/clairwatch:<TAG>" || len(pod.ImagePullSecrets) != 1 {
		t.Errorf("the pod of clairwatch has the image %s and %d pull secrets", pod.Containers[0].Image, len(pod.ImagePullSecrets))
	}
	if class := o.volume.StorageClassName; class == nil || *class != "standard" {
		t.Errorf("the volume has the class %v", class)
	}
	metrics := o.policies["clairwatch"].Ingress[0].From[1].NamespaceSelector.MatchLabels[corev1.LabelMetadataName]
	if metrics != "observability" {
		t.Errorf("metrics are for the namespace %q", metrics)
	}
	for name, policy := range o.policies {
		has := slices.ContainsFunc(policy.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return r.Ports[0].Port.IntVal == 5000 })
		if want := name != "postgres"; has != want {
			t.Errorf("%s gets to the registry: %v, want %v", name, has, want)
		}
	}

	o = outline(t, patched(t, "docs/install.md", "With GitOps"))
	if !strings.Contains(o.settings["shop"], "slackWebhookFile: shop") {
		t.Errorf("the settings are %q", o.settings)
	}
	named := false
	for _, v := range o.pods["clairwatch"].Volumes {
		named = named || v.ConfigMap != nil && strings.HasPrefix(v.ConfigMap.Name, "clairwatch-config-")
	}
	if !named {
		t.Errorf("no hash names the settings of the daemon: %+v", o.pods["clairwatch"].Volumes)
	}
}

// TestPrometheusRule pastes what docs/operating.md and deploy/alerts.yaml say of the Prometheus Operator.
func TestPrometheusRule(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash")
	}
	var rules struct{ Groups []any }
	must(t, yaml.Unmarshal([]byte(document(t, "deploy/alerts.yaml")), &rules))
	bin := t.TempDir()
	must(t, os.WriteFile(filepath.Join(bin, "kubectl"), []byte("#!/bin/sh\nexec cat\n"), 0o700))
	for name, indent := range map[string]string{"docs/operating.md": "    ", "deploy/alerts.yaml": "#   "} {
		block := regexp.MustCompile(`(?ms)^` + indent + `\{ cat <<'END'.*?^` + indent + `END\n`).FindString(document(t, name))
		if block == "" {
			t.Fatalf("%s does not say how to make a PrometheusRule", name)
		}
		command := exec.CommandContext(t.Context(), "bash", "-c", "set -euo pipefail\n"+regexp.MustCompile(`(?m)^`+indent).ReplaceAllString(block, ""))
		command.Dir, command.Env = filepath.Join("..", ".."), []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
		out, err := command.Output()
		must(t, err)
		var made struct {
			metav1.TypeMeta
			Metadata metav1.ObjectMeta
			Spec     struct{ Groups []any }
		}
		must(t, yaml.UnmarshalStrict(out, &made))
		if made.Kind != "PrometheusRule" || made.Metadata.Name == "" || len(rules.Groups) == 0 || !reflect.DeepEqual(made.Spec.Groups, rules.Groups) {
			t.Errorf("%s makes\n%s", name, out)
		}
	}
}
