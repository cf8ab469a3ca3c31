package clair

import (
	"context"
	"net/http"
)

// State returns the state of the indexer: a hash over its scanners and their versions, without the quotes that
// the ETag of an index report has. Where it differs from what it was when an image was indexed, Clair has to
// index the image again (claircore libindex/libindex.go, Index). It says nothing of the vulnerability data. An
// *Error of Kind NotFound means that nothing there serves it. Every error is an *Error or the context's.
func (c *Client) State(ctx context.Context) (string, error) {
	const op = opState
	ctx, cancel := withTimeout(ctx, c.reportTimeout)
	defer cancel()
	var answer struct {
		State string `json:"state"`
	}
	err := c.do(ctx, call{
		op:     op,
		method: http.MethodGet,
		path:   "indexer/api/v1/index_state",
		want:   []int{http.StatusOK},
		into:   &answer,
	})
	if err != nil {
		return "", err
	}
	if answer.State == "" { // any JSON object decodes
		return "", &Error{Op: op, Kind: Temporary, Status: http.StatusOK, detail: "no state in the answer"}
	}
	return answer.State, nil
}
