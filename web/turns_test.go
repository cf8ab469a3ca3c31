package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/clairwatch/clairwatch/findings"
)

// slowReader is somebody who takes an answer, but does not read it before the end of the test.
type slowReader struct {
	*httptest.ResponseRecorder
	end <-chan struct{}
}

func (w slowReader) Write(p []byte) (int, error) {
	<-w.end
	return w.ResponseRecorder.Write(p)
}

// ask sends a request whose answer somebody else takes.
func ask(ctx context.Context, h http.Handler, w http.ResponseWriter, path string) {
	path, query, _ := strings.Cut(path, "?")
	h.ServeHTTP(w, (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: query}, Header: make(http.Header)}).WithContext(ctx))
}

// slowlyMade are pages of which each takes seconds to make: they ask for the time once Source has been read.
func slowlyMade(t *testing.T, s Source, each time.Duration) (h http.Handler, atOnce func() int32) {
	t.Helper()
	var now, most atomic.Int32
	h, err := New(Config{Source: s, Now: func() time.Time {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(each)
		return noon
	}})
	if err != nil {
		t.Fatal(err)
	}
	return h, most.Load
}

// liveReports makes reports and knows which of them are still in use.
type liveReports struct {
	mu   sync.Mutex
	made []weak.Pointer[findings.Finding]
	most int
}

// live counts those in use.
func (l *liveReports) live() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	runtime.GC()
	n := 0
	for _, p := range l.made {
		if p.Value() != nil {
			n++
		}
	}
	return n
}

func (l *liveReports) report(context.Context, string) (Report, error) {
	r := Report{Report: manyFindings(300)}
	l.mu.Lock()
	l.made = append(l.made, weak.Make(&r.Findings[0]))
	l.mu.Unlock()
	n := l.live()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = max(l.most, n)
	return r, nil
}

// TestLiveReports shows that no more than two reports are in memory, however many ask for one at once, how long the
// answers take to be made, and how slowly they are read.
func TestLiveReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports liveReports
		end := make(chan struct{})
		h, _ := slowlyMade(t, &fixture{cluster: leading, images: manyImages(1), report: reports.report}, 300*time.Millisecond)
		var answers []*httptest.ResponseRecorder
		var wg sync.WaitGroup
		for i := range 12 {
			w := httptest.NewRecorder()
			answers = append(answers, w)
			path := []string{"/images/", "/api/v1/images/"}[i%2] + digestOf(0)
			wg.Go(func() { ask(t.Context(), h, slowReader{w, end}, path) })
		}
		time.Sleep(time.Minute) // all are made, and nobody has read
		synctest.Wait()
		if n := reports.live(); n != 0 {
			t.Errorf("%d reports are kept for who reads slowly", n)
		}
		if len(reports.made) != 12 || reports.most > reportsAtOnce {
			t.Errorf("%d reports, of which %d at once", len(reports.made), reports.most)
		}
		close(end)
		wg.Wait()
		for _, w := range answers {
			if w.Code != 200 || w.Body.Len() < 10_000 {
				t.Errorf("%d with %d bytes", w.Code, w.Body.Len())
			}
		}
	})
}

// paths are of one answer of each kind for which nobody is asked.
var paths = []string{
	"/?q=cve-2026-0001", "/vulnerabilities/CVE-2026-0001", "/api/v1/overview", "/api/v1/images?q=web", "/api/v1/namespaces", "/api/v1/vulnerabilities/CVE-2026-0001",
}

// countedSource counts how many read its images at once.
type countedSource struct {
	*fixture
	now, most atomic.Int32
	each      time.Duration
}

func (s *countedSource) Images() []Image {
	n := s.now.Add(1)
	defer s.now.Add(-1)
	for m := s.most.Load(); n > m && !s.most.CompareAndSwap(m, n); m = s.most.Load() {
	}
	time.Sleep(s.each)
	return s.fixture.Images()
}

// TestPagesAtOnce shows that no more than three answers are made at a time, that others wait their turn, and that who
// waits too long is told when to come again, as a page or as JSON.
func TestPagesAtOnce(t *testing.T) {
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &countedSource{fixture: apiSource(), each: 4 * time.Second}
				h := newPages(t, source)
				var mu sync.Mutex
				statuses := make(map[int]int)
				var wg sync.WaitGroup
				for range 12 {
					wg.Go(func() {
						w := httptest.NewRecorder()
						ask(t.Context(), h, w, path)
						mu.Lock()
						defer mu.Unlock()
						statuses[w.Code]++
						if retry := w.Header().Get("Retry-After"); (retry == "30") != (w.Code == 503) {
							t.Errorf("%d with Retry-After %q", w.Code, retry)
						}
						if w.Code == 503 && strings.HasPrefix(path, "/api/") {
							wantFault(t, w, 503, "too many ask at once")
						} else if w.Code == 503 && !strings.Contains(w.Body.String(), "Too many ask at once") {
							t.Error("the page does not say why it is none")
						}
					})
				}
				wg.Wait()
				// Three begin at 0, 4 and 8 seconds; those who have waited for 10 are told no.
				if statuses[200] != 9 || statuses[503] != 3 || source.most.Load() != pagesAtOnce {
					t.Errorf("statuses %v, %d at once", statuses, source.most.Load())
				}
			})
		})
	}
}

// TestViewsAtOnce shows that a page is made in its turn, too.
func TestViewsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, atOnce := slowlyMade(t, apiSource(), 500*time.Millisecond)
		var wg sync.WaitGroup
		for i := range 24 {
			path := paths[i%2]
			wg.Go(func() {
				w := httptest.NewRecorder()
				if ask(t.Context(), h, w, path); w.Code != 200 {
					t.Errorf("%s: %d", path, w.Code)
				}
			})
		}
		wg.Wait()
		if atOnce() > pagesAtOnce {
			t.Errorf("%d at once", atOnce())
		}
	})
}

// TestSlowReaders shows that who reads slowly keeps no turn.
func TestSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPages(t, apiSource())
		end := make(chan struct{})
		var wg sync.WaitGroup
		for _, path := range append([]string{"/images/" + digestOf(0), "/api/v1/images/" + digestOf(0), "/namespaces/shop", "/api/v1/namespaces/shop"}, paths...) {
			for range 5 {
				wg.Go(func() { ask(t.Context(), h, slowReader{httptest.NewRecorder(), end}, path) })
			}
			synctest.Wait()
			w := httptest.NewRecorder()
			if ask(t.Context(), h, w, path); w.Code != 200 {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
		close(end)
		wg.Wait()
	})
}

// TestGoneReader shows that nothing is made for who does not wait.
func TestGoneReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	source := apiSource()
	source.report = func(context.Context, string) (Report, error) {
		t.Error("a report was fetched")
		return Report{}, errors.New("no report")
	}
	for _, path := range append([]string{"/images/" + digestOf(0), "/namespaces/shop"}, paths...) {
		w := httptest.NewRecorder()
		if ask(ctx, newPages(t, source), w, path); w.Code != 503 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestTooLong shows what becomes of an answer that would be too long.
func TestTooLong(t *testing.T) {
	long := strings.Repeat("東", longestText)
	source := &fixture{cluster: leading, images: manyImages(1), namespaces: map[string]Namespace{"shop": {Data: strings.Repeat("n", mostBytes)}}}
	r := Report{Report: manyFindings(500)}
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Name, f.Package, f.Installed, f.FixedIn, f.Layer = fmt.Sprint(i, long), fmt.Sprint(i, long), long, long, fmt.Sprint(i, long)
	}
	for i := range 4 {
		h := Hearer{Key: long, Name: fmt.Sprint(i), Decisions: make([]Decision, 500), Ignore: []findings.Ignore{{Reason: fmt.Sprint(i, long)}}}
		for j := range h.Decisions {
			h.Decisions[j].Fate = findings.Ignored
		}
		r.Hearers = append(r.Hearers, h)
	}
	source.report = func(context.Context, string) (Report, error) { return r, nil }
	h := newPages(t, source)
	w := get(t, h, "/images/"+digestOf(0), "")
	if page := w.Body.String(); w.Code != 500 || !strings.Contains(page, "This page would be too large") || len(violations(page)) > 0 {
		t.Errorf("%d with %d bytes: %.1000s", w.Code, len(page), page)
	}
	if w := get(t, h, "/images/"+digestOf(0), "q=7"); w.Code != 200 {
		t.Errorf("of a few of them: %d", w.Code)
	}
	wantFault(t, get(t, h, "/api/v1/images/"+digestOf(0), "limit=1000"), 500, "longer than 8 MiB")
	wantFault(t, get(t, h, "/api/v1/namespaces/shop", ""), 500, "longer than 8 MiB")
}
