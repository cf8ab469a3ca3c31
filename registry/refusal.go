package registry

import "fmt"

// refusal is the error of a manifest that nobody gave us; presented says whether
// there were credentials.
func (p place) refusal(ref string, missing, presented bool) error {
	config := "the daemon's docker config (dockerConfig)"
	if program := p.by.found[p.repo].unhelped; program != "" {
		config += ", which names the credential helper " + program + " that is not in the image of the daemon"
	}
	switch {
	case missing:
		return fmt.Errorf("manifest %s %w at registry %s for repository %s: it was deleted there, or it is hidden from the credentials of %s", ref, ErrNotFound, p.host, p.repo, config)
	case presented:
		return fmt.Errorf("%w at registry %s for repository %s: it refused the credentials of %s; renew them", ErrUnauthorized, p.host, p.repo, config)
	}
	return fmt.Errorf("%w at registry %s for repository %s: add credentials for it to %s", ErrUnauthorized, p.host, p.repo, config)
}
