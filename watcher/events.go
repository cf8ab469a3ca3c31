package watcher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clairwatch/clairwatch/settings"
)

const (
	// reasonMistake and reasonMended are the reasons of the Events on the settings ConfigMap.
	reasonMistake = "SettingsMistake"
	reasonMended  = "SettingsMended"
	// mostEvents bounds how many Events of a type an edit makes, besides the one that says how many more there are.
	mostEvents = 20
	// eventLimit is how long the message of an Event may be, in bytes.
	eventLimit = 1024
	// eventsAgain is when it is tried again to make Events, and eventTimeout how long one request may last.
	eventsAgain = time.Minute
	// eventsRefusedAgain is when it is after one was refused: somebody has to do something about it first.
	eventsRefusedAgain = time.Hour
	eventTimeout       = 10 * time.Second
)

// events makes Events on the settings ConfigMap, where people see them beside what they have written. It belongs to one
// goroutine of the leader, so that a new leader says again what is wrong.
type events struct {
	w *Watcher
	// said are the mistakes that Events tell of, by key, and configMap is where these Events are.
	said      map[string]string
	configMap types.UID
	refused   bool // of which the log has spoken since there was no refusal
}

// sayMistakesUntil makes an Event for each mistake in the settings, and one when it is mended, until ctx ends.
func (w *Watcher) sayMistakesUntil(ctx context.Context) {
	e := events{w: w}
	for {
		var again <-chan time.Time
		switch err := e.say(ctx, w.assigned.Load()); {
		case ctx.Err() != nil:
		case err == nil:
			e.refused = false
		case apierrors.IsForbidden(err):
			e.sayRefused(err)
			again = time.After(eventsRefusedAgain)
		default:
			w.log.Debug("could not make an Event on the settings ConfigMap; it is tried again", "error", err)
			again = time.After(eventsAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-w.reassigned:
		case <-again:
		}
	}
}

// sayRefused has a line in the log, once: who refuses one Event refuses the next. It need not be for want of the right. A
// quota, a webhook and a namespace that is being deleted are answered with the same status.
func (e *events) sayRefused(err error) {
	if e.refused {
		return
	}
	e.refused = true
	e.w.log.Warn("Events on the settings ConfigMap are refused, and tried again when it is edited, and every hour; if it is the right that is missing, apply the manifest of this version, which grants it",
		"error", err)
}

// say tells of what is not told yet. ErrDefaults is told once for all, with what is wrong with the defaults. The error is
// that of the first Event that could not be made: what it was about counts as not told.
func (e *events) say(ctx context.Context, a *assignment) error {
	if a.configMap != e.configMap { // Events stay with what they are about
		e.configMap, e.said = a.configMap, make(map[string]string)
	}
	if a.configMap == "" {
		return nil
	}
	wrong := slices.DeleteFunc(a.mistakes.Keys(), func(key string) bool {
		err := a.mistakes[key]
		return errors.Is(err, settings.ErrDefaults) || e.said[key] == err.Error()
	})
	mended := slices.DeleteFunc(slices.Sorted(maps.Keys(e.said)), func(key string) bool { return a.mistakes[key] != nil })
	err := e.each(ctx, wrong, event{corev1.EventTypeWarning, reasonMistake, "and %d more keys have mistakes: the log has all, and clairwatch check"},
		func(key string) string { return mistakeNote(a, key) },
		func(key string) { e.said[key] = a.mistakes[key].Error() })
	if err != nil {
		return err
	}
	return e.each(ctx, mended, event{corev1.EventTypeNormal, reasonMended, "and %d more keys are mended"},
		func(key string) string { return shownKey(key) + ": mended" },
		func(key string) { delete(e.said, key) })
}

// event is what Events of a kind have in common.
type event struct {
	kind, reason string
	more         string // what is said of those beyond mostEvents
}

// each makes an Event for each of some keys. Those that were told are noted.
func (e *events) each(ctx context.Context, keys []string, of event, note func(key string) string, said func(key string)) error {
	for i, key := range keys {
		if i == mostEvents {
			if err := e.create(ctx, of, fmt.Sprintf(of.more, len(keys)-i)); err != nil {
				return err
			}
		} else if i < mostEvents {
			if err := e.create(ctx, of, note(key)); err != nil {
				return err
			}
		}
		said(key)
	}
	return nil
}

// create makes an Event.
func (e *events) create(ctx context.Context, of event, note string) error {
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	w, now := e.w, metav1.Now()
	_, err := w.cfg.Kubernetes.CoreV1().Events(w.cfg.Namespace).Create(ctx, &corev1.Event{
		// By any name, since a mistake can come back while the Event of the last time is still there.
		ObjectMeta: metav1.ObjectMeta{Namespace: w.cfg.Namespace, Name: "clairwatch." + strings.ToLower(rand.Text()), Labels: map[string]string{nameLabel: "clairwatch"}},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "ConfigMap", Namespace: w.cfg.Namespace, Name: w.cfg.SettingsName, UID: e.configMap,
		},
		Type: of.kind, Reason: of.reason, Message: cutBytes(note, eventLimit),
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source:              corev1.EventSource{Component: "clairwatch"},
		ReportingController: "clairwatch", ReportingInstance: w.cfg.Lease.Identity,
	}, metav1.CreateOptions{})
	return err
}

// mistakeNote is what an Event says of a key with a mistake: on one line, because a table of Events ends there.
func mistakeNote(a *assignment, key string) string {
	effect := "; " + effectOf(a, key)
	return cutBytes(strings.ReplaceAll(a.mistakes[key].Error(), "\n", " | "), eventLimit-len(effect)) + effect
}

// effectOf says what a mistake in a key causes.
func effectOf(a *assignment, key string) string {
	if key == settings.DefaultsKey && !a.isEmpty() {
		return "all keys keep their last good settings"
	}
	if len(a.own(key)) > 0 {
		return "the last good settings stay in force"
	}
	switch key {
	case settings.AllKey:
		return "namespaces without a key are not watched until it is mended"
	case settings.DefaultsKey:
		return "no namespace is watched until it is mended"
	}
	return "the namespace is not watched until it is mended"
}

// cutBytes shortens a text to some bytes, of which the end says so.
func cutBytes(s string, most int) string {
	const end = "…"
	if len(s) <= most {
		return s
	}
	s = s[:most-len(end)]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + end
}
