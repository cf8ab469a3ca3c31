package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// kubectlProgram is no server of the sandbox, and is built when it is first needed.
const kubectlProgram = "kubectl"

// BuildKubectl returns the path of a kubectl of the API server's version, which it builds if it is not in the cache
// yet: that of the system may be another one, or none. log may be nil.
func BuildKubectl(ctx context.Context, log func(format string, args ...any)) (string, error) {
	if log == nil {
		log = func(string, ...any) {}
	}
	binary, err := server{name: kubectlProgram, takes: "about 1 minute"}.build(ctx, log)
	if err != nil {
		return "", fmt.Errorf("building %s: %w", kubectlProgram, err)
	}
	return binary, nil
}

// Kubectl runs [BuildKubectl]'s kubectl as administrator and returns what it prints. Relative paths are those of this
// process. An error carries what it prints about the cause.
func (s *Sandbox) Kubectl(ctx context.Context, args ...string) (string, error) {
	if s.admin == nil {
		return "", errNoAPIServer
	}
	binary, err := BuildKubectl(ctx, nil)
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, binary, args...)
	// It remembers below HOME what the API server can do.
	command.Env = environment([]string{"KUBECONFIG=" + s.AdminKubeconfig, "HOME=" + filepath.Join(s.Dir, kubectlProgram)})
	command.SysProcAttr = attributes(spec{})
	var output, complaint bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaint
	if err := runBound(command); err != nil {
		return "", fmt.Errorf("running kubectl %q: %w: %s", args, err, lastLines(complaint.String(), tailLines))
	}
	return output.String(), nil
}
