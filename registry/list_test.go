package registry

import (
	"errors"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	tests := []struct {
		entry  string
		in     []string
		notIn  []string
		refuse bool
	}{
		{entry: "quay.io", in: []string{"quay.io", "QUAY.io", "quay.io:443", "quay.io:8443"}, notIn: []string{"a.quay.io", "quay.io.example.com", "xquay.io"}},
		{entry: "Quay.IO.", in: []string{"quay.io"}},
		{entry: "quay.io:443", in: []string{"quay.io", "quay.io:443"}, notIn: []string{"quay.io:8443"}},
		{entry: "localhost:5001", in: []string{"localhost:5001"}, notIn: []string{"localhost", "localhost:5000"}},
		{entry: "*.example.com", in: []string{"a.example.com", "a.b.example.com:5000"}, notIn: []string{"example.com", "a.example.org"}},
		{entry: "registry-?.example.com", in: []string{"registry-1.example.com"}, notIn: []string{"registry-10.example.com"}},
		{entry: "*", in: []string{"quay.io", "[::1]:5000"}},
		{entry: "[::1]:5000", in: []string{"[::1]:5000"}, notIn: []string{"[::1]", "[::2]:5000"}},
		{entry: "[::1]", in: []string{"[::1]:5000", "[::1]"}},
		{entry: "docker.io", in: []string{"docker.io", "index.docker.io", "registry-1.docker.io"}, notIn: []string{"auth.docker.io"}},
		{entry: "registry-1.docker.io", in: []string{"docker.io", "index.docker.io", "registry-1.docker.io"}, notIn: []string{"auth.docker.io"}},
		{entry: "index.docker.io", in: []string{"docker.io"}},
		{entry: "*.docker.io", in: []string{"registry-1.docker.io", "index.docker.io", "auth.docker.io"}},
		{entry: "[2001:db8::1]", in: []string{"[2001:db8:0::1]:5000", "[2001:DB8::1]"}},
		{entry: "10.0.0.5", in: []string{"[::ffff:10.0.0.5]:5000"}},
		{entry: "", refuse: true},
		{entry: ":5000", refuse: true},
		{entry: "quay.io/team", refuse: true},
		{entry: "https://quay.io", refuse: true},
		{entry: "quay.io:https", refuse: true},
		{entry: "a[", refuse: true},
		{entry: "a b", refuse: true},
	}
	for _, tt := range tests {
		l, err := readList("allowRegistries", []string{"fine.example.org", tt.entry})
		if tt.refuse != (err != nil) || err != nil && (!errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), "allowRegistries[1]: ")) {
			t.Errorf("%q: %v", tt.entry, err)
		}
		for _, name := range tt.in {
			if !l.matches(name, "443") {
				t.Errorf("%q does not match %s", tt.entry, name)
			}
		}
		for _, name := range tt.notIn {
			if l.matches(name, "443") {
				t.Errorf("%q matches %s", tt.entry, name)
			}
		}
	}
	if list(nil).matches("quay.io", "443") {
		t.Error("an empty list matches")
	}
}

// TestImpliedPort is 80 for a registry that is reached over http under its own name.
func TestImpliedPort(t *testing.T) {
	registries := []Registry{
		{Host: "plain.example.com", Insecure: true},
		{Host: "Named.example.com", Endpoint: "http://named.example.com/path"},
		{Host: "mirrored.example.com", Endpoint: "http://mirror.example.org"},
		{Host: "broken.example.com", Endpoint: "ftp://broken.example.com"},
	}
	for _, tt := range []struct{ host, port, other string }{
		{"plain.example.com", "80", "443"},
		{"named.example.com", "80", "443"},
		{"mirrored.example.com", "443", "80"},
		{"unlisted.example.com", "443", "80"},
		{"plain.example.com:5000", "5000", "80"},
		{"plain.example.com:443", "443", "80"},
	} {
		repo, name := tt.host+"/app", tt.host
		if host, _, ok := strings.Cut(tt.host, ":"); ok {
			name = host
			registries = append(registries, Registry{Host: tt.host, Insecure: true})
		}
		for port, denied := range map[string]bool{tt.port: true, tt.other: false} {
			c := New(Config{Registries: registries, Deny: []string{name + ":" + port}})
			if _, err := c.place(nil, repo); denied != errors.Is(err, ErrDenied) {
				t.Errorf("%s, deny port %s: %v", repo, port, err)
			}
			c = New(Config{Registries: registries, Allow: []string{name + ":" + port}})
			if _, err := c.place(nil, repo); denied != (err == nil) {
				t.Errorf("%s, allow port %s: %v", repo, port, err)
			}
		}
	}
	c := New(Config{Registries: registries, Deny: []string{"broken.example.com"}})
	if _, err := c.place(nil, "broken.example.com/app"); !errors.Is(err, ErrDenied) {
		t.Errorf("broken and denied: %v", err)
	}
}

func TestReadRanges(t *testing.T) {
	for entry, fine := range map[string]bool{
		"10.0.0.0/8": true, "10.1.2.3/8": true, "192.0.2.7/32": true, "fd12::/16": true,
		"": false, "10.0.0.1": false, "10.0.0.0/33": false, "internal": false, "::ffff:10.0.0.0/104": false,
	} {
		_, err := readRanges("denyRegistryAddresses", []string{"10.0.0.0/8", entry})
		if fine != (err == nil) || err != nil && (!errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), "denyRegistryAddresses[1]: ")) {
			t.Errorf("%q: %v", entry, err)
		}
	}
}
