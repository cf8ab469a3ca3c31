package watcher

import "net/url"

// reportLink is the address of the page about an image; empty without an address of the daemon's pages.
func (w *Watcher) reportLink(digest string) string {
	if w.cfg.ExternalURL == "" || digest == "" {
		return ""
	}
	return w.cfg.ExternalURL + "images/" + url.PathEscape(digest)
}

// allLink is the address of the page that lists all images.
func (w *Watcher) allLink() string { return w.cfg.ExternalURL }
