package registry

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"
)

// list is an allow or a deny list of registries.
type list []pattern

// pattern matches hosts as image names have them: "quay.io", "*.example.com",
// "localhost:5001".
type pattern struct {
	host string // a glob, lower case; a star matches dots too
	port string // "": any
}

// readList reads the list that is called key in the settings. Its error names each
// mistake by its place there.
func readList(key string, entries []string) (list, error) {
	var l list
	var errs []error
	for i, entry := range entries {
		host, port := splitName(entry)
		_, err := path.Match(host, "")
		if host == "" || err != nil || strings.ContainsAny(entry, "/ @#") || strings.Trim(port, "0123456789") != "" {
			errs = append(errs, fmt.Errorf("%s[%d]: %q: %w: want a host as in image names, such as quay.io, *.example.com or localhost:5001", key, i, entry, ErrInvalid))
			continue
		}
		l = append(l, pattern{host: canonical(host), port: port})
	}
	return l, errors.Join(errs...)
}

// matches says whether the host and port of a name, or of an address, are in l; implied
// is the port of a name without one.
func (l list) matches(name, implied string) bool {
	host, port := splitName(name)
	port = cmp.Or(port, implied)
	also := canonical(host)
	for _, p := range l {
		if p.port != "" && p.port != port {
			continue
		}
		for _, h := range []string{host, also} {
			if ok, err := path.Match(p.host, h); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// canonical is the name under which a registry with several is known.
func canonical(host string) string {
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

// splitName splits the host of an image's name; the port is "" where there is none.
func splitName(name string) (host, port string) {
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		host, port = name, ""
		if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") && strings.Contains(inner, ":") {
			host = strings.TrimSuffix(inner, "]")
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := netip.ParseAddr(host); err == nil { // which can be spelt in many ways
		host = a.Unmap().String()
	}
	return host, port
}

// readRanges reads the list of addresses that is called key in the settings.
func readRanges(key string, entries []string) ([]netip.Prefix, error) {
	var ranges []netip.Prefix
	var errs []error
	for i, entry := range entries {
		r, err := netip.ParsePrefix(entry)
		if err != nil || r.Addr().Is4In6() {
			errs = append(errs, fmt.Errorf("%s[%d]: %q: %w: want a range of addresses such as 10.0.0.0/8, or 192.0.2.7/32 for one", key, i, entry, ErrInvalid))
			continue
		}
		ranges = append(ranges, r)
	}
	return ranges, errors.Join(errs...)
}
