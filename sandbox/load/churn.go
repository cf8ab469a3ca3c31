package load

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Rollout is what [Cluster.Roll] has done.
type Rollout struct {
	// Pods were replaced; Images are those that began to run, each in place of another one.
	Pods, Images int
}

// Roll replaces pods one after the other by others of the same app, every so many pods a second, for a time: app after
// app, each second one by a new version of its image, the others by the same, as a rollout and a restart do. As a
// ReplicaSet does it makes a pod before it removes one, and each is four events of a watch.
func (c *Cluster) Roll(ctx context.Context, perSecond int, during time.Duration) (Rollout, error) {
	var done Rollout
	most := min(c.Pods, perSecond*int(during/time.Second))
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for app := 0; done.Pods < most && app < c.Images; app++ {
		version := app % versions
		for n := app; n < c.Pods; n += c.Images {
			select {
			case <-ctx.Done():
				return done, ctx.Err()
			case <-tick.C:
			}
			if err := c.replace(ctx, n, version); err != nil {
				return done, fmt.Errorf("replacing pod %d: %w", n, err)
			}
			done.Pods++
		}
		done.Images += version
	}
	return done, nil
}

// replaced ends the name of a pod that came in place of another one.
const replaced = "-r"

// replace makes a pod in place of another one, and removes that.
func (c *Cluster) replace(ctx context.Context, n, version int) error {
	pod := c.podOf(c.first, n, version)
	old := pod.Name
	pod.Name += replaced
	if _, err := c.createPod(ctx, pod); err != nil {
		return err
	}
	return c.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, old, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
}

// RemoveAll removes all pods.
func (c *Cluster) RemoveAll(ctx context.Context) error {
	return together(ctx, c.Pods, func(ctx context.Context, n int) error {
		pod := c.podOf(c.first, n, 0)
		if err := c.removePod(ctx, pod.Namespace, pod.Name); err != nil {
			return err
		}
		return c.removePod(ctx, pod.Namespace, pod.Name+replaced)
	})
}
