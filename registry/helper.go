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
	"sync"
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
	err    error // what is wrong with how they are named

	run  func(ctx context.Context, name, host string) helped
	turn chan struct{} // one runs at a time

	mu   sync.Mutex
	said map[string]helped // by host; guarded by mu
}

// helped is what a helper has said.
type helped struct {
	credentials []Credential // one, or none
	err         error
	missing     bool // there is no such program
	until       time.Time
}

// unhelped is the error of a docker config that names a helper for all hosts which is
// not there, as docker login on a desktop writes it and the daemon then gets it. That is
// as if it were not named, but for the advice to whom a registry refuses. What is beside
// it says as much as there is to know.
type unhelped struct{ program string }

// Error names the program.
func (e unhelped) Error() string {
	return "the docker config names the credential helper " + e.program + ", which is not in the image of the daemon"
}

// Unwrap is [ErrCredentials].
func (unhelped) Unwrap() error { return ErrCredentials }

// both is one error, of one line, for two look-ups. Beside a failure it is of no
// interest that a helper is not there.
func both(a, b error) error {
	_, noA := errors.AsType[unhelped](a)
	_, noB := errors.AsType[unhelped](b)
	switch {
	case a == nil || noA && b != nil:
		return b
	case b == nil || noB:
		return a
	}
	return fmt.Errorf("%w; %w", a, b)
}

// readHelpers reads those of a docker config, which is known to be JSON. What is named
// as it cannot be is left out, and told in the helpers' error.
func readHelpers(config []byte) *helpers {
	h := &helpers{
		byHost: make(map[string]string),
		run:    runHelper, turn: make(chan struct{}, 1), said: make(map[string]helped),
	}
	var named struct {
		CredHelpers json.RawMessage `json:"credHelpers"`
		CredsStore  json.RawMessage `json:"credsStore"`
	}
	var byHost map[string]json.RawMessage
	read := func(from json.RawMessage, to any) {
		if len(from) > 0 && json.Unmarshal(from, to) != nil {
			h.err = fmt.Errorf("%w: its credHelpers or credsStore name what is no program", ErrCredentials)
		}
	}
	read(config, &named)
	read(named.CredsStore, &h.others)
	read(named.CredHelpers, &byHost)
	for host, raw := range byHost {
		var name string
		read(raw, &name)
		h.byHost[hostOfKey(host)] = name
	}
	return h
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
// nothing else was found, that of all others. Where that one is not there the error is
// unhelped.
func (h *helpers) lookup(ctx context.Context, repo string, found bool) ([]Credential, error) {
	host := hostOfKey(repo)
	name, own := h.byHost[host]
	if !own && !found {
		name = h.others
	}
	if name == "" {
		return nil, h.err
	}
	said, err := h.ask(ctx, name, host)
	switch {
	case err != nil:
		return nil, err
	case said.missing && !own:
		return nil, both(unhelped{helperPrefix + name}, h.err)
	}
	return said.credentials, both(said.err, h.err)
}

// ask runs a helper for a host unless it is known what that says. The error is that of
// the context.
func (h *helpers) ask(ctx context.Context, name, host string) (helped, error) {
	if said, ok := h.known(host); ok {
		return said, nil
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return helped{}, fmt.Errorf("waiting for the credential helper of %s: %w", host, context.Cause(ctx))
	}
	if said, ok := h.known(host); ok { // by those who had the turn before
		return said, nil
	}
	said := h.run(ctx, name, host)
	if ctx.Err() != nil {
		return helped{}, fmt.Errorf("running the credential helper of %s: %w", host, context.Cause(ctx))
	}
	said.until = time.Now().Add(helpedFor)
	if said.err != nil {
		said.until = time.Now().Add(unhelpedFor)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.said) >= maxRemembered {
		clear(h.said)
	}
	h.said[host] = said
	return said, nil
}

// known is what the helper of a host has said, as long as that is good.
func (h *helpers) known(host string) (helped, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	said, ok := h.said[host]
	return said, ok && time.Now().Before(said.until)
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
		said := wrong("it names the credential helper %s for %s, which is not in the image of the daemon: write the credentials themselves under auths, or put the program into the PATH of an image of your own", program, host)
		said.missing = true
		return said
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
	endGroup := ownGroup(cmd)
	err = cmd.Run()
	endGroup() // also what it has started and left behind
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
