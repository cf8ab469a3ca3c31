package clair

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/quay/claircore"
)

// mostDeleted is how many manifests one request deletes. Clair deletes them one after another before it answers.
const mostDeleted = 100

// Delete has Clair forget the index reports of manifests, and of the layers that no other manifest has. It
// returns those of the digests that Clair has deleted. One that is missing there was unknown to Clair, is being
// indexed at the moment, or could not be deleted: Clair does not say which (claircore
// datastore/postgres/deletemanifests.go). More than a hundred digests become several requests, each of which may
// take ReportTimeout. With an error it returns what was deleted before it; of the request that failed, some may
// be deleted too. Kind Busy means that Clair's slots are taken: deleting counts as indexing. NotFound means that
// nothing there deletes. Every error is an *Error or the context's.
func (c *Client) Delete(ctx context.Context, digests []string) (deleted []string, err error) {
	for _, d := range digests {
		if _, err := claircore.ParseDigest(d); err != nil {
			return nil, &Error{Op: opDelete, Kind: Invalid, detail: fmt.Sprintf("manifest digest %q: %v", d, err)}
		}
	}
	for batch := range slices.Chunk(digests, mostDeleted) {
		gone, err := c.deleteBatch(ctx, batch)
		if err != nil {
			return deleted, err
		}
		deleted = append(deleted, gone...)
	}
	return deleted, nil
}

func (c *Client) deleteBatch(ctx context.Context, digests []string) ([]string, error) {
	body, err := json.Marshal(digests)
	if err != nil {
		return nil, &Error{Op: opDelete, Kind: Invalid, detail: err.Error()}
	}
	ctx, cancel := withTimeout(ctx, c.reportTimeout)
	defer cancel()
	var gone []string // null when there was nothing to delete
	err = c.do(ctx, call{
		op:     opDelete,
		method: http.MethodDelete,
		path:   "indexer/api/v1/index_report",
		body:   body,
		want:   []int{http.StatusOK},
		into:   &gone,
	})
	if err != nil {
		return nil, err
	}
	// Whatever it names: nothing else was to be deleted.
	return slices.DeleteFunc(slices.Clone(digests), func(d string) bool { return !slices.Contains(gone, d) }), nil
}
