package main

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// hostGuard turns away requests under a name that is not the daemon's. A browser on the machine of a port-forward
// reaches 127.0.0.1, and a page of another site can have its own name lead there (DNS rebinding): for the browser the
// pages are then of that site, which may read them. But it sends that name as the host.
type hostGuard struct {
	next http.Handler
	// names are those under which the pages are asked for, besides loopback's. No name has a port.
	names []string
}

// wrongHost is what to do under another name.
const wrongHost = "the pages do not answer under this name: open them at 127.0.0.1 or localhost, or set externalURL in the daemon's config to where people find them"

// ServeHTTP answers a request.
func (g *hostGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := hostOfRequest(r)
	if !isLoopback(host) && !slices.ContainsFunc(g.names, func(name string) bool { return strings.EqualFold(name, strings.TrimSuffix(host, ".")) }) {
		turnAway(w, r, http.StatusMisdirectedRequest, wrongHost)
		return
	}
	g.next.ServeHTTP(w, r)
}

// ownNames are the names by which the config has the pages found.
func ownNames(cfg Config) []string {
	var names []string
	if host, _, err := net.SplitHostPort(cfg.Web.Listen); err == nil && host != "" {
		names = append(names, host)
	}
	if u, err := url.Parse(cfg.ExternalURL); err == nil && u.Hostname() != "" {
		names = append(names, strings.TrimSuffix(u.Hostname(), "."))
	}
	return names
}

// hostOfRequest is the name or address under which something was asked for, without the port.
func hostOfRequest(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	if inner, bracketed := strings.CutPrefix(r.Host, "["); bracketed {
		return strings.TrimSuffix(inner, "]")
	}
	return r.Host
}

// isLoopback says whether a name or address leads to loopback by itself, whoever is asked.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.Unmap().IsLoopback()
}
