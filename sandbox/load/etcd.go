package load

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// putPod writes a pod into etcd as the API server writes it, by etcd's JSON gateway.
func (c *Cluster) putPod(ctx context.Context, pod *corev1.Pod) error {
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"} // which clients take away
	var value bytes.Buffer
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(pod, &value); err != nil {
		return fmt.Errorf("encoding a pod: %w", err)
	}
	return c.AskEtcd(ctx, "kv/put", map[string]any{
		"key":   encode("/registry/pods/" + pod.Namespace + "/" + pod.Name),
		"value": base64.StdEncoding.EncodeToString(value.Bytes()),
	}, nil)
}

// removePod takes a pod out of etcd. Each has a revision of its own, as where the API server deletes it: of many that go
// with one revision a watch that is behind does not see all.
func (c *Cluster) removePod(ctx context.Context, namespace, name string) error {
	return c.AskEtcd(ctx, "kv/deleterange", map[string]any{"key": encode("/registry/pods/" + namespace + "/" + name)}, nil)
}

func encode(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }
