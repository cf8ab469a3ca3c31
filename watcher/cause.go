package watcher

import (
	"errors"
	"time"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/registry"
)

// Cause is why an image could not be scanned. The set is closed: causes are labels of metrics and
// headings of messages.
type Cause string

// The causes.
const (
	CauseUnauthorized     Cause = "unauthorized"
	CausePullSecret       Cause = "pull_secret"
	CauseCredentials      Cause = "credentials"
	CausePasswordOnly     Cause = "password_only"
	CauseLayerRefused     Cause = "layer_refused"
	CauseNotFound         Cause = "not_found"
	CauseUnsupported      Cause = "unsupported"
	CauseDenied           Cause = "denied"
	CauseRateLimited      Cause = "rate_limited"
	CauseTooLarge         Cause = "too_large"
	CauseOverLimit        Cause = "over_limit"
	CauseUnknownPlatform  Cause = "unknown_platform"
	CauseRegistryFailed   Cause = "registry_failed"
	CauseClairFailed      Cause = "clair_failed"
	CauseClairUnavailable Cause = "clair_unavailable"
)

// Causes lists them all.
var Causes = [...]Cause{
	CauseUnauthorized, CausePullSecret, CauseCredentials, CausePasswordOnly, CauseLayerRefused, CauseNotFound, CauseUnsupported, CauseDenied,
	CauseRateLimited, CauseTooLarge, CauseOverLimit, CauseUnknownPlatform, CauseRegistryFailed, CauseClairFailed, CauseClairUnavailable,
}

// advice says for each cause, to the team that reads the message, what happened and what to do.
var advice = map[Cause][2]string{
	CauseUnauthorized:     {"the registry refuses access", "check the image pull secret of its pods, or add credentials for it to the docker config of clairwatch; its log says what was presented"},
	CausePullSecret:       {"clairwatch cannot use the image pull secret of its pods", "clairwatch's log says why, and has the command that lets it read one; or add credentials for the registry to its docker config"},
	CauseCredentials:      {"the docker config of clairwatch cannot be used", "mend it; clairwatch goes on trying, and its log says what is wrong"},
	CausePasswordOnly:     {"its registry takes only passwords, which Clair is not given", "set forwardPassword for it under registries in the config of clairwatch, or use a registry with tokens"},
	CauseLayerRefused:     {"the registry refuses Clair a layer", "clairwatch goes on trying; check that Clair reaches the registry as clairwatch does"},
	CauseNotFound:         {"not in the registry", "the tag or digest was deleted, or exists only on the node: push it again, or roll out one that exists"},
	CauseUnsupported:      {"not an image that Clair can read", "Clair reads Linux container images; nothing to do if this one is none"},
	CauseDenied:           {"the registry, or where it leads, may not be asked", "clairwatch's log says what was denied: the lists of registries in its config, or an address that must be listed under registries there"},
	CauseRateLimited:      {"the registry limits the rate of pulls", "clairwatch goes on by itself, and leaves the last tenth to the nodes; credentials in its docker config raise the limit"},
	CauseTooLarge:         {"its manifest or report is too large", "nothing to do but a smaller image"},
	CauseOverLimit:        {"its namespace runs more images than maxImages", "run fewer, or raise maxImages in the config of clairwatch; when others end it is looked at by itself"},
	CauseUnknownPlatform:  {"its node's platform is not known", "the image has several and the node has no labels kubernetes.io/os and kubernetes.io/arch"},
	CauseRegistryFailed:   {"the registry does not answer", "clairwatch goes on trying; check that it can reach the registry"},
	CauseClairFailed:      {"Clair cannot index it", "clairwatch goes on trying; Clair's log says why"},
	CauseClairUnavailable: {"Clair does not answer", "clairwatch goes on trying; check that Clair and its database run, that clairBaseUrl is right, and, where Clair wants signed requests, pskFile and issuer in the config of clairwatch"},
}

// verdict says what to do after a scan. This is the one place that decides about retries: no client
// sleeps or tries again by itself.
type verdict struct {
	// cause is empty when the image is waiting rather than failing: it has not been tried yet.
	cause Cause
	// after is when to try again; zero means after a back-off that grows with each failure.
	after time.Duration
	// lasting failures are told at once; the others when they have lasted for patience tries.
	lasting bool
	// shared failures are those of all images of a Clair: they are told when they last, all of them together.
	shared bool
	// resting says that nothing but a change outside helps, such as another pod's image name.
	resting bool
}

// permanent is the verdict on a failure that stays until somebody mends it.
func permanent(c Cause) verdict {
	return verdict{cause: c, after: recheck, lasting: true, resting: true}
}

const (
	// loadingPause is how often a Clair that is still loading its data is asked again.
	loadingPause = 30 * time.Second
	// busyPause is how often a Clair is asked again that indexes as many images as it may, for others.
	busyPause = 10 * time.Second
	// recheck is when a permanent failure is tried again, in case somebody mended what no event shows:
	// credentials, a tag, the limits of a registry.
	recheck = 6 * time.Hour
	// patience is the number of failures in a row after which a temporary one is told: about two and a
	// half minutes with the queue's back-off. A Clair or a registry that restarts is back before.
	patience = 5
	// longWait is when a registry's own time to wait exceeds all patience.
	longWait = 3 * time.Minute
)

// errNoClair says that there is no client for the Clair that the settings name.
var errNoClair = errors.New("making a client for Clair")

// errOverLimit says that a namespace runs more images than are looked at in one.
var errOverLimit = errors.New("the namespace runs more different images than maxImages")

// judge classifies the error of a scan.
func judge(err error) verdict {
	var limited *registry.RateLimitedError
	var loading loadingError
	var away *awayError
	var secrets *secretsError
	switch {
	case errors.As(err, &away):
		// When it is back its images are looked at; this is in case that is missed.
		return verdict{cause: CauseClairUnavailable, after: lastRetry, shared: true, lasting: away.lasting}
	case errors.As(err, &loading):
		return verdict{after: max(loadingPause, loading.left)}
	case errors.As(err, &limited):
		// Without a time it is left to the back-off. A long one says already that this will last.
		return verdict{cause: CauseRateLimited, after: limited.RetryAfter, lasting: limited.RetryAfter >= longWait}
	case errors.Is(err, errOverLimit):
		return permanent(CauseOverLimit)
	case clair.IsKind(err, clair.NotReady):
		return verdict{after: loadingPause}
	case clair.IsKind(err, clair.Busy):
		return verdict{after: busyPause}
	case clair.IsKind(err, clair.Invalid):
		return permanent(CauseUnsupported)
	case clair.IsKind(err, clair.TooLarge):
		return permanent(CauseTooLarge)
	case clair.IsKind(err, clair.LayerUnauthorized):
		return verdict{cause: CauseLayerRefused}
	case clair.IsKind(err, clair.Temporary), clair.IsKind(err, clair.Unauthorized), clair.IsKind(err, clair.NoKey),
		errors.Is(err, errNoClair):
		return verdict{cause: CauseClairUnavailable}
	case isClair(err):
		return verdict{cause: CauseClairFailed}
	case errors.As(err, &secrets) && !errors.Is(err, registry.ErrCredentials):
		if secrets.lasting() { // the sweep sees when that has changed
			return permanent(CausePullSecret)
		}
		return verdict{cause: CausePullSecret}
	}
	cause := CauseRegistryFailed
	for _, c := range registryCauses {
		if errors.Is(err, c.err) {
			cause = c.cause
			break
		}
	}
	if registry.Permanent(err) {
		return permanent(cause)
	}
	return verdict{cause: cause}
}

var registryCauses = [...]struct {
	err   error
	cause Cause
}{
	{registry.ErrCredentials, CauseCredentials}, // without them a registry says unauthorized, or that there is nothing
	{registry.ErrUnauthorized, CauseUnauthorized},
	{registry.ErrForward, CausePasswordOnly},
	{registry.ErrNotFound, CauseNotFound},
	{registry.ErrLocalOnly, CauseNotFound},
	{registry.ErrDenied, CauseDenied},
	{registry.ErrUnknownPlatform, CauseUnknownPlatform},
	{registry.ErrTooLarge, CauseTooLarge},
	{registry.ErrUnsupported, CauseUnsupported},
	{registry.ErrInvalid, CauseUnsupported},
}

func isClair(err error) bool {
	var e *clair.Error
	return errors.As(err, &e)
}
