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

// scrapes answers requests for metrics. Those that are too many, or take too long, get a 503, of which the log speaks: who
// scrapes sees no more than that there is nothing.
func scrapes(metrics prometheus.Gatherer, log *slog.Logger) http.Handler {
	wrong := &scrapeLog{log: log}
	handler := promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapesAtOnce,
		Timeout:             scrapeTimeout,
		ErrorLog:            wrong,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &statusWriter{ResponseWriter: w}
		handler.ServeHTTP(answer, r)
		switch {
		case answer.status != http.StatusServiceUnavailable:
		case r.Context().Err() != nil:
			wrong.Println("who asked did not wait for the answer: see its timeout")
		default:
			wrong.Println(fmt.Sprintf("more than %d requests at once, or one that took longer than %s", scrapesAtOnce, scrapeTimeout))
		}
	})
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int // 0 stands for 200
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
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
