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
	// Check returns for how many registries there are credentials, without asking any program for them, and what is
	// wrong with them.
	Check() (registries int, err error)
}

var _ Credentials = (*registry.ConfigFile)(nil)

// credentials returns what is presented to registries for an image: what its pods name, as a kubelet would, and then
// the daemon's own.
func (w *Watcher) credentials(img image) registry.Credentials {
	secrets := w.pullSecrets.of(w.running(img))
	secrets.used = func(use secretsUse) { w.secretsUsed.Store(img, use) }
	return registry.Chain(secrets, w.cfg.Credentials)
}

// sayForbidden logs once for each image pull secret with which command clairwatch may read it.
func (w *Watcher) sayForbidden(ctx context.Context, err error) {
	failed, ok := errors.AsType[*secretsError](err)
	if !ok {
		return
	}
	for _, u := range failed.unusable {
		if errors.Is(u.err, errForbidden) && w.pullSecrets.isNew(u.secret) {
			w.log.Warn("an image pull secret may not be read, and without it a registry refuses", "namespace", u.secret.namespace,
				"secret", u.secret.name, "grant", w.pullSecrets.grant(ctx, u.secret, w.cfg.Namespace))
		}
	}
}

// lookAtMended queues the images that credentials may help when what their pull secrets give has changed: they may be
// read now, or hold something else.
func (w *Watcher) lookAtMended(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, secretTime) // the next sweep goes on
	defer cancel()
	var mended []image
	for _, img := range w.progress.inStates(refusedStates[:]...) {
		used, known := w.useOf(img)
		secrets := w.pullSecrets.of(w.running(img))
		if !known { // nobody has asked for them
			continue
		}
		_, sum, err := secrets.read(ctx)
		if ctx.Err() != nil {
			break
		}
		if failed, ok := errors.AsType[*secretsError](err); ok && !failed.lasting() || sum == used.sum {
			continue // what cannot be asked for at the moment is not known to be another
		}
		mended = append(mended, img)
		w.secretsUsed.Store(img, secretsUse{sum, used.lacks})
	}
	w.lookTogether(mended)
}

// useOf is what the pull secrets of an image gave when it was last looked at or compared, if that is known.
func (w *Watcher) useOf(img image) (secretsUse, bool) {
	use, known := w.secretsUsed.Load(img)
	if !known {
		return secretsUse{}, false
	}
	return use.(secretsUse), true
}

// refusedStates are those of images that credentials may help. Many registries say of what is not the asker's that it is
// not found.
var refusedStates = [...]State{State(CauseUnauthorized), State(CausePullSecret), State(CauseCredentials), State(CauseNotFound)}

// lookAtRefused queues the images that credentials may help when the daemon's own have changed.
func (w *Watcher) lookAtRefused() {
	edition := w.edition()
	if edition == w.presented {
		return
	}
	w.presented = edition
	w.sayCredentials()
	imgs := w.progress.inStates(refusedStates[:]...)
	w.log.Info("the docker config has changed: images that it may help are looked at again", "images", len(imgs))
	w.lookTogether(imgs)
}

// sayCredentials logs what the daemon's own credentials are good for.
func (w *Watcher) sayCredentials() {
	if w.cfg.Credentials == nil {
		return
	}
	registries, err := w.cfg.Credentials.Check()
	if err != nil {
		w.log.Error("the docker config cannot be used", "error", err)
		return
	}
	w.log.Info("docker config", "registries", registries)
}

// edition is that of the daemon's own credentials.
func (w *Watcher) edition() string {
	if w.cfg.Credentials == nil {
		return ""
	}
	return w.cfg.Credentials.Edition()
}
