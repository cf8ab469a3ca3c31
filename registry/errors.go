package registry

import (
	"errors"
	"fmt"
	"time"
)

// The reasons for which an image cannot be resolved or handed on. Every error of
// this package that is none of them (nor a [*RateLimitedError] or an [*UnansweredError]) is a passing
// trouble of network or registry and worth another try. So are [ErrNotPulled] and
// [ErrCredentials].
var (
	// ErrNotPulled says that the runtime has not yet said what it runs: wait for
	// the next status of the pod.
	ErrNotPulled = errors.New("the image is not pulled yet")
	// ErrLocalOnly says that the image exists only on its node.
	ErrLocalOnly = errors.New("the image exists only on its node: push it to a registry that the pod's image names")
	// ErrNotFound says that no registry asked has the image, or hides it.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized says that the registry wants credentials that we lack.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrUnsupported says that this is nothing that Clair can index: an artifact,
	// a Windows image, schema 1, an image without layers, an index that has none
	// for the node.
	ErrUnsupported = errors.New("unsupported image")
	// ErrCredentials says that a docker config is there and cannot be used, or a
	// credential helper that it names. It passes: the file is read again when it has
	// been mended, and a helper run again after a minute.
	ErrCredentials = errors.New("the docker config cannot be used")
	// ErrDenied says that the registry, or where it sent us, is an address that
	// is not to be contacted, or that the settings do not allow.
	ErrDenied = errors.New("address denied")
	// ErrForward says that the registry serves its layers only for a password,
	// which does not go to Clair unless Registry.ForwardPassword is set.
	ErrForward = errors.New("layers need a password that is not handed to Clair")
	// ErrInvalid says that a name, a manifest or an answer breaks its format.
	ErrInvalid = errors.New("invalid")
	// ErrUnknownPlatform says that an index has several images and that the
	// platform of the node is not known.
	ErrUnknownPlatform = errors.New("unknown platform")
	// ErrTooLarge says that an answer went beyond its limit.
	ErrTooLarge = errors.New("too large")
)

// RateLimitedError says that a registry, or its token server, answered 429, or that it
// is not asked because it would.
type RateLimitedError struct {
	Registry   string        // lower-case host as in image names
	RetryAfter time.Duration // until it is asked again, at most a day; 0: not known
	// Kept says that the registry has not refused: what it has left of the account's
	// pulls is kept for the nodes.
	Kept bool
}

// Error names the registry and, where known, the time to wait.
func (e *RateLimitedError) Error() string {
	what := "limits the rate of requests"
	if e.Kept {
		what = "has few pulls left, which are kept for the nodes"
	}
	if e.RetryAfter > 0 {
		what += fmt.Sprintf(", try again in %s", e.RetryAfter.Round(time.Second))
	}
	return fmt.Sprintf("registry %s %s: credentials for it may raise the limit", e.Registry, what)
}

// rateLimited says whether err is a [*RateLimitedError].
func rateLimited(err error) bool {
	_, ok := errors.AsType[*RateLimitedError](err)
	return ok
}

// UnansweredError says that a registry, or its token server, has left several requests in
// a row without an answer and is left alone for a moment. It passes.
type UnansweredError struct {
	Registry    string        // lower-case host as in image names
	TokenServer bool          // it is the token server that does not answer
	RetryAfter  time.Duration // until it is asked again, a minute at most
	Err         error         // of the last request
}

// Error names the registry, the time to wait and what was wrong at last.
func (e *UnansweredError) Error() string {
	who := "registry " + e.Registry
	if e.TokenServer {
		who = "the token server of " + who
	}
	return fmt.Sprintf("%s does not answer, it is tried again in %s: %v", who, e.RetryAfter.Round(time.Second), e.Err)
}

// Unwrap is what was wrong at last.
func (e *UnansweredError) Unwrap() error { return e.Err }

// leftAlone says whether err is an [*UnansweredError].
func leftAlone(err error) bool {
	_, ok := errors.AsType[*UnansweredError](err)
	return ok
}

// Permanent says whether err stays until imageID, credentials, settings or the
// registry's content change, so that a retry within minutes is of no use. It is
// false for nil, for [ErrNotPulled] and [ErrCredentials], and for whatever passes by
// itself.
func Permanent(err error) bool {
	for _, e := range []error{
		ErrLocalOnly, ErrNotFound, ErrUnauthorized, ErrUnsupported, ErrDenied,
		ErrForward, ErrInvalid, ErrUnknownPlatform, ErrTooLarge,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
