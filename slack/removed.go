package slack

import (
	"slices"

	"github.com/clairwatch/clairwatch/findings"
)

// RemovedImage is an image that no longer runs.
type RemovedImage struct {
	// Image is what ran.
	Image Image
	// Namespace is where it ran; empty: several, or not known. The same image may well run in another one.
	Namespace string
	// Replaced says that another image runs there under the same name: another build, or that of another
	// platform.
	Replaced bool
	// Counts counts what it was told to have; no findings: not shown. It is not shown for one that is replaced
	// either, as the other build may well have the same.
	Counts findings.Counts
}

// Removed tells which images no longer run, so that nobody works on what is gone.
type Removed struct {
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Images are those concerned, each once; six are listed.
	Images []RemovedImage
}

// Message returns one quiet line for one image, and two for several. It is no message when there are none.
func (r Removed) Message() Message {
	switch len(r.Images) {
	case 0:
		return Message{}
	case 1:
		return r.one()
	default:
		return r.many()
	}
}

func (r Removed) one() Message {
	i := r.Images[0]
	in, inLine := inNamespace(i.Namespace)
	which, still := "🧹 ", ""
	if i.Replaced {
		which, still = "🧹 One build of ", ", another one still is"
	}
	const gone = " is no longer running"
	with, withLine := r.had("it")
	return quiet(
		which+i.Image.named(longestBrief)+gone+in+still+with,
		grey(
			markup(which+mono(i.Image.named(longestName))+gone+inLine+still+withLine),
			verbatim(details(r.Cluster, shortDigest(clean(i.Image.Digest)))),
		),
	)
}

func (r Removed) many() Message {
	images := make([]Image, 0, len(r.Images))
	for _, i := range r.Images {
		images = append(images, i.Image)
	}
	n := count(len(images), "image")
	in, inLine, ran := "", "", ""
	switch namespaces := r.namespaces(); {
	case len(namespaces) == 1:
		in, inLine = inNamespace(namespaces[0])
	case len(namespaces) > 1:
		ran = "ran in " + placeNames(namespaces)
	}
	replaced := ""
	if n := r.replaced(); n > 0 {
		run := " still run"
		if n == 1 {
			run = " still runs"
		}
		replaced = number(n) + run + " as another build"
	}
	with, withLine := r.had("they")
	return quiet(
		"🧹 "+n+" are no longer running"+in+with,
		grey(markup("🧹 *"+n+"* are no longer running"+inLine+withLine)),
		grey(markup(names(images, len(images))), verbatim(details(r.Cluster, ran, replaced))),
	)
}

// had says which findings the images had, once as plain text and once within mrkdwn; nothing when there are none.
// Other images may well have the same ones, so it does not say that they are gone.
func (r Removed) had(they string) (text, line string) {
	var c findings.Counts
	for _, i := range r.Images {
		if !i.Replaced {
			c = c.Add(i.Counts)
		}
	}
	if c.Total() <= 0 {
		return "", ""
	}
	return "; " + they + " had " + worst(c), "; " + they + " had *" + every(c) + "*"
}

// replaced counts the images of which another build runs.
func (r Removed) replaced() int {
	n := 0
	for _, i := range r.Images {
		if i.Replaced {
			n++
		}
	}
	return n
}

// namespaces are those where the images ran, each once; none when that is not known of all of them.
func (r Removed) namespaces() []string {
	var ns []string
	for _, i := range r.Images {
		if clean(i.Namespace) == "" {
			return nil
		}
		ns = append(ns, i.Namespace)
	}
	slices.Sort(ns)
	return slices.Compact(ns)
}

// inNamespace says where, once as plain text and once within mrkdwn; nothing when that is not known.
func inNamespace(namespace string) (text, line string) {
	if clean(namespace) == "" {
		return "", ""
	}
	return " in " + brief(namespace, longestBrief/2), " in " + mono(brief(namespace, longestCell))
}
