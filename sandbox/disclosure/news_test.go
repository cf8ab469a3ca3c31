package disclosure

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
)

// begin runs images of both distributions for both Clairs, of which each has the data of one.
func (c *cluster) begin(t *testing.T) {
	c.give(t, c.summary, vulnerability.DebianUpdater, vulnerability.CVSSEnricher)
	c.give(t, c.exact, vulnerability.AlpineUpdater, vulnerability.CVSSEnricher)
	debian, alpine := c.samples[image.ShopWorker], c.samples[image.ShopAPI]
	for _, n := range []struct {
		namespace string
		clair     *source
		image     app
		more      string
	}{
		{summaryDebian, c.summary, debian, ""},
		{corrections, c.summary, debian, tellWithdrawn},
		{summaryAlpine, c.summary, alpine, tellWithdrawn},
		{exactDebian, c.exact, debian, tellWithdrawn},
		{exactAlpine, c.exact, alpine, tellWithdrawn},
	} {
		c.watch(t, n.namespace, n.clair, n.more)
		c.run(t, n.namespace, n.image)
	}
	c.daemon = c.launch(t, stage.Setup{Name: "daemon"}, nil)
	for channel, says := range map[string]string{
		summaryDebian: "is running with", corrections: "is running with", exactAlpine: "is running with",
		summaryAlpine: "was not checked", exactDebian: "was not checked",
	} {
		c.hears(t, channel, says)
	}
}

// newSource gives each Clair the first update of the other updater: what it finds is mostly old, and no news to the
// world. Clair's notifier calls all of Debian's added.
func (c *cluster) newSource(t *testing.T) {
	c.publish(t, c.summary, vulnerability.AlpineUpdater)
	c.publish(t, c.exact, vulnerability.DebianUpdater)
	c.hears(t, summaryAlpine, "Clair has a new source of advisories", vulnerability.AlpineUpdater)
	c.hears(t, exactDebian, "Clair has a new source of advisories", vulnerability.DebianUpdater)
}

// disclosed has something become known about images of both distributions, at each Clair. Of Debian's its notifier
// tells, of Alpine's it does not.
func (c *cluster) disclosed(t *testing.T) {
	hints := c.hinted(t)
	c.publish(t, c.summary, vulnerability.DebianUpdater, openssl2024)
	c.publish(t, c.exact, vulnerability.DebianUpdater, openssl2024)
	for _, channel := range []string{summaryDebian, corrections, exactDebian} {
		c.hears(t, channel, image.ShopWorker, "newly disclosed", openssl2024)
	}
	// Either way may be first; that Clair called, and was listened to, is seen in any case.
	c.awaitHinted(t, hints+2)

	c.publish(t, c.summary, vulnerability.AlpineUpdater, openssl2024, musl2025)
	c.publish(t, c.exact, vulnerability.AlpineUpdater, openssl2024, busybox2025)
	c.hears(t, summaryAlpine, image.ShopAPI, "newly disclosed", openssl2024, musl2025)
	c.hears(t, exactAlpine, image.ShopAPI, "newly disclosed", openssl2024, busybox2025)
}

// twoInOnePoll gives a Clair two updates while its notifier does not look: it compares the newest with the one
// before, and never hears what that one brought. In the world this is an updater that runs twice between two polls;
// both come every six hours by default.
func (c *cluster) twoInOnePoll(t *testing.T) {
	must(t, c.exact.Stop())
	c.publish(t, c.exact, vulnerability.DebianUpdater, openssl2025)
	c.publish(t, c.exact, vulnerability.DebianUpdater, xz2025)
	from := c.now()
	must(t, c.exact.Start(c.wait(t)))
	c.hears(t, exactDebian, image.ShopWorker, "newly disclosed", openssl2025, xz2025)

	// This Clair's notifier lists everything, and the first of the two is nowhere in it.
	said := ""
	c.await(t, "Clair's notifier to tell of the second update", func(context.Context) bool {
		said = ""
		for _, id := range c.notifications(from, c.exact) {
			said += c.page(t, c.exact, id)
		}
		return strings.Contains(said, xz2025)
	})
	if strings.Contains(said, openssl2025) {
		t.Errorf("Clair's notifier was expected to lose %s, and said %s", openssl2025, said)
	}
}

// withdrawn takes an advisory back: who wants to hear of that does, and nobody else.
func (c *cluster) withdrawn(t *testing.T) {
	from := c.now()
	c.withdraw(t, c.summary, vulnerability.DebianUpdater, openssl2024)
	c.hears(t, corrections, "1 vulnerability", image.ShopWorker, "was withdrawn")
	// What summaryDebian hears next is something else.
	c.looked(t, from, c.summary, c.samples[image.ShopWorker], c.samples[image.ShopAPI])
}

// hinted counts the webhooks whose images were looked at, or had been already.
func (c *cluster) hinted(t *testing.T) float64 {
	t.Helper()
	return c.notified(t, c.daemon, "queued") + c.notified(t, c.daemon, "fresh")
}

func (c *cluster) awaitHinted(t *testing.T, least float64) {
	t.Helper()
	c.await(t, fmt.Sprintf("%v webhooks that are queued or fresh", least), func(context.Context) bool {
		return c.hinted(t) >= least
	})
}

// notifications are the ids of those that a daemon has asked a Clair for since a moment, in order.
func (c *cluster) notifications(from int, s *source) []string {
	var ids []string
	for _, e := range c.since(from, s, notificationPath) {
		if e.Method == http.MethodGet && e.Status == http.StatusOK {
			ids = append(ids, notificationPath.ReplaceAllString(e.Path, ""))
		}
	}
	return ids
}

// notification waits until there is one, and returns the last one's id.
func (c *cluster) notification(t *testing.T, from int, s *source) string {
	t.Helper()
	var ids []string
	c.await(t, "a notification to be read", func(context.Context) bool {
		ids = c.notifications(from, s)
		return len(ids) > 0
	})
	return ids[len(ids)-1]
}

// page reads a notification as a client of Clair does.
func (c *cluster) page(t *testing.T, s *source, id string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(c.wait(t), http.MethodGet, s.URL+"/notifier/api/v1/notification/"+id, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("Clair answers %s for the notification %s: %s", resp.Status, id, text)
	}
	return string(text)
}
