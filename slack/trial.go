package slack

// Trial tells a channel of what it will hear, so that whoever sets it up sees that the webhook works.
type Trial struct {
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Namespaces are those that the channel hears of, each once, in the order to show.
	Namespaces []string
	// Others: it hears of each namespace without settings of its own, too. Neither these nor Namespaces is no message.
	Others bool
}

// Message returns one line.
func (t Trial) Message() Message {
	const most = 20
	const others = "all namespaces without settings of their own"
	shown := make([]string, 0, most)
	for _, n := range t.Namespaces[:min(len(t.Namespaces), most)] {
		shown = append(shown, brief(n, longestName))
	}
	line := "clairwatch: this channel hears of "
	end := ""
	switch {
	case len(shown) == 0 && !t.Others:
		return Message{}
	case len(shown) == 0:
		line += others
	case len(t.Namespaces) == 1:
		line += "the namespace "
	default:
		line += "the namespaces "
	}
	if len(shown) > 0 && t.Others {
		end = ", and of " + others
	}
	where := ""
	if cluster := brief(t.Cluster, longestDetail); cluster != "" {
		where = " of " + cluster
	}
	marked := make([]string, len(shown))
	for i, n := range shown {
		marked[i] = mono(n)
	}
	return quiet(
		line+listed(shown, len(t.Namespaces))+end+where,
		grey(markup(line+listed(marked, len(t.Namespaces))+end), verbatim(details(t.Cluster))),
	)
}
