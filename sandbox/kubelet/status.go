package kubelet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// report pulls what pod still lacks and writes its status. The error says that
// something could not be pulled, or not be written.
func (k *Kubelet) report(ctx context.Context, pod *corev1.Pod, home node) error {
	before := pod.Status.DeepCopy()
	status := &pod.Status
	now := metav1.Now()
	if status.StartTime == nil {
		status.StartTime = &now
	}
	status.PodIP = podIP(pod)
	status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}

	var failures []error
	initialized := true
	var inits []corev1.ContainerStatus
	for _, c := range pod.Spec.InitContainers {
		if !initialized { // they run one after another
			inits = append(inits, waiting(c.Name, c.Image, "PodInitializing", ""))
			continue
		}
		done, err := k.container(ctx, home, pod, c, before.InitContainerStatuses)
		if err != nil {
			failures = append(failures, err)
			initialized = false
		} else if c.RestartPolicy == nil { // with one it is a sidecar, which goes on
			finish(&done)
		}
		inits = append(inits, done)
	}
	ready := initialized
	var containers []corev1.ContainerStatus
	for _, c := range pod.Spec.Containers {
		if !initialized {
			containers = append(containers, waiting(c.Name, c.Image, "PodInitializing", ""))
			continue
		}
		running, err := k.container(ctx, home, pod, c, before.ContainerStatuses)
		if err != nil {
			failures = append(failures, err)
			ready = false
		}
		containers = append(containers, running)
	}
	var ephemeral []corev1.ContainerStatus
	for _, c := range pod.Spec.EphemeralContainers {
		running, err := k.container(ctx, home, pod, corev1.Container(c.EphemeralContainerCommon), before.EphemeralContainerStatuses)
		if err != nil {
			failures = append(failures, err)
		}
		running.Ready = false // never, for these
		ephemeral = append(ephemeral, running)
	}
	status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses = inits, containers, ephemeral

	status.Phase = corev1.PodPending
	for _, c := range containers {
		if c.State.Running != nil {
			status.Phase = corev1.PodRunning
		}
	}
	condition(status, corev1.PodScheduled, true, "")
	condition(status, corev1.PodInitialized, initialized, "ContainersNotInitialized")
	condition(status, corev1.ContainersReady, ready, "ContainersNotReady")
	condition(status, corev1.PodReady, ready, "ContainersNotReady")

	if !equality.Semantic.DeepEqual(before, status) {
		if _, err := k.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
			failures = append(failures, fmt.Errorf("writing the status of pod %s/%s: %w", pod.Namespace, pod.Name, err))
		}
	}
	return errors.Join(failures...)
}

// container is the status of one container that ought to run. One that runs
// with this image already is left as it is.
func (k *Kubelet) container(ctx context.Context, home node, pod *corev1.Pod, c corev1.Container, before []corev1.ContainerStatus) (corev1.ContainerStatus, error) {
	name, image := c.Name, c.Image
	var old corev1.ContainerStatus
	for _, s := range before {
		if s.Name == name {
			old = s
		}
	}
	displayed := canonical(image)
	if old.ImageID != "" && old.Image == displayed {
		return old, nil
	}
	mounts, err := k.mount(ctx, home, pod, c)
	if err != nil {
		return unpulled(name, image, old, err), &pullError{err}
	}
	imageID := k.forcedID(image)
	if imageID == "" {
		if imageID, err = k.pull(ctx, image, home.arch); err != nil {
			return unpulled(name, image, old, err), &pullError{err}
		}
	}
	started := true
	id := sha256.Sum256([]byte(string(pod.UID) + "/" + name + "/" + imageID))
	return corev1.ContainerStatus{
		Name: name, Image: displayed, ImageID: imageID,
		ContainerID:  "containerd://" + hex.EncodeToString(id[:]),
		Ready:        true,
		Started:      &started,
		RestartCount: old.RestartCount,
		VolumeMounts: mounts,
		State:        corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}, nil
}

// pullError says that an image could not be pulled, which is worth another
// try, but not soon.
type pullError struct{ error }

func (e *pullError) Unwrap() error { return e.error }

// unpulled words a failed pull as the kubelet does: ErrImagePull at first,
// ImagePullBackOff from then on.
func unpulled(name, image string, old corev1.ContainerStatus, err error) corev1.ContainerStatus {
	if errors.Is(err, errInvalidName) {
		return waiting(name, image, "InvalidImageName",
			fmt.Sprintf("Failed to apply default image tag %q: couldn't parse image name %q: %s", image, image, err))
	}
	if w := old.State.Waiting; w != nil && (w.Reason == "ErrImagePull" || w.Reason == "ImagePullBackOff") && old.Image == image {
		return waiting(name, image, "ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", image, err))
	}
	return waiting(name, image, "ErrImagePull", err.Error())
}

// waiting is the status of a container that does not run; its image is as the
// pod's spec writes it, and it has no imageID.
func waiting(name, image, reason, message string) corev1.ContainerStatus {
	started := false
	return corev1.ContainerStatus{
		Name: name, Image: image, Started: &started,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
	}
}

// finish turns a running container into one that ended well.
func finish(s *corev1.ContainerStatus) {
	if s.State.Running == nil {
		return
	}
	started := false
	s.Started = &started
	s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "Completed", StartedAt: s.State.Running.StartedAt, FinishedAt: metav1.Now(), ContainerID: s.ContainerID,
	}}
}

// condition sets a condition, and its time when it changes.
func condition(status *corev1.PodStatus, kind corev1.PodConditionType, holds bool, reason string) {
	value := corev1.ConditionTrue
	if !holds {
		value = corev1.ConditionFalse
	} else {
		reason = ""
	}
	for i := range status.Conditions {
		if c := &status.Conditions[i]; c.Type == kind {
			if c.Status != value {
				c.Status, c.Reason, c.LastTransitionTime = value, reason, metav1.Now()
			}
			return
		}
	}
	status.Conditions = append(status.Conditions, corev1.PodCondition{
		Type: kind, Status: value, Reason: reason, LastTransitionTime: metav1.Now(),
	})
}
