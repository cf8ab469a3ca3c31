package watcher

import "net/url"

// reportLink is the address of the page about an image; empty without an address of the daemon's pages.
func (w *Watcher) reportLink(digest string) string {
	if w.cfg.ExternalURL == "" || digest == "" {
		return ""
	}
	return w.cfg.ExternalURL + "images/" + url.PathEscape(digest)
}

// vulnerabilityLink is the address of the page that says who has a vulnerability; empty without an address of the daemon's
// pages.
func (w *Watcher) vulnerabilityLink(name string) string {
	if w.cfg.ExternalURL == "" || name == "" {
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
