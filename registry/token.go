package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxToken bounds a token server's answer: a token goes along in a header.
	maxToken = 16 << 10
	// tokenMargin is how long a remembered token must still hold to be used.
	tokenMargin = 10 * time.Second
	// tokenLifetime is that of a token whose server says nothing, by the
	// distribution project's token specification.
	tokenLifetime = time.Minute
)

// token is a bearer token that allows to pull from one repository.
type token struct {
	value    string
	lifetime time.Duration // from when it was asked for
	expires  time.Time
}

// holds says whether t still holds for left, of which half a lifetime is enough:
// no token of that server could do better for long.
func (t token) holds(left time.Duration) bool {
	return time.Until(t.expires) >= max(min(left, t.lifetime/2), 0)
}

// grant is what opens a repository; the zero value where it stands open.
type grant struct {
	credential    Credential
	challenge     challenge // what authorization answers
	authorization string    // the header's value
	expires       time.Time
	bearer        bool // authorization is a token
	remembered    bool // the token, or its refusal, was not asked for just now
	refused       bool // the token server did not take the credential
	untried       bool // it is what has opened the repository before, and may do so no more
}

// authorize makes of a credential what ch wants. A remembered token must hold for
// left.
func (c *Client) authorize(ctx context.Context, p place, ch challenge, cr Credential, left time.Duration) (grant, error) {
	if ch.realm == "" {
		if cr == (Credential{}) {
			return grant{}, nil
		}
		return grant{credential: cr, challenge: ch, authorization: basic(cr)}, nil
	}
	key := presentation{p.key(), cr.sum()}
	bearer := func(t token, remembered bool) grant {
		return grant{credential: cr, challenge: ch, authorization: "Bearer " + t.value, expires: t.expires, bearer: true, remembered: remembered}
	}
	for {
		if t, ok := c.tokens.get(key); ok && t.holds(left) {
			return bearer(t, true), nil
		}
		q := tokenOf(p, cr, ch)
		if _, ok := c.remembered(q); ok {
			return grant{refused: true, remembered: true}, nil
		}
		f, own, err := c.obtaining.share(ctx, q, func() (*token, error) {
			t, err := c.exchange(ctx, p, ch, cr)
			switch {
			case err != nil:
			case t == nil:
				c.tokens.drop(key)
				c.remember(q, http.StatusUnauthorized)
			default:
				c.keep(key, *t)
			}
			return t, err
		})
		switch {
		case err != nil:
			return grant{}, fmt.Errorf("waiting for a token of registry %s: %w", p.host, err)
		case !own && (f.abandoned || errors.Is(f.err, errSpent)):
			continue // that was the other's affair
		case f.err != nil:
			return grant{}, f.err
		case f.value == nil:
			return grant{refused: true}, nil
		}
		return bearer(*f.value, false), nil
	}
}

// keep remembers t, and forgets once in a while what has ended.
func (c *Client) keep(key presentation, t token) {
	now := time.Now()
	c.mu.Lock()
	sweep := now.Sub(c.swept) >= sweepEvery
	if sweep {
		c.swept = now
	}
	c.mu.Unlock()
	if sweep {
		c.tokens.forget(func(_ presentation, t token) bool { return !t.expires.After(now) })
	}
	c.tokens.put(key, t)
}

func basic(cr Credential) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(cr.Username+":"+cr.Password))
}

// errNoToken marks an answer of a token server that is neither a token nor a refusal. It
// may be to one credential only.
var errNoToken = errors.New("asking for a token")

// errTokenServer marks that a token server has not answered at all.
var errTokenServer = errors.New("asking a token server")

// exchange asks the token server for a token that can pull from p and nothing
// else; nil where it refuses the credential.
func (c *Client) exchange(ctx context.Context, p place, ch challenge, cr Credential) (*token, error) {
	u, err := url.Parse(ch.realm)
	if err != nil {
		return nil, fmt.Errorf("asking the token server of registry %s: %w: its address is no URL", p.host, ErrInvalid)
	}
	query := u.Query()
	query.Set("scope", "repository:"+p.path+":pull")
	if ch.service != "" {
		query.Set("service", ch.service)
	}
	u.RawQuery = query.Encode()
	header := http.Header{"Accept": {"application/json"}}
	if cr != (Credential{}) {
		header.Set("Authorization", basic(cr))
	}
	asked := time.Now()
	a, err := c.send(ctx, p, request{method: http.MethodGet, url: u.String(), header: header, by: cr, kind: exchange, limit: maxToken})
	if err != nil {
		if ctx.Err() == nil && !rateLimited(err) && !leftAlone(err) && !errors.Is(err, errSpent) && !errors.Is(err, errNoPlace) {
			return nil, fmt.Errorf("%w: %w", errTokenServer, err)
		}
		return nil, fmt.Errorf("asking for a token: %w", err)
	}
	if a.refused() {
		return nil, nil
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("%w: %w", errNoToken, a.unexpected(p))
	}
	t, err := decodeToken(a.body)
	if err != nil {
		return nil, fmt.Errorf("%w: registry %s: %w", errNoToken, p.host, err)
	}
	t.expires = asked.Add(t.lifetime)
	return &t, nil
}

// decodeToken reads a token server's answer. Its errors hold nothing of it, and
// are worth a retry: what stands in between may have answered in its place.
func decodeToken(body []byte) (token, error) {
	var said struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"` // seconds
	}
	if json.Unmarshal(body, &said) != nil {
		return token{}, errors.New("the token server's answer is not the JSON of a token")
	}
	t := token{value: said.Token, lifetime: tokenLifetime}
	if t.value == "" {
		t.value = said.AccessToken
	}
	if t.value == "" || strings.ContainsFunc(t.value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return token{}, errors.New("the token server's answer holds no usable token")
	}
	if said.ExpiresIn > 0 {
		t.lifetime = time.Duration(min(said.ExpiresIn, 3600) * float64(time.Second))
	}
	return t, nil
}
