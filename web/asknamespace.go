package web

import (
	"context"
	"time"
)

const (
	// namespacesAtOnce is how many namespaces are asked about at a time: an answer can take reports to read.
	namespacesAtOnce = 2
	// namespaceTimeout is how long an answer waits for its turn and for what is known of the namespace.
	namespaceTimeout = 45 * time.Second
)

// askNamespace asks about a namespace when it is its turn, for a page or for the API. Its error is errBusy, or that
// of Source.Namespace.
func (p *pages) askNamespace(ctx context.Context, name string) (Namespace, error) {
	ctx, cancel := context.WithTimeout(ctx, namespaceTimeout)
	defer cancel()
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil { // also where both happened at once
		return Namespace{}, errBusy
	}
	return p.source.Namespace(ctx, name)
}
