package registry

import (
	"fmt"
	"net/url"
	"strings"
)

// Registry is what the settings say about one registry, or about another host
// that one needs: a token server or a blob store. A host that is listed may be a
// loopback address; a link-local one stays denied.
type Registry struct {
	// Host is the registry as image names have it: "docker.io" (or "index.docker.io"),
	// "localhost:5001".
	Host string
	// Endpoint is where it is reached, "https://mirror.example.com" or
	// "http://kind-registry:5000"; a path is put before the repository. Clair
	// fetches layers from there. "": Host itself, over https or, where Insecure,
	// http; for docker.io its registry-1.docker.io.
	Endpoint string
	// Insecure allows plain HTTP where Endpoint says nothing.
	Insecure bool
	// ForwardPassword lets Clair have the password of a registry that knows
	// neither tokens nor redirects. Default: no, its images cannot be scanned.
	ForwardPassword bool
	// ResolveLayers asks the registry where each layer is and has Clair fetch it from
	// there, also where it gives out tokens: for one whose store, on another port of the
	// same host, refuses the token that Clair's HTTP client takes along. Default: only
	// where there are no tokens. One request for each layer.
	ResolveLayers bool
}

// name is r's host as image names have it when they are normalised, lower case.
func (r Registry) name() string {
	host := strings.ToLower(r.Host)
	if host == "index.docker.io" {
		return "docker.io"
	}
	return host
}

// Validate says what is wrong with r, as [ErrInvalid].
func (r Registry) Validate() error {
	if r.Host == "" || strings.ContainsAny(r.Host, "/ @?#") {
		return fmt.Errorf("registry host %q: %w: it is a name with an optional port, as in image names", r.Host, ErrInvalid)
	}
	return newEndpoint(r).err
}

// hubEndpoint is where Docker Hub serves docker.io.
const hubEndpoint = "https://registry-1.docker.io"

// endpoint is a registry as we ask it.
type endpoint struct {
	host    string // as in image names
	base    *url.URL
	forward bool
	resolve bool
	err     error // what is wrong with the settings, or with the name
}

func newEndpoint(r Registry) *endpoint {
	at := r.Endpoint
	if r.name() == "docker.io" {
		r.Host = "docker.io"
	}
	switch {
	case at != "":
	case r.Host == "docker.io":
		at = hubEndpoint
	case r.Insecure:
		at = "http://" + r.Host
	default:
		at = "https://" + r.Host
	}
	e := &endpoint{host: r.Host, forward: r.ForwardPassword, resolve: r.ResolveLayers}
	u, err := url.Parse(at)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.Path, "..") {
		e.err = fmt.Errorf("endpoint of registry %s: %w: it must be https://host[:port][/path], or http", r.Host, ErrInvalid)
		return e
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), ""
	e.base = u
	return e
}

// port is the one that the registry's name means where it has none: that of its scheme.
// Elsewhere than there a name is as good as any, and means https.
func (e *endpoint) port() string {
	if e.err == nil && e.base.Scheme == "http" && strings.EqualFold(e.base.Host, e.host) {
		return "80"
	}
	return "443"
}

// place is a repository at its endpoint.
type place struct {
	*endpoint
	repo string // as in image names: the key of credentials
	path string // at the endpoint
	by   *operation
}

// place finds the endpoint of a repository for an operation.
func (c *Client) place(by *operation, repo string) (place, error) {
	name, path, ok := strings.Cut(repo, "/")
	if !ok || path == "" || strings.Contains(path, "..") {
		return place{}, fmt.Errorf("repository %q: %w", repo, ErrInvalid)
	}
	e := c.endpoints[strings.ToLower(name)]
	if e == nil {
		e = newEndpoint(Registry{Host: name})
	}
	if err := c.guard.permit(name, e.port()); err != nil {
		return place{}, fmt.Errorf("asking registry %s: %w", name, err)
	}
	if e.err != nil {
		return place{}, e.err
	}
	if err := c.guard.admit(e.base, false); err != nil {
		return place{}, fmt.Errorf("asking registry %s: %w", name, err)
	}
	return place{endpoint: e, repo: repo, by: by, path: strings.TrimPrefix(e.base.Path+"/"+path, "/")}, nil
}

// url is the address of a "manifests" or "blobs" resource.
func (p place) url(kind, ref string) string {
	u := url.URL{Scheme: p.base.Scheme, Host: p.base.Host, Path: "/v2/" + p.path + "/" + kind + "/" + ref}
	return u.String()
}

// root names the endpoint in maps, key the repository.
func (p place) root() string { return p.base.Scheme + "://" + p.base.Host }
func (p place) key() string  { return p.root() + "/" + p.path }
