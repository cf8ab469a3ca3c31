package watcher

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/clairwatch/clairwatch/clair"
)

// webhookLimit bounds the body of a webhook in bytes. Clair's has about 200.
const webhookLimit = 64 << 10

// longestPath is how much of a path the log shows, in bytes.
const longestPath = 200

// longestHost is the length of the longest name that DNS allows, with a port.
const longestHost = 253 + len(":65535")

const (
	// notifyTime bounds the answer to a webhook. It is less than the HTTP server gives any answer (a minute).
	notifyTime = 40 * time.Second
	// notifyTurn is how much of that a webhook waits for the ones before it.
	notifyTurn = 10 * time.Second
	// hintsPerSecond bounds how often webhooks have Clair asked, beyond the first hintBurst: anybody may be able to send
	// some. Clair delivers one for each updater with newer data. Those beyond are not read.
	hintsPerSecond = 5
	hintBurst      = 50
	// mostWaiting is how many webhooks of one Clair wait for their turn; more are to be delivered again. A replica of Clair
	// delivers one after another.
	mostWaiting = 64
	// deletePause is how long after the answer a notification is deleted: Clair notes the answer first.
	deletePause = 5 * time.Second
	// deleteTime bounds the deleting of one notification.
	deleteTime = 10 * time.Second
	// refusalPause is how often the log says at the most that a webhook was refused: anybody can send one.
	refusalPause = time.Minute
	// wholePause is how often at the most all images of a Clair are looked at because notifications cannot be read.
	wholePause = 10 * time.Minute
	// stuckPatience is how long a notification is asked to be delivered again that cannot be read: Clair delivers none
	// behind it. mostStuck is how many are remembered.
	stuckPatience = time.Hour
	mostStuck     = 64
	// mostDeletions bounds how many wait for it. Clair removes by itself, in two weeks, what is not deleted.
	mostDeletions = 64
)

// Notify returns the handler of Clair's webhook. A notification is a hint which images to look at now;
// what is told comes from their reports. Of its body nothing but the id is used, and only Clairs of the
// settings are asked about it.
//
// For Clair only 200 is success. It repeats every other answer for ever, and one delivery that is refused
// holds up all behind it, so what can never succeed is answered with 200 too
// (quay/clair notifier/webhook/deliverer.go).
func (w *Watcher) Notify() http.Handler {
	in := &webhooks{Watcher: w, refusals: make(map[hint]*rate.Sometimes), inboxes: make(map[string]*inbox)}
	for _, h := range hints {
		in.refusals[h] = &rate.Sometimes{Interval: refusalPause}
	}
	return http.HandlerFunc(in.serve)
}

// webhooks takes those of all Clairs.
type webhooks struct {
	*Watcher
	// refusals bound how often the log has what anybody can send, each outcome for itself.
	refusals map[hint]*rate.Sometimes

	mu      sync.Mutex
	inboxes map[string]*inbox // by base address
}

// inbox is what is kept of one Clair's webhooks between them.
type inbox struct {
	// places are those of the ones that wait for turn, and of the one that has it.
	places chan struct{}
	// turn is held by the one that is read: a hint costs requests to Clair, and anybody may be able to send one. What
	// follows but pace belongs to it.
	turn chan struct{}
	pace *rate.Limiter
	// stuck are the notifications that could not be read, since when.
	stuck map[uuid.UUID]time.Time
	// whole is when all images were looked at last because of one, or will be next.
	whole time.Time
}

func (in *webhooks) inbox(base string) *inbox {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.inboxes[base] == nil {
		in.inboxes[base] = &inbox{
			places: make(chan struct{}, mostWaiting),
			turn:   make(chan struct{}, 1),
			pace:   rate.NewLimiter(in.hintRate, hintBurst),
			stuck:  make(map[uuid.UUID]time.Time),
		}
	}
	return in.inboxes[base]
}

func (in *webhooks) serve(rw http.ResponseWriter, r *http.Request) {
	if err := in.mayCall(r.Header); err != nil { // before a byte of the body is read
		in.refusals[hintUnauthorized].Do(func() { in.log.Warn("refused a webhook: its sender may not call", "error", err) })
		in.metrics.notifications.WithLabelValues(string(hintUnauthorized)).Inc()
		rw.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(rw, "this wants a token, or a signature made with Clair's PSK", http.StatusUnauthorized)
		return
	}
	if !in.leading.Load() {
		// Whoever leads finds newer data by itself, and looks at all reports when it begins. Any other answer would
		// hold up what Clair delivers next.
		in.metrics.notifications.WithLabelValues(string(hintStandby)).Inc()
		_, _ = io.WriteString(rw, "ok\n")
		return
	}
	outcome, read := in.receive(r)
	in.metrics.notifications.WithLabelValues(string(outcome)).Inc()
	if outcome == hintRetry {
		http.Error(rw, "this cannot be read now; deliver again", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(rw, "ok\n")
	if read.clair == nil {
		return
	}
	_ = http.NewResponseController(rw).Flush() // the answer ends with the handler at the latest
	read.due = time.Now().Add(deletePause)
	select {
	case in.read <- read:
	default:
	}
}

// mayCall returns nil when the sender of a request may call.
func (w *Watcher) mayCall(header http.Header) error {
	if w.cfg.Caller == nil {
		return nil
	}
	return w.cfg.Caller(header)
}

// hint is what became of a webhook.
type hint string

const (
	hintQueued     hint = "queued"     // its images are looked at
	hintFresh      hint = "fresh"      // they have been since Clair has the data that it has now
	hintIdle       hint = "idle"       // nothing runs that it is about
	hintIncomplete hint = "incomplete" // it could not be read whole; more images are looked at than it is about
	hintInvalid    hint = "invalid"    // not a webhook of Clair
	hintUnknown    hint = "unknown"    // not from a Clair of the settings
	hintRefused    hint = "refused"    // Clair does not let us read it, and will not the next time
	hintSkipped    hint = "skipped"    // too many come; the probe finds what it is about
	hintStandby    hint = "standby"    // another replica leads
	hintRetry      hint = "retry"      // Clair did not answer; it delivers again

	hintUnauthorized hint = "unauthorized" // its sender may not call
)

var hints = [...]hint{hintQueued, hintFresh, hintIdle, hintIncomplete, hintInvalid, hintUnknown, hintRefused, hintSkipped, hintStandby, hintRetry, hintUnauthorized}

// readNotification is one that is not needed any more. Without a Clair it is none.
type readNotification struct {
	clair Clair
	id    uuid.UUID
	due   time.Time // when it may be deleted
}

// receive reads a webhook and, when it is its turn, what it is about.
func (in *webhooks) receive(r *http.Request) (hint, readNotification) {
	ctx, cancel := context.WithTimeout(r.Context(), notifyTime)
	defer cancel()
	// Before it waits: the server's time for reading a request is running.
	id, callback, err := readWebhook(r.Body)
	if errors.Is(err, errBody) {
		in.log.Debug("could not read a webhook", "error", err)
		return hintRetry, readNotification{}
	}
	if err != nil {
		in.refusals[hintInvalid].Do(func() { in.log.Warn("ignored a webhook that is not Clair's", "error", err) })
		return hintInvalid, readNotification{}
	}
	base := in.clairOf(callback)
	if base == "" {
		in.refusals[hintUnknown].Do(func() {
			in.log.Warn("ignored a webhook: its callback begins with no clairBaseUrl of the settings and none of the callbackAliases; "+
				"mend notifier.webhook.callback in Clair, or add an alias",
				"callback", shown(callback), "known", in.assigned.Load().clairs())
		})
		return hintUnknown, readNotification{}
	}
	c, err := in.clairs.at(base)
	if err != nil {
		in.refusals[hintUnknown].Do(func() { in.log.Warn("ignored a webhook: its Clair cannot be asked", "error", err) })
		return hintUnknown, readNotification{}
	}
	box := in.inbox(base)
	if in.cfg.Refresh > 0 && !box.pace.Allow() {
		// What it is about is found when the data is seen to be newer, or with the next refresh at the latest. To be
		// delivered again it would hold up the others.
		in.refusals[hintSkipped].Do(func() {
			in.log.Warn("ignored a webhook: more come than Clair is asked about; what is new is found some minutes later", "clair", base)
		})
		return hintSkipped, readNotification{}
	}
	select {
	case box.places <- struct{}{}:
		defer func() { <-box.places }()
	default:
		return hintRetry, readNotification{}
	}
	waiting, stop := context.WithTimeout(ctx, notifyTurn)
	defer stop()
	select {
	case box.turn <- struct{}{}:
		defer func() { <-box.turn }()
	case <-waiting.Done():
		return hintRetry, readNotification{}
	}
	if in.cfg.Refresh <= 0 { // it would be missed
		if err := box.pace.Wait(waiting); err != nil {
			return hintRetry, readNotification{}
		}
	}
	outcome := in.notified(ctx, c, base, box, id)
	if outcome == hintRetry || outcome == hintRefused {
		return outcome, readNotification{}
	}
	return outcome, readNotification{clair: c, id: id}
}

// notified asks Clair what a notification is about and queues the images concerned. Clair's turn is held.
func (w *Watcher) notified(ctx context.Context, c *service, base string, box *inbox, id uuid.UUID) hint {
	if c.data.gone.Load() != nil { // it could be asked in vain for as long as it is waited for
		return hintRetry
	}
	digests, err := c.Notified(ctx, id)
	if err != nil {
		outcome := box.judge(id, unread(err), time.Now())
		if outcome != hintIncomplete {
			w.log.Warn("could not read a notification", "clair", base, "outcome", outcome, "error", err)
			return outcome
		}
		w.log.Warn("could not read a notification whole: all images of this Clair are looked at instead", "clair", base, "error", err)
		w.lookAtWhole(box, w.stale(ctx, c, base, w.imagesAt(base)))
		return outcome
	}
	delete(box.stuck, id)
	images := w.imagesOf(base, digests)
	stale := w.stale(ctx, c, base, images)
	for _, img := range stale {
		w.lookAnew(img)
	}
	level := slog.LevelInfo
	if len(images) == 0 { // anybody can make ids up
		level = slog.LevelDebug
	}
	w.log.Log(ctx, level, "notification", "clair", base, "id", id, "manifests", len(digests), "running", len(images), "fresh", len(images)-len(stale))
	switch {
	case len(images) == 0:
		return hintIdle
	case len(stale) == 0:
		return hintFresh
	}
	return hintQueued
}

// judge gives up a notification that could not be read for too long. Its turn is held.
func (b *inbox) judge(id uuid.UUID, outcome hint, now time.Time) hint {
	if outcome != hintRetry {
		delete(b.stuck, id)
		return outcome
	}
	since, stuck := b.stuck[id]
	switch {
	case !stuck:
		if len(b.stuck) >= mostStuck {
			for other := range b.stuck { // any: who makes ids up must not have those forgotten that Clair repeats
				delete(b.stuck, other)
				break
			}
		}
		b.stuck[id] = now
	case now.Sub(since) >= stuckPatience:
		delete(b.stuck, id)
		return hintIncomplete
	}
	return hintRetry
}

// lookAtWhole queues images for a notification that can be about any of them, but not for each: anybody may be able
// to send one. Its turn is held.
func (w *Watcher) lookAtWhole(box *inbox, images []image) {
	now := time.Now()
	switch {
	case box.whole.After(now): // this one is looked at then
	case now.Sub(box.whole) >= wholePause:
		box.whole = now
		w.lookTogether(images)
	default:
		box.whole = box.whole.Add(wholePause)
		for _, img := range images {
			w.images.AddAfter(img, box.whole.Sub(now))
		}
	}
}

// stale returns, in the place of the others, those of some images whose reports are older than the data that a Clair has now. It makes what was
// deleted into notifications again as long as it has no newer data (clair notifier/poller.go).
func (w *Watcher) stale(ctx context.Context, c *service, base string, images []image) []image {
	if len(images) == 0 {
		return nil
	}
	d, err := c.data.readNow(ctx, c, w.cfg.dataTimes())
	if err != nil { // then nobody knows
		return images
	}
	return slices.DeleteFunc(images, func(img image) bool { return w.progress.isRead(img, base, d.edition) })
}

// unread says what becomes of a webhook whose notification could not be read. Only what passes is left to be
// delivered again: Clair delivers nothing else before.
func unread(err error) hint {
	switch {
	case clair.IsKind(err, clair.Unauthorized), clair.IsKind(err, clair.NoKey), clair.IsKind(err, clair.Invalid):
		return hintRefused
	case clair.IsKind(err, clair.Incomplete), clair.IsKind(err, clair.NotFound), clair.IsKind(err, clair.TooLarge),
		errors.Is(err, context.DeadlineExceeded):
		return hintIncomplete
	}
	return hintRetry
}

// deleteRead deletes notifications whose pages are not needed again, until ctx ends. Clair overwrites what
// it is told before it has the answer to its webhook (clair datastore/postgres, set_status.go).
func (w *Watcher) deleteRead(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-w.read:
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(n.due)):
			}
			deleting, cancel := context.WithTimeout(ctx, deleteTime)
			if err := n.clair.DeleteNotification(deleting, n.id); err != nil {
				w.log.Debug("could not delete a notification", "error", err)
			}
			cancel()
		}
	}
}

// errBody says that the body of a webhook did not come whole.
var errBody = errors.New("reading the body")

// readWebhook reads the body that Clair posts. It is errBody that may come whole another time.
func readWebhook(body io.Reader) (uuid.UUID, *url.URL, error) {
	var hook struct {
		ID       string `json:"notification_id"`
		Callback string `json:"callback"`
	}
	text, err := io.ReadAll(io.LimitReader(body, webhookLimit+1))
	if err != nil {
		return uuid.UUID{}, nil, fmt.Errorf("%w: %w", errBody, err)
	}
	if len(text) > webhookLimit {
		return uuid.UUID{}, nil, fmt.Errorf("the body is larger than %d KiB", webhookLimit>>10)
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&hook); err != nil {
		return uuid.UUID{}, nil, errors.New("the body is not JSON with notification_id and callback")
	}
	id, err := uuid.Parse(hook.ID)
	if err != nil || len(hook.ID) != len(id.String()) { // Parse also takes braces and URNs
		return uuid.UUID{}, nil, errors.New("notification_id is not a UUID")
	}
	callback, err := url.Parse(hook.Callback)
	if err != nil || callback.Host == "" || len(callback.Host) > longestHost {
		return uuid.UUID{}, nil, errors.New("callback is not an address")
	}
	return id, callback, nil
}

// shown is a callback for the log: without what can be a secret, and without the id at its end.
func shown(callback *url.URL) string {
	path := callback.Path[:strings.LastIndexByte(callback.Path, '/')+1]
	return (&url.URL{Scheme: callback.Scheme, Host: callback.Host, Path: path[:min(len(path), longestPath)]}).String()
}

// clairOf finds the Clair of the settings that a callback belongs to, by its address or an alias; empty when there is
// none. Nothing else of the callback is used: the address that is asked is that of the settings.
func (w *Watcher) clairOf(callback *url.URL) string {
	var found candidate
	for _, base := range w.assigned.Load().clairs() {
		found = found.or(candidate{base: base, path: fits(callback, base)})
		for _, alias := range w.cfg.CallbackAliases[base] {
			found = found.or(candidate{base: base, path: fits(callback, alias), alias: true})
		}
	}
	return found.base
}

// candidate is a Clair that a callback may belong to. The zero value is none.
type candidate struct {
	base  string
	path  int // how much of the callback's path is the Clair's, in bytes; zero: it does not belong to it
	alias bool
}

// or returns the better one: of several at one host it is that with the longest path, and an address comes before an
// alias.
func (c candidate) or(o candidate) candidate {
	better := o.base < c.base
	switch {
	case o.path != c.path:
		better = o.path > c.path
	case o.alias != c.alias:
		better = c.alias
	}
	if better && o.path > 0 {
		return o
	}
	return c
}

// fits says how much of a callback's path an address is the beginning of, in bytes; zero when it is none.
func fits(callback *url.URL, address string) int {
	u, err := url.Parse(address)
	if err != nil || !strings.EqualFold(u.Scheme, callback.Scheme) || !strings.EqualFold(u.Host, callback.Host) {
		return 0
	}
	path := strings.TrimSuffix(u.Path, "/") + "/"
	if !strings.HasPrefix(strings.TrimSuffix(callback.Path, "/")+"/", path) {
		return 0
	}
	return len(path)
}

// imagesAt finds the running images that a Clair reports on.
func (w *Watcher) imagesAt(base string) []image {
	assigned := w.assigned.Load()
	return w.progress.filter(func(img image) bool {
		return slices.Contains(clairsOf(assigned.of(img.namespace)), base)
	})
}

// imagesOf finds the running images with given manifest digests that a Clair reports on. One whose manifest is not
// known yet may be what its node calls by the digest.
func (w *Watcher) imagesOf(base string, digests []string) []image {
	wanted := make(map[string]bool, len(digests))
	for _, d := range digests {
		wanted[d] = true
	}
	return slices.DeleteFunc(w.imagesAt(base), func(img image) bool {
		return !wanted[cmp.Or(w.book.Manifest(img.inLedger()), img.id)]
	})
}
