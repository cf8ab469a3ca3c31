package main

import (
	"strings"
	"testing"
)

// Without a port the system would choose one, which nobody finds.
func TestWebListenNamesAPort(t *testing.T) {
	for _, address := range []string{"127.0.0.1:", ":", "127.0.0.1", "8081", "::1"} {
		if _, err := load(t, "web: {listen: '"+address+"'}"); err == nil || !strings.Contains(err.Error(), "web.listen") {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{"127.0.0.1:8081", ":8081", "[::1]:8081", "localhost:8081", ""} {
		if cfg, err := load(t, "web: {listen: '"+address+"'}"); err != nil || cfg.Web.Listen != address {
			t.Errorf("%q: %q, %v", address, cfg.Web.Listen, err)
		}
	}
}

// The longest address is that of the message, not one less.
func TestLongestExternalURL(t *testing.T) {
	const begin = "https://example.com/"
	for n, fine := range map[int]bool{longestExternalURL: true, longestExternalURL + 1: false} {
		if _, err := load(t, "externalURL: "+begin+strings.Repeat("a", n-len(begin))); (err == nil) != fine {
			t.Errorf("%d characters: %v", n, err)
		}
	}
}
