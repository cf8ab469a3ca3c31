package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/registry"
)

// finds is Credentials that finds always the same.
type finds struct {
	credentials []registry.Credential
	err         error
}

func (f finds) Lookup(context.Context, string) ([]registry.Credential, error) {
	return f.credentials, f.err
}

// TestChain gives what all find, in their order and once, with all that went wrong.
func TestChain(t *testing.T) {
	ada, bob := registry.Credential{Username: "ada", Password: "1"}, registry.Credential{Username: "bob", Password: "2"}
	renewed := registry.Credential{Username: "ada", Password: "3"}
	one, two := errors.New("one"), errors.New("two")
	many := make([]registry.Credential, 20)
	for i := range many {
		many[i] = registry.Credential{Username: "pod", Password: fmt.Sprint(i)}
	}
	tests := []struct {
		name  string
		chain []registry.Credentials
		want  []registry.Credential
		errs  []error
	}{
		{name: "none"},
		{name: "nil", chain: []registry.Credentials{nil, nil}},
		{name: "nil between", chain: []registry.Credentials{finds{credentials: []registry.Credential{bob}}, nil, finds{credentials: []registry.Credential{ada}}}, want: []registry.Credential{bob, ada}},
		{name: "doubles", chain: []registry.Credentials{finds{credentials: []registry.Credential{ada, ada}}, finds{credentials: []registry.Credential{renewed, bob, ada}}}, want: []registry.Credential{ada, renewed, bob}},
		{name: "an error beside what is found", chain: []registry.Credentials{finds{[]registry.Credential{ada}, one}, finds{credentials: []registry.Credential{bob}}}, want: []registry.Credential{ada, bob}, errs: []error{one}},
		{name: "many of one", chain: []registry.Credentials{finds{credentials: many}, finds{credentials: []registry.Credential{ada, bob}}}, want: append(slices.Clone(many[:16]), ada, bob)},
		{name: "two errors", chain: []registry.Credentials{finds{err: one}, finds{[]registry.Credential{bob}, two}}, want: []registry.Credential{bob}, errs: []error{one, two}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := registry.Chain(tt.chain...).Lookup(t.Context(), "docker.io/library/nginx")
			if !slices.Equal(got, tt.want) {
				t.Errorf("found %d, want %d, or in another order", len(got), len(tt.want))
			}
			if (err != nil) != (len(tt.errs) > 0) {
				t.Fatalf("error %v, want %v", err, tt.errs)
			}
			for _, want := range tt.errs {
				if !errors.Is(err, want) {
					t.Errorf("%v hides %v", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

// TestHelperOfADesktop is as if it were not named where the daemon has no such program,
// and those who are refused are told that it is.
func TestHelperOfADesktop(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	f := newFake(t, tokenAuth)
	f.public = []string{"public"}
	f.users["ada"] = user{"secret-password", []string{"private"}}
	f.users["eve"] = user{"secret-eve", nil}
	auth := `{"username":"eve","password":"secret-eve"}`
	configs := map[string]string{
		"only the helper":      `{"auths":{"` + f.host() + `":{}},"credsStore":"desktop"}`,
		"others' credentials":  `{"auths":{"quay.io":` + auth + `},"credsStore":"desktop"}`,
		"its own, and refused": `{"auths":{"` + f.host() + `":` + auth + `},"credsStore":"desktop"}`,
		"named for it":         `{"credHelpers":{"` + f.host() + `":"desktop"},"credsStore":"desktop"}`,
	}
	private, public := f.images("private", 1)[0], f.images("public", 1)[0]
	const says = "which names the credential helper docker-credential-desktop that is not in the image of the daemon"
	for name, config := range configs {
		path := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		file := registry.NewConfigFile(path)
		for _, cr := range []registry.Credentials{file, registry.Chain(nil, finds{}, file)} {
			resolve(t, f.client(f.config()), public, amd64, cr)
			_, err := f.client(f.config()).Resolve(t.Context(), private, amd64, cr)
			if name == "named for it" {
				if !errors.Is(err, registry.ErrCredentials) || registry.Permanent(err) {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if !errors.Is(err, registry.ErrUnauthorized) || errors.Is(err, registry.ErrCredentials) || !registry.Permanent(err) ||
				strings.Contains(err.Error(), says) != (name != "its own, and refused") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", name, err)
			}
			f.deny = http.StatusNotFound
			_, err = f.client(f.config()).Resolve(t.Context(), private, amd64, cr)
			if !errors.Is(err, registry.ErrNotFound) || strings.Contains(err.Error(), says) != (name != "its own, and refused") {
				t.Errorf("%s: %v", name, err)
			}
			f.deny = 0
			broken := errors.New("broken")
			if _, err = f.client(f.config()).Resolve(t.Context(), private, amd64, registry.Chain(cr, finds{err: broken})); !errors.Is(err, broken) || registry.Permanent(err) {
				t.Errorf("%s: %v", name, err)
			}
			resolve(t, f.client(f.config()), private, amd64, registry.Chain(finds{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}, cr))
		}
	}
}

// TestDaemonsOwn presents the daemon's credentials also beside sixteen of a pod.
func TestDaemonsOwn(t *testing.T) {
	f := newFake(t, basicAuth)
	f.users["ada"] = user{"secret-password", []string{"app"}}
	many := make([]registry.Credential, 16)
	for i := range many {
		many[i] = registry.Credential{Username: "ada", Password: fmt.Sprint("secret-old", i)}
	}
	own := finds{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
	resolve(t, f.client(f.config()), f.images("app", 1)[0], amd64, registry.Chain(finds{credentials: many}, own))
}

// TestStalePassword goes on with the next one for layers, too, where the one that has
// opened the repository before was changed.
func TestStalePassword(t *testing.T) {
	f := newFake(t, basicAuth)
	f.redirect = true
	both := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-old"}, {Username: "bob", Password: "secret-bob"}}}
	f.users["ada"] = user{"secret-old", []string{"app"}}
	f.users["bob"] = user{"secret-bob", []string{"app"}}
	c := f.client(f.config())
	image := resolve(t, c, f.images("app", 1)[0], amd64, both)
	f.users["ada"] = user{"secret-new", []string{"app"}}
	f.requests()
	sources, _, err := c.Sources(t.Context(), image, both, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.want("GET blob", "HEAD manifest", "HEAD manifest", "GET blob")
	fetchAll(t, image, sources)
}
