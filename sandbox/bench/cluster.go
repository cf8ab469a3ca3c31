package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// atOnce is how many requests fill the API server at once.
const atOnce = 16

// cluster is a running API server with pods, and all that clairwatch asks.
type cluster struct {
	*sandbox.Sandbox
	load     load
	say      func(string, ...any)
	client   kubernetes.Interface
	binary   string
	config   string // path of clairwatch's config.yaml
	clair    *clairStand
	registry *registryStand
	slack    *slackstand.Server
	servers  []*httptest.Server
	podBytes int // of the first pod, as the API server has it
	daemon   *sandbox.Process
}

// start sets everything up but clairwatch itself.
func start(ctx context.Context, l load, say func(string, ...any)) (*cluster, error) {
	box, err := sandbox.Start(ctx, sandbox.Options{Parts: []sandbox.Part{sandbox.APIServer}, Log: say})
	if err != nil {
		return nil, err
	}
	c := &cluster{Sandbox: box, load: l, say: say}
	if err := c.setUp(ctx); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// stop ends all of it.
func (c *cluster) stop() error {
	err := c.Stop()
	for _, server := range c.servers {
		server.Close()
	}
	if c.slack != nil {
		c.slack.Close()
	}
	return err
}

func (c *cluster) setUp(ctx context.Context) error {
	var err error
	if c.client, err = kubernetes.NewForConfig(c.AdminConfig()); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	c.say("building clairwatch")
	if c.binary, err = stage.Build(ctx, filepath.Join(c.Dir, "clairwatch"), false); err != nil {
		return err
	}
	numbers, manifests := make(map[string]int), make(map[string]string)
	for n := range c.load.images {
		text, digest := imageManifest(n)
		numbers[digest], manifests[digest] = n, text
	}
	c.clair = newClairStand(numbers, c.load.findings)
	c.registry = &registryStand{manifests: manifests, counts: make(map[string]int)}
	c.slack = slackstand.Serve(slackstand.Config{})
	clair, registry := httptest.NewServer(c.clair), httptest.NewServer(c.registry)
	c.servers = append(c.servers, clair, registry)
	root, err := stage.Root(ctx)
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, filepath.Join(root, "deploy", "clairwatch.yaml")); err != nil {
		return err
	}
	if c.load.annotated {
		if err := c.Apply(ctx, filepath.Join(root, "deploy", "annotate.yaml")); err != nil {
			return err
		}
	}
	host := strings.TrimPrefix(registry.URL, "http://")
	if err := c.writeConfig(ctx, host); err != nil {
		return err
	}
	c.say("making %d pods", c.load.pods)
	if err := c.fill(ctx, host); err != nil {
		return err
	}
	return c.watchAll(ctx, clair.URL)
}

// writeConfig writes what clairwatch has to be told of this cluster; all else is as it ships.
func (c *cluster) writeConfig(ctx context.Context, registry string) error {
	kubeconfig, err := c.Kubeconfig(ctx, stage.Namespace, stage.Namespace)
	if err != nil {
		return err
	}
	if err := c.slack.WriteCA(filepath.Join(c.Dir, "slack-ca.pem")); err != nil {
		return err
	}
	text, err := yaml.Marshal(map[string]any{
		"kubeconfig":   kubeconfig,
		"namespace":    stage.Namespace,
		"listen":       c.DaemonAddr,
		"web":          map[string]any{"listen": "127.0.0.1:0"},
		"dockerConfig": "",
		"slackHosts":   []string{strings.TrimPrefix(c.slack.URL(), "https://")},
		"registries":   []map[string]any{{"host": registry, "insecure": true}},
		"annotatePods": c.load.annotated,
		"metrics":      map[string]any{"images": c.load.imageMetrics},
	})
	if err != nil {
		return fmt.Errorf("writing the settings of clairwatch: %w", err)
	}
	c.config = filepath.Join(c.Dir, "config.yaml")
	return os.WriteFile(c.config, text, 0o600)
}

// namespaceOf is the namespace of an image, by its number.
func (c *cluster) namespaceOf(number int) string {
	return fmt.Sprintf("team-%d", number%c.load.namespaces)
}

// fill makes a node, the namespaces, and pods that run.
func (c *cluster) fill(ctx context.Context, registry string) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"}}}
	if _, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making a node: %w", err)
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for n := range c.load.namespaces {
		group.Go(func() error {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.namespaceOf(n)}}
			_, err := c.client.CoreV1().Namespaces().Create(within, namespace, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("making the namespaces: %w", err)
	}
	return c.fillPods(ctx, registry)
}

// fillPods makes the pods. The first is made by the API server, as any client would have it made, and is what the others
// are made of: they are written into etcd, because the API server would take hours of CPU for 100,000.
func (c *cluster) fillPods(ctx context.Context, registry string) error {
	first, err := c.firstPod(ctx, registry)
	if err != nil {
		return fmt.Errorf("making the first pod: %w", err)
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for n := 1; n < c.load.pods; n++ {
		group.Go(func() error { return c.putPod(within, c.podNumber(first, registry, n)) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("making the pods: %w", err)
	}
	return nil
}

// firstPod has the API server make the first pod, and measures it.
func (c *cluster) firstPod(ctx context.Context, registry string) (*corev1.Pod, error) {
	root, err := stage.Root(ctx)
	if err != nil {
		return nil, err
	}
	sample, err := samplePod(root)
	if err != nil {
		return nil, err
	}
	first := c.podNumber(sample, registry, 0)
	pods := c.client.CoreV1().Pods(c.namespaceOf(0))
	pod, err := pods.Create(ctx, first, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	pod.Status = first.Status // which a client that makes a pod cannot set
	if pod, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		return nil, err
	}
	text, err := pod.Marshal()
	c.podBytes = len(text)
	return pod, err
}

// podNumber is one of the pods, made of a sample.
func (c *cluster) podNumber(sample *corev1.Pod, registry string, n int) *corev1.Pod {
	number := n % c.load.images
	_, digest := imageManifest(number)
	app := fmt.Sprintf("app-%d", number)
	repository := registry + "/" + c.namespaceOf(number) + "/" + app
	return podLike(sample, identity{
		namespace: c.namespaceOf(number), app: app, number: n, image: repository + ":1.27.3", imageID: repository + "@" + digest,
		manifest: digest, annotated: c.load.annotated,
	})
}

// watchAll has each namespace told to a channel of its own.
func (c *cluster) watchAll(ctx context.Context, clair string) error {
	keys := make(map[string]string)
	for n := range c.load.namespaces {
		keys[c.namespaceOf(n)] = fmt.Sprintf("backend: clair\nnotifier: slack\nclairBaseUrl: %s/\nslackWebhookUrl: %s\n", clair, c.slack.Webhook(c.namespaceOf(n)))
	}
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: stage.Namespace, Name: stage.Namespace}, Data: keys}
	if _, err := c.client.CoreV1().ConfigMaps(stage.Namespace).Update(ctx, settings, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("writing the settings: %w", err)
	}
	return nil
}
