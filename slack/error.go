package slack

import (
	"fmt"
	"time"
)

// Kind says what a failed delivery means for what comes next.
type Kind int

const (
	// Temporary: try again later. The message may have arrived: Slack can accept it and its answer get
	// lost.
	Temporary Kind = iota + 1
	// RateLimited: send nothing at all to this webhook before RetryAfter has passed.
	RateLimited
	// Payload: Slack will never take this form of the message. Simplify it.
	Payload
	// Channel: this webhook takes nothing until someone acts. Keep what waits and try rarely: people
	// mend webhooks.
	Channel
)

// String names the kind for metrics and logs.
func (k Kind) String() string {
	switch k {
	case Temporary:
		return "temporary"
	case RateLimited:
		return "rate-limited"
	case Payload:
		return "payload"
	case Channel:
		return "channel"
	default:
		return "unknown"
	}
}

// Error is a failed delivery. It holds nothing secret and nothing that the other side wrote.
type Error struct {
	// Kind says what to do.
	Kind Kind
	// Webhook is where the message was to go.
	Webhook Webhook
	// Status is the HTTP status of the answer; zero when there was none.
	Status int
	// Reason is a word of a closed set, fit for a metric's label: one that Slack uses, such as
	// no_service, or one of ours, such as timeout (see reason.go).
	Reason Reason
	// RetryAfter is how long to wait. It is at least a second when Kind is RateLimited; otherwise zero
	// unless the answer asked for it.
	RetryAfter time.Duration
	// Guessed says that RetryAfter is a guess, because the answer did not say: a caller that gets several in a row
	// waits for longer each time.
	Guessed bool

	// stopped is why the caller ended the sending; nil when it did not.
	stopped error
}

// Error says what happened and what to do.
func (e *Error) Error() string {
	s := fmt.Sprintf("sending to %s: %s", e.Webhook, e.Reason.meaning())
	if e.Status != 0 {
		s += fmt.Sprintf(" (status %d, %s)", e.Status, e.Reason)
	}
	if e.RetryAfter > 0 {
		s += fmt.Sprintf("; next try in %s at the earliest", e.RetryAfter)
	}
	return s
}

// Unwrap returns why the caller ended the sending, so that errors.Is finds context.Canceled; nil when
// it did not end it.
func (e *Error) Unwrap() error { return e.stopped }
