package registry_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/registry"
)

// TestHostile meets registries that lie, flood and lead astray.
func TestHostile(t *testing.T) {
	redirect := func(to string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}
	}
	challenge := func(header string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("WWW-Authenticate", header)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
	}
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(code)
			return true
		}
	}
	send := func(body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			io.WriteString(w, body)
			return true
		}
	}
	limited := registry.RateLimitedError{RetryAfter: 90 * time.Second}
	tests := []struct {
		name     string
		fault    func(http.ResponseWriter, *http.Request) bool
		err      error // nil: a passing trouble
		requests int
	}{
		{name: "redirect to link-local", fault: redirect("http://169.254.169.254/latest/meta-data?secret"), err: registry.ErrDenied, requests: 1},
		{name: "redirect to link-local over https", fault: redirect("https://169.254.169.254/secret"), err: registry.ErrDenied, requests: 1},
		{name: "redirect to loopback by name", fault: redirect("https://localhost:1/secret"), err: registry.ErrDenied, requests: 1},
		{name: "redirect to plain http", fault: redirect("http://registry.example.com/secret"), err: registry.ErrDenied, requests: 1},
		{name: "redirect to a file", fault: redirect("file:///etc/secret"), err: registry.ErrInvalid, requests: 1},
		{name: "redirect to what is no URL", fault: redirect("https://store.example.com/%zz?secret"), err: registry.ErrInvalid, requests: 1},
		{name: "realm at link-local", fault: challenge(`Bearer realm="http://169.254.169.254/secret"`), err: registry.ErrDenied, requests: 1},
		{name: "realm at loopback", fault: challenge(`Bearer realm="http://localhost:1/secret"`), err: registry.ErrDenied, requests: 1},
		{name: "realm at a private address", fault: challenge(`Bearer realm="https://10.0.0.1/secret"`), err: registry.ErrDenied, requests: 1},
		{name: "realm is a book", fault: challenge(`Bearer realm="https://auth.example.com/` + strings.Repeat("secret", 1000) + `"`), err: registry.ErrTooLarge, requests: 1},
		{name: "realm is none", fault: challenge(`Bearer service="x"`), err: registry.ErrInvalid, requests: 1},
		{name: "an unknown scheme", fault: challenge(`Negotiate`), err: registry.ErrUnauthorized, requests: 1},
		{name: "401 without a challenge", fault: status(401), err: registry.ErrUnauthorized, requests: 1},
		{name: "403", fault: status(403), err: registry.ErrUnauthorized, requests: 1},
		{name: "404", fault: status(404), err: registry.ErrNotFound, requests: 1},
		{name: "500", fault: status(500), requests: 1},
		{name: "204", fault: status(204), requests: 1},
		{name: "another manifest", fault: send(`{"schemaVersion":2}`), requests: 1},
		{name: "nothing", fault: send(``), requests: 1},
		{name: "429", requests: 1, err: &limited, fault: func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "90")
			return status(429)(w, r)
		}},
		{name: "redirect loop", requests: 11, err: registry.ErrInvalid, fault: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}},
		{name: "cut off", requests: 1, fault: func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
			return true
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, open)
			f.fault = tt.fault
			cfg := f.config()
			cfg.Registries = cfg.Registries[:1]
			_, err := f.client(cfg).Resolve(t.Context(), f.identify("app", "1", f.image("app", "1", 1)), amd64, nil)
			var rate *registry.RateLimitedError
			switch {
			case err == nil, leaks(err):
				t.Errorf("got %v", err)
			case errors.As(tt.err, &rate):
				var got *registry.RateLimitedError
				if !errors.As(err, &got) || got.RetryAfter != rate.RetryAfter || got.Registry != f.host() || registry.Permanent(err) {
					t.Errorf("got %v", err)
				}
			case tt.err == nil && registry.Permanent(err), tt.err != nil && (!errors.Is(err, tt.err) || !registry.Permanent(err)):
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if got := len(f.requests()); got != tt.requests {
				t.Errorf("%d requests, want %d", got, tt.requests)
			}
		})
	}
}

// TestEnough ends an operation that goes from repository to repository with many
// credentials, or is led on each time, and lets one finish that tries sixteen.
func TestEnough(t *testing.T) {
	f := newFake(t, tokenAuth)
	f.users["ada"] = user{"secret-password", []string{"team/app"}}
	l := &lender{}
	for i := range 15 {
		who := fmt.Sprint("user", i)
		f.users[who] = user{password: "secret-password"} // gets tokens, which open nothing
		l.credentials = append(l.credentials, registry.Credential{Username: who, Password: "secret-password"})
	}
	index, _ := f.indexOf(1, "team/app", "1", "linux/amd64", "linux/arm64")
	id := f.identify("team/app", "1", index)
	with := &lender{credentials: append(l.credentials, registry.Credential{Username: "ada", Password: "secret-password"})}
	resolve(t, f.client(f.config()), id, amd64, with)
	if got := len(f.requests()); got != 1+2*16+1 {
		t.Errorf("%d requests with sixteen credentials", got)
	}

	for i := range 9 {
		id.Candidates = append(id.Candidates, registry.Candidate{Repo: fmt.Sprintf("%s/team/app%d", f.host(), i), Digest: index})
	}
	_, err := f.client(f.config()).Resolve(t.Context(), id, amd64, l)
	if !errors.Is(err, registry.ErrUnauthorized) || leaks(err) {
		t.Errorf("got %v", err)
	}
	if got := len(f.requests()); got != 40 {
		t.Errorf("%d requests for ten repositories, want 40", got)
	}

	f = newFake(t, open)
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if n := len(r.URL.Query().Get("n")); n < 9 {
			http.Redirect(w, r, r.URL.Path+"?n="+strings.Repeat("x", n+1), http.StatusFound)
		} else {
			w.WriteHeader(http.StatusNotFound)
		}
		return true
	}
	for i := range id.Candidates {
		id.Candidates[i].Repo = fmt.Sprintf("%s/team/app%d", f.host(), i)
	}
	if _, err := f.client(f.config()).Resolve(t.Context(), id, amd64, nil); !errors.Is(err, registry.ErrUnauthorized) {
		t.Errorf("got %v", err)
	}
	if got := len(f.requests()); got != 40 {
		t.Errorf("%d requests with nine redirects each, want 40", got)
	}
}

// TestFlood reads 4 MiB of 64.
func TestFlood(t *testing.T) {
	f := newFake(t, open)
	var sent atomic.Int64
	ended := make(chan struct{})
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		defer close(ended)
		chunk := bytes.Repeat([]byte(" "), 1<<16)
		for range 1 << 10 {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				break
			}
		}
		return true
	}
	_, err := f.client(f.config()).Resolve(t.Context(), f.identify("app", "1", f.image("app", "1", 1)), amd64, nil)
	if !errors.Is(err, registry.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	<-ended
	// What is beyond the limit stood in the kernel's buffers.
	if got := sent.Load(); got >= 32<<20 {
		t.Errorf("the registry could send %d bytes", got)
	}
}

// TestHang gives up on a registry that does not answer, in virtual time.
func TestHang(t *testing.T) {
	cfg := registry.Config{Transport: silent{}}
	id, err := registry.Identify("quay.io/app:1", "quay.io/app@"+digestA)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		_, err := registry.New(cfg).Resolve(t.Context(), id, amd64, nil)
		if err == nil || registry.Permanent(err) {
			t.Errorf("got %v", err)
		}
	})
}

// silent answers when the request is given up.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestUnlisted contacts no loopback or link-local address that the settings do
// not list, however it is written.
func TestUnlisted(t *testing.T) {
	f := newFake(t, open)
	port := strings.TrimPrefix(f.host(), "127.0.0.1:")
	for _, host := range []string{"127.0.0.1:" + port, "localhost:" + port, "169.254.169.254", "[::1]:" + port, "0.0.0.0:" + port, "a.localhost:" + port} {
		id, err := registry.Identify(host+"/x:1", host+"/x@"+digestA)
		if err != nil {
			t.Fatal(err)
		}
		c := f.client(registry.Config{})
		if _, err := c.Resolve(t.Context(), id, amd64, nil); !errors.Is(err, registry.ErrDenied) || !registry.Permanent(err) {
			t.Errorf("%s: %v", host, err)
		}
	}
	f.want()
}

// TestAllowed asks only registries that the lists allow, of which deny wins, and sends
// no request to others; broken lists allow none.
func TestAllowed(t *testing.T) {
	f := newFake(t, open)
	id := f.identify("app", "1", f.image("app", "1", 1))
	host, port, _ := strings.Cut(f.host(), ":")
	tests := []struct {
		name                string
		allow, deny, ranges []string
		err                 error
		says                string
	}{
		{name: "no lists"},
		{name: "allowed", allow: []string{"quay.io", f.host()}},
		{name: "allowed at any port", allow: []string{host}},
		{name: "another is allowed", allow: []string{"quay.io"}, err: registry.ErrDenied, says: "allowRegistries"},
		{name: "another port is allowed", allow: []string{host + ":1"}, err: registry.ErrDenied, says: "allowRegistries"},
		{name: "denied", deny: []string{"*:" + port}, err: registry.ErrDenied, says: "denyRegistries"},
		{name: "another is denied", deny: []string{"quay.io"}},
		{name: "both", allow: []string{f.host()}, deny: []string{host}, err: registry.ErrDenied, says: "denyRegistries"},
		{name: "denied by address, but listed", ranges: []string{"127.0.0.0/8"}},
		{name: "broken", deny: []string{"quay.io", "["}, err: registry.ErrInvalid, says: "denyRegistries[1]"},
		{name: "broken range", ranges: []string{"10.0.0.1"}, err: registry.ErrInvalid, says: "denyRegistryAddresses[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := f.config()
			cfg.Allow, cfg.Deny, cfg.DenyAddresses = tt.allow, tt.deny, tt.ranges
			if err := cfg.Validate(); errors.Is(err, registry.ErrInvalid) != (tt.err == registry.ErrInvalid) {
				t.Errorf("validated: %v", err)
			}
			c := registry.New(cfg)
			defer c.Close()
			_, err := c.Resolve(t.Context(), id, amd64, nil)
			if tt.err == nil {
				if err != nil {
					t.Error(err)
				}
				f.want("GET manifest")
				return
			}
			if !errors.Is(err, tt.err) || !registry.Permanent(err) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v with %s", err, tt.err, tt.says)
			}
			_, _, err = c.Sources(t.Context(), &registry.Image{Repo: f.host() + "/app"}, nil, 0)
			if !errors.Is(err, tt.err) {
				t.Errorf("sources: %v", err)
			}
			f.want()
		})
	}
}

// TestCredentialsStay sends no password to where the registry redirects: another
// host, or another port of the same.
func TestCredentialsStay(t *testing.T) {
	f := newFake(t, basicAuth)
	f.users["ada"] = user{"secret-password", []string{"app"}}
	digest := f.image("app", "1", 1)
	var leaked atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("Referer") != "" {
			leaked.Store(true)
		}
		f.inner.ServeHTTP(w, r)
	}))
	defer elsewhere.Close()
	for _, host := range []string{hostOf(elsewhere), name(elsewhere)} {
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") == "" {
				return false
			}
			http.Redirect(w, r, "http://"+host+r.URL.Path, http.StatusFound)
			return true
		}
		cfg := f.config()
		cfg.Registries = append(cfg.Registries, registry.Registry{Host: host, Insecure: true})
		ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
		resolve(t, f.client(cfg), f.identify("app", "1", digest), amd64, ada)
	}
	if leaked.Load() {
		t.Error("the password went elsewhere")
	}
}

// TestRefusedElsewhere takes what a blob store says about us for no word of the
// registry; that there is nothing it takes for one: some serve manifests from elsewhere.
func TestRefusedElsewhere(t *testing.T) {
	for status, want := range map[int]error{http.StatusUnauthorized: nil, http.StatusForbidden: nil, http.StatusNotFound: registry.ErrNotFound} {
		elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }))
		defer elsewhere.Close()
		f := newFake(t, open)
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
			return true
		}
		cfg := f.config()
		cfg.Registries = append(cfg.Registries, registry.Registry{Host: hostOf(elsewhere), Insecure: true})
		_, err := f.client(cfg).Resolve(t.Context(), f.identify("app", "1", f.image("app", "1", 1)), amd64, nil)
		if err == nil || !errors.Is(err, want) && want != nil || registry.Permanent(err) != (want != nil) {
			t.Errorf("%d: got %v, want %v", status, err, want)
		}
	}
}

// TestBlobRedirects hands Clair no address that it must not ask, and says why.
func TestBlobRedirects(t *testing.T) {
	tests := []struct {
		name, to string
		status   int
		err      error // nil: a passing trouble
	}{
		{name: "link-local", to: "http://169.254.169.254/secret", status: 307, err: registry.ErrDenied},
		{name: "loopback", to: "https://localhost:1/secret", status: 307, err: registry.ErrDenied},
		{name: "nowhere", status: 307, err: registry.ErrInvalid},
		{name: "no URL", to: "https://store.example.com/%zz?secret", status: 307, err: registry.ErrInvalid},
		{name: "itself", to: "/elsewhere?secret", status: 302, err: registry.ErrForward},
		{name: "refused", status: 403, err: registry.ErrUnauthorized},
		{name: "gone", status: 404, err: registry.ErrNotFound},
		{name: "direct", status: 200, err: registry.ErrForward},
		{name: "broken", status: 502},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, basicAuth)
			f.users["ada"] = user{"secret-password", []string{"app"}}
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/blobs/") {
					return false
				}
				if tt.to != "" {
					w.Header().Set("Location", tt.to)
				}
				w.WriteHeader(tt.status)
				return true
			}
			ada := &lender{credentials: []registry.Credential{{Username: "ada", Password: "secret-password"}}}
			c := f.client(f.config())
			image := resolve(t, c, f.identify("app", "1", f.image("app", "1", 2)), amd64, ada)
			f.requests()
			sources, _, err := c.Sources(t.Context(), image, ada, 0)
			if err == nil || tt.err != nil && !errors.Is(err, tt.err) || registry.Permanent(err) != (tt.err != nil) || leaks(err) || sources != nil {
				t.Errorf("got %v, %v; want %v", sources, err, tt.err)
			}
			f.want("GET blob")
		})
	}
}

// TestTLS trusts the settings' roots and no others.
func TestTLS(t *testing.T) {
	f := newFake(t, open)
	digest := f.image("app", "1", 1)
	s := httptest.NewUnstartedServer(f.inner)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake
	s.StartTLS()
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "https://")
	id, err := registry.Identify(host+"/app:1", host+"/app@"+digest)
	if err != nil {
		t.Fatal(err)
	}
	cfg := registry.Config{Registries: []registry.Registry{{Host: host}}, Roots: x509.NewCertPool()}
	if _, err := f.client(cfg).Resolve(t.Context(), id, amd64, nil); err == nil || registry.Permanent(err) {
		t.Errorf("got %v", err)
	}
	cfg.Roots.AddCert(s.Certificate())
	resolve(t, f.client(cfg), id, amd64, nil)

	// The same from a file, beside the system's.
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for content, want := range map[string]string{
		string(block):                        "",
		"and\n" + string(block) + "and more": "",
		"no certificate":                     file,
		"":                                   "want those of authorities",
		strings.Repeat("\n", 1<<20) + string(block): "more than",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		roots, err := registry.Roots(file)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%.20q: %v, want %q", content, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		cfg.Roots = roots
		resolve(t, f.client(cfg), id, amd64, nil)
	}
	for _, bad := range []string{dir, filepath.Join(dir, "none.pem")} {
		if _, err := registry.Roots(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestUnsupported names what is no image for Clair, without a request where the
// node says it.
func TestUnsupported(t *testing.T) {
	f := newFake(t, open)
	c := f.client(f.config())
	id := f.identify("app", "1", f.image("app", "1", 0))
	if _, err := c.Resolve(t.Context(), id, registry.Platform{OS: "windows", Architecture: "amd64"}, nil); !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	f.want()
	if _, err := c.Resolve(t.Context(), id, amd64, nil); !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	nested, _ := f.index("app", "inner", "linux/amd64")
	outer := encode(t, map[string]any{"schemaVersion": 2, "manifests": []any{map[string]any{"digest": nested, "size": 1}}})
	f.put(http.MethodPut, "/v2/app/manifests/outer", ociIndex, outer)
	if _, err := c.Resolve(t.Context(), f.identify("app", "outer", sum(outer)), amd64, nil); !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// TestEmbedded takes a child's manifest from the index itself, if it is the one.
func TestEmbedded(t *testing.T) {
	f := newFake(t, open)
	c := f.client(f.config())
	m := f.manifest("app", "child", 2)
	f.put(http.MethodPut, "/v2/app/manifests/child", ociManifest, m)
	for data, requests := range map[string][]string{
		string(m): {"GET manifest"},
		"other":   {"GET manifest", "GET manifest"},
	} {
		index := encode(t, map[string]any{"schemaVersion": 2, "manifests": []any{map[string]any{
			"mediaType": ociManifest, "digest": sum(m), "size": len(m), "data": []byte(data), "platform": map[string]any{"os": "linux", "architecture": "amd64"},
		}}})
		tag := fmt.Sprint(len(data))
		f.put(http.MethodPut, "/v2/app/manifests/"+tag, ociIndex, index)
		image := resolve(t, c, f.identify("app", tag, sum(index)), amd64, nil)
		f.want(requests...)
		if image.Digest != sum(m) || image.Index != sum(index) {
			t.Errorf("image %+v", image)
		}
	}
}
