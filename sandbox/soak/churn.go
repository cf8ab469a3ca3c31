package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// again is how long the churner waits before it repeats what the API server did not answer.
const again = 200 * time.Millisecond

// churner does to the cluster what the plan says, and writes it down.
type churner struct {
	stage   *stage.Stage
	journal *journal
	// pods are those that it has made, by namespace and workload.
	pods map[string][]string
	// images are what workloads run, likewise.
	images map[string]string
	serial int
}

func (a action) key() string { return a.namespace + "/" + a.name }

// do does one action, and repeats what is not answered until ctx ends.
func (c *churner) do(ctx context.Context, a action) error {
	key := a.key()
	old := c.pods[key]
	switch a.verb {
	case start, job:
		c.journal.begin(a.namespace, a.image, a.verb == job)
		c.images[key] = a.image
		return c.add(ctx, a, a.pods)
	case roll:
		was := c.images[key]
		c.journal.begin(a.namespace, a.image, false)
		c.images[key] = a.image
		if err := c.add(ctx, a, a.pods); err != nil {
			return err
		}
		if err := c.drop(ctx, a, len(old)); err != nil {
			return err
		}
		c.journal.end(a.namespace, was)
		return nil
	case replace:
		if err := c.add(ctx, a, a.pods); err != nil {
			return err
		}
		return c.drop(ctx, a, len(old))
	case scale:
		if n := a.pods - len(old); n > 0 {
			return c.add(ctx, a, n)
		}
		return c.drop(ctx, a, len(old)-a.pods)
	case finish:
		return c.finish(ctx, a.namespace, old[0])
	case remove, clean:
		if err := c.drop(ctx, a, len(old)); err != nil {
			return err
		}
		c.journal.end(a.namespace, a.image)
		return nil
	}
	return fmt.Errorf("%q is no action", a.verb)
}

// add makes pods of a workload.
func (c *churner) add(ctx context.Context, a action, n int) error {
	for range n {
		c.serial++
		pod := podOf(a, fmt.Sprintf("%s-%d", a.name, c.serial), c.stage.Image(a.image))
		err := c.ask(ctx, func() error {
			_, err := c.stage.Client.CoreV1().Pods(a.namespace).Create(ctx, pod, metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) { // the answer to the request before was lost
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("making pod %s/%s: %w", a.namespace, pod.Name, err)
		}
		c.pods[a.key()] = append(c.pods[a.key()], pod.Name)
	}
	return nil
}

// drop deletes the oldest pods of a workload.
func (c *churner) drop(ctx context.Context, a action, n int) error {
	for range n {
		name := c.pods[a.key()][0]
		err := c.ask(ctx, func() error {
			err := c.stage.Client.CoreV1().Pods(a.namespace).Delete(ctx, name, metav1.DeleteOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("deleting pod %s/%s: %w", a.namespace, name, err)
		}
		c.pods[a.key()] = c.pods[a.key()][1:]
	}
	return nil
}

// finish has a Job's pod end well, when it has begun to run.
func (c *churner) finish(ctx context.Context, namespace, name string) error {
	pods := c.stage.Client.CoreV1().Pods(namespace)
	err := c.ask(ctx, func() error {
		pod, err := pods.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].ImageID == "" {
			return fmt.Errorf("pod %s does not run yet", name)
		}
		pod.Status.Phase = corev1.PodSucceeded
		pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: "Completed", FinishedAt: metav1.Now(),
		}}
		_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("ending pod %s/%s: %w", namespace, name, err)
	}
	return nil
}

// ask repeats a request until it is answered, or ctx ends.
func (c *churner) ask(ctx context.Context, request func() error) error {
	for {
		err := request()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// atRest says whether the pods in the cluster are those that were made, and all of them run or have ended.
func (c *churner) atRest(ctx context.Context, namespaces []string) (bool, error) {
	made := 0
	for _, pods := range c.pods {
		made += len(pods)
	}
	for _, namespace := range namespaces {
		pods, err := c.stage.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for _, pod := range pods.Items {
			made--
			if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning && pod.Status.Phase != corev1.PodSucceeded {
				return false, nil
			}
		}
	}
	return made == 0, nil
}

// podOf is a pod of a workload, or a Job's.
func podOf(a action, name, ref string) *corev1.Pod {
	controller := true
	owner := metav1.OwnerReference{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: a.name + "-5d9c7b8f6d", UID: types.UID(a.name),
		Controller: &controller,
	}
	if a.verb == job {
		owner.APIVersion, owner.Kind, owner.Name = "batch/v1", "Job", a.name
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: a.namespace, OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelArchStable: "amd64"},
			Containers:   []corev1.Container{{Name: "main", Image: ref}},
		},
	}
}
