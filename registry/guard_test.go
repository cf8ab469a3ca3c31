package registry

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"testing"
)

func TestCheck(t *testing.T) {
	tests := []struct {
		address          string
		unlisted, listed bool // allowed
	}{
		{"93.184.216.34", true, true},
		{"10.0.0.1", true, true},
		{"192.168.1.1", true, true},
		{"fd12::1", true, true},
		{"127.0.0.1", false, true},
		{"127.8.8.8", false, true},
		{"::1", false, true},
		{"::ffff:127.0.0.1", false, true},
		{"169.254.169.254", false, false},
		{"::ffff:169.254.169.254", false, false},
		{"64:ff9b::a9fe:a9fe", false, false},
		{"64:ff9b::7f00:1", false, true},
		{"64:ff9b::808:808", true, true},
		{"fe80::1", false, false},
		{"fe80::1%eth0", false, false},
		{"fd00:ec2::254", false, false},
		{"fd20:ce::254", false, false},
		{"100.100.100.200", false, false},
		{"168.63.129.16", false, false},
		{"0.0.0.0", false, false},
		{"::", false, false},
		{"224.0.0.1", false, false},
		{"ff02::1", false, false},
	}
	for _, tt := range tests {
		a, err := netip.ParseAddr(tt.address)
		if err != nil {
			t.Fatal(err)
		}
		for listed, want := range map[bool]bool{false: tt.unlisted, true: tt.listed} {
			if err := new(guard).check(a, listed, "x"); (err == nil) != want || err != nil && !errors.Is(err, ErrDenied) {
				t.Errorf("%s, listed %v: %v", tt.address, listed, err)
			}
		}
	}
}

func TestAdmit(t *testing.T) {
	g := New(Config{
		Registries: []Registry{
			{Host: "127.0.0.1:5000", Insecure: true}, {Host: "Plain.example.com", Insecure: true},
			{Host: "mirrored", Endpoint: "https://localhost:8443/x"}, {Host: "10.0.0.9:5001"}, {Host: "192.168.0.1"},
		},
		Allow:         []string{"quay.io"}, // says nothing about where a registry leads
		Deny:          []string{"*.corp.example.com", "docker.io", "10.0.0.1:5002"},
		DenyAddresses: []string{"192.168.0.0/16", "fd12::/64"},
	}).guard
	from := newEndpoint(Registry{Host: "10.0.0.1:5000"})
	tests := []struct {
		url          string
		admit, realm error
	}{
		{url: "https://quay.io/v2/"},
		{url: "http://quay.io/v2/", admit: ErrDenied, realm: ErrDenied},
		{url: "http://plain.example.com/"},
		{url: "http://PLAIN.example.com:80/"},
		{url: "http://plain.example.com:81/", admit: ErrDenied, realm: ErrDenied},
		{url: "http://127.0.0.1:5000/"},
		{url: "https://127.0.0.1:5001/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://localhost:8443/"},
		{url: "https://localhost/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://LOCALHOST./", admit: ErrDenied, realm: ErrDenied},
		{url: "https://a.localhost/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://\uff44ocker.io/", admit: ErrInvalid, realm: ErrInvalid}, // net/http makes docker.io of these
		{url: "https://%EF%BD%84ocker.io/", admit: ErrInvalid, realm: ErrInvalid},
		{url: "https://docker\u3002io/", admit: ErrInvalid, realm: ErrInvalid},
		{url: "https://169.254.169.254/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://[fe80::1%25eth0]/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://10.0.0.1:5000/"},
		{url: "https://10.0.0.1:5001/", realm: ErrDenied},
		{url: "https://10.0.0.9:5001/"},
		{url: "https://10.0.0.1:5002/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://vault.corp.example.com/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://VAULT.corp.example.com.:8200/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://registry-1.docker.io/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://auth.docker.io/"},
		{url: "https://192.168.0.1/"},
		{url: "https://192.168.0.1:8443/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://[::ffff:192.168.3.4]/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://[64:ff9b::c0a8:304]/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://[fd12::1]/", admit: ErrDenied, realm: ErrDenied},
		{url: "https://[fd12:0:0:1::1]/", realm: ErrDenied},
		{url: "ftp://quay.io/", admit: ErrDenied, realm: ErrDenied},
		{url: "file:///etc/passwd", admit: ErrInvalid, realm: ErrInvalid},
		{url: "https://user:password@quay.io/", admit: ErrInvalid, realm: ErrInvalid},
		{url: "/token", admit: ErrInvalid, realm: ErrInvalid},
		{url: "", admit: ErrInvalid, realm: ErrInvalid},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.admit(u, false); !errors.Is(err, tt.admit) {
			t.Errorf("%s: %v, want %v", tt.url, err, tt.admit)
		}
		if err := g.admitRealm(u, from); !errors.Is(err, tt.realm) {
			t.Errorf("%s as token server: %v, want %v", tt.url, err, tt.realm)
		}
	}
}

// TestDial checks the address behind a name, so no answer of a name server leads
// to a listener of this machine that the settings do not list.
func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	at := "localhost:" + port
	if conn, err := newGuard(Config{}, nil).dial(t.Context(), "tcp", at); !errors.Is(err, ErrDenied) {
		t.Errorf("unlisted: %v, %v", conn, err)
	}
	listed := New(Config{Registries: []Registry{{Host: at}}}).guard
	proxied := newGuard(Config{}, nil)
	proxied.proxies[at] = true
	for _, g := range []*guard{listed, proxied} {
		conn, err := g.dial(t.Context(), "tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

// TestHubByAnyCase reaches Docker Hub where it is, however the settings spell it.
func TestHubByAnyCase(t *testing.T) {
	for _, host := range []string{"docker.io", "Docker.IO"} {
		if e := newEndpoint(Registry{Host: host, ForwardPassword: true}); e.err != nil || e.base.String() != hubEndpoint {
			t.Errorf("%s is at %v, %v", host, e.base, e.err)
		}
	}
}
