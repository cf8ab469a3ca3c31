package web

import (
	"cmp"
	"slices"
)

// running is where an image runs: that of one digest, under all of its names.
type running struct {
	// name is the first of its names, names are all of them, in order, as are namespaces.
	name              string
	names, namespaces []string
	platform          string
	workloads         []Workload
	// pods is in how many pods it runs under any name.
	pods int
}

// newRunning sums up images of one digest, of which there is at least one.
func newRunning(images []*Image) running {
	r := running{name: images[0].Name}
	for _, img := range images {
		r.names, r.namespaces = append(r.names, img.Name), append(r.namespaces, img.Namespaces...)
		r.platform = cmp.Or(r.platform, img.Platform)
		r.pods = max(r.pods, img.Pods)
	}
	slices.Sort(r.names)
	slices.Sort(r.namespaces)
	r.names, r.namespaces = slices.Compact(r.names), slices.Compact(r.namespaces)
	r.workloads = workloads(images)
	pods := 0
	for _, w := range r.workloads {
		pods += w.Pods
	}
	r.pods = max(r.pods, pods) // not the sum over names, since a pod can run several
	return r
}

// workloads are what runs any of the images, in order and each once.
func workloads(images []*Image) []Workload {
	var all []Workload
	for _, img := range images {
		all = append(all, img.Workloads...)
	}
	// A pod can run one image under two names, so the larger number of two is right, not their sum.
	slices.SortFunc(all, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(b.Pods, a.Pods))
	})
	return slices.CompactFunc(all, func(a, b Workload) bool {
		a.Pods, b.Pods = 0, 0
		return a == b
	})
}

// pointers are those to each of some images.
func pointers(images []Image) []*Image {
	all := make([]*Image, len(images))
	for i := range images {
		all[i] = &images[i]
	}
	return all
}
