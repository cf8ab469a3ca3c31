package watcher

import (
	"iter"
	"regexp"
	"slices"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

// pod is what clairwatch reads of a pod. The cache holds all pods of the cluster, so it is small: the structs alone of a
// corev1.Pod are ten times as much. What many pods have alike is there once, as a handle.
//
// It is made by newPod and never changed.
type pod struct {
	name string
	// version is its resourceVersion: of two states with the same one the informer takes the second for no change.
	version string
	common  unique.Handle[common]
	node    unique.Handle[string] // empty while it has none
	pieces  []unique.Handle[piece]
	// pullSecrets are the names of its image pull secrets, in its order.
	pullSecrets []unique.Handle[string]
	notes       *podNotes // nil where pods are not annotated
}

// common is what the pods of a workload have in common, or all but a few.
type common struct {
	namespace string
	// kind and name are those of the workload; empty for a pod that nothing controls.
	kind, name string
	// byJob says that a Job made it, finished that it has ended, and out that its author wants it not to be looked at.
	byJob, finished, out bool
}

// podNotes are what only who annotates a pod reads of it.
type podNotes struct {
	uid types.UID
	// reported are the annotations of ours.
	reported []unique.Handle[toldManifest]
}

// toldManifest says which manifest was told for a container.
type toldManifest struct{ container, digest string }

// keepPods returns the transform of the informer: what it keeps of pods. With annotated it keeps what they are annotated by.
//
// It sees most pods of the first list twice, the second time as it has made them: with watch-list streaming the reflector
// applies it in a store of its own, and the queue behind it does again (client-go tools/cache/reflector.go, watchList, and
// the_real_fifo.go).
func keepPods(annotated bool) func(obj any) (any, error) {
	return func(obj any) (any, error) {
		if whole, ok := obj.(*corev1.Pod); ok {
			return newPod(whole, annotated), nil
		}
		return obj, nil
	}
}

// newPod returns what is kept of a pod. Nothing of it is shared with the one that is given: a handle has copies of its
// strings, and so is not what keeps alive what they were decoded from.
func newPod(whole *corev1.Pod, isAnnotated bool) *pod {
	pieces := piecesOf(whole)
	for i := range pieces {
		pieces[i].id = identified(pieces[i].spec, pieces[i].imageID)
	}
	kept := &pod{
		name:    strings.Clone(whole.Name),
		version: strings.Clone(whole.ResourceVersion),
		common:  unique.Make(commonOf(whole)),
		node:    unique.Make(whole.Spec.NodeName),
		pieces:  handles(pieces),
	}
	for _, secret := range whole.Spec.ImagePullSecrets {
		kept.pullSecrets = append(kept.pullSecrets, unique.Make(secret.Name))
	}
	if isAnnotated {
		kept.notes = &podNotes{uid: types.UID(strings.Clone(string(whole.UID))), reported: handles(annotationsOf(whole, pieces))}
	}
	return kept
}

// handles returns the handles of values; nil of none.
func handles[T comparable](values []T) []unique.Handle[T] {
	if len(values) == 0 {
		return nil
	}
	all := make([]unique.Handle[T], len(values))
	for i, v := range values {
		all[i] = unique.Make(v)
	}
	return all
}

func commonOf(whole *corev1.Pod) common {
	c := common{
		namespace: whole.Namespace,
		finished:  whole.Status.Phase == corev1.PodSucceeded || whole.Status.Phase == corev1.PodFailed,
		out:       whole.Annotations[optOut] == "false",
	}
	if owner := metav1.GetControllerOfNoCopy(whole); owner != nil {
		c.kind, c.name = workloadOf(owner, whole.Labels[podTemplateHash])
		c.byJob = owner.Kind == "Job"
	}
	return c
}

// podTemplateHash is the label whose value a Deployment appends to the name of its ReplicaSets.
const podTemplateHash = "pod-template-hash"

// cronJob matches the names that the CronJob controller gives to Jobs: its own name and the minute
// since 1970 (kubernetes pkg/controller/cronjob/utils.go, getJobName).
var cronJob = regexp.MustCompile(`^(.+)-[0-9]{8}$`)

// workloadOf names what a person would look for, by what controls a pod: the Deployment and not its ReplicaSet, the
// CronJob and not one of its Jobs. Names alone decide; reading the owners would take more rights.
func workloadOf(owner *metav1.OwnerReference, hash string) (kind, name string) {
	switch owner.Kind {
	case "ReplicaSet":
		if name, ok := strings.CutSuffix(owner.Name, "-"+hash); ok && hash != "" && name != "" {
			return "Deployment", name
		}
	case "Job":
		if m := cronJob.FindStringSubmatch(owner.Name); m != nil {
			return "CronJob", m[1]
		}
	}
	return owner.Kind, owner.Name
}

// annotationsOf returns the annotations of ours. Those that cannot be are left out, because whoever writes a pod could
// have much kept.
func annotationsOf(whole *corev1.Pod, pieces []piece) []toldManifest {
	var all []toldManifest
	for _, p := range pieces {
		if digest := whole.Annotations[reportedPrefix+p.name]; p.kind != imageVolume && sha256Digest.MatchString(digest) {
			all = append(all, toldManifest{p.name, digest})
		}
	}
	return all
}

// GetObjectMeta implements metav1.ObjectMetaAccessor: it is what an informer reads of what is in its cache.
func (p *pod) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: p.namespace(), Name: p.name, ResourceVersion: p.version}
}

// GetObjectKind implements runtime.Object.
func (*pod) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. With the copy an informer can find out whether anybody changes its cache.
func (p *pod) DeepCopyObject() runtime.Object {
	c := *p
	c.pieces, c.pullSecrets = slices.Clone(p.pieces), slices.Clone(p.pullSecrets)
	if p.notes != nil {
		c.notes = &podNotes{p.notes.uid, slices.Clone(p.notes.reported)}
	}
	return &c
}

func (p *pod) namespace() string { return p.common.Value().namespace }

// id says which pod a request is about. It has a UID only where pods are annotated.
func (p *pod) id() PodID {
	id := PodID{Namespace: p.namespace(), Name: p.name}
	if p.notes != nil {
		id.UID = p.notes.uid
	}
	return id
}

// saysReported says whether an annotation of ours names a manifest for a container.
func (p *pod) saysReported(container, digest string) bool {
	return p.notes != nil && slices.ContainsFunc(p.notes.reported, func(h unique.Handle[toldManifest]) bool {
		return h.Value() == toldManifest{container, digest}
	})
}

// containers yields the containers of a pod, and after them the image volumes that a started container mounts. Whether
// containers are ready, or have ended, does not matter. While the status is older than the spec, as after the image of a
// running container was changed, it says what runs but not under which name.
func containers(pod *pod) iter.Seq[container] {
	return func(yield func(container) bool) {
		for _, h := range pod.pieces {
			if p := h.Value(); (p.kind != imageVolume || p.started) && !yield(p.container) {
				return
			}
		}
	}
}

// sameImages says whether two states of a pod run the same images, under the same names, on the same node, and are
// looked at alike. Where pods are annotated another pod of the same name is not the same.
func sameImages(a, b *pod) bool {
	return a.id() == b.id() && a.node == b.node && isFinished(a) == isFinished(b) && isOut(a) == isOut(b) && slices.Equal(a.pieces, b.pieces)
}

// imageIDs returns what identifies the images of a pod, each once, without those not pulled yet.
func imageIDs(pod *pod) []string {
	var ids []string
	for c := range containers(pod) {
		if c.id != "" && !slices.Contains(ids, c.id) {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// identified returns what identifies the image of a container; empty while it is not pulled. What cannot
// be understood identifies itself, so that its scan says so instead of nobody.
func identified(spec, imageID string) string {
	identity, err := registry.Identify(spec, imageID)
	if err != nil {
		return imageID
	}
	return identity.ID
}

// workload names what a person would look for.
func workload(pod *pod) slack.Workload {
	c := pod.common.Value()
	w := slack.Workload{Kind: c.kind, Namespace: c.namespace, Name: c.name, Pods: 1}
	if c.kind == "" {
		w.Kind, w.Name = "Pod", pod.name
	}
	return w
}
