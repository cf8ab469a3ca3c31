package clair

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"
)

// Kind classifies what went wrong by what helps.
type Kind int

const (
	// Temporary is trouble that passes by itself: Clair or its database is away, or the answer is
	// broken. Trying later is right.
	Temporary Kind = iota
	// NotFound means that Clair has no finished index of the manifest: index it. For all that is not about
	// one manifest it means that nothing there serves it.
	NotFound
	// NotReady means that Clair has not loaded any vulnerability data: its reports would be empty.
	NotReady
	// Busy means that Clair indexes as many images as it may.
	Busy
	// LayerUnauthorized means that the registry refused Clair a layer: credentials have expired, or do
	// not suffice. New ones may help.
	LayerUnauthorized
	// IndexFailed means that Clair could not index the image. Clair starts anew at every request, and
	// its answer does not tell what passes from what stays.
	IndexFailed
	// Invalid means that Clair refuses this manifest; asking again gives the same answer.
	Invalid
	// Unauthorized means that Clair, or what is before it, wants a token that it did not get, or another one.
	Unauthorized
	// TooLarge means that the report is larger than clairwatch reads.
	TooLarge
	// Incomplete means that a notification could not be read to its end.
	Incomplete
	// NoKey means that nothing was asked: the key that signs requests to this Clair cannot be read.
	NoKey
)

// kindTexts says for each Kind what a user should know and do.
var kindTexts = map[Kind]string{
	Temporary:         "Clair cannot be reached or answers with an error; check that it and its database run",
	NotFound:          "Clair does not have it",
	NotReady:          "Clair has not loaded its vulnerability data yet",
	Busy:              "Clair is busy indexing other images",
	LayerUnauthorized: "the registry refuses Clair a layer of the image; check that Clair reaches the registry and that the credentials may pull",
	IndexFailed:       "Clair cannot index the image; its log says why",
	Invalid:           "Clair refuses the image as it is",
	Unauthorized:      "Clair refuses the request; set clairs[].pskFile and clairs[].issuer by its auth.psk, and check that its clock and ours agree",
	TooLarge:          fmt.Sprintf("the report is larger than %d MiB", reportLimit>>20),
	Incomplete:        "Clair takes too long, or too many pages, to say what the notification is about",
	NoKey:             "the request cannot be signed and was not sent; mend the file of clairs[].pskFile",
}

// Error says how a call to Clair ended. Its text holds nothing that Clair wrote: Clair's own words can
// quote addresses with signatures, and 256 bytes of what a registry answered. They are in Detail.
type Error struct {
	// Op says what was being done.
	Op string
	// Kind says what helps.
	Kind Kind
	// Status is the HTTP status; zero when there was no whole answer.
	Status int

	detail string
	cause  error // our own; nil when Clair or the network is to blame
}

func (e *Error) Error() string {
	text := e.Op + ": " + kindTexts[e.Kind]
	if e.Status != 0 {
		text += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns what on our side is to blame; nil for all but Kind NoKey.
func (e *Error) Unwrap() error { return e.cause }

// Detail is what Clair or the network said, for the debug log alone.
func (e *Error) Detail() string { return e.detail }

// IsKind says whether err is, or wraps, an *Error of that Kind.
func IsKind(err error, k Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}

// layerRefused finds, in the text of a failed index, that a registry refused a layer. There is nothing
// but the text to tell (claircore libindex/fetcher.go: "unexpected status code: 401 Unauthorized").
var layerRefused = regexp.MustCompile(`unexpected status code: (401|403)\b`)

// What is being done, as errors say it. It decides what a status means.
const (
	opIndex  = "indexing the image"
	opReport = "fetching the vulnerability report"

	opNotified = "reading a notification"
	opState    = "asking for the indexer's state"
	opUpdates  = "listing the updates of Clair's data"
	opDelete   = "deleting index reports"
)

// statusError makes sense of an answer that was not the wanted one. See the handlers in Clair's
// httptransport/indexer_v1.go and matcher_v1.go for what each status means. What is not listed may pass,
// for example 412: it answers a condition that is never sent, so something between here and Clair added
// one.
func statusError(call call, resp *http.Response, body []byte) error {
	e := &Error{Op: call.op, Status: resp.StatusCode, detail: string(body)}
	indexing, reporting, notified := call.op == opIndex, call.op == opReport, call.op == opNotified
	optional := call.op == opState || call.op == opUpdates || call.op == opDelete
	switch resp.StatusCode {
	case http.StatusAccepted:
		if reporting {
			e.Kind = NotReady
		}
	case http.StatusNotFound:
		// Indexing answers 404 only where there is no Clair at that address. An id that Clair does not know is
		// an empty page and no 404: that comes where there is an indexer and a matcher without a notifier.
		if reporting || notified || optional {
			e.Kind = NotFound
		}
	case http.StatusMethodNotAllowed:
		// Clair allows each of these; what does not is a gateway that hides them.
		if optional {
			e.Kind = NotFound
		}
	case http.StatusTooManyRequests:
		e.Kind = Busy
	case http.StatusBadRequest:
		// Whatever else listens at that address, such as an https port spoken to in http, answers 400
		// too, and says nothing about the image.
		if (indexing || reporting) && code(body) == "bad-request" {
			e.Kind = Invalid
		}
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Kind = Unauthorized
	case http.StatusInternalServerError:
		if indexing {
			e.Kind = IndexFailed
			if layerRefused.Match(body) {
				e.Kind = LayerUnauthorized
			}
		}
	}
	if notified && e.Kind == Temporary && refuses(resp.StatusCode) {
		e.Kind = NotFound
	}
	return e
}

// refuses says that a status is the same the next time. Clair delivers a notification until it was read, and no other
// meanwhile, so what does not let us read it must not look like trouble that passes.
func refuses(status int) bool {
	return status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooEarly
}

// code is that of Clair's error bodies (httptransport/error.go); empty where the body is none.
func code(body []byte) string {
	var e struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	return e.Code
}

// timeoutError is the cause with which a call's own time ends, to tell it from its caller's.
type timeoutError time.Duration

func (e timeoutError) Error() string { return fmt.Sprintf("no answer within %s", time.Duration(e)) }

func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, timeoutError(d))
}

// ended is the error of a call whose caller gave up: it wraps the cause.
func ended(ctx context.Context, op string) error {
	return fmt.Errorf("%s: %w", op, context.Cause(ctx))
}

// transportError makes an error of a request without a whole answer. Go's text repeats the address, which
// is the setting's and may hold a password.
func transportError(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		var own timeoutError
		if !errors.As(context.Cause(ctx), &own) {
			return ended(ctx, op)
		}
		err = own
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &Error{Op: op, Kind: Temporary, detail: err.Error()}
}
