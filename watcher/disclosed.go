package watcher

import (
	"cmp"
	"maps"
	"slices"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/slack"
)

const (
	// namedImages is how many images a message names that lists vulnerabilities.
	namedImages = 6
	// longestDescription is how much of an advisory's description news keeps, in bytes; messages show less.
	longestDescription = 1000
)

// writeDisclosed tells of all that is newly disclosed at once: what there is to do about one image, which images
// have the one vulnerability, or which vulnerabilities there are in how many images.
func (w *Watcher) writeDisclosed(ns []*news) letter {
	images := byDigest(ns)
	if len(images) == 1 {
		return w.writeDisclosedIn(bySubject(ns)[0]) // what another Clair says of it is the next message
	}
	shares := sharesOf(images)
	spreads, counts := findings.Spreads(shares)
	l := letter{kind: "disclosed", news: ns}
	all := w.byManifest()
	pods := w.podsOf(ns, all)
	if counts.Total() == 1 && len(spreads) == 1 {
		l.message = slack.Widespread{
			Cluster:   w.cfg.Cluster,
			Finding:   spreads[0].Finding,
			Ignored:   findings.OnlyIgnored(shares),
			Images:    len(images),
			Rows:      w.affected(images, all), // all of them say whether one version ends it
			Workloads: len(workloads(slices.Collect(maps.Values(pods)))),
			Pods:      len(pods),
			Link:      w.vulnerabilityLink(spreads[0].Finding),
		}.Message()
		return l
	}
	m := slack.DisclosedMany{
		Cluster:    w.cfg.Cluster,
		Namespaces: namespacesOf(ns),
		Counts:     counts,
		Ignored:    findings.OnlyIgnored(shares),
		Rows:       spreads,
		Images:     len(images),
		Pods:       len(pods),
		Link:       w.allLink(namespacesOf(ns)),
	}
	for _, n := range firstOfEach(ns)[:min(len(images), namedImages)] {
		m.Named = append(m.Named, w.named(n))
	}
	l.message = m.Message()
	return l
}

// writeDisclosedIn tells what is newly disclosed in one image.
func (w *Watcher) writeDisclosedIn(group []*news) letter {
	shares := sharesOf(byDigest(group))
	m := slack.Disclosed{
		Image:   w.named(group[0]),
		Cluster: w.cfg.Cluster,
		Summary: group[0].summary,
		Ignored: findings.OnlyIgnored(shares),
		Place:   w.place(group),
		Link:    w.reportLink(group[0].subject.digest),
	}
	if spreads, counts := findings.Spreads(shares); counts.Total() == 1 && len(spreads) == 1 {
		m.Having = w.vulnerabilityLink(spreads[0].Finding)
	}
	return letter{kind: "disclosed", message: m.Message(), news: group}
}

// affected are the images of news about one vulnerability, those with the most pods first. all are the running images
// by manifest.
func (w *Watcher) affected(images map[string][]*news, all map[string][]image) []slack.Affected {
	rows := make([]slack.Affected, 0, len(images))
	for digest, group := range images {
		n := group[0]
		pods := w.podsOf(group, all)
		row := slack.Affected{
			Image:      w.named(n),
			Namespaces: namespacesOfPods(pods),
			Pods:       len(pods),
			Link:       w.reportLink(digest),
		}
		if named := n.share.Named; len(named) > 0 {
			row.Installed, row.FixedIn = named[0].Installed, named[0].FixedIn
		}
		if len(row.Namespaces) == 0 { // its pods are gone by now
			row.Namespaces = namespacesOf(group)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b slack.Affected) int {
		return cmp.Or(cmp.Compare(b.Pods, a.Pods), cmp.Compare(a.Image.Name, b.Image.Name), cmp.Compare(a.Image.Digest, b.Image.Digest))
	})
	return rows
}

// byDigest groups news by the image that it is about.
func byDigest(ns []*news) map[string][]*news {
	groups := make(map[string][]*news)
	for _, n := range ns {
		groups[n.subject.digest] = append(groups[n.subject.digest], n)
	}
	return groups
}

// sharesOf returns what news has of each image. Where several destinations are told of one, or several Clairs tell
// of it, that is one image.
func sharesOf(byDigest map[string][]*news) []findings.Share {
	var shares []findings.Share
	for _, digest := range slices.Sorted(maps.Keys(byDigest)) {
		var image findings.Share
		var record findings.Record
		for _, n := range byDigest[digest] {
			record = record.With(findings.Record{Entries: n.share.Entries})
			image.Fixable = append(image.Fixable, n.share.Fixable...)
			image.Named = append(image.Named, n.share.Named...)
			image.Ignored = append(image.Ignored, n.share.Ignored...)
		}
		image.Entries = record.Entries
		shares = append(shares, image)
	}
	return shares
}

// firstOfEach returns the first news about each image, in order.
func firstOfEach(ns []*news) []*news {
	seen := make(map[string]bool)
	var first []*news
	for _, n := range ns {
		if !seen[n.subject.digest] {
			seen[n.subject.digest] = true
			first = append(first, n)
		}
	}
	return first
}

func namespacesOfPods(pods map[string]*pod) []string {
	seen := make(map[string]struct{})
	for _, pod := range pods {
		seen[pod.namespace()] = struct{}{}
	}
	return slices.Sorted(maps.Keys(seen))
}
