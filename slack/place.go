package slack

import (
	"cmp"
	"slices"

	slackgo "github.com/slack-go/slack"
)

// mostWorkloads is how many workloads a message lists; the rest is counted.
const mostWorkloads = 5

// Workload is what runs an image.
type Workload struct {
	// Kind is the kind of the owner, for example Deployment, or Pod for one without an owner.
	Kind string
	// Namespace and Name are the owner's.
	Namespace, Name string
	// Pods is how many of its pods run the image.
	Pods int
}

// Place says where an image runs.
type Place struct {
	// Workloads are what runs it, in any order; those with the most pods are listed.
	Workloads []Workload
	// Pods is the number of pods. Zero: the sum over the workloads.
	Pods int
}

// pods is the number of pods that run the image.
func (p Place) pods() int {
	if p.Pods > 0 {
		return p.Pods
	}
	n := 0
	for _, w := range p.Workloads {
		n += w.Pods
	}
	return n
}

// block lists where the image runs; nil when that is not known.
func (p Place) block() slackgo.Block {
	n := p.pods()
	if len(p.Workloads) == 0 {
		if n == 0 {
			return nil
		}
		return paragraph([]inline{bold("Running in " + count(n, "pod"))})
	}
	ws := slices.SortedFunc(slices.Values(p.Workloads), func(a, b Workload) int {
		return cmp.Or(
			cmp.Compare(b.Pods, a.Pods),
			cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Kind, b.Kind),
		)
	})
	title := []inline{bold("Running in " + count(len(ws), "workload")), plain(", " + count(n, "pod"))}
	var items [][]inline
	for _, w := range ws[:min(len(ws), mostWorkloads)] {
		name := w.Name
		if w.Namespace != "" {
			name = w.Namespace + "/" + w.Name
		}
		var item []inline
		if kind := brief(w.Kind, longestCell); kind != "" {
			item = append(item, plain(kind+" "))
		}
		item = append(item, code(brief(name, longestName)))
		if w.Pods > 0 {
			item = append(item, plain(" · "+count(w.Pods, "pod")))
		}
		items = append(items, item)
	}
	if more := len(ws) - mostWorkloads; more > 0 {
		items = append(items, []inline{plain("and " + number(more) + " more")})
	}
	return bullets(title, items)
}

// where names the namespace and the number of pods on one line: "shop, 3 pods". Empty when not known.
func (p Place) where() string {
	var namespaces []string
	for _, w := range p.Workloads {
		if w.Namespace != "" {
			namespaces = append(namespaces, w.Namespace)
		}
	}
	slices.Sort(namespaces)
	s := ""
	switch namespaces = slices.Compact(namespaces); len(namespaces) {
	case 0:
	case 1:
		s = brief(namespaces[0], longestCell)
	default:
		s = count(len(namespaces), "namespace")
	}
	if n := p.pods(); n > 0 {
		if s != "" {
			s += ", "
		}
		s += count(n, "pod")
	}
	return s
}
