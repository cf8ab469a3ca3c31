package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clusterSQL is what Clair needs. uuid-ossp is made here, in the template of
// the databases that follow, so that a Postgres without its contrib modules is
// found out before Clair's migrations trip over it.
const clusterSQL = `create extension "uuid-ossp";
create role clair login superuser;
create database indexer owner clair;
create database matcher owner clair;
create database notifier owner clair;
`

// clairRole owns Clair's databases and has no password.
const clairRole = "clair"

// postgresServer is the sandbox's Postgres.
type postgresServer struct {
	bin     string // the folder of its programs
	dir     string // where they are run
	address string
}

// startPostgres starts the system's Postgres with a cluster of its own, three
// empty databases and the role clair.
func (s *Sandbox) startPostgres(ctx context.Context) error {
	bin, err := findPostgres(ctx, s.log)
	if err != nil {
		return err
	}
	credential, err := postgresUser()
	if err != nil {
		return err
	}
	address, err := s.ports.address()
	if err != nil {
		return err
	}
	data := filepath.Join(s.Dir, string(Postgres))
	if err := makeDataFolder(data, credential); err != nil {
		return err
	}
	if err := initCluster(ctx, bin, data, credential); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	_, err = s.run(ctx, spec{
		name:       string(Postgres),
		path:       filepath.Join(bin, "postgres"),
		args:       append([]string{"-D", data, "-h", "127.0.0.1", "-p", port}, clusterSettings("unix_socket_directories=")...),
		dir:        data,
		credential: credential,
		stopSignal: syscall.SIGINT,  // "fast": ends sessions, then itself
		dieSignal:  syscall.SIGQUIT, // "immediate": SIGKILL would leave shared memory behind
		ready: func(_ context.Context, pid int) error {
			return postmasterReady(data, pid)
		},
	})
	s.postgres = &postgresServer{bin: bin, dir: s.Dir, address: address}
	return err
}

// create makes a Clair's databases.
func (p *postgresServer) create(ctx context.Context, databases clairDatabases) error {
	for _, name := range []string{databases.indexer, databases.matcher, databases.notifier} {
		if err := p.run(ctx, "postgres", fmt.Sprintf("create database %q owner %s", name, clairRole)); err != nil {
			return err
		}
	}
	return nil
}

// AddDatabase makes an empty database of the role clair, which has to show a password for this one, and returns the
// address (host:port) of its Postgres. It needs Postgres to have been started, and is called once: the role has one
// password.
func (s *Sandbox) AddDatabase(ctx context.Context, name, password string) (address string, err error) {
	if s.postgres == nil {
		return "", errors.New("adding a database: the sandbox was started without Postgres")
	}
	if err := s.postgres.add(ctx, name, password); err != nil {
		return "", fmt.Errorf("adding a database: %w", err)
	}
	return s.postgres.address, nil
}

func (p *postgresServer) add(ctx context.Context, name, password string) error {
	rules := filepath.Join(p.dir, string(Postgres), "pg_hba.conf")
	text, err := os.ReadFile(rules)
	if err != nil {
		return err
	}
	first := fmt.Appendf(nil, "host %q all 127.0.0.1/32 scram-sha-256\n", name) // the first rule that fits counts
	if err := os.WriteFile(rules, append(first, text...), 0o600); err != nil {
		return err
	}
	for _, statement := range []string{
		fmt.Sprintf("alter role %s password '%s'", clairRole, strings.ReplaceAll(password, "'", "''")),
		"select pg_reload_conf()",
		fmt.Sprintf("create database %q owner %s", name, clairRole),
	} {
		if err := p.run(ctx, "postgres", statement); err != nil {
			return err
		}
	}
	// The rules are read some time after they were asked to be.
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for p.run(ctx, name, "select 1") == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until it asks for a password: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// drop removes a Clair's databases, from under whoever is still connected.
func (p *postgresServer) drop(ctx context.Context, databases clairDatabases) error {
	for _, name := range []string{databases.indexer, databases.matcher, databases.notifier} {
		if err := p.run(ctx, "postgres", fmt.Sprintf("drop database %q with (force)", name)); err != nil {
			return err
		}
	}
	return nil
}

// run runs a statement in a database.
func (p *postgresServer) run(ctx context.Context, database, statement string) error {
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, filepath.Join(p.bin, "psql"), "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1",
		"-h", host, "-p", port, "-U", clairRole, "-d", database, "-c", statement)
	command.Dir, command.Env = p.dir, environment(nil)
	command.SysProcAttr = attributes(spec{})
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := runBound(command); err != nil {
		return fmt.Errorf("running %q in the database %s: %w; the output ends with:\n%s", statement, database, err, lastLines(output.String(), tailLines))
	}
	return nil
}

// clusterSettings trade safety against a crash of the machine for speed.
func clusterSettings(more ...string) []string {
	var args []string
	for _, setting := range append([]string{"fsync=off", "synchronous_commit=off", "full_page_writes=off"}, more...) {
		args = append(args, "-c", setting)
	}
	return args
}

// findPostgres returns the folder of postgres and initdb. As root on a system
// with apt it installs them where there are none.
func findPostgres(ctx context.Context, log func(string, ...any)) (string, error) {
	find := func() (string, bool) {
		return installedPostgres(os.Getenv("PATH"), "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
	}
	missing := errors.New("no Postgres found in PATH or below /usr/lib/postgresql: install it with its contrib modules, on Debian and Ubuntu by: apt-get install postgresql")
	return findOrInstall(ctx, log, find, missing, "postgresql")
}

// installedPostgres looks through a search path and then through patterns of
// folders, there for the highest version.
func installedPostgres(path string, patterns ...string) (string, bool) {
	for _, dir := range filepath.SplitList(path) {
		// A link leads to the folder that has the other programs, too.
		program, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err == nil && isFile(filepath.Join(filepath.Dir(program), "initdb")) {
			return filepath.Dir(program), true
		}
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(pattern, "initdb"))
		if err != nil || len(found) == 0 {
			continue
		}
		slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(found[len(found)-1]), true
	}
	return "", false
}

// version reads the major version out of …/15/bin/initdb or …/pgsql-15/bin/initdb.
func version(initdb string) int {
	folder := filepath.Base(filepath.Dir(filepath.Dir(initdb)))
	number, err := strconv.Atoi(strings.TrimPrefix(folder, "pgsql-"))
	if err != nil {
		return 0 // sorts before any version
	}
	return number
}

// postgresUser returns the user that Postgres runs as: it refuses to be root.
func postgresUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("running Postgres as root is refused by it: create a user postgres or run as another user: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("reading the user id of postgres: %w", err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("reading the group id of postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func makeDataFolder(data string, credential *syscall.Credential) error {
	if err := os.Mkdir(data, 0o700); err != nil {
		return fmt.Errorf("making a folder for Postgres: %w", err)
	}
	if credential == nil {
		return nil
	}
	if err := os.Chown(data, int(credential.Uid), int(credential.Gid)); err != nil {
		return fmt.Errorf("making a folder for Postgres: %w", err)
	}
	return nil
}

// initCluster makes the cluster and, by Postgres's single-user mode, what is in it.
func initCluster(ctx context.Context, bin, data string, credential *syscall.Credential) error {
	run := func(input, program string, args ...string) error {
		command := exec.CommandContext(ctx, filepath.Join(bin, program), args...)
		command.Dir, command.Env = data, environment(nil)
		command.Stdin = strings.NewReader(input)
		command.SysProcAttr = attributes(spec{credential: credential})
		var output bytes.Buffer
		command.Stdout, command.Stderr = &output, &output
		err := runBound(command)
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("running %s for Postgres: its user must be able to reach %s, set TMPDIR to a folder that others may pass through: %w", program, data, err)
		}
		if err != nil {
			return fmt.Errorf("running %s for Postgres: %w; its output ends with:\n%s", program, err, lastLines(output.String(), tailLines))
		}
		return nil
	}
	err := run("", "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	if err != nil {
		return err
	}
	return run(clusterSQL, "postgres", append([]string{"--single", "-D", data}, append(clusterSettings("exit_on_error=on"), "template1")...)...)
}

// postmasterReady reads the state that the postmaster writes for pg_ctl: its
// process id in the first line, "ready" in the eighth.
func postmasterReady(data string, pid int) error {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 8 || lines[0] != strconv.Itoa(pid) || strings.TrimSpace(lines[7]) != "ready" {
		return errors.New("not ready yet")
	}
	return nil
}
