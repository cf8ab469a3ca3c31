package registry

import (
	"fmt"
	"time"
)

// refusedFor is how long nothing is asked again that was refused: an image runs in many
// namespaces, often with the same credentials, and each of them would ask.
const refusedFor = 10 * time.Minute

// question is what was refused. The credential belongs to it, so that another one, as of
// a Secret that was mended, is presented at once.
type question struct {
	presentation
	what string
}

// manifestOf is the question for a manifest, with what the registry wants of cr.
func manifestOf(p place, cr Credential, ref string) question {
	return question{presentation{p.key(), cr.sum()}, ref}
}

// bareManifestOf is the one that comes without any credentials, whatever the registry
// wants.
func bareManifestOf(p place, ref string) question {
	return question{presentation{p.key(), Credential{}.sum()}, "bare " + ref}
}

// tokenOf is the one to a token server. When there is another it is asked at once.
func tokenOf(p place, cr Credential, ch challenge) question {
	return question{presentation{p.key(), cr.sum()}, "token " + ch.service + " " + ch.realm}
}

// rootOf is the one how the registry wants to be spoken to.
func rootOf(p place) question {
	return question{presentation: presentation{p.root(), Credential{}.sum()}}
}

// refused is an answer that gave nothing.
type refused struct {
	status int
	until  time.Time // it is good for
}

// remember keeps q from being asked for a while.
func (c *Client) remember(q question, status int) {
	c.refused.put(q, refused{status, time.Now().Add(refusedFor)})
}

// remembered is the status that q was answered with, if that is not long ago.
func (c *Client) remembered(q question) (status int, ok bool) {
	r, ok := c.refused.get(q)
	return r.status, ok && time.Now().Before(r.until)
}

// refusal is the error of what nobody gave us, such as "manifest x"; presented says
// whether there were credentials.
func (p place) refusal(what string, missing, presented bool) error {
	config := "the daemon's docker config (dockerConfig)"
	if program := p.by.found[p.repo].unhelped; program != "" {
		config += ", which names the credential helper " + program + " that is not in the image of the daemon"
	}
	switch {
	case missing:
		return fmt.Errorf("%s %w at registry %s for repository %s: push it again if it was deleted there, or add credentials that may see it to the image pull secrets of the pod or to %s", what, ErrNotFound, p.host, p.repo, config)
	case presented:
		return fmt.Errorf("%w at registry %s for repository %s: it refused the credentials of the pod's image pull secrets and of %s; renew them", ErrUnauthorized, p.host, p.repo, config)
	}
	return fmt.Errorf("%w at registry %s for repository %s: add an image pull secret to the pod, or credentials for it to %s", ErrUnauthorized, p.host, p.repo, config)
}
