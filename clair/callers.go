package clair

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// notifierIssuer is who Clair's webhooks are from (clair initialize/services.go).
	notifierIssuer = "clair-notifier"
	// leeway is how far two clocks may be apart, as Clair has it for its own callers.
	leeway = 15 * time.Second
	// mostTokens bounds how many values of Authorization are tried. Clair sends one that its settings name and
	// one of its own.
	mostTokens = 8
	// longestToken bounds each in bytes. Clair's have about 200.
	longestToken = 4 << 10
)

// CallersConfig says who may call as the notifier of a Clair. With its zero value anybody may.
type CallersConfig struct {
	// PSKs are the keys of the Clairs: a Clair that has one signs its webhooks with it. Nil: none.
	PSKs []*PSK
	// TokenFile holds a token that callers send after "Bearer". Empty: none.
	TokenFile string
	// Now is the time. Nil means time.Now.
	Now func() time.Time
}

// Callers says who may call as the notifier of a Clair. It is safe for concurrent use.
type Callers struct {
	cfg CallersConfig
}

// NewCallers returns who may call by cfg. It reads nothing: see [Callers.Check].
func NewCallers(cfg CallersConfig) *Callers {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Callers{cfg: cfg}
}

// Anybody says that there is neither token nor key, and anybody may call.
func (c *Callers) Anybody() bool { return c.cfg.TokenFile == "" && len(c.cfg.PSKs) == 0 }

// Check says which of token and keys cannot be used now: nobody may call with it. The error holds nothing of them.
func (c *Callers) Check() error {
	var errs []error
	if c.cfg.TokenFile != "" {
		_, err := c.token()
		errs = append(errs, err)
	}
	for _, psk := range c.cfg.PSKs {
		errs = append(errs, psk.Check())
	}
	return errors.Join(errs...)
}

func (c *Callers) token() (string, error) {
	token, err := ReadToken(c.cfg.TokenFile)
	if err != nil {
		return "", fmt.Errorf("token of the notifier: %w; it must hold what callers send after Bearer", err)
	}
	return token, nil
}

var (
	errNoToken = errors.New(`no header "Authorization: Bearer ..."`)
	errForeign = errors.New("the header Authorization has neither the token nor a signature made with a PSK of the settings")
)

// Admit returns nil when the headers of a request show that its sender may call: one of the values of Authorization
// is the token, or was signed by a Clair's notifier with a key and is valid now. Otherwise it says why not, in words
// that hold nothing of the request, of the token or of a key.
func (c *Callers) Admit(header http.Header) error {
	if c.Anybody() {
		return nil
	}
	tokens := bearerTokens(header)
	if len(tokens) == 0 {
		return errNoToken
	}
	var errs []error
	if c.cfg.TokenFile != "" {
		want, err := c.token()
		if err == nil && holds(tokens, want) {
			return nil
		}
		errs = append(errs, err)
	}
	for _, psk := range c.cfg.PSKs {
		key, err := psk.key()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, token := range tokens {
			err := verify(token, notifierIssuer, key, c.cfg.Now())
			if err == nil {
				return nil
			}
			if !errors.Is(err, errSignature) { // it was signed with the key, so what is wrong with it matters
				errs = append(errs, fmt.Errorf("PSK of Clair %s: %w", psk.clair, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return errForeign
}

// bearerTokens are the values of Authorization that can be tokens.
func bearerTokens(header http.Header) []string {
	var tokens []string
	for _, value := range header.Values("Authorization") {
		scheme, token, _ := strings.Cut(value, " ")
		token = strings.TrimSpace(token)
		if strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= longestToken && len(tokens) < mostTokens {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// holds says whether a token is among those that were sent. How long it takes says nothing about the wanted one, not
// even its length: hashes are compared, in constant time.
func holds(sent []string, want string) bool {
	found := 0
	wanted := sha256.Sum256([]byte(want))
	for _, token := range sent {
		hash := sha256.Sum256([]byte(token))
		found |= subtle.ConstantTimeCompare(hash[:], wanted[:])
	}
	return found == 1
}

// errSignature says that a token is none, or that its signature was made with another key or in a way that Clair
// does not have.
var errSignature = errors.New("the signature does not fit")

// verify makes sure that a token was signed with a key by an issuer and is valid now, as Clair does it for its own
// callers. Any error but errSignature is about a token that was signed with the key.
func verify(token, issuer string, key []byte, now time.Time) error {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512})
	if err != nil {
		return errSignature
	}
	var claims jwt.Claims
	if err := parsed.Claims(key, &claims); err != nil {
		return errSignature
	}
	err = claims.ValidateWithLeeway(jwt.Expected{Issuer: issuer, Time: now}, leeway)
	switch {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return errors.New("the token was signed with it, but not by " + issuer)
	case claims.Expiry == nil:
		return errors.New("the token does not expire")
	case errors.Is(err, jwt.ErrExpired):
		return errors.New("the token has expired; check the clocks")
	case err != nil:
		return errors.New("the token is not valid yet; check the clocks")
	}
	return nil
}
