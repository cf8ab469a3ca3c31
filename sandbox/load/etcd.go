package load

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

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
	return c.askEtcd(ctx, "put", map[string]string{
		"key":   encode("/registry/pods/" + pod.Namespace + "/" + pod.Name),
		"value": base64.StdEncoding.EncodeToString(value.Bytes()),
	})
}

// removePod takes a pod out of etcd. Each has a revision of its own, as where the API server deletes it: of many that go
// with one revision a watch that is behind does not see all.
func (c *Cluster) removePod(ctx context.Context, namespace, name string) error {
	return c.askEtcd(ctx, "deleterange", map[string]string{"key": encode("/registry/pods/" + namespace + "/" + name)})
}

func encode(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }

func (c *Cluster) askEtcd(ctx context.Context, what string, fields map[string]string) error {
	body, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("asking etcd to %s pods: %w", what, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.EtcdURL+"/v3/kv/"+what, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking etcd to %s pods: %w", what, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("asking etcd to %s pods: %s: %s", what, response.Status, answer)
	}
	return nil
}
