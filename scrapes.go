package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// scrapesAtOnce bounds how many requests for metrics are answered at a time. Each has all series in memory, which may
	// be many where there is one for each image; usual are one or two that scrape.
	scrapesAtOnce = 4
	// scrapeTimeout is how long the answer may take, longer than Prometheus waits by default.
	scrapeTimeout = 30 * time.Second
	// scrapeLogPause is at least between two lines about what goes wrong: it would go wrong with each request.
	scrapeLogPause = 10 * time.Minute
)

// scrapes answers requests for metrics. Those that are too many, or take too long, get a 503.
func scrapes(metrics prometheus.Gatherer, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapesAtOnce,
		Timeout:             scrapeTimeout,
		ErrorLog:            &scrapeLog{log: log},
	})
}

// scrapeLog has in the log why there are no metrics, a line every scrapeLogPause at the most.
type scrapeLog struct {
	log *slog.Logger

	mu   sync.Mutex
	next time.Time // guarded by mu
}

// Println is what promhttp calls with an error.
func (l *scrapeLog) Println(v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); !now.Before(l.next) {
		l.next = now.Add(scrapeLogPause)
		l.log.Warn("a request for metrics was not answered as it should be", "error", strings.TrimSpace(fmt.Sprintln(v...)))
	}
}
