package sandbox

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
)

// ErrNoChromium says that there is no Chromium and none can be had: none is in PATH, and
// none can be installed.
var ErrNoChromium = errors.New("no Chromium found in PATH: install it, on Debian by: apt-get install chromium-headless-shell fonts-liberation")

// chromiums are the programs that will do. The shell without a window comes first: it
// needs least.
func chromiums() []string {
	return []string{"chromium-headless-shell", "chrome-headless-shell", "chromium", "google-chrome"}
}

// FindChromium returns the path of a Chromium. As root on a system with apt it installs
// one where there is none: it needs too many libraries to be unpacked somewhere. An error
// that is [ErrNoChromium] says that there is none. log may be nil.
func FindChromium(ctx context.Context, log func(format string, args ...any)) (string, error) {
	if log == nil {
		log = func(string, ...any) {}
	}
	find := func() (string, bool) { return inPath(chromiums()...) }
	return findOrInstall(ctx, log, find, ErrNoChromium, "chromium-headless-shell", "fonts-liberation")
}

// inPath returns the absolute path of the first of some programs that is in PATH.
func inPath(programs ...string) (string, bool) {
	for _, program := range programs {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		if path, err = filepath.Abs(path); err == nil {
			return path, true
		}
	}
	return "", false
}
