package watcher

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
)

const (
	// mostReports is how many reports are fetched to answer one question, and reportsTime how long that may take.
	mostReports = 20
	reportsTime = 30 * time.Second
	// mostExplained is how many containers an answer lists, alike ones summed up.
	mostExplained = 500
)

// StandbyError says that a replica can explain nothing, because it does not lead: it knows neither what was told nor
// what was found.
type StandbyError struct {
	// Leader is the name in the Lease of the one that leads; empty when none is known.
	Leader string
}

func (e *StandbyError) Error() string {
	if e.Leader == "" {
		return "this replica does not lead, and knows of no other that does: ask again in a moment"
	}
	return "this replica stands by: ask the one that leads, " + e.Leader
}

// Explain says which settings apply to a namespace, and what has become of its containers; with a name, to those of one
// pod or workload. Where rules hold back anything, or a vulnerability is asked about, it fetches the reports of the
// images, unless they are too many: then their views say UnreadMany. Its error is a *StandbyError, or that of ctx.
func (w *Watcher) Explain(ctx context.Context, q Question) (Explanation, error) {
	if !w.leading.Load() {
		return Explanation{}, &StandbyError{w.lease.leader()}
	}
	assigned := w.assigned.Load()
	e := Explanation{Namespace: q.Namespace, Vulnerability: q.Vulnerability, Settings: assigned.explain(q.Namespace)}
	pods := w.pods.in(q.Namespace)
	if len(pods) == 0 && e.Settings.Applies != AppliesOwn && e.Settings.Applies != AppliesOptedOut {
		e.NearNamespaces = likely(q.Namespace, assigned.namespaces(w.pods.namespaces()))
	}
	if q.Name != "" {
		pods = e.choose(pods, q.Name)
	}
	x := &explainer{w: w, question: q, listeners: assigned.of(q.Namespace), now: time.Now(),
		images: make(map[image]*explainedImage), readers: make(map[manifestAt][]reader)}
	x.group(pods)
	x.read(ctx)
	if ctx.Err() != nil {
		return Explanation{}, context.Cause(ctx)
	}
	e.Scanners, e.Pods = x.scanners(), len(pods)
	e.NamesPackage = x.asPackage.Load() && !x.asVulnerability.Load()
	e.Workloads, e.LeftOut = x.workloads()
	return e, nil
}

// choose returns the pod with a name or, where there is none, the pods of the workloads with that name, and notes which
// it is.
func (e *Explanation) choose(pods []*pod, name string) []*pod {
	var one, of []*pod
	for _, pod := range pods {
		if pod.name == name {
			one = append(one, pod)
		}
		if workload(pod).Name == name {
			of = append(of, pod)
		}
	}
	switch {
	case len(one) > 0:
		e.Pod = name
		return one
	case len(of) > 0:
		e.Workload = name
		return of
	}
	e.Pod, e.Near = name, nearest(name, pods)
	return nil
}

// explain says which part of the settings applies to a namespace.
func (a *assignment) explain(namespace string) ExplainedSettings {
	_, own := a.byNamespace[namespace]
	_, all := a.settings[settings.AllKey]
	e := ExplainedSettings{Applies: AppliesNone}
	switch {
	case own || a.mistakes[namespace] != nil:
		e.Applies, e.Key = AppliesOwn, namespace
	case all:
		e.Applies, e.Key = AppliesAll, settings.AllKey
	default:
		return e
	}
	listeners := a.own(e.Key)
	if mistake := a.mistakes[e.Key]; mistake != nil {
		e.LastGood = len(listeners) > 0
		if !errors.Is(mistake, settings.ErrDefaults) {
			e.Mistakes = strings.Split(mistake.Error(), "\n")
		}
		if defaults := a.mistakes[settings.DefaultsKey]; defaults != nil {
			e.Mistakes = append(e.Mistakes, strings.Split(defaults.Error(), "\n")...)
		}
		return e
	}
	switch {
	case len(listeners) > 0:
	case e.Applies == AppliesOwn:
		e.Applies = AppliesOptedOut
	default: // _all is there, and empty
		return ExplainedSettings{Applies: AppliesNone}
	}
	return e
}

// explainer answers one question.
type explainer struct {
	w         *Watcher
	question  Question
	listeners []listener
	now       time.Time
	// groups are the containers, alike ones together, with the number of their pods; pods those of each workload.
	groups map[alike]int
	pods   map[slack.Workload]int
	images map[image]*explainedImage
	// readers are those of each report that is to be fetched.
	readers map[manifestAt][]reader
	// asVulnerability and asPackage say that a report has a vulnerability, or a package, of the name that was asked about.
	asVulnerability, asPackage atomic.Bool
}

// alike is what containers have in common that are explained together.
type alike struct {
	workload           slack.Workload
	piece              piece
	platform           registry.Platform
	finished, optedOut bool
}

// explainedImage is what is known of an image, whatever uses it.
type explainedImage struct {
	name, digest string
	step         step
	waits        []ExplainedWait
	// views are those of the listeners, in their order; nil of one that does not look at the image.
	views []*ExplainedView
}

// manifestAt is what a Clair says of a manifest.
type manifestAt struct{ clair, digest string }

// reader is whose view a report completes.
type reader struct {
	listener listener
	of       subjectOf
	view     *ExplainedView
}

// group sums up the containers of pods, and looks up what is known of their images.
func (x *explainer) group(pods []*pod) {
	x.groups, x.pods = make(map[alike]int), make(map[slack.Workload]int)
	for _, pod := range pods {
		of, platform := workload(pod), x.w.nodes.platform(pod.node.Value())
		x.pods[of]++
		for _, h := range pod.pieces {
			p := h.Value()
			if p.outdated { // the name may be that of the image to come
				p.spec = ""
			}
			x.groups[alike{of, p, platform, isFinished(pod), isOut(pod)}]++
			if img, is := x.imageOf(p, platform); is && x.images[img] == nil {
				x.images[img] = x.image(img)
			}
		}
	}
}

// imageOf returns the image of a container, if it is known what it runs.
func (x *explainer) imageOf(p piece, platform registry.Platform) (image, bool) {
	img := image{namespace: x.question.Namespace, id: p.id, platform: platform}
	return img, img.id != ""
}

// image looks up what is known of an image.
func (x *explainer) image(img image) *explainedImage {
	pods := x.w.using(img)
	e := &explainedImage{digest: x.w.book.Manifest(img.inLedger()), step: x.w.progress.step(img), views: make([]*ExplainedView, len(x.listeners))}
	_, e.name, _ = identify(pods, img)
	var looking []listener
	for i, l := range x.listeners {
		if !slices.ContainsFunc(pods, func(pod *pod) bool { return sees(l.look, pod, img.id) }) {
			continue
		}
		looking = append(looking, l)
		e.views[i] = x.view(l, img, e)
	}
	e.step.state = cmp.Or(e.step.state, StateUntried) // it has just come
	if e.step.state == StateUntried {
		e.waits = x.w.waitsFor(img, clairsOf(looking))
	}
	return e
}

// waitsFor says what an image that has not been tried waits for.
func (w *Watcher) waitsFor(img image, bases []string) []ExplainedWait {
	if img.platform == (registry.Platform{}) {
		return []ExplainedWait{{For: WaitsForNode}}
	}
	var waits []ExplainedWait
	for _, base := range bases {
		wait := ExplainedWait{Clair: base, For: WaitsForTurn}
		switch c := w.clairs.known(base); {
		case c == nil:
		case w.clairs.isAway(base):
			wait.For = WaitsForClair
		case c.indexing.has(img) || c.reading.has(img):
			wait.For = WaitsForSlot
		case w.progress.isIndexed(img, base):
			wait.For = WaitsForData
		}
		waits = append(waits, wait)
	}
	return waits
}

// view is what a listener that looks at an image was told of it, and what waits to be told. Where its rules can hold
// back anything a report is to complete it.
func (x *explainer) view(l listener, img image, e *explainedImage) *ExplainedView {
	v := &ExplainedView{Scanner: l.destination.Name}
	failure, _ := x.w.book.Failure(l.destination, img.inLedger())
	v.Failure, v.Unheard = failure.Cause, failure.Unheard
	subjects := []subject{failureOf(img)}
	if e.digest != "" {
		subjects = append(subjects, subject{digest: e.digest})
	}
	for _, n := range x.w.pending.about(l.destination, subjects...) {
		v.Pending = append(v.Pending, ExplainedNews{Kind: n.kind.word(), Since: n.added})
	}
	if record, told := x.w.book.Record(l.destination, e.digest); told {
		var told, untold findings.Counts
		for _, f := range record.Entries {
			switch {
			case f.Absent:
			case f.Told:
				told = told.Plus(f.Severity)
			default:
				untold = untold.Plus(f.Severity)
			}
		}
		v.Told = new(severityCount(told))
		if untold.Total() > 0 {
			v.Untold = new(severityCount(untold))
		}
	}
	if e.digest == "" || e.step.state != StateScanned {
		return v
	}
	rules := l.rules.At(e.name, x.now)
	if v.Untold != nil || rules.MinSeverity > 0 || rules.OnlyFixable || len(rules.Ignore) > 0 || x.question.Vulnerability != "" {
		at := manifestAt{l.clair, e.digest}
		x.readers[at] = append(x.readers[at], reader{l, subjectOf{image: img, name: e.name, clair: l.clair}, v})
	}
	return v
}

// word is what metrics and logs call it.
func (k kind) word() string {
	return [...]string{
		kindIndexed: "indexed", kindReport: "report", kindDisclosed: "disclosed", kindRose: "rose", kindVisible: "visible",
		kindSourced: "sourced", kindRenewed: "renewed", kindReturned: "returned", kindWithdrawn: "withdrawn", kindFailed: "failed",
		kindRecovered: "recovered", kindRemoved: "removed",
	}[k]
}

// read completes the views by what reports say, unless there are too many.
func (x *explainer) read(ctx context.Context) {
	if len(x.readers) > mostReports {
		for _, rs := range x.readers {
			for _, r := range rs {
				r.view.Unread = UnreadMany
			}
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reportsTime)
	defer cancel()
	var group sync.WaitGroup
	for of, rs := range x.readers { // as many at once as each Clair is to give
		group.Go(func() { x.readOne(ctx, of, rs) })
	}
	group.Wait()
}

// readOne fetches a report for who reads it, and keeps nothing else of it.
func (x *explainer) readOne(ctx context.Context, of manifestAt, rs []reader) {
	var report findings.Report
	failed := x.w.clairs.isAway(of.clair)
	if !failed {
		var err error
		report, err = x.w.reportAt(ctx, of.clair, of.digest)
		failed = err != nil
	}
	for _, r := range rs {
		if failed {
			r.view.Unread = UnreadClair
			continue
		}
		x.judge(r, of.digest, report)
	}
}

func (x *explainer) ignore(i findings.Ignore, matches int) ExplainedIgnore {
	return ExplainedIgnore{ID: i.ID, Package: i.Package, Image: i.Image, Reason: i.Reason, Until: i.Until,
		Ended: !i.Until.IsZero() && !i.Until.After(x.now), Matches: matches}
}

// scanners explains the listeners themselves, once the reports are read.
func (x *explainer) scanners() []ExplainedScanner {
	channels := x.w.Channels()
	all := make([]ExplainedScanner, 0, len(x.listeners))
	for i, l := range x.listeners {
		s := ExplainedScanner{
			Name: l.destination.Name, Clair: l.clair, Channel: l.channel.String(),
			MinSeverity: l.rules.MinSeverity.String(), UnknownAs: l.rules.UnknownAs.String(), OnlyFixable: l.rules.OnlyFixable,
			Tell: l.tell, Look: l.look,
		}
		s.ClairAway = x.w.clairs.awaySince(l.clair)
		for _, c := range channels {
			if c.Channel == l.channel {
				s.Waiting, s.Untried, s.TroubleSince, s.NextTry = c.Waiting, c.Untried, c.Since, c.Next
				if c.Trouble != nil {
					s.Trouble = c.Trouble.Error()
				}
			}
		}
		s.Ignore, s.IgnoreCounted = x.ignores(i)
		all = append(all, s)
	}
	return all
}

// ignores are the entries of a listener with what they match, and whether that is known of all images.
func (x *explainer) ignores(listener int) (entries []ExplainedIgnore, counted bool) {
	counted = true
	matches := make(map[ExplainedIgnore]int)
	for _, img := range x.images {
		switch v := img.views[listener]; {
		case v == nil:
		case v.Held != nil:
			for _, i := range slices.Concat(v.Held.Told.Ignored, v.Held.Untold.Ignored) {
				entry := i.ExplainedIgnore
				entry.Matches = 0
				matches[entry] += i.Matches
			}
		case img.step.state == StateNotCovered: // nothing was found in it
		case img.step.state != StateScanned || v.Unread != "":
			counted = false
		}
	}
	for _, i := range x.listeners[listener].rules.Ignore {
		entry := x.ignore(i, 0)
		entry.Matches = matches[entry]
		entries = append(entries, entry)
	}
	return entries, counted && len(entries) > 0
}

// workloads explains the containers, once the reports are read.
func (x *explainer) workloads() (all []ExplainedWorkload, leftOut int) {
	groups := slices.SortedFunc(maps.Keys(x.groups), compareAlike)
	leftOut = max(0, len(groups)-mostExplained)
	all = []ExplainedWorkload{}
	for _, g := range groups[:len(groups)-leftOut] {
		if n := len(all); n == 0 || all[n-1].Kind != g.workload.Kind || all[n-1].Name != g.workload.Name {
			all = append(all, ExplainedWorkload{Kind: g.workload.Kind, Name: g.workload.Name, Pods: x.pods[g.workload]})
		}
		of := &all[len(all)-1]
		of.Containers = append(of.Containers, x.container(g))
	}
	return all, leftOut
}

func compareAlike(a, b alike) int {
	return cmp.Or(
		cmp.Compare(a.workload.Kind, b.workload.Kind),
		cmp.Compare(a.workload.Name, b.workload.Name),
		cmp.Compare(a.piece.kind, b.piece.kind),
		cmp.Compare(a.piece.name, b.piece.name),
		cmp.Compare(a.piece.spec, b.piece.spec),
		cmp.Compare(a.piece.imageID, b.piece.imageID),
		cmp.Compare(a.platform.String(), b.platform.String()),
		cmp.Compare(boolRank(a.finished), boolRank(b.finished)),
		cmp.Compare(boolRank(a.optedOut), boolRank(b.optedOut)),
		cmp.Compare(boolRank(a.piece.outdated), boolRank(b.piece.outdated)),
		cmp.Compare(boolRank(a.piece.started), boolRank(b.piece.started)),
	)
}

// container explains containers that are alike.
func (x *explainer) container(g alike) ExplainedContainer {
	c := ExplainedContainer{
		Kind: g.piece.kind.word(), Name: g.piece.name, Pods: x.groups[g], Image: g.piece.spec, Platform: g.platform.String(),
		Finished: g.finished, OptedOut: g.optedOut,
	}
	img, is := x.imageOf(g.piece, g.platform)
	if !is {
		switch {
		case g.piece.kind != imageVolume:
			c.State = StateNotPulled
		case g.piece.started:
			c.State = StateNoDigest
		default:
			c.State = StateNotMounted
		}
		for _, l := range x.listeners {
			if skipped := g.skipped(l.look); skipped != "" {
				c.Scanners = append(c.Scanners, ExplainedView{Scanner: l.destination.Name, Skipped: skipped})
			}
		}
		return c
	}
	e := x.images[img]
	c.Image, c.Digest = cmp.Or(c.Image, e.name), e.digest
	c.State = StateNotLookedAt
	for i, l := range x.listeners {
		view := ExplainedView{Scanner: l.destination.Name}
		if e.views[i] != nil {
			view = *e.views[i]
			c.State = string(e.step.state)
		}
		view.Skipped = g.skipped(l.look)
		view.Elsewhere = view.Skipped != "" && e.views[i] != nil
		c.Scanners = append(c.Scanners, view)
	}
	if c.State == StateNotLookedAt {
		return c
	}
	c.Advice, c.Remedy = e.step.state.Advice()
	c.Since, c.Tries, c.Tried, c.Next, c.Waits = e.step.since, e.step.alike, e.step.failed, e.step.next, e.waits
	c.Follows = slices.Contains(refusedStates[:], e.step.state)
	return c
}

// skipped says why these containers are not looked at; empty: they are.
func (g alike) skipped(look settings.Look) string {
	switch {
	case look.OptOut && g.optedOut:
		return SkippedOptOut
	case !look.Finished && g.finished:
		return SkippedFinished
	case seesContainer(look, g.piece.container):
		return ""
	}
	return map[containerKind]string{initContainer: SkippedInit, ephemeralContainer: SkippedEphemeral, imageVolume: SkippedVolumes}[g.piece.kind]
}
