package watcher

import (
	"errors"
	"iter"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

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
	var at audience
	for _, ns := range a.namespaces(others) {
		for _, l := range a.of(ns) {
			if l.channel == channel {
				at.add(l.destination, ns)
			}
		}
	}
	return at.destinations, at.namespaces
}

// audience are the destinations whose messages go to one channel, and their namespaces, in order.
type audience struct {
	destinations []ledger.Destination
	namespaces   []string
}

// add adds a destination of a namespace, which comes after those that are there, or is the last of them.
func (a *audience) add(d ledger.Destination, namespace string) {
	a.destinations = append(a.destinations, d)
	if len(a.namespaces) == 0 || a.namespaces[len(a.namespaces)-1] != namespace {
		a.namespaces = append(a.namespaces, namespace)
	}
}

// audiences are what at returns of all channels that have any. There can be as many as namespaces.
func (a *assignment) audiences(others []string) map[slack.Webhook]*audience {
	all := make(map[slack.Webhook]*audience)
	for _, ns := range a.namespaces(others) {
		for _, l := range a.of(ns) {
			if all[l.channel] == nil {
				all[l.channel] = new(audience)
			}
			all[l.channel].add(l.destination, ns)
		}
	}
	return all
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
		return !slices.ContainsFunc(pods, func(pod *pod) bool { return sees(l.look, pod, img.id) })
	})
}

// own returns the listeners that a key has, if any.
func (a *assignment) own(key string) []listener {
	if key == settings.AllKey {
		return a.all
	}
	return a.byNamespace[key]
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
