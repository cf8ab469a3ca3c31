package sandbox

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
)

// startAPIServer starts kube-apiserver with RBAC and everything at its
// defaults but for three things. No controller runs beside it, so nothing makes
// default ServiceAccounts: the admission plugin that wants them is off. No
// Service has an endpoint. Namespaces that are deleted stay "Terminating".
func (s *Sandbox) startAPIServer(ctx context.Context, binary, etcdURL string) error {
	address, err := s.ports.address()
	if err != nil {
		return err
	}
	dir := filepath.Join(s.Dir, string(APIServer))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making a folder for kube-apiserver: %w", err)
	}
	if s.admin, err = writeCredentials(dir, address); err != nil {
		return fmt.Errorf("preparing kube-apiserver: %w", err)
	}
	client, err := rest.HTTPClientFor(s.admin)
	if err != nil {
		return fmt.Errorf("preparing kube-apiserver: %w", err)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	_, err = s.run(ctx, spec{
		name: string(APIServer),
		path: binary,
		dir:  dir,
		args: []string{
			"--etcd-servers=" + etcdURL,
			"--bind-address=" + host,
			"--advertise-address=" + host,
			"--secure-port=" + port,
			"--tls-cert-file=server.crt",
			"--tls-private-key-file=server.key",
			"--client-ca-file=ca.crt",
			"--cert-dir=" + dir,
			"--authorization-mode=RBAC",
			"--disable-admission-plugins=ServiceAccount",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-signing-key-file=tokens.key",
			"--service-account-key-file=tokens.key",
			"--service-cluster-ip-range=10.96.0.0/16",
			"--endpoint-reconciler-type=none",
		},
		ready: func(ctx context.Context, _ int) error { return getOK(ctx, client, s.admin.Host+"/readyz") },
	})
	if err != nil {
		return err
	}
	s.AdminKubeconfig = filepath.Join(s.Dir, "admin.kubeconfig")
	return writeKubeconfig(s.AdminKubeconfig, s.admin)
}

// writeCredentials makes what kube-apiserver reads (a certificate authority, a
// certificate of it, a key that signs tokens) and returns a configuration for
// an administrator.
func writeCredentials(dir, address string) (*rest.Config, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	serverCertificate, serverKey, err := ca.server()
	if err != nil {
		return nil, err
	}
	adminCertificate, adminKey, err := ca.client("sandbox-admin", "system:masters")
	if err != nil {
		return nil, err
	}
	signing, err := newKey()
	if err != nil {
		return nil, err
	}
	signingKey, err := encodeKey(signing)
	if err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{
		"ca.crt": ca.pem(), "server.crt": serverCertificate, "server.key": serverKey, "tokens.key": signingKey,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	return &rest.Config{
		Host: "https://" + address,
		QPS:  -1, // no limit: tests make many objects at once
		TLSClientConfig: rest.TLSClientConfig{
			CAData: ca.pem(), CertData: adminCertificate, KeyData: adminKey,
		},
	}, nil
}
