package watcher

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
)

// listener is a destination with what it resolves to.
type listener struct {
	destination ledger.Destination
	clair       string // base address
	rules       findings.Rules
	tell        settings.Tell
	channel     slack.Webhook
}

func (l listener) equal(o listener) bool {
	return l.destination == o.destination && l.clair == o.clair && l.rules.Equal(o.rules) && l.tell == o.tell && l.channel == o.channel
}

func equalListeners(a, b []listener) bool { return slices.EqualFunc(a, b, listener.equal) }

// assignment says who hears of the images of which namespace. It is immutable: the settings' handler
// replaces it whole.
type assignment struct {
	byNamespace map[string][]listener
	// channels are where the messages of each destination go.
	channels map[ledger.Destination]slack.Webhook
	// settings are those in force: for a key with a mistake, the last good ones.
	settings settings.Settings
	mistakes settings.Mistakes
}

// of returns the listeners of a namespace; none means that it is not watched.
func (a *assignment) of(namespace string) []listener { return a.byNamespace[namespace] }

// clairs returns the base addresses of all Clairs, in order.
func (a *assignment) clairs() []string {
	bases := make(map[string]struct{})
	for _, ls := range a.byNamespace {
		for _, l := range ls {
			bases[l.clair] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(bases))
}

// namespaces returns those of which a destination hears.
func (a *assignment) namespaces(d ledger.Destination) []string {
	var namespaces []string
	for ns, ls := range a.byNamespace {
		if slices.ContainsFunc(ls, func(l listener) bool { return l.destination == d }) {
			namespaces = append(namespaces, ns)
		}
	}
	return namespaces
}

// at returns the destinations whose messages go to a channel, and their namespaces, in order.
func (a *assignment) at(channel slack.Webhook) (ds []ledger.Destination, namespaces []string) {
	for _, ns := range slices.Sorted(maps.Keys(a.byNamespace)) {
		for _, l := range a.byNamespace[ns] {
			if l.channel != channel {
				continue
			}
			ds = append(ds, l.destination)
			if !slices.Contains(namespaces, ns) {
				namespaces = append(namespaces, ns)
			}
		}
	}
	return ds, namespaces
}

// newSettingsFactory watches the one ConfigMap and nothing beside it: with a field selector the right
// to list and watch can be confined to its name.
func newSettingsFactory(client kubernetes.Interface, namespace, name string) informers.SharedInformerFactory {
	return informers.NewSharedInformerFactoryWithOptions(client, 0, // resync re-delivers the cache; nothing here needs it
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		}))
}

// settingsHandler returns the handler that puts each version of the ConfigMap in force.
func (w *Watcher) settingsHandler() coreinformers.ConfigMapHandlerFuncs {
	is := func(name string) bool { return name == w.cfg.SettingsName }
	return coreinformers.ConfigMapHandlerFuncs{
		AddFunc: func(m *corev1.ConfigMap) {
			if is(m.Name) {
				w.assign(m.Data)
			}
		},
		UpdateFunc: func(_, m *corev1.ConfigMap) {
			if is(m.Name) {
				w.assign(m.Data)
			}
		},
		DeleteFunc: func(m coreinformers.DeletedConfigMap) {
			if is(m.GetObjectName().Name) {
				w.log.Warn("the settings ConfigMap is gone; no namespace is watched")
				w.assign(nil)
			}
		},
	}
}

// assign puts settings in force and queues the images of every namespace whose settings changed.
// Calls come one after another, from the informer's handler.
func (w *Watcher) assign(data map[string]string) {
	before := w.assigned.Load()
	now := w.resolve(data, before)
	w.assigned.Store(now)
	w.logSettings(before, now)
	w.metrics.mistakes.Set(float64(len(now.mistakes)))

	for ns := range union(before.byNamespace, now.byNamespace) {
		if equalListeners(before.byNamespace[ns], now.byNamespace[ns]) {
			continue
		}
		w.unwatched.Delete(ns)
		for _, pod := range w.podsIn(ns) {
			w.appeared(pod)
		}
		for _, img := range w.progress.filter(func(img image) bool { return img.namespace == ns }) {
			w.look(img)
		}
	}
	// What waits for a destination goes where its messages go now, or nowhere if it is gone.
	for _, d := range w.pending.destinations() {
		if ch, ok := now.channels[d]; ok {
			w.channels.Add(ch)
		} else {
			w.pending.drop(d)
		}
	}
	w.tidy(now)
}

// tidy forgets what is of no use with the settings now in force. A channel that is not to be sent to yet, or of
// which something is not recorded yet, can come back and is kept until then.
func (w *Watcher) tidy(now *assignment) {
	w.unwatched.Range(func(namespace, _ any) bool {
		if ns, ok := namespace.(string); ok && len(w.podsIn(ns)) == 0 {
			w.unwatched.Delete(ns)
		}
		return true
	})
	used := make(map[slack.Webhook]struct{})
	for _, channel := range now.channels {
		used[channel] = struct{}{}
	}
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

func union[V any](a, b map[string]V) map[string]struct{} {
	u := make(map[string]struct{}, len(a)+len(b))
	for k := range a {
		u[k] = struct{}{}
	}
	for k := range b {
		u[k] = struct{}{}
	}
	return u
}

// resolve reads the ConfigMap's data. A key with a mistake keeps the settings that were in force.
func (w *Watcher) resolve(data map[string]string, before *assignment) *assignment {
	rules := settings.Rules{Webhook: func(address string) error {
		_, err := w.cfg.Webhook(address)
		return err
	}}
	now := &assignment{byNamespace: make(map[string][]listener), channels: make(map[ledger.Destination]slack.Webhook)}
	now.settings, now.mistakes = settings.Parse(data, rules)
	for key := range now.mistakes {
		if last, ok := before.settings[key]; ok {
			now.settings[key] = last
		}
	}
	for key, scanners := range now.settings {
		for _, s := range scanners {
			channel, err := w.cfg.Webhook(s.SlackWebhookURL.Reveal())
			if err != nil { // the rule above has accepted it
				now.mistakes[key] = fmt.Errorf("%s: %w", key, err)
				continue
			}
			d := ledger.Destination{Key: key, Name: s.Name}
			now.byNamespace[key] = append(now.byNamespace[key], listener{destination: d, clair: s.ClairBaseURL, rules: s.Rules, tell: s.Tell, channel: channel})
			now.channels[d] = channel
		}
	}
	return now
}

// logSettings says what changed, each mistake once while it lasts.
func (w *Watcher) logSettings(before, now *assignment) {
	for _, key := range now.mistakes.Keys() {
		err := now.mistakes[key]
		if was := before.mistakes[key]; was != nil && was.Error() == err.Error() {
			continue
		}
		effect := "the namespace is not watched until it is mended"
		if len(now.settings[key]) > 0 {
			effect = "the last good settings stay in force"
		}
		w.log.Error("mistake in the settings", "key", key, "error", err, "effect", effect)
	}
	for _, key := range before.mistakes.Keys() {
		if now.mistakes[key] == nil {
			w.log.Info("mistake in the settings is mended", "key", key)
		}
	}
	if !maps.EqualFunc(before.byNamespace, now.byNamespace, equalListeners) {
		w.log.Info("settings in force", "namespaces", slices.Sorted(maps.Keys(now.byNamespace)))
	}
}
