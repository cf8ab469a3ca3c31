package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// program puts a credential helper into a PATH of its own and returns the folder.
func program(t *testing.T, name, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, helperPrefix+name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

func docker(t *testing.T, config string) *ConfigFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return NewConfigFile(path)
}

// TestHelpers runs the program that a docker config names, with the host on its
// input, and tells apart what it may answer.
func TestHelpers(t *testing.T) {
	program(t, "said", `
[ "$1" = get ] || exit 3
read server
case $server in
none.example.com) echo "credentials not found in native keychain"; exit 1 ;;
broken.example.com) echo "secret"; exit 7 ;;
text.example.com) echo "secret" ;;
token.example.com) echo '{"Username":"<token>","Secret":"secret"}' ;;
empty.example.com) echo '{}' ;;
much.example.com) yes secret ;;
*) echo '{"ServerURL":"x","Username":"'"$server"'","Secret":"secret-password"}' ;;
esac`)
	const config = `{"auths":{"quay.io":{"username":"ada","password":"secret"},"own.example.com":{"username":"eve","password":"secret"},"ghcr.io":{}},
		"credsStore":"said",
		"credHelpers":{"own.example.com":"said","gone.example.com":"gone","evil.example.com":"../said","https://index.docker.io/v1/":"said","none.example.com:5000":"said"}}`
	tests := []struct {
		repo string
		want string // users
		says string // an error
	}{
		{repo: "registry.example.com:5000/app", want: "registry.example.com:5000"},
		{repo: "REGISTRY.example.com/app", want: "registry.example.com"},
		{repo: "ghcr.io/app", want: "ghcr.io"},
		{repo: "docker.io/library/nginx", want: "https://index.docker.io/v1/"},
		{repo: "registry-1.docker.io/library/nginx", want: "https://index.docker.io/v1/"},
		{repo: "quay.io/app", want: "ada"},
		{repo: "own.example.com/app", want: "eve own.example.com"},
		{repo: "none.example.com/app"},
		{repo: "broken.example.com/app", says: "docker-credential-said for broken.example.com: exit status 7"},
		{repo: "text.example.com/app", says: "not the JSON"},
		{repo: "token.example.com/app", says: "identity token"},
		{repo: "empty.example.com/app", says: "no user name"},
		{repo: "much.example.com/app", says: "more than 65536 bytes"},
		{repo: "gone.example.com/app", says: "docker-credential-gone for gone.example.com, which is not in the image of the daemon: write the credentials themselves under auths"},
		{repo: "evil.example.com/app", says: "no name of a program"},
	}
	f := docker(t, config)
	for _, tt := range tests {
		found, err := f.Lookup(t.Context(), tt.repo)
		var users []string
		for _, c := range found {
			users = append(users, c.Username)
		}
		if got := strings.Join(users, " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.repo, got, tt.want)
		}
		if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, ErrCredentials) || Permanent(err) ||
			!strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v, want %q", tt.repo, err, tt.says)
		}
	}
}

// TestWrongHelpers does not take what is named well, nor the credentials, for wrong.
func TestWrongHelpers(t *testing.T) {
	program(t, "said", `echo '{"Username":"eve","Secret":"secret-password"}'`)
	const auths = `{"auths":{"quay.io":{"username":"ada","password":"secret"}},`
	tests := []struct{ config, repo, want string }{
		{auths + `"credHelpers":["secret"]}`, "quay.io/app", "ada"},
		{auths + `"credHelpers":["secret"]}`, "ghcr.io/app", ""},
		{auths + `"credHelpers":["secret"],"credsStore":"said"}`, "ghcr.io/app", "eve"},
		{auths + `"credHelpers":{"quay.io":"said","ghcr.io":7}}`, "quay.io/app", "ada eve"},
		{auths + `"credHelpers":{"quay.io":"said","ghcr.io":7},"credsStore":"said"}`, "ghcr.io/app", ""},
		{auths + `"credsStore":7}`, "quay.io/app", "ada"},
		{`{"credHelpers":{"quay.io":"said"},"credsStore":["secret"]}`, "quay.io/app", "eve"},
	}
	for _, tt := range tests {
		f := docker(t, tt.config)
		for range 2 {
			found, err := f.Lookup(t.Context(), tt.repo)
			var users []string
			for _, c := range found {
				users = append(users, c.Username)
			}
			if got := strings.Join(users, " "); got != tt.want {
				t.Errorf("%s: %s: got %q, want %q", tt.config, tt.repo, got, tt.want)
			}
			if _, ok := errors.AsType[unhelped](err); ok || !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), "dockerConfig") ||
				strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", tt.config, err)
			}
		}
	}
}

// TestBoth tells of a helper that is not there only where nothing else went wrong.
func TestBoth(t *testing.T) {
	one, two, gone := errors.New("one"), errors.New("two"), error(unhelped{"docker-credential-x"})
	for _, tt := range []struct {
		a, b   error
		want   string
		advice bool
	}{
		{nil, nil, "<nil>", false},
		{one, nil, "one", false},
		{nil, two, "two", false},
		{one, two, "one; two", false},
		{gone, nil, gone.Error(), true},
		{nil, gone, gone.Error(), true},
		{gone, gone, gone.Error(), true},
		{one, gone, "one", false},
		{gone, two, "two", false},
		{fmt.Errorf("looking: %w", gone), two, "two", false},
	} {
		err := both(tt.a, tt.b)
		if _, advice := errors.AsType[unhelped](err); fmt.Sprint(err) != tt.want || advice != tt.advice {
			t.Errorf("%v and %v: got %v, want %s", tt.a, tt.b, err, tt.want)
		}
	}
}

// TestHelperGivenUp ends a program that nobody waits for any more, and does not take
// that for its answer.
func TestHelperGivenUp(t *testing.T) {
	dir := program(t, "slow", `
if [ -e "$0.fast" ]; then echo '{"Username":"ada","Secret":"secret"}'; exit; fi
echo > "$0.began"
exec sleep 600`)
	f := docker(t, `{"credsStore":"slow"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := f.Lookup(ctx, "quay.io/app"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrCredentials) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, helperPrefix+"slow.fast"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := f.Lookup(t.Context(), "quay.io/app"); err != nil || len(found) != 1 {
		t.Errorf("got %v, %v", found, err)
	}
}

// TestHelperIsAskedSeldom keeps what a helper has said for five minutes, a failure for
// one, and runs one at a time.
func TestHelperIsAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := readHelpers([]byte(`{"credsStore":"x"}`))
		var runs []string
		var failure error
		h.run = func(_ context.Context, name, host string) helped {
			time.Sleep(time.Second) // virtual: all others are waiting by then
			runs = append(runs, name+" "+host)
			return helped{credentials: []Credential{{Username: fmt.Sprint(len(runs))}}, err: failure}
		}
		lookup := func(host string, wantErr error) {
			if _, err := h.lookup(t.Context(), host+"/app", false); !errors.Is(err, wantErr) {
				t.Errorf("%s: %v", host, err)
			}
		}
		want := func(wanted ...string) {
			t.Helper()
			if !slices.Equal(runs, wanted) {
				t.Errorf("ran %q, want %q", runs, wanted)
			}
			runs = nil
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { lookup("quay.io", nil) })
		}
		synctest.Wait()
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := h.lookup(gone, "ghcr.io/app", false); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		wg.Wait()
		want("x quay.io")
		lookup("quay.io", nil)
		lookup("ghcr.io", nil)
		want("x ghcr.io")
		time.Sleep(5 * time.Minute)
		failure = ErrCredentials
		lookup("quay.io", ErrCredentials)
		lookup("quay.io", ErrCredentials)
		want("x quay.io")
		time.Sleep(time.Minute)
		failure = nil
		lookup("quay.io", nil)
		want("x quay.io")
		if _, err := h.lookup(t.Context(), "other.example.com/app", true); err != nil {
			t.Error(err)
		}
		want() // something else was found
	})
}

// TestHelperHoldsUpNobody gives what is known of a host while it runs for another one.
func TestHelperHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := readHelpers([]byte(`{"credsStore":"x"}`))
		hang := make(chan struct{})
		h.run = func(_ context.Context, _, host string) helped {
			if host == "slow.example.com" {
				<-hang
			}
			return helped{credentials: []Credential{{Username: host}}}
		}
		lookup := func(host string) bool {
			found, err := h.lookup(t.Context(), host+"/app", false)
			return err == nil && len(found) == 1 && found[0].Username == host
		}
		if !lookup("quay.io") {
			t.Error("not found")
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if !lookup("slow.example.com") {
				t.Error("not found at last")
			}
		})
		synctest.Wait()
		if !lookup("quay.io") {
			t.Error("not found while the helper runs")
		}
		close(hang)
		wg.Wait()
	})
}

// FuzzDecodeHelped takes only what can be presented.
func FuzzDecodeHelped(f *testing.F) {
	f.Add([]byte(`{"ServerURL":"x","Username":"ada","Secret":"secret"}`))
	f.Add([]byte(`{"Username":"<token>","Secret":"secret"}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		c, err := decodeHelped(answer)
		if (err != nil) != (c == Credential{}) || err == nil && (c.Username == "" || c.Password == "" || c.Username == "<token>") {
			t.Errorf("%q: %q %q, %v", answer, c.Username, c.Password, err)
		}
	})
}

// FuzzReadHelpers takes of any JSON what names programs, and tells what does not.
func FuzzReadHelpers(f *testing.F) {
	f.Add([]byte(`{"credHelpers":{"quay.io":"x","https://index.docker.io/v1/":7},"credsStore":"y"}`))
	f.Add([]byte(`{"credHelpers":[],"credsStore":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, config []byte) {
		h := readHelpers(config)
		if h.err != nil && (!errors.Is(h.err, ErrCredentials) || strings.Contains(h.err.Error(), "\n")) {
			t.Errorf("%q: %v", config, h.err)
		}
		for host := range h.byHost {
			if host != hostOfKey(host) {
				t.Errorf("%q: host %q", config, host)
			}
		}
	})
}
