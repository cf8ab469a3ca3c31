// Package kubelet stands in for the kubelets and the scheduler of a cluster
// that is nothing but an API server: it makes nodes, binds pods to them and
// gives the pods the status that a kubelet with containerd would report. No
// container is ever started.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Like a kubelet's: a pull that failed is tried again after 10 seconds, then
// later and later, up to 5 minutes.
const (
	firstBackOff = 10 * time.Second
	lastBackOff  = 5 * time.Minute
)

// stepTimeout bounds the handling of one pod, its pulls included.
const stepTimeout = 30 * time.Second

// Kubelet is the stand-in for all kubelets of a cluster. Its methods may be
// called from several goroutines, also while [Kubelet.Run] runs.
type Kubelet struct {
	client   kubernetes.Interface
	keychain authn.Keychain

	mu     sync.Mutex
	nodes  []node            // in the order of AddNode
	next   int               // the node to begin with for the next pod
	forced map[string]string // image as a pod writes it -> imageID
}

type node struct {
	name   string
	arch   string
	labels labels.Set
}

// New makes a Kubelet that pulls with the credentials of keychain; nil means
// anonymously. Registries on loopback are asked over plain HTTP where they
// speak it.
func New(client kubernetes.Interface, keychain authn.Keychain) *Kubelet {
	if keychain == nil {
		keychain = authn.NewMultiKeychain() // knows no credentials
	}
	return &Kubelet{client: client, keychain: keychain, forced: map[string]string{}}
}

// AddNode makes a linux node of an architecture ("amd64", "arm64") and reports
// it ready. A node that exists already is kept.
func (k *Kubelet) AddNode(ctx context.Context, name, arch string) error {
	nodes := k.client.CoreV1().Nodes()
	made := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelOSStable:   "linux",
			corev1.LabelArchStable: arch,
			corev1.LabelHostname:   name,
		}},
		Spec: corev1.NodeSpec{ProviderID: "sandbox://" + name},
	}
	created, err := nodes.Create(ctx, made, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		created, err = nodes.Get(ctx, name, metav1.GetOptions{})
	}
	if err != nil {
		return fmt.Errorf("making node %s: %w", name, err)
	}
	now := metav1.Now()
	created.Status.NodeInfo = corev1.NodeSystemInfo{
		OperatingSystem: "linux", Architecture: arch,
		OSImage:                 "Debian GNU/Linux 12 (bookworm)",
		ContainerRuntimeVersion: "containerd://2.1.4",
		KubeletVersion:          "v1.37.2",
	}
	created.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}}
	created.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
		Message: "kubelet is posting ready status", LastHeartbeatTime: now, LastTransitionTime: now,
	}}
	if _, err := nodes.UpdateStatus(ctx, created, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("reporting node %s ready: %w", name, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nodes = append(k.nodes, node{name: name, arch: arch, labels: created.Labels})
	return nil
}

// Force makes every pod from now on that names image, as its spec writes it,
// run with imageID without a look into the registry: an image that a node had
// before it was deleted from the registry, or one that was loaded by hand.
func (k *Kubelet) Force(image, imageID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forced[image] = imageID
}

// Run serves all pods until ctx ends, and returns nil then. Deleted pods that a
// kubelet has to let go are let go at once.
func (k *Kubelet) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(k.client, 0)
	pods := factory.Core().V1().Pods().TypedInformer()
	queue := workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](firstBackOff, lastBackOff))
	add := func(pod *corev1.Pod) { queue.Add(cache.MetaObjectToName(pod)) }
	registration, err := pods.AddTypedEventHandler(coreinformers.PodHandlerFuncs{
		AddFunc:    add,
		UpdateFunc: func(_, pod *corev1.Pod) { add(pod) },
	})
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	defer factory.Shutdown()
	defer queue.ShutDown()
	factory.StartWithContext(ctx)
	if !cache.WaitFor(ctx, "", registration.HasSyncedChecker()) {
		return nil // only the end of ctx ends the wait
	}
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for k.step(ctx, queue) {
			}
		})
	}
	<-ctx.Done()
	queue.ShutDown()
	workers.Wait()
	return nil
}

// step serves one pod; false says that there is no more work.
func (k *Kubelet) step(ctx context.Context, queue workqueue.TypedRateLimitingInterface[cache.ObjectName]) bool {
	name, shutdown := queue.Get()
	if shutdown {
		return false
	}
	defer queue.Done(name)
	if ctx.Err() != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	err := k.serve(ctx, name.Namespace, name.Name)
	var unpulled *pullError
	switch {
	case errors.As(err, &unpulled):
		queue.AddRateLimited(name)
	case err != nil: // no node yet, or the API server was away
		queue.AddAfter(name, time.Second)
	default:
		queue.Forget(name)
	}
	return true
}

// serve moves one pod a step further. An error means: later again.
func (k *Kubelet) serve(ctx context.Context, namespace, name string) error {
	pods := k.client.CoreV1().Pods(namespace)
	// From the server rather than from the cache: a status made of an old
	// object would be refused anyway.
	pod, err := pods.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading pod %s/%s: %w", namespace, name, err)
	}
	switch {
	case pod.DeletionTimestamp != nil:
		var now int64
		uid := pod.UID
		err := pods.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("letting go of pod %s/%s: %w", namespace, name, err)
		}
		return nil
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return nil
	case pod.Spec.NodeName == "":
		return k.bind(ctx, pod)
	}
	home, ok := k.node(pod.Spec.NodeName)
	if !ok {
		return nil // somebody else's node
	}
	return k.report(ctx, pod, home)
}

// bind gives pod the next node that its node selector allows.
func (k *Kubelet) bind(ctx context.Context, pod *corev1.Pod) error {
	chosen, ok := k.choose(pod)
	if !ok {
		return fmt.Errorf("binding pod %s/%s: no node fits", pod.Namespace, pod.Name)
	}
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: chosen.name},
	}
	if err := k.client.CoreV1().Pods(pod.Namespace).Bind(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("binding pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil // the pod's update brings it here again
}

func (k *Kubelet) choose(pod *corev1.Pod) (node, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	wanted := labels.SelectorFromSet(pod.Spec.NodeSelector)
	for i := range k.nodes {
		at := (k.next + i) % len(k.nodes)
		if wanted.Matches(k.nodes[at].labels) {
			k.next = at + 1
			return k.nodes[at], true
		}
	}
	return node{}, false
}

func (k *Kubelet) node(name string) (node, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.nodes {
		if n.name == name {
			return n, true
		}
	}
	return node{}, false
}

func (k *Kubelet) forcedID(image string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.forced[image]
}

// podIP makes up an address that stays with the pod.
func podIP(pod *corev1.Pod) string {
	sum := fnv.New32a()
	sum.Write([]byte(pod.UID + "/"))
	sum.Write([]byte(pod.Namespace + "/" + pod.Name))
	n := sum.Sum32()
	return fmt.Sprintf("10.244.%d.%d", n>>8&0xff, 1+n%254)
}
