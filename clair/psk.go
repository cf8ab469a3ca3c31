package clair

import (
	"fmt"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// defaultIssuer is who our requests are from unless the settings say otherwise.
	defaultIssuer = "clairwatch"
	// tokenLife is how long before and after its making a token of ours is valid, as Clair's own are
	// (clair internal/httputil/signer.go). Clair looks at it once, when a request begins.
	tokenLife = time.Minute
	// leastKey is how long go-jose wants a key to be, for the longest of its hashes, in bytes.
	leastKey = 64
)

// PSKConfig says where the key is that a Clair shares with its clients.
type PSKConfig struct {
	// Clair is the address of that Clair, as errors name it. Of it they show scheme, host and port.
	Clair string
	// File holds the key as the Clair's auth.psk.key has it, in base64.
	File string
	// Issuer is who our requests are from: one of the Clair's auth.psk.iss. Empty means clairwatch.
	Issuer string
}

// PSK is the key that a Clair shares with its clients. It knows where the key is and does not hold it: it is read
// at each use, so that one that comes late or changes takes effect at once. It is safe for concurrent use.
type PSK struct {
	clair, file, issuer string
}

// NewPSK returns the key that cfg describes. It reads nothing: see [PSK.Check].
func NewPSK(cfg PSKConfig) *PSK {
	p := &PSK{clair: origin(cfg.Clair), file: cfg.File, issuer: cfg.Issuer}
	if p.issuer == "" {
		p.issuer = defaultIssuer
	}
	return p
}

// origin is an address without what may be secret in it.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "at an address that is none"
	}
	return u.Scheme + "://" + u.Host
}

// Check says why the key cannot be used now; nil when it can. The error holds nothing of the key.
func (p *PSK) Check() error {
	_, err := p.key()
	return err
}

// key reads the key. It has leastKey bytes at least: HMAC itself pads shorter ones with zeros, so the signatures are
// the same, and go-jose takes what Clair takes.
func (p *PSK) key() ([]byte, error) {
	key, err := readKey(p.file)
	if err != nil {
		return nil, fmt.Errorf("PSK of Clair %s: %w; it must hold the text of that Clair's auth.psk.key", p.clair, err)
	}
	if len(key) < leastKey {
		key = append(key, make([]byte, leastKey-len(key))...)
	}
	return key, nil
}

// token makes the token that Clair wants with a request (clair middleware/auth/httpauth_psk.go).
func (p *PSK) token(now time.Time) (string, error) {
	key, err := p.key()
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, nil)
	if err != nil {
		return "", fmt.Errorf("PSK of Clair %s: signing a request: %w", p.clair, err)
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer:    p.issuer,
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now.Add(-tokenLife)),
		Expiry:    jwt.NewNumericDate(now.Add(tokenLife)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("PSK of Clair %s: signing a request: %w", p.clair, err)
	}
	return token, nil
}
