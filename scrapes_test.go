package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stuck is a metric that waits until it is let go.
type stuck struct {
	prometheus.Gauge
	letGo chan struct{}
}

func (s stuck) Collect(to chan<- prometheus.Metric) {
	<-s.letGo
	s.Gauge.Collect(to)
}

// scrape asks for metrics.
func scrape(handler http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w
}

// Metrics that take long hold up a few requests at the most, and these not for ever.
func TestScrapesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, metric := prometheus.NewRegistry(), stuck{prometheus.NewGauge(prometheus.GaugeOpts{Name: "x", Help: "A number."}), make(chan struct{})}
		reg.MustRegister(metric)
		logged := new(strings.Builder)
		handler := routes(func() bool { return true }, http.NotFoundHandler(), reg, nil, slog.New(slog.NewTextHandler(logged, nil)))
		answers := make(chan *httptest.ResponseRecorder, scrapesAtOnce)
		ask := func() {
			for range scrapesAtOnce {
				go func() { answers <- scrape(handler) }()
			}
			synctest.Wait()
		}
		refused := func() {
			t.Helper()
			if w := scrape(handler); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "(4)") {
				t.Errorf("one too many got status %d %s", w.Code, w.Body)
			}
		}
		ask()
		if len(answers) > 0 {
			t.Fatal("a request was answered without its metrics")
		}
		refused()
		for range scrapesAtOnce {
			if w := <-answers; w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "(4)") {
				t.Errorf("one that took too long got status %d %s", w.Code, w.Body)
			}
		}
		refused() // they are still at it
		close(metric.letGo)
		synctest.Wait()
		ask()
		for range scrapesAtOnce {
			if w := <-answers; w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "\nx 0\n") {
				t.Errorf("after that: status %d %s", w.Code, w.Body)
			}
		}
		if n := strings.Count(logged.String(), "more than 4 requests at once, or one that took longer than 30s"); n != 1 {
			t.Errorf("%d lines in the log, want one:\n%s", n, logged)
		}
	})
}

// Who leaves before there is an answer is not told of as if there were too many.
func TestScrapesThatAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, metric := prometheus.NewRegistry(), stuck{prometheus.NewGauge(prometheus.GaugeOpts{Name: "x", Help: "A number."}), make(chan struct{})}
		reg.MustRegister(metric)
		logged := new(strings.Builder)
		handler := routes(func() bool { return true }, http.NotFoundHandler(), reg, nil, slog.New(slog.NewTextHandler(logged, nil)))
		ctx, cancel := context.WithTimeout(t.Context(), scrapeTimeout/3)
		defer cancel()
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
		if text := logged.String(); !strings.Contains(text, "did not wait for the answer") || strings.Contains(text, "at once") {
			t.Errorf("the log has %q", text)
		}
		close(metric.letGo)
	})
}

// broken is a metric that cannot be told.
type broken struct{ prometheus.Gauge }

func (b broken) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.NewInvalidMetric(b.Desc(), errors.New("it is broken"))
}

// What is wrong with metrics is in the log, a line each while.
func TestScrapesThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, logged := prometheus.NewRegistry(), new(strings.Builder)
		reg.MustRegister(broken{prometheus.NewGauge(prometheus.GaugeOpts{Name: "x", Help: "A number."})})
		handler := routes(func() bool { return true }, http.NotFoundHandler(), reg, nil, slog.New(slog.NewTextHandler(logged, nil)))
		for minute := range 20 {
			if w := scrape(handler); w.Code != http.StatusInternalServerError {
				t.Errorf("minute %d: status %d %s", minute, w.Code, w.Body)
			}
			time.Sleep(time.Minute)
		}
		text := logged.String()
		if n := strings.Count(text, "level=WARN"); n != 2 || strings.Count(text, "it is broken") != 2 || strings.Count(text, "\n") != 2 {
			t.Errorf("the log says\n%s", text)
		}
	})
}
