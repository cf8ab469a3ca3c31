package watcher

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/slack"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

const (
	// every is how far the news of a webhook is apart: far enough for a message each, as long as all is well.
	every = 70 * time.Second
	// pieces is how much news each webhook has.
	pieces = 25
	// before is how much news each webhook takes before its faults begin. A first message is another kind.
	before = 5
	// mended is how long after they began the faults end that do not end by themselves.
	mended = 3 * time.Hour
	// always is how often an answer comes that has to be mended.
	always = math.MaxInt
	// forms are those that a report can be sent in: with a table, with a list, as text, and as a sentence that
	// says that Slack takes none of them.
	forms = 4

	page503 = "<!DOCTYPE html><html><head><title>Server Error | Slack</title></head><body>Server Error</body></html>"
)

// fault is what becomes of the requests to one webhook, from a moment on, and what is to come of that.
type fault struct {
	// name is also that of the namespace that has the webhook.
	name string
	// answers are those to the next requests, one after the other. When they are used up all is well.
	answers []answers
	want    tally
}

// at is the answer to the request after n others; the usual one when there is no other.
func (f fault) at(n int) answers {
	for _, a := range f.answers {
		if n >= 0 && n < a.times {
			return a
		}
		n -= a.times
	}
	return answers{}
}

// answers is one answer to a number of requests.
type answers struct {
	times int
	slackstand.Answer
}

func once(a slackstand.Answer) answers { return answers{1, a} }

// refusal is a number of answers in one word.
func refusal(times, status int, body string) answers {
	return answers{times, slackstand.Answer{Status: status, Body: body}}
}

// limited is a number of answers 429; after is their Retry-After.
func limited(times int, after string) answers {
	return answers{times, slackstand.Answer{
		Status: http.StatusTooManyRequests, RetryAfter: after, ContentType: "application/json",
		Body: `{"ok":false,"error":"rate_limited"}`,
	}}
}

// again is when the first request may follow one that was answered so at a time.
func (a answers) again(at time.Time) time.Time {
	if a.Status != http.StatusTooManyRequests {
		return at.Add(pace)
	}
	if date, err := http.ParseTime(a.RetryAfter); err == nil {
		return date
	}
	if seconds, err := strconv.Atoi(a.RetryAfter); err == nil {
		return at.Add(max(pace, time.Duration(seconds)*time.Second))
	}
	return at.Add(time.Minute)
}

// tally is what a webhook was sent and what it took.
type tally struct {
	requests, accepted int
	// repeated is how many of the accepted messages say what another one had said.
	repeated int
	// summed up is how many images an inventory told together with others.
	summedUp int
	// unsaid is how many messages only said that there is something that Slack refuses.
	unsaid int
	// limited is how many requests came too fast, lost how many images no accepted message tells of.
	limited, lost int
}

func (t tally) plus(o tally) tally {
	return tally{
		t.requests + o.requests, t.accepted + o.accepted, t.repeated + o.repeated, t.summedUp + o.summedUp,
		t.unsaid + o.unsaid, t.limited + o.limited, t.lost + o.lost,
	}
}

// traffic is a rig whose Slack is spoken to by HTTP, with news for one webhook of each fault.
type traffic struct {
	*rig
	stand  *slackstand.Pipe
	faults []fault
	// each is how much news each webhook has had.
	each int
	// stopped is when the Watcher was replaced by another one; zero: it was not.
	stopped time.Time
}

// inTraffic runs a test with traffic in a bubble of virtual time. The faults begin later: see inject. They are
// given the moment at which the test begins.
func inTraffic(t *testing.T, faults func(now time.Time) []fault, test func(*testing.T, *traffic)) {
	t.Helper()
	inRig(t, func(t *testing.T, r *rig) {
		x := &traffic{rig: r, stand: slackstand.ServePipe(slackstand.Config{}), faults: faults(time.Now())}
		defer x.stand.Close()
		defer x.stop()
		r.cfg.Notifiers["slack"] = slack.New(slack.Config{Transport: x.stand.Transport})
		x.settings(x.scanners())
		x.start()
		test(t, x)
	})
}

// scanners are the settings of all namespaces.
func (x *traffic) scanners() map[string]string {
	data := make(map[string]string)
	for _, f := range x.faults {
		data[f.name] = scanner(tokenOf(f.name))
	}
	return data
}

// tokenOf is the secret part of the webhook of a namespace. It looks like one of Slack's.
func tokenOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return strings.NewReplacer("+", "x", "/", "y").Replace(base64.StdEncoding.EncodeToString(sum[:18]))
}

// news has every namespace run some new images, one after the other.
func (x *traffic) news(images int) {
	for range images {
		x.begin()
		x.pass(every)
	}
}

// begin has every namespace run one more image.
func (x *traffic) begin() {
	for i, f := range x.faults {
		// Past the API of the fake, which takes milliseconds for each.
		x.check(x.kube.Tracker().Add(podOf(f.name, fmt.Sprintf("app-%d", x.each), x.image(i, x.each))))
	}
	x.each++
}

// image is the number of an image of a fault. Those of one fault are in order as text too.
func (x *traffic) image(fault, n int) int { return 100*(fault+1) + n }

// inject has the faults begin.
func (x *traffic) inject() {
	for _, f := range x.faults {
		for _, a := range f.answers {
			x.stand.FailNext(slackstand.Path(tokenOf(f.name)), a.times, a.Answer)
		}
	}
}

// finish lets the faults end and everything be told.
func (x *traffic) finish(sinceInjected time.Duration) {
	x.pass(mended - sinceInjected)
	x.stand.Mend("")
	x.pass(2 * mendPause)
}

var (
	named   = regexp.MustCompile(`\bapp([0-9]+):v1\b`)
	single  = regexp.MustCompile(`\bapp([0-9]+):v1 is running`)
	several = regexp.MustCompile(`([0-9]+) (?:new )?images in `)
)

// number reads digits.
func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// count reads what a webhook was sent and told.
func (x *traffic) count(i int) tally {
	f := x.faults[i]
	path := slackstand.Path(tokenOf(f.name))
	counts := x.stand.Counts(path)
	got := tally{requests: counts.Requests, accepted: counts.Accepted, limited: counts.Limited}
	said := make(map[string]bool)
	var order []int // of the images that had a message each
	listed := make(map[int]bool)
	for _, m := range x.stand.Messages(path) {
		var payload struct{ Text string }
		if err := json.Unmarshal(m.Payload, &payload); err != nil {
			x.t.Fatal(err)
		}
		one, many := single.FindStringSubmatch(payload.Text), several.FindStringSubmatch(payload.Text)
		if one == nil && many == nil {
			got.unsaid++
			continue
		}
		what := payload.Text // the same in every form
		if many != nil {
			what = string(m.Payload)
		}
		if said[what] {
			got.repeated++
			continue
		}
		said[what] = true
		if one != nil {
			order = append(order, number(one[1]))
			continue
		}
		got.summedUp += number(many[1])
		for _, name := range named.FindAllStringSubmatch(what, -1) {
			listed[number(name[1])] = true
		}
	}
	if !slices.IsSorted(order) || len(slices.Compact(slices.Clone(order))) != len(order) {
		x.t.Errorf("%s: the images were told in the order %v", f.name, order)
	}
	sent := x.requests(path)
	for i := range len(sent) - 1 {
		// The answers begin after what was taken before.
		a := f.at(i - before)
		if sent[i].Before(x.stopped) && sent[i+1].After(x.stopped) {
			a = answers{} // a Watcher knows nothing of the pauses of the one before
		}
		if next := a.again(sent[i]); sent[i+1].Before(next) {
			x.t.Errorf("%s: a request at %v, %v after the one before, which allows one at %v",
				f.name, sent[i+1], sent[i+1].Sub(sent[i]), next)
		}
	}
	got.lost = x.each - len(order) - got.summedUp - got.unsaid
	for n := range x.each { // what an inventory only counts, the ledger has by name
		d := digest(x.image(i, n))
		if _, told := x.w.book.Record(ledger.Destination{Key: f.name, Name: "default"}, d); !told {
			x.t.Errorf("%s: the ledger has no record of image %d", f.name, n)
		}
		alone := slices.Contains(order, x.image(i, n))
		if alone && listed[x.image(i, n)] {
			x.t.Errorf("%s: image %d was told by itself and in an inventory", f.name, n)
		}
		if !alone && got.summedUp == 0 && !x.warned(fmt.Sprintf("app%d:v1 is running", x.image(i, n))) {
			x.t.Errorf("%s: neither Slack nor the log has image %d", f.name, n)
		}
	}
	return got
}

// requests are when a webhook was sent to.
func (x *traffic) requests(path string) []time.Time {
	var at []time.Time
	for _, m := range x.stand.Messages(path) {
		at = append(at, m.Time)
	}
	for _, r := range x.stand.Refusals(path) {
		at = append(at, r.Time)
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}

// warned says whether the log has a warning with a text.
func (x *traffic) warned(text string) bool {
	for line := range strings.Lines(x.log.String()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// times are when the messages of a webhook were accepted.
func (x *traffic) times(name string) []time.Time {
	var at []time.Time
	for _, m := range x.stand.Messages(slackstand.Path(tokenOf(name))) {
		at = append(at, m.Time)
	}
	return at
}

// wantTallies compares what came of every fault with what should, and logs it.
func (x *traffic) wantTallies() {
	x.t.Helper()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, t tally) {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, t.requests, t.accepted, t.repeated, t.summedUp, t.unsaid, t.limited, t.lost)
	}
	_, _ = fmt.Fprintln(w, "fault\trequests\taccepted\tduplicates\tsummed up\tunsaid\ttoo fast\tlost\t")
	var sum tally
	for i, f := range x.faults {
		got := x.count(i)
		if got != f.want {
			x.t.Errorf("%s: got %+v, want %+v", f.name, got, f.want)
		}
		row(f.name, got)
		sum = sum.plus(got)
	}
	row(fmt.Sprintf("%d images, %d webhooks", x.each*len(x.faults), len(x.faults)), sum)
	_ = w.Flush() // it writes to memory
	x.t.Logf("\n%s", table.String())
	if n := x.stand.Counts(slackstand.Moved).Requests; n != 0 {
		x.t.Errorf("%d redirects were followed", n)
	}
}

// everyFault is a table of what Slack, and what is between it and us, is known to do, with what is to come of 25
// pieces of news. The moment is that at which the test begins.
func everyFault(now time.Time) []fault {
	tries := int((mended-groupWait)/mendPause) + 1 // of a webhook that takes nothing for so long
	rounds := int((mended-groupWait)/(mendPause+(forms-1)*pace)) + 1
	later := tally{requests: before + 2, accepted: before + 2, summedUp: pieces - before - 1} // one message, and an inventory
	begin := now.Add(before*every + groupWait)                                                // when the first requests are sent that meet a fault
	all := tally{requests: pieces, accepted: pieces}
	return []fault{
		{"well", nil, all},
		{"well-too", nil, all},
		{"limited-for-30s", []answers{limited(2, "30")}, all.plus(tally{requests: 2})},
		{"limited-for-0s", []answers{limited(3, "0")}, all.plus(tally{requests: 3})},
		{"limited-until-a-date", []answers{limited(1, begin.Add(time.Minute).UTC().Format(http.TimeFormat))}, all.plus(tally{requests: 1})},
		{"limited-without-a-time", []answers{limited(2, "")}, all.plus(tally{requests: 2})},
		{"status-500", []answers{refusal(3, 500, "rollup_error")}, all.plus(tally{requests: 3})},
		{"status-503", []answers{refusal(4, 503, page503)}, all.plus(tally{requests: 4})},
		{"reset-before", []answers{{3, slackstand.Answer{Reset: true}}}, all.plus(tally{requests: 3})},
		{"reset-after", []answers{{2, slackstand.Answer{AcceptedReset: true}}}, all.plus(tally{requests: 2, accepted: 2, repeated: 2})},
		{"no-answer", []answers{{2, slackstand.Answer{AcceptedSilence: true}}}, all.plus(tally{requests: 2, accepted: 2, repeated: 2})},
		{"not-ok", []answers{refusal(2, 200, page503)}, later.plus(tally{requests: 2})},
		// After one pause fewer images wait, and the others come one by one again.
		{"redirect", []answers{once(slackstand.Answers()["redirect"])}, tally{requests: 14, accepted: 13, summedUp: 13}},
		{"refused-once", []answers{refusal(1, 400, "invalid_blocks")}, all.plus(tally{requests: 1})},
		{"refused-twice", []answers{refusal(2, 400, "invalid_blocks")}, all.plus(tally{requests: 2})},
		// What came up until it was tried again is one inventory.
		{"refused-in-every-form", []answers{refusal(2*(forms-1), 400, "invalid_blocks")}, tally{requests: 13 + 2*(forms-1), accepted: 13, summedUp: 13, unsaid: 1}},
		{"refused-for-hours", []answers{refusal(always, 400, "invalid_blocks")}, later.plus(tally{requests: rounds / 2 * (forms - 1 + forms)})},
		{"status-403-for-hours", []answers{refusal(always, 403, "invalid_token")}, later.plus(tally{requests: tries})},
		{"status-404-then-410", []answers{refusal(4, 404, "no_service"), refusal(always, 410, "channel_is_archived")},
			later.plus(tally{requests: tries})},
		{"several-in-a-row", []answers{
			refusal(1, 500, "rollup_error"), limited(1, "7"), once(slackstand.Answer{Delay: 20 * time.Second}), // longer than we wait
			once(slackstand.Answer{Reset: true}), refusal(1, 400, "invalid_attachments"), once(slackstand.Answer{AcceptedReset: true}),
			{3, slackstand.Answer{Delay: 10 * time.Second}}, // in time
		}, all.plus(tally{requests: 6, accepted: 1, repeated: 1})},
	}
}

// TestDelivery has 20 webhooks take 25 pieces of news each, over HTTP, from a Slack that keeps its documented
// rules and has faults. Nothing is lost, and nothing is told twice but what Slack had taken without saying so.
func TestDelivery(t *testing.T) {
	run := func(x *traffic) (accepted map[string][]time.Time) {
		x.news(before)
		x.inject()
		x.news(pieces - before)
		x.finish((pieces - before) * every)
		accepted = make(map[string][]time.Time)
		for _, f := range x.faults {
			accepted[f.name] = x.times(f.name)
		}
		return accepted
	}
	var well map[string][]time.Time
	t.Run("without faults", func(t *testing.T) {
		inTraffic(t, func(now time.Time) []fault {
			fs := everyFault(now)
			for i := range fs {
				fs[i].answers, fs[i].want = nil, tally{requests: pieces, accepted: pieces}
			}
			return fs
		}, func(t *testing.T, x *traffic) {
			well = run(x)
			x.wantTallies()
		})
	})
	t.Run("with faults", func(t *testing.T) {
		inTraffic(t, everyFault, func(t *testing.T, x *traffic) {
			accepted := run(x)
			x.wantTallies()
			for _, f := range x.faults {
				if f.answers == nil && !slices.Equal(accepted[f.name], well[f.name]) {
					t.Errorf("%s: held up by others: accepted at %v, want %v", f.name, accepted[f.name], well[f.name])
				}
			}
		})
	})
}

// TestDeliveryAcrossAStop ends the Watcher two seconds after all webhooks met a fault, and starts another one.
// What Slack had accepted is not told again, but for what was in flight: that Slack took it was not known.
func TestDeliveryAcrossAStop(t *testing.T) {
	const each, stopped = 12, groupWait + 2*time.Second
	all := tally{requests: each, accepted: each}
	faults := func(time.Time) []fault {
		return []fault{
			{"well", nil, all},
			// The next Watcher does not know of the pause, and learns of it by its first request.
			{"limited-for-3m", []answers{limited(2, "180")}, all.plus(tally{requests: 2})},
			{"status-500", []answers{refusal(3, 500, "rollup_error")}, all.plus(tally{requests: 3})},
			{"reset-before", []answers{{3, slackstand.Answer{Reset: true}}}, all.plus(tally{requests: 3})},
			{"reset-after", []answers{once(slackstand.Answer{AcceptedReset: true})}, all.plus(tally{requests: 1, accepted: 1, repeated: 1})},
			{"no-answer", []answers{once(slackstand.Answer{AcceptedSilence: true})}, all.plus(tally{requests: 1, accepted: 1, repeated: 1})},
			{"slow-answer", []answers{once(slackstand.Answer{Delay: 10 * time.Second})}, all}, // it comes while the stop waits for it
			{"refused-twice", []answers{refusal(2, 400, "invalid_blocks")}, all.plus(tally{requests: 2})},
			// By then all but one message of the others is one inventory.
			{"status-404-for-hours", []answers{refusal(3, 404, "no_service")}, tally{requests: before + 3 + 2, accepted: before + 2, summedUp: each - before - 1}},
		}
	}
	inTraffic(t, faults, func(t *testing.T, x *traffic) {
		x.news(before)
		x.inject()
		x.begin()
		x.pass(stopped)
		x.stopped = time.Now()
		x.restart()
		x.pass(every)
		x.news(each - before - 1)
		x.finish(stopped + (each-before)*every)
		x.wantTallies()
	})
}
