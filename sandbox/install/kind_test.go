package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/sandbox"
)

// machine has stand-ins for docker and kind, which note what they are asked to do, and a kubectl that reaches the
// cluster of the test under the name that kind would have given it. Nothing there makes pods, so nobody waits for them.
type machine struct {
	*cluster
	dir string
}

// programs are the stand-ins; $STATE is where they keep what is there.
var programs = map[string]string{
	"docker": `echo "docker $*" >>"$STATE/calls"
case "$*" in
"inspect kind-registry") test -e "$STATE/registry" ;;
"inspect -f {{.State.Running}} kind-registry") cat "$STATE/registry" ;;
"inspect -f {{json .NetworkSettings.Networks.kind}} kind-registry") cat "$STATE/network" 2>/dev/null || echo null ;;
"run -d "*) echo true >"$STATE/registry" ;;
"start kind-registry") echo true >"$STATE/registry" ;;
"network connect kind kind-registry") echo '{}' >"$STATE/network" ;;
"image inspect -f {{.Id}} localhost:5001/clairwatch:dev") echo sha256:$(cat "$STATE/id")0000 ;;
"exec -i "*) cat >"$STATE/hosts-$3" ;;
esac`,
	"kind": `echo "kind $*" >>"$STATE/calls"
case "$*" in
"get clusters") cat "$STATE/clusters" 2>/dev/null || echo 'No kind clusters found.' >&2 ;;
"create cluster --config deploy/kind/kind.yaml") echo clairwatch >"$STATE/clusters" ;;
"get nodes --name clairwatch") printf 'clairwatch-control-plane\nclairwatch-worker\n' ;;
esac`,
	"kubectl": `if [ "$1" = kustomize ]; then exec "$KUBECTL" "$@"; fi
if [ "$1 $2" != "--context kind-clairwatch" ]; then
  echo "another cluster: $*" >&2
  exit 1
fi
shift 2
case "$*" in
*" rollout status "*) echo "kubectl $*" >>"$STATE/calls" ;;
*) exec "$KUBECTL" "$@" ;;
esac`,
}

// up runs the script and returns what docker and kind were asked, and what people read.
func (m *machine) up(t *testing.T, webhook string, namespaces ...string) (calls []string, out string, err error) {
	t.Helper()
	kubectl, err := sandbox.BuildKubectl(t.Context(), nil)
	must(t, err)
	must(t, os.RemoveAll(filepath.Join(m.dir, "calls")))
	command := exec.CommandContext(t.Context(), deploy(t, "kind/up.sh"), namespaces...)
	command.Dir = t.TempDir() // wherever somebody is
	command.Env = []string{
		"PATH=" + filepath.Join(m.dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + m.dir, "STATE=" + m.dir,
		"KUBECTL=" + kubectl, "KUBECONFIG=" + m.AdminKubeconfig, "SLACK_WEBHOOK_URL=" + webhook,
	}
	text, err := command.CombinedOutput()
	said, readErr := os.ReadFile(filepath.Join(m.dir, "calls"))
	if readErr != nil && !os.IsNotExist(readErr) {
		t.Fatal(readErr)
	}
	return strings.Split(strings.TrimSpace(string(said)), "\n"), string(text), err
}

// TestKind runs deploy/kind/up.sh.
func TestKind(t *testing.T) {
	for _, program := range []string{"bash", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s", program)
		}
	}
	m := &machine{cluster: start(t), dir: t.TempDir()}
	must(t, os.Mkdir(filepath.Join(m.dir, "bin"), 0o700))
	for name, text := range programs {
		must(t, os.WriteFile(filepath.Join(m.dir, "bin", name), []byte("#!/bin/sh\nset -e\n"+text+"\n"), 0o700))
	}
	id := func(id string) { must(t, os.WriteFile(filepath.Join(m.dir, "id"), []byte(id), 0o600)) }
	const webhook = "https://hooks.slack.example/services/T0/B0/x"

	if calls, out, err := m.up(t, "", "shop"); err == nil || calls[0] != "" || !strings.Contains(out, "SLACK_WEBHOOK_URL") {
		t.Errorf("it starts without a webhook: %v, %q\n%s", err, calls, out)
	}
	id("0123456789ab")
	calls, out, err := m.up(t, webhook, "shop", "web")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{
		"docker run -d --restart=always -p 127.0.0.1:5001:5000 --name kind-registry docker.io/library/registry:3",
		"kind create cluster --config deploy/kind/kind.yaml",
		"docker network connect kind kind-registry",
		"docker build -t localhost:5001/clairwatch:dev .",
		"docker push localhost:5001/clairwatch:0123456789ab",
	} {
		if !slices.Contains(calls, want) {
			t.Errorf("nobody ran %s", want)
		}
	}
	for _, node := range []string{"control-plane", "worker"} {
		hosts, err := os.ReadFile(filepath.Join(m.dir, "hosts-clairwatch-"+node))
		if must(t, err); string(hosts) != "[host.\"http://kind-registry:5000\"]\n" {
			t.Errorf("%s reads %q", node, hosts)
		}
	}
	if strings.Contains(out+strings.Join(calls, ""), webhook) {
		t.Error("the webhook is shown")
	}
	m.runs(t, "0123456789ab")
	m.watches(t, webhook, "shop", "web")
	m.policies(t)

	// The next day, with a new image, and without a word about settings.
	m.kubectl(t, "-n", "clairwatch", "patch", "secret", "clairwatch", "-p", `{"stringData": {"config.json": "{}"}}`)
	must(t, os.WriteFile(filepath.Join(m.dir, "registry"), []byte("false\n"), 0o600))
	id("ba9876543210")
	before := m.users(t)
	calls, out, err = m.up(t, "")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m.runs(t, "ba9876543210")
	if after := m.users(t); after != before {
		t.Errorf("a second run made\n%s\nof\n%s", after, before)
	}
	for _, call := range calls {
		if strings.HasPrefix(call, "docker run ") || strings.HasPrefix(call, "kind create ") || strings.HasPrefix(call, "docker network connect ") {
			t.Errorf("made again: %s", call)
		}
	}
	if !slices.Contains(calls, "docker start kind-registry") {
		t.Error("the registry, which had stopped, was not started")
	}

	// The same command again, after somebody has edited what it made.
	m.kubectl(t, "-n", "clairwatch", "patch", "configmap", "clairwatch", "-p", `{"data": {"shop": "", "other": "\"web\": {}"}}`)
	before = m.users(t)
	if _, out, err = m.up(t, webhook, "shop"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if after := m.users(t); after != before {
		t.Errorf("a third run made\n%s\nof\n%s", after, before)
	}
}

// runs looks for the image, and for the settings beside it.
func (m *machine) runs(t *testing.T, tag string) {
	t.Helper()
	deployment, err := m.admin.AppsV1().Deployments("clairwatch").Get(t.Context(), "clairwatch", metav1.GetOptions{})
	must(t, err)
	pod := deployment.Spec.Template.Spec
	if got := pod.Containers[0].Image; got != "localhost:5001/clairwatch:"+tag {
		t.Errorf("it runs %s", got)
	}
	for _, v := range pod.Volumes {
		if v.ConfigMap == nil {
			continue
		}
		config, err := m.admin.CoreV1().ConfigMaps("clairwatch").Get(t.Context(), v.ConfigMap.Name, metav1.GetOptions{})
		must(t, err)
		text, err := os.ReadFile(deploy(t, "kind/config.yaml"))
		must(t, err)
		if config.Data["config.yaml"] != string(text) {
			t.Errorf("the daemon's settings are %q", config.Data)
		}
		return
	}
	t.Error("no settings of the daemon are mounted")
}

// watches reads the settings that the script has made.
func (m *machine) watches(t *testing.T, webhook string, namespaces ...string) {
	t.Helper()
	secret, err := m.admin.CoreV1().Secrets("clairwatch").Get(t.Context(), "clairwatch", metav1.GetOptions{})
	must(t, err)
	if got := string(secret.Data["slack"]); got != webhook {
		t.Errorf("the webhook is %q", got)
	}
	scanners, err := m.admin.CoreV1().ConfigMaps("clairwatch").Get(t.Context(), "clairwatch", metav1.GetOptions{})
	must(t, err)
	for _, namespace := range namespaces {
		var scanner map[string]string
		must(t, yaml.UnmarshalStrict([]byte(scanners.Data[namespace]), &scanner))
		if len(scanner) != 4 || scanner["slackWebhookFile"] != "slack" {
			t.Errorf("%s has the Scanner %v", namespace, scanner)
		}
		_, err := m.admin.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
		must(t, err)
	}
	password, err := m.admin.CoreV1().Secrets("clair").Get(t.Context(), "clair-database", metav1.GetOptions{})
	must(t, err)
	if got := password.Data["password"]; !regexp.MustCompile(`^[0-9a-f]{64}$`).Match(got) {
		t.Errorf("the password of the database is %d bytes of something else", len(got))
	}
}

// policies looks for the way to the registry.
func (m *machine) policies(t *testing.T) {
	t.Helper()
	for namespace, want := range map[string]bool{"clairwatch/clairwatch": true, "clair/clair": true, "clair/postgres": false} {
		namespace, name, _ := strings.Cut(namespace, "/")
		policy, err := m.admin.NetworkingV1().NetworkPolicies(namespace).Get(t.Context(), name, metav1.GetOptions{})
		must(t, err)
		got := slices.ContainsFunc(policy.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
			return len(r.To) > 0 && slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntVal == 5000 })
		})
		if got != want {
			t.Errorf("%s may go to the registry: %v, want %v", name, got, want)
		}
	}
}
