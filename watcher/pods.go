package watcher

import (
	"cmp"
	"iter"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

// image is the unit of work: an image that runs in a namespace, on one kind of node. It is a key and so
// small; all else is looked up when its turn comes.
type image struct {
	namespace string
	// id is the digest or config id that the container's status shows.
	id string
	// platform is that of the node; the zero value while the node is not known.
	platform registry.Platform
}

func compareImages(a, b image) int {
	return cmp.Or(
		cmp.Compare(a.namespace, b.namespace),
		cmp.Compare(a.id, b.id),
		cmp.Compare(a.platform.String(), b.platform.String()),
	)
}

// inLedger is how the ledger knows the image: the same one in every namespace.
func (i image) inLedger() ledger.Image { return ledger.Image{ID: i.id, Platform: i.platform.String()} }

// container is one container of a pod as far as its image is concerned, or one image volume.
type container struct {
	// spec is the image as the pod asks for it, imageID what the runtime says it runs; empty until it
	// was pulled.
	spec, imageID string
	// outdated says that the pod has been changed since the runtime said so: spec may be another image.
	outdated bool
	// kind is what it is.
	kind containerKind
}

// containerKind is what an image is used as.
type containerKind int

const (
	ordinaryContainer containerKind = iota
	initContainer
	ephemeralContainer
	imageVolume
)

// containers yields the init, ordinary and ephemeral containers that have a status, and after them the image
// volumes. Whether containers are ready, or have ended, does not matter. While the status is older than the spec,
// as after the image of a running container was changed, it says what runs but not under which name.
func containers(pod *corev1.Pod) iter.Seq[container] {
	return func(yield func(container) bool) {
		specs, outdated := specsOf(pod), isOutdated(pod)
		for kind, s := range statuses(pod) {
			if !yield(container{spec: specs[s.Name], imageID: s.ImageID, outdated: outdated, kind: kind}) {
				return
			}
		}
		imageVolumes(pod)(yield)
	}
}

// specsOf returns the images of a pod's containers, as it asks for them, by the containers' names.
func specsOf(pod *corev1.Pod) map[string]string {
	specs := make(map[string]string)
	for _, c := range pod.Spec.InitContainers {
		specs[c.Name] = c.Image
	}
	for _, c := range pod.Spec.Containers {
		specs[c.Name] = c.Image
	}
	for _, c := range pod.Spec.EphemeralContainers {
		specs[c.Name] = c.Image
	}
	return specs
}

// isOutdated says whether a pod's status is older than its spec.
func isOutdated(pod *corev1.Pod) bool {
	return pod.Status.ObservedGeneration != 0 && pod.Status.ObservedGeneration < pod.Generation
}

// statuses yields the statuses of the init, ordinary and ephemeral containers of a pod.
func statuses(pod *corev1.Pod) iter.Seq2[containerKind, *corev1.ContainerStatus] {
	return func(yield func(containerKind, *corev1.ContainerStatus) bool) {
		for _, of := range [...]struct {
			kind     containerKind
			statuses []corev1.ContainerStatus
		}{
			{initContainer, pod.Status.InitContainerStatuses},
			{ordinaryContainer, pod.Status.ContainerStatuses},
			{ephemeralContainer, pod.Status.EphemeralContainerStatuses},
		} {
			for i := range of.statuses {
				if !yield(of.kind, &of.statuses[i]) {
					return
				}
			}
		}
	}
}

// sameImages says whether two states of a pod run the same images, under the same names, on the same node, and are
// looked at alike.
func sameImages(a, b *corev1.Pod) bool {
	return a.Spec.NodeName == b.Spec.NodeName && isFinished(a) == isFinished(b) && isOut(a) == isOut(b) &&
		slices.Equal(slices.Collect(containers(a)), slices.Collect(containers(b)))
}

// imageIDs returns what identifies the images of a pod, each once, without those not pulled yet.
func imageIDs(pod *corev1.Pod) []string {
	var ids []string
	for c := range containers(pod) {
		if id := imageID(c); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// imageID returns what identifies the image of a container; empty while it is not pulled. What cannot
// be understood identifies itself, so that its scan says so instead of nobody.
func imageID(c container) string {
	identity, err := registry.Identify(c.spec, c.imageID)
	if err != nil {
		return c.imageID
	}
	return identity.ID
}

// Names of the informer's indexes.
const (
	byImage = "image" // namespace/id
	byNode  = "node"
)

func imageIndex(pod *corev1.Pod) ([]string, error) {
	ids := imageIDs(pod)
	for i := range ids {
		ids[i] = pod.Namespace + "/" + ids[i]
	}
	return ids, nil
}

func nodeIndex(pod *corev1.Pod) ([]string, error) {
	if pod.Spec.NodeName == "" {
		return nil, nil
	}
	return []string{pod.Spec.NodeName}, nil
}

// podTemplateHash is the label whose value a Deployment appends to the name of its ReplicaSets.
const podTemplateHash = "pod-template-hash"

// trim keeps of a pod what clairwatch reads; the rest is most of its size. It may run twice on one pod
// and must keep its type: with watch-list streaming the reflector applies it, and the queue behind it
// does again.
func trim(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	kept := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:            pod.Name,
			Namespace:       pod.Namespace,
			UID:             pod.UID,
			ResourceVersion: pod.ResourceVersion,
			Generation:      pod.Generation,
		},
		Spec: corev1.PodSpec{NodeName: pod.Spec.NodeName},
		Status: corev1.PodStatus{
			Phase:                      pod.Status.Phase,
			ObservedGeneration:         pod.Status.ObservedGeneration,
			InitContainerStatuses:      trimStatuses(pod.Status.InitContainerStatuses),
			ContainerStatuses:          trimStatuses(pod.Status.ContainerStatuses),
			EphemeralContainerStatuses: trimStatuses(pod.Status.EphemeralContainerStatuses),
		},
	}
	if hash, ok := pod.Labels[podTemplateHash]; ok {
		kept.Labels = map[string]string{podTemplateHash: hash}
	}
	if isOut(pod) {
		kept.Annotations = map[string]string{optOut: pod.Annotations[optOut]}
	}
	if owner := metav1.GetControllerOf(pod); owner != nil {
		kept.OwnerReferences = []metav1.OwnerReference{{Kind: owner.Kind, Name: owner.Name, Controller: owner.Controller}}
	}
	kept.Spec.ImagePullSecrets = pod.Spec.ImagePullSecrets
	volumes := volumeReferences(pod)
	kept.Spec.Volumes = trimVolumes(pod.Spec.Volumes, volumes)
	kept.Spec.InitContainers = trimContainers(pod.Spec.InitContainers, volumes)
	kept.Spec.Containers = trimContainers(pod.Spec.Containers, volumes)
	for _, c := range pod.Spec.EphemeralContainers {
		kept.Spec.EphemeralContainers = append(kept.Spec.EphemeralContainers, corev1.EphemeralContainer{
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: c.Name, Image: c.Image, VolumeMounts: trimMounts(c.VolumeMounts, volumes)},
		})
	}
	return kept, nil
}

func trimContainers(cs []corev1.Container, volumes map[string]string) []corev1.Container {
	kept := make([]corev1.Container, len(cs))
	for i, c := range cs {
		kept[i] = corev1.Container{Name: c.Name, Image: c.Image, VolumeMounts: trimMounts(c.VolumeMounts, volumes)}
	}
	return kept
}

func trimStatuses(ss []corev1.ContainerStatus) []corev1.ContainerStatus {
	kept := make([]corev1.ContainerStatus, len(ss))
	for i, s := range ss {
		kept[i] = corev1.ContainerStatus{Name: s.Name, ImageID: s.ImageID, VolumeMounts: trimMountStatuses(s.VolumeMounts)}
	}
	return kept
}

// workload names what a person would look for: the Deployment and not its ReplicaSet, the CronJob and
// not one of its Jobs. Names alone decide; reading the owners would take more rights.
func workload(pod *corev1.Pod) slack.Workload {
	w := slack.Workload{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, Pods: 1}
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return w
	}
	w.Kind, w.Name = owner.Kind, owner.Name
	switch owner.Kind {
	case "ReplicaSet":
		hash := pod.Labels[podTemplateHash]
		if name, ok := strings.CutSuffix(owner.Name, "-"+hash); ok && hash != "" && name != "" {
			w.Kind, w.Name = "Deployment", name
		}
	case "Job":
		if m := cronJob.FindStringSubmatch(owner.Name); m != nil {
			w.Kind, w.Name = "CronJob", m[1]
		}
	}
	return w
}

// onlyJobs says whether nothing but Jobs runs some pods. That these end is no news.
func onlyJobs(pods []*corev1.Pod) bool {
	return len(pods) > 0 && !slices.ContainsFunc(pods, func(pod *corev1.Pod) bool {
		owner := metav1.GetControllerOf(pod)
		return owner == nil || owner.Kind != "Job"
	})
}

// cronJob matches the names that the CronJob controller gives to Jobs: its own name and the minute
// since 1970 (kubernetes pkg/controller/cronjob/utils.go, getJobName).
var cronJob = regexp.MustCompile(`^(.+)-[0-9]{8}$`)

// workloads sums up pods by workload, most pods first.
func workloads(pods []*corev1.Pod) []slack.Workload {
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
