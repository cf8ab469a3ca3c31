package watcher

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/registry"
)

func TestJudge(t *testing.T) {
	ofClair := func(k clair.Kind) error { return &clair.Error{Op: "x", Kind: k} }
	limited := func(d time.Duration) error { return &registry.RateLimitedError{Registry: "r", RetryAfter: d} }
	tests := []struct {
		name string
		err  error
		want verdict
	}{
		{"Clair loading", ofClair(clair.NotReady), verdict{after: loadingPause}},
		{"Clair away", ofClair(clair.Temporary), verdict{cause: CauseClairUnavailable}},
		{"Clair busy", ofClair(clair.Busy), verdict{after: busyPause}},
		{"not indexed after indexing", ofClair(clair.NotFound), verdict{cause: CauseClairFailed}},
		{"indexing failed", ofClair(clair.IndexFailed), verdict{cause: CauseClairFailed}},
		{"Clair wants a token", ofClair(clair.Unauthorized), verdict{cause: CauseClairUnavailable}},
		{"no key for Clair", ofClair(clair.NoKey), verdict{cause: CauseClairUnavailable}},
		{"no client", fmt.Errorf("%w: %w", errNoClair, errors.New("x")), verdict{cause: CauseClairUnavailable}},
		{"layer", ofClair(clair.LayerUnauthorized), verdict{cause: CauseLayerRefused}},
		{"refused manifest", ofClair(clair.Invalid), verdict{cause: CauseUnsupported, after: recheck, lasting: true, resting: true}},
		{"large report", ofClair(clair.TooLarge), verdict{cause: CauseTooLarge, after: recheck, lasting: true, resting: true}},
		{"rate", limited(0), verdict{cause: CauseRateLimited}},
		{"rate, a minute", limited(time.Minute), verdict{cause: CauseRateLimited, after: time.Minute}},
		{"rate, an hour", limited(time.Hour), verdict{cause: CauseRateLimited, after: time.Hour, lasting: true}},
		{"unauthorized", registry.ErrUnauthorized, verdict{cause: CauseUnauthorized, after: recheck, lasting: true, resting: true}},
		{"pull secret forbidden", unusable(errForbidden), verdict{cause: CausePullSecret, after: recheck, lasting: true, resting: true}},
		{"pull secret too large", unusable(errLarge), verdict{cause: CausePullSecret, after: recheck, lasting: true, resting: true}},
		{"pull secret damaged", unusable(errNoConfig), verdict{cause: CausePullSecret, after: recheck, lasting: true, resting: true}},
		{"pull secret not read", unusable(errForbidden, errors.New("etcd")), verdict{cause: CausePullSecret}},
		{"docker config", registry.ErrCredentials, verdict{cause: CauseCredentials}},
		{"pull secret and docker config", errors.Join(unusable(errForbidden), registry.ErrCredentials), verdict{cause: CauseCredentials}},
		{"password", registry.ErrForward, verdict{cause: CausePasswordOnly, after: recheck, lasting: true, resting: true}},
		{"not found", registry.ErrNotFound, verdict{cause: CauseNotFound, after: recheck, lasting: true, resting: true}},
		{"local", registry.ErrLocalOnly, verdict{cause: CauseNotFound, after: recheck, lasting: true, resting: true}},
		{"denied", registry.ErrDenied, verdict{cause: CauseDenied, after: recheck, lasting: true, resting: true}},
		{"platform", registry.ErrUnknownPlatform, verdict{cause: CauseUnknownPlatform, after: recheck, lasting: true, resting: true}},
		{"large manifest", registry.ErrTooLarge, verdict{cause: CauseTooLarge, after: recheck, lasting: true, resting: true}},
		{"over the limit", errOverLimit, verdict{cause: CauseOverLimit, after: recheck, lasting: true, resting: true}},
		{"artifact", registry.ErrUnsupported, verdict{cause: CauseUnsupported, after: recheck, lasting: true, resting: true}},
		{"malformed", registry.ErrInvalid, verdict{cause: CauseUnsupported, after: recheck, lasting: true, resting: true}},
		{"network", errors.New("connection reset"), verdict{cause: CauseRegistryFailed}},
		{"timeout", context.DeadlineExceeded, verdict{cause: CauseRegistryFailed}},
	}
	reached := make(map[Cause]bool)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := judge(fmt.Errorf("image x: %w", tt.err)); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
		reached[tt.want.cause] = true
	}
	for _, c := range Causes {
		if !reached[c] {
			t.Errorf("no error has the cause %s", c)
		}
		if a := advice[c]; a[0] == "" || a[1] == "" {
			t.Errorf("no advice for %s", c)
		}
		if len(advice[c][0]) > 60 { // a message cuts it
			t.Errorf("the advice for %s is too long: %q", c, advice[c][0])
		}
	}
	if len(advice) != len(Causes) {
		t.Errorf("advice for %d causes, want %d", len(advice), len(Causes))
	}
}

// unusable are image pull secrets that cannot be used, for some reasons.
func unusable(reasons ...error) error {
	failed := new(secretsError)
	for _, err := range reasons {
		failed.unusable = append(failed.unusable, unusableSecret{secretName{"shop", "regcred"}, err})
	}
	return fmt.Errorf("looking up credentials: %w", failed)
}
