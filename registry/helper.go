package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

const (
	// helperTime is how long a credential helper may take.
	helperTime = 30 * time.Second
	// helpedFor is how long its answer is good: tokens of clouds last for hours, and
	// a helper keeps them itself. unhelpedFor is that of a failure.
	helpedFor   = 5 * time.Minute
	unhelpedFor = time.Minute
	// maxHelped bounds its answer.
	maxHelped = 64 << 10
	// helperPrefix begins the name of its program, as docker has it.
	helperPrefix = "docker-credential-"
)

// helperName is what may follow helperPrefix: no path.
var helperName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// helpers are the programs that a docker config names instead of credentials: one for
// each host (credHelpers), and one for all others (credsStore). They are run with the
// daemon's environment and rights, so only the daemon's own config may name any.
type helpers struct {
	byHost map[string]string
	others string

	run  func(ctx context.Context, name, host string) helped
	turn chan struct{}     // one runs at a time
	said map[string]helped // by host; guarded by turn
}

// helped is what a helper has said.
type helped struct {
	credentials []Credential // one, or none
	err         error
	until       time.Time
}

// readHelpers reads those of a docker config, which is known to be JSON.
func readHelpers(config []byte) (*helpers, error) {
	var named struct {
		CredHelpers map[string]string `json:"credHelpers"`
		CredsStore  string            `json:"credsStore"`
	}
	if json.Unmarshal(config, &named) != nil {
		return nil, fmt.Errorf("%w: its credHelpers or credsStore are none", ErrCredentials)
	}
	h := &helpers{
		byHost: make(map[string]string), others: named.CredsStore,
		run: runHelper, turn: make(chan struct{}, 1), said: make(map[string]helped),
	}
	for host, name := range named.CredHelpers {
		h.byHost[hostOfKey(host)] = name
	}
	return h, nil
}

// hostOfKey is the host that a key of a docker config means: docker login writes
// Docker Hub as an address.
func hostOfKey(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, _, _ := strings.Cut(key, "/")
	if host = strings.ToLower(host); host == hubKey || host == "registry-1.docker.io" {
		return "docker.io"
	}
	return host
}

// lookup asks the helper of a repository's host: one that is named for it, or, where
// nothing else was found, that of all others.
func (h *helpers) lookup(ctx context.Context, repo string, found bool) ([]Credential, error) {
	host := hostOfKey(repo)
	name, ok := h.byHost[host]
	if !ok && !found {
		name = h.others
	}
	if name == "" {
		return nil, nil
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the credential helper of %s: %w", host, context.Cause(ctx))
	}
	if said, ok := h.said[host]; ok && time.Now().Before(said.until) {
		return said.credentials, said.err
	}
	said := h.run(ctx, name, host)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("running the credential helper of %s: %w", host, context.Cause(ctx))
	}
	said.until = time.Now().Add(helpedFor)
	if said.err != nil {
		said.until = time.Now().Add(unhelpedFor)
	}
	if len(h.said) >= maxRemembered {
		clear(h.said)
	}
	h.said[host] = said
	return said.credentials, said.err
}

// runHelper runs the program docker-credential-name of the PATH by the protocol of
// docker's credential helpers: the host on its input, JSON on its output. Its errors
// are [ErrCredentials] and hold nothing of what it has written.
func runHelper(ctx context.Context, name, host string) helped {
	wrong := func(format string, args ...any) helped {
		return helped{err: fmt.Errorf("%w: "+format, append([]any{ErrCredentials}, args...)...)}
	}
	if !helperName.MatchString(name) {
		return wrong("the credential helper that it names for %s is no name of a program", host)
	}
	program := helperPrefix + name
	path, err := exec.LookPath(program)
	if err != nil {
		return wrong("it names the credential helper %s for %s, which is not in the image of the daemon: write the credentials themselves under auths, or put the program into the PATH of an image of your own", program, host)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, helperTime, fmt.Errorf("it took longer than %s", helperTime))
	defer cancel()
	server := host
	if host == "docker.io" {
		server = "https://" + hubKey + "/v1/" // as docker login has it
	}
	var out limited
	cmd := exec.CommandContext(ctx, path, "get")
	cmd.Stdin, cmd.Stdout, cmd.WaitDelay = strings.NewReader(server), &out, time.Second
	err = cmd.Run()
	switch {
	case out.over:
		return wrong("%s for %s: its answer has more than %d bytes", program, host, maxHelped)
	case err == nil:
	case ctx.Err() != nil:
		return wrong("%s for %s: %w", program, host, context.Cause(ctx))
	case bytes.Contains(bytes.ToLower(out.kept), []byte("credentials not found")):
		return helped{}
	default:
		return wrong("%s for %s: %w: run it by hand to see why", program, host, err)
	}
	c, err := decodeHelped(out.kept)
	if err != nil {
		return wrong("%s for %s: %w", program, host, err)
	}
	return helped{credentials: []Credential{c}}
}

// decodeHelped reads a helper's answer.
func decodeHelped(answer []byte) (Credential, error) {
	var said struct{ Username, Secret string }
	if json.Unmarshal(answer, &said) != nil {
		return Credential{}, errors.New("its answer is not the JSON of a credential")
	}
	switch {
	case said.Username == "<token>":
		return Credential{}, errors.New("it gives an identity token, which is not used: want a user name and a password")
	case said.Username == "" || said.Secret == "":
		return Credential{}, errors.New("its answer holds no user name and password")
	}
	return Credential{Username: said.Username, Password: said.Secret}, nil
}

// limited keeps maxHelped bytes. It has no other method: what copies to it must not
// find a way round the limit.
type limited struct {
	kept []byte
	over bool
}

// Write refuses what is beyond the limit.
func (l *limited) Write(b []byte) (int, error) {
	if l.over = l.over || len(l.kept)+len(b) > maxHelped; l.over {
		return 0, io.ErrShortWrite
	}
	l.kept = append(l.kept, b...)
	return len(b), nil
}
