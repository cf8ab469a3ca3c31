package watcher

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
)

// mostHearers bounds for how many Scanners a report is judged: each decides about each of its findings.
const mostHearers = 100

// Hearer is a Scanner that looks at an image.
type Hearer struct {
	// Key is the key of the settings that it stands under, Name its own.
	Key, Name string
	// Namespaces are those for which it looks at the image, in order. There are several only where the key is for all; then
	// one Scanner is several Hearers where the image has names in them to which different entries of Rules.Ignore apply.
	Namespaces []string
	// Clair is the address of its Clair, Channel where it tells.
	Clair   string
	Channel slack.Webhook
	// Rules are its rules as they hold for the image now.
	Rules findings.Rules
	// Told says that it knows of the image, in any of the namespaces; Since when it was told for the first time, zero
	// where that is not known. Quiet says that its settings (tell.report) have it not hear of images that are new: it
	// knows of them without a message.
	Told  bool
	Since time.Time
	Quiet bool
	// Decisions are what it does with each of the report's findings, in their order; nil where its Clair is another one
	// than that of the report.
	Decisions []Decision

	destinations []ledger.Destination
}

// Decision is what a Scanner does with one finding. Those of a report that have one ID share it.
type Decision struct {
	// Ignore is the place in Hearer.Rules.Ignore of the entry that is about it; zero where Fate is not findings.Ignored.
	Ignore int32
	// Fate is what its rules do with it.
	Fate findings.Fate
	// Told says that its channel was told of it, or that its settings (tell) have it not hear of it. What is ignored counts
	// as not told, unless that is settled.
	Told bool
}

// hearers are those of the images of a manifest, in the order of their keys and names, without what they decide: no more
// than mostHearers, and how many there are besides.
func (w *Watcher) hearers(images []image, digest string) (all []Hearer, more int) {
	type scanner struct{ key, name string }
	assigned, now := w.assigned.Load(), time.Now()
	of := make(map[scanner][]*Hearer)
	for _, img := range slices.SortedFunc(slices.Values(images), compareImages) {
		_, name, _ := identify(w.running(img), img)
		for _, l := range w.listeners(img) {
			is := scanner{l.destination.Key, l.destination.Name}
			if assigned.isOfAll(img.namespace) {
				is.key = settings.AllKey
			}
			rules := w.rulesAt(l, subjectOf{image: img, name: name, clair: l.clair}, digest, now)
			alike := func(h *Hearer) bool { return h.Rules.Equal(rules) }
			at := slices.IndexFunc(of[is], alike)
			if at < 0 {
				at = len(of[is])
				of[is] = append(of[is], &Hearer{Key: is.key, Name: is.name, Clair: l.clair, Channel: l.channel, Rules: rules, Quiet: !l.tell.Report})
			}
			of[is][at].add(l.destination)
		}
	}
	for _, hs := range of {
		for _, h := range hs {
			all = append(all, *h)
		}
	}
	slices.SortFunc(all, func(a, b Hearer) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespaces[0], b.Namespaces[0]))
	})
	more = max(0, len(all)-mostHearers)
	all = all[:len(all)-more]
	for i := range all {
		w.told(&all[i], digest)
	}
	return all, more
}

// add notes for which namespace it looks at an image: under several ids it is still one. They come in order.
func (h *Hearer) add(d ledger.Destination) {
	if n := len(h.destinations); n > 0 && h.destinations[n-1] == d {
		return
	}
	h.destinations = append(h.destinations, d)
	h.Namespaces = append(h.Namespaces, d.Key)
}

// told notes whether a hearer was told of an image, and since when.
func (w *Watcher) told(h *Hearer, digest string) {
	for _, d := range h.destinations {
		h.Told = h.Told || w.book.Has(d, digest)
		h.Since = earlier(h.Since, w.book.Since(d, digest))
	}
}

// decide notes what each hearer of a Clair does with the findings of its report. Its error is that of ctx.
func (w *Watcher) decide(ctx context.Context, hearers []Hearer, clair string, report findings.Report) error {
	all := report.Case()
	ids := byID(all.IDs())
	for i := range hearers {
		h := &hearers[i]
		if h.Clair != clair {
			continue
		}
		entries := make([]findings.Entry, len(ids))
		for _, d := range h.destinations {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if record, known := w.book.Record(d, report.Digest); known && ids.note(entries, record) {
				break // the other namespaces cannot add to that
			}
		}
		rulings := all.Judge(h.Rules)
		h.Decisions = make([]Decision, len(report.Findings))
		for n := range h.Decisions {
			place := all.Place(n)
			r := rulings[place]
			h.Decisions[n] = Decision{Ignore: int32(r.Ignore), Fate: r.Fate, Told: countsAsTold(entries[place], r)}
		}
	}
	return nil
}

// placedIDs are identities in their order, with the place of each in a Case.
type placedIDs []placedID

type placedID struct {
	id    findings.ID
	place int
}

func byID(ids []findings.ID) placedIDs {
	placed := make(placedIDs, len(ids))
	for place, id := range ids {
		placed[place] = placedID{id, place}
	}
	slices.SortFunc(placed, func(a, b placedID) int { return cmp.Compare(a.id, b.id) })
	return placed
}

// note takes over from a record, whose entries are in the same order, which of them were told, and says whether all were.
func (ids placedIDs) note(entries []findings.Entry, record findings.Record) (all bool) {
	all = true
	known := record.Entries
	for _, p := range ids {
		for len(known) > 0 && known[0].ID < p.id {
			known = known[1:]
		}
		if len(known) > 0 && known[0].ID == p.id && known[0].Told {
			entries[p.place] = known[0]
		}
		all = all && entries[p.place].Told
	}
	return all
}
