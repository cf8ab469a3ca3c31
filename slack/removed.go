package slack

import "slices"

// RemovedImage is an image that no longer runs.
type RemovedImage struct {
	// Image is what ran.
	Image Image
	// Namespace is where it ran; empty: several, or not known. The same image may well run in another one.
	Namespace string
	// Replaced says that another image runs there under the same name: another build, or that of another
	// platform.
	Replaced bool
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
	which, gone := "🧹 ", " is no longer running"
	if i.Replaced {
		which, gone = "🧹 One build of ", " is no longer running, another one still is"
	}
	return quiet(
		which+i.Image.named(longestBrief)+gone+in,
		grey(
			markup(which+mono(i.Image.named(longestName))+gone+inLine),
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
		replaced = "another build of " + number(n) + " is still running"
	}
	return quiet(
		"🧹 "+n+" are no longer running"+in,
		grey(markup("🧹 *"+n+"* are no longer running"+inLine)),
		grey(markup(names(images)), verbatim(details(r.Cluster, ran, replaced))),
	)
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
