package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	dialTimeout    = 10 * time.Second
	headerTimeout  = 30 * time.Second
	maxHeaderBytes = 64 << 10
	maxRedirects   = 10
)

// guard keeps us from addresses that a pod's author, an image's name or a
// registry's answer must not lead to. Private ranges are allowed, registries stand
// there.
type guard struct {
	listed map[string]bool // host:port in the settings: may be loopback; the value allows plain HTTP
	lists
	broken error // what is wrong with the lists

	mu      sync.Mutex
	proxies map[string]bool // guarded by mu: host:port of the environment's proxies
}

// lists say what else is denied, and of all else what is allowed.
type lists struct {
	allow, deny list
	ranges      []netip.Prefix
}

// newGuard exempts the endpoints of the settings from what is denied as loopback or
// by its address.
func newGuard(cfg Config, endpoints map[string]*endpoint) *guard {
	g := &guard{listed: make(map[string]bool), proxies: make(map[string]bool)}
	g.lists, g.broken = cfg.lists()
	for _, e := range endpoints {
		if e.err == nil {
			g.listed[hostPort(e.base)] = e.base.Scheme == "http"
		}
	}
	return g
}

// transport is an http.Transport that dials through the guard.
func (g *guard) transport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:                  g.proxy,
		DialContext:            g.dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		IdleConnTimeout:        time.Minute,
		MaxIdleConns:           32,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // digests are of the bytes as they are sent
	}
}

// readable refuses a redirect to what is no URL. net/http would as well, with the
// whole of it in its error, a signature included.
type readable struct{ http.RoundTripper }

// RoundTrip is that of the transport within.
func (t readable) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if _, err := r.URL.Parse(resp.Header.Get("Location")); err != nil {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: it redirects to what is no URL", ErrInvalid)
	}
	return resp, nil
}

// CloseIdleConnections is that of the transport within, where it has any.
func (t readable) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// proxy takes the environment's proxy and remembers that its address is the
// operator's choice.
func (g *guard) proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if u != nil {
		g.mu.Lock()
		g.proxies[hostPort(u)] = true
		g.mu.Unlock()
	}
	return u, err
}

// dial connects to addr unless it resolves to what is denied. The check stands
// after name resolution, so that no spelling and no DNS answer gets round it.
func (g *guard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	name := strings.ToLower(addr)
	_, listed := g.listed[name]
	g.mu.Lock()
	listed = listed || g.proxies[name]
	g.mu.Unlock()
	d := net.Dialer{Timeout: dialTimeout, Control: func(_, resolved string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return fmt.Errorf("%w: %q is no address", ErrDenied, resolved)
		}
		return g.check(to.Addr(), listed, addr)
	}}
	return d.DialContext(ctx, network, addr)
}

// metadata says whether a is a cloud's instance service that is not link-local.
func metadata(a netip.Addr) bool {
	switch a.String() {
	case "fd00:ec2::254", "fd20:ce::254", // AWS and GCP over IPv6
		"100.100.100.200", "192.0.0.192", "168.63.129.16": // Alibaba, Oracle, Azure's WireServer
		return true
	}
	return false
}

// check denies an address; where names what was asked for. A listed host may be
// loopback or in a denied range, nothing may be link-local.
func (g *guard) check(a netip.Addr, listed bool, where string) error {
	a = a.Unmap().WithZone("")
	if b := a.As16(); a.Is6() && [12]byte(b[:]) == [12]byte{0x00, 0x64, 0xff, 0x9b} {
		a = netip.AddrFrom4([4]byte(b[12:])) // NAT64 leads to an IPv4 address
	}
	switch {
	case a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsUnspecified(), metadata(a):
		return fmt.Errorf("%w: %s is %s, which is no registry's", ErrDenied, where, a)
	case listed:
	case a.IsLoopback():
		return fmt.Errorf("%w: %s is %s; if it is meant, list it under the daemon's registries", ErrDenied, where, a)
	case slices.ContainsFunc(g.ranges, func(r netip.Prefix) bool { return r.Contains(a) }):
		return fmt.Errorf("%w: %s is %s, which is in the daemon's denyRegistryAddresses; if it is meant, list it under registries", ErrDenied, where, a)
	}
	return nil
}

// permit checks the host of an image's name against the lists; port is the one that it
// means where it names none.
func (g *guard) permit(host, port string) error {
	switch {
	case g.broken != nil:
		return g.broken
	case g.deny.matches(host, port):
		return fmt.Errorf("%w: %s is in the daemon's denyRegistries", ErrDenied, host)
	case len(g.allow) > 0 && !g.allow.matches(host, port):
		return fmt.Errorf("%w: %s is not in the daemon's allowRegistries; if it is meant, add it there", ErrDenied, host)
	}
	return nil
}

// admit checks a URL before it is asked for or handed on: https, or http where
// plain is set or the settings say so, and no address that is denied. It sees
// what dial does not: the target behind a proxy, and what Clair is to fetch.
func (g *guard) admit(u *url.URL, plain bool) error {
	at := hostPort(u)
	allowsPlain, listed := g.listed[at]
	switch {
	case u.Host == "" || u.User != nil:
		return fmt.Errorf("%w: an address without host or with a user", ErrInvalid)
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r > '~' }):
		// net/http spells it anew after this, and what is denied could be what comes out.
		return fmt.Errorf("%w: an address whose host is not in ASCII", ErrInvalid)
	case u.Scheme == "http" && !plain && !allowsPlain:
		return fmt.Errorf("%w: %s over plain http; if it is meant, list it as insecure under the daemon's registries", ErrDenied, u.Host)
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%w: %s by a scheme that is not https", ErrDenied, u.Host)
	}
	if g.deny.matches(at, "") {
		return fmt.Errorf("%w: %s is in the daemon's denyRegistries", ErrDenied, u.Host)
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return g.check(netip.IPv6Loopback(), listed, u.Host)
	}
	if strings.Contains(host, "%") { // of what leads to another machine only link-local addresses have a zone
		return fmt.Errorf("%w: %s has a zone, which no registry's address has", ErrDenied, u.Host)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return g.check(a, listed, u.Host)
	}
	return nil
}

// admitRealm checks the token server that e names. Beyond [guard.admit], an
// address of a private range must be e's own or listed: a public registry has no
// business there, and its password goes along.
func (g *guard) admitRealm(u *url.URL, e *endpoint) error {
	if err := g.admit(u, e.base.Scheme == "http"); err != nil {
		return err
	}
	if _, listed := g.listed[hostPort(u)]; listed || hostPort(u) == hostPort(e.base) {
		return nil
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && a.Unmap().IsPrivate() {
		return fmt.Errorf("%w: the token server %s is a private address; if it is meant, list it under the daemon's registries", ErrDenied, u.Host)
	}
	return nil
}

// redirect is the policy of our HTTP client: ten hops, each admitted, and no
// credentials for another host than the first (net/http would keep them for other
// ports and subdomains).
func (g *guard) redirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", ErrInvalid, maxRedirects)
	}
	if err := g.admit(r.URL, false); err != nil {
		return fmt.Errorf("following a redirect: %w", err)
	}
	if hostPort(r.URL) != hostPort(via[0].URL) || r.URL.Scheme != via[0].URL.Scheme {
		r.Header.Del("Authorization")
	}
	r.Header.Del("Referer")
	return nil
}

// hostPort is the host and port of u as they are dialled.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
