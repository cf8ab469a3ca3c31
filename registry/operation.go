package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxCredentials bounds how many credentials are tried at one repository, and
// maxFromOne how many of them are from one of several sources: a pod's image pull secrets
// are not to leave out the daemon's own.
const (
	maxCredentials = 2 * maxFromOne
	maxFromOne     = 16
)

// errLookup marks an error of the caller's Credentials.
var errLookup = errors.New("looking up credentials")

// maxRequests is how many requests one operation may send, redirects included: enough
// to try sixteen credentials for an index with tokens. Who needs more goes from one
// repository to the next in vain, or is led on.
const maxRequests = 40

// operationTime bounds one operation: a registry that lets each request take nearly as
// long as it may would hold it for hours.
const operationTime = 2 * time.Minute

// errTime is why an operation ends that takes longer. It passes.
var errTime = fmt.Errorf("all that was asked for one image took longer than %s", operationTime)

// inTime is ctx for one operation; the caller cancels it.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, operationTime, errTime)
}

// operation is one call of Resolve or Sources: it asks for the credentials of a
// repository once at most, and registries maxRequests times.
type operation struct {
	credentials Credentials
	found       map[string]finding
	most        int

	mu   sync.Mutex
	sent int // guarded by mu
}

// finding is what was found for one repository.
type finding struct {
	credentials []Credential
	err         error
	unhelped    string // the program that would know more, were it there; else ""
}

func (c *Client) operation(credentials Credentials) *operation {
	return &operation{credentials: credentials, found: make(map[string]finding), most: maxRequests}
}

// errSpent marks the end of what one operation may ask.
var errSpent = errors.New("given up")

// spend says whether a request to p's registry would be one too many.
func (o *operation) spend(p place) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sent >= o.most {
		return fmt.Errorf("%w at registry %s for repository %s: %w after %d requests, because it redirects too often or refuses too many credentials: keep only those that are right in the pod's image pull secrets and the daemon's docker config (dockerConfig)", ErrUnauthorized, p.host, p.repo, errSpent, o.sent)
	}
	return nil
}

// sends counts a request.
func (o *operation) sends() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent++
}

// followed counts the redirects that led to resp.
func (o *operation) followed(resp *http.Response) {
	o.mu.Lock()
	defer o.mu.Unlock()
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
		if u, ok := errors.AsType[unhelped](err); ok {
			f.unhelped = u.program
		} else if err != nil {
			f.err = fmt.Errorf("%w of %s: %w", errLookup, repo, err)
		}
		f.credentials = slices.Clone(found[:min(len(found), maxCredentials)])
	}
	f.credentials = append(f.credentials, Credential{})
	o.found[repo] = f
	return f.credentials, f.err
}

// only says that there is no choice of credentials for repo, which was looked up: one, and
// nothing.
func (o *operation) only(repo string) bool { return len(o.found[repo].credentials) <= 2 }
