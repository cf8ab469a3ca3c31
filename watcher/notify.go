package watcher

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/clairwatch/clairwatch/clair"
)

// webhookLimit bounds the body of a webhook in bytes. Clair's has about 200.
const webhookLimit = 64 << 10

// longestHost is the length of the longest name that DNS allows, with a port.
const longestHost = 253 + len(":65535")

// Notify returns the handler of Clair's webhook. A notification is a hint which images to look at now;
// what is told comes from their reports. Of its body nothing but the id is used, and only Clairs of the
// settings are asked about it.
//
// For Clair only 200 is success. It repeats every other answer for ever, and one delivery that is refused
// holds up all behind it, so what can never succeed is answered with 200 too
// (quay/clair notifier/webhook/deliverer.go).
func (w *Watcher) Notify() http.Handler {
	// One at a time: a hint costs requests to Clair, and anybody who reaches the port can send one.
	turn := make(chan struct{}, 1)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-r.Context().Done():
			return
		}
		outcome := w.notified(r)
		w.metrics.notifications.WithLabelValues(string(outcome)).Inc()
		if outcome == hintRetry {
			http.Error(rw, "clair does not answer; deliver again", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(rw, "ok\n")
	})
}

// hint is what became of a webhook.
type hint string

const (
	hintQueued  hint = "queued"  // its images, if any run, are looked at
	hintInvalid hint = "invalid" // not a webhook of Clair
	hintUnknown hint = "unknown" // not from a Clair of the settings
	hintRefused hint = "refused" // Clair does not let us read it, and will not the next time
	hintRetry   hint = "retry"   // Clair did not answer; it delivers again
)

var hints = [...]hint{hintQueued, hintInvalid, hintUnknown, hintRefused, hintRetry}

// notified reads what a webhook is about and queues the images concerned.
func (w *Watcher) notified(r *http.Request) hint {
	id, callback, err := readWebhook(io.LimitReader(r.Body, webhookLimit))
	if err != nil {
		w.log.Warn("ignored a webhook that is not Clair's", "error", err)
		return hintInvalid
	}
	base := w.clairOf(callback)
	if base == "" {
		w.log.Warn("ignored a webhook whose callback is not at a clairBaseUrl of the settings", "callback", callback.Host)
		return hintUnknown
	}
	c, err := w.clairs.at(base)
	if err != nil {
		w.log.Warn("ignored a webhook: its Clair cannot be asked", "error", err)
		return hintUnknown
	}
	digests, err := c.Notified(r.Context(), id)
	if err != nil {
		w.log.Warn("could not read a notification", "error", err)
		for _, k := range [...]clair.Kind{clair.Unauthorized, clair.Invalid, clair.TooLarge} {
			if clair.IsKind(err, k) {
				return hintRefused
			}
		}
		return hintRetry
	}
	images := w.imagesOf(digests)
	for _, img := range images {
		w.images.Add(img)
	}
	w.log.Info("notification", "id", id, "manifests", len(digests), "running", len(images))
	// Its pages are not needed again. If this fails Clair removes them in two weeks.
	if err := c.DeleteNotification(context.WithoutCancel(r.Context()), id); err != nil {
		w.log.Debug("could not delete a notification", "error", err)
	}
	return hintQueued
}

// readWebhook reads the body that Clair posts.
func readWebhook(body io.Reader) (uuid.UUID, *url.URL, error) {
	var hook struct {
		ID       string `json:"notification_id"`
		Callback string `json:"callback"`
	}
	if err := json.NewDecoder(body).Decode(&hook); err != nil {
		return uuid.UUID{}, nil, errors.New("the body is not JSON with notification_id and callback")
	}
	id, err := uuid.Parse(hook.ID)
	if err != nil || len(hook.ID) != len(id.String()) { // Parse also takes braces and URNs
		return uuid.UUID{}, nil, errors.New("notification_id is not a UUID")
	}
	callback, err := url.Parse(hook.Callback)
	if err != nil || callback.Host == "" || len(callback.Host) > longestHost {
		return uuid.UUID{}, nil, errors.New("callback is not an address")
	}
	return id, callback, nil
}

// clairOf finds the Clair of the settings that a callback belongs to; empty when there is none. Only
// scheme and host are compared: the address that is asked is that of the settings.
func (w *Watcher) clairOf(callback *url.URL) string {
	assigned := w.assigned.Load()
	var bases []string
	for _, ls := range assigned.byNamespace {
		bases = append(bases, clairsOf(ls)...)
	}
	slices.Sort(bases)
	for _, base := range bases {
		u, err := url.Parse(base)
		if err == nil && strings.EqualFold(u.Scheme, callback.Scheme) && strings.EqualFold(u.Host, callback.Host) {
			return base
		}
	}
	return ""
}

// imagesOf finds the running images with given manifest digests.
func (w *Watcher) imagesOf(digests []string) []image {
	wanted := make(map[string]bool, len(digests))
	for _, d := range digests {
		wanted[d] = true
	}
	return w.progress.filter(func(img image) bool {
		return wanted[w.cfg.Ledger.Manifest(img.id, img.platform)]
	})
}
