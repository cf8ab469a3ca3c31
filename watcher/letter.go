package watcher

import (
	"cmp"
	"maps"
	"slices"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/slack"
)

const (
	// mostCards is how many new images get a message each; more at once become one inventory.
	mostCards = 5
	// mostWorst is how many images an inventory lists.
	mostWorst = 8
)

// letter is a message with the news that it tells.
type letter struct {
	kind    string // one of messageKinds
	message slack.Message
	news    []*news
}

// messageKinds are the labels of messages in metrics and logs.
var messageKinds = [...]string{
	"indexed", "report", "inventory", "disclosed", "rose", "visible", "sourced", "renewed", "returned", "withdrawn", "failed", "recovered",
	"removed",
}

// MessageKinds lists the kinds of messages, as metrics and logs name them.
func MessageKinds() []string { return slices.Clone(messageKinds[:]) }

// write composes the next message of a channel from its ripe news, which is sorted by kind and not
// empty. What several destinations have about one image is one message.
func (w *Watcher) write(ripe []*news, namespaces []string, untried int) letter {
	switch first := ripe[0]; first.kind {
	case kindIndexed:
		return w.writeIndexed(ofKind(ripe, kindIndexed))
	case kindReport:
		reports := bySubject(ofKind(ripe, kindReport))
		if len(reports) > mostCards || len(reports) > 1 && w.isFirst(reports) {
			return w.writeInventory(reports, ofKind(ripe, kindFailed), namespaces, untried)
		}
		return w.writeReport(reports[0])
	case kindDisclosed:
		return w.writeDisclosed(ofKind(ripe, kindDisclosed))
	case kindRose, kindVisible, kindSourced, kindRenewed, kindReturned, kindWithdrawn:
		return w.writeChange(ofKind(ripe, first.kind))
	case kindRecovered:
		return w.writeRecovered(ofKind(ripe, kindRecovered))
	case kindRemoved:
		return w.writeRemoved(ofKind(ripe, kindRemoved))
	default:
		return w.writeFailed(ofKind(ripe, kindFailed))
	}
}

// ofKind returns the news of one kind.
func ofKind(all []*news, k kind) []*news {
	var ns []*news
	for _, n := range all {
		if n.kind == k {
			ns = append(ns, n)
		}
	}
	return ns
}

// bySubject groups what one Clair says about the same image, in order: what was told of most comes first, where
// destinations have different rules. An image that cannot be scanned for two causes, in two namespaces, is in two
// groups, and so it is when it is scanned again: each is to be told.
func bySubject(ns []*news) [][]*news {
	type source struct {
		subject subject
		clair   string
		cause   Cause
	}
	var groups [][]*news
	at := make(map[source]int)
	for _, n := range ns {
		s := source{n.subject, n.clair, n.cause}
		i, ok := at[s]
		if !ok {
			i = len(groups)
			at[s] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], n)
	}
	return groups
}

// subjects counts the images that news is about.
func subjects(ns []*news) int {
	seen := make(map[subject]struct{})
	for _, n := range ns {
		seen[n.subject] = struct{}{}
	}
	return len(seen)
}

// isFirst says whether a destination hears of its images for the first time.
func (w *Watcher) isFirst(groups [][]*news) bool {
	heard := make(map[ledger.Destination]bool)
	for _, group := range groups {
		for _, n := range group {
			if _, asked := heard[n.destination]; !asked {
				heard[n.destination] = w.book.HasTold(n.destination, causeLoading)
			}
			if !heard[n.destination] {
				return true
			}
		}
	}
	return false
}

// writeIndexed tells of all indexed images at once: they are of interest only until the reports are there.
func (w *Watcher) writeIndexed(ns []*news) letter {
	l := letter{kind: "indexed", news: ns}
	groups := bySubject(ns)
	if len(groups) == 1 {
		l.message = slack.Indexed{
			Image:        w.named(ns[0]),
			Cluster:      w.cfg.Cluster,
			Distribution: ns[0].summary.Distribution,
			Packages:     ns[0].summary.Packages,
			Loading:      ns[0].loading,
			Link:         w.reportLink(ns[0].subject.digest),
		}.Message()
		return l
	}
	m := slack.IndexedMany{Cluster: w.cfg.Cluster, Namespaces: namespacesOf(ns)}
	for _, group := range groups {
		m.Images = append(m.Images, w.named(group[0]))
		m.Loading = m.Loading || group[0].loading
	}
	l.message = m.Message()
	return l
}

func (w *Watcher) writeReport(group []*news) letter {
	m := slack.Report{
		Image:   w.named(group[0]),
		Cluster: w.cfg.Cluster,
		Summary: group[0].summary,
		Place:   w.place(group),
		Loading: group[0].loading,
		Link:    w.reportLink(group[0].subject.digest),
	}
	return letter{kind: "report", message: m.Message(), news: group}
}

func (w *Watcher) writeFailed(ns []*news) letter {
	m := slack.Failed{Cluster: w.cfg.Cluster, Namespaces: namespacesOf(ns), Causes: w.causes(ns), Link: w.allLink(namespacesOf(ns))}
	return letter{kind: "failed", message: m.Message(), news: ns}
}

// writeRecovered tells of all images at once that are scanned again.
func (w *Watcher) writeRecovered(ns []*news) letter {
	m := slack.Recovered{Cluster: w.cfg.Cluster, Namespaces: namespacesOf(ns), Causes: w.causes(ns)}
	return letter{kind: "recovered", message: m.Message(), news: ns}
}

// changeKinds are the kinds of news that are told in lines about several images at once.
var changeKinds = map[kind]struct {
	label string
	is    slack.ChangeKind
}{
	kindRose:    {"rose", slack.Rose},
	kindVisible: {"visible", slack.Visible},
	kindSourced: {"sourced", slack.Sourced},
	kindRenewed: {"renewed", slack.Renewed},
	// For who wants to hear of withdrawals.
	kindReturned:  {"returned", slack.Returned},
	kindWithdrawn: {"withdrawn", slack.Withdrawn},
}

// writeChange tells what else has changed about images that are known.
func (w *Watcher) writeChange(ns []*news) letter {
	kind := changeKinds[ns[0].kind]
	images, all := byDigest(ns), w.byManifest()
	m := slack.Change{Kind: kind.is, Cluster: w.cfg.Cluster, Namespaces: namespacesOf(ns), Images: len(images), Rules: rulesOf(ns)}
	shares := sharesOf(images)
	m.Worst, m.Counts = findings.Spreads(shares)
	m.Ignored = findings.OnlyIgnored(shares)
	gone := make(map[findings.ID]bool)
	for _, n := range ns {
		for _, e := range n.gone {
			gone[e.ID] = true
		}
		for _, u := range n.updaters {
			if !slices.Contains(m.Updaters, u) {
				m.Updaters = append(m.Updaters, u)
			}
		}
	}
	m.Gone = len(gone)
	for _, n := range firstOfEach(ns) {
		group := images[n.subject.digest]
		m.Rows = append(m.Rows, slack.Row{
			Image:     w.named(n),
			Namespace: oneNamespace(group),
			Counts:    n.summary.Counts,
			Pods:      len(w.podsOf(group, all)),
			Link:      w.reportLink(n.subject.digest),
		})
	}
	slices.Sort(m.Updaters)
	return letter{kind: kind.label, message: m.Message(), news: ns}
}

// writeRemoved tells of all images at once that run no longer.
func (w *Watcher) writeRemoved(ns []*news) letter {
	m := slack.Removed{Cluster: w.cfg.Cluster}
	running := w.namesRunning()
	for _, group := range bySubject(ns) {
		m.Images = append(m.Images, slack.RemovedImage{
			Image:     w.named(group[0]),
			Namespace: oneNamespace(group),
			Counts:    w.knownOf(group),
			Replaced:  slices.ContainsFunc(group, func(n *news) bool { return running[n.image.namespace][n.name] }),
		})
	}
	return letter{kind: "removed", message: m.Message(), news: ns}
}

// knownOf counts what is remembered of the image of news, by the destination that was told most.
func (w *Watcher) knownOf(group []*news) findings.Counts {
	var most findings.Counts
	for _, n := range group {
		if c, _ := w.book.Told(n.destination, n.subject.digest); c.Total() > most.Total() {
			most = c
		}
	}
	return most
}

// rulesOf are the rules of the news' destinations; zero when they have several.
func rulesOf(ns []*news) findings.Rules {
	for _, n := range ns {
		if !n.summary.Rules.Equal(ns[0].summary.Rules) {
			return findings.Rules{}
		}
	}
	return ns[0].summary.Rules
}

// namesRunning are the images that run in each namespace, as their pods name them.
func (w *Watcher) namesRunning() map[string]map[string]bool {
	names := make(map[string]map[string]bool)
	for _, img := range w.progress.filter(func(image) bool { return true }) {
		for _, pod := range w.running(img) {
			for c := range containers(pod) {
				if names[img.namespace] == nil {
					names[img.namespace] = make(map[string]bool)
				}
				names[img.namespace][c.spec] = true
			}
		}
	}
	return names
}

// writeInventory sums up all images that are new to a channel. It tells of failures too, so these need
// no message of their own.
func (w *Watcher) writeInventory(reports [][]*news, failed []*news, namespaces []string, untried int) letter {
	l := letter{kind: "inventory"}
	m := slack.Inventory{
		Cluster: w.cfg.Cluster,
		Failed:  w.causes(failed),
		Untried: untried,
		Images:  len(reports) + subjects(failed) + untried,
	}
	all := w.byManifest()
	pods := w.podsOf(failed, all) // of several images one pod is still one pod
	for _, group := range reports {
		l.news = append(l.news, group...)
		s := group[0].summary
		m.Counts = m.Counts.Add(s.Counts)
		m.Hidden = m.Hidden.Add(s.Hidden)
		m.Ignored = m.Ignored.Add(s.Ignored)
		m.Loading = m.Loading || group[0].loading
		switch {
		case s.Counts.Total() > 0:
		case s.Hidden.Total()+s.Ignored.Total() > 0:
			m.Quiet++
		case s.Covered:
			m.Clean++
		default:
			m.NotCovered++
		}
		of := w.podsOf(group, all)
		maps.Copy(pods, of)
		if len(m.Worst) < mostWorst && s.Counts.Total() > 0 {
			m.Worst = append(m.Worst, slack.Row{
				Image:     w.named(group[0]),
				Namespace: oneNamespace(group),
				Counts:    s.Counts,
				Pods:      len(of),
				Link:      w.reportLink(group[0].subject.digest),
			})
		}
	}
	m.Pods = len(pods)
	m.Rules = rulesOf(l.news)
	m.More = !w.isFirst(reports)
	m.Again = !m.More && slices.ContainsFunc(l.news, func(n *news) bool { return w.forgotten[n.destination] })
	l.news = append(l.news, failed...)
	m.Namespaces = namespacesOf(l.news)
	if untried > 0 { // those whose images are all still to come are watched too
		m.Namespaces = namespaces
	}
	m.Link = w.allLink(m.Namespaces)
	if len(m.Namespaces) == 1 {
		for i := range m.Worst {
			m.Worst[i].Namespace = "" // the headline has it
		}
	}
	l.message = m.Message()
	return l
}

// causes groups images that cannot be scanned, or could not be, by why.
func (w *Watcher) causes(failed []*news) []slack.Cause {
	byCause := make(map[Cause][]slack.Image)
	for _, group := range bySubject(failed) {
		c := group[0].cause
		byCause[c] = append(byCause[c], w.named(group[0]))
	}
	var cs []slack.Cause
	for _, c := range slices.SortedFunc(maps.Keys(byCause), compareCauses) {
		// The ledger can have one of another version of the daemon.
		cs = append(cs, slack.Cause{Name: cmp.Or(advice[c][0], string(c)), Hint: advice[c][1], Images: byCause[c]})
	}
	return cs
}

// compareCauses puts causes in the order of Causes.
func compareCauses(a, b Cause) int {
	return cmp.Or(cmp.Compare(slices.Index(Causes[:], a), slices.Index(Causes[:], b)), cmp.Compare(a, b))
}

// named is an image as people know it. The platform is told where it matters: when the name stands for
// several manifests (what runs is another digest than that of the manifest) and the cluster has nodes of
// several platforms.
func (w *Watcher) named(n *news) slack.Image {
	img := slack.Image{Name: n.name, Digest: n.subject.digest}
	if n.kind == kindRemoved {
		for _, i := range w.book.Images(n.subject.digest) { // nothing runs it any more
			if i.ID != n.subject.digest && w.nodes.several() {
				img.Platform = i.Platform
			}
		}
		return img
	}
	if n.subject.digest != "" && n.subject.digest != n.image.id && w.nodes.several() {
		img.Platform = n.image.platform.String()
	}
	return img
}

// place is where an image runs now. An image whose pods are gone by now was running when it was scanned:
// it is told all the same.
func (w *Watcher) place(group []*news) slack.Place {
	pods := w.podsOf(group, w.byManifest())
	ordered := make([]*pod, 0, len(pods))
	for _, key := range slices.Sorted(maps.Keys(pods)) {
		ordered = append(ordered, pods[key])
	}
	return slack.Place{Workloads: workloads(ordered), Pods: len(ordered)}
}

// byManifest returns the running images by the digest of their manifest, as far as it is known.
func (w *Watcher) byManifest() map[string][]image {
	all := make(map[string][]image)
	for _, img := range w.progress.filter(func(image) bool { return true }) {
		if d := w.book.Manifest(img.inLedger()); d != "" {
			all[d] = append(all[d], img)
		}
	}
	return all
}

// podsOf returns the pods that run what news is about, by namespace and name. A manifest can run under
// several ids, for one its own digest and that of an index: all of them are meant, wherever the destinations
// of the news listen. all are the running images by manifest.
func (w *Watcher) podsOf(ns []*news, all map[string][]image) map[string]*pod {
	images := make(map[image]struct{})
	for _, n := range ns {
		images[n.image] = struct{}{}
		for _, img := range all[n.subject.digest] {
			if img.namespace == n.destination.Key {
				images[img] = struct{}{}
			}
		}
	}
	pods := make(map[string]*pod)
	for img := range images {
		for _, pod := range w.running(img) {
			pods[pod.namespace()+"/"+pod.name] = pod
		}
	}
	return pods
}

func namespacesOf(ns []*news) []string {
	seen := make(map[string]struct{})
	for _, n := range ns {
		seen[n.image.namespace] = struct{}{}
	}
	return slices.Sorted(maps.Keys(seen))
}

// oneNamespace is the namespace of an image; empty when there are several.
func oneNamespace(group []*news) string {
	if namespaces := namespacesOf(group); len(namespaces) == 1 {
		return namespaces[0]
	}
	return ""
}
