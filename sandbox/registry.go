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

// startRegistry starts the registry that is open to everybody.
func (s *Sandbox) startRegistry(ctx context.Context, binary string) error {
	address, err := s.runRegistry(ctx, binary, Registry, nil)
	s.RegistryHost = address
	return err
}

// startPrivateRegistry starts a token server in this process and the registry
// that believes its tokens.
func (s *Sandbox) startPrivateRegistry(ctx context.Context, binary string) error {
	address, err := s.ports.address()
	if err != nil {
		return err
	}
	password, tenantPassword := rand.Text(), rand.Text()
	s.tokens, err = newTokenServer(ctx, address, map[string]account{
		privateUser: {password: password, actions: []string{"pull"}, never: TenantRepositories},
		tenantUser:  {password: tenantPassword, actions: []string{"pull"}, only: TenantRepositories},
		pushUser:    {password: rand.Text(), actions: []string{"pull", "push"}},
	})
	if err != nil {
		return err
	}
	s.TokenHost = s.tokens.host
	keys := filepath.Join(s.Dir, "token-keys.json")
	if err := s.tokens.writeKeys(keys); err != nil {
		return err
	}
	host, err := s.runRegistry(ctx, binary, PrivateRegistry, map[string]any{
		"token": map[string]any{
			"realm":             s.tokens.realm,
			"service":           tokenService,
			"issuer":            tokenIssuer,
			"jwks":              keys,
			"signingalgorithms": []string{string(tokenAlgorithm)},
		},
	})
	s.PrivateRegistryHost, s.PrivateUser, s.PrivatePassword = host, privateUser, password
	s.TenantUser, s.TenantPassword = tenantUser, tenantPassword
	return err
}

// runRegistry starts a registry that keeps its blobs in its folder. auth is
// that section of its configuration; nil: open.
func (s *Sandbox) runRegistry(ctx context.Context, binary string, part Part, auth map[string]any) (string, error) {
	address, err := s.ports.address()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(s.Dir, string(part))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making a folder for a registry: %w", err)
	}
	type object = map[string]any
	config := object{
		"version": "0.1",
		"log":     object{"level": "info"},
		"http":    object{"addr": address, "secret": rand.Text()},
		"storage": object{
			"filesystem": object{"rootdirectory": filepath.Join(dir, "data")},
			"delete":     object{"enabled": true},
		},
	}
	if auth != nil {
		config["auth"] = auth
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("writing a registry's configuration: %w", err)
	}
	path := filepath.Join(dir, "registry.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("writing a registry's configuration: %w", err)
	}
	_, err = s.run(ctx, spec{
		name: string(part),
		path: binary,
		args: []string{"serve", path},
		dir:  dir,
		env:  []string{"OTEL_TRACES_EXPORTER=none"}, // it would look for a collector
		// The root answers 200 to everybody; /v2/ of the private one does not.
		ready: answersOK("http://" + address + "/"),
	})
	return address, err
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

// credentials is a docker config for the private registry.
func (s *Sandbox) credentials(user, password string) ([]byte, error) {
	if s.tokens == nil {
		return nil, errors.New("writing a docker config: the sandbox was started without the private registry")
	}
	text, err := json.Marshal(map[string]any{"auths": map[string]any{
		s.PrivateRegistryHost: map[string]string{"username": user, "password": password},
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
