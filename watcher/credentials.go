package watcher

import (
	"context"
	"errors"

	"github.com/clairwatch/clairwatch/registry"
)

// Credentials are the daemon's own for registries.
type Credentials interface {
	registry.Credentials
	// Edition is another text when they have changed.
	Edition() string
}

var _ Credentials = (*registry.ConfigFile)(nil)

// credentials returns what is presented to registries for an image: what its pods name, as a kubelet would, and then
// the daemon's own.
func (w *Watcher) credentials(img image) registry.Credentials {
	return registry.Chain(w.pullSecrets.of(w.running(img)), w.cfg.Credentials)
}

// sayForbidden logs once for each image pull secret with which command clairwatch may read it.
func (w *Watcher) sayForbidden(ctx context.Context, err error) {
	failed, ok := errors.AsType[*secretsError](err)
	if !ok {
		return
	}
	for _, u := range failed.unusable {
		if !errors.Is(u.err, errForbidden) {
			continue
		}
		if _, said := w.forbidden.LoadOrStore(u.secret, true); !said {
			w.log.Warn("an image pull secret may not be read, and without it a registry refuses", "namespace", u.secret.namespace,
				"secret", u.secret.name, "grant", w.pullSecrets.grant(ctx, u.secret, w.cfg.Namespace))
		}
	}
}

// lookAtReadable queues the images that could not be scanned because their pull secrets could not be used, and can be
// by now.
func (w *Watcher) lookAtReadable(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, secretTime) // the next sweep goes on
	defer cancel()
	var readable []image
	for _, img := range w.progress.inStates(State(CausePullSecret)) {
		secrets := w.pullSecrets.of(w.running(img))
		if _, err := secrets.keyring(ctx); err != nil {
			continue
		}
		readable = append(readable, img)
		for _, name := range secrets.names {
			w.forbidden.Delete(name)
		}
	}
	w.lookTogether(readable)
}

// lookAtRefused queues the images that credentials may help when the daemon's own have changed. Many registries say of
// what is not the asker's that it is not found.
func (w *Watcher) lookAtRefused() {
	edition := w.edition()
	if edition == w.presented {
		return
	}
	w.presented = edition
	imgs := w.progress.inStates(State(CauseUnauthorized), State(CausePullSecret), State(CauseCredentials), State(CauseNotFound))
	w.log.Info("the docker config has changed: images that it may help are looked at again", "images", len(imgs))
	w.lookTogether(imgs)
}

// edition is that of the daemon's own credentials.
func (w *Watcher) edition() string {
	if w.cfg.Credentials == nil {
		return ""
	}
	return w.cfg.Credentials.Edition()
}
