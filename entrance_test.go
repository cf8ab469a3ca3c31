package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestEntrance has where the pages are, and whether there is a token, say who is let in.
func TestEntrance(t *testing.T) {
	token := writeFile(t, "web-token", pagesToken)
	loopback, open := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8081}, &net.TCPAddr{IP: net.IPv6unspecified, Port: 8081}
	for name, c := range map[string]struct {
		listened    *net.TCPAddr
		file        string
		host, token string
		status      int
	}{
		"loopback":                     {loopback, "", "127.0.0.1:8081", "", 200},
		"loopback, a page of others":   {loopback, "", "rebound.example.net", "", 421},
		"loopback, a proxy":            {loopback, "", "clairwatch.example.com", "", 200},
		"loopback, a name and a token": {loopback, token, "any.example.net", pagesToken, 200},
		"loopback, no token":           {loopback, token, "127.0.0.1:8081", "", 401},
		"open":                         {open, "", "clairwatch-pages.clairwatch.svc", "", 200},
		"open, a token":                {open, token, "clairwatch-pages.clairwatch.svc", pagesToken, 200},
		"open, no token":               {open, token, "clairwatch-pages.clairwatch.svc", "", 401},
		"open, a wrong token":          {open, token, "clairwatch-pages.clairwatch.svc", "wrong", 401},
	} {
		cfg := defaults()
		cfg.ExternalURL, cfg.Web.TokenFile = "https://clairwatch.example.com/", c.file
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = c.host
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		entrance(cfg, c.listened, aPage, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, w.Code, c.status, w.Body)
		}
	}
}
