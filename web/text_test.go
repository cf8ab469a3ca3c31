package web

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestBrief(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "",
		"ghcr.io/shop/api:1":  "ghcr.io/shop/api:1",
		"zwölf … 東京":          "zwölf … 東京",
		"a\tb\nc\u2028d":      "a b c d",
		"a\u202eb\u200bc\x00": "a\ufffdb\ufffdc\ufffd",
		"a\xffb":              "a\ufffdb",
	} {
		if got := brief(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{"a", "é", "東", "\xff", "\u202e"} {
		for _, n := range []int{longestText + 1, 100 * longestText} {
			got := brief("begin" + strings.Repeat(in, n) + "end")
			if !utf8.ValidString(got) || utf8.RuneCountInString(got) > longestText || !strings.HasPrefix(got, "begin") || !strings.HasSuffix(got, "end") {
				t.Errorf("%d times %q: %q", n, in, got)
			}
		}
	}
}

func TestCount(t *testing.T) {
	for _, c := range []struct {
		n          int
		noun, want string
	}{
		{0, "image", "0 images"}, {1, "vulnerability", "1 vulnerability"}, {12310, "vulnerability", "12,310 vulnerabilities"},
		{3, "day", "3 days"}, {1234567, "pod", "1,234,567 pods"}, {-1, "pod", "0 pods"},
	} {
		if got := count(c.n, c.noun); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestMoment(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "just now", -59 * time.Second: "just now", time.Second: "within a minute", time.Minute: "in 1 minute", -time.Minute: "1 minute ago", 119 * time.Minute: "in 119 minutes",
		-2 * time.Hour: "2 hours ago", 47 * time.Hour: "in 47 hours", -48 * time.Hour: "2 days ago", 1000 * 24 * time.Hour: "in 1,000 days",
	} {
		if got := newMoment(noon.Add(d), noon); got.Distance != want {
			t.Errorf("%s: %q, want %q", d, got.Distance, want)
		}
	}
	berlin := time.FixedZone("", 3600)
	if got := newMoment(noon.In(berlin), noon); got != (moment{ISO: "2026-03-01T12:00:00Z", Text: "2026-03-01 12:00 UTC", Distance: "just now"}) {
		t.Errorf("%+v", got)
	}
	if got := newMoment(time.Time{}, noon); got != (moment{}) {
		t.Errorf("no time is %+v", got)
	}
}

func TestIsDigest(t *testing.T) {
	for in, want := range map[string]bool{
		"sha256:" + strings.Repeat("a", 64): true, "sha512:" + strings.Repeat("0", 128): true,
		"sha256:" + strings.Repeat("a", 63): false, "sha256:" + strings.Repeat("A", 64): false, "sha512:" + strings.Repeat("0", 64): false,
		"md5:" + strings.Repeat("0", 32): false, strings.Repeat("a", 64): false, "": false, "sha256:": false,
		"sha256:" + strings.Repeat("a", 63) + "g": false, "sha256:" + strings.Repeat("a", 31) + "/" + strings.Repeat("a", 32): false,
	} {
		if got := isDigest(in); got != want {
			t.Errorf("%q: %t", in, got)
		}
	}
}

func TestRoot(t *testing.T) {
	for path, want := range map[string]string{
		"/": "./", "": "./", "/images": "./", "/images/x": "../", "/a/b/c": "../../", "/a%2Fb": "./", "/a%2Fb/": "../",
		strings.Repeat("/", 1000): strings.Repeat("../", 20),
	} {
		if got := root(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
