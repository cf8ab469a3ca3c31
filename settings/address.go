package settings

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

const wantClair = "want an address such as http://clair.clair:6000/"

// BaseURL checks the address of a Clair, around which white space is ignored, and writes it in one way, so that
// two spellings are one Clair.
func BaseURL(address string) (string, error) {
	if address == "" {
		return "", errors.New("missing: " + wantClair)
	}
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("not an http or https address: " + wantClair)
	case u.User != nil:
		return "", errors.New("user and password are not supported in the address: " + wantClair)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("no query or fragment: " + wantClair)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", errors.New("no such port: " + wantClair)
		}
	}
	u.Host = strings.ToLower(u.Host) // Parse has done so with the scheme
	return strings.TrimRight(u.String(), "/") + "/", nil
}

// webhookLike says whether what belongs elsewhere is a webhook, as when two fields were mixed up: one of Slack's, or
// one that the rules allow. A Clair's address is shown to people, a webhook's must not be.
func (r *reader) webhookLike(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	return strings.HasPrefix(strings.ToLower(u.Hostname()), "hooks.slack") || strings.HasPrefix(u.Path, "/services/T") ||
		r.rules.Webhook != nil && r.rules.Webhook(address) == nil
}
