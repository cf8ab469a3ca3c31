package watcher

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
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
	backend     string // what is at clair
	notifier    string // what delivers to channel
	rules       findings.Rules
	// byName says that something is ignored in some images only.
	byName  bool
	tell    settings.Tell
	look    settings.Look
	channel slack.Webhook
}

func (l listener) equal(o listener) bool {
	return l.destination == o.destination && l.clair == o.clair && l.backend == o.backend && l.notifier == o.notifier &&
		l.rules.Equal(o.rules) && l.tell == o.tell && l.look == o.look &&
		l.channel == o.channel
}

func equalListeners(a, b []listener) bool { return slices.EqualFunc(a, b, listener.equal) }

// assignment says who hears of the images of which namespace. It is immutable: the settings' handler
// replaces it whole.
type assignment struct {
	// byNamespace are the listeners of the namespaces that have a key of their own; none where it opts out.
	byNamespace map[string][]listener
	// all are those of each other namespace. Their destinations have no key: it is the namespace.
	all []listener
	// settings are those in force: for a key with a mistake, the last good ones.
	settings settings.Settings
	mistakes settings.Mistakes
	// unread says of each key why its Scanners' files cannot be read. It is among mistakes, unless the text has one.
	unread map[string]error
	// inForce are the keys, in order, of which what was last read without a mistake is in force. A key that never was is
	// none, whether nobody hears of its namespace or those of AllKey stand in.
	inForce []string
	// configMap is where the settings are written; empty: nowhere.
	configMap types.UID
}

// of returns the listeners of a namespace; none means that it is not watched. A key with a mistake is not absent.
func (a *assignment) of(namespace string) []listener {
	if !a.isOfAll(namespace) {
		return a.byNamespace[namespace]
	}
	ls := slices.Clone(a.all)
	for i := range ls {
		ls[i].destination.Key = namespace
	}
	return ls
}

// isOfAll says whether the Scanners of _all are those of a namespace.
func (a *assignment) isOfAll(namespace string) bool {
	_, own := a.byNamespace[namespace]
	return !own && a.mistakes[namespace] == nil && len(a.all) > 0
}

// channel returns where the messages of a destination go; false when nobody listens.
func (a *assignment) channel(d ledger.Destination) (slack.Webhook, bool) {
	for _, l := range a.of(d.Key) {
		if l.destination == d {
			return l.channel, true
		}
	}
	return slack.Webhook{}, false
}

// inDoubt says whether what the settings say of a namespace cannot be read, so that nobody can tell whether it is gone.
func (a *assignment) inDoubt(namespace string) bool {
	_, own := a.byNamespace[namespace]
	return a.mistakes[namespace] != nil || a.mistakes[settings.DefaultsKey] != nil || !own && a.mistakes[settings.AllKey] != nil
}

// isEmpty says that no namespace is watched.
func (a *assignment) isEmpty() bool {
	for _, ls := range a.byNamespace {
		if len(ls) > 0 {
			return false
		}
	}
	return len(a.all) == 0
}

// listeners yields all of them: those of namespaces with a key of their own, and those of all others, without one.
func (a *assignment) listeners() iter.Seq[listener] {
	return func(yield func(listener) bool) {
		for _, ls := range a.byNamespace {
			for _, l := range ls {
				if !yield(l) {
					return
				}
			}
		}
		for _, l := range a.all {
			if !yield(l) {
				return
			}
		}
	}
}

// backend is what is at a base address; empty when nobody listens to it any more.
func (a *assignment) backend(base string) string {
	for l := range a.listeners() {
		if l.clair == base {
			return l.backend
		}
	}
	return ""
}

// notifier is what delivers to a channel; empty when nobody hears by it any more.
func (a *assignment) notifier(channel slack.Webhook) string {
	for l := range a.listeners() {
		if l.channel == channel {
			return l.notifier
		}
	}
	return ""
}

// clairs returns the base addresses of all Clairs, in order.
func (a *assignment) clairs() []string {
	bases := make(map[string]struct{})
	for l := range a.listeners() {
		bases[l.clair] = struct{}{}
	}
	return slices.Sorted(maps.Keys(bases))
}

// webhooks returns all channels.
func (a *assignment) webhooks() map[slack.Webhook]struct{} {
	channels := make(map[slack.Webhook]struct{})
	for l := range a.listeners() {
		channels[l.channel] = struct{}{}
	}
	return channels
}

// namespaces returns those that have a key of their own or are among others, in order.
func (a *assignment) namespaces(others []string) []string {
	all := slices.Concat(slices.Collect(maps.Keys(a.byNamespace)), others)
	slices.Sort(all)
	return slices.Compact(all)
}

// destinations returns those of some namespaces, and of all that have a key of their own, in order.
func (a *assignment) destinations(namespaces []string) []ledger.Destination {
	var ds []ledger.Destination
	for _, ns := range a.namespaces(namespaces) {
		for _, l := range a.of(ns) {
			ds = append(ds, l.destination)
		}
	}
	return ds
}

// at returns the destinations whose messages go to a channel, and their namespaces, in order: of those that have a key
// of their own, and of others.
func (a *assignment) at(channel slack.Webhook, others []string) (ds []ledger.Destination, namespaces []string) {
	for _, ns := range a.namespaces(others) {
		for _, l := range a.of(ns) {
			if l.channel != channel {
				continue
			}
			ds = append(ds, l.destination)
			if len(namespaces) == 0 || namespaces[len(namespaces)-1] != ns { // they come in order
				namespaces = append(namespaces, ns)
			}
		}
	}
	return ds, namespaces
}

// at returns the destinations whose messages go to a channel, and their namespaces, in order, as far as anything runs
// there or is to be told.
func (w *Watcher) at(channel slack.Webhook) (ds []ledger.Destination, namespaces []string) {
	return w.assigned.Load().at(channel, w.inhabited())
}

// inhabited returns the namespaces in which images run that are looked at, or of which something is to be told.
func (w *Watcher) inhabited() []string {
	namespaces := w.progress.namespaces()
	for _, d := range w.pending.destinations() {
		namespaces = append(namespaces, d.Key)
	}
	return namespaces
}

// listeners returns those of a namespace that want to hear of an image as it is used there.
func (w *Watcher) listeners(img image) []listener {
	ls := w.assigned.Load().of(img.namespace)
	if !slices.ContainsFunc(ls, func(l listener) bool { return l.look != settings.DefaultLook() }) {
		return ls // as nearly always
	}
	pods := w.using(img)
	return slices.DeleteFunc(slices.Clone(ls), func(l listener) bool {
		return !slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return sees(l.look, pod, img.id) })
	})
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
				w.assign(m)
			}
		},
		UpdateFunc: func(_, m *corev1.ConfigMap) {
			if is(m.Name) {
				w.assign(m)
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
	w.metrics.setMistakes(now.mistakes)
	select {
	case w.reassigned <- struct{}{}:
	default: // it says so already
	}

	changed := make(map[string]bool)
	for _, ns := range now.namespaces(before.namespaces(w.podNamespaces())) {
		if equalListeners(before.of(ns), now.of(ns)) {
			continue
		}
		w.unwatched.Delete(ns)
		for _, l := range now.of(ns) { // what waits is by the rules of before, and the look to come says it by those of now
			w.pending.rest(l.destination, time.Now())
		}
		for _, pod := range w.podsIn(ns) {
			w.appeared(pod)
		}
		changed[ns] = true
	}
	w.lookEdited(w.progress.filter(func(img image) bool { return changed[img.namespace] }))
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
		if ns, ok := namespace.(string); ok && len(w.podsIn(ns)) == 0 {
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

// own returns the listeners that a key has, if any.
func (a *assignment) own(key string) []listener {
	if key == settings.AllKey {
		return a.all
	}
	return a.byNamespace[key]
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

// mostMistakesLogged is of how many keys at once the log has the mistakes.
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
	for _, key := range before.mistakes.Keys() {
		if now.mistakes[key] == nil && !errors.Is(before.mistakes[key], settings.ErrDefaults) {
			w.log.Info("mistake in the settings is mended", "key", key)
		}
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

// waiting returns the keys, in order, that are not in force because of a mistake in what they inherit alone.
func (a *assignment) waiting() []string {
	return slices.DeleteFunc(a.mistakes.Keys(), func(key string) bool {
		_, is := slices.BinarySearch(a.inForce, key)
		return is || !errors.Is(a.mistakes[key], settings.ErrDefaults)
	})
}

// since returns which keys are not in force as they were before.
func (a *assignment) since(before *assignment) (changed, added, removed []string) {
	were, are := slices.Clone(before.inForce), a.inForce
	for _, key := range are {
		if _, was := slices.BinarySearch(were, key); !was {
			added = append(added, key)
		} else if !equalListeners(before.own(key), a.own(key)) {
			changed = append(changed, key)
		}
	}
	return changed, added, slices.DeleteFunc(were, func(key string) bool {
		_, is := slices.BinarySearch(are, key)
		return is
	})
}

// few is the first of some keys, and how many more there are, for the log.
func few(keys []string) []string {
	const most = 20
	if len(keys) <= most {
		return keys
	}
	return append(slices.Clone(keys[:most]), fmt.Sprintf("and %d more", len(keys)-most))
}
