package registry_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/clairwatch/clairwatch/registry"
)

// mode is how the fake wants to be spoken to.
type mode int

const (
	open mode = iota
	basicAuth
	tokenAuth
)

// user may pull from repos with a password.
type user struct {
	password string
	repos    []string
}

// fake is a real registry (that of go-containerregistry) behind an
// authentication and a counter of requests, with a token server and a blob store.
type fake struct {
	t        *testing.T
	mode     mode
	deny     int           // status for what the asker may not see; 0: 401
	lifetime time.Duration // of tokens; 0: the server does not say
	field    string        // of the token in the answer; "": token
	redirect bool          // blobs are at the store
	users    map[string]user
	public   []string // repositories that anybody may pull
	fault    func(http.ResponseWriter, *http.Request) bool

	inner                   http.Handler
	registry, tokens, store *httptest.Server

	mu     sync.Mutex
	seen   []string
	issued map[string]issue
}

type issue struct {
	repo    string
	expires time.Time
}

func newFake(t *testing.T, m mode) *fake {
	f := &fake{t: t, mode: m, users: make(map[string]user), issued: make(map[string]issue),
		inner: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))}
	f.registry = httptest.NewServer(http.HandlerFunc(f.serveRegistry))
	f.tokens = httptest.NewServer(http.HandlerFunc(f.serveToken))
	f.store = httptest.NewServer(http.HandlerFunc(f.serveStore))
	for _, s := range []*httptest.Server{f.registry, f.tokens, f.store} {
		t.Cleanup(s.Close)
	}
	return f
}

func hostOf(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

func (f *fake) host() string { return hostOf(f.registry) }

// name is a server by another name than the registry's: net/http, and so Clair,
// carries credentials on to another port of the same host.
func name(s *httptest.Server) string { return strings.Replace(hostOf(s), "127.0.0.1", "localhost", 1) }

// config lists the fake's three servers.
func (f *fake) config() registry.Config {
	return registry.Config{Registries: []registry.Registry{
		{Host: f.host(), Insecure: true},
		{Host: name(f.tokens), Insecure: true},
		{Host: name(f.store), Insecure: true},
	}}
}

func (f *fake) client(cfg registry.Config) *registry.Client {
	f.t.Helper()
	if err := cfg.Validate(); err != nil {
		f.t.Fatal(err)
	}
	c := registry.New(cfg)
	f.t.Cleanup(c.Close)
	return c
}

func (f *fake) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, what)
}

// requests returns what was asked since the last call.
func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := f.seen
	f.seen = nil
	return seen
}

// want compares the requests since the last call.
func (f *fake) want(requests ...string) {
	f.t.Helper()
	if got := f.requests(); !slices.Equal(got, requests) {
		f.t.Errorf("requests:\n got %q\nwant %q", got, requests)
	}
}

func (f *fake) serveRegistry(w http.ResponseWriter, r *http.Request) {
	kind := "manifest"
	at := strings.Index(r.URL.Path, "/manifests/")
	if at < 0 {
		kind, at = "blob", strings.Index(r.URL.Path, "/blobs/")
	}
	if r.URL.Path == "/v2/" {
		kind = "root"
	}
	f.note(r.Method + " " + kind)
	if f.fault != nil && f.fault(w, r) {
		return
	}
	if at < 0 || !strings.HasPrefix(r.URL.Path, "/v2/") {
		http.NotFound(w, r)
		return
	}
	repo := r.URL.Path[len("/v2/"):at]
	if !f.allowed(r, repo) {
		switch {
		case f.mode == tokenAuth:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token?extra=1",service="fake",scope="repository:%s:pull"`, name(f.tokens), repo))
		case f.mode == basicAuth:
			w.Header().Set("WWW-Authenticate", `Basic realm="fake"`)
		}
		status := http.StatusUnauthorized
		if f.deny != 0 && r.Header.Get("Authorization") != "" {
			status = f.deny
		}
		w.WriteHeader(status)
		return
	}
	if kind == "blob" && f.redirect {
		http.Redirect(w, r, "http://"+name(f.store)+r.URL.Path+"?signature=SIGNED", http.StatusTemporaryRedirect)
		return
	}
	f.inner.ServeHTTP(w, r)
}

func (f *fake) allowed(r *http.Request, repo string) bool {
	switch f.mode {
	case basicAuth:
		who, password, ok := r.BasicAuth()
		return ok && f.users[who].password == password && slices.Contains(f.users[who].repos, repo) || !ok && slices.Contains(f.public, repo)
	case tokenAuth:
		f.mu.Lock()
		defer f.mu.Unlock()
		i, ok := f.issued[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		return ok && i.repo == repo && time.Now().Before(i.expires)
	}
	return true
}

// revoke ends all tokens.
func (f *fake) revoke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.issued)
}

// serveToken gives everybody a token who names no user or his password; it opens a
// repository only where the asker may pull from it.
func (f *fake) serveToken(w http.ResponseWriter, r *http.Request) {
	f.note("token")
	who, password, named := r.BasicAuth()
	if named && f.users[who].password != password {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	q := r.URL.Query()
	repo := strings.TrimSuffix(strings.TrimPrefix(q.Get("scope"), "repository:"), ":pull")
	if len(q["scope"]) != 1 || q.Get("scope") != "repository:"+repo+":pull" || q.Get("service") != "fake" || q.Get("extra") != "1" {
		f.t.Errorf("token request with %s", r.URL.RawQuery)
	}
	lifetime := f.lifetime
	if lifetime == 0 {
		lifetime = time.Minute
	}
	f.mu.Lock()
	value := fmt.Sprintf("secret-token-%d", len(f.seen)+len(f.issued)*1000)
	if slices.Contains(f.public, repo) || named && slices.Contains(f.users[who].repos, repo) {
		f.issued[value] = issue{repo, time.Now().Add(lifetime)}
	}
	f.mu.Unlock()
	field := f.field
	if field == "" {
		field = "token"
	}
	said := map[string]any{field: value}
	if f.lifetime != 0 {
		said["expires_in"] = f.lifetime.Seconds()
	}
	json.NewEncoder(w).Encode(said)
}

// serveStore wants the signature and, as S3 does, no second authorization.
func (f *fake) serveStore(w http.ResponseWriter, r *http.Request) {
	f.note("GET store")
	if r.URL.Query().Get("signature") != "SIGNED" || r.Header.Get("Authorization") != "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.inner.ServeHTTP(w, r)
}

// put sends content to the registry behind the authentication.
func (f *fake) put(method, path, mediaType string, body []byte) {
	f.t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", mediaType)
	w := httptest.NewRecorder()
	f.inner.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		f.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
}

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

func sum(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// manifest makes the manifest of an image whose content follows from name.
func (f *fake) manifest(repo, name string, layers int) []byte {
	f.t.Helper()
	blob := func(content string) map[string]any {
		b := []byte(content)
		f.put(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+url.QueryEscape(sum(b)), "application/octet-stream", b)
		return map[string]any{"digest": sum(b), "size": len(b)}
	}
	config := blob("config of " + name)
	config["mediaType"] = ociConfig
	var list []any
	for i := range layers {
		l := blob(fmt.Sprintf("layer %d of %s", i, name))
		l["mediaType"] = ociLayer
		list = append(list, l)
	}
	return encode(f.t, map[string]any{"schemaVersion": 2, "mediaType": ociManifest, "config": config, "layers": list})
}

// image pushes an image and returns its digest.
func (f *fake) image(repo, tag string, layers int) string {
	f.t.Helper()
	m := f.manifest(repo, repo+":"+tag, layers)
	f.put(http.MethodPut, "/v2/"+repo+"/manifests/"+tag, ociManifest, m)
	return sum(m)
}

// index pushes an index with an image for each platform ("os/arch/variant") and
// an attestation; it returns its digest and those of the images.
func (f *fake) index(repo, tag string, platforms ...string) (string, map[string]string) {
	f.t.Helper()
	return f.indexOf(3, repo, tag, platforms...)
}

// indexOf is index with images of so many layers.
func (f *fake) indexOf(layers int, repo, tag string, platforms ...string) (string, map[string]string) {
	f.t.Helper()
	children := make(map[string]string)
	var list []any
	for _, p := range append(slices.Clone(platforms), "unknown/unknown") {
		m := f.manifest(repo, tag+p, layers)
		f.put(http.MethodPut, "/v2/"+repo+"/manifests/"+sum(m), ociManifest, m)
		part := append(strings.Split(p, "/"), "")
		platform := map[string]any{"os": part[0], "architecture": part[1]}
		if part[2] != "" {
			platform["variant"] = part[2]
		}
		// artifactType as go-containerregistry's own tool writes it for ordinary images.
		d := map[string]any{"mediaType": ociManifest, "digest": sum(m), "size": len(m), "artifactType": ociConfig, "platform": platform}
		if part[0] == "unknown" {
			d["annotations"] = map[string]any{"vnd.docker.reference.type": "attestation-manifest"}
		}
		list = append(list, d)
		children[p] = sum(m)
	}
	index := encode(f.t, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": list})
	f.put(http.MethodPut, "/v2/"+repo+"/manifests/"+tag, ociIndex, index)
	return sum(index), children
}

// identify is Identify of an image as containerd shows it.
func (f *fake) identify(repo, tag, digest string) registry.Identity {
	f.t.Helper()
	id, err := registry.Identify(f.host()+"/"+repo+":"+tag, f.host()+"/"+repo+"@"+digest)
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// leaks says whether err holds a secret: those of the tests are called so.
func leaks(err error) bool {
	return strings.Contains(strings.ReplaceAll(err.Error(), "image pull secret", ""), "secret")
}

// inProcess carries requests to handlers without a network, for tests in virtual
// time.
type inProcess map[string]http.HandlerFunc

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	p[r.URL.Host](w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}
