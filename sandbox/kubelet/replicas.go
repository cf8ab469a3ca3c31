package kubelet

import (
	"context"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"
)

// Replicas is what a Deployment leaves behind in a cluster with controllers: a
// ReplicaSet and its pods. The sandbox runs no controllers, so these are made
// by hand.
type Replicas struct {
	Namespace string
	// Deployment is the name that the Deployment would have, "web".
	Deployment string
	// Hash is the revision's pod template hash, "5d9c7b8f6d".
	Hash string
	// Count is the number of pods.
	Count int
	// Spec is the spec of every pod. An empty service account means that of
	// the namespace, "default".
	Spec corev1.PodSpec
}

// Name is the ReplicaSet's: the Deployment's name and the hash.
func (r Replicas) Name() string { return r.Deployment + "-" + r.Hash }

// Create makes the ReplicaSet and its pods and returns the pods' names.
func (r Replicas) Create(ctx context.Context, client kubernetes.Interface) ([]string, error) {
	labels := map[string]string{"app": r.Deployment, appsv1.DefaultDeploymentUniqueLabelKey: r.Hash}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: r.Spec}
	count := int32(r.Count)
	set, err := client.AppsV1().ReplicaSets(r.Namespace).Create(ctx, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: r.Name(), Namespace: r.Namespace, Labels: labels},
		Spec:       appsv1.ReplicaSetSpec{Replicas: &count, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("making ReplicaSet %s/%s: %w", r.Namespace, r.Name(), err)
	}
	owner := metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	var names []string
	for range r.Count {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: r.Name() + "-" + rand.String(5), Namespace: r.Namespace,
				GenerateName: r.Name() + "-", Labels: maps.Clone(labels),
				OwnerReferences: []metav1.OwnerReference{*owner},
			},
			Spec: *r.Spec.DeepCopy(),
		}
		if _, err := client.CoreV1().Pods(r.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return names, fmt.Errorf("making a pod of %s/%s: %w", r.Namespace, r.Name(), err)
		}
		names = append(names, pod.Name)
	}
	return names, nil
}

// Delete removes the ReplicaSet and its pods, which the stand-in then lets go.
func (r Replicas) Delete(ctx context.Context, client kubernetes.Interface) error {
	err := client.AppsV1().ReplicaSets(r.Namespace).Delete(ctx, r.Name(), metav1.DeleteOptions{})
	if err != nil {
		return fmt.Errorf("deleting ReplicaSet %s/%s: %w", r.Namespace, r.Name(), err)
	}
	pods := client.CoreV1().Pods(r.Namespace)
	own := metav1.ListOptions{LabelSelector: appsv1.DefaultDeploymentUniqueLabelKey + "=" + r.Hash + ",app=" + r.Deployment}
	left, err := pods.List(ctx, own)
	if err != nil {
		return fmt.Errorf("listing the pods of %s/%s: %w", r.Namespace, r.Name(), err)
	}
	for _, pod := range left.Items {
		if err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting pod %s/%s: %w", r.Namespace, pod.Name, err)
		}
	}
	return nil
}
