package main

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
func (c *cluster) putPod(ctx context.Context, pod *corev1.Pod) error {
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"} // which clients take away
	var value bytes.Buffer
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(pod, &value); err != nil {
		return fmt.Errorf("encoding a pod: %w", err)
	}
	body, err := json.Marshal(map[string]string{
		"key":   base64.StdEncoding.EncodeToString([]byte("/registry/pods/" + pod.Namespace + "/" + pod.Name)),
		"value": base64.StdEncoding.EncodeToString(value.Bytes()),
	})
	if err != nil {
		return fmt.Errorf("encoding a pod: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.EtcdURL+"/v3/kv/put", bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("writing a pod into etcd: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("writing a pod into etcd: %s: %s", response.Status, answer)
	}
	return nil
}
