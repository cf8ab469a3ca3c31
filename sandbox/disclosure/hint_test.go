package disclosure

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
)

// unknownID is that of no notification.
const unknownID = "269886f3-0146-4f08-9bf7-cb1138d48643"

// nobodyRunsIt has Clair's notifier tell of an image that somebody else had it index: that is nobody's news here, and
// its report is never asked for.
func (c *cluster) nobodyRunsIt(t *testing.T) {
	foreign := c.samples[image.ShopWeb]
	must(t, c.summary.Index(c.wait(t), foreign.repository, foreign.image))
	idle := c.notified(t, c.daemon, "idle")
	from := c.now()
	c.publish(t, c.summary, vulnerability.DebianUpdater, curl2024)
	c.awaitNotified(t, c.daemon, "idle", idle+1)
	// The data is newer all the same, which the probe sees.
	c.looked(t, from, c.summary, c.samples[image.ShopWorker], c.samples[image.ShopAPI])
	for _, e := range c.since(0, c.summary, reportPath) {
		if strings.HasSuffix(e.Path, foreign.digest) {
			t.Errorf("Clair was asked for the report of an image that nobody runs: %+v", e)
		}
	}
	if page := c.page(t, c.summary, c.notification(t, from, c.summary)); !strings.Contains(page, foreign.digest) {
		t.Errorf("Clair's notifier did not tell of the image that nobody runs, but %s", page)
	}
}

// replayed posts to the daemon what Clair would, and what it would not. Nothing of it is news: no report is fetched.
func (c *cluster) replayed(t *testing.T) {
	c.settled(t)
	// That of two updates in one poll is about what runs; it was looked at long since.
	known := c.notification(t, 0, c.exact)
	from := c.now()
	post := func(id string) { t.Helper(); c.post(t, c.exact, id, http.StatusOK) }
	for _, r := range []struct {
		what, outcome string
		times         float64
		send          func()
	}{
		{"a known id twice at once", "fresh", 2, func() {
			var both sync.WaitGroup
			both.Go(func() { post(known) })
			both.Go(func() { post(known) })
			both.Wait()
		}},
		{"an unknown id", "idle", 1, func() { post(unknownID) }},
		{"an id that leads elsewhere", "invalid", 1, func() { post("../../../indexer/api/v1/index_report") }},
	} {
		before := c.notified(t, c.daemon, r.outcome)
		r.send()
		if got := c.notified(t, c.daemon, r.outcome) - before; got != r.times {
			t.Errorf("%s: %v webhooks are %s, want %v", r.what, got, r.outcome, r.times)
		}
	}
	c.settled(t)
	asked := make(map[string]int)
	for _, s := range []*source{c.summary, c.exact} {
		for _, e := range c.since(from, s, regexp.MustCompile("")) {
			switch {
			case probePath.MatchString(e.Path):
			case s == c.exact && notificationPath.MatchString(e.Path) && e.Method == http.MethodGet:
				asked[notificationPath.ReplaceAllString(e.Path, "")]++
			case notificationPath.MatchString(e.Path) && e.Method == http.MethodDelete: // of those before, too
			default:
				t.Errorf("a request reached Clair: %+v", e)
			}
		}
	}
	if want := map[string]int{known: 2, unknownID: 1}; !maps.Equal(asked, want) {
		t.Errorf("Clair was asked for the notifications %v, want %v", asked, want)
	}
}

// madeAgain has Clair forget a notification that was read and deleted, and make it again under another id, which it
// does each hour until it has newer data: that is no news, and no report is fetched again.
func (c *cluster) madeAgain(t *testing.T) {
	id := c.notification(t, 0, c.summary)
	c.await(t, "the notification to be deleted", func(context.Context) bool {
		for _, e := range c.since(0, c.summary, notificationPath) {
			if e.Method == http.MethodDelete && strings.HasSuffix(e.Path, id) && e.Status > 0 {
				return true
			}
		}
		return false
	})
	c.settled(t)
	from, fresh := c.now(), c.notified(t, c.daemon, "fresh")
	must(t, c.summary.CollectNotifications(c.wait(t)))
	c.awaitNotified(t, c.daemon, "fresh", fresh+1)
	again := c.notification(t, from, c.summary)
	if again == id {
		t.Errorf("Clair was expected to make the notification %s again under another id", id)
	}
	worker := c.samples[image.ShopWorker]
	if page := c.page(t, c.summary, again); !strings.Contains(page, worker.digest) {
		t.Errorf("the notification was expected to be about %s again: %s", worker.name, page)
	}
	c.settled(t)
	if asked := c.since(from, c.summary, reportPath); len(asked) > 0 {
		t.Errorf("%d reports were fetched again, the first of them %+v", len(asked), asked[0])
	}
}

// post posts to a daemon what a Clair's notifier would.
func (c *cluster) post(t *testing.T, s *source, id string, want int) {
	t.Helper()
	body, err := json.Marshal(map[string]string{
		"notification_id": id, "callback": s.URL + "/notifier/api/v1/notification/" + id,
	})
	if err != nil {
		t.Error(err)
		return
	}
	req, err := http.NewRequestWithContext(c.wait(t), http.MethodPost, c.NotifyURL, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != want {
		t.Errorf("the webhook of %s: status %d, want %d: %s (%v)", id, resp.StatusCode, want, text, err)
	}
}
