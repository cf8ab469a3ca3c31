package web

import (
	"cmp"
	"slices"

	"github.com/clairwatch/clairwatch/findings"
)

// namespaceSum is what runs in a namespace, added up.
type namespaceSum struct {
	Name string
	// Images counts each digest once, Unread those of which no report was read yet, Unchecked those that could not be
	// scanned, or that Clair has no data for.
	Images, Unread, Unchecked int
	// Pods is the number of pods that run them.
	Pods int
	// Counts counts a vulnerability once in each image that has it.
	Counts findings.Counts
}

// byNamespace adds up images by namespace, worst first. Only names the one to add up; empty: all of them.
func byNamespace(images []Image, only string) []namespaceSum {
	type place struct{ namespace, digest string }
	names := make(map[string]int, len(images)) // how many names a digest has: nearly always one
	for i := range images {
		names[images[i].Digest]++
	}
	sums := make(map[string]*namespaceSum)
	seen, read := make(map[place]bool), make(map[place]bool)
	type workload struct {
		of         *namespaceSum
		kind, name string
	}
	pods := make(map[workload]int, 2*len(images))
	for i := range images {
		img := &images[i]
		for _, ns := range img.Namespaces {
			if only != "" && ns != only {
				continue
			}
			sum := sums[ns]
			if sum == nil {
				sum = &namespaceSum{Name: ns}
				sums[ns] = sum
			}
			if img.Digest == "" || names[img.Digest] == 1 {
				sum.addImage(img)
				sum.addReport(img)
				continue
			}
			at := place{ns, img.Digest}
			if !seen[at] {
				seen[at] = true
				sum.addImage(img)
			}
			if !read[at] && img.Found {
				read[at] = true
				sum.addReport(img)
			}
		}
		for _, w := range img.Workloads {
			sum := sums[w.Namespace]
			if sum == nil {
				continue
			}
			key := workload{sum, w.Kind, w.Name}
			if was := pods[key]; w.Pods > was { // a pod can run several of the images
				pods[key] = w.Pods
				sum.Pods += w.Pods - was
			}
		}
	}
	all := make([]namespaceSum, 0, len(sums))
	for _, sum := range sums {
		all = append(all, *sum)
	}
	slices.SortFunc(all, func(a, b namespaceSum) int {
		return cmp.Or(a.Counts.Compare(b.Counts), cmp.Compare(b.Unchecked, a.Unchecked), cmp.Compare(b.Images, a.Images), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// addImage counts an image, of which no report counts yet.
func (s *namespaceSum) addImage(img *Image) {
	s.Images++
	s.Unread++
	if img.Advice != "" {
		s.Unchecked++
	}
}

// addReport adds what was found in an image that is counted already, if a report of it was read.
func (s *namespaceSum) addReport(img *Image) {
	if img.Found {
		s.Unread--
		s.Counts = s.Counts.Add(img.Counts)
	}
}
