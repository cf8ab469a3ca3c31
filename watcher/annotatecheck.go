package watcher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// annotatePolicy is the policy of deploy/annotate.yaml.
const annotatePolicy = "clairwatch-annotate"

// confinementPods is on how many pods it is tried at the most: what is refused for another reason shows nothing.
const confinementPods = 5

var (
	// ErrNoRight says that there is no right to patch pods.
	ErrNoRight = errors.New("there is no right to patch pods")
	// ErrUnconfined says that the right to patch pods is not confined to annotations of ours.
	ErrUnconfined = errors.New("the policy " + annotatePolicy + " does not refuse it")
	// errNoPod says that there is no pod to try it on.
	errNoPod = errors.New("there is no pod to try it on")
)

// trials change more of a pod than its annotations of ours, in a way that would do no harm if they were carried out. A
// trial must change something in whatever pod it is: what changes nothing is not refused. So each has a value that
// nobody can foresee.
//
// Validation comes before policies, and lets little of a spec be changed. A deadline may be set, and may not be raised;
// tolerations may be added, which for a list that is there takes another patch than for one that is not. So there are
// ways that follow one another where validation is what refuses.
var trials = [...]struct {
	what string
	ways []way
}{
	{"a label", []way{mergeLabel}},
	{"an annotation", []way{mergeAnnotation}},
	{"the spec", []way{mergeDeadline, appendToleration, mergeTolerations}},
}

// way is a patch of the pod with a UID, and its type.
type way func(types.UID) (types.PatchType, string)

func mergeLabel(uid types.UID) (types.PatchType, string) {
	return types.MergePatchType, fmt.Sprintf(`{"metadata":{"uid":%q,"labels":{%q:%q}}}`, uid, trialKey, rand.Text())
}

func mergeAnnotation(uid types.UID) (types.PatchType, string) {
	return types.MergePatchType, fmt.Sprintf(`{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, uid, trialKey, rand.Text())
}

// mergeDeadline sets a deadline that is decades away.
func mergeDeadline(uid types.UID) (types.PatchType, string) {
	const longest = 1<<31 - 1 // seconds
	return types.MergePatchType, fmt.Sprintf(`{"metadata":{"uid":%q},"spec":{"activeDeadlineSeconds":%d}}`, uid, longest-mathrand.IntN(longest/2))
}

// appendToleration adds the toleration of a taint that no node has to those of a pod, of which the cache knows nothing.
func appendToleration(uid types.UID) (types.PatchType, string) {
	return types.JSONPatchType, fmt.Sprintf(`[{"op":"test","path":"/metadata/uid","value":%q},{"op":"add","path":"/spec/tolerations/-","value":%s}]`, uid, toleration())
}

// mergeTolerations does so for a pod that has none.
func mergeTolerations(uid types.UID) (types.PatchType, string) {
	return types.MergePatchType, fmt.Sprintf(`{"metadata":{"uid":%q},"spec":{"tolerations":[%s]}}`, uid, toleration())
}

func toleration() string {
	return fmt.Sprintf(`{"key":%q,"operator":"Equal","value":%q,"effect":"NoSchedule"}`, trialKey, rand.Text())
}

// trialKey is the name of what trials would add.
const trialKey = "clairwatch.io/trial"

// PodID is a pod, and no other one that has its name before or after it.
type PodID struct {
	Namespace, Name string
	UID             types.UID
}

// CheckConfinement tries whether the API server refuses to let this client change more of pods than the annotations that
// begin with reported.clairwatch.io/, as the policy of deploy/annotate.yaml has it. It tries that on one pod after the
// other, five at the most, until one shows it. Nothing is carried out. It returns nil when that is so, an error that wraps
// ErrUnconfined or ErrNoRight, and another one when it cannot be found out, as when there is no pod, or the API server does
// not answer or refuses for other reasons.
//
// Each request lasts ten seconds at the most.
func CheckConfinement(ctx context.Context, client Kubernetes, pods []PodID) error {
	err := errNoPod
	for _, pod := range pods[:min(len(pods), confinementPods)] {
		err = tryConfinement(ctx, client, pod)
		if err == nil || errors.Is(err, ErrUnconfined) || errors.Is(err, ErrNoRight) {
			return err
		}
	}
	return err
}

// tryConfinement tries it on one pod.
func tryConfinement(ctx context.Context, client Kubernetes, pod PodID) error {
	for _, trial := range trials {
		err := tryWays(ctx, client, pod, trial.ways)
		switch {
		case err == nil:
			return fmt.Errorf("changing %s of pods: %w", trial.what, ErrUnconfined)
		case isNoRight(err, pod.Name):
			return ErrNoRight
		case !isOurRefusal(err, pod.Name):
			return fmt.Errorf("trying to change %s of the pod %s/%s: %w", trial.what, pod.Namespace, pod.Name, err)
		}
	}
	return nil
}

// tryWays tries one way after the other while validation, or that what is patched is not there, keeps it from being seen
// whether the policy refuses it.
func tryWays(ctx context.Context, client Kubernetes, pod PodID, ways []way) error {
	var err error
	for _, patch := range ways {
		err = tryPatch(ctx, client, pod, patch)
		if !apierrors.IsInvalid(err) || isOurRefusal(err, pod.Name) {
			break
		}
	}
	return err
}

// tryPatch has the API server answer as if it patched a pod.
func tryPatch(ctx context.Context, client Kubernetes, pod PodID, patch way) error {
	ctx, cancel := context.WithTimeout(ctx, annotateTimeout)
	defer cancel()
	kind, text := patch(pod.UID)
	_, err := client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, kind, []byte(text),
		metav1.PatchOptions{FieldManager: fieldManager, DryRun: []string{metav1.DryRunAll}})
	return err
}

// isOurRefusal says whether it is the policy that refuses to let a pod be changed, in the words of the API server
// (kubernetes staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/validating/dispatcher.go). They stand at the
// beginning: what follows is up to whoever writes policies.
func isOurRefusal(err error, pod string) bool {
	refused := fmt.Sprintf("pods %q is forbidden: ValidatingAdmissionPolicy '%s' with binding ", pod, annotatePolicy)
	return (apierrors.IsForbidden(err) || apierrors.IsInvalid(err)) && strings.HasPrefix(err.Error(), refused)
}

// isNoRight says whether the API server refuses because there is no right to patch pods, not because of what is to be
// changed (kubernetes staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go).
func isNoRight(err error, pod string) bool {
	return apierrors.IsForbidden(err) && strings.HasPrefix(err.Error(), fmt.Sprintf("pods %q is forbidden: User ", pod))
}

// isOther says whether the API server refuses because the pod of that name is another one.
func isOther(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && status.ErrStatus.Details != nil && slices.ContainsFunc(status.ErrStatus.Details.Causes, func(c metav1.StatusCause) bool {
		return c.Field == "metadata.uid"
	})
}
