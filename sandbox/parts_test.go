package sandbox

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	for _, test := range []struct {
		parts, want []Part
		err         string
	}{
		{want: []Part{Etcd, APIServer, Postgres, Clair, Registry, PrivateRegistry}},
		{parts: []Part{Clair}, want: []Part{Postgres, Clair}},
		{parts: []Part{Registry, APIServer, Etcd}, want: []Part{Etcd, APIServer, Registry}},
		{parts: []Part{"nginx"}, err: `unknown part "nginx"`},
	} {
		got, err := complete(test.parts)
		if !slices.Equal(got, test.want) || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: %q, %v, want %q, %q", test.parts, got, err, test.want, test.err)
		}
	}
}

func TestGrant(t *testing.T) {
	pull, both := []string{"pull"}, []string{"pull", "push"}
	reader, pusher := account{actions: pull}, account{actions: both}
	all := []string{"repository:team/app:pull repository:team:pull", "repository:teams/app:pull", "repository:app:pull"}
	for _, test := range []struct {
		name   string
		scopes []string
		holder account
		want   []access
	}{
		{"nothing asked for", nil, pusher, []access{}},
		{"all of it", []string{"repository:team/app:pull,push"}, pusher, []access{{"repository", "team/app", both}}},
		{"part of it", []string{"repository:team/app:pull,push,delete"}, reader, []access{{"repository", "team/app", pull}}},
		{"none of it", []string{"repository:team/app:push"}, reader, []access{}},
		{"several", []string{"repository:a:pull repository:b:pull", "repository:c:pull"}, reader,
			[]access{{"repository", "a", pull}, {"repository", "b", pull}, {"repository", "c", pull}}},
		{"with a host", []string{"repository:host:5000/app:pull"}, reader, []access{{"repository", "host:5000/app", pull}}},
		{"not of a repository", []string{"registry:catalog:*", "repository", "repository:app"}, pusher, []access{}},
		{"only there", all, account{actions: pull, only: "team/"}, []access{{"repository", "team/app", pull}}},
		{"never there", all, account{actions: pull, never: "team/"},
			[]access{{"repository", "team", pull}, {"repository", "teams/app", pull}, {"repository", "app", pull}}},
	} {
		if got := grant(test.scopes, test.holder); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestInstalledPostgres(t *testing.T) {
	root := t.TempDir()
	program := func(path string) {
		t.Helper()
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"9", "15", "16"} {
		program("lib/" + version + "/bin/initdb")
		program("lib/" + version + "/bin/postgres")
	}
	program("alone/postgres")
	if err := os.Mkdir(filepath.Join(root, "links"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "lib/15/bin/postgres"), filepath.Join(root, "links/postgres")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path, pattern, want string
	}{
		{"the highest version", "", "lib/*/bin", "lib/16/bin"},
		{"a link in PATH first", "links", "lib/*/bin", "lib/15/bin"},
		{"not without initdb", "alone", "lib/*/bin", "lib/16/bin"},
		{"none", "alone", "nowhere/*/bin", ""},
	} {
		got, ok := installedPostgres(filepath.Join(root, test.path), filepath.Join(root, test.pattern))
		if want := filepath.Join(root, test.want); ok != (test.want != "") || ok && got != want {
			t.Errorf("%s: %s, %v, want %s", test.name, got, ok, test.want)
		}
	}
}

func TestDecodeManifest(t *testing.T) {
	manifest, err := os.ReadFile(filepath.Join("testdata", "manifest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	objects, err := decodeManifest(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, object := range objects {
		got = append(got, object.GetKind()+" "+object.GetName())
	}
	want := []string{"Namespace reading", "ServiceAccount reader", "ConfigMap page", "Role reader", "RoleBinding reader", "ConfigMap nowhere"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, bad := range []string{"a: 1\na: 2\n", "kind: [", "- 1\n"} {
		if objects, err := decodeManifest([]byte("kind: A\n---\n" + bad)); err == nil || !strings.Contains(err.Error(), "document 2") {
			t.Errorf("%q: %v, %v, want an error of document 2", bad, objects, err)
		}
	}
}

func TestPortsAreNotGivenTwice(t *testing.T) {
	first, err := newPorts()
	if err != nil {
		t.Fatal(err)
	}
	defer first.release()
	second, err := newPorts() // another sandbox
	if err != nil {
		t.Fatal(err)
	}
	defer second.release()
	const port = lowestPort
	if !first.reserve(port) {
		t.Skipf("port %d is another sandbox's", port)
	}
	if second.reserve(port) {
		t.Errorf("port %d was given twice", port)
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	if !second.reserve(port) {
		t.Errorf("port %d is not free after its sandbox has ended", port)
	}
	if err := second.release(); err != nil {
		t.Fatal(err)
	}
}

func TestBuildKey(t *testing.T) {
	source := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := func() string {
		t.Helper()
		key, err := server{name: "x"}.key(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	write("go.mod", "module x\n\ngo 1.26.0\n")
	write("go.sum", "")
	write("main.go", "package main\n\nfunc main() {}\n")
	keys := []string{key()}
	if again := key(); again != keys[0] {
		t.Errorf("the key of the same sources was %s, is %s", keys[0], again)
	}
	for name, text := range map[string]string{"go.mod": "module x\n\ngo 1.26.1\n", "go.sum": "x", "main.go": "package main\n", "other.go": "package main\n"} {
		write(name, text)
		if changed := key(); slices.Contains(keys, changed) {
			t.Errorf("the key is that of before although %s has changed", name)
		} else {
			keys = append(keys, changed)
		}
	}
}

func TestBuildThatFails(t *testing.T) {
	source := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module x\n\ngo 1.26.0\n", "main.go": "package main\n\nfunc main() { nonsense() }\n"} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(t.TempDir(), "x")
	err := server{name: "x"}.compile(t.Context(), t.Logf, source, binary)
	if err == nil || !strings.Contains(err.Error(), "undefined: nonsense") {
		t.Errorf("got %v, want what the compiler said", err)
	}
	if left, err := filepath.Glob(binary + "*"); err != nil || len(left) > 0 {
		t.Errorf("left are %q, %v", left, err)
	}
}
