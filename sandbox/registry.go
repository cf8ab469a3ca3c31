package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"sigs.k8s.io/yaml"
)

// The users who may pull from the private registry.
const (
	privateUser = "reader"
	tenantUser  = "tenant"
)

// TenantRepositories is how the names of the repositories begin that
// TenantUser alone may pull.
const TenantRepositories = "tenant/"

// registryData is where in its folder a registry keeps its blobs.
const registryData = "data"

// startRegistry starts the registry that is open to everybody.
func (s *Sandbox) startRegistry(ctx context.Context, binary string) error {
	address, err := s.runRegistry(ctx, binary, Registry, nil)
	s.RegistryHost = address
	return err
}

// startPrivateRegistry starts a token server in this process and the registry
// that believes its tokens.
func (s *Sandbox) startPrivateRegistry(ctx context.Context, binary string) error {
	password, tenantPassword := rand.Text(), rand.Text()
	tokens, err := newTokenServer(s.Dir, map[string]account{
		privateUser: {password: password, actions: []string{"pull"}, never: TenantRepositories},
		tenantUser:  {password: tenantPassword, actions: []string{"pull"}, only: TenantRepositories},
		pushUser:    {password: rand.Text(), actions: []string{"pull", "push"}},
	})
	if err != nil {
		return err
	}
	address, err := s.ports.address()
	if err != nil {
		return err
	}
	if s.TokenHost, err = byName("localhost", address); err != nil {
		return err
	}
	if err := s.serve(ctx, "the token server", address, tokens.handler()); err != nil {
		return err
	}
	host, err := s.runRegistry(ctx, binary, PrivateRegistry, tokens.auth(s.TokenHost))
	s.tokens, s.PrivateRegistryHost = tokens, host
	s.PrivateUser, s.PrivatePassword = privateUser, password
	s.TenantUser, s.TenantPassword = tenantUser, tenantPassword
	return err
}

// runRegistry starts one of the sandbox's own registries. auth is that section of its
// configuration; nil: open.
func (s *Sandbox) runRegistry(ctx context.Context, binary string, part Part, auth map[string]any) (string, error) {
	address, err := s.ports.address()
	if err != nil {
		return "", err
	}
	_, err = s.launchRegistry(ctx, binary, registrySettings{name: string(part), address: address, auth: auth})
	return address, err
}

// registrySettings are what the configurations of registries differ in.
type registrySettings struct {
	name, address    string
	auth, middleware map[string]any // those sections; nil: none
}

// launchRegistry starts a registry that keeps its blobs in its folder.
func (s *Sandbox) launchRegistry(ctx context.Context, binary string, settings registrySettings) (*Process, error) {
	dir := filepath.Join(s.Dir, settings.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for a registry: %w", err)
	}
	type object = map[string]any
	config := object{
		"version": "0.1",
		"log":     object{"level": "info"},
		// Relative, so that who comes by another address can push, too.
		"http": object{"addr": settings.address, "secret": rand.Text(), "relativeurls": true},
		"storage": object{
			"filesystem": object{"rootdirectory": filepath.Join(dir, registryData)},
			"delete":     object{"enabled": true},
		},
	}
	if settings.auth != nil {
		config["auth"] = settings.auth
	}
	if settings.middleware != nil {
		config["middleware"] = settings.middleware
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("writing a registry's configuration: %w", err)
	}
	path := filepath.Join(dir, "registry.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, fmt.Errorf("writing a registry's configuration: %w", err)
	}
	return s.run(ctx, spec{
		name: settings.name,
		path: binary,
		args: []string{"serve", path},
		dir:  dir,
		env:  []string{"OTEL_TRACES_EXPORTER=none"}, // it would look for a collector
		// The root answers 200 to everybody; /v2/ of a private one does not.
		ready: answersOK("http://" + settings.address + "/"),
	})
}

// PushKeychain returns the sandbox's own credentials: it may push to both
// registries. It is for go-containerregistry's remote.WithAuthFromKeychain.
func (s *Sandbox) PushKeychain() authn.Keychain { return pushKeychain{s} }

type pushKeychain struct{ sandbox *Sandbox }

// Resolve is authn.Keychain's.
func (k pushKeychain) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	if k.sandbox.tokens == nil || resource.RegistryStr() != k.sandbox.PrivateRegistryHost {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: pushUser, Password: k.sandbox.tokens.accounts[pushUser].password}, nil
}

// PrivateCredentials is a docker config with the password of PrivateUser: what a
// Secret of the type kubernetes.io/dockerconfigjson has for the images that the
// daemon's own config, too, can pull.
func (s *Sandbox) PrivateCredentials() ([]byte, error) {
	return s.credentials(s.PrivateUser, s.PrivatePassword)
}

// TenantCredentials is a docker config with the password of TenantUser: what the
// Secret of a tenant has for images that only its pods can pull.
func (s *Sandbox) TenantCredentials() ([]byte, error) {
	return s.credentials(s.TenantUser, s.TenantPassword)
}

func (s *Sandbox) credentials(user, password string) ([]byte, error) {
	if s.tokens == nil {
		return nil, errors.New("writing a docker config: the sandbox was started without the private registry")
	}
	return dockerConfig(s.PrivateRegistryHost, user, password)
}

// dockerConfig is a docker config with a user's password for one registry.
func dockerConfig(host, user, password string) ([]byte, error) {
	text, err := json.Marshal(map[string]any{"auths": map[string]any{
		host: map[string]string{"username": user, "password": password},
	}})
	if err != nil {
		return nil, fmt.Errorf("writing a docker config: %w", err)
	}
	return text, nil
}

// DockerConfig writes PrivateCredentials into a file, as a cluster's
// administrator would give them to the daemon, and returns its path.
func (s *Sandbox) DockerConfig() (path string, err error) {
	text, err := s.PrivateCredentials()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(s.Dir, "docker")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("writing a docker config: %w", err)
	}
	path = filepath.Join(dir, "config.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("writing a docker config: %w", err)
	}
	return path, nil
}
