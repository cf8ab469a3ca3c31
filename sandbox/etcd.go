package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"
)

// etcdQuota is how big its database may become, in bytes: that of a cluster with 100,000 pods, and all that changed since
// it was last compacted. It takes no more room than it needs.
const etcdQuota = 8 << 30

// startEtcd starts etcd, which may forget what it wrote when the machine
// crashes, and returns the URL for its clients.
func (s *Sandbox) startEtcd(ctx context.Context, binary string) (string, error) {
	client, err := s.ports.address()
	if err != nil {
		return "", err
	}
	peer, err := s.ports.address()
	if err != nil {
		return "", err
	}
	clientURL, peerURL := "http://"+client, "http://"+peer
	_, err = s.run(ctx, spec{
		name: string(Etcd),
		path: binary,
		args: []string{
			"--name=sandbox",
			"--data-dir=" + filepath.Join(s.Dir, string(Etcd), "data"),
			"--listen-client-urls=" + clientURL,
			"--advertise-client-urls=" + clientURL,
			"--listen-peer-urls=" + peerURL,
			"--initial-advertise-peer-urls=" + peerURL,
			"--initial-cluster=sandbox=" + peerURL,
			"--unsafe-no-fsync",
			fmt.Sprintf("--quota-backend-bytes=%d", int64(etcdQuota)),
			"--log-level=warn",
		},
		ready: answersOK(clientURL + "/readyz"),
	})
	s.EtcdURL = clientURL
	return clientURL, err
}

const (
	// mostOfEtcd bounds an answer of etcd's, in bytes.
	mostOfEtcd = 1 << 20
	// etcdBound is the longest that a question may take: some are asked by the hundred thousand.
	etcdBound = time.Minute
)

// AskEtcd asks etcd by its gateway for JSON, with what as in "kv/range" (etcd, api_grpc_gateway), and reads its answer;
// nil: what it says does not matter.
func (s *Sandbox) AskEtcd(ctx context.Context, what string, question map[string]any, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, etcdBound)
	defer cancel()
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("asking etcd for %s: %w", what, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.EtcdURL+"/v3/"+what, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking etcd for %s: %w", what, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking etcd for %s: %w", what, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, mostOfEtcd))
	switch {
	case err != nil:
		return fmt.Errorf("asking etcd for %s: %w", what, err)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("asking etcd for %s: %s: %s", what, response.Status, text)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("asking etcd for %s: %w", what, err)
	}
	return nil
}

// answersOK asks a URL and wants the status 200.
func answersOK(url string) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error { return getOK(ctx, http.DefaultClient, url) }
}

func getOK(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, probeBound)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}
