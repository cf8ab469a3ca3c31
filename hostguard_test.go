package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestHostGuard turns away who asks under a name that leads to loopback and is not the daemon's.
func TestHostGuard(t *testing.T) {
	cfg := defaults()
	cfg.Web.Listen, cfg.ExternalURL = "pages.internal:8081", "https://Clairwatch.example.com:8443/security/"
	for host, enters := range map[string]bool{
		"127.0.0.1:8081": true, "127.0.0.1": true, "127.8.0.1:9000": true, "[::1]:8081": true, "[::1]": true, "[::ffff:127.0.0.1]:8081": true,
		"localhost:8081": true, "localhost": true, "LOCALHOST:1": true,
		"clairwatch.example.com": true, "CLAIRWATCH.EXAMPLE.COM:443": true, "clairwatch.example.com.": true, "pages.internal:8081": true,
		"rebound.example.net:8081": false, "localhost.example.net:8081": false, "127.0.0.1.example.net": false, "example.com": false,
		"a.clairwatch.example.com": false, "10.0.0.7:8081": false, "0.0.0.0:8081": false, "[::]:8081": false, "": false, ":8081": false,
	} {
		for _, path := range []string{"/", "/style.css", explainPath, "/api/v1/images"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			(&hostGuard{names: ownNames(cfg), next: aPage}).ServeHTTP(w, r)
			switch {
			case enters && (w.Code != http.StatusOK || w.Body.String() != "a page"):
				t.Errorf("%q: status %d: %s", host, w.Code, w.Body)
			case !enters && (w.Code != http.StatusMisdirectedRequest || !strings.Contains(w.Body.String(), "set externalURL")):
				t.Errorf("%q: status %d: %s", host, w.Code, w.Body)
			case !enters:
				wantForm(t, path, w)
			}
		}
	}
	if names := ownNames(Config{Web: WebConfig{Listen: ":8081"}}); len(names) > 0 {
		t.Errorf("an address without a name has the names %q", names)
	}
}

// FuzzHost lets in nobody whose browser was led here by a name: a host that is let in is loopback to a browser too.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"127.0.0.1:8081", "[::1]:8081", "localhost", "rebound.example.net:8081", "[::1", "::1", "127.0.0.1]", "[[localhost]]:1", "a@localhost"} {
		f.Add(seed)
	}
	g := &hostGuard{next: aPage}
	f.Fuzz(func(t *testing.T, host string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		u, err := url.Parse("http://" + host + "/")
		if err != nil || u.Host != host || w.Code != http.StatusOK {
			return
		}
		ip := net.ParseIP(strings.Split(u.Hostname(), "%")[0])
		if name := u.Hostname(); !strings.EqualFold(name, "localhost") && (ip == nil || !ip.IsLoopback()) {
			t.Errorf("%q is let in, which a browser takes for %q", host, name)
		}
	})
}
