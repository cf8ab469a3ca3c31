package registry

import (
	"context"
	"errors"
	"net/http"
)

// Outcome is how a request to a registry or its token server ended, for whoever counts them.
type Outcome string

// The outcomes. Redirects that are followed belong to their request.
const (
	// OutcomeOK is an answer that helps.
	OutcomeOK Outcome = "ok"
	// OutcomeUnauthorized is that of credentials that do not do, and so the first one of each registry that wants any.
	OutcomeUnauthorized Outcome = "unauthorized"
	// OutcomeNotFound says that the registry does not have it, or hides it.
	OutcomeNotFound Outcome = "not_found"
	// OutcomeRateLimited says that the registry wants fewer requests.
	OutcomeRateLimited Outcome = "rate_limited"
	// OutcomeFailed is any other answer, and one that is too large.
	OutcomeFailed Outcome = "failed"
	// OutcomeDenied says that its address, or one that it leads to, may not be contacted.
	OutcomeDenied Outcome = "denied"
	// OutcomeUnanswered says that there was no answer, or not all of it: it cannot be reached, is not trusted, breaks off, or
	// takes too long.
	OutcomeUnanswered Outcome = "unanswered"
	// OutcomeAbandoned says that the caller did not want the answer any more, which says nothing about the registry.
	OutcomeAbandoned Outcome = "abandoned"
)

// Outcomes lists them all.
var Outcomes = [...]Outcome{
	OutcomeOK, OutcomeUnauthorized, OutcomeNotFound, OutcomeRateLimited, OutcomeFailed, OutcomeDenied, OutcomeUnanswered,
	OutcomeAbandoned,
}

// outcomeOf is how a request has ended, by all that came of it: its answer may break off, or be too large. The status is 0
// where there is no answer.
func outcomeOf(ctx context.Context, status int, err error) Outcome {
	switch {
	case errors.Is(err, ErrDenied):
		return OutcomeDenied
	case errors.Is(err, ErrTooLarge):
		return OutcomeFailed
	case status == 0, err != nil && status == http.StatusOK: // not all of the answer
		if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTime) {
			return OutcomeAbandoned
		}
		return OutcomeUnanswered
	case status < http.StatusBadRequest:
		return OutcomeOK
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return OutcomeUnauthorized
	case status == http.StatusNotFound:
		return OutcomeNotFound
	case status == http.StatusTooManyRequests:
		return OutcomeRateLimited
	default:
		return OutcomeFailed
	}
}
