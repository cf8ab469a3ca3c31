package watcher

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	clienttesting "k8s.io/client-go/testing"
)

// cluster keeps Leases and ConfigMaps for several daemons as an API server does that is asked with the rights
// of the manifest: with versions, which the fake clientset lacks. What it answers is what a real one did.
type cluster struct {
	t *testing.T

	mu      sync.Mutex
	version int
	objects map[string]metav1.Object // by name; no ConfigMap here has the name of a Lease
	// writes are the names of what was written, in order.
	writes []string
	// refuse, where set, is the answer to each write of a name.
	refuse map[string]error
	// readable says that who is forbidden to write may read.
	readable bool
	// written, where set, is called after each write, with all of mu's protection.
	written func(name string)
}

func newCluster(t *testing.T) *cluster {
	return &cluster{t: t, objects: make(map[string]metav1.Object), refuse: make(map[string]error)}
}

// client returns a client of its own for a daemon that reaches the cluster by a link.
func (c *cluster) client(l *link) kubernetes.Interface {
	kube := &fake.Clientset{}
	kube.AddReactor("*", "*", c.react)
	return linked{kube, l}
}

func (c *cluster) react(action clienttesting.Action) (bool, runtime.Object, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	group := action.GetResource().GroupResource()
	var object metav1.Object
	var err error
	switch a := action.(type) {
	case clienttesting.GetActionImpl:
		object, err = c.get(group, a.GetName())
	case clienttesting.PatchActionImpl:
		object, err = c.apply(group, a)
	case clienttesting.UpdateActionImpl:
		object, err = c.update(group, a.GetObject().(metav1.Object))
	default: // a POST has no name that a Role could confine
		err = apierrors.NewForbidden(group, "", errors.New("not by name"))
	}
	if err != nil {
		return true, nil, err
	}
	return true, object.(runtime.Object).DeepCopyObject(), nil
}

func (c *cluster) get(group schema.GroupResource, name string) (metav1.Object, error) {
	if err, forbidden := c.refuse[name]; forbidden && apierrors.IsForbidden(err) && !c.readable {
		return nil, err
	}
	if o := c.objects[name]; o != nil {
		return o, nil
	}
	return nil, apierrors.NewNotFound(group, name)
}

// apply makes an object or adds labels. An apply cannot say that nothing is to be replaced, and so there must
// be nothing else in it.
func (c *cluster) apply(group schema.GroupResource, a clienttesting.PatchActionImpl) (metav1.Object, error) {
	var applied corev1.ConfigMap
	if err := json.Unmarshal(a.Patch, &applied); err != nil {
		c.t.Error(err)
	}
	if a.PatchType != types.ApplyPatchType || len(applied.BinaryData) > 0 || len(applied.Data) > 0 || a.PatchOptions.FieldManager == "" {
		c.t.Errorf("not an apply of labels alone: %s", a.Patch)
	}
	if err := c.refuse[a.Name]; err != nil {
		return nil, err
	}
	if o, err := c.get(group, a.Name); err == nil {
		return o, nil
	}
	return c.store(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: a.Name, Namespace: a.Namespace, Labels: applied.Labels, UID: types.UID("uid-" + strconv.Itoa(c.version)),
	}}), nil
}

func (c *cluster) update(group schema.GroupResource, next metav1.Object) (metav1.Object, error) {
	name := next.GetName()
	if err := c.refuse[name]; err != nil {
		return nil, err
	}
	old, exists := c.objects[name]
	_, isLease := next.(*coordinationv1.Lease)
	switch {
	case !exists && !isLease:
		return nil, apierrors.NewNotFound(group, name)
	case !exists && next.GetUID() == "":
		next.SetUID(types.UID("uid-" + strconv.Itoa(c.version)))
		return c.store(next), nil
	case !exists, next.GetUID() != "" && next.GetUID() != old.GetUID():
		return nil, apierrors.NewConflict(group, name, errors.New("Precondition failed: UID in precondition"))
	case next.GetResourceVersion() == "":
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: group.Group}, name, nil)
	case next.GetResourceVersion() != old.GetResourceVersion():
		return nil, apierrors.NewConflict(group, name, errors.New("the object has been modified"))
	}
	return c.store(next), nil
}

func (c *cluster) store(next metav1.Object) metav1.Object {
	c.version++
	next.SetResourceVersion(strconv.Itoa(c.version))
	c.objects[next.GetName()] = next
	c.writes = append(c.writes, next.GetName())
	if c.written != nil {
		c.written(next.GetName())
	}
	return next
}

// edit changes an object as a person does who may do everything.
func edit[O metav1.Object](c *cluster, name string, change func(O)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.objects[name].(O)
	if !ok {
		c.t.Fatalf("there is no %s", name)
	}
	next := any(o).(runtime.Object).DeepCopyObject().(O)
	change(next)
	c.store(next)
}

// delete deletes an object as a person does.
func (c *cluster) delete(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.objects, name)
}

// lease returns the Lease; nil when there is none.
func (c *cluster) lease() *coordinationv1.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, _ := c.objects["clairwatch"].(*coordinationv1.Lease)
	return l.DeepCopy()
}

// count returns how often something was written.
func (c *cluster) count(name string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.writes {
		if w == name {
			n++
		}
	}
	return n
}

// link is a daemon's way to the cluster.
type link struct {
	mu sync.Mutex
	// down means that requests are not answered; late is how long after they have been carried out.
	down bool
	late time.Duration
}

func (l *link) set(down bool, late time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.late = down, late
}

// carry carries a request out, and its answer back.
func carry[T any](ctx context.Context, l *link, request func() (T, error)) (T, error) {
	l.mu.Lock()
	down, late := l.down, l.late
	l.mu.Unlock()
	var none T
	if down {
		<-ctx.Done()
		return none, ctx.Err()
	}
	answer, err := request()
	select {
	case <-time.After(late):
		return answer, err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// linked is a client whose requests take a link. The fake's own lock does not let time pass.
type linked struct {
	kubernetes.Interface
	link *link
}

func (k linked) CoordinationV1() coordinationclient.CoordinationV1Interface {
	return linkedCoordination{k.Interface.CoordinationV1(), k.link}
}

func (k linked) CoreV1() corev1client.CoreV1Interface {
	return linkedCore{k.Interface.CoreV1(), k.link}
}

type linkedCoordination struct {
	coordinationclient.CoordinationV1Interface
	link *link
}

func (k linkedCoordination) Leases(namespace string) coordinationclient.LeaseInterface {
	return linkedLeases{k.CoordinationV1Interface.Leases(namespace), k.link}
}

type linkedLeases struct {
	coordinationclient.LeaseInterface
	link *link
}

func (k linkedLeases) Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error) {
	return carry(ctx, k.link, func() (*coordinationv1.Lease, error) { return k.LeaseInterface.Get(ctx, name, o) })
}

func (k linkedLeases) Update(ctx context.Context, l *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	return carry(ctx, k.link, func() (*coordinationv1.Lease, error) { return k.LeaseInterface.Update(ctx, l, o) })
}

type linkedCore struct {
	corev1client.CoreV1Interface
	link *link
}

func (k linkedCore) ConfigMaps(namespace string) corev1client.ConfigMapInterface {
	return linkedMaps{k.CoreV1Interface.ConfigMaps(namespace), k.link}
}

type linkedMaps struct {
	corev1client.ConfigMapInterface
	link *link
}

func (k linkedMaps) Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.ConfigMap, error) {
	return carry(ctx, k.link, func() (*corev1.ConfigMap, error) { return k.ConfigMapInterface.Get(ctx, name, o) })
}

func (k linkedMaps) Update(ctx context.Context, m *corev1.ConfigMap, o metav1.UpdateOptions) (*corev1.ConfigMap, error) {
	return carry(ctx, k.link, func() (*corev1.ConfigMap, error) { return k.ConfigMapInterface.Update(ctx, m, o) })
}

// replica is a daemon that may lead.
type replica struct {
	*lease
	kube kubernetes.Interface
	link *link
	log  *logBuffer
}

func (c *cluster) replica(cfg LeaseConfig) *replica {
	r := &replica{link: &link{}, log: &logBuffer{}}
	r.kube = c.client(r.link)
	r.lease = newLease(r.kube, "clairwatch", cfg, r.logger())
	return r
}

func (r *replica) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r.log, nil)) }
