package disclosure

import (
	"context"
	"net/http"
	"regexp"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
)

// deleted has somebody delete from Clair what runs, before something becomes known about it: Clair's notifier knows
// nothing of the image any more, and has no report. It is indexed again, and what is told is the news alone.
func (c *cluster) deleted(t *testing.T) {
	must(t, c.summary.Delete(c.wait(t), c.samples[image.ShopWorker].digest))
	c.publish(t, c.summary, vulnerability.DebianUpdater, xz2025)
	for _, channel := range []string{summaryDebian, corrections} {
		c.hears(t, channel, image.ShopWorker, "1 newly disclosed", xz2025)
	}
}

// emptied takes a Clair's data away while it runs, and gives it back one updater after the other. In between its
// reports hold nothing, and then, as after a restart, there are none (202). Nobody hears of any of that.
func (c *cluster) emptied(t *testing.T) {
	running := []app{c.samples[image.ShopWorker], c.samples[image.ShopAPI]}
	// look has all of its images looked at, without that anything is told for another reason.
	look := func(minSeverity string) {
		t.Helper()
		from := c.now()
		for _, namespace := range []string{exactDebian, exactAlpine} {
			c.watch(t, namespace, c.exact, tellWithdrawn+"minSeverity: "+minSeverity+"\n")
		}
		c.looked(t, from, c.exact, running...)
	}
	must(t, c.exact.Empty(c.wait(t)))
	look("Negligible")
	must(t, c.exact.Restart(c.wait(t)))
	look("Unknown")
	for _, updater := range []string{vulnerability.AlpineUpdater, vulnerability.DebianUpdater, vulnerability.CVSSEnricher} {
		from := c.now()
		c.give(t, c.exact, updater)
		c.looked(t, from, c.exact, running...)
	}
	// What these channels hear next is something else.
}

// postgresAway stops the database of both Clairs, and starts it again. What has begun to run meanwhile waits, and
// what becomes known afterwards is told.
func (c *cluster) postgresAway(t *testing.T) {
	database := c.Process(sandbox.Postgres)
	known := c.notification(t, 0, c.exact)
	before := c.answers(t)
	must(t, database.Stop())
	for _, s := range []*source{c.summary, c.exact} {
		c.awaitAnswers(t, s, before[s].plus(1, 0))
	}
	// Images are looked at while Clair cannot say anything right: one that is new, and one whose Scanner has changed.
	c.watch(t, newcomers, c.summary, tellWithdrawn)
	c.run(t, newcomers, c.samples[image.PlatformGate])
	c.watch(t, exactDebian, c.exact, tellWithdrawn+"minSeverity: Negligible\n")
	c.post(t, c.exact, known, http.StatusServiceUnavailable) // Clair keeps it, and calls again

	must(t, database.Start(c.wait(t)))
	for _, s := range []*source{c.summary, c.exact} {
		c.awaitAnswers(t, s, before[s].plus(1, 1))
	}
	c.hears(t, newcomers, image.PlatformGate, "is running with")
	c.publish(t, c.summary, vulnerability.DebianUpdater, krb2024)
	c.publish(t, c.exact, vulnerability.DebianUpdater, krb2024)
	for _, channel := range []string{summaryDebian, corrections, exactDebian} {
		c.hears(t, channel, image.ShopWorker, "1 newly disclosed", krb2024)
	}
}

// frozen has a Clair hang, while newer data comes into its database.
func (c *cluster) frozen(t *testing.T) {
	before := c.answers(t)
	must(t, c.summary.Pause())
	c.publish(t, c.summary, vulnerability.DebianUpdater, openssl2025)
	c.awaitAnswers(t, c.summary, before[c.summary].plus(1, 0))
	must(t, c.summary.Resume())
	for _, channel := range []string{summaryDebian, corrections} {
		c.hears(t, channel, image.ShopWorker, "1 newly disclosed", openssl2025)
	}
	c.hears(t, newcomers, image.PlatformGate, "1 newly disclosed", openssl2025)
	c.awaitAnswers(t, c.summary, before[c.summary].plus(1, 1))
	if after := c.answers(t); after[c.exact] != before[c.exact] {
		t.Errorf("while another Clair hung, the log says of %s %+v, and before %+v", c.exact.Name(), after[c.exact], before[c.exact])
	}
}

// answered counts what the daemon's log says about a Clair.
type answered struct{ not, again int }

func (a answered) plus(not, again int) answered { return answered{a.not + not, a.again + again} }

// answers counts, for both Clairs, how often the log says that they do not answer and that they do again.
func (c *cluster) answers(t *testing.T) map[*source]answered {
	t.Helper()
	log, err := c.daemon.Log()
	must(t, err)
	found := make(map[*source]answered)
	for _, s := range []*source{c.summary, c.exact} {
		count := func(line string) int {
			return len(regexp.MustCompile(line+`.* clair=`+regexp.QuoteMeta(s.address)+`\b`).FindAllString(log, -1))
		}
		found[s] = answered{
			not:   count(`level=WARN msg="this Clair does not answer, or refuses; its images wait"`),
			again: count(`level=INFO msg="this Clair answers again"`),
		}
	}
	return found
}

// awaitAnswers waits until the log says as much about a Clair, and checks that it does not say more.
func (c *cluster) awaitAnswers(t *testing.T, s *source, want answered) {
	t.Helper()
	c.await(t, "the log to say whether "+s.Name()+" answers", func(context.Context) bool {
		got := c.answers(t)[s]
		return got.not >= want.not && got.again >= want.again
	})
	if got := c.answers(t)[s]; got != want {
		t.Errorf("the log says of %s %+v, want %+v", s.Name(), got, want)
	}
}
