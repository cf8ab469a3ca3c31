package registry

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxRealm bounds what a registry says of its token server: it is remembered.
const maxRealm = 4 << 10

// challenge is how a registry wants to be spoken to.
type challenge struct {
	realm   string // of the token server; "": Basic, straight to the registry
	service string // of the token server
}

// challenge reads the WWW-Authenticate headers of p's answer: Bearer before Basic.
func (c *Client) challenge(p place, header http.Header) (challenge, error) {
	var basic bool
	for _, value := range header.Values("WWW-Authenticate") {
		for _, offer := range parseOffers(value) {
			switch offer.scheme {
			case "bearer":
				realm, service := offer.params["realm"], offer.params["service"]
				if len(realm)+len(service) > maxRealm {
					return challenge{}, fmt.Errorf("registry %s names its token server: %w: more than %d bytes", p.host, ErrTooLarge, maxRealm)
				}
				u, err := url.Parse(realm)
				if err != nil {
					return challenge{}, fmt.Errorf("registry %s names its token server: %w: that is no URL", p.host, ErrInvalid)
				}
				if err := c.guard.admitRealm(u, p.endpoint); err != nil {
					return challenge{}, fmt.Errorf("registry %s names its token server: %w", p.host, err)
				}
				return challenge{realm: u.String(), service: service}, nil
			case "basic":
				basic = true
			}
		}
	}
	if !basic {
		return challenge{}, fmt.Errorf("%w at registry %s: it asks for neither a token nor a password", ErrUnauthorized, p.host)
	}
	return challenge{}, nil
}

// offer is one way of authentication in a WWW-Authenticate header.
type offer struct {
	scheme string // lower case
	params map[string]string
}

// parseOffers reads a header of RFC 9110, section 11.6.1; a header may hold
// several offers. What does not fit is skipped.
func parseOffers(s string) []offer {
	var offers []offer
	for s != "" {
		word := s[:wordLen(s)]
		if word == "" {
			s = s[1:]
			continue
		}
		s = s[len(word):]
		rest := strings.TrimLeft(s, " \t")
		if len(offers) > 0 && strings.HasPrefix(rest, "=") {
			var value string
			value, s = parseValue(strings.TrimLeft(rest[1:], " \t"))
			params := offers[len(offers)-1].params
			if _, twice := params[strings.ToLower(word)]; !twice {
				params[strings.ToLower(word)] = value
			}
			continue
		}
		offers = append(offers, offer{scheme: strings.ToLower(word), params: make(map[string]string)})
	}
	return offers
}

// parseValue reads a word or a quoted string and returns what follows it.
func parseValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		n := wordLen(s)
		return s[:n], s[n:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// wordLen is the length of the token that s begins with.
func wordLen(s string) int {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return i
		}
	}
	return len(s)
}
