package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	// maxRemembered bounds what is known of registries and repositories.
	maxRemembered = 8192
	// maxTokens bounds the bytes of the tokens that are remembered, and maxKnownLayers the
	// layers of the images: what others send is not to fill the memory.
	maxTokens      = 16 << 20
	maxKnownLayers = 200_000
	// sweepEvery is how often tokens that have ended are looked for.
	sweepEvery = time.Minute
)

// Client asks registries for images and their layers. It is safe for concurrent
// use. It asks each registry 16 things at a time, at any rate until the registry says
// 429, or that a tenth of its pulls is left. It does not retry: errors say what may be
// tried again, and when.
type Client struct {
	cfg       Config
	endpoints map[string]*endpoint // of the settings, by lower-case host
	guard     *guard
	gates     *gates
	http      *http.Client // follows redirects
	stay      *http.Client // does not

	images     *memo[imageKey, *Image]
	challenges *memo[string, challenge]      // by endpoint
	open       *memo[string, struct{}]       // repositories that need no credentials
	proven     *memo[presentation, struct{}] // credentials that have opened a repository
	tokens     *memo[presentation, token]
	refused    *memo[question, refused]
	met        *memo[string, struct{}]  // endpoints that have answered who named nobody
	doubts     *memo[string, time.Time] // when endpoints were asked whether their challenge holds

	resolving *flights[imageKey, *Image]
	meeting   *flights[string, door]     // by endpoint
	obtaining *flights[question, *token] // nil: refused

	mu    sync.Mutex
	swept time.Time // when tokens that have ended were last dropped; guarded by mu
}

// presentation is a credential at a repository.
type presentation struct {
	place string
	sum   [32]byte
}

// imageKey is what an image is resolved from. The repository belongs to it: what
// one tenant's repository answers is not taken for another's.
type imageKey struct {
	Candidate
	config   string
	platform Platform
}

// New returns a client for cfg, which [Config.Validate] should have passed: what
// is wrong with a registry there is the error of each request to it, and what is wrong
// with a list of what may be asked that of each request.
func New(cfg Config) *Client {
	c := &Client{
		cfg:        cfg,
		endpoints:  make(map[string]*endpoint),
		images:     newScales[imageKey](cfg.maxImages(), maxKnownLayers, func(i *Image) int { return len(i.Layers) }),
		challenges: newMemo[string, challenge](maxRemembered),
		open:       newMemo[string, struct{}](maxRemembered),
		proven:     newMemo[presentation, struct{}](maxRemembered),
		tokens:     newScales[presentation](maxRemembered, maxTokens, func(t token) int { return len(t.value) }),
		refused:    newMemo[question, refused](maxRemembered),
		met:        newMemo[string, struct{}](maxRemembered),
		doubts:     newMemo[string, time.Time](maxRemembered),
		resolving:  newFlights[imageKey, *Image](),
		meeting:    newFlights[string, door](),
		obtaining:  newFlights[question, *token](),
		gates:      newGates(cfg.timeout()),
	}
	for _, r := range cfg.Registries {
		c.endpoints[r.name()] = newEndpoint(r)
	}
	c.guard = newGuard(cfg, c.endpoints)
	transport := cfg.Transport
	if transport == nil {
		transport = c.guard.transport(cfg.Roots)
	}
	transport = readable{transport}
	c.http = &http.Client{Transport: transport, Timeout: cfg.timeout(), CheckRedirect: c.guard.redirect}
	c.stay = &http.Client{Transport: transport, Timeout: cfg.timeout(), CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return c
}

// Close ends idle connections. The client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Image is what a container runs, as Clair can index it. It holds no secrets and
// is shared: it is not to be changed.
type Image struct {
	Repo   string  `json:"repo"`            // where it was found: "docker.io/library/nginx"
	Digest string  `json:"digest"`          // of the platform's manifest: Clair's key
	Index  string  `json:"index,omitempty"` // of the index it was chosen from
	Config string  `json:"config"`          // digest of its config: the image id
	Layers []Layer `json:"layers"`          // lowest first, as listed, with duplicates
}

// Layer is one layer of an image.
type Layer struct {
	Digest    string `json:"digest"` // of the blob as it is stored, compressed
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"` // bytes, as the manifest says
}

// Resolve finds the manifest of id for the platform of the node that runs it. It
// asks the candidates in turn, and no registry at all when it has resolved the
// same before. What refused a credential is not asked with it again for ten minutes,
// unless [Client.Renew] says so. credentials may be nil: anonymous.
//
// Its errors are all sentinels of this package but [ErrNotPulled], [ErrLocalOnly]
// and [ErrForward], a [*RateLimitedError], or a passing trouble, as when it takes more
// than two minutes. Where credentials
// cannot be looked up it asks without; the error of the look-up is its own only if
// that is refused.
func (c *Client) Resolve(ctx context.Context, id Identity, p Platform, credentials Credentials) (*Image, error) {
	if strings.EqualFold(p.OS, "windows") {
		return nil, fmt.Errorf("image for %s: %w: Clair knows no Windows", p, ErrUnsupported)
	}
	if len(id.Candidates) == 0 {
		return nil, fmt.Errorf("image %s: %w: no repository to ask", id.ID, ErrInvalid)
	}
	ctx, cancel := inTime(ctx)
	defer cancel()
	op := c.operation(credentials)
	var failure error
	for _, candidate := range id.Candidates {
		image, err := c.shared(ctx, op, imageKey{candidate, id.Config, p})
		if err == nil {
			return image, nil
		}
		if !slices.ContainsFunc(elsewhere[:], func(e error) bool { return errors.Is(err, e) }) {
			return nil, err
		}
		// Of several, the one that somebody can mend: missing credentials.
		if failure == nil || errors.Is(failure, ErrNotFound) {
			failure = err
		}
	}
	return nil, failure
}

// elsewhere are the errors of one candidate after which the next may do better.
var elsewhere = [...]error{ErrNotFound, ErrUnauthorized, ErrDenied, ErrUnsupported, errLookup}

// shared resolves key once for all who ask at the same time. An error that
// another's credentials or context brought about is not shared.
func (c *Client) shared(ctx context.Context, op *operation, key imageKey) (*Image, error) {
	for {
		if image, ok := c.images.get(key); ok {
			return image, nil
		}
		f, own, err := c.resolving.share(ctx, key, func() (*Image, error) {
			image, err := c.fetch(ctx, op, key)
			if err == nil {
				c.images.put(key, image)
			}
			return image, err
		})
		if err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", key.Candidate, err)
		}
		if own || f.err == nil {
			return f.value, f.err
		}
		if !f.abandoned && !rateLimited(f.err) && !errors.Is(f.err, ErrUnauthorized) && !errors.Is(f.err, ErrNotFound) && !errors.Is(f.err, errLookup) {
			return nil, f.err
		}
	}
}

// fetch asks the registry.
func (c *Client) fetch(ctx context.Context, op *operation, key imageKey) (*Image, error) {
	p, err := c.place(op, key.Repo)
	if err != nil {
		return nil, err
	}
	ref := key.Digest
	if ref == "" {
		ref = key.Tag
	}
	body, at, err := c.manifest(ctx, op, p, ref, key.Digest)
	if err != nil {
		return nil, err
	}
	m, err := decode(body)
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", key.Candidate, err)
	}
	image := &Image{Repo: key.Repo, Digest: at}
	if m.isIndex() {
		child, err := m.choose(key.platform)
		if err != nil {
			return nil, fmt.Errorf("choosing from index %s: %w", key.Candidate, err)
		}
		image.Index, image.Digest = at, child.Digest.String()
		if body = child.Data; len(body) == 0 || verify(body, image.Digest) != nil {
			if body, _, err = c.manifest(ctx, op, p, image.Digest, image.Digest); err != nil {
				return nil, err
			}
		}
		if m, err = decode(body); err != nil {
			return nil, fmt.Errorf("reading manifest %s@%s: %w", key.Repo, image.Digest, err)
		}
		if m.isIndex() {
			return nil, fmt.Errorf("image %s: %w: an index in an index", key.Candidate, ErrUnsupported)
		}
	}
	if err := m.runnable(); err != nil {
		return nil, fmt.Errorf("image %s: %w", key.Candidate, err)
	}
	image.Config = m.Config.Digest.String()
	if key.config != "" && image.Config != key.config {
		return nil, fmt.Errorf("image id %s %w as %s: the name has moved on; restart the pod to run and scan what it names now", key.config, ErrNotFound, key.Candidate)
	}
	for _, l := range m.Layers {
		image.Layers = append(image.Layers, Layer{Digest: l.Digest.String(), MediaType: string(l.MediaType), Size: l.Size})
	}
	return image, nil
}

// manifest gets a manifest and its digest, which must be want unless that is "".
func (c *Client) manifest(ctx context.Context, op *operation, p place, ref, want string) ([]byte, string, error) {
	body, _, err := c.access(ctx, op, p, http.MethodGet, ref)
	if err != nil {
		return nil, "", err
	}
	if want == "" {
		return body, digest.FromBytes(body).String(), nil
	}
	if err := verify(body, want); err != nil {
		return nil, "", fmt.Errorf("reading manifest %s of repository %s: %w", ref, p.repo, err)
	}
	return body, want, nil
}
