package clair

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// pskText is the auth.psk.key of the Clair that was recorded.
const pskText = "dGhlIGtleSBvZiBhIENsYWlyIHRoYXQgd2FzIHJlY29yZGVkLCA2NCBieXRlcyBvZiB0ZXh0IGluIGxlbmd0aA=="

// written writes a file with a secret and returns its path.
func written(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	rewrite(t, path, text)
	return path
}

func rewrite(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func testPSK(t testing.TB, text string) *PSK {
	t.Helper()
	return NewPSK(PSKConfig{Clair: "http://clair.clair:6000/", File: written(t, text)})
}

// signed makes a token.
func signed(t testing.TB, alg jose.SignatureAlgorithm, key any, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func decoded(t testing.TB, text string) []byte {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// exchange is what a real Clair with pskText answered to values of Authorization.
type exchange struct {
	Name          string
	At            time.Time
	Authorization []string
	Status        int
}

func exchanges(t *testing.T) []exchange {
	t.Helper()
	text, err := os.ReadFile("testdata/psk.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// What we send is what a real Clair took, byte for byte.
func TestTokenIsOneThatClairTook(t *testing.T) {
	for _, e := range exchanges(t) {
		if e.Name != "ours" {
			continue
		}
		got, err := testPSK(t, pskText).token(e.At)
		if err != nil {
			t.Fatal(err)
		}
		if e.Status != http.StatusOK || "Bearer "+got != e.Authorization[0] {
			t.Errorf("\n got Bearer %s\nwant %s with status 200, was %d", got, e.Authorization[0], e.Status)
		}
		return
	}
	t.Fatal("it was not recorded")
}

// We take of Clair what Clair takes of us. It looks at the first value alone and is particular about "Bearer".
func TestVerifyAgreesWithClair(t *testing.T) {
	for _, e := range exchanges(t) {
		err := errSignature
		if len(e.Authorization) > 0 {
			if token, ok := strings.CutPrefix(e.Authorization[0], "Bearer "); ok {
				err = verify(token, "clairwatch", decoded(t, pskText), e.At)
			}
		}
		if (err == nil) != (e.Status == http.StatusOK) {
			t.Errorf("%s: Clair answered %d, we say %v", e.Name, e.Status, err)
		}
	}
}

func TestRequestsAreSigned(t *testing.T) {
	client, log := scripted(t, recorded(t, "report-unknown.json").handler(t))
	client.psk = NewPSK(PSKConfig{Clair: "http://clair/", File: written(t, " "+pskText+"\n"), Issuer: "us"})
	for op, do := range operations {
		log.requests = nil
		_ = do(t.Context(), client)
		if len(log.requests) != 1 {
			t.Fatalf("%s: %d requests", op, len(log.requests))
		}
		values := log.requests[0].Header.Values("Authorization")
		if len(values) != 1 || !strings.HasPrefix(values[0], "Bearer ") {
			t.Fatalf("%s: Authorization %q", op, values)
		}
		parsed, err := jwt.ParseSigned(strings.TrimPrefix(values[0], "Bearer "), []jose.SignatureAlgorithm{jose.HS256})
		if err != nil {
			t.Fatal(err)
		}
		var claims jwt.Claims
		if err := parsed.Claims(decoded(t, pskText), &claims); err != nil {
			t.Errorf("%s: %v", op, err)
		}
		if err := claims.ValidateWithLeeway(jwt.Expected{Issuer: "us"}, 0); err != nil || claims.Expiry == nil {
			t.Errorf("%s: %v of %+v", op, err, claims)
		}
	}
}

// Without a PSK nothing is sent; with another one the next request has its signature.
func TestKeyRotation(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	path := written(t, pskText)
	p := NewPSK(PSKConfig{Clair: "http://clair/", File: path})
	first, err := p.token(now)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, path, base64.StdEncoding.EncodeToString([]byte("another key, of the same size and written in the same second....")))
	second, err := p.token(now)
	if err != nil || first == second {
		t.Errorf("after another key: %v, the same token: %v", err, first == second)
	}
	rewrite(t, path, pskText)
	if third, err := p.token(now); err != nil || third != first {
		t.Errorf("after the first key again: %v, the same token: %v", err, first == third)
	}
}

// A Clair takes keys that RFC 7518 calls too short, and so do we.
func TestShortKeys(t *testing.T) {
	for _, key := range []string{"s", "secret", "a key of 32 bytes for the tests."} {
		now := time.Unix(1_800_000_000, 0)
		token, err := testPSK(t, base64.StdEncoding.EncodeToString([]byte(key))).token(now)
		if err != nil {
			t.Fatal(err)
		}
		if body, signature, want := parts(token); signature != want([]byte(key), body) {
			t.Errorf("%q: another signature than HMAC-SHA256 gives", key)
		}
	}
}

// A key that cannot be read is an error that says what to do, and nothing is sent in its place.
func TestNoKey(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "n0t-a-s3cret!"
	long := strings.Repeat("QUJD", secretLimit/4) + "QUJD"
	for name, c := range map[string]struct{ file, want string }{
		"missing":                    {filepath.Join(folder, "none"), "cannot be read: no such file or directory"},
		"folder":                     {folder, "is no file"},
		"pipe":                       {pipe, "is no file"},
		"empty":                      {written(t, ""), "is empty"},
		"space":                      {written(t, " \n"), "is empty"},
		"no base64":                  {written(t, secret), "holds no base64"},
		"the text of a URL alphabet": {written(t, "a-_b"), "holds no base64"},
		"without its end":            {written(t, "QUI"), "holds no base64"},
		"too large":                  {written(t, long), "has more than 4 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			client, log := scripted(t, recorded(t, "report-unknown.json").handler(t))
			client.psk = NewPSK(PSKConfig{Clair: "http://user:p4ssw0rd@clair.clair:6000/", File: c.file})
			check := client.psk.Check()
			if check == nil || !strings.HasPrefix(check.Error(), "PSK of Clair http://clair.clair:6000: ") || !strings.Contains(check.Error(), c.want) {
				t.Errorf("Check: %v", check)
			}
			for op, do := range operations {
				err := do(t.Context(), client)
				var e *Error
				if !errors.As(err, &e) || e.Kind != NoKey || e.Status != 0 || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file) {
					t.Errorf("%s: %v", op, err)
				}
				for _, bad := range []string{secret, "QUJD", "p4ssw0rd"} {
					if strings.Contains(fmt.Sprintf("%v %+v %q %s", err, err, err, check), bad) {
						t.Errorf("%s: the error shows %q: %v", op, bad, err)
					}
				}
			}
			if len(log.requests) != 0 {
				t.Errorf("%d requests went out unsigned", len(log.requests))
			}
			if c.file == folder || c.file == pipe {
				return
			}
			// A Secret can be mounted late.
			rewrite(t, c.file, pskText)
			_, _ = client.State(t.Context())
			if err := client.psk.Check(); err != nil || len(log.requests) != 1 {
				t.Errorf("after it was mended: %v, %d requests", err, len(log.requests))
			}
		})
	}
}

// The token of a request that has waited is made when it is sent.
func TestTokenIsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		h := func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("Authorization"))
			_, _ = w.Write([]byte(`{"state":"x"}`))
		}
		client, end := piped(t, Config{PSK: testPSK(t, pskText)}, http.HandlerFunc(h))
		defer end()
		for range 2 {
			if _, err := client.State(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if len(got) != 2 || got[0] == got[1] {
			t.Errorf("got %d tokens, the second one like the first", len(got))
		}
	})
}
