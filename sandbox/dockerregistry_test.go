package sandbox

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// script puts a program into a folder.
func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestFindDockerRegistry(t *testing.T) {
	const (
		// It knows of no packages before it has been asked to look for them.
		fresh = `echo "$1" >>"$0.calls"
case $1 in
update) : >"$0.updated" ;;
download) [ -f "$0.updated" ] || { echo "E: Unable to locate package $2"; exit 100; }
	echo package >"$2_2.8.2_amd64.deb" ;;
esac
`
		broken = "echo 'E: no network'; exit 100\n"
		unpack = "/bin/mkdir -p \"$3/usr/bin\" && echo program >\"$3/usr/bin/docker-registry\"\n"
	)
	for _, test := range []struct {
		name              string
		installed, cached bool
		apt, dpkg         string // empty: there is none
		root              bool   // only root can do it
		err               string
	}{
		{name: "installed", installed: true, cached: true},
		{name: "cached", cached: true, apt: broken, dpkg: unpack},
		{name: "downloaded", apt: fresh, dpkg: unpack, root: true},
		{name: "cannot be downloaded", apt: broken, dpkg: unpack, err: "E: no network"},
		{name: "cannot be unpacked", apt: fresh, dpkg: broken, root: true, err: "unpacking docker-registry_2.8.2_amd64.deb"},
		{name: "no apt", dpkg: unpack, err: "apt-get install docker-registry"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.root && os.Geteuid() != 0 {
				t.Skip("apt-get update needs root")
			}
			path := t.TempDir()
			t.Setenv("PATH", path)
			t.Setenv("XDG_CACHE_HOME", t.TempDir())
			cache, err := cacheFolder()
			if err != nil {
				t.Fatal(err)
			}
			want := filepath.Join(cache, "docker-registry")
			for name, text := range map[string]string{"apt-get": test.apt, "dpkg-deb": test.dpkg} {
				if text != "" {
					script(t, path, name, text)
				}
			}
			if test.cached {
				script(t, cache, "docker-registry", "")
			}
			if test.installed {
				script(t, path, "docker-registry", "")
				want = filepath.Join(path, "docker-registry")
			}
			for range 2 { // what was downloaded stays
				got, err := findDockerRegistry(t.Context(), t.Logf)
				if test.err == "" && (err != nil || got != want || !isFile(got)) {
					t.Errorf("got %s, %v, want %s", got, err, want)
				}
				if test.err != "" && (!errors.Is(err, ErrNoDockerRegistry) || !strings.Contains(err.Error(), test.err)) {
					t.Errorf("got %s, %v, want %v with %q", got, err, ErrNoDockerRegistry, test.err)
				}
			}
			if left, err := filepath.Glob(filepath.Join(cache, "docker-registry-*")); err != nil || len(left) > 0 {
				t.Errorf("left are %q, %v", left, err)
			}
			if test.name != "downloaded" {
				return
			}
			calls, err := os.ReadFile(filepath.Join(path, "apt-get.calls"))
			if want := "download\nupdate\ndownload\n"; err != nil || string(calls) != want {
				t.Errorf("apt-get was asked %q, %v, want %q", calls, err, want)
			}
		})
	}
}

func TestBlobStore(t *testing.T) {
	data := t.TempDir()
	blob := filepath.Join(data, "docker", "blobs", "ab")
	if err := os.MkdirAll(blob, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{filepath.Join(blob, "data"): "a layer", filepath.Join(blob, "link"): "no blob"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		path, authorization string
		status              int
	}{
		{path: "/docker/blobs/ab/data", status: http.StatusOK},
		{path: "/docker/blobs/ab/data", authorization: "Bearer x", status: http.StatusBadRequest},
		{path: "/docker/blobs/ac/data", status: http.StatusNotFound},
		{path: "/docker/blobs/ab/link", status: http.StatusNotFound},
		{path: "/docker/blobs/ab", status: http.StatusNotFound},
		{path: "/", status: http.StatusNotFound},
	} {
		r, w := httptest.NewRequest(http.MethodGet, test.path, nil), httptest.NewRecorder()
		if test.authorization != "" {
			r.Header.Set("Authorization", test.authorization)
		}
		blobStore{data}.ServeHTTP(w, r)
		if w.Code != test.status || w.Code == http.StatusOK && w.Body.String() != "a layer" {
			t.Errorf("%s with %q: %d %q, want %d", test.path, test.authorization, w.Code, w.Body, test.status)
		}
	}
}
