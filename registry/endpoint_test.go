package registry

import (
	"errors"
	"testing"
)

// TestHubByItsOtherName is Docker Hub in the settings as it is in image names.
func TestHubByItsOtherName(t *testing.T) {
	for _, host := range []string{"docker.io", "index.docker.io", "Index.Docker.io"} {
		for endpoint, want := range map[string]string{"": hubEndpoint, "https://mirror.example.com": "https://mirror.example.com"} {
			cfg := Config{Registries: []Registry{{Host: host, Endpoint: endpoint, ForwardPassword: true}}}
			if err := cfg.Validate(); err != nil {
				t.Error(err)
			}
			p, err := New(cfg).place(nil, "docker.io/library/nginx")
			if err != nil || !p.forward || p.host != "docker.io" || p.root() != want {
				t.Errorf("%s at %q: %+v, %v", host, endpoint, p.endpoint, err)
			}
		}
	}
	twice := Config{Registries: []Registry{{Host: "docker.io"}, {Host: "index.docker.io"}}}
	if err := twice.Validate(); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
