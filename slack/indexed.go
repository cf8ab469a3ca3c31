package slack

// Indexed tells that Clair has taken an image apart. It is of interest while setting things up; the
// report follows within seconds.
type Indexed struct {
	// Image is what was indexed.
	Image Image
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Distribution names the operating system, for example "Debian 12"; empty: not shown.
	Distribution string
	// Packages is the number of packages that Clair recognized.
	Packages int
	// Loading says that Clair is still loading its vulnerability data, so that the report takes a while.
	Loading bool
	// Link leads to the daemon's page of the image; empty: no link.
	Link string
}

// loading says what a quiet line about indexed images ends with.
const loading = "Clair is still loading its vulnerability data; reports follow"

// Message returns one quiet line.
func (i Indexed) Message() Message {
	found := "no packages"
	if i.Packages > 0 {
		found = packages(i.Packages)
	}
	text, line := "🔎 Indexed "+i.Image.named(longestBrief)+": "+found, "🔎 Indexed "+mono(i.Image.named(longestName))
	if i.Loading {
		text, line = text+". "+loading, line+". "+loading
	}
	return quiet(
		text,
		grey(
			markup(line),
			verbatim(details(i.Cluster, found, i.Distribution, shortDigest(clean(i.Image.Digest)))),
			anchor("Report", i.Link),
		),
	)
}

// IndexedMany tells that Clair has taken several images apart.
type IndexedMany struct {
	// Images are what was indexed; six are listed.
	Images []Image
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Namespaces are where the images run, in the order to show.
	Namespaces []string
	// Loading says that Clair is still loading its vulnerability data, so that reports take a while.
	Loading bool
}

// Message returns quiet lines. It is no message when there are no images.
func (i IndexedMany) Message() Message {
	if len(i.Images) == 0 {
		return Message{}
	}
	said := "🔎 Indexed " + count(len(i.Images), "image")
	if i.Loading {
		said += ". " + loading
	}
	return quiet(
		said,
		grey(markup(said)),
		grey(markup(names(i.Images, len(i.Images))), verbatim(details(i.Cluster, placeNames(i.Namespaces)))),
	)
}
