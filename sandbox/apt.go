package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// lockApt waits until no other sandbox uses apt-get, of which a second one at the same
// time would fail.
func lockApt(ctx context.Context, log func(string, ...any)) (unlock func(), err error) {
	cache, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	return lockCache(ctx, log, cache, "apt", "runs apt-get")
}

// canInstall says whether [aptInstall] can be tried: as root, where there is apt-get.
func canInstall() bool {
	_, err := exec.LookPath("apt-get")
	return err == nil && os.Geteuid() == 0
}

// findOrInstall returns the path of something that find finds. As root on a system with
// apt it installs some packages where there is nothing; missing says that none can be had.
func findOrInstall(ctx context.Context, log func(string, ...any), find func() (string, bool), missing error, packages ...string) (string, error) {
	if path, ok := find(); ok {
		return path, nil
	}
	if !canInstall() {
		return "", missing
	}
	unlock, err := lockApt(ctx, log)
	if err != nil {
		return "", err
	}
	defer unlock()
	if path, ok := find(); ok { // installed by the one we waited for
		return path, nil
	}
	log("installing %s (by apt-get) …", strings.Join(packages, ", "))
	if err := aptInstall(ctx, packages...); err != nil {
		return "", errors.Join(missing, err)
	}
	if path, ok := find(); ok {
		return path, nil
	}
	return "", missing
}

// aptInstall installs Debian's packages, and nothing that they only recommend. The lock
// of [lockApt] is held.
func aptInstall(ctx context.Context, packages ...string) error {
	if err := aptGet(ctx, "/", "update"); err != nil {
		return err
	}
	return aptGet(ctx, "/", append([]string{"install", "-y", "--no-install-recommends"}, packages...)...)
}

// aptGet runs apt-get in a folder, which is where it puts what it downloads.
func aptGet(ctx context.Context, dir string, args ...string) error {
	command := exec.CommandContext(ctx, "apt-get", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("running apt-get %s: %w; its output ends with:\n%s", args[0], err, lastLines(string(output), tailLines))
	}
	return nil
}
