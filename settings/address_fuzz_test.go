package settings

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzBaseURL: two spellings of one Clair are one, and what is refused is refused without a word of it.
func FuzzBaseURL(f *testing.F) {
	for _, address := range []string{
		"http://clair.clair:6000/", " HTTPS://Clair.Clair:6000", "http://[::1]:6000/a//", "http://a/%2f", "http://a:0/", "http://a?", "http://u:p@a/", "ftp://a/", "//a", "http://a/b c", "http://%41/", "",
	} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		base, err := BaseURL(address)
		if err != nil {
			if base != "" || !strings.HasSuffix(err.Error(), wantClair) || len(err.Error()) > 120 {
				t.Errorf("%q: %q, %v", address, base, err)
			}
			return
		}
		again, err := BaseURL(base)
		if err != nil || again != base {
			t.Errorf("%q is written as %q, and that as %q, %v", address, base, again, err)
		}
		u, err := url.Parse(base)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.ContainsAny(base, "?#\r\n ") || !strings.HasSuffix(base, "/") {
			t.Errorf("%q is written as %q, %v", address, base, err)
		}
	})
}
