package registry

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseOffers(t *testing.T) {
	one := func(scheme string, params ...string) offer {
		o := offer{scheme: scheme, params: map[string]string{}}
		for i := 0; i < len(params); i += 2 {
			o.params[params[i]] = params[i+1]
		}
		return o
	}
	tests := []struct {
		header string
		want   []offer
	}{
		{``, nil},
		{`Basic realm="a, b"`, []offer{one("basic", "realm", "a, b")}},
		{`Bearer realm="https://a/t?x=1",service="s",scope="repository:a/b:pull,push"`, []offer{one("bearer", "realm", "https://a/t?x=1", "service", "s", "scope", "repository:a/b:pull,push")}},
		{`bearer Realm = "https://a" , SERVICE=s`, []offer{one("bearer", "realm", "https://a", "service", "s")}},
		{`Basic realm="x", Bearer realm="y"`, []offer{one("basic", "realm", "x"), one("bearer", "realm", "y")}},
		{`Negotiate, Basic realm=x`, []offer{one("negotiate"), one("basic", "realm", "x")}},
		{`Basic realm="a \"b\" \\c"`, []offer{one("basic", "realm", `a "b" \c`)}},
		{`Basic realm="open`, []offer{one("basic", "realm", "open")}},
		{`Bearer realm="first",realm="second"`, []offer{one("bearer", "realm", "first")}},
		{`="x" ,, Basic`, []offer{one("x"), one("basic")}},
	}
	for _, tt := range tests {
		if got := parseOffers(tt.header); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.header, got, tt.want)
		}
	}
}

// FuzzParseOffers reads a scheme with a quoted realm wherever it begins the header.
func FuzzParseOffers(f *testing.F) {
	f.Add("https://a/token", `,service="s"`)
	f.Add("", `=`)
	f.Fuzz(func(t *testing.T, realm, rest string) {
		parseOffers(realm + rest)
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm)
		got := parseOffers(`Bearer realm="` + quoted + `"` + rest)
		if len(got) == 0 || got[0].scheme != "bearer" || got[0].params["realm"] != realm {
			t.Errorf("realm %q: %+v", realm, got)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "0": 0, "30": 30 * time.Second, "99999999": 24 * time.Hour,
		"Wed, 21 Oct 2015 07:28:00 GMT": 0, "Fri, 31 Dec 9999 23:59:59 GMT": 24 * time.Hour,
	} {
		if got := retryAfter(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestDecodeToken(t *testing.T) {
	tests := []struct {
		body string
		want token
		err  bool
	}{
		{body: `{"token":"a"}`, want: token{value: "a", lifetime: time.Minute}},
		{body: `{"access_token":"a","expires_in":300}`, want: token{value: "a", lifetime: 5 * time.Minute}},
		{body: `{"token":"a","access_token":"b","expires_in":1.5}`, want: token{value: "a", lifetime: 1500 * time.Millisecond}},
		{body: `{"token":"a","expires_in":-5}`, want: token{value: "a", lifetime: time.Minute}},
		{body: `{"token":"a","expires_in":1e300}`, want: token{value: "a", lifetime: time.Hour}},
		{body: `{}`, err: true},
		{body: `{"token":"secret\r\nX: y"}`, err: true},
		{body: `secret`, err: true},
	}
	for _, tt := range tests {
		got, err := decodeToken([]byte(tt.body))
		if got != tt.want || (err != nil) != tt.err || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: %+v, %v", tt.body, got, err)
		}
	}
}

// FuzzDecodeToken takes only what makes a header, for an hour at the most.
func FuzzDecodeToken(f *testing.F) {
	f.Add([]byte(`{"token":"a","access_token":"b","expires_in":300}`))
	f.Add([]byte(`{"token":"a\r\nX: y"}`))
	f.Add([]byte(`{"token":"a","expires_in":1e-300}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodeToken(body)
		if err != nil {
			if got != (token{}) || Permanent(err) {
				t.Errorf("%+v, %v", got, err)
			}
			return
		}
		if got.value == "" || strings.ContainsAny(got.value, "\r\n \x00") || got.lifetime < 0 || got.lifetime > time.Hour {
			t.Errorf("%+v", got)
		}
	})
}
