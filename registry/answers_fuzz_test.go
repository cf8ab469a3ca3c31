package registry

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
)

// signature is what stands in a query and may be in no error, but as a part of a host.
const signature = "X-Amz-Signature=3f9a7c"

// wantHarmless says when an error shows a signature, or moves the cursor of a terminal.
func wantHarmless(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); strings.Contains(text, "?"+signature) || strings.ContainsFunc(text, unicode.IsControl) || len(text) > 10<<10 {
		t.Errorf("the error says %q", text)
	}
}

// leadsInside says whether an address leads to the machine itself, or to what tells secrets of its cloud.
func leadsInside(u *url.URL) bool {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	host, _, _ = strings.Cut(host, "%")
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost" || strings.HasSuffix(host, ".localhost")
	}
	a = a.Unmap()
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() || a == netip.MustParseAddr("169.254.169.254")
}

// fuzzedPlace is a repository of a registry, and the client that asks there.
func fuzzedPlace(t testing.TB, transport http.RoundTripper) (*Client, place) {
	t.Helper()
	c := New(Config{})
	c.http.Transport, c.stay.Transport = readable{transport}, readable{transport}
	p, err := c.place(c.operation(nil), "registry.example.com/shop/web")
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

// FuzzChallenge: whatever a registry says of its token server, a password goes there only over https, and not inside.
func FuzzChallenge(f *testing.F) {
	for _, header := range []string{
		`Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`, `Basic realm="x"`, `Basic, Bearer realm="https://a/"`,
		`Bearer realm="http://169.254.169.254/"`, `Bearer realm="https://[::ffff:127.0.0.1]/"`, `Bearer realm="https://[64:ff9b::7f00:1]/"`,
		`Bearer realm="https://localhost./"`, `Bearer realm="https://10.0.0.1/"`, `Bearer realm="//u:p@a/"`, `Bearer realm="https://ⓛocalhost/"`, "",
		`Bearer realm="https://[fe80::1%25eth0]/?` + signature + `"`, `Bearer realm="ftp://a/?` + signature + `"`, `Negotiate`,
	} {
		f.Add(header, "")
		f.Add("Basic realm=\"x\"", header)
	}
	c, p := fuzzedPlace(f, nil)
	f.Fuzz(func(t *testing.T, first, second string) {
		ch, err := c.challenge(p, http.Header{"Www-Authenticate": {first, second}})
		if err != nil {
			if ch != (challenge{}) {
				t.Errorf("%+v beside the error %v", ch, err)
			}
			if !Permanent(err) {
				t.Errorf("%v is not permanent", err)
			}
			wantHarmless(t, err)
			return
		}
		if ch.realm == "" {
			return // Basic, to the registry itself
		}
		u, err := url.Parse(ch.realm)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || leadsInside(u) {
			t.Errorf("%q and %q lead to %q, %v", first, second, ch.realm, err)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && a.Unmap().IsPrivate() {
			t.Errorf("a password goes to %s", u.Host)
		}
		if len(ch.realm)+len(ch.service) > 4*maxRealm {
			t.Errorf("%d bytes are kept", len(ch.realm)+len(ch.service))
		}
	})
}

// blobAnswer is a registry that answers each request for a layer alike.
type blobAnswer struct {
	status   int
	location string
}

func (b blobAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: b.status, Header: http.Header{"Location": {b.location}}, Body: http.NoBody, Request: r}, nil
}

// FuzzRedirect: whatever a registry redirects a layer to, Clair is sent to no address inside, never without TLS, and a
// password stays with us.
func FuzzRedirect(f *testing.F) {
	for _, location := range []string{
		"https://store.example.com/blob?" + signature, "/v2/again", "", "//store.example.com/x", "http://store.example.com/?" + signature, "https://127.1/",
		"https://u:p@store.example.com/", "https://[::1]:443/?" + signature, "https://0x7f.1/", "ftp://store/?" + signature, "https://store/\x7f?" + signature,
		"https://registry.example.com:443/?" + signature, "https://metadata.localhost/", "https://\u212a/", "?", "https://%zz/?" + signature,
	} {
		for _, status := range []int{302, 307, 200, 401, 404, 500} {
			f.Add(status, location, status < 400)
		}
	}
	const digest = "sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	f.Fuzz(func(t *testing.T, status int, location string, bearer bool) {
		c, p := fuzzedPlace(t, blobAnswer{status, location})
		const password = "Basic dTpwYXNzd29yZA=="
		s, err := c.target(t.Context(), p, digest, grant{authorization: password, bearer: bearer})
		if err != nil {
			if s.URI != "" || s.Header != nil {
				t.Errorf("%+v beside the error %v", s, err)
			}
			wantHarmless(t, err)
			return
		}
		u, err := url.Parse(s.URI)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || leadsInside(u) {
			t.Errorf("%d %q: Clair is sent to %q, %v", status, location, s.URI, err)
		}
		if itself := hostPort(u) == "registry.example.com:443"; (s.Header != nil) != itself || itself && !bearer {
			t.Errorf("%d %q: %q with the header %q", status, location, s.URI, s.Header)
		}
		if shown := s.String(); strings.Contains(shown, "?") {
			t.Errorf("shown as %q", shown)
		}
	})
}

// FuzzRetryAfter: what a registry says of the time is at most a day, and a number of seconds is that.
func FuzzRetryAfter(f *testing.F) {
	for _, header := range []string{"", "30", "-1", "1.5", "18446744073709551616", "Wed, 21 Oct 2015 07:28:00 GMT", "Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:59:59 9999"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := retryAfter(header)
		if got < 0 || got > 24*time.Hour {
			t.Errorf("%q: wait %s", header, got)
		}
		if n, err := strconv.ParseUint(header, 10, 16); err == nil && got != time.Duration(n)*time.Second {
			t.Errorf("%q: wait %s", header, got)
		}
	})
}

// aRoot is the certificate of an authority.
const aRoot = `-----BEGIN CERTIFICATE-----
MIIBIjCB1aADAgECAgEBMAUGAytlcDAgMR4wHAYDVQQDExVhdXRob3JpdHkuZXhh
bXBsZS5jb20wIBcNMjMxMTE0MjIxMzIwWhgPMjA5NjEwMDIwNzA2NDBaMCAxHjAc
BgNVBAMTFWF1dGhvcml0eS5leGFtcGxlLmNvbTAqMAUGAytlcAMhAOpKbGPinFIK
vvVQexMuxfmVR3auvr57kkIe6mkURtIsozIwMDAPBgNVHRMBAf8EBTADAQH/MB0G
A1UdDgQWBBT+gSwS86tM5qxdtprDUvkGyxsR7zAFBgMrZXADQQC+c9Vk7r5pHBvC
UiiY/mTffBQUgnQiWY0X3/S7VxKFjiJo/cMDrhPkMcuDn00H36T+N1Y6Wff4igxv
0WoWYI8F
-----END CERTIFICATE-----
`

// FuzzRoots: a file of certificates adds to those of the system or is refused, in words of our own.
func FuzzRoots(f *testing.F) {
	path := filepath.Join(f.TempDir(), "ca.pem")
	f.Add([]byte(aRoot))
	f.Add([]byte(strings.Replace(aRoot, "M", "N", 3)))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n3f9a7c\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nM3f9a7c=\n-----END PRIVATE KEY-----\n" + aRoot))
	f.Add([]byte(""))
	system, err := x509.SystemCertPool()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		pool, err := Roots(path)
		if err != nil {
			wantHarmless(t, err)
			if pool != nil || !errors.Is(err, errNoCertificate) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("got %v, %v", pool, err)
			}
			return
		}
		if !bytes.Contains(text, []byte("-----BEGIN CERTIFICATE-----")) || len(text) > maxRoots {
			t.Errorf("%q adds a certificate", text)
		}
		if bytes.Contains(text, []byte(aRoot)) && pool.Equal(system) {
			t.Errorf("%q adds nothing", text)
		}
	})
}
