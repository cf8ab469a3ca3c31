package registry_test

import (
	"context"
	"errors"
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
