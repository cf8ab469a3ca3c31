package clair

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"github.com/quay/claircore"
)

const (
	// notificationPage is how many entries a page has; it is Clair's own default.
	notificationPage = 500
	// mostPages bounds the pages read of one notification.
	mostPages = 1000
)

// Notified returns the digests of the manifests that a notification is about, each once and in order; what
// is no digest is left out. An id that Clair does not know, or no longer, has none. All its pages together may
// take ReportTimeout; after that, and after a thousand pages, the error is one of Kind Incomplete. Kind NotFound
// means that something answers that is no notifier, and will do so again. With any error it returns what it has read
// so far. Every error is an *Error or the context's.
func (c *Client) Notified(ctx context.Context, id uuid.UUID) ([]string, error) {
	const op = opNotified
	ctx, cancel := withTimeout(ctx, c.reportTimeout)
	defer cancel()
	digests := make(map[string]struct{})
	next := ""
	for range mostPages {
		var page struct {
			Page struct {
				Next string `json:"next"`
			} `json:"page"`
			Notifications []struct {
				Manifest string `json:"manifest"`
			} `json:"notifications"`
		}
		query := url.Values{"page_size": {strconv.Itoa(notificationPage)}}
		if next != "" {
			query.Set("next", next)
		}
		err := c.do(ctx, call{
			op:     op,
			method: http.MethodGet,
			path:   "notifier/api/v1/notification/" + id.String(),
			query:  query,
			want:   []int{http.StatusOK},
			into:   &page,
		})
		if err != nil {
			return slices.Sorted(maps.Keys(digests)), unread(ctx, err)
		}
		for _, n := range page.Notifications {
			if _, err := claircore.ParseDigest(n.Manifest); err == nil {
				digests[n.Manifest] = struct{}{}
			}
		}
		// The next page is named by the id of this page's last entry.
		if next = page.Page.Next; next == "" || len(page.Notifications) == 0 {
			return slices.Sorted(maps.Keys(digests)), nil
		}
	}
	err := &Error{Op: op, Kind: Incomplete, detail: fmt.Sprintf("it has more than %d pages", mostPages)}
	return slices.Sorted(maps.Keys(digests)), err
}

// unread tells from a Clair that cannot be reached a call whose own time was over, and an answer that says it is a
// page and is none: both are the same the next time.
func unread(ctx context.Context, err error) error {
	var own timeoutError
	var e *Error
	switch {
	case !errors.As(err, &e):
	case errors.As(context.Cause(ctx), &own):
		e.Kind = Incomplete
	case e.Kind == Temporary && e.Status == http.StatusOK:
		e.Kind = NotFound
	}
	return err
}

// DeleteNotification tells Clair that a notification was read, so that it can be cleaned up. One that is
// gone already is an *Error like every refusal. Every error is an *Error or the context's.
func (c *Client) DeleteNotification(ctx context.Context, id uuid.UUID) error {
	ctx, cancel := withTimeout(ctx, c.reportTimeout)
	defer cancel()
	return c.do(ctx, call{
		op:     "deleting a notification",
		method: http.MethodDelete,
		path:   "notifier/api/v1/notification/" + id.String(),
		want:   []int{http.StatusOK, http.StatusNoContent},
	})
}
