package watcher

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/slack"
)

const (
	// pace is the least time between two messages of one channel. Slack takes one a second.
	pace = 1100 * time.Millisecond
	// mendPause is how often a channel is tried that takes nothing until somebody acts.
	mendPause = 15 * time.Minute
	// stale is the age of news from which on it is dropped when its image runs no more and its channel takes
	// nothing: what a dead webhook keeps would grow for ever. A channel that is mended within a day hears all.
	stale = 48 * time.Hour
	// standPause is when a message is tried again for which there was not enough time.
	standPause = time.Second
)

// Notifier delivers a message to a channel. Its errors are *slack.Error. It is the one seam for further notifiers:
// letter.go says what is told, as messages that have a simpler form down to plain text, and the rest of this package
// knows no more of a channel than that it takes a message or does not.
type Notifier interface {
	Send(ctx context.Context, w slack.Webhook, m slack.Message) error
}

var _ Notifier = (*slack.Sender)(nil)

// delivery is how a channel fares.
type delivery struct {
	// notBefore is when the next message may be sent.
	notBefore time.Time
	// simpler counts the steps by which the message that begins with what refused names is to be simplified, because
	// Slack refused it.
	simpler int
	refused topic
	// rounds is how often all forms of it were refused.
	rounds int
	// delivered says that a message was accepted since the daemon leads.
	delivered bool
	// trouble is why the last try failed; nil when it did not. since is when the first of the tries in a row that
	// failed was.
	trouble error
	since   time.Time
	// accepted is what Slack has taken and the ledger has not: it is recorded before anything else is
	// sent, and is not sent again.
	accepted []*news
}

// tell adds news for the channel of its destination.
func (w *Watcher) tell(n *news) {
	w.pending.add(n, time.Now())
	// The settings may have changed since the image was looked at. Whichever comes last, this or assign,
	// sees both the news and the settings.
	channel, ok := w.assigned.Load().channel(n.destination)
	if !ok {
		w.pending.drop(n.destination)
		return
	}
	w.channels.Add(channel)
}

// nudge looks again at the channels that may have waited for an image of a namespace to be tried. Their
// news can be that of other namespaces.
func (w *Watcher) nudge(namespace string) {
	assigned := w.assigned.Load()
	for _, l := range assigned.of(namespace) {
		// Not the other way round: each look comes here, and there can be thousands of namespaces, most of them without news.
		goesThere := func(d ledger.Destination) bool {
			channel, ok := assigned.channel(d)
			return ok && channel == l.channel
		}
		if w.pending.has([]ledger.Destination{l.destination}) || slices.ContainsFunc(w.pending.destinations(), goesThere) {
			w.channels.Add(l.channel)
		}
	}
}

// flush sends the next message of a channel if it is time, and sees to it that the channel is looked at
// again when it has to be. One call sends one message at the most; no call waits.
func (w *Watcher) flush(ctx context.Context, channel slack.Webhook) {
	// Whoever leads next must not tell what this may have told already.
	until, leads := w.lease.sendUntil()
	if !leads || time.Until(until) < w.cfg.Lease.Duration/3 { // it is about to be renewed; what is cut short may be told twice
		w.channels.AddAfter(channel, standPause)
		return
	}
	sending, cancel := context.WithDeadlineCause(ctx, until, errLeaseLost)
	defer cancel()
	at := w.delivery(channel)
	if wait := time.Until(at.notBefore); wait > 0 {
		w.channels.AddAfter(channel, wait)
		return
	}
	if len(at.accepted) > 0 {
		w.record(ctx, channel, at)
		return
	}
	destinations, namespaces := w.at(channel)
	ripe, again := w.pending.ripen(destinations, w.cfg.group(), w.progress.outstanding(namespaces) > 0, time.Now())
	if len(ripe) == 0 {
		if again > 0 {
			w.channels.AddAfter(channel, again)
		}
		return
	}
	if w.dropTold(ripe) {
		w.channels.Add(channel)
		return
	}
	letter := w.write(ripe, namespaces, w.progress.waiting(namespaces))
	if !w.pending.takeInHand(letter.news) {
		w.channels.Add(channel)
		return
	}
	full := letter.message
	if at.refused != letter.news[0].topic() { // something else comes first now
		at.simpler, at.rounds = 0, 0
	}
	for range at.simpler {
		letter.message, _ = letter.message.Simplify()
	}
	notifier := w.cfg.Notifiers[w.assigned.Load().notifier(channel)]
	if notifier == nil { // the settings have changed since
		w.lookAgain(w.pending.putBack(letter.news))
		w.channels.Add(channel)
		return
	}
	if err := notifier.Send(sending, channel, letter.message); err != nil {
		w.refused(ctx, channel, at, letter, err)
		return
	}
	outcome := "ok"
	switch {
	case letter.message.Final():
		outcome = "unsaid"
		w.logUnsaid(channel, letter.kind, full)
	case at.simpler > 0:
		outcome = "simplified"
	}
	if at.trouble != nil {
		w.log.Info("the channel takes messages again", "channel", channel, "since", at.since)
	}
	w.metrics.messages.WithLabelValues(letter.kind, outcome).Inc()
	w.log.Info("told", "channel", channel, "kind", letter.kind, "namespaces", namespacesOf(letter.news), "news", len(letter.news))
	w.record(ctx, channel, delivery{notBefore: time.Now().Add(pace), accepted: letter.news, delivered: true})
}

// dropTold takes out what the ledger has learned since the news was added: the image was looked at while
// a message about it was being recorded. It says whether there was any.
func (w *Watcher) dropTold(ripe []*news) bool {
	var told []*news
	running := sync.OnceValue(w.byManifest) // of interest to removals only, which are seldom
	for _, n := range ripe {
		if w.hasTold(n, running) {
			told = append(told, n)
		}
	}
	w.pending.remove(told)
	w.lookAgain(told)
	return len(told) > 0
}

// hasTold says whether the ledger has all that a piece of news says, or that it is not true any more.
func (w *Watcher) hasTold(n *news, running func() map[string][]image) bool {
	switch n.kind {
	case kindIndexed:
		return n.loading && w.knowsLoading(n.destination, n.subject.digest, n.image)
	case kindFailed:
		f, told := w.book.Failure(n.destination, n.subject.image)
		return told && f.Cause == string(n.cause) || w.sharesFailure(n.destination, n.subject.image, n.cause)
	case kindRecovered:
		f, told := w.book.Failure(n.destination, n.subject.image)
		return !told || f.Cause != string(n.cause)
	case kindRemoved: // it may have come back
		return len(w.podsOf([]*news{n}, running())) > 0 || w.runsElsewhere(n.destination, n.subject.digest, running()[n.subject.digest])
	case kindReport:
		return w.book.Has(n.destination, n.subject.digest) || len(w.sharing(n.destination, n.subject.digest)) > 0
	}
	record, ok := w.book.Record(n.destination, n.subject.digest)
	return ok && record.Covers(n.told.Change)
}

// lookAgain queues the images of news.
func (w *Watcher) lookAgain(ns []*news) {
	for _, n := range ns {
		if n.kind != kindRemoved { // which the next sweep looks at
			w.lookAnew(n.image)
		}
	}
}

// record has the ledger remember what Slack has accepted. Until it has, nothing else is sent to that
// channel.
func (w *Watcher) record(ctx context.Context, channel slack.Webhook, at delivery) {
	if err := w.remember(ctx, at.accepted); err != nil {
		if ctx.Err() != nil { // the process ends; the next one may tell this once more
			return
		}
		w.logTrouble(at, "message accepted but not recorded; it is recorded before the next one", channel, err)
		at.note(err)
		w.postpone(channel, at, w.channelBackoff.When(channel))
		return
	}
	w.lookAgain(w.pending.remove(at.accepted))
	w.annotator.lookAtTold(at.accepted)
	w.channelBackoff.Forget(channel)
	w.setDelivery(channel, delivery{notBefore: at.notBefore, delivered: true})
	w.channels.AddAfter(channel, time.Until(at.notBefore)) // for what else is waiting
}

// remember records news, before anything else is sent to its channel.
func (w *Watcher) remember(ctx context.Context, ns []*news) error {
	if shards := w.note(ns, true); len(shards) > 0 {
		return w.shards.save(ctx, shards)
	}
	return nil
}

// note has the ledger know news as told, whether it was heard or kept from who does not want to hear of it. It returns the
// shards that are to be written for it.
func (w *Watcher) note(ns []*news, heard bool) (shards []int) {
	assigned, now := w.assigned.Load(), time.Now()
	var told []ledger.Told
	for _, n := range ns {
		if n.kind == kindIndexed && !n.loading { // of interest only until the report is there
			continue
		}
		news := n.told
		news.Shared, news.At = heard && assigned.isOfAll(n.destination.Key), now
		told = append(told, news)
		switch n.kind {
		case kindRecovered:
			told = append(told, w.endsOfFailures(n.destination, n.subject.image, n.cause)...)
		case kindReport: // so it could be scanned, under whatever id it runs
			images := w.book.Images(n.subject.digest)
			if i := n.image.inLedger(); !slices.Contains(images, i) {
				images = append(images, i)
			}
			for _, i := range images {
				told = append(told, ledger.Told{Destination: n.destination, Image: i})
				told = append(told, w.endsOfFailures(n.destination, i, "")...)
			}
		}
	}
	if len(told) == 0 {
		return nil
	}
	for _, n := range ns { // before Remember, which says what there is to write
		if n.kind == kindRemoved {
			w.book.SetGone(n.destination, n.subject.digest, now)
		}
	}
	shards = w.book.Remember(told)
	for _, n := range ns { // after it, because there was no record before
		if n.kind == kindReport {
			w.book.SetJobs(n.destination, n.subject.digest, n.jobs)
		}
	}
	return shards
}

// refused decides what comes next for a channel whose message was not accepted.
func (w *Watcher) refused(ctx context.Context, channel slack.Webhook, at delivery, l letter, err error) {
	if ctx.Err() != nil { // the process ends; the news is found again by the next one
		return
	}
	outcome, wait := outcomeOf(slack.Temporary), time.Duration(0)
	var failed *slack.Error
	if errors.As(err, &failed) {
		outcome = outcomeOf(failed.Kind)
		switch failed.Kind {
		case slack.RateLimited, slack.Temporary:
			wait = failed.RetryAfter
			if failed.Guessed { // the next one is longer
				wait = max(wait, w.channelBackoff.When(channel))
			}
		case slack.Channel:
			wait = mendPause
		case slack.Payload:
			w.logRefused(channel, l)
			wait = at.simplify(l)
		}
	}
	if wait <= 0 {
		wait = w.channelBackoff.When(channel)
	}
	w.metrics.messages.WithLabelValues(l.kind, outcome).Inc()
	w.logTrouble(at, "message not accepted; it is kept and tried again", channel, err)
	at.note(err)
	w.lookAgain(w.pending.putBack(l.news))
	w.dropStale(channel)
	w.postpone(channel, at, max(wait, pace))

	assigned := w.assigned.Load()
	for _, n := range l.news { // it may have moved while it was being sent
		if now, ok := assigned.channel(n.destination); ok && now != channel {
			w.channels.Add(now)
		}
	}
}

// outcomeOf is the label of a message that was not accepted.
func outcomeOf(k slack.Kind) string {
	switch k {
	case slack.RateLimited:
		return "rate_limited"
	case slack.Payload:
		return "payload"
	case slack.Channel:
		return "channel"
	default:
		return "temporary"
	}
}

// dropStale drops the old news of a channel in trouble whose images run no more.
func (w *Watcher) dropStale(channel slack.Webhook) {
	destinations, _ := w.at(channel)
	old := w.pending.before(destinations, time.Now().Add(-stale))
	all := w.byManifest()
	old = slices.DeleteFunc(old, func(n *news) bool {
		return n.kind == kindRemoved || len(w.podsOf([]*news{n}, all)) > 0 // a removal is found again
	})
	w.pending.remove(old)
	w.metrics.dropped.Add(float64(len(old)))
}

// simplify decides which form of a message is tried next after one that was refused, and returns when. All are tried a
// second time, later, before the one that does not say anything: it may not have been Slack that refused them.
func (d *delivery) simplify(l letter) time.Duration {
	d.refused = l.news[0].topic()
	next, any := l.message.Simplify()
	switch {
	case !any: // so it is not this message that is wrong
		d.simpler, d.rounds = 0, 0
		return mendPause
	case next.Final() && d.rounds == 0:
		d.simpler, d.rounds = 0, 1
		return mendPause
	default:
		d.simpler++
		return pace
	}
}

// note remembers a failed try.
func (d *delivery) note(err error) {
	if d.trouble == nil {
		d.since = time.Now()
	}
	d.trouble = err
}

// logRefused logs what Slack does not take, for whoever has to find out why: Slack says no more than that.
func (w *Watcher) logRefused(channel slack.Webhook, l letter) {
	payload, err := l.message.JSON()
	if err != nil { // it has just been sent
		return
	}
	w.log.Debug("Slack refuses this form of a message", "channel", channel, "kind", l.kind, "payload", string(payload))
}

// logUnsaid logs what a channel was not told, because Slack refused it in every form.
func (w *Watcher) logUnsaid(channel slack.Webhook, kind string, m slack.Message) {
	payload, err := m.JSON()
	if err != nil { // it was sent a moment ago
		payload = []byte(m.Text())
	}
	w.log.Warn("Slack refuses a message in every form; the channel was told that there is something, and this is it",
		"channel", channel, "kind", kind, "text", m.Text(), "payload", string(payload))
}

// logTrouble warns once, from the first failure to the next success.
func (w *Watcher) logTrouble(at delivery, what string, channel slack.Webhook, err error) {
	if at.trouble != nil {
		w.log.Debug(what, "channel", channel, "error", err)
		return
	}
	w.log.Warn(what, "channel", channel, "error", err)
}

// postpone leaves a channel in trouble alone for a while, whatever is added meanwhile.
func (w *Watcher) postpone(channel slack.Webhook, at delivery, wait time.Duration) {
	at.notBefore = time.Now().Add(wait)
	w.setDelivery(channel, at)
	w.channels.AddAfter(channel, wait)
}

func (w *Watcher) delivery(channel slack.Webhook) delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.deliveries[channel]
}

func (w *Watcher) setDelivery(channel slack.Webhook, d delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deliveries[channel] = d
}
