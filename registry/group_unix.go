//go:build unix

package registry

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup has cmd, which is not started yet, lead a group of processes of its own. When
// its context ends, all of them are ended. What ownGroup returns, called after cmd, ends
// those that it has left behind, and takes leave of them where they have become ours:
// the daemon is often the first process of its container.
func ownGroup(cmd *exec.Cmd) (end func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	return func() {
		if cmd.Process == nil || cmd.Cancel() != nil {
			return // nothing was started, or nothing is left
		}
		for {
			if _, err := syscall.Wait4(-cmd.Process.Pid, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	}
}
