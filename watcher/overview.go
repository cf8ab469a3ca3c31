package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/slack"
)

// Running is an image that runs under one name, as the pages show it.
type Running struct {
	// Image is what runs. Its digest is that of the platform manifest; empty while it is not known.
	Image slack.Image
	// Namespaces are where it runs, in order.
	Namespaces []string
	// Workloads run it, those with the most pods first; Pods is the number of pods.
	Workloads []slack.Workload
	Pods      int
	// State is how far it has come. Where several namespaces differ it is the first that could not be scanned.
	State State
	// Counts counts what was told of it, without what has a fix.
	Counts findings.Counts
	// Told says that a channel was told of it.
	Told bool
}

// Advice says of an image that could not be scanned or checked why, and what to do; empty for any other.
func (s State) Advice() (what, remedy string) {
	if s == StateNotCovered {
		return "Clair has no data for what is in it", "know that nobody checks it"
	}
	return advice[Cause(s)][0], advice[Cause(s)][1]
}

// Leading says whether this replica tells, and since when.
func (w *Watcher) Leading() (since time.Time, leads bool) {
	if !w.leading.Load() {
		return time.Time{}, false
	}
	return time.Unix(w.leadingSince.Load(), 0), true
}

// Running returns the images that run in the namespaces of the settings, those first that are worst.
func (w *Watcher) Running() []Running {
	type key struct{ name, digest, id, platform string }
	at := make(map[key]*Running)
	pods := make(map[key][]*corev1.Pod)
	for img, state := range w.progress.states() {
		digest := w.book.Manifest(img.inLedger())
		of := w.running(img)
		_, name, _ := identify(of, img)
		k := key{name: name, digest: digest}
		if digest == "" {
			k = key{name: name, id: img.id, platform: img.platform.String()}
		}
		r := at[k]
		if r == nil {
			r = &Running{State: state, Image: slack.Image{Name: name, Digest: digest}}
			if w.nodes.several() {
				r.Image.Platform = img.platform.String()
			}
			at[k] = r
		}
		if r.State == StateScanned || r.State == StateUntried {
			r.State = state
		}
		if !slices.Contains(r.Namespaces, img.namespace) {
			r.Namespaces = append(r.Namespaces, img.namespace)
		}
		pods[k] = append(pods[k], of...)
		for _, l := range w.assigned.Load().of(img.namespace) {
			if record, told := w.book.Record(l.destination, digest); told && digest != "" {
				if c := record.Known(); !r.Told || c.Compare(r.Counts) < 0 {
					r.Counts = c
				}
				r.Told = true
			}
		}
	}
	var all []Running
	for k, r := range at {
		slices.Sort(r.Namespaces)
		of := distinctPods(pods[k])
		r.Workloads, r.Pods = workloads(of), len(of)
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Running) int {
		return cmp.Or(a.Counts.Compare(b.Counts), cmp.Compare(a.Image.Name, b.Image.Name), cmp.Compare(a.Image.Digest, b.Image.Digest))
	})
	return all
}

// distinctPods returns each pod once: one can run an image twice, under two ids.
func distinctPods(pods []*corev1.Pod) []*corev1.Pod {
	seen := make(map[string]*corev1.Pod)
	for _, pod := range pods {
		seen[pod.Namespace+"/"+pod.Name] = pod
	}
	return slices.Collect(maps.Values(seen))
}

// channelState is how a channel fares: a label of a metric.
type channelState string

// channelStateNames are all of them.
var channelStateNames = [...]channelState{channelOK, "temporary", "rate_limited", "payload", "channel", channelUnrecorded}

const (
	channelOK channelState = "ok"
	// channelUnrecorded is that of a channel of which the ledger cannot be written.
	channelUnrecorded channelState = "unrecorded"
)

// ChannelStatus is how a channel of the settings fares.
type ChannelStatus struct {
	Channel slack.Webhook
	// Namespaces are those of which it hears, in order.
	Namespaces []string
	// Waiting is how many pieces of news have not been accepted yet.
	Waiting int
	// Trouble is why the last message was not accepted; nil when it was. Since is when the first was that was
	// not, Next when it is tried again.
	Trouble     error
	Since, Next time.Time

	state channelState
}

// Channels returns the channels of the settings, those in trouble first.
func (w *Watcher) Channels() []ChannelStatus {
	assigned := w.assigned.Load()
	of := make(map[slack.Webhook][]ledger.Destination)
	for d, channel := range assigned.channels {
		of[channel] = append(of[channel], d)
	}
	var all []ChannelStatus
	for channel, ds := range of {
		at := w.delivery(channel)
		status := ChannelStatus{Channel: channel, Waiting: w.pending.waiting(ds), Trouble: at.trouble, state: stateOf(at)}
		if at.trouble != nil {
			status.Since, status.Next = at.since, at.notBefore
		}
		for _, d := range ds {
			for _, ns := range assigned.namespaces(d) {
				if !slices.Contains(status.Namespaces, ns) {
					status.Namespaces = append(status.Namespaces, ns)
				}
			}
		}
		slices.Sort(status.Namespaces)
		all = append(all, status)
	}
	slices.SortFunc(all, func(a, b ChannelStatus) int {
		return cmp.Or(
			-cmp.Compare(boolRank(a.Trouble != nil), boolRank(b.Trouble != nil)),
			cmp.Compare(first(a.Namespaces), first(b.Namespaces)),
			cmp.Compare(a.Channel.String(), b.Channel.String()),
		)
	})
	return all
}

// stateOf says how a channel fares.
func stateOf(d delivery) channelState {
	failed, sent := errors.AsType[*slack.Error](d.trouble)
	switch {
	case d.trouble == nil:
		return channelOK
	case sent:
		return channelState(outcomeOf(failed.Kind))
	default:
		return channelUnrecorded
	}
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// ErrNotRunning is the error for a digest that nothing runs in the namespaces of the settings.
var ErrNotRunning = errors.New("no pod runs it")

// Report fetches what Clair knows of an image that runs, by the digest of its platform manifest. Where several Clairs
// do it is that of the first. It returns ErrNotRunning, or Clair's error.
func (w *Watcher) Report(ctx context.Context, digest string) (findings.Report, error) {
	var bases []string
	for _, img := range w.byManifest()[digest] {
		bases = append(bases, clairsOf(w.assigned.Load().of(img.namespace))...)
	}
	if len(bases) == 0 {
		return findings.Report{}, fmt.Errorf("%s: %w", digest, ErrNotRunning)
	}
	c, err := w.clairs.at(slices.Min(bases))
	if err != nil {
		return findings.Report{}, err
	}
	vr, err := c.Report(ctx, digest)
	if err != nil {
		return findings.Report{}, fmt.Errorf("the report of %s: %w", digest, err)
	}
	return findings.FromClair(vr), nil
}
