// Package stage sets the sandbox up as a cluster that clairwatch watches: nodes, a stand-in for the
// kubelet, images in the registries, a Clair with vulnerability data, a stand-in for Slack, and the
// daemon itself, installed by the manifest that users apply.
package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/kubelet"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// Namespace is where the manifest installs clairwatch; its settings ConfigMap and its ServiceAccount
// have the same name.
const Namespace = "clairwatch"

// Options say what the stage is set up with.
type Options struct {
	// Log is told in a line what happens. Nil: nobody is.
	Log func(format string, args ...any)
	// Keep leaves the folder with logs and data in place.
	Keep bool
	// Race builds the daemon with the race detector, and has client-go look for changes to its cache.
	Race bool
	// NoData leaves Clair without vulnerability data.
	NoData bool
	// PSK is the key that Clair shares with its clients; nil: none. See [sandbox.Options].
	PSK []byte
	// Annotate applies deploy/annotate.yaml, and has every daemon annotate pods. AnnotateVariable does so for all stages.
	Annotate bool
}

// AnnotateVariable is the environment variable that has all stages annotate pods where it is 1, to see that what is about
// something else still passes: CLAIRWATCH_ANNOTATE=1 go test -race -count=1 ./disclosure
const AnnotateVariable = "CLAIRWATCH_ANNOTATE"

// Stage is a running cluster. Its methods, but Push, may be called concurrently.
type Stage struct {
	*sandbox.Sandbox
	// Client may do everything in the cluster.
	Client kubernetes.Interface
	// Slack is the stand-in for Slack.
	Slack *slackstand.Server
	// Kubelet is the stand-in for the kubelets.
	Kubelet *kubelet.Kubelet

	binary   string // the daemon
	race     bool
	annotate bool
	samples  map[string]string
	imports  atomic.Int32 // of vulnerabilities so far
}

// Start sets everything up but the daemon. All of it ends with ctx, or by Stop.
func Start(ctx context.Context, o Options) (*Stage, error) {
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	box, err := sandbox.Start(ctx, sandbox.Options{Log: o.Log, Keep: o.Keep, PSK: o.PSK})
	if err != nil {
		return nil, err
	}
	s := &Stage{Sandbox: box, race: o.Race, annotate: o.Annotate || os.Getenv(AnnotateVariable) == "1", samples: make(map[string]string)}
	if err := s.setUp(ctx, o); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Stop ends everything and removes the folder.
func (s *Stage) Stop() error {
	if s.Slack != nil {
		defer s.Slack.Close()
	}
	return s.Sandbox.Stop()
}

func (s *Stage) setUp(ctx context.Context, o Options) error {
	s.Slack = slackstand.Serve(slackstand.Config{})
	if err := s.Slack.WriteCA(s.path("slack-ca.pem")); err != nil {
		return err
	}
	var err error
	if s.Client, err = kubernetes.NewForConfig(s.AdminConfig()); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	root, err := Root(ctx)
	if err != nil {
		return err
	}
	o.Log("building clairwatch")
	if s.binary, err = Build(ctx, s.path("clairwatch"), o.Race); err != nil {
		return err
	}
	o.Log("pushing the sample images")
	if err := s.push(ctx); err != nil {
		return err
	}
	if !o.NoData {
		o.Log("importing vulnerabilities into Clair")
		if err := s.Import(ctx, vulnerability.First); err != nil {
			return err
		}
	}
	s.Kubelet = kubelet.New(s.Client, s.PushKeychain())
	for node, arch := range map[string]string{"node-amd64": "amd64", "node-arm64": "arm64"} {
		if err := s.Kubelet.AddNode(ctx, node, arch); err != nil {
			return err
		}
	}
	go func() {
		if err := s.Kubelet.Run(ctx); err != nil {
			o.Log("%v", err)
		}
	}()
	o.Log("applying deploy/clairwatch.yaml")
	if err := s.Apply(ctx, filepath.Join(root, "deploy", "clairwatch.yaml")); err != nil || !s.annotate {
		return err
	}
	o.Log("applying deploy/annotate.yaml")
	return s.Apply(ctx, filepath.Join(root, "deploy", "annotate.yaml"))
}

func (s *Stage) path(name string) string { return filepath.Join(s.Dir, name) }

// Root is the folder of the source of clairwatch itself, which this module replaces its requirement with.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/clairwatch/clairwatch/sandbox").Output()
	if err != nil {
		return "", fmt.Errorf("finding the source of clairwatch (run this in the folder sandbox): %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Build compiles the daemon to a path, which it returns, and with the race detector if that is wanted.
func Build(ctx context.Context, binary string, race bool) (string, error) {
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	args := []string{"build", "-C", root, "-o", binary}
	if race {
		args = append(args, "-race")
	}
	if out, err := exec.CommandContext(ctx, "go", append(args, ".")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building clairwatch: %w\n%s", err, out)
	}
	return binary, nil
}

// pushes is how many images are uploaded at once.
const pushes = 4

// push puts the sample images into the registries.
func (s *Stage) push(ctx context.Context) error {
	samples, err := image.Samples()
	if err != nil {
		return err
	}
	return s.Push(ctx, samples...)
}

// Push puts images into the registries, where [Stage.Image] finds them by name.
func (s *Stage) Push(ctx context.Context, samples ...image.Sample) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pushes)
	for _, sample := range samples {
		host := s.RegistryHost
		if sample.Private {
			host = s.PrivateRegistryHost
		}
		ref := host + "/" + sample.Name
		group.Go(func() error {
			_, err := image.Push(ctx, ref, sample.Artifact, s.PushKeychain())
			return err
		})
		s.samples[sample.Name] = ref
	}
	return group.Wait()
}

// Image is a sample image as pods name it.
func (s *Stage) Image(sample string) string { return s.samples[sample] }

// Binary is the path of the daemon's program.
func (s *Stage) Binary() string { return s.binary }

// ManifestDigest is the digest of the manifest that a sample with several platforms has for one.
func (s *Stage) ManifestDigest(ctx context.Context, sample, arch string) (string, error) {
	ref, err := name.ParseReference(s.Image(sample), name.Insecure)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", sample, err)
	}
	platform := v1.Platform{OS: "linux", Architecture: arch}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithPlatform(platform), remote.WithAuthFromKeychain(s.PushKeychain()))
	if err != nil {
		return "", fmt.Errorf("image %s for %s: %w", sample, arch, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("image %s for %s: %w", sample, arch, err)
	}
	return digest.String(), nil
}

// Import gives the stage's own Clair the vulnerabilities of an edition.
func (s *Stage) Import(ctx context.Context, edition vulnerability.Edition) error {
	return s.ImportInto(ctx, s.Clair(), edition)
}

// ImportInto gives a Clair the vulnerabilities of an edition.
func (s *Stage) ImportInto(ctx context.Context, clair *sandbox.ClairServer, edition vulnerability.Edition) error {
	facts, err := vulnerability.Facts(edition)
	if err != nil {
		return err
	}
	return s.ImportFacts(ctx, clair, facts)
}

// ImportFacts gives a Clair a bundle of vulnerabilities: what [vulnerability.Write] makes of them.
func (s *Stage) ImportFacts(ctx context.Context, clair *sandbox.ClairServer, facts []vulnerability.Fact) error {
	// Each import is newer than the one before: Clair skips what it has seen.
	n := int(s.imports.Add(1))
	path := s.path(fmt.Sprintf("vulnerabilities-%d.json.gz", n))
	modified := time.Date(2024, 8, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n)
	if err := vulnerability.WriteFile(path, facts, modified); err != nil {
		return err
	}
	return clair.ImportBundle(ctx, path)
}

// Scanner is the settings of a namespace whose messages go to a channel of the Slack stand-in.
func (s *Stage) Scanner(channel string) string { return scanner(s.ClairURL, s.Slack.Webhook(channel)) }

func scanner(clair, webhook string) string {
	return fmt.Sprintf("backend: clair\nnotifier: slack\nclairBaseUrl: %s\nslackWebhookUrl: %s\n", clair, webhook)
}

// Watch writes a namespace's key into the settings ConfigMap, as a user who edits it would. An empty
// text removes the key.
func (s *Stage) Watch(ctx context.Context, namespace, text string) error {
	return s.edit(ctx, func(keys map[string]string) {
		keys[namespace] = text
		if text == "" {
			delete(keys, namespace)
		}
	})
}

// WatchOnly replaces all keys of the settings ConfigMap.
func (s *Stage) WatchOnly(ctx context.Context, keys map[string]string) error {
	return s.edit(ctx, func(all map[string]string) {
		clear(all)
		maps.Copy(all, keys)
	})
}

// edit changes the keys of the settings ConfigMap.
func (s *Stage) edit(ctx context.Context, change func(keys map[string]string)) error {
	configMaps := s.Client.CoreV1().ConfigMaps(Namespace)
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		settings, err := configMaps.Get(ctx, Namespace, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("reading the settings: %w", err)
		}
		if settings.Data == nil {
			settings.Data = make(map[string]string)
		}
		change(settings.Data)
		_, err = configMaps.Update(ctx, settings, metav1.UpdateOptions{})
		return err
	})
}

// Workload is something that runs a sample image.
type Workload struct {
	Namespace, Name string
	// Image is the image as the pods name it.
	Image string
	// Volume is the reference of an image volume that they mount; empty means that they have none.
	Volume string
	// Pods is their number; zero means one.
	Pods int
	// Arch is the nodes' architecture; empty means amd64.
	Arch string
	// PullSecrets are the image pull secrets that the pods name.
	PullSecrets []string
}

// Run creates the pods of a workload, in a namespace that is made when it is missing.
func (s *Stage) Run(ctx context.Context, w Workload) error {
	if err := s.MakeNamespace(ctx, w.Namespace); err != nil {
		return err
	}
	_, err := w.replicas().Create(ctx, s.Client)
	return err
}

// Remove deletes the pods of a workload and waits until they are gone.
func (s *Stage) Remove(ctx context.Context, w Workload) error {
	r := w.replicas()
	if err := r.Delete(ctx, s.Client); err != nil {
		return err
	}
	own := metav1.ListOptions{LabelSelector: "app=" + w.Name}
	return Await(ctx, "the end of "+w.Namespace+"/"+w.Name, func() (bool, error) {
		left, err := s.Client.CoreV1().Pods(w.Namespace).List(ctx, own)
		if err != nil {
			return false, err
		}
		return len(left.Items) == 0, nil
	})
}

// RemoveAll deletes all pods of a namespace at once, without the time to end that a kubelet gives.
func (s *Stage) RemoveAll(ctx context.Context, namespace string) error {
	var now int64
	err := s.Client.CoreV1().Pods(namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("deleting the pods of namespace %s: %w", namespace, err)
	}
	return nil
}

// AwaitRunning waits until n pods of a workload run.
func (s *Stage) AwaitRunning(ctx context.Context, namespace, name string, n int) error {
	own := metav1.ListOptions{LabelSelector: "app=" + name}
	return Await(ctx, fmt.Sprintf("%d pods of %s/%s to run", n, namespace, name), func() (bool, error) {
		pods, err := s.Client.CoreV1().Pods(namespace).List(ctx, own)
		if err != nil {
			return false, err
		}
		running := 0
		for _, pod := range pods.Items {
			if pod.Status.Phase == corev1.PodRunning {
				running++
			}
		}
		return running >= n, nil
	})
}

func (w Workload) replicas() kubelet.Replicas {
	if w.Arch == "" {
		w.Arch = "amd64"
	}
	spec := corev1.PodSpec{
		NodeSelector: map[string]string{corev1.LabelArchStable: w.Arch},
		Containers:   []corev1.Container{{Name: "main", Image: w.Image}},
	}
	if w.Volume != "" {
		spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: w.Volume}}}}
		spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	}
	for _, name := range w.PullSecrets {
		spec.ImagePullSecrets = append(spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return kubelet.Replicas{
		Namespace:  w.Namespace,
		Deployment: w.Name,
		Hash:       "5d9c7b8f6d",
		Count:      max(w.Pods, 1),
		Spec:       spec,
	}
}

// MakeNamespace makes a namespace, unless there is one, with the default service account, which a controller would make.
func (s *Stage) MakeNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := s.Client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making namespace %s: %w", name, err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name}}
	if _, err := s.Client.CoreV1().ServiceAccounts(name).Create(ctx, account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the service account of namespace %s: %w", name, err)
	}
	return nil
}
