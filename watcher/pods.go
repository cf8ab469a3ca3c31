package watcher

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/clairwatch/clairwatch/slack"
)

// pods are those of the cluster, as an informer keeps them. What client-go generates for them takes what is in the cache
// for a corev1.Pod, and panics: so this is how they are read.
type pods struct {
	informer cache.SharedIndexInformer
	log      *slog.Logger
}

// Names of the informer's indexes.
const (
	byImage = "image" // namespace/id
	byNode  = "node"
)

// newPods returns the pods of a cluster, which are not watched yet. With annotated it keeps what they are annotated by.
func newPods(client Kubernetes, annotated bool, log *slog.Logger) (*pods, error) {
	p := &pods{informer: newInformer(client, client.CoreV1().Pods(metav1.NamespaceAll), &corev1.Pod{}, ""), log: log}
	if err := p.informer.SetTransform(keepPods(annotated)); err != nil {
		return nil, fmt.Errorf("preparing to watch pods: %w", err)
	}
	if err := p.informer.AddIndexers(cache.Indexers{byImage: index(imageIndex), byNode: index(nodeIndex)}); err != nil {
		return nil, fmt.Errorf("indexing pods: %w", err)
	}
	return p, nil
}

// index returns an index of pods, in which nothing else is: at an error client-go panics (tools/cache/thread_safe_store.go).
func index(of func(*pod) []string) cache.IndexFunc {
	return func(obj any) ([]string, error) {
		if pod, ok := obj.(*pod); ok {
			return of(pod), nil
		}
		return nil, nil
	}
}

func imageIndex(pod *pod) []string {
	ids := imageIDs(pod)
	for i := range ids {
		ids[i] = pod.namespace() + "/" + ids[i]
	}
	return ids
}

func nodeIndex(pod *pod) []string {
	if node := pod.node.Value(); node != "" {
		return []string{node}
	}
	return nil
}

// read returns a pod of the cache; nil, and a line in the log, for anything else.
func (p *pods) read(obj any) *pod {
	pod, ok := obj.(*pod)
	if !ok {
		p.log.Error("there is something among the pods that is none; it is passed over", "type", fmt.Sprintf("%T", obj))
	}
	return pod
}

// named returns a pod; nil: there is none of that name.
func (p *pods) named(name cache.ObjectName) *pod {
	obj, exists, err := p.informer.GetIndexer().GetByKey(name.String())
	if err != nil || !exists {
		return nil
	}
	return p.read(obj)
}

// in returns the pods of a namespace.
func (p *pods) in(namespace string) []*pod { return p.by(cache.NamespaceIndex, namespace) }

// with returns the pods of a namespace that have an image, by what identifies it.
func (p *pods) with(namespace, id string) []*pod { return p.by(byImage, namespace+"/"+id) }

// on returns the pods of a node.
func (p *pods) on(node string) []*pod { return p.by(byNode, node) }

func (p *pods) by(index, value string) []*pod {
	objs, _ := p.informer.GetIndexer().ByIndex(index, value) // the index exists; newPods has made it
	return p.readAll(objs)
}

// all returns all pods.
func (p *pods) all() []*pod { return p.readAll(p.informer.GetIndexer().List()) }

func (p *pods) readAll(objs []any) []*pod {
	all := make([]*pod, 0, len(objs))
	for _, obj := range objs {
		if pod := p.read(obj); pod != nil {
			all = append(all, pod)
		}
	}
	return all
}

// namespaces returns the namespaces that have pods.
func (p *pods) namespaces() []string {
	return p.informer.GetIndexer().ListIndexFuncValues(cache.NamespaceIndex)
}

// onlyJobs says whether nothing but Jobs runs some pods. That these end is no news.
func onlyJobs(pods []*pod) bool {
	return len(pods) > 0 && !slices.ContainsFunc(pods, func(pod *pod) bool { return !pod.common.Value().byJob })
}

// workloads sums up pods by workload, most pods first.
func workloads(pods []*pod) []slack.Workload {
	counts := make(map[slack.Workload]int)
	for _, pod := range pods {
		counts[workload(pod)]++
	}
	ws := make([]slack.Workload, 0, len(counts))
	for w, n := range counts {
		w.Pods = n
		ws = append(ws, w)
	}
	slices.SortFunc(ws, compareWorkloads)
	return ws
}

func compareWorkloads(a, b slack.Workload) int {
	return cmp.Or(
		cmp.Compare(b.Pods, a.Pods),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Kind, b.Kind),
	)
}
