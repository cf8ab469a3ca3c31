package watcher

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
)

// kind is what a piece of news says.
type kind int

const (
	// kindIndexed: Clair has indexed the image; the report is not there yet.
	kindIndexed kind = iota
	// kindReport: the first report of a newly running image.
	kindReport
	// kindDisclosed: findings that nobody knew when the image was last looked at.
	kindDisclosed
	// kindRose: findings whose severity has become a higher one.
	kindRose
	// kindVisible: findings that the destination's rules held back so far.
	kindVisible
	// kindSourced: findings of an updater that Clair did not have before.
	kindSourced
	// kindRenewed: what another Clair, or other scanners, see in an image that is known.
	kindRenewed
	// kindReturned: findings that were withdrawn and are reported again.
	kindReturned
	// kindWithdrawn: findings that were told of and are not reported any more.
	kindWithdrawn
	// kindFailed: the image could not be scanned.
	kindFailed
	// kindRecovered: an image that is known has a report again, after it was told that it could not be scanned.
	kindRecovered
	// kindRemoved: the image runs no longer.
	kindRemoved
)

// news is something that a destination has not been told yet. It holds counts, a few rows and the
// record, never the report.
type news struct {
	kind        kind
	destination ledger.Destination
	subject     subject
	// cause is why, for kindFailed and kindRecovered.
	cause Cause
	// image is what runs; where it runs is looked up when the message is written.
	image image
	// name is the image as its pods name it.
	name string
	// clair is the base address of the Clair that it comes from: what two Clairs say of one image is two
	// pieces of news, also where one channel hears of both.
	clair string
	// summary is of all findings, or of those that the kind is about.
	summary findings.Summary
	// share is what is kept of them for messages about several images; none for kindReport, which says all of it.
	share findings.Share
	// updaters are, for kindSourced, where they come from.
	updaters []string
	// gone are, for kindRenewed, those that were told and are not seen any more.
	gone []findings.Entry
	// loading says that the report is not there because Clair has no data yet, or that it is not complete.
	loading bool
	// jobs says that nothing but Jobs ran the image.
	jobs bool
	// told is what is remembered once Slack has accepted the message.
	told ledger.Told

	added time.Time
	// ripe is set when its turn has come to be sent. What is added later waits for the next turn.
	ripe bool
	// inHand is set from the moment it is sent until it is recorded or Slack has refused it.
	inHand bool
	// overtaken says that something newer came up about the same, or that it is over, while this was in hand.
	overtaken bool
}

// subject is what news can be about: the image with a manifest digest, or one that cannot be scanned or could not be,
// by what its node runs.
type subject struct {
	digest string
	image  ledger.Image // zero with a digest
}

// topic is what one destination can have one piece of news about.
type topic struct {
	destination ledger.Destination
	kind        kind
	subject     subject
}

// topic is what the news is about.
func (n *news) topic() topic { return topic{n.destination, n.kind, n.subject} }

// pending is the news that waits for Slack. It belongs to destinations, so that it follows them when
// their channel changes.
type pending struct {
	mu   sync.Mutex
	news map[ledger.Destination]map[topic]*news
}

func newPending() *pending { return &pending{news: make(map[ledger.Destination]map[topic]*news)} }

// add puts news in, in place of older news about the same. While that is in hand nothing takes its place:
// what is new depends on whether Slack accepts it, and the image is to be looked at again afterwards.
func (p *pending) add(n *news, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.news[n.destination]
	if of == nil {
		of = make(map[topic]*news)
		p.news[n.destination] = of
	}
	t := n.topic()
	n.added = now
	if old := of[t]; old != nil {
		if old.inHand {
			old.overtaken = true
			return
		}
		// It is still the same event: neither its place nor the time it waits starts anew.
		n.added, n.ripe = old.added, old.ripe
	}
	of[t] = n
}

// takeInHand marks news as being sent. It says false, and marks none, when some of it has been replaced or
// withdrawn since it was chosen.
func (p *pending) takeInHand(ns []*news) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range ns {
		if p.news[n.destination][n.topic()] != n {
			return false
		}
	}
	for _, n := range ns {
		n.inHand = true
	}
	return true
}

// putBack has news wait again that Slack has not accepted. It returns what was overtaken meanwhile.
func (p *pending) putBack(ns []*news) (overtaken []*news) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range ns {
		if n.overtaken {
			overtaken = append(overtaken, n)
		}
		n.inHand, n.overtaken = false, false
	}
	return overtaken
}

// remove takes news out. It returns what was overtaken since it was taken in hand.
func (p *pending) remove(ns []*news) (overtaken []*news) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range ns {
		if n.overtaken {
			overtaken = append(overtaken, n)
		}
		p.removeTopic(n.topic(), n)
	}
	return overtaken
}

// withdraw takes out what is no longer true, for example a failure of an image that was scanned since. What is in
// hand stays, because Slack may have it already: the image is to be looked at again afterwards, to tell its end.
func (p *pending) withdraw(t topic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n := p.news[t.destination][t]; {
	case n == nil:
	case n.inHand:
		n.overtaken = true
	default:
		p.removeTopic(t, n)
	}
}

// removeTopic removes n if it is what is waiting. p.mu is held.
func (p *pending) removeTopic(t topic, n *news) {
	of := p.news[t.destination]
	if of[t] != n {
		return
	}
	delete(of, t)
	if len(of) == 0 {
		delete(p.news, t.destination)
	}
}

// drop forgets all news of a destination that is no longer in the settings.
func (p *pending) drop(d ledger.Destination) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.news, d)
}

// holds says whether there is news about something.
func (p *pending) holds(t topic) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.news[t.destination][t] != nil
}

// destinations returns those that have news.
func (p *pending) destinations() []ledger.Destination {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ds []ledger.Destination
	for d := range p.news {
		ds = append(ds, d)
	}
	return ds
}

// has says whether any of the destinations has news.
func (p *pending) has(ds []ledger.Destination) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range ds {
		if len(p.news[d]) > 0 {
			return true
		}
	}
	return false
}

// waiting counts the pieces of news of some destinations.
func (p *pending) waiting(ds []ledger.Destination) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, d := range ds {
		n += len(p.news[d])
	}
	return n
}

// groupTimes are the settings of when a group of news is sent.
type groupTimes struct {
	// wait is how long nothing must have been added; most is how long the first one waits at the most.
	wait, most time.Duration
}

// ripen decides whether it is time to tell what waits for some destinations. It returns what has become
// ripe, in a fixed order, or when to ask again. untried says that images of theirs have not been tried
// yet: then more news is to be expected.
func (p *pending) ripen(ds []ledger.Destination, times groupTimes, untried bool, now time.Time) (ripe []*news, again time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var unripe []*news
	var first, last time.Time
	for _, d := range ds {
		for _, n := range p.news[d] {
			if n.inHand { // by a channel that was this destination's until a moment ago
				continue
			}
			if n.ripe {
				ripe = append(ripe, n)
				continue
			}
			unripe = append(unripe, n)
			if first.IsZero() || n.added.Before(first) {
				first = n.added
			}
			if n.added.After(last) {
				last = n.added
			}
		}
	}
	if len(unripe) > 0 && len(ripe) == 0 {
		quiet, late := last.Add(times.wait).Sub(now), first.Add(times.most).Sub(now)
		switch {
		case late <= 0 || quiet <= 0 && !untried:
			for _, n := range unripe {
				n.ripe = true
			}
			ripe = unripe
		case quiet > 0:
			again = min(quiet, late)
		default: // an image is still untried; its end asks again
			again = late
		}
	}
	slices.SortFunc(ripe, compareNews)
	return ripe, again
}

func compareNews(a, b *news) int {
	return cmp.Or(
		cmp.Compare(a.kind, b.kind),
		a.summary.Counts.Compare(b.summary.Counts),
		cmp.Compare(a.name, b.name),
		cmp.Compare(a.subject.digest, b.subject.digest),
		cmp.Compare(a.subject.image.ID, b.subject.image.ID),
		cmp.Compare(a.subject.image.Platform, b.subject.image.Platform),
		cmp.Compare(a.clair, b.clair),
		cmp.Compare(a.destination.Key, b.destination.Key),
		cmp.Compare(a.destination.Name, b.destination.Name),
	)
}

// about returns the news of a destination about some subjects, in the order of their kinds.
func (p *pending) about(d ledger.Destination, subjects ...subject) []*news {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ns []*news
	for t, n := range p.news[d] {
		if slices.Contains(subjects, t.subject) {
			ns = append(ns, n)
		}
	}
	slices.SortFunc(ns, compareNews)
	return ns
}

// before returns the news of some destinations that was added before a time and is not in hand.
func (p *pending) before(ds []ledger.Destination, t time.Time) []*news {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ns []*news
	for _, d := range ds {
		for _, n := range p.news[d] {
			if n.added.Before(t) && !n.inHand {
				ns = append(ns, n)
			}
		}
	}
	return ns
}

// count counts the pieces of news of all destinations.
func (p *pending) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, of := range p.news {
		n += len(of)
	}
	return n
}

// oldest is since when the piece of news waits that does so for the longest time; zero when none does.
func (p *pending) oldest() (since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, of := range p.news {
		for _, n := range of {
			if since.IsZero() || n.added.Before(since) {
				since = n.added
			}
		}
	}
	return since
}

// byNamespace counts the pieces of news of each namespace that has any.
func (p *pending) byNamespace() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := make(map[string]int)
	for d, of := range p.news {
		counts[d.Key] += len(of)
	}
	return counts
}

// rest has the news of a destination wait anew, but for what is in hand.
func (p *pending) rest(d ledger.Destination, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.news[d] {
		if !n.inHand {
			n.ripe, n.added = false, now
		}
	}
}
