package limits

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// flood is how many notifications are posted, senders how many at once, and again how often each id is.
const (
	flood   = 10_000
	senders = 16
	again   = 4
)

// Clair is asked about so many notifications at once, and so many a second.
const (
	askedAtOnce    = 50
	askedPerSecond = 5
)

// notifications posts them as Clair does: some about what runs, which is news, and many of which nothing comes, with ids
// of their own and with those of before.
func (c *cluster) notifications(t *testing.T) {
	if c.keys[channel(calm)] == "" {
		c.watch(t, calm)
		c.untilScanned(t, few, "too_large", 0)
		c.hears(t, channel(calm), 1)
	}
	goroutines := c.goroutines(t)
	images := calmOnes()
	var refused atomic.Int64
	began := time.Now()
	traffic := c.within(t, func() {
		c.Disclose(images[0])
		id := c.Notice(images[0])
		for range again {
			c.post(t.Context(), id, &refused)
		}
		c.await(t, "the news", func() bool { return c.Told(images[0]) > c.heard[channel(calm)] })
		group, ctx := errgroup.WithContext(t.Context())
		group.SetLimit(senders)
		ids := make([]uuid.UUID, flood/again)
		for n := range ids {
			ids[n] = uuid.New()
		}
		for n := range flood {
			group.Go(func() error {
				c.post(ctx, ids[n%len(ids)], &refused)
				return nil
			})
		}
		must(t, group.Wait())
		c.settled(t)
	})
	if n := refused.Load(); n > 0 {
		t.Errorf("%d of %d notifications were not answered with 200", n, flood)
	}
	most := askedAtOnce + askedPerSecond*(int(time.Since(began).Seconds())+1) // however long it took
	if got := traffic.Clair.Requests("notification"); got < 1 || got > most {
		t.Errorf("Clair was asked about %d notifications of %d, want %d at the most", got, flood, most)
	}
	if asked, deleted := traffic.Clair.Requests("notification"), traffic.Clair.Requests("delete notification"); deleted > asked {
		t.Errorf("%d notifications were deleted, and %d read", deleted, asked)
	}
	for _, m := range c.hears(t, channel(calm), 1) {
		if !strings.Contains(m, "1 newly disclosed") {
			t.Errorf("it does not tell what is new:\n%s", m)
		}
	}
	for n := range all {
		c.hears(t, channel(n), 0)
	}
	m, err := c.Metrics(t.Context())
	must(t, err)
	t.Logf("of %v: %v queued, %v fresh, %v idle, %v skipped", m.Sum("clairwatch_notifications_total"), m[`clairwatch_notifications_total{outcome="queued"}`],
		m[`clairwatch_notifications_total{outcome="fresh"}`], m[`clairwatch_notifications_total{outcome="idle"}`], m[`clairwatch_notifications_total{outcome="skipped"}`])
	if got := m.Sum("clairwatch_notifications_total"); got != flood+again {
		t.Errorf("%v notifications were counted, want %d", got, flood+again)
	}
	poster.CloseIdleConnections()
	c.until(t, "goroutines to end", func(stage.Metrics) bool { return c.goroutines(t) <= goroutines+spare })
	c.wellFormed(t)
}

// spare is by how many goroutines what comes and goes all the time may differ.
const spare = 10

// goroutines is how many clairwatch has.
func (c *cluster) goroutines(t *testing.T) float64 {
	t.Helper()
	m, err := c.Metrics(t.Context())
	must(t, err)
	return m["go_goroutines"]
}

// post delivers a notification as Clair does, and counts it when it is not answered as Clair wants it.
func (c *cluster) post(ctx context.Context, id uuid.UUID, refused *atomic.Int64) {
	body := fmt.Sprintf(`{"callback":"%snotifier/api/v1/notification/%s","notification_id":"%s"}`, c.ClairURL(calm), id, id)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.DaemonAddr+"/notify", strings.NewReader(body))
	if err != nil {
		refused.Add(1)
		return
	}
	request.ContentLength = -1 // Clair says none
	request.Header.Set("Content-Type", "application/json")
	response, err := poster.Do(request)
	if err != nil {
		refused.Add(1)
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		refused.Add(1)
	}
}

// poster keeps its connections, as Clair's does.
var poster = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
