package kubelet

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
)

// mount pulls the image volumes that a container mounts, which a kubelet does
// before it pulls the container's own image, and returns what the status shows
// of all its mounts. Of image volumes that is, as with the feature gate
// ImageVolumeWithDigest, their id in the store of the runtime; an API server
// without the gate drops it.
func (k *Kubelet) mount(ctx context.Context, home node, pod *corev1.Pod, c corev1.Container) ([]corev1.VolumeMountStatus, error) {
	references := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			references[v.Name] = v.Image.Reference
		}
	}
	var mounts []corev1.VolumeMountStatus
	for _, m := range c.VolumeMounts {
		shown := corev1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if reference, ok := references[m.Name]; ok {
			id, err := k.storeID(ctx, reference, home.arch)
			if err != nil {
				return nil, err
			}
			shown.VolumeStatus = &corev1.VolumeStatus{Image: &corev1.ImageVolumeStatus{ImageRef: id}}
		}
		mounts = append(mounts, shown)
	}
	return mounts, nil
}

// storeID pulls an image and returns its id in containerd's store, which is the
// digest of the config.
func (k *Kubelet) storeID(ctx context.Context, image, arch string) (string, error) {
	if id := k.forcedID(image); id != "" {
		return id, nil
	}
	ref, err := name.ParseReference(image, name.Insecure)
	if err != nil {
		return "", errInvalidName
	}
	shown := canonical(image)
	found, err := k.find(ctx, ref, shown, arch)
	if err != nil {
		return "", err
	}
	manifest, err := manifestOf(found)
	if err != nil {
		return "", fmt.Errorf("failed to pull and unpack image %q: %w", shown, err)
	}
	return manifest.Config.Digest.String(), nil
}

// manifestOf fetches the manifest for the platform that was asked for.
func manifestOf(found *remote.Descriptor) (*v1.Manifest, error) {
	pulled, err := found.Image()
	if err != nil {
		return nil, err
	}
	return pulled.Manifest()
}
