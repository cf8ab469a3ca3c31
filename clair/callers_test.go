package clair

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// webhook is one that a real Clair 4.9.0 with pskText posted.
type webhook struct {
	At     time.Time // when it came
	Key    string    // of the Clair
	Header http.Header
}

func recordedWebhook(t testing.TB, name string) webhook {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var w webhook
	if err := json.Unmarshal(text, &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// recordedToken is the token of the recorded Clair's own settings for webhooks.
const recordedToken = "e2e-shared-secret"

// parts takes a token apart: what is signed, the signature, and what HMAC-SHA256 makes of the first.
func parts(token string) (body, signature string, mac func(key []byte, body string) string) {
	i := strings.LastIndexByte(token, '.')
	return token[:i], token[i+1:], func(key []byte, body string) string {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(body))
		return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}
}

// byHand makes a token with any header, which no library would make.
func byHand(header, claims string, key []byte) string {
	body := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	_, _, mac := parts(body + ".")
	return body + "." + mac(key, body)
}

// TestAdmitRecorded has the webhooks of a real Clair admitted at the time at which they came, and at no other.
func TestAdmitRecorded(t *testing.T) {
	signed, both := recordedWebhook(t, "webhook-signed.json"), recordedWebhook(t, "webhook-signed-and-token.json")
	otherKey := base64.StdEncoding.EncodeToString([]byte("of another Clair"))
	for _, c := range []struct {
		name    string
		webhook webhook
		keys    []string
		token   string        // nothing: none
		after   time.Duration // since it came
		want    string        // a part of the error; nothing: it is admitted
	}{
		{"signed", signed, []string{pskText}, "", 0, ""},
		{"signed, two keys", signed, []string{otherKey, pskText}, "", 0, ""},
		{"signed, with a token that it does not send", signed, []string{pskText}, "other", 0, ""},
		{"signed, another key", signed, []string{otherKey}, "", 0, errForeign.Error()},
		{"signed, but the settings have a token alone", signed, nil, "other", 0, errForeign.Error()},
		{"signed, within the leeway", signed, []string{pskText}, "", time.Minute + 14*time.Second, ""},
		{"signed, beyond the leeway", signed, []string{pskText}, "", time.Minute + 16*time.Second, "has expired; check the clocks"},
		{"signed, our clock is behind within the leeway", signed, []string{pskText}, "", -14 * time.Second, ""},
		{"signed, our clock is behind", signed, []string{pskText}, "", -16 * time.Second, "not valid yet; check the clocks"},
		{"signed, our clock is far behind", signed, []string{pskText}, "", -80 * time.Second, "not valid yet; check the clocks"},
		{"both", both, []string{pskText}, recordedToken, 0, ""},
		{"both, by the token", both, nil, recordedToken, 0, ""},
		{"both, by the token with white space around it", both, nil, "\n " + recordedToken + "\r\n", 0, ""},
		{"both, by the signature", both, []string{pskText}, "", 0, ""},
		{"both, by the token when the signature has expired", both, []string{pskText}, recordedToken, time.Hour, ""},
		{"both, another key and token", both, []string{otherKey}, "other", 0, errForeign.Error()},
		{"neither is wanted", signed, nil, "", time.Hour, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := CallersConfig{Now: func() time.Time { return c.webhook.At.Add(c.after) }}
			for _, key := range c.keys {
				cfg.PSKs = append(cfg.PSKs, testPSK(t, key))
			}
			if c.token != "" {
				cfg.TokenFile = written(t, c.token)
			}
			callers := NewCallers(cfg)
			if err := callers.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
			err := callers.Admit(c.webhook.Header)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			showsNothing(t, err, append([]string{c.token, pskText}, c.webhook.Header.Values("Authorization")...)...)
		})
	}
}

// showsNothing makes sure that an error holds none of some secrets, nor a part of them that is worth having.
func showsNothing(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		s = strings.TrimPrefix(strings.TrimSpace(s), "Bearer ")
		if len(s) < 8 {
			continue
		}
		for i := range len(s) - 7 {
			if text := fmt.Sprintf("%v %+v %q", err, err, err); strings.Contains(text, s[i:i+8]) {
				t.Fatalf("the error shows %q: %v", s[i:i+8], err)
			}
		}
	}
}

func TestAdmit(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key := decoded(t, pskText)
	in := func(d time.Duration) *jwt.NumericDate { return jwt.NewNumericDate(now.Add(d)) }
	valid := jwt.Claims{Issuer: notifierIssuer, IssuedAt: in(0), NotBefore: in(-time.Minute), Expiry: in(time.Minute)}
	text := fmt.Sprintf(`{"iss":"clair-notifier","exp":%d}`, now.Add(time.Minute).Unix())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	by := func(alg jose.SignatureAlgorithm, claims any) string { return "Bearer " + signed(t, alg, key, claims) }
	good := by(jose.HS256, valid)
	const token = "Bearer the-token-of-the-file"
	foreign := errForeign.Error()
	many := make([]string, mostTokens)
	for i := range many {
		many[i] = "Bearer " + strings.Repeat("x", i+1)
	}
	for _, c := range []struct {
		name   string
		values []string
		want   string // a part of the error; nothing: it is admitted
	}{
		{"signed", []string{good}, ""},
		{"HS384", []string{by(jose.HS384, valid)}, ""},
		{"HS512", []string{by(jose.HS512, valid)}, ""},
		{"token", []string{token}, ""},
		{"scheme in another case", []string{"bearer the-token-of-the-file"}, ""},
		{"more space", []string{"Bearer   the-token-of-the-file "}, ""},
		{"wrong and right token", []string{"Bearer x", token}, ""},
		{"right and wrong token", []string{token, "Bearer x"}, ""},
		{"wrong token and signature", []string{"Bearer x", good}, ""},
		{"another scheme and signature", []string{"Basic dTpw", good}, ""},
		{"huge value and signature", []string{"Bearer " + strings.Repeat("x", 60<<10), good}, ""},
		{"other schemes do not count", append(strings.Fields(strings.Repeat("Basic ", 100)), good), ""},
		{"as many as are tried", append(many[1:], good), ""},
		{"more than are tried", append(many[:len(many):len(many)], good), foreign},

		{"nothing", nil, errNoToken.Error()},
		{"empty", []string{""}, errNoToken.Error()},
		{"scheme alone", []string{"Bearer", "Bearer "}, errNoToken.Error()},
		{"token alone", []string{"the-token-of-the-file"}, errNoToken.Error()},
		{"password", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("Bearer:the-token-of-the-file"))}, errNoToken.Error()},
		{"huge", []string{"Bearer " + strings.Repeat("x", longestToken+1)}, errNoToken.Error()},
		{"huge signed", []string{by(jose.HS256, map[string]any{"iss": notifierIssuer, "exp": in(time.Minute), "x": strings.Repeat("x", longestToken)})}, errNoToken.Error()},
		{"part of the token", []string{"Bearer the-token-of-the-fil"}, foreign},
		{"more than the token", []string{"Bearer the-token-of-the-filee"}, foreign},
		{"token in another case", []string{"Bearer The-token-of-the-file"}, foreign},
		{"joined by a proxy", []string{token + ", " + good}, foreign},
		{"the key itself", []string{"Bearer " + pskText}, foreign},

		{"our own issuer", []string{by(jose.HS256, jwt.Claims{Issuer: defaultIssuer, Expiry: in(time.Minute)})}, "not by clair-notifier"},
		{"between Clair's services", []string{by(jose.HS256, jwt.Claims{Issuer: "clair-intraservice", Expiry: in(time.Minute)})}, "not by clair-notifier"},
		{"no issuer", []string{by(jose.HS256, jwt.Claims{Expiry: in(time.Minute)})}, "not by clair-notifier"},
		{"no expiry", []string{by(jose.HS256, jwt.Claims{Issuer: notifierIssuer})}, "does not expire"},
		{"no expiry, and not valid yet", []string{by(jose.HS256, jwt.Claims{Issuer: notifierIssuer, NotBefore: in(time.Hour)})}, "does not expire"},
		{"expired", []string{by(jose.HS256, jwt.Claims{Issuer: notifierIssuer, Expiry: in(-16 * time.Second)})}, "has expired"},
		{"expired within the leeway", []string{by(jose.HS256, jwt.Claims{Issuer: notifierIssuer, Expiry: in(-15 * time.Second)})}, ""},
		{"not yet", []string{by(jose.HS256, jwt.Claims{Issuer: notifierIssuer, Expiry: in(time.Hour), NotBefore: in(16 * time.Second)})}, "not valid yet"},
		{"not yet within the leeway", []string{by(jose.HS256, jwt.Claims{Issuer: notifierIssuer, Expiry: in(time.Hour), NotBefore: in(15 * time.Second)})}, ""},
		{"issued later", []string{by(jose.HS256, jwt.Claims{Issuer: notifierIssuer, Expiry: in(time.Hour), IssuedAt: in(16 * time.Second)})}, "not valid yet"},
		{"claims that are no claims", []string{by(jose.HS256, map[string]any{"iss": 7, "exp": "soon"})}, foreign},
		{"claims that are a list", []string{"Bearer " + byHand(`{"alg":"HS256"}`, `["clair-notifier"]`, key)}, foreign},

		{"no algorithm", []string{"Bearer " + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(text)) + "."}, foreign},
		{"no algorithm, with a signature", []string{"Bearer " + byHand(`{"alg":"none"}`, text, key)}, foreign},
		{"made by hand, as a proof", []string{"Bearer " + byHand(`{"alg":"HS256"}`, text, key)}, ""},
		{"made by hand with another key", []string{"Bearer " + byHand(`{"alg":"HS256"}`, text, key[:63])}, foreign},
		{"made by hand with no key", []string{"Bearer " + byHand(`{"alg":"HS256"}`, text, nil)}, foreign},
		{"RS256", []string{"Bearer " + signed(t, jose.RS256, rsaKey, valid)}, foreign},
		{"RS256, signed with the key all the same", []string{"Bearer " + byHand(`{"alg":"RS256"}`, text, key)}, foreign},
		{"ES256", []string{"Bearer " + signed(t, jose.ES256, ecKey, valid)}, foreign},
		{"key of its own", []string{"Bearer " + byHand(`{"alg":"HS256","jwk":{"kty":"oct","k":"eA"}}`, text, []byte("x"))}, foreign},
		{"a critical extension that nobody knows", []string{"Bearer " + byHand(`{"alg":"HS256","crit":["x"],"x":1}`, text, key)}, foreign},
		{"another signature", []string{good[:len(good)-4] + "AAAA"}, foreign},
		{"no signature", []string{good[:strings.LastIndexByte(good, '.')+1]}, foreign},
		{"dots", []string{"Bearer " + strings.Repeat(".", longestToken)}, foreign},
		{"JSON", []string{`Bearer {"payload":"e30","signature":""}`}, foreign},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := written(t, strings.TrimPrefix(token, "Bearer "))
			callers := NewCallers(CallersConfig{PSKs: []*PSK{testPSK(t, pskText)}, TokenFile: file, Now: func() time.Time { return now }})
			err := callers.Admit(http.Header{"Authorization": c.values})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			showsNothing(t, err, pskText, strings.TrimPrefix(token, "Bearer "))
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// Files that cannot be read admit nobody, and say so; a new token or key counts from the next request on.
func TestAdmitByFilesThatChange(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	folder := t.TempDir()
	tokenFile, keyFile := filepath.Join(folder, "token"), filepath.Join(folder, "psk")
	callers := NewCallers(CallersConfig{
		PSKs:      []*PSK{NewPSK(PSKConfig{Clair: "http://clair/", File: keyFile})},
		TokenFile: tokenFile, Now: func() time.Time { return now },
	})
	if callers.Anybody() {
		t.Error("anybody may call while files are missing")
	}
	other := []byte("another key, of the same size and written in the same second....")
	claims := jwt.Claims{Issuer: notifierIssuer, Expiry: jwt.NewNumericDate(now.Add(time.Minute))}
	first, second := signed(t, jose.HS256, decoded(t, pskText), claims), signed(t, jose.HS256, other, claims)
	for i, c := range []struct {
		token, key string
		check      string   // what Check has to say
		admitted   []string // of all that is sent
	}{
		{"", "", "is empty", nil},
		{"a b", "!", "more than one word", nil},
		{"Bearer one", pskText, "more than one word", []string{first}},
		{"one", pskText, "", []string{"one", first}},
		{"two", pskText, "", []string{"two", first}},
		{"two", base64.StdEncoding.EncodeToString(other), "", []string{"two", second}},
		{" \n\t", base64.StdEncoding.EncodeToString(other), "is empty", []string{second}},
		{strings.Repeat("x", secretLimit+1), "no base64", "more than 4 KiB", nil},
		{"one", "no base64", "holds no base64", []string{"one"}},
	} {
		if i == 0 {
			if err := callers.Check(); err == nil || strings.Count(err.Error(), "no such file or directory") != 2 {
				t.Errorf("without files: %v", err)
			}
			if err := callers.Admit(http.Header{"Authorization": {"Bearer one"}}); err == nil {
				t.Error("admitted without a file")
			}
		}
		rewrite(t, tokenFile, c.token)
		rewrite(t, keyFile, c.key)
		if err := callers.Check(); (err == nil) != (c.check == "") || err != nil && !strings.Contains(err.Error(), c.check) {
			t.Errorf("%d: Check: %v", i, err)
		}
		var admitted []string
		for _, sent := range []string{"", "one", "two", "a b", "a", "Bearer one", " ", first, second} {
			if callers.Admit(http.Header{"Authorization": {"Bearer " + sent}}) == nil {
				admitted = append(admitted, sent)
			}
		}
		if fmt.Sprint(admitted) != fmt.Sprint(c.admitted) {
			t.Errorf("%d: admitted %q, want %q", i, admitted, c.admitted)
		}
	}
}

// The time that a comparison takes can give a token away. No test measures that; this one reads the source: the
// wanted token meets those that were sent in one function, and there in hashes of equal length alone.
func TestTokensAreComparedInConstantTime(t *testing.T) {
	file, err := parser.ParseFile(gotoken.NewFileSet(), "callers.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	compared := false
	ast.Inspect(file, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncDecl)
		if !ok || f.Name.Name != "holds" {
			return true
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				compared = compared || n.Sel.Name == "ConstantTimeCompare"
			case *ast.BinaryExpr:
				// The last line's found == 1 is about the outcome.
				if y, literal := n.Y.(*ast.BasicLit); !literal || y.Value != "1" {
					t.Errorf("an operator compares something: %v", n.Op)
				}
			case *ast.IfStmt, *ast.BranchStmt, *ast.SwitchStmt:
				t.Error("the loop ends early")
			}
			return true
		})
		return false
	})
	if !compared {
		t.Error("holds does not use crypto/subtle")
	}
}

// FuzzAdmit: nothing but what somebody with the key or the token can make is admitted.
func FuzzAdmit(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	for _, name := range []string{"webhook-signed.json", "webhook-signed-and-token.json"} {
		values := recordedWebhook(f, name).Header.Values("Authorization")
		f.Add(values[0], values[len(values)-1])
	}
	f.Add("Bearer "+byHand(`{"alg":"HS256"}`, `{"iss":"clair-notifier","exp":1800000060}`, []byte("x")), "Bearer x")
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.", "Basic eDp5")
	f.Add("", "\x00")
	key, token := make([]byte, 32), make([]byte, 32)
	_, _ = rand.Read(key)
	_, _ = rand.Read(token)
	secret, shown := base64.StdEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(token)
	callers := NewCallers(CallersConfig{PSKs: []*PSK{testPSK(f, secret)}, TokenFile: written(f, shown), Now: func() time.Time { return now }})
	f.Fuzz(func(t *testing.T, a, b string) {
		err := callers.Admit(http.Header{"Authorization": {a, b}})
		if err == nil {
			t.Fatalf("admitted %q and %q", a, b)
		}
		if text := err.Error(); text != errForeign.Error() && text != errNoToken.Error() {
			t.Errorf("got %v", err)
		}
	})
}
