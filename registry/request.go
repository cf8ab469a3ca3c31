package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

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
// earlier one has closed; one that is closed because the registry does not answer is an
// [*UnansweredError]. No error holds the URL: after a redirect it may be a signed
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
	p.by.sends()
	status, a, err := c.carryOut(ctx, p, q, r, pass)
	if c.cfg.Count != nil {
		c.cfg.Count(outcomeOf(ctx, status, err))
	}
	return a, err
}

// carryOut sends r, which is q, and reads the answer. The status is that of the answer, also where there is an error
// nevertheless; 0: there was none.
func (c *Client) carryOut(ctx context.Context, p place, q request, r *http.Request, pass *pass) (int, *answer, error) {
	client := c.http
	if q.stay {
		client = c.stay
	}
	resp, err := client.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		pass.unanswered(ctx, err)
		return 0, nil, fmt.Errorf("asking registry %s: %w", p.host, ended(ctx, err))
	}
	defer resp.Body.Close()
	p.by.followed(resp)
	wait := pass.answered(resp.StatusCode, resp.Header)
	if resp.StatusCode == http.StatusTooManyRequests {
		return resp.StatusCode, nil, &RateLimitedError{Registry: pass.account.registry, RetryAfter: wait}
	}
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if q.kind == exchange && down(a.status) {
		pass.unanswered(ctx, fmt.Errorf("status %d %s", a.status, http.StatusText(a.status)))
	}
	if a.refused() && a.status != http.StatusNotFound && resp.Request.URL.Host != r.URL.Host {
		// Where a redirect led has no say about our credentials. What is not there is not
		// there: whole registries are served from elsewhere.
		return a.status, nil, fmt.Errorf("asking registry %s: status %d from where it redirected to", p.host, a.status)
	}
	if a.status != http.StatusOK || q.limit == 0 {
		return a.status, a, nil
	}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, q.limit+1)); err != nil {
		return a.status, nil, fmt.Errorf("reading the answer of registry %s: %w", p.host, ended(ctx, err))
	}
	if int64(len(a.body)) > q.limit {
		return a.status, nil, fmt.Errorf("reading the answer of registry %s: %w: more than %d bytes", p.host, ErrTooLarge, q.limit)
	}
	return a.status, a, nil
}

// ended is why ctx has ended, where that is what err comes from.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
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
