package registry

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// maxAtOnce is how many requests one registry gets at the same time.
	maxAtOnce = 16
	// firstPause and longestPause bound how long a registry is left alone that has
	// said 429 and no time; it doubles in between.
	firstPause   = time.Minute
	longestPause = time.Hour
)

// account is who asks a registry. What one may do no more another still may: limits
// are kept for each, so that no tenant uses up a registry for the others.
type account struct {
	registry string   // lower-case host as in image names
	sum      [32]byte // of the credential
}

// gates stand before the registries: they let so many requests through at once, and
// none that a registry has said it would refuse. Nobody waits at a closed gate, which
// is a [*RateLimitedError], or an [*UnansweredError] where the registry does not answer;
// for one of the sixteen places they do.
type gates struct {
	patience time.Duration // how long a request takes at the most

	mu     sync.Mutex
	rooms  map[string]*room // guarded by mu: registries that are being asked
	gates  map[account]*gate
	silent map[server]*silence // those that have not answered lately
}

// room has the places of one registry.
type room struct {
	places chan struct{}
	users  int // who are in or wait
}

// gate is what a registry has said to one account. It is guarded by gates.mu.
type gate struct {
	all   barrier       // closed by 429
	pause time.Duration // the last one; 0: there was none
	pulls barrier       // closed while only the nodes' share is left; left holds until its time
	known bool          // left is known
	left  int           // how many more pulls may begin
	// under are the requests under way, pulling those of them that are pulls; begun are
	// all pulls ever.
	under, pulling, begun int
	shuts                 int // how often all was closed
}

// barrier is closed for a time. Then one request at a time passes, until the answer
// to one opens it.
type barrier struct {
	closed bool
	until  time.Time // stays when it opens
	trying bool      // a request is under way that will show whether it opens
}

// wait is how long b lets nobody pass, 0 where it does.
func (b barrier) wait(now time.Time, patience time.Duration) time.Duration {
	switch {
	case !b.closed:
		return 0
	case now.Before(b.until):
		return b.until.Sub(now)
	case b.trying:
		return patience
	}
	return 0
}

func newGates(patience time.Duration) *gates {
	return &gates{patience: patience, rooms: make(map[string]*room), gates: make(map[account]*gate), silent: make(map[server]*silence)}
}

// pass is the right to send one request. Whoever has it calls answered where there is
// an answer, and leave in any case.
type pass struct {
	of       *gates
	account  account
	gate     *gate
	room     *room
	kind     kind
	trying   bool     // it shows whether the gate opens
	sounding bool     // it shows how many pulls are left
	testing  *silence // it shows whether the registry answers again; nil: it does not
	before   int      // pulls that were under way when it began
	begun    int      // gate.begun then
	shuts    int      // gate.shuts then
}

// kind is what a request is to the registry's limits.
type kind int

const (
	other    kind = iota // a layer, or how to ask
	exchange             // a token, of another server than the registry
	head                 // asks about a manifest: the answer says how many pulls are left
	pull                 // gets a manifest, which is counted
)

// enter waits for a place at a's registry and returns the right to ask it.
func (g *gates) enter(ctx context.Context, a account, k kind) (*pass, error) {
	g.mu.Lock()
	by := server{a.registry, k == exchange}
	err := g.silent[by].away(by, time.Now(), g.patience)
	g.mu.Unlock()
	if err != nil {
		return nil, err
	}
	r, err := g.seat(ctx, a.registry)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now, quiet := time.Now(), g.silent[by]
	if err := quiet.away(by, now, g.patience); err != nil { // while it waited
		g.vacate(a.registry, r)
		return nil, err
	}
	e := g.at(a)
	wait, kept := e.all.wait(now, g.patience), false
	if w := e.keeps(now, k, g.patience); w > wait {
		wait, kept = w, true
	}
	if wait > 0 {
		g.vacate(a.registry, r)
		return nil, &RateLimitedError{Registry: a.registry, RetryAfter: wait, Kept: kept}
	}
	p := &pass{
		of: g, account: a, gate: e, room: r, kind: k,
		trying: e.all.closed, sounding: k == head && e.pulls.closed,
		before: e.pulling, shuts: e.shuts,
	}
	e.all.trying = e.all.trying || p.trying
	e.pulls.trying = e.pulls.trying || p.sounding
	e.under++
	if k == pull {
		e.pulling++
		e.begun++
		e.left--
	}
	p.begun = e.begun
	if quiet != nil && quiet.line.closed {
		quiet.line.trying, p.testing = true, quiet
	}
	return p, nil
}

// keeps is how long a request of kind k is held back for the nodes' sake.
func (e *gate) keeps(now time.Time, k kind, patience time.Duration) time.Duration {
	switch {
	case k != pull:
		return 0
	case e.pulls.closed: // only the answer to a head opens it
		return cmp.Or(e.pulls.wait(now, patience), patience)
	case e.known && e.left <= 0: // those under way take what there is
		return patience
	}
	return 0
}

// kept is a [*RateLimitedError] while what a has left is kept for the nodes and it is not
// yet time to ask whether there is more.
func (g *gates) kept(a account) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.gates[a]; e != nil {
		if wait := e.pulls.wait(time.Now(), g.patience); wait > 0 {
			return &RateLimitedError{Registry: a.registry, RetryAfter: wait, Kept: true}
		}
	}
	return nil
}

// sounds says whether somebody who is about to pull has to ask first how many pulls
// are left: asking is not counted. That is so when the time of closing has passed, and
// when the last answers left it open because of others that were under way.
func (g *gates) sounds(a account) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.gates[a]
	switch {
	case e == nil:
		return false
	case e.pulls.closed:
		return e.pulls.wait(time.Now(), g.patience) == 0
	}
	return e.known && e.left <= 0 && e.pulling == 0
}

// answered takes in what the registry said. After a 429 it returns the time until the
// next try.
func (p *pass) answered(status int, header http.Header) time.Duration {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	e, now := p.gate, time.Now()
	if !down(status) {
		delete(p.of.silent, p.server())
	}
	switch {
	case status == http.StatusTooManyRequests:
		e.shut(now, retryAfter(header.Get("Retry-After")), p.shuts < e.shuts)
	case p.trying:
		e.all.closed = false
	}
	a, said := readAllowance(header)
	switch {
	case p.kind == other, p.kind == exchange: // of a token server or a store
	case said:
		// Answers do not come in the order in which they were counted: of the pulls that
		// were under way at the same time none may be in this one's count.
		e.known, e.left = true, a.free()-p.before-(e.begun-p.begun)
		if e.pulls.wait(now, 0) == 0 || a.free() > 0 {
			e.pulls.closed, e.pulls.until = a.free() == 0, now.Add(a.pause())
		}
	case status != http.StatusOK || !e.known:
	case !now.Before(e.pulls.until): // it counts no more
		e.known, e.pulls.closed = false, false
	case p.kind == head && e.left <= 0 && e.pulling == 0:
		// What does not say how many there are may be a cache, which answers in between:
		// what is known holds as long as it would have held.
		e.pulls.closed = true
	}
	if status != http.StatusTooManyRequests {
		return 0
	}
	return max(e.all.wait(now, p.of.patience), e.keeps(now, p.kind, p.of.patience))
}

// leave gives up the place.
func (p *pass) leave() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	e := p.gate
	e.under--
	if p.kind == pull {
		e.pulling--
	}
	if p.trying {
		e.all.trying = false
	}
	if p.sounding {
		e.pulls.trying = false
	}
	if p.testing != nil {
		p.testing.line.trying = false
	}
	if e.under == 0 && !e.known && !e.all.closed && !e.pulls.closed && time.Now().After(e.all.until.Add(e.pause)) {
		delete(p.of.gates, p.account)
	}
	p.of.vacate(p.account.registry, p.room)
}

// shut closes the gate after a 429. said is the time that it named, 0 for none; again
// says that it answers what had begun before the gate was last closed, so that it does
// not show that the pause was too short.
func (e *gate) shut(now time.Time, said time.Duration, again bool) {
	pause := said
	switch {
	case said > 0:
	case again:
		return
	case e.pause > 0 && now.Sub(e.all.until) < e.pause: // that was not enough
		pause = min(max(2*e.pause, firstPause), longestPause)
	default:
		pause = firstPause
	}
	until := now.Add(pause)
	if again && !until.After(e.all.until) {
		return
	}
	e.all.closed, e.all.until, e.pause = true, until, pause
	e.shuts++
}

// at returns a's gate. When there are too many it forgets an arbitrary one that nobody
// is beyond: what its registry has said it says again.
func (g *gates) at(a account) *gate {
	if e := g.gates[a]; e != nil {
		return e
	}
	if len(g.gates) >= maxRemembered {
		for k, e := range g.gates {
			if e.under == 0 {
				delete(g.gates, k)
				break
			}
		}
	}
	e := new(gate)
	g.gates[a] = e
	return e
}

var errNoPlace = fmt.Errorf("it was busy with %d requests all the time", maxAtOnce)

// seat waits for one of a registry's places, as long as a request may take.
func (g *gates) seat(ctx context.Context, registry string) (*room, error) {
	g.mu.Lock()
	r := g.rooms[registry]
	if r == nil {
		r = &room{places: make(chan struct{}, maxAtOnce)}
		g.rooms[registry] = r
	}
	r.users++
	g.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, g.patience, errNoPlace)
	defer cancel()
	select {
	case r.places <- struct{}{}:
		return r, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.abandon(registry, r)
	return nil, fmt.Errorf("waiting to ask registry %s: %w", registry, context.Cause(ctx))
}

// vacate frees a place; the caller holds mu.
func (g *gates) vacate(registry string, r *room) {
	<-r.places
	g.abandon(registry, r)
}

func (g *gates) abandon(registry string, r *room) {
	if r.users--; r.users == 0 {
		delete(g.rooms, registry)
	}
}
