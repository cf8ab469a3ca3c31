package load

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// atOnce is how many requests fill the API server at once.
const atOnce = 16

// NamespaceOf is the namespace, and the channel, of an app, by its number.
func (c *Cluster) NamespaceOf(app int) string {
	if c.NumberOf != nil {
		return namespace(c.NumberOf(app))
	}
	return namespace(app % c.Namespaces)
}

// namespace is one, by its number.
func namespace(n int) string { return fmt.Sprintf("team-%d", n) }

// fill makes a node, the namespaces, and pods that run.
func (c *Cluster) fill(ctx context.Context) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"}}}
	if _, err := c.Client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making a node: %w", err)
	}
	err := together(ctx, c.Namespaces, func(ctx context.Context, n int) error {
		made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace(n)}}
		_, err := c.Client.CoreV1().Namespaces().Create(ctx, made, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("making the namespaces: %w", err)
	}
	return c.fillPods(ctx)
}

// together does something n times, [atOnce] at once.
func together(ctx context.Context, n int, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range n {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// fillPods makes the pods. The first is made by the API server, as any client would have it made, and is what the others
// are made of: those are written into etcd, because the API server would take many times as long for them as all that is
// measured.
func (c *Cluster) fillPods(ctx context.Context) error {
	var err error
	if c.first, err = c.firstPod(ctx); err != nil {
		return fmt.Errorf("making the first pod: %w", err)
	}
	err = together(ctx, c.Pods-1, func(ctx context.Context, n int) error {
		return c.putPod(ctx, c.podOf(c.first, n+1, 0))
	})
	if err != nil {
		return fmt.Errorf("making the pods: %w", err)
	}
	return nil
}

// firstPod has the API server make the first pod, and measures it.
func (c *Cluster) firstPod(ctx context.Context) (*corev1.Pod, error) {
	root, err := stage.Root(ctx)
	if err != nil {
		return nil, err
	}
	sample, err := samplePod(root)
	if err != nil {
		return nil, err
	}
	pod, err := c.createPod(ctx, c.podOf(sample, 0, 0))
	if err != nil {
		return nil, err
	}
	text, err := pod.Marshal()
	c.PodBytes = len(text)
	return pod, err
}

// createPod has the API server make a pod, and then says for a kubelet that it runs.
func (c *Cluster) createPod(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	pods := c.Client.CoreV1().Pods(pod.Namespace)
	made, err := pods.Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	made.Status = pod.Status // which a client that makes a pod cannot set
	return pods.UpdateStatus(ctx, made, metav1.UpdateOptions{})
}

// podOf is one of the pods, by its number, with a version of its app's image. It is made of a sample.
func (c *Cluster) podOf(sample *corev1.Pod, n, version int) *corev1.Pod {
	number := n % c.Images
	_, digest := imageManifest(number + version*c.Images)
	app := fmt.Sprintf("app-%d", number)
	repository := c.host + "/" + c.NamespaceOf(number) + "/" + app
	return podLike(sample, identity{
		namespace: c.NamespaceOf(number), app: app, number: n, image: fmt.Sprintf("%s:1.27.%d", repository, 3+version),
		imageID: repository + "@" + digest, manifest: digest, annotated: c.Annotated,
	})
}

// watchAll has each namespace told to a channel of its own.
func (c *Cluster) watchAll(ctx context.Context) error {
	keys := make(map[string]string)
	for n := range c.Namespaces {
		keys[namespace(n)] = c.Scanner(n)
	}
	return c.WriteSettings(ctx, keys)
}

// Scanner is the text of the settings of a namespace, by its number, which has a channel of its own.
func (c *Cluster) Scanner(n int) string { return c.ScannerTo(n, namespace(n)) }

// ScannerTo is the same, to another channel.
func (c *Cluster) ScannerTo(n int, channel string) string {
	return fmt.Sprintf("backend: clair\nnotifier: slack\nclairBaseUrl: %s\nslackWebhookUrl: %s\n", c.ClairURL(n), c.Slack.Webhook(channel))
}

// ClairURL is the address of the Clair of a namespace, by the namespace's number.
func (c *Cluster) ClairURL(n int) string { return c.clairURLs[n%len(c.clairURLs)] }

// WriteSettings replaces all keys of the settings ConfigMap.
func (c *Cluster) WriteSettings(ctx context.Context, keys map[string]string) error {
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: stage.Namespace, Name: stage.Namespace}, Data: keys}
	if _, err := c.Client.CoreV1().ConfigMaps(stage.Namespace).Update(ctx, settings, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("writing the settings: %w", err)
	}
	return nil
}
