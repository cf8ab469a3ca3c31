// Package sandbox runs the real servers that clairwatch works with (etcd,
// kube-apiserver, Postgres, Clair and two OCI registries) as child processes on
// loopback, for the demo and for end-to-end tests.
//
// Everything of a sandbox lies in one temporary folder and ends with it: when
// [Sandbox.Stop] is called, when the context of [Start] ends, and when the
// process that started it dies, even by SIGKILL. The servers are built from
// their Go modules when they are first needed and kept in the user's cache
// folder ([Build]); Postgres is the system's. Linux only.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
)

// Part names one of the servers.
type Part string

// The servers of a sandbox. APIServer needs Etcd and Clair needs Postgres:
// both are started with what they need.
const (
	Etcd            Part = "etcd"
	APIServer       Part = "kube-apiserver"
	Postgres        Part = "postgres"
	Clair           Part = "clair"
	Registry        Part = "registry"         // open to everybody
	PrivateRegistry Part = "private-registry" // wants a token for everything
)

// Options say what a sandbox consists of. The zero value starts everything and
// says nothing.
type Options struct {
	// Parts are the servers to start, with what they need. Empty: all.
	Parts []Part
	// Log is told in one line what happens: builds, starts, a server that ended
	// by itself. It may be called by several goroutines at once. Nil: nothing.
	Log func(format string, args ...any)
	// Keep leaves the folder with its logs and data in place after the end.
	Keep bool
	// PSK is the key, of 32 bytes at least, that every Clair shares with its clients: it answers only requests that
	// are signed with it, by PSKIssuer, and signs its webhooks. Nil: it answers anybody and signs nothing.
	PSK []byte
}

// Sandbox is a set of running servers. Its fields are set by [Start] and do not
// change; a field of a part that was not started is empty. Its methods may be
// called concurrently.
type Sandbox struct {
	Dir string // the folder that holds configuration, data and logs

	AdminKubeconfig string // path of a kubeconfig that may do everything

	EtcdURL string // etcd's API for its clients, which is the API server's, and no business of a user's

	ClairURL              string // Clair's API, without a slash at the end
	ClairIntrospectionURL string // Clair's /healthz, /readyz and /metrics, likewise

	// DaemonAddr is an address (host:port) kept free for the daemon to listen
	// on. Clair's notifier delivers to NotifyURL, the daemon's /notify there.
	DaemonAddr string
	NotifyURL  string

	RegistryHost        string // host:port of the open registry, plain HTTP
	PrivateRegistryHost string // host:port of the registry that wants tokens, plain HTTP
	TokenHost           string // host:port of its token server, plain HTTP
	// PrivateUser may pull from the private registry, and not push: all but TenantRepositories, which
	// TenantUser may pull, and nothing else.
	PrivateUser, PrivatePassword string
	TenantUser, TenantPassword   string

	log      func(format string, args ...any)
	keep     bool
	psk      []byte
	lock     *os.File // held locked while the sandbox lives, see sweep; nil with keep
	ports    *ports
	admin    *rest.Config
	postgres *postgresServer
	clair    *ClairServer
	tokens   *tokenServer

	mu        sync.Mutex   // guards what is below
	processes []*Process   // in the order of their start
	own       []*ownServer // in this process
	added     int          // registries
	stopped   bool         // nothing is added any more

	stopOnce sync.Once
	stopErr  error
}

// Start builds what is missing and runs the servers until ctx ends or Stop is
// called. It returns when all of them answer. The first error ends those that
// run already; it carries the last lines of the log of the server that failed.
func Start(ctx context.Context, options Options) (*Sandbox, error) {
	parts, err := complete(options.Parts)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{log: options.Log, keep: options.Keep, psk: options.PSK}
	if s.log == nil {
		s.log = func(string, ...any) {}
	}
	binaries, err := build(ctx, s.log, parts)
	if err != nil {
		return nil, err
	}
	if err := s.makeFolder(); err != nil {
		return nil, err
	}
	if err := s.startParts(ctx, parts, binaries); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	context.AfterFunc(ctx, func() {
		if err := s.Stop(); err != nil {
			s.log("%v", err)
		}
	})
	return s, nil
}

// complete returns the parts with those that they need.
func complete(parts []Part) ([]Part, error) {
	all := []Part{Etcd, APIServer, Postgres, Clair, Registry, PrivateRegistry}
	if len(parts) == 0 {
		return all, nil
	}
	wanted := map[Part]bool{}
	for _, part := range parts {
		if !slices.Contains(all, part) {
			return nil, fmt.Errorf("unknown part %q of a sandbox: it has %q", part, all)
		}
		wanted[part] = true
	}
	wanted[Etcd] = wanted[Etcd] || wanted[APIServer]
	wanted[Postgres] = wanted[Postgres] || wanted[Clair]
	return slices.DeleteFunc(all, func(part Part) bool { return !wanted[part] }), nil
}

// startParts starts the parts that do not need each other at the same time.
func (s *Sandbox) startParts(ctx context.Context, parts []Part, binaries map[Part]string) error {
	var err error
	if s.ports, err = newPorts(); err != nil {
		return err
	}
	if s.DaemonAddr, err = s.ports.address(); err != nil {
		return err
	}
	s.NotifyURL = "http://" + s.DaemonAddr + "/notify"

	group, ctx := errgroup.WithContext(ctx)
	has := func(part Part) bool { return slices.Contains(parts, part) }
	if has(Etcd) {
		group.Go(func() error {
			etcdURL, err := s.startEtcd(ctx, binaries[Etcd])
			if err != nil || !has(APIServer) {
				return err
			}
			return s.startAPIServer(ctx, binaries[APIServer], etcdURL)
		})
	}
	if has(Postgres) {
		group.Go(func() error {
			if err := s.startPostgres(ctx); err != nil || !has(Clair) {
				return err
			}
			return s.startClair(ctx, binaries[Clair])
		})
	}
	if has(Registry) {
		group.Go(func() error { return s.startRegistry(ctx, binaries[Registry]) })
	}
	if has(PrivateRegistry) {
		group.Go(func() error { return s.startPrivateRegistry(ctx, binaries[PrivateRegistry]) })
	}
	return group.Wait()
}

// Stop ends all processes in the reverse order of their start, waits for them,
// and removes the folder unless it is to be kept. A second call waits for the
// first and returns the same.
func (s *Sandbox) Stop() error {
	s.stopOnce.Do(func() { s.stopErr = s.stop() })
	return s.stopErr
}

func (s *Sandbox) stop() error {
	s.mu.Lock()
	s.stopped = true
	processes, own := slices.Clone(s.processes), slices.Clone(s.own)
	s.mu.Unlock()

	var errs []error
	for _, process := range slices.Backward(processes) {
		errs = append(errs, process.retire())
	}
	for _, server := range own {
		errs = append(errs, server.stop())
	}
	if s.ports != nil {
		errs = append(errs, s.ports.release())
	}
	if s.keep {
		s.log("kept %s", s.Dir)
	} else {
		errs = append(errs, os.RemoveAll(s.Dir), s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stopping the sandbox: %w", err)
	}
	return nil
}

// Address reserves an address (host:port) of loopback that stays free until the
// sandbox ends, for one more daemon to listen on.
func (s *Sandbox) Address() (string, error) { return s.ports.address() }

// Process returns the process of a part, or nil where the part was not started.
func (s *Sandbox) Process(part Part) *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, process := range s.processes {
		if process.name == string(part) {
			return process
		}
	}
	return nil
}

// StartDaemon runs a binary as a child process of the sandbox: in a folder of
// its own, its output in a log file, ended before the servers are. It has the
// environment env and, where env does not say otherwise, PATH, HOME and TMPDIR
// of this process. StartDaemon does not wait until the binary is ready: see
// [Process.Wait] and [Process.Tail] for what becomes of it.
func (s *Sandbox) StartDaemon(ctx context.Context, binary string, args, env []string) (*Process, error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, fmt.Errorf("finding the daemon: %w", err)
	}
	return s.run(ctx, spec{name: "daemon", path: path, args: args, env: env})
}

// run starts a process, waits until it is ready and ends it when the sandbox ends.
func (s *Sandbox) run(ctx context.Context, sp spec) (*Process, error) {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return nil, fmt.Errorf("starting %s: the sandbox has been stopped", sp.name)
	}
	sp.name = s.freeName(sp.name)
	process, err := newProcess(s.Dir, sp, s.log)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	// Known before it is started: a Stop from now on waits for the start and ends it.
	s.processes = append(s.processes, process)
	s.mu.Unlock()
	begin := time.Now()
	if err := process.Start(ctx); err != nil {
		return nil, err
	}
	s.log("%s started in %.1f s", sp.name, time.Since(begin).Seconds())
	return process, nil
}

// freeName numbers processes that would have the same name; s.mu is held.
func (s *Sandbox) freeName(name string) string {
	taken := func(name string) bool {
		return slices.ContainsFunc(s.processes, func(p *Process) bool { return p.name == name })
	}
	candidate := name
	for i := 2; taken(candidate); i++ {
		candidate = fmt.Sprintf("%s-%d", name, i)
	}
	return candidate
}
