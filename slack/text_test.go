package slack

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"shop/checkout:v2":               "shop/checkout:v2",
		"  a \t\n b\r\n ":                "a b",
		"\u202egnp.exe\u2066":            "gnp.exe",
		"a\u200bb\u200dc\ufeffd\u00ade":  "abcde",
		"\x00\x1b[31mred\x7f":            "[31mred",
		"\u3164\u115f\u2800":             "",
		"e\u0301\u0302\u0303\u0304 o":    "e\u0301\u0302 o",
		"\xff":                           "\ufffd",
		"x\U000E0041y":                   "xy",
		"日本語 עברית":                      "日本語 עברית",
		"line\u2028separator\u2029end":   "line separator end",
		"\ue000private\U0010ffff\ufe0f🧨": "private🧨",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestUnformatted(t *testing.T) {
	for in, want := range map[string]string{
		"shop/checkout_v2:1.0":        "shop/checkout_v2:1.0",
		"3.0.17-1~deb12u3":            "3.0.17-1~deb12u3",
		"~gone~ *bold* `code` ~ 1~~2": "gone bold code  12",
		"1.0~+dfsg":                   "1.0+dfsg",
		"é~日":                         "é~日",
		"~":                           "",
	} {
		if got := unformatted(in); got != want {
			t.Errorf("unformatted(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestExcerpt(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"", 10, ""},
		{" one\n two ", 10, "one two"},
		{"one two three", 13, "one two three"},
		{"one two three", 12, "one two…"},
		{"one two three", 9, "one two…"},
		{"one two three", 8, "one two…"},
		{"one two, three", 11, "one two…"},
		{"abcdefghijkl", 8, "abcdefg…"},
		{"a bcdefghijkl", 8, "a bcdef…"},
		{"日本語日本語日本語", 5, "日本語日…"},
	} {
		got := excerpt(c.in, c.n)
		if got != c.want || utf8.RuneCountInString(got) > c.n {
			t.Errorf("excerpt(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"},
		{"abcdefghijk", 11, "abcdefghijk"},
		{"abcdefghijkl", 11, "abcdef…ijkl"},
		{"ééééé", 5, "ééééé"},
		{"日本語日本語", 3, "日本…"},
		{"ab", 1, "…"},
	} {
		got := clip(c.in, c.n)
		if got != c.want || utf8.RuneCountInString(got) > c.n {
			t.Errorf("clip(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"https://example.com/a?b=c&d":          "https://example.com/a?b=c&d",
		"http://example.com:8080/":             "http://example.com:8080/",
		"https://example.com/a|b>c":            "https://example.com/a%7Cb%3Ec",
		"https://example.com/?q=a|b>c`":        "https://example.com/?q=a%7Cb%3Ec%60",
		"":                                     "",
		"example.com":                          "",
		"/path":                                "",
		"https://":                             "",
		"http://<":                             "",
		"https://example.com/?q=\u202ex":       "",
		"https://ex\u202eample.com/":           "",
		"javascript:alert(1)":                  "",
		"ftp://example.com/":                   "",
		"https://user:word@example.com/":       "",
		"https://example.com/\nx":              "",
		"https://" + strings.Repeat("a", 2000): "",
	} {
		if got, ok := address(in); got != want || ok != (want != "") {
			t.Errorf("address(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{-5: "0", 0: "0", 7: "7", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
	for _, c := range []struct {
		n          int
		noun, want string
	}{{0, "pod", "0 pods"}, {1, "pod", "1 pod"}, {2, "vulnerability", "2 vulnerabilities"}, {1, "vulnerability", "1 vulnerability"}} {
		if got := count(c.n, c.noun); got != c.want {
			t.Errorf("count(%d, %s) = %q, want %q", c.n, c.noun, got, c.want)
		}
	}
}

func TestImageNames(t *testing.T) {
	const hex = "71be0c9dd2f1a85f3c3d7f4c6f8f7a3b2a190807f6e5d4c3b2a1f0e9d8c7b6a5"
	for _, c := range []struct {
		image             Image
		short, repository string
	}{
		{Image{Name: "registry.example.com/shop/checkout:v2.14.0"}, "shop/checkout:v2.14.0", "registry.example.com/shop/checkout"},
		{Image{Name: "registry:5000/shop/checkout"}, "shop/checkout", "registry:5000/shop/checkout"},
		{Image{Name: "localhost/shop:v1"}, "shop:v1", "localhost/shop"},
		{Image{Name: "docker.io/library/nginx:1.27"}, "nginx:1.27", "docker.io/library/nginx"},
		{Image{Name: "nginx"}, "nginx", "nginx"},
		{Image{Name: "library/nginx"}, "library/nginx", "library/nginx"},
		{Image{Name: "ghcr.io/acme/tool@sha256:" + hex}, "acme/tool@sha256:71be0c9dd2f1", "ghcr.io/acme/tool"},
		{Image{Name: "ghcr.io/acme/tool:v1@sha256:" + hex}, "acme/tool:v1", "ghcr.io/acme/tool"},
		{Image{Name: "sha256:" + hex}, "sha256:71be0c9dd2f1", ""},
		{Image{Name: hex}, "sha256:71be0c9dd2f1", ""},
		{Image{Digest: "sha256:" + hex}, "sha256:71be0c9dd2f1", ""},
		{Image{}, nameless, ""},
		{Image{Name: "\u200b"}, nameless, ""},
		{Image{Name: ":"}, nameless, ""},
		{Image{Name: "@"}, nameless, ""},
		{Image{Name: "ghcr.io/acme/tool", Platform: "linux/arm64"}, "acme/tool (linux/arm64)", "ghcr.io/acme/tool"},
	} {
		if got := c.image.named(longestName); got != c.short {
			t.Errorf("%+v is called %q, want %q", c.image, got, c.short)
		}
		if got := c.image.repository(); got != c.repository {
			t.Errorf("%+v has the repository %q, want %q", c.image, got, c.repository)
		}
	}
}
