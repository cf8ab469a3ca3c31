package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/crypto/bcrypt"

	"github.com/clairwatch/clairwatch/sandbox/gate"
)

// ErrNoDockerRegistry says that Debian's docker-registry is not there and cannot be
// had: it is neither in PATH nor to be downloaded by apt-get.
var ErrNoDockerRegistry = errors.New("no docker-registry found in PATH: install it, on Debian and Ubuntu by: apt-get install docker-registry")

// RegistryAuth is what a registry wants of who pulls from it, or pushes.
type RegistryAuth int

// What registries want.
const (
	NoAuth    RegistryAuth = iota // they are open to everybody
	Passwords                     // with each request (htpasswd)
	Tokens                        // of a token server of their own
)

// RegistryOptions say what one more registry is like. The zero value: open to
// everybody, and it serves its layers itself.
type RegistryOptions struct {
	Auth RegistryAuth
	// Store is the host, "localhost" or "127.0.0.1", at which a store has the
	// registry's blobs, and to which the registry redirects who asks for one. As S3
	// does, the store refuses who presents an authorization: HTTP clients take that of
	// the registry, which is at 127.0.0.1, along to another port of the same host.
	// Empty: none.
	Store string
	// Gate stands before each server of the registry, as [BeforeRegistry], [BeforeTokens]
	// and [BeforeStore]. Nil: they are asked directly.
	Gate *gate.Gate
}

// The servers of a registry, at its gate.
const (
	BeforeRegistry gate.Server = "registry"
	BeforeTokens   gate.Server = "tokens"
	BeforeStore    gate.Server = "store"
)

// DebianRegistry is Debian's docker-registry, with blobs and accounts of its own. Its
// process can be ended and started again.
type DebianRegistry struct {
	*Process

	Host      string // host:port of the registry, plain HTTP
	TokenHost string // host:port of its token server, likewise; empty where there is none
	StoreHost string // host:port of its store, likewise; empty where there is none
	// User may pull from all repositories and push to them. Empty where nobody needs
	// an account.
	User, Password string

	tokens *tokenServer // nil: it has none
}

// FetchDockerRegistry makes sure that Debian's docker-registry is there, without
// starting anything: where it is not installed it is downloaded into the folder that
// [Build] uses. An error that is [ErrNoDockerRegistry] says that there is none. log may
// be nil.
func FetchDockerRegistry(ctx context.Context, log func(format string, args ...any)) error {
	if log == nil {
		log = func(string, ...any) {}
	}
	_, err := findDockerRegistry(ctx, log)
	return err
}

// AddRegistry starts one more registry: Debian's docker-registry (2.8), which is older
// than that of the sandbox, and which may let users in by their passwords, or redirect
// them to a store of its blobs. It is fetched where it is not there, as by
// [FetchDockerRegistry].
func (s *Sandbox) AddRegistry(ctx context.Context, options RegistryOptions) (*DebianRegistry, error) {
	binary, err := findDockerRegistry(ctx, s.log)
	if err != nil {
		return nil, err
	}
	address, err := s.ports.address()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.added++
	settings := registrySettings{name: fmt.Sprintf("docker-registry-%d", s.added), address: address}
	s.mu.Unlock()
	dir := filepath.Join(s.Dir, settings.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for a registry: %w", err)
	}
	r := new(DebianRegistry)
	if options.Auth != NoAuth {
		r.User, r.Password = pushUser, rand.Text()
	}
	switch options.Auth {
	case Passwords:
		if settings.auth, err = passwordAuth(dir, r.User, r.Password); err != nil {
			return nil, err
		}
	case Tokens:
		if r.tokens, err = newTokenServer(dir, map[string]account{
			r.User: {password: r.Password, actions: []string{"pull", "push"}},
		}); err != nil {
			return nil, err
		}
		if r.TokenHost, err = s.serveBehind(ctx, options, BeforeTokens, "localhost", r.tokens.handler()); err != nil {
			return nil, err
		}
		settings.auth = r.tokens.auth(r.TokenHost)
	}
	if options.Store != "" {
		store := blobStore{filepath.Join(dir, registryData)}
		if r.StoreHost, err = s.serveBehind(ctx, options, BeforeStore, options.Store, store); err != nil {
			return nil, err
		}
		settings.middleware = map[string]any{"storage": []map[string]any{
			{"name": "redirect", "options": map[string]any{"baseurl": "http://" + r.StoreHost}},
		}}
	}
	if r.Host, err = options.reach(BeforeRegistry, address); err != nil {
		return nil, err
	}
	r.Process, err = s.launchRegistry(ctx, binary, settings)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// serveBehind starts a server in this process and returns where clients reach it, by
// the name host.
func (s *Sandbox) serveBehind(ctx context.Context, options RegistryOptions, server gate.Server, host string, handler http.Handler) (string, error) {
	address, err := s.ports.address()
	if err != nil {
		return "", err
	}
	if err := s.serve(ctx, "a registry's "+string(server), address, handler); err != nil {
		return "", err
	}
	if address, err = options.reach(server, address); err != nil {
		return "", err
	}
	return byName(host, address)
}

// reach returns the host:port at which clients reach a server that is at address.
func (o RegistryOptions) reach(server gate.Server, address string) (string, error) {
	if o.Gate == nil {
		return address, nil
	}
	front, err := o.Gate.Open(server, "http://"+address, nil)
	return strings.TrimPrefix(front, "http://"), err
}

// passwordAuth writes the file of an account into dir and returns that section of the
// configuration.
func passwordAuth(dir, user, password string) (map[string]any, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return nil, fmt.Errorf("hashing a password: %w", err)
	}
	path := filepath.Join(dir, "htpasswd")
	if err := os.WriteFile(path, []byte(user+":"+string(hash)+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("writing a registry's accounts: %w", err)
	}
	return map[string]any{"htpasswd": map[string]any{"realm": "sandbox", "path": path}}, nil
}

// RevokeTokens makes all tokens void that were given out so far: the token server takes
// another key, and the registry is restarted, because it reads the key at its start.
func (r *DebianRegistry) RevokeTokens(ctx context.Context) error {
	if r.tokens == nil {
		return errors.New("revoking tokens: the registry has none")
	}
	if err := r.tokens.renewKey(); err != nil {
		return fmt.Errorf("revoking tokens: %w", err)
	}
	return r.Restart(ctx)
}

// Keychain returns the credentials of User. It is for go-containerregistry's
// remote.WithAuthFromKeychain.
func (r *DebianRegistry) Keychain() authn.Keychain { return debianKeychain{r} }

type debianKeychain struct{ registry *DebianRegistry }

// Resolve is authn.Keychain's.
func (k debianKeychain) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	if k.registry.User == "" || resource.RegistryStr() != k.registry.Host {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: k.registry.User, Password: k.registry.Password}, nil
}

// Credentials is a docker config with the password of User.
func (r *DebianRegistry) Credentials() ([]byte, error) {
	return dockerConfig(r.Host, r.User, r.Password)
}

// findDockerRegistry returns the path of Debian's docker-registry.
func findDockerRegistry(ctx context.Context, log func(string, ...any)) (string, error) {
	const program = "docker-registry"
	programs, err := debianPackage{name: program, programs: []string{program}, missing: ErrNoDockerRegistry}.find(ctx, log)
	return programs[program], err
}
