package registry

import (
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
	// OutcomeFailed is any other answer.
	OutcomeFailed Outcome = "failed"
	// OutcomeDenied says that its address, or one that it leads to, may not be contacted.
	OutcomeDenied Outcome = "denied"
	// OutcomeUnanswered says that there was no answer: it cannot be reached, is not trusted, or takes too long.
	OutcomeUnanswered Outcome = "unanswered"
)

// Outcomes lists them all.
var Outcomes = [...]Outcome{
	OutcomeOK, OutcomeUnauthorized, OutcomeNotFound, OutcomeRateLimited, OutcomeFailed, OutcomeDenied, OutcomeUnanswered,
}

// outcomeOf is how a request has ended.
func outcomeOf(resp *http.Response, err error) Outcome {
	switch {
	case errors.Is(err, ErrDenied):
		return OutcomeDenied
	case err != nil:
		return OutcomeUnanswered
	case resp.StatusCode < http.StatusBadRequest:
		return OutcomeOK
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return OutcomeUnauthorized
	case resp.StatusCode == http.StatusNotFound:
		return OutcomeNotFound
	case resp.StatusCode == http.StatusTooManyRequests:
		return OutcomeRateLimited
	default:
		return OutcomeFailed
	}
}
