package slack

// Trial tells a channel of what it will hear, so that whoever sets it up sees that the webhook works.
type Trial struct {
	// Cluster names the cluster; empty: not shown.
	Cluster string
	// Namespaces are those that the channel hears of, each once, in the order to show. None is no message.
	Namespaces []string
}

// Message returns one line.
func (t Trial) Message() Message {
	const most = 20
	shown := make([]string, 0, most)
	for _, n := range t.Namespaces[:min(len(t.Namespaces), most)] {
		shown = append(shown, brief(n, longestName))
	}
	if len(shown) == 0 {
		return Message{}
	}
	noun := "the namespace "
	if len(t.Namespaces) > 1 {
		noun = "the namespaces "
	}
	line := "clairwatch: this channel hears of " + noun
	where := ""
	if cluster := brief(t.Cluster, longestDetail); cluster != "" {
		where = " of " + cluster
	}
	marked := make([]string, len(shown))
	for i, n := range shown {
		marked[i] = mono(n)
	}
	return quiet(
		line+listed(shown, len(t.Namespaces))+where,
		grey(markup(line+listed(marked, len(t.Namespaces))), verbatim(details(t.Cluster))),
	)
}
