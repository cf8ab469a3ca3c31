package watcher

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
)

// What a Clair is asked for, as metrics name it.
const (
	askReport             = "report"
	askIndex              = "index"
	askState              = "state"
	askUpdates            = "updates"
	askDelete             = "delete"
	askNotification       = "notification"
	askDeleteNotification = "delete_notification"
)

// clairOperations are all of them.
var clairOperations = [...]string{askReport, askIndex, askState, askUpdates, askDelete, askNotification, askDeleteNotification}

// clairOutcomes are how that can end, by the kind of the error.
var clairOutcomes = [...]string{
	clair.Temporary:         "temporary",
	clair.NotFound:          "not_found",
	clair.NotReady:          "not_ready",
	clair.Busy:              "busy",
	clair.LayerUnauthorized: "layer_refused",
	clair.IndexFailed:       "index_failed",
	clair.Invalid:           "invalid",
	clair.Unauthorized:      "unauthorized",
	clair.TooLarge:          "too_large",
	clair.Incomplete:        "incomplete",
	clair.NoKey:             "no_key",
}

// outcomeOK and outcomeAbandoned are how it ends without an error of Clair's.
const (
	outcomeOK        = "ok"
	outcomeAbandoned = "abandoned"
)

// clairOutcome is how a request has ended.
func clairOutcome(err error) string {
	if err == nil {
		return outcomeOK
	}
	if e, ok := errors.AsType[*clair.Error](err); ok {
		return clairOutcomes[e.Kind]
	}
	return outcomeAbandoned // ctx has ended
}

// countedClair is a Clair of which is counted what it is asked, and how that ends.
type countedClair struct {
	Clair
	requests *prometheus.CounterVec // by operation and outcome
}

func (c countedClair) count(operation string, err error) {
	c.requests.WithLabelValues(operation, clairOutcome(err)).Inc()
}

func (c countedClair) Report(ctx context.Context, digest string) (*claircore.VulnerabilityReport, error) {
	vr, err := c.Clair.Report(ctx, digest)
	c.count(askReport, err)
	return vr, err
}

func (c countedClair) Index(ctx context.Context, digest string, layers []clair.Layer) (*claircore.IndexReport, error) {
	ir, err := c.Clair.Index(ctx, digest, layers)
	c.count(askIndex, err)
	return ir, err
}

func (c countedClair) State(ctx context.Context) (string, error) {
	state, err := c.Clair.State(ctx)
	c.count(askState, err)
	return state, err
}

func (c countedClair) Updates(ctx context.Context, etag string) (clair.Updates, error) {
	updates, err := c.Clair.Updates(ctx, etag)
	c.count(askUpdates, err)
	return updates, err
}

func (c countedClair) Delete(ctx context.Context, digests []string) ([]string, error) {
	deleted, err := c.Clair.Delete(ctx, digests)
	c.count(askDelete, err)
	return deleted, err
}

func (c countedClair) Notified(ctx context.Context, id uuid.UUID) ([]string, error) {
	digests, err := c.Clair.Notified(ctx, id)
	c.count(askNotification, err)
	return digests, err
}

func (c countedClair) DeleteNotification(ctx context.Context, id uuid.UUID) error {
	err := c.Clair.DeleteNotification(ctx, id)
	c.count(askDeleteNotification, err)
	return err
}
