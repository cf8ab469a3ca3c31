package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// buildFlags make small binaries that do not depend on where they were built.
// The folders below servers/ are modules of their own because the servers'
// requirements clash, and their go.sum is not to be changed by a build.
var buildFlags = []string{"-trimpath", "-buildvcs=false", "-mod=readonly"}

// linkFlags leave out what only a debugger reads.
const linkFlags = "-s -w"

// server is a binary that is built from a module below servers/.
type server struct {
	name  string
	takes string // a first build on two cores, told so that nobody takes it for a hang
	parts []Part // what it serves as

	// module is the one whose version the linker writes into the variable
	// stamp, for a server that else would say it were v0.0.0; empty: none.
	module, stamp string
}

// servers are in the order of their first build: small ones first.
var servers = []server{
	{name: "etcd", takes: "about 1 minute", parts: []Part{Etcd}},
	{name: "registry", takes: "about 1 minute", parts: []Part{Registry, PrivateRegistry}},
	{name: "clair", takes: "about 2 minutes", parts: []Part{Clair}},
	{
		name: "kube-apiserver", takes: "about 5 minutes", parts: []Part{APIServer},
		module: "k8s.io/kubernetes", stamp: "k8s.io/component-base/version.gitVersion",
	},
}

// Build builds the servers of the parts (none: of all) that are not in the
// cache yet, without starting anything. log may be nil. The cache is the folder
// clairwatch of [os.UserCacheDir] and can be removed at any time.
func Build(ctx context.Context, log func(format string, args ...any), parts ...Part) error {
	parts, err := complete(parts)
	if err != nil {
		return err
	}
	if log == nil {
		log = func(string, ...any) {}
	}
	_, err = build(ctx, log, parts)
	return err
}

// build returns the paths of the parts' binaries. One is built after the other:
// the go command uses all cores for each.
func build(ctx context.Context, log func(string, ...any), parts []Part) (map[Part]string, error) {
	binaries := map[Part]string{}
	for _, server := range servers {
		wanted := slices.ContainsFunc(server.parts, func(part Part) bool { return slices.Contains(parts, part) })
		if !wanted {
			continue
		}
		binary, err := server.build(ctx, log)
		if err != nil {
			return nil, fmt.Errorf("building %s: %w", server.name, err)
		}
		for _, part := range server.parts {
			binaries[part] = binary
		}
	}
	return binaries, nil
}

// cacheFolder returns the folder that outlives sandboxes, and makes it.
func cacheFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache folder: %w", err)
	}
	dir := filepath.Join(cache, "clairwatch")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	return dir, nil
}

// sourceFolder returns the folder of a server's module beside this source file.
func sourceFolder(server string) (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("this program does not know where its source is: build it without -trimpath")
	}
	return filepath.Join(filepath.Dir(file), "servers", server), nil
}

// build returns the path of the binary, from the cache where its sources,
// requirements, flags and the Go version are those of an earlier build.
func (v server) build(ctx context.Context, log func(string, ...any)) (string, error) {
	source, err := sourceFolder(v.name)
	if err != nil {
		return "", err
	}
	key, err := v.key(ctx, source)
	if err != nil {
		return "", err
	}
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(cache, v.name+"-"+key)
	if isFile(binary) {
		log("%s: cached", v.name)
		return binary, nil
	}
	unlock, err := lockCache(ctx, log, cache, v.name, "builds "+v.name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if isFile(binary) { // built by the one we waited for
		log("%s: cached", v.name)
		return binary, nil
	}
	log("building %s (first time, %s) …", v.name, v.takes)
	begin := time.Now()
	if err := v.compile(ctx, log, source, binary); err != nil {
		return "", err
	}
	log("built %s in %s", v.name, time.Since(begin).Round(time.Second))
	return binary, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// key is a hash over all that a binary depends on.
func (v server) key(ctx context.Context, source string) (string, error) {
	version, err := askGo(ctx, source, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", fmt.Errorf("asking the go command for its version (is Go installed?): %w", err)
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%q\n%s\n%s\n", version, buildFlags, linkFlags, v.stamp)
	files, err := filepath.Glob(filepath.Join(source, "*.go"))
	if err != nil {
		return "", err
	}
	files = append(files, filepath.Join(source, "go.mod"), filepath.Join(source, "go.sum"))
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading its sources: %w", err)
		}
		fmt.Fprintf(hash, "%s %d\n", filepath.Base(path), len(text))
		hash.Write(text)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// lockCache waits until no other process holds the lock of that name, and says
// what that does: "builds etcd".
func lockCache(ctx context.Context, log func(string, ...any), cache, name, does string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(cache, name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for waited := false; ; waited = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil // closing unlocks
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("locking the cache: %w", err), file.Close())
		}
		if !waited {
			log("waiting for another process that %s …", does)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), file.Close())
		case <-tick.C:
		}
	}
}

// compile builds beside the binary's place and then renames, so that a broken
// build leaves no binary.
func (v server) compile(ctx context.Context, log func(string, ...any), source, binary string) error {
	link := linkFlags
	if v.module != "" {
		version, err := askGo(ctx, source, "list", "-m", "-f", "{{.Version}}", v.module)
		if err != nil {
			return fmt.Errorf("asking for the version of %s: %w", v.module, err)
		}
		link += " -X " + v.stamp + "=" + version
	}
	early := binary + ".new"
	args := slices.Concat([]string{"build"}, buildFlags, []string{"-ldflags=" + link, "-o", early, "."})
	command := goCommand(ctx, source, args...)
	command.Env = append(command.Env, "CGO_ENABLED=0")
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output

	ended := make(chan struct{})
	defer close(ended)
	go reportProgress(log, v.name, ended)
	if err := runBound(command); err != nil {
		return errors.Join(fmt.Errorf("%w; its output ends with:\n%s", err, lastLines(output.String(), tailLines)), removeFile(early))
	}
	return os.Rename(early, binary)
}

// reportProgress says every half minute that a build goes on.
func reportProgress(log func(string, ...any), server string, ended <-chan struct{}) {
	const every = 30 * time.Second
	tick := time.NewTicker(every)
	defer tick.Stop()
	for passed := every; ; passed += every {
		select {
		case <-ended:
			return
		case <-tick.C:
			log("still building %s (%s) …", server, passed)
		}
	}
}

// goCommand is the go command in a folder, whatever workspace lies above it.
// When ctx ends it is killed with the compilers that it runs.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GOWORK=off")
	command.SysProcAttr = attributes(spec{})
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	return command
}

// askGo returns the trimmed output of a go command.
func askGo(ctx context.Context, dir string, args ...string) (string, error) {
	command := goCommand(ctx, dir, args...)
	var output, complaint bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaint
	if err := runBound(command); err != nil {
		return "", fmt.Errorf("%w: %s", err, lastLines(complaint.String(), tailLines))
	}
	return strings.TrimSpace(output.String()), nil
}

// runBound runs a short-lived command whose life is bound to this process: see
// Process.launch for why it takes a thread of its own.
func runBound(command *exec.Cmd) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- command.Run()
	}()
	return <-result
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// lastLines returns the last n lines of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
