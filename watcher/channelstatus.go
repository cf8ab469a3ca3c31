package watcher

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/clairwatch/clairwatch/slack"
)

// channelState is how a channel fares: a label of a metric.
type channelState string

// channelStateNames are all of them.
var channelStateNames = [...]channelState{channelOK, channelUntried, "temporary", "rate_limited", "payload", "channel", channelUnrecorded}

const (
	channelOK channelState = "ok"
	// channelUntried is that of a channel to which nothing was sent since the daemon leads.
	channelUntried channelState = "untried"
	// channelUnrecorded is that of a channel of which the ledger cannot be written.
	channelUnrecorded channelState = "unrecorded"
)

// errUnrecorded is what people are told of a channel of which the ledger cannot be written.
var errUnrecorded = errors.New("it takes messages, but what it was told cannot be written to the ledger: the log says why")

// ChannelStatus is how a channel of the settings fares.
type ChannelStatus struct {
	Channel slack.Webhook
	// Namespaces are those of which it hears, in order.
	Namespaces []string
	// Waiting is how many pieces of news have not been accepted yet.
	Waiting int
	// Untried says that nothing was sent to it since the daemon leads, so that nobody knows whether it takes
	// messages.
	Untried bool
	// Trouble is why the last message was not accepted, and what to do; nil when it was. Since is when the first was
	// that was not, Next when it is tried again.
	Trouble     error
	Since, Next time.Time
}

// Channels returns the channels of the settings, those in trouble first.
func (w *Watcher) Channels() []ChannelStatus {
	assigned := w.assigned.Load()
	audiences := assigned.audiences(w.inhabited())
	var all []ChannelStatus
	for channel := range assigned.webhooks() {
		at := w.delivery(channel)
		status := ChannelStatus{Channel: channel}
		if hears := audiences[channel]; hears != nil {
			status.Waiting, status.Namespaces = w.pending.waiting(hears.destinations), hears.namespaces
		}
		state := stateOf(at)
		status.Untried = state == channelUntried
		if at.trouble != nil {
			status.Trouble, status.Since, status.Next = at.trouble, at.since, at.notBefore
		}
		if state == channelUnrecorded { // in words that are no API server's
			status.Trouble = errUnrecorded
		}
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
	case d.trouble == nil && !d.delivered:
		return channelUntried
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
