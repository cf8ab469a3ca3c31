package sandbox

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// The release of axe-core, and what its script is.
const (
	axeVersion = "4.14.1"
	axeSHA256  = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
	axeScript  = "package/axe.min.js" // in the archive
	axeLimit   = 4 << 20              // how many bytes the script may have
)

// ErrNoAxe says that axe-core, the check of accessibility, is not there and cannot be
// had: it comes from npm.
var ErrNoAxe = errors.New("axe-core " + axeVersion + " cannot be had: install npm, on Debian by: apt-get install npm")

// AxeCore returns the script of axe-core, which gives a page the object axe. It is
// fetched by npm, which is installed where that is possible, and kept in the user's cache
// folder. An error that is [ErrNoAxe] says that it cannot be had. log may be nil.
func AxeCore(ctx context.Context, log func(format string, args ...any)) (string, error) {
	if log == nil {
		log = func(string, ...any) {}
	}
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	file := filepath.Join(cache, "axe-core-"+axeVersion+".min.js")
	if script, err := os.ReadFile(file); err == nil && isAxe(script) {
		return string(script), nil
	}
	unlock, err := lockCache(ctx, log, cache, "axe-core", "fetches axe-core")
	if err != nil {
		return "", err
	}
	defer unlock()
	if script, err := os.ReadFile(file); err == nil && isAxe(script) { // by the one we waited for
		return string(script), nil
	}
	npm, err := findNPM(ctx, log)
	if err != nil {
		return "", err
	}
	script, err := fetchAxe(ctx, npm, cache)
	if err != nil {
		return "", errors.Join(ErrNoAxe, err)
	}
	early := file + ".new"
	if err := os.WriteFile(early, script, 0o644); err != nil {
		return "", fmt.Errorf("keeping axe-core: %w", err)
	}
	if err := os.Rename(early, file); err != nil {
		return "", fmt.Errorf("keeping axe-core: %w", err)
	}
	return string(script), nil
}

// isAxe says whether a script is the one that is meant.
func isAxe(script []byte) bool {
	sum := sha256.Sum256(script)
	return hex.EncodeToString(sum[:]) == axeSHA256
}

// findNPM returns the path of npm. As root on a system with apt it installs it where it
// is missing.
func findNPM(ctx context.Context, log func(string, ...any)) (string, error) {
	return findOrInstall(ctx, log, func() (string, bool) { return inPath("npm") }, ErrNoAxe, "npm")
}

// fetchAxe lets npm download axe-core and returns its script. Nothing of the package is
// run.
func fetchAxe(ctx context.Context, npm, cache string) ([]byte, error) {
	dir, err := os.MkdirTemp(cache, "axe-core-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	command := exec.CommandContext(ctx, npm, "pack", "--ignore-scripts", "axe-core@"+axeVersion)
	command.Dir = dir
	if output, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("running npm pack: %w; its output ends with:\n%s", err, lastLines(string(output), tailLines))
	}
	script, err := readArchived(filepath.Join(dir, "axe-core-"+axeVersion+".tgz"), axeScript, axeLimit)
	if err != nil {
		return nil, fmt.Errorf("reading axe-core: %w", err)
	}
	if !isAxe(script) {
		return nil, fmt.Errorf("reading axe-core: %s of version %s is not what it was", axeScript, axeVersion)
	}
	return script, nil
}

// readArchived returns a file of a .tgz. One of more than limit bytes is an error.
func readArchived(archive, name string, limit int64) ([]byte, error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	for entries := tar.NewReader(unzipped); ; {
		entry, err := entries.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("no %s in %s", name, filepath.Base(archive))
		case err != nil:
			return nil, err
		case entry.Name != name:
			continue
		case entry.Size > limit:
			return nil, fmt.Errorf("%s has %d bytes, more than %d", name, entry.Size, limit)
		}
		return io.ReadAll(entries)
	}
}
