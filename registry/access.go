package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxCredentials bounds how many credentials are tried at one repository.
const maxCredentials = 16

// errLookup marks an error of the caller's Credentials.
var errLookup = errors.New("looking up credentials")

// maxRequests is how many requests one operation may send, redirects included: enough
// to try sixteen credentials for an index with tokens. Who needs more goes from one
// repository to the next in vain, or is led on.
const maxRequests = 40

// operation is one call of Resolve or Sources: it asks for the credentials of a
// repository once at most, and registries maxRequests times.
type operation struct {
	credentials Credentials
	found       map[string]finding
	sent        int
	most        int
}

// finding is what was found for one repository.
type finding struct {
	credentials []Credential
	err         error
}

func (c *Client) operation(credentials Credentials) *operation {
	return &operation{credentials: credentials, found: make(map[string]finding), most: maxRequests}
}

// spend counts a request to p's registry, and says when that is one too many.
func (o *operation) spend(p place) error {
	if o.sent >= o.most {
		return fmt.Errorf("%w at registry %s for repository %s: given up after %d requests, because it redirects too often or refuses too many credentials: keep only those for it that are right in the daemon's docker config (dockerConfig)", ErrUnauthorized, p.host, p.repo, o.sent)
	}
	o.sent++
	return nil
}

// followed counts the redirects that led to resp.
func (o *operation) followed(resp *http.Response) {
	for r := resp.Request; r.Response != nil; r = r.Response.Request {
		o.sent++
	}
}

// lookup returns what to present for repo: its credentials, and at last nothing. That
// can be presented also where there is an error.
func (o *operation) lookup(ctx context.Context, repo string) ([]Credential, error) {
	if f, ok := o.found[repo]; ok {
		return f.credentials, f.err
	}
	var f finding
	if o.credentials != nil {
		found, err := o.credentials.Lookup(ctx, repo)
		if err != nil {
			f.err = fmt.Errorf("%w of %s: %w", errLookup, repo, err)
		}
		f.credentials = slices.Clone(found[:min(len(found), maxCredentials)])
	}
	f.credentials = append(f.credentials, Credential{})
	o.found[repo] = f
	return f.credentials, f.err
}

// access asks for a manifest with each credential until the registry gives it, and
// returns its body and what opened the repository. It begins without credentials
// unless this registry is known to want some.
func (c *Client) access(ctx context.Context, op *operation, p place, method, ref string) ([]byte, grant, error) {
	ch, known := c.challenges.get(p.root())
	_, open := c.open.get(p.key())
	asked := !known || open
	if asked {
		a, err := c.ask(ctx, p, method, ref, Credential{}, "")
		if err != nil {
			return nil, grant{}, err
		}
		switch {
		case a.status == http.StatusOK:
			c.open.put(p.key(), struct{}{})
			return a.body, grant{}, nil
		case a.status == http.StatusUnauthorized:
			c.open.drop(p.key())
			if ch, err = c.challenge(p, a.header); err != nil {
				return nil, grant{}, err
			}
			c.challenges.put(p.root(), ch)
		case !a.refused():
			return nil, grant{}, a.unexpected(p)
		case !known:
			return nil, grant{}, p.refusal(ref, a.status == http.StatusNotFound, false)
		}
	}
	credentials, unknown := op.lookup(ctx, p.repo)
	missing, served := false, false
	var limited error
	for _, cr := range c.provenFirst(p, credentials) {
		if asked && ch.realm == "" && cr == (Credential{}) {
			continue // that was the first request
		}
		a, g, err := c.present(ctx, p, ch, cr, method, ref)
		if _, ok := errors.AsType[*RateLimitedError](err); ok {
			limited = cmp.Or(limited, err) // another's limit may not be reached
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
		served = served || !g.refused
	}
	if limited != nil {
		return nil, grant{}, limited
	}
	if ch.realm != "" && !served {
		c.challenges.drop(p.root()) // nobody gets a token there: it may have moved
	}
	if unknown != nil {
		return nil, grant{}, unknown
	}
	return nil, grant{}, p.refusal(ref, missing, len(credentials) > 1)
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
// a challenge that has changed, is renewed once.
func (c *Client) present(ctx context.Context, p place, ch challenge, cr Credential, method, ref string) (*answer, grant, error) {
	for again := true; ; again = false {
		g, err := c.authorize(ctx, p, ch, cr, tokenMargin)
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
		if err != nil || !again || (now == ch && !g.remembered) {
			return a, g, nil
		}
		c.challenges.put(p.root(), now)
		ch = now
	}
}

// refusal is the error of a manifest that nobody gave us; presented says whether
// there were credentials.
func (p place) refusal(ref string, missing, presented bool) error {
	switch {
	case missing:
		return fmt.Errorf("manifest %s %w at registry %s for repository %s: it was deleted there, or it is hidden from the credentials of the daemon's docker config (dockerConfig)", ref, ErrNotFound, p.host, p.repo)
	case presented:
		return fmt.Errorf("%w at registry %s for repository %s: it refused the credentials of the daemon's docker config (dockerConfig); renew them", ErrUnauthorized, p.host, p.repo)
	}
	return fmt.Errorf("%w at registry %s for repository %s: add credentials for it to the daemon's docker config (dockerConfig)", ErrUnauthorized, p.host, p.repo)
}

// answer is what a registry said; the body only where the status is 200.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// refused says whether another credential may do better.
func (a *answer) refused() bool {
	return a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status == http.StatusNotFound
}

func (a *answer) unexpected(p place) error {
	return fmt.Errorf("asking registry %s: unexpected status %d %s", p.host, a.status, http.StatusText(a.status))
}

// ask requests a manifest on cr's account. Where too few pulls were left it asks first
// for the head, which is not counted: the answer says how many there are by now.
func (c *Client) ask(ctx context.Context, p place, method, ref string, cr Credential, authorization string) (*answer, error) {
	header := http.Header{"Accept": {accepted}}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	r := request{method: method, url: p.url("manifests", ref), header: header, by: cr, kind: head}
	if method == http.MethodGet && c.gates.sounds(p.account(cr)) {
		r.method = http.MethodHead
		if a, err := c.send(ctx, p, r); err != nil || a.status != http.StatusOK {
			return a, err
		}
		r.method = http.MethodGet
	}
	if method == http.MethodGet {
		r.kind, r.limit = pull, c.cfg.maxManifest()
	}
	return c.send(ctx, p, r)
}

// request is one to a registry or its token server.
type request struct {
	method, url string
	header      http.Header
	by          Credential // whom the registry sees, for its limits
	kind        kind
	limit       int64 // bytes of the body that are read; 0: none
	stay        bool  // redirects are not followed
}

// send is the one way to a registry or its token server. An answer's body beyond the
// limit is [ErrTooLarge]; 429 is a [*RateLimitedError], and so is a gate that an
// earlier one has closed. No error holds the URL: after a redirect it may be a signed
// one.
func (c *Client) send(ctx context.Context, p place, q request) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, q.method, q.url, nil)
	if err != nil {
		return nil, fmt.Errorf("asking registry %s: %w: it makes no URL", p.host, ErrInvalid)
	}
	q.header.Set("User-Agent", c.cfg.userAgent())
	r.Header = q.header
	if err := p.by.spend(p); err != nil {
		return nil, err
	}
	pass, err := c.gates.enter(ctx, p.account(q.by), q.kind)
	if err != nil {
		return nil, err
	}
	defer pass.leave()
	client := c.http
	if q.stay {
		client = c.stay
	}
	resp, err := client.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, fmt.Errorf("asking registry %s: %w", p.host, err)
	}
	defer resp.Body.Close()
	p.by.followed(resp)
	wait := pass.answered(resp.StatusCode, resp.Header)
	if resp.StatusCode == http.StatusTooManyRequests {
		return nil, &RateLimitedError{Registry: pass.account.registry, RetryAfter: wait}
	}
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if a.refused() && resp.Request.URL.Host != r.URL.Host {
		// Where a redirect led has no say about our credentials.
		return nil, fmt.Errorf("asking registry %s: status %d from where it redirected to", p.host, a.status)
	}
	if a.status != http.StatusOK || q.limit == 0 {
		return a, nil
	}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, q.limit+1)); err != nil {
		return nil, fmt.Errorf("reading the answer of registry %s: %w", p.host, err)
	}
	if int64(len(a.body)) > q.limit {
		return nil, fmt.Errorf("reading the answer of registry %s: %w: more than %d bytes", p.host, ErrTooLarge, q.limit)
	}
	return a, nil
}

// account is cr's at p's registry.
func (p place) account(cr Credential) account {
	return account{registry: strings.ToLower(p.host), sum: cr.sum()}
}

// retryAfter reads the header of that name, seconds or a date; 0 where it says
// nothing, at most a day.
func retryAfter(s string) time.Duration {
	const most = 24 * time.Hour
	if seconds, err := strconv.ParseUint(s, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, most)
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(time.Until(at), 0), most)
	}
	return 0
}
