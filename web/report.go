package web

import (
	"context"
	"time"
)

const (
	// reportsAtOnce is how many reports are held at a time: one can take tens of megabytes to read.
	reportsAtOnce = 2
	// reportTimeout is how long an answer waits for its turn and for the report.
	reportTimeout = 30 * time.Second
)

// fetch fetches a report when it is its turn, for a page or for the API. Use makes the answer of it: the turn ends with
// that, so that the report must not be kept. The error is errBusy, or that of Source.Report, and use was not called.
func (p *pages) fetch(ctx context.Context, digest string, use func(Report)) error {
	var failed error
	err := p.reading.take(ctx, func(ctx context.Context) {
		var r Report
		if r, failed = p.source.Report(ctx, digest); failed == nil {
			use(r)
		}
	})
	if err != nil {
		return err
	}
	return failed
}
