package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
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
	o, err := c.presentAll(ctx, p, &d, credentials, method, ref)
	if err == nil && o.unserved() && !d.told {
		// The token server may have moved.
		now, err := c.meetAgain(ctx, p, d.challenge, method, ref)
		switch {
		case now.opened:
			return now.body, grant{}, nil
		case err != nil && !rateLimited(err):
			for _, cr := range credentials { // these refusals were not the last word
				c.refused.drop(tokenOf(p, cr, d.challenge))
			}
			return nil, grant{}, cmp.Or(o.failed, err)
		case err == nil && now.challenge != d.challenge:
			d = now
			if o, err = c.presentAll(ctx, p, &d, credentials, method, ref); err != nil {
				return nil, grant{}, err
			}
		}
	}
	if err != nil || o.opened {
		return o.body, o.grant, err
	}
	if err := cmp.Or(o.limited, d.limited, o.failed, unknown); err != nil {
		return nil, grant{}, err
	}
	return nil, grant{}, p.refusal("manifest "+ref, d.missing || o.missing, len(credentials) > 1)
}

// outcome is what has become of presenting credentials.
type outcome struct {
	opened  bool
	body    []byte // of the manifest
	grant   grant  // what has opened the repository
	missing bool   // the registry said that there is no such manifest
	served  bool   // the registry had the last word on one of them
	refused bool   // the token server has just refused one
	limited error  // of one
	failed  error  // of the token server
}

// unserved says that nobody was served by the token server.
func (o outcome) unserved() bool {
	return !o.opened && !o.served && (o.failed != nil || o.refused && o.limited == nil)
}

// presentAll asks with one credential after the other.
func (c *Client) presentAll(ctx context.Context, p place, d *door, credentials []Credential, method, ref string) (outcome, error) {
	var o outcome
	for _, cr := range c.provenFirst(p, credentials) {
		if cr == (Credential{}) && (d.limited != nil || d.asked && d.challenge.realm == "") {
			continue // that was the first request
		}
		if status, ok := c.remembered(manifestOf(p, cr, ref)); ok {
			o.missing, o.served = o.missing || status == http.StatusNotFound, true
			continue
		}
		a, g, err := c.present(ctx, p, &d.challenge, cr, method, ref)
		switch {
		case rateLimited(err):
			o.limited = cmp.Or(o.limited, err) // another's limit may not be reached
			continue
		case errors.Is(err, errNoToken):
			o.failed = cmp.Or(o.failed, err) // another may be what the token server understands
			continue
		case errors.Is(err, errTokenServer), leftAlone(err) && o.failed != nil:
			o.failed = cmp.Or(o.failed, err)
			return o, nil
		case err != nil:
			return o, err
		}
		if a.status == http.StatusOK {
			c.proven.put(presentation{p.key(), cr.sum()}, struct{}{})
			o.opened, o.body, o.grant = true, a.body, g
			return o, nil
		}
		c.proven.drop(presentation{p.key(), cr.sum()})
		if !a.refused() {
			return o, a.unexpected(p)
		}
		// Several registries say 404 for what is not the asker's: go on.
		o.missing = o.missing || a.status == http.StatusNotFound
		if g.refused {
			o.refused = o.refused || !g.remembered
			continue
		}
		o.served = true
		c.remember(manifestOf(p, cr, ref), a.status)
	}
	return o, nil
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
// some. That no more can be pulled so is no reason not to pull with others. Of those who
// come to a registry at the same time one asks it first: the others may learn from that
// what it wants.
func (c *Client) knock(ctx context.Context, op *operation, p place, method, ref string) (door, error) {
	if ch, ok := c.closed(p); ok {
		return door{challenge: ch}, nil
	}
	if _, met := c.met.get(p.root()); !met {
		f, own, err := c.meeting.share(ctx, p.root(), func() (door, error) { return c.meet(ctx, op, p, method, ref) })
		if err != nil {
			return door{}, fmt.Errorf("waiting to ask registry %s: %w", p.host, err)
		}
		if own {
			return f.value, f.err
		}
		if ch, ok := c.closed(p); ok {
			return door{challenge: ch}, nil
		}
	}
	return c.meet(ctx, op, p, method, ref)
}

// closed is what p's registry wants, where it is known that it wants something.
func (c *Client) closed(p place) (challenge, bool) {
	ch, known := c.challenges.get(p.root())
	_, open := c.open.get(p.key())
	return ch, known && !open
}

// meet asks for a manifest without credentials.
func (c *Client) meet(ctx context.Context, op *operation, p place, method, ref string) (door, error) {
	ch, known := c.challenges.get(p.root())
	a, err := c.bare(ctx, p, method, ref)
	if rateLimited(err) {
		if !known {
			ch, known = c.learn(ctx, op, p, ref)
		}
		if !known {
			return door{}, err
		}
		return door{challenge: ch, limited: err}, nil
	}
	if err != nil {
		return door{}, err
	}
	if d, ok, err := c.hear(p, ref, a); ok || err != nil {
		return d, err
	}
	missing := a.status == http.StatusNotFound
	switch {
	case !a.refused():
		return door{}, a.unexpected(p)
	case !known:
		return door{}, p.refusal("manifest "+ref, missing, false)
	}
	return door{challenge: ch, asked: true, missing: missing}, nil
}

// hear takes in what a registry says to who presents nothing: that the repository is open,
// or what it wants; false where it says neither.
func (c *Client) hear(p place, ref string, a *answer) (door, bool, error) {
	switch a.status {
	case http.StatusOK:
		c.open.put(p.key(), struct{}{})
		return door{opened: true, body: a.body}, true, nil
	case http.StatusUnauthorized:
		c.open.drop(p.key())
		ch, err := c.challenge(p, a.header)
		if err != nil {
			return door{}, false, err
		}
		c.challenges.put(p.root(), ch)
		if ch.realm == "" {
			c.remember(manifestOf(p, Credential{}, ref), a.status)
		}
		return door{challenge: ch, asked: true, told: true}, true, nil
	}
	return door{}, false, nil
}

// meetAgain has the registry say anew how it wants to be spoken to, where was is what it
// said once, and where its token server serves nobody. It asks once in ten minutes: most
// often those who ask are refused for good reasons.
func (c *Client) meetAgain(ctx context.Context, p place, was challenge, method, ref string) (door, error) {
	ask := func() (door, error) {
		if now, known := c.challenges.get(p.root()); known && now != was {
			return door{challenge: now}, nil
		}
		if at, ok := c.doubts.get(p.root()); ok && time.Since(at) < refusedFor {
			return door{challenge: was}, nil
		}
		a, err := c.bare(ctx, p, method, ref)
		if err != nil {
			return door{}, err
		}
		if a.status != http.StatusOK && !a.refused() {
			return door{}, a.unexpected(p)
		}
		c.doubts.put(p.root(), time.Now())
		if d, ok, err := c.hear(p, ref, a); ok || err != nil {
			return d, err
		}
		return door{challenge: was}, nil
	}
	for {
		f, own, err := c.meeting.share(ctx, p.root(), ask)
		switch {
		case err != nil:
			return door{}, fmt.Errorf("waiting to ask registry %s: %w", p.host, err)
		case own:
			return f.value, f.err
		case f.abandoned || errors.Is(f.err, errSpent):
			continue // that was the other's affair
		case f.err != nil:
			return door{}, f.err
		}
		if now, known := c.challenges.get(p.root()); known {
			return door{challenge: now}, nil
		}
		return door{challenge: was}, nil
	}
}

// bare asks for a manifest without any credentials, unless that was refused lately.
func (c *Client) bare(ctx context.Context, p place, method, ref string) (*answer, error) {
	q := bareManifestOf(p, ref)
	if status, ok := c.remembered(q); ok {
		return &answer{status: status}, nil
	}
	a, err := c.ask(ctx, p, method, ref, Credential{}, "")
	if err == nil || rateLimited(err) {
		c.met.put(p.root(), struct{}{})
	}
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
