package registry_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// config is a docker config; each key's user is the key itself, or what follows
// a blank in it.
func config(keys ...string) string {
	auths := make(map[string]any)
	for _, k := range keys {
		name, user, ok := strings.Cut(k, " ")
		if !ok {
			user = name
		}
		auths[name] = map[string]string{"username": user, "password": "secret-password"}
	}
	b, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestKeyring is the kubelet's behaviour, row by row.
func TestKeyring(t *testing.T) {
	auth := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	tests := []struct {
		name    string
		configs []string
		legacy  bool
		repo    string
		want    []string // users
	}{
		{name: "host", configs: []string{config("quay.io")}, repo: "quay.io/team/app", want: []string{"quay.io"}},
		{name: "another host", configs: []string{config("quay.io")}, repo: "ghcr.io/team/app"},
		{name: "with a scheme", configs: []string{config("https://quay.io")}, repo: "quay.io/app", want: []string{"https://quay.io"}},
		{name: "with http", configs: []string{config("http://quay.io/")}, repo: "quay.io/app", want: []string{"http://quay.io/"}},
		{name: "v1 and v2", configs: []string{config("https://quay.io/v2/"), config("quay.io/v1/")}, repo: "quay.io/app", want: []string{"https://quay.io/v2/", "quay.io/v1/"}},
		{name: "port", configs: []string{config("quay.io:5000")}, repo: "quay.io:5000/app", want: []string{"quay.io:5000"}},
		{name: "port of the key only", configs: []string{config("quay.io:443")}, repo: "quay.io/app"},
		{name: "port of the image only", configs: []string{config("quay.io")}, repo: "quay.io:443/app"},
		{name: "path", configs: []string{config("quay.io/a/b")}, repo: "quay.io/a/b", want: []string{"quay.io/a/b"}},
		{name: "path is a plain prefix", configs: []string{config("quay.io/a/b")}, repo: "quay.io/a/bee/c", want: []string{"quay.io/a/b"}},
		{name: "longer path", configs: []string{config("quay.io/a/b")}, repo: "quay.io/a"},
		{name: "glob", configs: []string{config("*.azurecr.io")}, repo: "team.azurecr.io/app", want: []string{"*.azurecr.io"}},
		{name: "glob of one label", configs: []string{config("*.azurecr.io")}, repo: "a.b.azurecr.io/app"},
		{name: "glob in a label", configs: []string{config("pre*.*.io")}, repo: "prefix.azurecr.io/app", want: []string{"pre*.*.io"}},
		{name: "glob is none in a path", configs: []string{config("quay.io/*")}, repo: "quay.io/app"},
		{name: "specific first, then general", configs: []string{config("quay.io", "quay.io/team")}, repo: "quay.io/team/app", want: []string{"quay.io/team", "quay.io"}},
		{name: "two configs for one host", configs: []string{config("quay.io one"), config("quay.io two")}, repo: "quay.io/app", want: []string{"one", "two"}},
		{name: "Hub, docker.io", configs: []string{config("docker.io")}, repo: "docker.io/library/nginx", want: []string{"docker.io"}},
		{name: "Hub, docker.io with path", configs: []string{config("docker.io/acme")}, repo: "docker.io/acme/app", want: []string{"docker.io/acme"}},
		{name: "Hub, as docker login writes it", configs: []string{config("https://index.docker.io/v1/")}, repo: "docker.io/library/nginx", want: []string{"https://index.docker.io/v1/"}},
		{name: "Hub, index.docker.io is the last resort", configs: []string{config("index.docker.io", "docker.io")}, repo: "docker.io/acme/app", want: []string{"docker.io"}},
		{name: "Hub, glob", configs: []string{config("*.docker.io")}, repo: "docker.io/library/nginx"},
		{name: "Hub, index with path", configs: []string{config("index.docker.io/acme")}, repo: "docker.io/acme/app"},
		{name: "Hub, registry-1", configs: []string{config("registry-1.docker.io")}, repo: "docker.io/library/nginx"},
		{name: "unreadable key among others", configs: []string{config("quay.io:port", "bad host/", "[", "quay.io")}, repo: "quay.io/app", want: []string{"quay.io"}},
		{name: "bad glob", configs: []string{config("[].io", "*.io")}, repo: "quay.io/app", want: []string{"*.io"}},
		{name: "auth", configs: []string{`{"auths":{"quay.io":{"auth":"` + auth("ada:secret-a:b") + `"}}}`}, repo: "quay.io/app", want: []string{"ada"}},
		{name: "auth without padding", configs: []string{`{"auths":{"quay.io":{"auth":"` + strings.TrimRight(auth("ada1:secret"), "=") + `"}}}`}, repo: "quay.io/app", want: []string{"ada1"}},
		{name: "auth before user", configs: []string{`{"auths":{"quay.io":{"username":"eve","auth":"` + auth("ada:secret") + `"}}}`}, repo: "quay.io/app", want: []string{"ada"}},
		{name: "bad auth is skipped", configs: []string{`{"auths":{"quay.io":{"auth":"%%"},"*.io":{"auth":"` + auth("ada:secret") + `"}}}`}, repo: "quay.io/app", want: []string{"ada"}},
		{name: "auth without a colon", configs: []string{`{"auths":{"quay.io":{"auth":"` + auth("ada") + `"}}}`}, repo: "quay.io/app"},
		{name: "identity token", configs: []string{`{"auths":{"quay.io":{"identitytoken":"secret"}}}`}, repo: "quay.io/app"},
		{name: "helper's empty entry", configs: []string{`{"auths":{"quay.io":{}},"credsStore":"x"}`}, repo: "quay.io/app"},
		{name: "entry of another type", configs: []string{`{"auths":{"quay.io":7,"*.io":{"username":"ada"}}}`}, repo: "quay.io/app", want: []string{"ada"}},
		{name: "no auths", configs: []string{`{}`}, repo: "quay.io/app"},
		{name: ".dockercfg", legacy: true, configs: []string{`{"quay.io":{"username":"ada","password":"secret","email":"x"}}`}, repo: "quay.io/app", want: []string{"ada"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var k registry.Keyring
			for _, c := range tt.configs {
				if err := k.Add([]byte(c), tt.legacy); err != nil {
					t.Fatal(err)
				}
			}
			var users []string
			for _, c := range k.Lookup(tt.repo) {
				users = append(users, c.Username)
			}
			if !slices.Equal(users, tt.want) {
				t.Errorf("got %q, want %q", users, tt.want)
			}
		})
	}
	var k registry.Keyring
	for _, bad := range []string{"", "secret", `["secret"]`, `{"auths":"secret"}`} {
		if err := k.Add([]byte(bad), false); !errors.Is(err, registry.ErrCredentials) || registry.Permanent(err) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// FuzzKeyring finds the same for the same input, and only what the config holds.
func FuzzKeyring(f *testing.F) {
	f.Add(config("quay.io", "*.io/team", "index.docker.io"), "quay.io/team/app")
	f.Add(config("https://index.docker.io/v1/"), "docker.io/library/nginx")
	f.Add(`{"auths":{"[::1]:5000":{"auth":"YTpi"}}}`, "[::1]:5000/x")
	f.Fuzz(func(t *testing.T, config, repo string) {
		var one, two registry.Keyring
		err := one.Add([]byte(config), false)
		if (err == nil) != (two.Add([]byte(config), false) == nil) {
			t.Fatal("not the same error")
		}
		found := one.Lookup(repo)
		if !slices.Equal(found, two.Lookup(repo)) {
			t.Error("not the same order")
		}
		for _, c := range found {
			if c.Username == "" || err != nil {
				t.Errorf("found a credential without user, or in what is no config: %v", err)
			}
		}
	})
}

// TestRedaction prints secrets in every way there is.
func TestRedaction(t *testing.T) {
	c := registry.Credential{Username: "secret-user", Password: "secret-password"}
	s := registry.Source{URI: "https://store.example.com/blob?sig=secret", Header: map[string][]string{"Authorization": {"Bearer secret"}}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		for _, v := range []any{c, &c, s, &s, []any{c, s}, struct {
			C registry.Credential
			S registry.Source
		}{c, s}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "credential", c, "source", s, "pointer", &c, "list", []registry.Credential{c})
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "credential", c, "source", s, "list", []any{c, s})
	b, err := json.Marshal([]any{c, &c, map[string]any{"c": c}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	for _, hidden := range []string{"secret", fmt.Sprintf("%x", "secret"), fmt.Sprintf("%X", "secret")} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("shows %q:\n%s", hidden, out.String())
		}
	}
	if !strings.Contains(fmt.Sprint(s), "https://store.example.com/blob") {
		t.Errorf("source reads %v", s)
	}
}

// TestConfigFile reads a file again when it has changed, also as a mounted Secret
// does it: by a link that leads elsewhere.
func TestConfigFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	file := registry.NewConfigFile(path)
	users := func() string {
		t.Helper()
		found, err := file.Lookup(context.Background(), "quay.io/app")
		if err != nil {
			if !errors.Is(err, registry.ErrCredentials) || registry.Permanent(err) || !strings.Contains(err.Error(), "dockerConfig") || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			return "error: " + err.Error()
		}
		var users []string
		for _, c := range found {
			users = append(users, c.Username)
		}
		return strings.Join(users, " ")
	}
	write := func(name, content string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	want := func(what string) {
		t.Helper()
		if got := users(); got != what && (what != "error" || !strings.HasPrefix(got, "error: ") || strings.Contains(got, "secret")) {
			t.Errorf("got %q, want %q", got, what)
		}
	}
	want("")
	write("one", config("quay.io one"), then)
	write("two", config("quay.io two"), then) // same size, same time
	link := func(to string) {
		t.Helper()
		if err := os.Symlink(to, path+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	link("one")
	want("one")
	want("one")
	link("two")
	want("two")
	write("two", config("quay.io six"), then.Add(time.Second))
	want("six")
	write("two", "secret, and no JSON", then.Add(2*time.Second))
	want("error")
	write("two", config("quay.io six"), then.Add(3*time.Second))
	want("six")
	write("two", strings.Repeat(" ", 1<<20)+config("quay.io six"), then.Add(4*time.Second))
	want("error")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	want("error")
}
