package web

import (
	"cmp"
	"slices"

	"github.com/clairwatch/clairwatch/findings"
)

// namespaceSum is what runs in a namespace, added up.
type namespaceSum struct {
	Name string
	// Images counts each digest once, Unread those of which no report was read yet, Read those whose report says
	// something: of the others Clair has no data. Unchecked are those that could not be scanned under any of their names,
	// or that Clair has no data for.
	Images, Unread, Read, Unchecked int
	// Pods is the number of pods that run them.
	Pods int
	// Counts counts an advisory once for each package of each image.
	Counts findings.Counts
}

// namespaceSums are those of namespaces by their names.
type namespaceSums map[string]*namespaceSum

// of returns the sum of a namespace.
func (sums namespaceSums) of(namespace string) *namespaceSum {
	sum := sums[namespace]
	if sum == nil {
		sum = &namespaceSum{Name: namespace}
		sums[namespace] = sum
	}
	return sum
}

// byNamespace adds up images by namespace, worst first. Only names the one to add up; empty: all of them.
func byNamespace(images []Image, only string) []namespaceSum {
	type place struct{ namespace, digest string }
	names := make(map[string]int, len(images)) // how many names a digest has: nearly always one
	for i := range images {
		names[images[i].Digest]++
	}
	sums, several := make(namespaceSums), make(map[place]counted)
	for i := range images {
		img := &images[i]
		for _, ns := range img.Namespaces {
			switch at := (place{ns, img.Digest}); {
			case only != "" && ns != only:
			case img.Digest == "" || names[img.Digest] == 1:
				sums.of(ns).add(img, counted{})
			default:
				several[at] = sums.of(ns).add(img, several[at])
			}
		}
	}
	sums.addPods(images)
	all := make([]namespaceSum, 0, len(sums))
	for _, sum := range sums {
		all = append(all, *sum)
	}
	slices.SortFunc(all, func(a, b namespaceSum) int {
		return cmp.Or(a.Counts.Compare(b.Counts), cmp.Compare(b.Unchecked, a.Unchecked), cmp.Compare(b.Images, a.Images), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// counted says what of an image its namespace has counted under the names that it was met by.
type counted struct{ image, report, read, checked bool }

// add counts an image as far as it has not been counted yet, and returns how far it is then.
func (s *namespaceSum) add(img *Image, was counted) counted {
	if !was.image {
		s.Images++
		s.Unread++
		s.Unchecked++
	}
	if !was.report && img.Found {
		s.Unread--
		s.Counts = s.Counts.Add(img.Counts)
	}
	if !was.read && img.checked() {
		s.Read++
	}
	if !was.checked && img.Advice == "" {
		s.Unchecked--
	}
	return counted{true, was.report || img.Found, was.read || img.checked(), was.checked || img.Advice == ""}
}

// addPods counts the pods of the namespaces that there are: a pod can run several of the images.
func (sums namespaceSums) addPods(images []Image) {
	type workload struct {
		of         *namespaceSum
		kind, name string
	}
	expected := 0
	if len(sums) > 1 { // else it is one of many, with few of the images
		expected = 2 * len(images)
	}
	pods := make(map[workload]int, expected)
	for i := range images {
		for _, w := range images[i].Workloads {
			sum := sums[w.Namespace]
			if sum == nil {
				continue
			}
			key := workload{sum, w.Kind, w.Name}
			if was := pods[key]; w.Pods > was {
				pods[key] = w.Pods
				sum.Pods += w.Pods - was
			}
		}
	}
}
