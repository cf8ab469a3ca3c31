package watcher

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
)

// newSettingsInformer watches the one ConfigMap and nothing beside it: with a field selector the right
// to list and watch can be confined to its name.
func newSettingsInformer(client Kubernetes, namespace, name string) cache.TypedSharedIndexInformer[*corev1.ConfigMap] {
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	return cache.NewTypedSharedIndexInformer[*corev1.ConfigMap](
		newInformer(client, client.CoreV1().ConfigMaps(namespace), &corev1.ConfigMap{}, selector))
}

// settingsHandler returns the handler that puts each version of the ConfigMap in force.
func (w *Watcher) settingsHandler() cache.TypedResourceEventHandlerFuncs[*corev1.ConfigMap] {
	is := func(name string) bool { return name == w.cfg.SettingsName }
	return cache.TypedResourceEventHandlerFuncs[*corev1.ConfigMap]{
		AddFunc: func(m *corev1.ConfigMap) {
			if is(m.Name) {
				w.assign(m)
			}
		},
		UpdateFunc: func(_, m *corev1.ConfigMap) {
			if is(m.Name) {
				w.assign(m)
			}
		},
		DeleteFunc: func(m cache.DeletedObject[*corev1.ConfigMap]) {
			if is(m.GetObjectName().Name) {
				w.log.Warn("the settings ConfigMap is gone; no namespace is watched")
				w.assign(nil)
			}
		},
	}
}

// assign puts the settings of the ConfigMap in force; nil: there is none.
func (w *Watcher) assign(written *corev1.ConfigMap) {
	w.assigning.Lock()
	defer w.assigning.Unlock()
	w.written = written
	w.putInForce()
}

// rereadWebhooks puts the settings in force anew when a file that holds a webhook has changed, as a mounted Secret does.
func (w *Watcher) rereadWebhooks() {
	w.assigning.Lock()
	defer w.assigning.Unlock()
	assigned := w.assigned.Load()
	for key, scanners := range assigned.settings {
		if !slices.ContainsFunc(scanners, func(s settings.Scanner) bool { return s.SlackWebhookFile != "" }) {
			continue
		}
		now, err := w.listenersOf(key, scanners)
		was := assigned.unread[key]
		if err != nil && (was == nil || was.Error() != err.Error()) || err == nil && (was != nil || !equalListeners(now, assigned.own(key))) {
			w.putInForce()
			return
		}
	}
}

// putInForce puts what is written in force, and queues the images of every namespace for which that is something else.
// w.assigning is held.
func (w *Watcher) putInForce() {
	before := w.assigned.Load()
	now := w.resolve(w.written, before)
	w.assigned.Store(now)
	w.logSettings(before, now)
	select {
	case w.reassigned <- struct{}{}:
	default: // it says so already
	}

	changed := slices.DeleteFunc(now.namespaces(before.namespaces(w.pods.namespaces())), func(ns string) bool {
		return equalListeners(before.of(ns), now.of(ns))
	})
	// Before any appear, which are looked at anyhow: a second look that begins meanwhile is requests.
	edited := w.progress.filter(func(img image) bool {
		_, is := slices.BinarySearch(changed, img.namespace)
		return is
	})
	for _, ns := range changed {
		w.unwatched.Delete(ns)
		for _, l := range now.of(ns) { // what waits is by the rules of before, and the look to come says it by those of now
			w.pending.rest(l.destination, time.Now())
		}
		for _, pod := range w.pods.in(ns) {
			w.appeared(pod)
		}
	}
	w.lookEdited(edited)
	// What waits for a destination goes where its messages go now, or nowhere if it is gone.
	for _, d := range w.pending.destinations() {
		if ch, ok := now.channel(d); ok {
			w.channels.Add(ch)
		} else {
			w.pending.drop(d)
		}
	}
	w.tidy(now)
}

// lookEdited queues images for which other settings are in force, together: however many there are, what an edit leads to
// is one message of a kind. Those that have not been tried are waited for anyhow.
func (w *Watcher) lookEdited(imgs []image) {
	var tried []image
	for _, img := range imgs {
		if w.leading.Load() && !w.progress.isUntried(img) {
			tried = append(tried, img)
		} else {
			w.look(img)
		}
	}
	w.lookTogether(tried)
}

// tidy forgets what is of no use with the settings now in force. A channel that is not to be sent to yet, or of
// which something is not recorded yet, can come back and is kept until then.
func (w *Watcher) tidy(now *assignment) {
	w.unwatched.Range(func(namespace, _ any) bool {
		if ns, ok := namespace.(string); ok && len(w.pods.in(ns)) == 0 {
			w.unwatched.Delete(ns)
		}
		return true
	})
	used := now.webhooks()
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.deliveries, func(channel slack.Webhook, d delivery) bool {
		if _, ok := used[channel]; ok || len(d.accepted) > 0 || time.Until(d.notBefore) > 0 {
			return false
		}
		w.channelBackoff.Forget(channel)
		return true
	})
}

// resolve reads the ConfigMap's data. A key with a mistake keeps the settings that were in force.
func (w *Watcher) resolve(written *corev1.ConfigMap, before *assignment) *assignment {
	rules := settings.Rules{
		Webhook: func(address string) error {
			_, err := w.cfg.Webhook(address)
			return err
		},
		Backends:  slices.Sorted(maps.Keys(w.cfg.Backends)),
		Notifiers: slices.Sorted(maps.Keys(w.cfg.Notifiers)),
	}
	now := &assignment{byNamespace: make(map[string][]listener), unread: make(map[string]error)}
	var data map[string]string
	if written != nil {
		data, now.configMap = written.Data, written.UID
	}
	now.settings, now.mistakes = settings.Parse(data, rules)
	for key := range now.mistakes {
		if last, ok := before.settings[key]; ok {
			now.settings[key] = last
		} else if _, names := now.settings[key]; names && key != settings.AllKey {
			now.settings[key] = before.settings[settings.AllKey] // which had been good for it
		}
	}
	for key, scanners := range now.settings {
		ls, err := w.listenersOf(key, scanners)
		if err != nil {
			now.unread[key] = err
			switch was := now.mistakes[key]; { // what is wrong with the text comes first
			case was == nil:
				now.mistakes[key] = err
			case errors.Is(was, settings.ErrDefaults):
				now.mistakes[key] = withoutLine(err) // which was that of the last good text
			}
			if ls = before.own(key); key != settings.AllKey {
				ls = before.of(key)
			}
		}
		if key == settings.AllKey {
			now.all = ls
		} else {
			now.byNamespace[key] = ls
		}
	}
	for key := range now.settings {
		if _, was := slices.BinarySearch(before.inForce, key); !was && now.mistakes[key] != nil || key == settings.AllKey && len(now.all) == 0 {
			continue
		}
		now.inForce = append(now.inForce, key)
	}
	slices.Sort(now.inForce)
	return now
}

// withoutLine is a mistake that names no line.
func withoutLine(err error) error {
	if m, ok := errors.AsType[settings.Mistake](err); ok {
		m.Line = 0
		return m
	}
	return err
}

// listenersOf returns what the Scanners of a key resolve to.
func (w *Watcher) listenersOf(key string, scanners []settings.Scanner) ([]listener, error) {
	ls := make([]listener, 0, len(scanners))
	for _, s := range scanners {
		channel, err := w.channelOf(s)
		if err != nil {
			return nil, s.WebhookMistake(err.Error())
		}
		d := ledger.Destination{Key: key, Name: s.Name}
		if key == settings.AllKey {
			d.Key = ""
		}
		byName := slices.ContainsFunc(s.Rules.Ignore, func(i findings.Ignore) bool { return i.Image != "" })
		ls = append(ls, listener{destination: d, backend: s.Backend, notifier: s.Notifier, clair: s.ClairBaseURL, rules: s.Rules, byName: byName, tell: s.Tell, look: s.Look, channel: channel})
	}
	return ls, nil
}

// channelOf returns where the messages of a Scanner go.
func (w *Watcher) channelOf(s settings.Scanner) (slack.Webhook, error) {
	if s.SlackWebhookFile == "" {
		return w.cfg.Webhook(s.SlackWebhookURL.Reveal())
	}
	return slack.WebhookFolder(w.cfg.WebhookFolder).Webhook(s.SlackWebhookFile, w.cfg.Webhook)
}

// mostMistakesLogged is of how many keys at once the log has the mistakes, and that they are mended.
const mostMistakesLogged = 100

// logSettings says what changed, each mistake once while it lasts.
func (w *Watcher) logSettings(before, now *assignment) {
	said := 0
	for _, key := range now.mistakes.Keys() {
		err := now.mistakes[key]
		if was := before.mistakes[key]; was != nil && was.Error() == err.Error() || errors.Is(err, settings.ErrDefaults) {
			continue // it was said, or is said once for all
		}
		if said++; said > mostMistakesLogged {
			continue
		}
		w.log.Error("mistake in the settings", "key", key, "error", err, "effect", effectOf(now, key))
	}
	if said > mostMistakesLogged {
		w.log.Error("mistakes in the settings of more keys", "keys", said-mostMistakesLogged)
	}
	mended := slices.DeleteFunc(before.mistakes.Keys(), func(key string) bool {
		return now.mistakes[key] != nil || errors.Is(before.mistakes[key], settings.ErrDefaults)
	})
	for _, key := range mended[:min(len(mended), mostMistakesLogged)] {
		w.log.Info("mistake in the settings is mended", "key", key)
	}
	if len(mended) > mostMistakesLogged {
		w.log.Info("mistakes in the settings of more keys are mended", "keys", len(mended)-mostMistakesLogged)
	}
	changed, added, removed := now.since(before)
	if len(changed)+len(added)+len(removed) > 0 {
		w.log.Info("settings in force", "changed", few(changed), "added", few(added), "removed", few(removed), "keys", len(now.inForce))
	}
	waited := before.waiting()
	waits := slices.DeleteFunc(now.waiting(), func(key string) bool {
		_, said := slices.BinarySearch(waited, key)
		return said
	})
	if len(waits) > 0 {
		w.log.Warn("settings wait until "+settings.DefaultsKey+" is mended", "keys", few(waits))
	}
}

// few is the first of some keys, and how many more there are, for the log.
func few(keys []string) []string {
	const most = 20
	if len(keys) <= most {
		return keys
	}
	return append(slices.Clone(keys[:most]), fmt.Sprintf("and %d more", len(keys)-most))
}
