package sandbox

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenSeconds is the life of the token in a kubeconfig: a day, longer than any
// demo is left running.
const tokenSeconds = 24 * 60 * 60

// errNoAPIServer is what methods answer that need a part that was not started.
var errNoAPIServer = errors.New("the sandbox was started without kube-apiserver")

// AdminConfig returns a client configuration that may do everything, without a
// limit of requests, or nil where the API server was not started. It is a copy.
func (s *Sandbox) AdminConfig() *rest.Config {
	if s.admin == nil {
		return nil
	}
	return rest.CopyConfig(s.admin)
}

// Kubeconfig has the API server issue a token for a ServiceAccount that exists
// and writes a kubeconfig with it: whoever uses it has exactly the rights of
// that ServiceAccount. The token is good for a day; the path is the same for
// each call with the same arguments.
func (s *Sandbox) Kubeconfig(ctx context.Context, namespace, serviceAccount string) (path string, err error) {
	if s.admin == nil {
		return "", errNoAPIServer
	}
	client, err := kubernetes.NewForConfig(s.admin)
	if err != nil {
		return "", fmt.Errorf("preparing a client: %w", err)
	}
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, serviceAccount, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("requesting a token for ServiceAccount %s/%s: %w", namespace, serviceAccount, err)
	}
	config := rest.AnonymousClientConfig(s.admin)
	config.BearerToken = token.Status.Token
	path = filepath.Join(s.Dir, namespace+"."+serviceAccount+".kubeconfig")
	return path, writeKubeconfig(path, config)
}

// writeKubeconfig writes a client configuration as a file for kubectl and clients.
func writeKubeconfig(path string, config *rest.Config) error {
	const name = "sandbox"
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{
		Server:                   config.Host,
		CertificateAuthorityData: config.CAData,
	}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData,
		ClientKeyData:         config.KeyData,
		Token:                 config.BearerToken,
	}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: metav1.NamespaceDefault}
	file.CurrentContext = name
	if err := clientcmd.WriteToFile(*file, path); err != nil { // with mode 0600
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	return nil
}

// LeadThrough writes a copy of a kubeconfig that leads to another address, such as that of a proxy, whose certificate is
// one of those in ca, in PEM. The copy lies beside it, under a name of its own, and its path is returned.
func LeadThrough(path, address string, ca []byte, name string) (string, error) {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return "", fmt.Errorf("reading a kubeconfig: %w", err)
	}
	if len(config.Clusters) == 0 {
		return "", errors.New("reading a kubeconfig: it names no cluster")
	}
	for _, cluster := range config.Clusters {
		cluster.Server, cluster.CertificateAuthorityData = address, ca
	}
	through := filepath.Join(filepath.Dir(path), name)
	if err := clientcmd.WriteToFile(*config, through); err != nil {
		return "", fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return through, nil
}
