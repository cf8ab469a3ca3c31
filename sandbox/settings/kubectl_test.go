package settings

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// kubectl replaces a text in a key of the settings as people do, with an editor. It says false where there is no
// kubectl.
func (c *cluster) kubectl(t *testing.T, key, old, now string) bool {
	t.Helper()
	path, err := exec.LookPath("kubectl")
	if err != nil {
		t.Log("there is no kubectl: the edit is made without it")
		return false
	}
	config := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, c.writeKubeconfig(config))
	edit := exec.CommandContext(c.wait(t), path, "--namespace", stage.Namespace, "edit", "configmap", stage.Namespace)
	edit.Env = append(os.Environ(), "HOME="+t.TempDir(), "KUBECONFIG="+config,
		fmt.Sprintf("KUBE_EDITOR=sed -i '/^  %s: /,/^  [a-z]/s/%s/%s/'", key, strings.TrimSpace(old), strings.TrimSpace(now)))
	out, err := edit.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl edit: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return true
}

// writeKubeconfig writes one for who may do everything.
func (c *cluster) writeKubeconfig(path string) error {
	const name = "sandbox"
	admin, file := c.AdminConfig(), api.NewConfig()
	file.Clusters[name] = &api.Cluster{Server: admin.Host, CertificateAuthorityData: admin.CAData}
	file.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: admin.CertData, ClientKeyData: admin.KeyData, Token: admin.BearerToken}
	file.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	file.CurrentContext = name
	return clientcmd.WriteToFile(*file, path)
}
