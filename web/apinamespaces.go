package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// apiNamespaceList answers namespaces.
type apiNamespaceList struct {
	// Items are the asked ones, worst first, Total is the number of all of them.
	Items []apiNamespaceItem `json:"items"`
	Total int                `json:"total"`
	Next  string             `json:"next,omitempty"`
}

// apiNamespaceItem is what runs in a namespace, added up.
type apiNamespaceItem struct {
	Name string `json:"name"`
	// Images counts each digest once, NotRead those of which no report was read yet, NotChecked those that could not be
	// scanned, or that Clair has no data for.
	Images     int `json:"images"`
	NotRead    int `json:"notRead"`
	NotChecked int `json:"notChecked"`
	Pods       int `json:"pods"`
	// Counts counts an advisory once for each package of each image that it is about.
	Counts apiCounts `json:"counts"`
}

// apiNamespaces answers with the namespaces in which something runs.
func (p *pages) apiNamespaces(q parameters) (any, error) {
	sums := byNamespace(p.source.Images(), "")
	from, to := q.part(len(sums))
	list := apiNamespaceList{Items: make([]apiNamespaceItem, 0, to-from), Total: len(sums), Next: q.next(to, len(sums))}
	for _, s := range sums[from:to] {
		list.Items = append(list.Items, apiNamespaceItem{brief(s.Name), s.Images, s.Unread, s.Unchecked, s.Pods, newAPICounts(s.Counts)})
	}
	return list, nil
}

// errAPINamespace says that a namespace is not known.
var errAPINamespace = &apiError{http.StatusNotFound, "the settings do not name this namespace, and nothing runs in it"}

// apiNamespace answers with what is known of one namespace, as clairwatch explain does.
func (p *pages) apiNamespace(ctx context.Context, name string) finished {
	if !namesNamespace(name) {
		return encodeFault(errAPINamespace)
	}
	return p.asking.encoded(ctx, func(ctx context.Context) (any, error) { return p.namespaceData(ctx, name) })
}

// namespaceData asks for what is known of a namespace.
func (p *pages) namespaceData(ctx context.Context, name string) (any, error) {
	const most = 10 // names that are similar
	n, err := p.source.Namespace(ctx, name)
	switch {
	case err == nil:
		return n.Data, nil
	case errors.Is(err, ErrUnknown):
		says := errAPINamespace.Says
		if near, _ := apiTexts(n.Near, most); len(near) > 0 {
			says += ": did you mean " + strings.Join(near, ", ") + "?"
		}
		return nil, &apiError{http.StatusNotFound, says}
	case errors.Is(err, ErrStandby):
		return nil, errAPIStandby
	default:
		return nil, &apiError{http.StatusServiceUnavailable, "it took too long: ask again in half a minute"}
	}
}
