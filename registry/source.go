package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// defaultLeft is how long sources hold at least where the caller does not say.
	defaultLeft = 2 * time.Minute
	// redirectLifetime is what we trust a signed address of a blob store with;
	// stores give 20 minutes and more.
	redirectLifetime = 10 * time.Minute
	// layersAtOnce is how many layers of one image are asked for at the same time.
	layersAtOnce = 4
)

// Source is where Clair gets one layer. It may hold a token or a signature:
// printed or logged it shows only the host and path.
type Source struct {
	URI    string
	Header http.Header // nil where none is needed; shared between layers
}

// String is the source without its secrets.
func (s Source) String() string {
	u, err := url.Parse(s.URI)
	if err != nil {
		return redacted
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// Format prints the source without its secrets, whatever the verb.
func (s Source) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// GoString is the source without its secrets.
func (s Source) GoString() string { return s.String() }

// LogValue is the source without its secrets.
func (s Source) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Sources says where Clair gets the layers of image, in their order, and until
// when that holds; the zero time where it does not end. A token is asked for anew
// if what is left of the remembered one is less than left (0: two minutes; half
// of its lifetime is always enough). Sources are made right before they are used.
//
//   - An open registry: its blobs' addresses.
//   - One with tokens: these, with one bearer token that can only pull from the
//     image's repository.
//   - One with tokens and Registry.ResolveLayers, as the next.
//   - One with passwords only that redirects to a blob store: the store's signed
//     addresses, one request for each layer.
//   - One with passwords that serves layers itself: [ErrForward], or the password
//     where Registry.ForwardPassword is set.
//
// Its other errors are those of [Client.Resolve].
func (c *Client) Sources(ctx context.Context, image *Image, credentials Credentials, left time.Duration) ([]Source, time.Time, error) {
	if left <= 0 {
		left = defaultLeft
	}
	ctx, cancel := inTime(ctx)
	defer cancel()
	op := c.operation(credentials)
	op.most += len(image.Layers)
	p, err := c.place(op, image.Repo)
	if err != nil {
		return nil, time.Time{}, err
	}
	g, err := c.pull(ctx, op, p, image, left)
	if err != nil {
		return nil, time.Time{}, err
	}
	for g.bearer && p.resolve || g.authorization != "" && !g.bearer && !p.forward {
		sources, until, err := c.redirected(ctx, p, image, g)
		if !g.untried || !errors.Is(err, ErrUnauthorized) || !g.bearer && op.only(p.repo) {
			return sources, until, err
		}
		// A token can end before its time, as when the registry trusts another key, and a
		// password can have changed.
		c.tokens.drop(presentation{p.key(), g.credential.sum()})
		if g, err = c.pull(ctx, op, p, image, left); err != nil {
			return nil, time.Time{}, err
		}
	}
	var header http.Header
	if g.authorization != "" {
		header = http.Header{"Authorization": {g.authorization}}
	}
	sources := make([]Source, len(image.Layers))
	for i, l := range image.Layers {
		sources[i] = Source{URI: p.url("blobs", l.Digest), Header: header}
	}
	return sources, g.expires, nil
}

// Renew forgets what opened image's repository, tokens or nothing, and who was refused
// there, so that the next [Client.Sources] asks the registry anew: what to do once when
// Clair reports 401 or 403 for a layer.
func (c *Client) Renew(image *Image) {
	p, err := c.place(nil, image.Repo)
	if err != nil {
		return // nothing was ever asked for there
	}
	there := func(k presentation) bool { return k.place == p.key() }
	c.tokens.forget(func(k presentation, _ token) bool { return there(k) })
	c.proven.forget(func(k presentation, _ struct{}) bool { return there(k) })
	c.refused.forget(func(q question, _ refused) bool { return there(q.presentation) })
	c.open.drop(p.key())
}

// pull returns what opens image's repository for at least left. It asks for the
// manifest's head only where nothing is known to open it, as after a restart.
func (c *Client) pull(ctx context.Context, op *operation, p place, image *Image, left time.Duration) (grant, error) {
	if _, open := c.open.get(p.key()); open {
		return grant{}, nil
	}
	if ch, known := c.challenges.get(p.root()); known {
		credentials, _ := op.lookup(ctx, p.repo) // access tells the error if nothing else opens
		for _, cr := range credentials {
			if _, ok := c.proven.get(presentation{p.key(), cr.sum()}); !ok {
				continue
			}
			g, err := c.authorize(ctx, p, ch, cr, left)
			if errors.Is(err, errNoToken) || errors.Is(err, errTokenServer) {
				continue // access tells it if nothing else opens
			}
			if err != nil || !g.refused {
				g.untried = true
				return g, err
			}
			c.proven.drop(presentation{p.key(), cr.sum()})
		}
	}
	_, g, err := c.access(ctx, op, p, http.MethodHead, image.Digest)
	if err != nil || !g.bearer {
		return g, err
	}
	if g, err = c.authorize(ctx, p, g.challenge, g.credential, left); err != nil || !g.refused {
		return g, err
	}
	// It has just refused to renew what it had given out.
	return grant{}, p.refusal("manifest "+image.Digest, false, true)
}

// redirected asks for each layer once, with the password or the token, and returns
// where the registry sends us. Where it sends a layer itself Clair gets the token. The
// first shows whether the others are worth asking for; these are asked for a few at a
// time.
func (c *Client) redirected(ctx context.Context, p place, image *Image, g grant) ([]Source, time.Time, error) {
	expires := time.Now().Add(redirectLifetime)
	var digests []string // each once: a layer may be listed twice
	at := make(map[string]int)
	for _, l := range image.Layers {
		if _, ok := at[l.Digest]; !ok {
			at[l.Digest] = len(digests)
			digests = append(digests, l.Digest)
		}
	}
	targets := make([]Source, len(digests))
	ask := func(ctx context.Context, i int) error {
		var err error
		if targets[i], err = c.target(ctx, p, digests[i], g); err != nil {
			return fmt.Errorf("asking for layer %s: %w", digests[i], err)
		}
		return nil
	}
	if len(digests) > 0 {
		if err := ask(ctx, 0); err != nil {
			return nil, time.Time{}, err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(layersAtOnce)
	for i := 1; i < len(digests); i++ {
		group.Go(func() error { return ask(ctx, i) })
	}
	if err := group.Wait(); err != nil {
		return nil, time.Time{}, err
	}
	sources := make([]Source, len(image.Layers))
	for i, l := range image.Layers {
		sources[i] = targets[at[l.Digest]]
		if sources[i].Header != nil && g.expires.Before(expires) {
			expires = g.expires
		}
	}
	return sources, expires, nil
}

// target is where the registry redirects a layer's request to, or, where it does not
// and has given out a token, the layer itself.
func (c *Client) target(ctx context.Context, p place, digest string, g grant) (Source, error) {
	from := p.url("blobs", digest)
	// One byte: a registry that does not redirect need not begin to send it all.
	header := http.Header{"Authorization": {g.authorization}, "Range": {"bytes=0-0"}}
	a, err := c.send(ctx, p, request{method: http.MethodGet, url: from, header: header, by: g.credential, stay: true})
	if err != nil {
		return Source{}, err
	}
	itself := Source{URI: from, Header: http.Header{"Authorization": {g.authorization}}}
	switch a.status {
	case http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		if g.bearer {
			return itself, nil
		}
		return Source{}, fmt.Errorf("registry %s: %w; set forwardPassword for it under the daemon's registries, or let it give out tokens", p.host, ErrForward)
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		if a.refused() {
			c.proven.drop(presentation{p.key(), g.credential.sum()})
			return Source{}, p.refusal("it is", a.status == http.StatusNotFound, true)
		}
		return Source{}, a.unexpected(p)
	}
	base, err := url.Parse(from)
	if err != nil {
		return Source{}, fmt.Errorf("registry %s: %w: its address is no URL", p.host, ErrInvalid)
	}
	to, err := base.Parse(a.header.Get("Location"))
	if err != nil || a.header.Get("Location") == "" {
		return Source{}, fmt.Errorf("registry %s: %w: it redirects to what is no URL", p.host, ErrInvalid)
	}
	if err := c.guard.admit(to, false); err != nil {
		return Source{}, fmt.Errorf("registry %s redirects: %w", p.host, err)
	}
	if hostPort(to) == hostPort(base) {
		if g.bearer {
			return itself, nil
		}
		return Source{}, fmt.Errorf("registry %s: %w; it redirects to itself, which wants the password again", p.host, ErrForward)
	}
	return Source{URI: to.String()}, nil
}
