package watcher

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clairwatch/clairwatch/findings"
)

const (
	// mostNamespaces bounds how many namespaces have series of their own.
	mostNamespaces = 1000
	// mostImageSeries bounds the series of single images.
	mostImageSeries = 5000
	// longestImageLabel bounds the name of an image in a label, in bytes: a pod's author chooses it.
	longestImageLabel = 255
)

// severityLabels are those of findings.Severities.
var severityLabels = [len(findings.Severities)]string{"critical", "high", "medium", "low", "negligible", "unknown"}

// manifestIn is an image in a namespace, under whatever ids it runs there.
type manifestIn struct{ namespace, digest string }

// found returns what is reported of the images that run, each once in a namespace. It takes no pods: there can be many
// more of them than images.
func (w *Watcher) found() map[manifestIn]reported {
	all := make(map[manifestIn]reported)
	from := make(map[manifestIn]image) // of which of its ids that is
	for img, r := range w.progress.found(w.inForce()) {
		at := manifestIn{img.namespace, w.book.Manifest(img.inLedger())}
		if other, has := from[at]; !has || compareImages(img, other) < 0 {
			all[at], from[at] = r, img
		}
	}
	return all
}

// inForce returns what says whether the settings of now have a Clair look at a namespace. It is for one goroutine.
func (w *Watcher) inForce() func(namespace, clair string) bool {
	assigned := w.assigned.Load()
	clairs := make(map[string][]string) // by namespace
	return func(namespace, clair string) bool {
		at, known := clairs[namespace]
		if !known {
			at = clairsOf(assigned.of(namespace))
			clairs[namespace] = at
		}
		return slices.Contains(at, clair)
	}
}

// namespaceFindings counts what is reported of the images of each namespace when it is asked. A replica that does not lead
// any more has reports still, and says nothing of them: they are those of who leads now.
type namespaceFindings struct{ w *Watcher }

var findingsDesc = prometheus.NewDesc("clairwatch_findings",
	"Vulnerabilities that the last reports of the running images have, by namespace, severity and whether there is a fix, whatever the settings hold back; each image once in a namespace. Those of namespaces beyond a thousand share one.",
	[]string{"namespace", "severity", "fixable"}, nil)

// Describe implements prometheus.Collector.
func (namespaceFindings) Describe(ch chan<- *prometheus.Desc) { ch <- findingsDesc }

// Collect implements prometheus.Collector.
func (n namespaceFindings) Collect(ch chan<- prometheus.Metric) {
	if !n.w.leading.Load() {
		return
	}
	totals := make(map[string]breakdown)
	for at, r := range n.w.found() {
		totals[at.namespace] = totals[at.namespace].plus(r.breakdown)
	}
	for namespace, t := range bounded(totals, breakdown.plus) {
		for i, severity := range severityLabels {
			ch <- prometheus.MustNewConstMetric(findingsDesc, prometheus.GaugeValue, float64(t[i].fixable), namespace, severity, "true")
			ch <- prometheus.MustNewConstMetric(findingsDesc, prometheus.GaugeValue, float64(t[i].unfixable), namespace, severity, "false")
		}
	}
}

// bounded puts what is beyond mostNamespaces, in the order of their names, together as that of theRest.
func bounded[V any](byNamespace map[string]V, plus func(V, V) V) map[string]V {
	if len(byNamespace) <= mostNamespaces {
		return byNamespace
	}
	all := make(map[string]V, mostNamespaces+1)
	for i, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		if i >= mostNamespaces {
			all[theRest] = plus(all[theRest], byNamespace[namespace])
			continue
		}
		all[namespace] = byNamespace[namespace]
	}
	return all
}

// imageFindings counts what is reported of each image when it is asked, while this replica leads.
type imageFindings struct{ w *Watcher }

var (
	imageFindingsDesc = prometheus.NewDesc("clairwatch_image_findings",
		"Vulnerabilities that the last report of a running image has, by severity, those severities that it has; the worst images first, as far as 5,000 series go. An image has the name that it had when it was last looked at.",
		[]string{"namespace", "image", "digest", "severity"}, nil)
	imageSeriesLeftOutDesc = prometheus.NewDesc("clairwatch_image_findings_left_out",
		"Series of clairwatch_image_findings that there are not, because there would be more than 5,000.", nil, nil)
)

// Describe implements prometheus.Collector.
func (imageFindings) Describe(ch chan<- *prometheus.Desc) {
	ch <- imageFindingsDesc
	ch <- imageSeriesLeftOutDesc
}

// Collect implements prometheus.Collector.
func (n imageFindings) Collect(ch chan<- prometheus.Metric) {
	if !n.w.leading.Load() {
		return
	}
	all := n.w.found()
	series, leftOut := 0, 0
	for _, at := range slices.SortedFunc(maps.Keys(all), func(a, b manifestIn) int {
		return cmp.Or(all[a].compare(all[b].breakdown), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.digest, b.digest))
	}) {
		r := all[at]
		name := strings.ToValidUTF8(r.name[:min(len(r.name), longestImageLabel)], "")
		for i, severity := range severityLabels {
			switch count := r.of(i); {
			case count == 0:
			case series == mostImageSeries:
				leftOut++
			default:
				series++
				ch <- prometheus.MustNewConstMetric(imageFindingsDesc, prometheus.GaugeValue, float64(count), at.namespace, name, at.digest, severity)
			}
		}
	}
	ch <- prometheus.MustNewConstMetric(imageSeriesLeftOutDesc, prometheus.GaugeValue, float64(leftOut))
}
