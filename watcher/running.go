package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/slack"
)

// Running is an image that runs under one name, as the pages show it.
type Running struct {
	// Image is what runs. Its digest is that of the platform manifest; empty while it is not known.
	Image slack.Image
	// Namespaces are where it runs, in order.
	Namespaces []string
	// Workloads run it, those with the most pods first; Pods is the number of pods.
	Workloads []slack.Workload
	Pods      int
	// State is how far it has come; where its namespaces differ, the one that needs most to be seen to.
	State State
	// Counts counts what the last reports of it have, whatever was told; where several Clairs report on it, what the one
	// says that finds the worst.
	Counts findings.Counts
	// Found says that there is such a report; false on a replica that stands by, whose reports are old.
	Found bool
	// Told says that a channel was told of it, one that wants to hear of images that are new (tell.report), Since when the
	// first was; zero: not known.
	Told  bool
	Since time.Time
}

// Advice says of an image that could not be scanned or checked why, and what to do; empty for any other.
func (s State) Advice() (what, remedy string) {
	if s == StateNotCovered {
		return "Clair has no data for what is in it", "know that nobody checks it"
	}
	return advice[Cause(s)][0], advice[Cause(s)][1]
}

// Leading says whether this replica tells, and since when.
func (w *Watcher) Leading() (since time.Time, leads bool) {
	if !w.leading.Load() {
		return time.Time{}, false
	}
	return time.Unix(w.leadingSince.Load(), 0), true
}

// Running returns the images that run in the namespaces of the settings, those first that are worst.
func (w *Watcher) Running() []Running {
	type key struct{ name, digest, id, platform string }
	at := make(map[key]*Running)
	pods := make(map[key]map[string]*pod)
	worst := make(map[key]breakdown) // of those that have a report
	states, order := w.progress.states(), States()
	reports := w.reports()
	for _, img := range slices.SortedFunc(maps.Keys(states), compareImages) {
		digest, of := w.book.Manifest(img.inLedger()), w.running(img)
		_, name, _ := identify(of, img)
		k := key{name: name, digest: digest}
		if digest == "" {
			k = key{name: name, id: img.id, platform: img.platform.String()}
		}
		r := at[k]
		if r == nil {
			r = &Running{State: states[img], Image: slack.Image{Name: name, Digest: digest}}
			if w.nodes.several() {
				r.Image.Platform = img.platform.String()
			}
			at[k], pods[k] = r, make(map[string]*pod)
		}
		if slices.Index(order, states[img]) > slices.Index(order, r.State) {
			r.State = states[img]
		}
		if !slices.Contains(r.Namespaces, img.namespace) {
			r.Namespaces = append(r.Namespaces, img.namespace)
		}
		for _, pod := range of {
			pods[k][pod.namespace()+"/"+pod.name] = pod // one can run an image twice, under two ids
		}
		for _, l := range w.listeners(img) {
			if !l.tell.Report || !w.book.Has(l.destination, digest) {
				continue // it has no message of it, as a rule
			}
			r.Told, r.Since = true, earlier(r.Since, w.book.Since(l.destination, digest))
		}
		if found, has := reports[img]; has {
			if is, was := worst[k]; !was || found.compare(is) < 0 {
				worst[k] = found.breakdown
			}
		}
	}
	all := make([]Running, 0, len(at))
	for k, r := range at {
		r.Workloads, r.Pods = workloads(slices.Collect(maps.Values(pods[k]))), len(pods[k])
		found, has := worst[k]
		r.Counts, r.Found = found.counts(), has
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Running) int {
		return cmp.Or(
			a.Counts.Compare(b.Counts),
			cmp.Compare(a.Image.Name, b.Image.Name),
			cmp.Compare(a.Image.Digest, b.Image.Digest),
			cmp.Compare(a.Image.Platform, b.Image.Platform),
			cmp.Compare(first(a.Namespaces), first(b.Namespaces)),
			cmp.Compare(a.Pods, b.Pods),
		)
	})
	return all
}

// reports are the last ones of the images that run; none on a replica that does not lead, whatever it has from when it did.
func (w *Watcher) reports() map[image]reported {
	if !w.leading.Load() {
		return nil
	}
	return w.progress.found(w.inForce())
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// ErrNotRunning is the error for a digest that nothing runs in the namespaces of the settings.
var ErrNotRunning = errors.New("no pod runs it")

// ImageReport is what a Clair says of an image now, and what is done with it.
type ImageReport struct {
	findings.Report
	// Clair is the address of the one that says so.
	Clair string
	// Hearers are the Scanners that look at the image, in the order of their keys and names: at most a hundred.
	// MoreHearers is how many there are besides.
	Hearers     []Hearer
	MoreHearers int
}

// Report fetches what Clair knows of an image that runs, by the digest of its platform manifest, and says what is done with
// each finding. Where several Clairs look at the image it is the one that found the worst, as in Running; if that does not
// answer, the first that does. It returns ErrNotRunning, the last one's error, or that of ctx.
func (w *Watcher) Report(ctx context.Context, digest string) (ImageReport, error) {
	images := w.byManifest()[digest]
	var bases []string
	for _, img := range images {
		bases = append(bases, clairsOf(w.listeners(img))...)
	}
	slices.Sort(bases)
	if worst := w.progress.worst(images, w.inForce()); worst != "" {
		bases = slices.Insert(slices.DeleteFunc(bases, func(b string) bool { return b == worst }), 0, worst)
	}
	err := ErrNotRunning
	for _, base := range slices.Compact(bases) {
		var report findings.Report
		if report, err = w.reportAt(ctx, base, digest); err != nil {
			continue
		}
		hearers, more := w.hearers(images, digest)
		if err = w.decide(ctx, hearers, base, report); err != nil {
			break
		}
		return ImageReport{Report: report, Clair: base, Hearers: hearers, MoreHearers: more}, nil
	}
	return ImageReport{}, fmt.Errorf("the report of %s: %w", digest, err)
}

func (w *Watcher) reportAt(ctx context.Context, base, digest string) (findings.Report, error) {
	c, err := w.clairs.at(base)
	if err != nil {
		return findings.Report{}, err
	}
	vr, err := c.Report(ctx, digest)
	if err != nil {
		return findings.Report{}, err
	}
	d, err := c.data.read(ctx, c, w.cfg.dataTimes())
	if err != nil { // as of one that does not say what data it has
		d = data{}
	}
	return d.report(vr), nil
}
