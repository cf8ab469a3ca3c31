package registry

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
)

// access asks for a manifest with each credential until the registry gives it, and
// returns its body and what opened the repository. It begins without credentials
// unless this registry is known to want some.
func (c *Client) access(ctx context.Context, op *operation, p place, method, ref string) ([]byte, grant, error) {
	d, err := c.knock(ctx, op, p, method, ref)
	if err != nil || d.opened {
		return d.body, grant{}, err
	}
	credentials, unknown := op.lookup(ctx, p.repo)
	missing, served, unserved := d.missing, false, false
	var limited, failed error
	for _, cr := range c.provenFirst(p, credentials) {
		if cr == (Credential{}) && (d.limited != nil || d.asked && d.challenge.realm == "") {
			continue // that was the first request
		}
		if status, ok := c.remembered(manifestOf(p, cr, ref)); ok {
			missing, served = missing || status == http.StatusNotFound, true
			continue
		}
		a, g, err := c.present(ctx, p, &d.challenge, cr, method, ref)
		if rateLimited(err) {
			limited = cmp.Or(limited, err) // another's limit may not be reached
			continue
		}
		if errors.Is(err, errNoToken) {
			failed = cmp.Or(failed, err) // another may be what the token server understands
			continue
		}
		if err != nil {
			return nil, grant{}, err
		}
		if a.status == http.StatusOK {
			c.proven.put(presentation{p.key(), cr.sum()}, struct{}{})
			return a.body, g, nil
		}
		c.proven.drop(presentation{p.key(), cr.sum()})
		if !a.refused() {
			return nil, grant{}, a.unexpected(p)
		}
		// Several registries say 404 for what is not the asker's: go on.
		missing = missing || a.status == http.StatusNotFound
		if g.refused {
			unserved = unserved || !g.remembered
			continue
		}
		served = true
		c.remember(manifestOf(p, cr, ref), a.status)
	}
	if unserved && !served && limited == nil && !d.told {
		c.doubt(p, d.challenge) // nobody gets a token there: it may have moved
	}
	if err := cmp.Or(limited, d.limited, failed, unknown); err != nil {
		return nil, grant{}, err
	}
	return nil, grant{}, p.refusal("manifest "+ref, missing, len(credentials) > 1)
}

// door is what there is to know of a repository before credentials are presented.
type door struct {
	challenge challenge
	opened    bool   // it needs none
	body      []byte // of the manifest, where it is open
	asked     bool   // it was asked without any, and refused
	told      bool   // challenge is what it has just said
	missing   bool   // it said that there is no such manifest
	limited   error  // nothing can be had without any for now
}

// knock asks for a manifest without credentials, unless the registry is known to want
// some. That no more can be pulled so is no reason not to pull with others.
func (c *Client) knock(ctx context.Context, op *operation, p place, method, ref string) (door, error) {
	ch, known := c.challenges.get(p.root())
	_, open := c.open.get(p.key())
	sure := known && !ch.doubted
	ch.doubted = false
	if sure && !open {
		return door{challenge: ch}, nil
	}
	a, err := c.bare(ctx, p, method, ref)
	if rateLimited(err) {
		if !sure {
			if now, ok := c.learn(ctx, op, p, ref); ok {
				ch, known = now, true
			}
		}
		if !known {
			return door{}, err
		}
		return door{challenge: ch, limited: err}, nil
	}
	if err != nil {
		return door{}, err
	}
	missing := a.status == http.StatusNotFound
	switch {
	case a.status == http.StatusOK:
		c.open.put(p.key(), struct{}{})
		return door{opened: true, body: a.body}, nil
	case a.status == http.StatusUnauthorized:
		c.open.drop(p.key())
		if ch, err = c.challenge(p, a.header); err != nil {
			return door{}, err
		}
		c.challenges.put(p.root(), ch)
		if ch.realm == "" {
			c.remember(manifestOf(p, Credential{}, ref), a.status)
		}
		return door{challenge: ch, asked: true, told: true}, nil
	case !a.refused():
		return door{}, a.unexpected(p)
	case !sure:
		return door{}, p.refusal("manifest "+ref, missing, false)
	}
	return door{challenge: ch, asked: true, missing: missing}, nil
}

// bare asks for a manifest without any credentials, unless that was refused lately.
func (c *Client) bare(ctx context.Context, p place, method, ref string) (*answer, error) {
	q := bareManifestOf(p, ref)
	if status, ok := c.remembered(q); ok {
		return &answer{status: status}, nil
	}
	a, err := c.ask(ctx, p, method, ref, Credential{}, "")
	if err != nil {
		return nil, err
	}
	// A 401 is no refusal where it says how to come back.
	if a.refused() && (a.status != http.StatusUnauthorized || len(a.header.Values("WWW-Authenticate")) == 0) {
		c.remember(q, a.status)
	}
	return a, nil
}

// learn has p's registry say how it wants to be spoken to, for credentials that may
// pull where nobody may without; where there are none it asks nothing. It asks for what
// is not counted: the manifest's head, and, where that is open to all, the root of the
// registry.
func (c *Client) learn(ctx context.Context, op *operation, p place, ref string) (challenge, bool) {
	if credentials, _ := op.lookup(ctx, p.repo); len(credentials) < 2 {
		return challenge{}, false
	}
	questions := []request{
		{method: http.MethodHead, url: p.url("manifests", ref), header: http.Header{"Accept": {accepted}}, kind: head},
		{method: http.MethodGet, url: p.root() + "/v2/", header: make(http.Header)},
	}
	if _, open := c.open.get(p.key()); open {
		questions = questions[1:]
	}
	if _, ok := c.remembered(rootOf(p)); ok {
		questions = questions[:len(questions)-1]
	}
	for _, q := range questions {
		a, err := c.send(ctx, p, q)
		if err != nil {
			return challenge{}, false
		}
		if a.status == http.StatusUnauthorized {
			ch, err := c.challenge(p, a.header)
			if err != nil {
				return challenge{}, false
			}
			c.challenges.put(p.root(), ch)
			return ch, true
		}
		switch {
		case q.kind != head:
			c.remember(rootOf(p), a.status)
		case a.status == http.StatusOK:
			c.open.put(p.key(), struct{}{})
		}
	}
	return challenge{}, false
}

// doubt has the registry be asked anew how it wants to be spoken to. What it has said
// stays known for when it cannot be asked.
func (c *Client) doubt(p place, ch challenge) {
	ch.doubted = true
	c.challenges.put(p.root(), ch)
}

// provenFirst puts what has opened this repository before.
func (c *Client) provenFirst(p place, credentials []Credential) []Credential {
	rank := func(cr Credential) int {
		if _, ok := c.proven.get(presentation{p.key(), cr.sum()}); ok {
			return 0
		}
		return 1
	}
	sorted := slices.Clone(credentials)
	slices.SortStableFunc(sorted, func(a, b Credential) int { return rank(a) - rank(b) })
	return sorted
}

// present asks with one credential. A token that the registry no longer takes, or
// a challenge that has changed, is renewed once. Where no pull may begin it asks for no
// token either.
func (c *Client) present(ctx context.Context, p place, ch *challenge, cr Credential, method, ref string) (*answer, grant, error) {
	if method == http.MethodGet {
		if err := c.gates.kept(p.account(cr)); err != nil {
			return nil, grant{}, err
		}
	}
	for again := true; ; again = false {
		g, err := c.authorize(ctx, p, *ch, cr, tokenMargin)
		if err != nil {
			return nil, grant{}, err
		}
		if g.refused {
			return &answer{status: http.StatusUnauthorized}, g, nil
		}
		a, err := c.ask(ctx, p, method, ref, cr, g.authorization)
		if err != nil {
			return nil, grant{}, err
		}
		if a.status != http.StatusUnauthorized {
			return a, g, nil
		}
		c.tokens.drop(presentation{p.key(), cr.sum()})
		now, err := c.challenge(p, a.header)
		if err != nil || !again || (now == *ch && !g.remembered) {
			return a, g, nil
		}
		c.challenges.put(p.root(), now)
		*ch = now
	}
}
