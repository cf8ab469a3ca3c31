package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// debianPackage is one of Debian's of which programs are used, and nothing else.
type debianPackage struct {
	name     string
	programs []string // of its /usr/bin
	missing  error    // says that it is not there and cannot be had
}

// find returns the paths of the programs, by name: those that are installed, those of
// the cache, or ones that are downloaded into it, which needs no root and starts
// nothing.
func (p debianPackage) find(ctx context.Context, log func(string, ...any)) (map[string]string, error) {
	paths, err := p.there(exec.LookPath)
	if err == nil {
		return paths, nil
	}
	cache, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	cached := func(program string) (string, error) {
		path := filepath.Join(cache, program)
		if !isFile(path) {
			return "", p.missing
		}
		return path, nil
	}
	if paths, err := p.there(cached); err == nil {
		return paths, nil
	}
	for _, program := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, p.missing
		}
	}
	unlock, err := lockApt(ctx, log)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if paths, err := p.there(cached); err == nil { // downloaded by the one we waited for
		return paths, nil
	}
	log("downloading Debian's %s …", p.name)
	if err := p.download(ctx, cache); err != nil {
		return nil, errors.Join(p.missing, err)
	}
	return p.there(cached)
}

// there looks for all programs in one way.
func (p debianPackage) there(look func(program string) (string, error)) (map[string]string, error) {
	paths := make(map[string]string, len(p.programs))
	for _, program := range p.programs {
		path, err := look(program)
		if err != nil {
			return nil, err
		}
		if paths[program], err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// download puts the programs into a folder.
func (p debianPackage) download(ctx context.Context, into string) error {
	dir, err := os.MkdirTemp(into, p.name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	download := func() error { return aptGet(ctx, dir, "download", p.name) }
	if err = download(); err != nil && os.Geteuid() == 0 {
		// A machine that has never asked knows of no packages.
		if err = aptGet(ctx, dir, "update"); err == nil {
			err = download()
		}
	}
	if err != nil {
		return err
	}
	packages, err := filepath.Glob(filepath.Join(dir, p.name+"_*.deb"))
	if err != nil {
		return err
	}
	if len(packages) != 1 {
		return fmt.Errorf("apt-get downloaded %d packages, want 1", len(packages))
	}
	contents := filepath.Join(dir, "contents")
	if output, err := exec.CommandContext(ctx, "dpkg-deb", "-x", packages[0], contents).CombinedOutput(); err != nil {
		return fmt.Errorf("unpacking %s: %w; the output ends with:\n%s", filepath.Base(packages[0]), err, lastLines(string(output), tailLines))
	}
	for _, program := range p.programs {
		if err := os.Rename(filepath.Join(contents, "usr", "bin", program), filepath.Join(into, program)); err != nil {
			return err
		}
	}
	return nil
}
