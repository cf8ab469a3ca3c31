// Package install applies the files of deploy/ to a real API server, as users do.
package install

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/sandbox"
)

const (
	daemonFile = "clairwatch.yaml"
	clairFile  = "clair.yaml"
)

// namespaced are the files that are applied to a namespace of the user's; the others say themselves where they belong.
var namespaced = []string{"pull-secrets-namespace.yaml"}

// deploy is the path of a file of deploy/, absolute because kubectl shows it.
func deploy(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "deploy", name))
	must(t, err)
	return path
}

// cluster is an API server that somebody installs clairwatch in.
type cluster struct {
	*sandbox.Sandbox
	admin kubernetes.Interface
}

func start(t *testing.T) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("starts an API server")
	}
	box, err := sandbox.Start(t.Context(), sandbox.Options{Parts: []sandbox.Part{sandbox.APIServer}, Log: t.Logf})
	must(t, err)
	t.Cleanup(func() { must(t, box.Stop()) })
	admin, err := kubernetes.NewForConfig(box.AdminConfig())
	must(t, err)
	return &cluster{Sandbox: box, admin: admin}
}

// kubectl runs it; a warning of the API server's is an error.
func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(t.Context(), append(args, "--warnings-as-errors")...)
	must(t, err)
	return out
}

// apply does it in the usual way: kubectl works out what changes.
func (c *cluster) apply(t *testing.T, args ...string) string {
	t.Helper()
	return c.kubectl(t, append([]string{"apply", "--validate=strict"}, args...)...)
}

// TestApply installs everything, then the next version of it.
func TestApply(t *testing.T) {
	c := start(t)
	both := []string{"-f", deploy(t, daemonFile), "-f", deploy(t, clairFile)}
	onlySays(t, c.apply(t, both...), "created")
	onlySays(t, c.apply(t, both...), "unchanged")
	onlySays(t, c.apply(t, "-k", deploy(t, "")), "unchanged") // it is the same
	t.Run("other files", c.otherFiles)
	t.Run("admission", c.admission)
	t.Run("next version", func(t *testing.T) { c.nextVersion(t, "apply") })
}

// TestApplyServerSide does the same in the other order, by the other way that kubectl has.
func TestApplyServerSide(t *testing.T) {
	c := start(t)
	server := func(args ...string) { c.apply(t, append([]string{"--server-side"}, args...)...) }
	server("-f", deploy(t, clairFile), "-f", deploy(t, daemonFile))
	before := c.installed(t)
	server("-f", deploy(t, clairFile), "-f", deploy(t, daemonFile))
	server("-k", deploy(t, ""))
	if after := c.installed(t); after != before {
		t.Errorf("applying it again made\n%s\nof\n%s", after, before)
	}
	t.Run("next version", func(t *testing.T) { c.nextVersion(t, "apply", "--server-side") })
}

// onlySays fails where kubectl says something else of an object.
func onlySays(t *testing.T, out, word string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines {
		if !strings.HasSuffix(line, " "+word) {
			t.Errorf("%s, want it %s", line, word)
		}
	}
	if len(lines) < 15 {
		t.Errorf("kubectl names %d objects only", len(lines))
	}
}

// otherFiles applies what is opt-in, each once more.
func (c *cluster) otherFiles(t *testing.T) {
	_, err := c.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{})
	must(t, err)
	files, err := filepath.Glob(deploy(t, "*.yaml"))
	must(t, err)
	seen := 0
	for _, file := range files {
		name := filepath.Base(file)
		if slices.Contains([]string{daemonFile, clairFile, "kustomization.yaml"}, name) || !ofKubernetes(t, file) {
			continue
		}
		args := []string{"-f", file}
		if slices.Contains(namespaced, name) {
			args = append(args, "-n", "shop")
		}
		c.apply(t, args...)
		for line := range strings.Lines(c.apply(t, args...)) {
			if !strings.HasSuffix(strings.TrimSpace(line), " unchanged") {
				t.Errorf("%s, again: %s", name, line)
			}
		}
		seen++
	}
	if seen < 2 {
		t.Errorf("saw only %d further files", seen)
	}
}

// ofKubernetes says whether all objects of a file are of kinds that each cluster has.
func ofKubernetes(t *testing.T, file string) bool {
	t.Helper()
	for _, document := range documents(t, file) {
		var kind metav1.TypeMeta
		must(t, yaml.Unmarshal([]byte(document), &kind))
		group, _, named := strings.Cut(kind.APIVersion, "/")
		if kind.Kind == "" || named && strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") {
			t.Logf("%s has a %s of %q, which a cluster may not know", filepath.Base(file), kind.Kind, kind.APIVersion)
			return false
		}
	}
	return true
}

// documents are those of a file.
func documents(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	return strings.Split(string(text), "\n---\n")
}

// admission has the API server admit a pod of each template, which the controllers would make: a Deployment whose
// pods break the rules of its namespace is applied all the same.
func (c *cluster) admission(t *testing.T) {
	ctx, dry := t.Context(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
	// Whoever is warned of something is told, too.
	var warned warnings
	config := c.AdminConfig()
	config.WarningHandler = &warned
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	for namespace, want := range map[string]int{"clairwatch": 1, "clair": 2} {
		templates := make(map[string]corev1.PodTemplateSpec)
		deployments, err := client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		must(t, err)
		for _, d := range deployments.Items {
			templates[d.Name] = d.Spec.Template
		}
		sets, err := client.AppsV1().StatefulSets(namespace).List(ctx, metav1.ListOptions{})
		must(t, err)
		for _, s := range sets.Items {
			templates[s.Name] = s.Spec.Template
		}
		if len(templates) != want {
			t.Errorf("%s has %d templates of pods, want %d", namespace, len(templates), want)
		}
		for name, template := range templates {
			pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
			pod.Name = name + "-0"
			if _, err := client.CoreV1().Pods(namespace).Create(ctx, pod, dry); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			// The namespace has the rules that were meant.
			pod.Spec.SecurityContext.RunAsNonRoot = new(bool)
			if _, err := client.CoreV1().Pods(namespace).Create(ctx, pod, dry); !apierrors.IsForbidden(err) {
				t.Errorf("%s: %v for one that may be root", name, err)
			}
		}
	}
	if len(warned) > 0 {
		t.Errorf("the API server warns: %q", warned)
	}
}

type warnings []string

var _ rest.WarningHandler = (*warnings)(nil)

func (w *warnings) HandleWarningHeader(_ int, _, text string) { *w = append(*w, text) }

// nextVersion is what happens to the user's settings when a newer manifest comes.
func (c *cluster) nextVersion(t *testing.T, how ...string) {
	ctx := t.Context()
	c.kubectl(t, "-n", "clairwatch", "patch", "configmap", "clairwatch", "-p", `{"data": {"shop": "backend: clair\n"}}`)
	for _, secret := range []struct{ namespace, name, key string }{
		{"clairwatch", "clairwatch", "config.json"}, {"clair", "clair", "psk.yaml"}, {"clair", "clair-database", "password"},
	} {
		c.kubectl(t, "-n", secret.namespace, "create", "secret", "generic", secret.name, "--from-literal="+secret.key+"=user's")
	}
	c.kubectl(t, "-n", "clairwatch", "create", "configmap", "clairwatch-config", "--from-literal=config.yaml=cluster: user's")
	before := c.users(t)

	next := make([]string, 0, 2)
	for _, name := range []string{daemonFile, clairFile} {
		text, err := os.ReadFile(deploy(t, name))
		must(t, err)
		newer := regexp.MustCompile(`(?m)^( +image: \S+:)\S+`).ReplaceAllString(string(text), "${1}next")
		newer = strings.ReplaceAll(newer, "app.kubernetes.io/name: clairwatch\n---", "app.kubernetes.io/name: clairwatch\n    next: version\n---")
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, []byte(newer), 0o600))
		next = append(next, "-f", path)
	}
	c.kubectl(t, append(how, next...)...)

	if after := c.users(t); after != before {
		t.Errorf("what is the user's became\n%s\nof\n%s", after, before)
	}
	for _, d := range []struct{ namespace, name string }{{"clairwatch", "clairwatch"}, {"clair", "clair"}} {
		deployment, err := c.admin.AppsV1().Deployments(d.namespace).Get(ctx, d.name, metav1.GetOptions{})
		must(t, err)
		if image := deployment.Spec.Template.Spec.Containers[0].Image; !strings.HasSuffix(image, ":next") {
			t.Errorf("the newer version of %s changes nothing: %s", d.name, image)
		}
	}
	settings, err := c.admin.CoreV1().ConfigMaps("clairwatch").Get(ctx, "clairwatch", metav1.GetOptions{})
	must(t, err)
	if settings.Labels["next"] == "" {
		t.Error("the newer version of the settings ConfigMap was not applied")
	}
}

// users is what users have written.
func (c *cluster) users(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	maps, err := c.admin.CoreV1().ConfigMaps("clairwatch").List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for _, m := range maps.Items {
		fmt.Fprintf(&all, "%s: %q\n", m.Name, m.Data)
	}
	for _, namespace := range []string{"clairwatch", "clair"} {
		secrets, err := c.admin.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{})
		must(t, err)
		for _, s := range secrets.Items {
			fmt.Fprintf(&all, "%s/%s: %q\n", namespace, s.Name, s.Data)
		}
	}
	return all.String()
}

// installed is all that was applied, but for the versions of objects: a write that changes nothing may make one.
func (c *cluster) installed(t *testing.T) string {
	t.Helper()
	const kinds = "serviceaccounts,roles,rolebindings,configmaps,deployments,statefulsets,services,networkpolicies,persistentvolumeclaims"
	all := c.kubectl(t, "get", "namespaces,clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/name", "-o", "yaml")
	for _, namespace := range []string{"clairwatch", "clair"} {
		all += c.kubectl(t, "get", "-n", namespace, kinds, "-o", "yaml")
	}
	if n := strings.Count(all, "\n    uid: "); n < 15 {
		t.Errorf("only %d objects were applied:\n%s", n, all)
	}
	return regexp.MustCompile(`resourceVersion: .*`).ReplaceAllString(all, "")
}

// TestKustomize builds what "kubectl apply -k deploy" applies, and what users make of it in a folder of their own.
func TestKustomize(t *testing.T) {
	if testing.Short() {
		t.Skip("builds kubectl")
	}
	plain := objects(t, kustomize(t, deploy(t, "")))
	var files []string
	for _, name := range []string{daemonFile, clairFile} {
		for _, document := range documents(t, deploy(t, name)) {
			files = append(files, identity(t, document))
		}
	}
	slices.Sort(files)
	if !slices.Equal(plain, files) {
		t.Errorf("the kustomization has\n%q, the files have\n%q", plain, files)
	}

	own := t.TempDir()
	relative, err := filepath.Rel(own, deploy(t, ""))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(own, "kustomization.yaml"), fmt.Appendf(nil, `
resources: [%q]
images:
  - {name: registry.example.com/clairwatch, newName: registry.acme.example/clairwatch, digest: "sha256:%064d"}
`, relative, 1), 0o600))
	text := kustomize(t, own)
	if want := fmt.Sprintf("image: registry.acme.example/clairwatch@sha256:%064d\n", 1); strings.Count(text, want) != 1 {
		t.Errorf("the user's image is not there: want %s", want)
	}
	if got := objects(t, text); !slices.Equal(got, plain) {
		t.Errorf("the user's kustomization has %q", got)
	}
}

// kustomize builds what a kustomization says.
func kustomize(t *testing.T, folder string, flags ...string) string {
	t.Helper()
	kubectl, err := sandbox.BuildKubectl(t.Context(), t.Logf)
	must(t, err)
	out, err := exec.CommandContext(t.Context(), kubectl, append([]string{"kustomize", folder}, flags...)...).Output()
	if failed, ok := err.(*exec.ExitError); ok {
		t.Fatalf("kubectl kustomize %s: %s", folder, failed.Stderr)
	}
	must(t, err)
	return string(out)
}

// objects are those of a manifest, sorted.
func objects(t *testing.T, manifest string) []string {
	t.Helper()
	var all []string
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		all = append(all, identity(t, document))
	}
	slices.Sort(all)
	return all
}

// identity names an object.
func identity(t *testing.T, document string) string {
	t.Helper()
	var object metav1.PartialObjectMetadata
	must(t, yaml.Unmarshal([]byte(document), &object))
	return object.Kind + " " + object.Namespace + "/" + object.Name
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
