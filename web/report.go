package web

import (
	"context"
	"errors"
	"time"
)

const (
	// reportsAtOnce is how many reports are fetched at a time: one can take tens of megabytes to read.
	reportsAtOnce = 2
	// reportTimeout is how long an answer waits for its turn and for the report.
	reportTimeout = 30 * time.Second
)

// errBusy says that the time was over before it was the turn of who asked to fetch a report.
var errBusy = errors.New("others are fetching reports")

// fetch fetches a report when it is its turn, for a page or for the API. Its error is errBusy, or that of
// Source.Report.
func (p *pages) fetch(ctx context.Context, digest string) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	select {
	case p.reading <- struct{}{}:
		defer func() { <-p.reading }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil { // also where both happened at once
		return Report{}, errBusy
	}
	return p.source.Report(ctx, digest)
}
