package watcher

import (
	"net/url"
	"strings"

	"github.com/clairwatch/clairwatch/findings"
)

// reportLink is the address of the page about an image; empty without an address of the daemon's pages.
func (w *Watcher) reportLink(digest string) string {
	if w.cfg.ExternalURL == "" || digest == "" {
		return ""
	}
	return w.cfg.ExternalURL + "images/" + url.PathEscape(digest)
}

// longestLinked is how long the name of a vulnerability may be that has a page.
const longestLinked = 200

// vulnerabilityLink is the address of the page that says who has a vulnerability; empty without an address of the daemon's
// pages, and for a name that no path can have.
func (w *Watcher) vulnerabilityLink(f findings.Finding) string {
	name := f.BareName()
	if w.cfg.ExternalURL == "" || strings.Trim(name, ".") == "" || len(name) > longestLinked {
		return ""
	}
	return w.cfg.ExternalURL + "vulnerabilities/" + url.PathEscape(name)
}

// allLink is the address of the page that lists the images of some namespaces: those of one, or all.
func (w *Watcher) allLink(namespaces []string) string {
	if w.cfg.ExternalURL == "" || len(namespaces) != 1 {
		return w.cfg.ExternalURL
	}
	return w.cfg.ExternalURL + "?" + url.Values{"namespace": namespaces}.Encode()
}
