package watcher

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/clairwatch/clairwatch/registry"
)

// nodes knows the platform of each node. It watches metadata only: a node's status lists every image on
// its disk.
type nodes struct {
	informer cache.SharedIndexInformer
}

func newNodes(client metadata.Interface) (*nodes, error) {
	all := client.Resource(corev1.SchemeGroupVersion.WithResource("nodes"))
	n := &nodes{informer: newInformer(client, all, &metav1.PartialObjectMetadata{}, "")}
	if err := n.informer.SetTransform(trimNode); err != nil {
		return nil, fmt.Errorf("preparing to watch nodes: %w", err)
	}
	return n, nil
}

// onChange calls f with the name of each node that appears, or whose platform may have changed.
func (n *nodes) onChange(f func(node string)) (cache.ResourceEventHandlerRegistration, error) {
	handle := func(obj any) {
		if node, ok := obj.(*metav1.PartialObjectMetadata); ok {
			f(node.Name)
		}
	}
	return n.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: handle,
		UpdateFunc: func(before, after any) {
			b, okB := before.(*metav1.PartialObjectMetadata)
			a, okA := after.(*metav1.PartialObjectMetadata)
			if okB && okA && platformOf(b) != platformOf(a) {
				handle(after)
			}
		},
	})
}

// platform returns the platform of a node; the zero value while the node, or its platform, is not
// known.
func (n *nodes) platform(name string) registry.Platform {
	obj, exists, err := n.informer.GetIndexer().GetByKey(name)
	if err != nil || !exists {
		return registry.Platform{}
	}
	node, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return registry.Platform{}
	}
	return platformOf(node)
}

// several says whether the cluster has nodes of more than one platform.
func (n *nodes) several() bool {
	var first registry.Platform
	for _, obj := range n.informer.GetIndexer().List() {
		node, ok := obj.(*metav1.PartialObjectMetadata)
		if !ok {
			continue
		}
		switch p := platformOf(node); {
		case p == (registry.Platform{}):
		case first == (registry.Platform{}):
			first = p
		case p != first:
			return true
		}
	}
	return false
}

// platformOf reads the labels that every kubelet sets and keeps right
// (kubernetes pkg/kubelet/kubelet_node_status.go).
func platformOf(node *metav1.PartialObjectMetadata) registry.Platform {
	p := registry.Platform{OS: node.Labels[corev1.LabelOSStable], Architecture: node.Labels[corev1.LabelArchStable]}
	if p.OS == "" || p.Architecture == "" {
		return registry.Platform{}
	}
	return p
}

func trimNode(obj any) (any, error) {
	node, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return nil, fmt.Errorf("trimming a node: unexpected %T", obj)
	}
	kept := &metav1.PartialObjectMetadata{TypeMeta: node.TypeMeta}
	kept.Name, kept.UID, kept.ResourceVersion = node.Name, node.UID, node.ResourceVersion
	kept.Labels = make(map[string]string, 2)
	for _, l := range []string{corev1.LabelOSStable, corev1.LabelArchStable} {
		if v, ok := node.Labels[l]; ok {
			kept.Labels[l] = v
		}
	}
	return kept, nil
}
