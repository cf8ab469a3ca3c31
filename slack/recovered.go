package slack

// Recovered tells which images are scanned again that could not be. Without it nobody would know, as long as there is
// no news about them. It says nothing about what they have, so that nobody takes it for the end of that.
type Recovered struct {
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Namespaces are those in which the images run, each once, in the order to show; empty: not shown.
	Namespaces []string
	// Causes are why they could not be scanned, in the order to tell. There is nothing to do any more, so their hints
	// are not shown.
	Causes []Cause
}

// Message returns one quiet line for one image, and two for several. It is no message when there are none.
func (r Recovered) Message() Message {
	causes := nonEmpty(r.Causes)
	footer := verbatim(details(r.Cluster, within(r.Namespaces)))
	switch n := failures(causes); n {
	case 0:
		return Message{}
	case 1:
		const again = " is scanned again; before: "
		c := causes[0]
		return quiet(
			"▶️ "+c.Images[0].named(longestBrief)+again+c.name(),
			grey(markup("▶️ "+mono(c.Images[0].named(longestName))+again+escape(unformatted(c.name()))), footer),
		)
	default:
		const again = " are scanned again; before: "
		was, all := before(causes)
		return quiet(
			"▶️ "+count(n, "image")+again+was,
			grey(markup("▶️ *"+count(n, "image")+"*"+again+escape(unformatted(was)))),
			grey(markup(names(all, n)), footer),
		)
	}
}

// before says what kept images from being scanned, in the words in which that was told, and from how many where there
// are several causes. It returns the images of all of them.
func before(causes []Cause) (was string, all []Image) {
	var parts []string
	for _, c := range causes {
		all = append(all, c.Images...)
		switch {
		case len(causes) == 1:
			parts = append(parts, c.name())
		case len(parts) < mostCauses:
			parts = append(parts, c.name()+" ("+number(len(c.Images))+")")
		}
	}
	return listed(parts, len(causes)), all
}
