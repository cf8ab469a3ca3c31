package web

import "time"

// apiOverviewAnswer answers overview: the cluster at a glance.
type apiOverviewAnswer struct {
	// Cluster is its name; empty: it has none.
	Cluster string `json:"cluster"`
	// Leads says whether this replica scans and tells, Since since when. One that stands by knows little.
	Leads bool      `json:"leads"`
	Since time.Time `json:"since,omitzero"`
	AsOf  time.Time `json:"asOf"`
	// Counts counts what the last reports have, Images the images that run, NotRead those of them of which no report was
	// read yet.
	Counts  apiCounts `json:"counts"`
	Images  int       `json:"images"`
	NotRead int       `json:"notRead"`
	// States are those of images, first those that somebody can do something about.
	States       []apiState   `json:"states"`
	Clairs       []apiClair   `json:"clairs"`
	MoreClairs   int          `json:"moreClairs,omitempty"`
	Channels     []apiChannel `json:"channels"`
	MoreChannels int          `json:"moreChannels,omitempty"`
	Mistakes     []apiMistake `json:"mistakes"`
	MoreMistakes int          `json:"moreMistakes,omitempty"`
}

// apiState is a state, and how many images are in it.
type apiState struct {
	State  string `json:"state"`
	Images int    `json:"images"`
	// Advice says what it means or what happened, Remedy what to do.
	Advice string `json:"advice,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

// apiClair is a Clair of the settings.
type apiClair struct {
	URL     string `json:"url"`
	Up      bool   `json:"up"`
	Loading bool   `json:"loading"`
	// Away is since when it does not answer, Asked when it last said what data it has, Updated when the newest update of
	// its vulnerabilities began.
	Away    time.Time `json:"away,omitzero"`
	Asked   time.Time `json:"asked,omitzero"`
	Updated time.Time `json:"updated,omitzero"`
}

// apiChannel is where messages go.
type apiChannel struct {
	Name           string   `json:"name"`
	Namespaces     []string `json:"namespaces"`
	MoreNamespaces int      `json:"moreNamespaces,omitempty"`
	Waiting        int      `json:"waiting"`
	// Untried says that nothing was sent to it since this replica leads.
	Untried bool `json:"untried"`
	// Trouble is why it takes no messages, and what to do.
	Trouble      string    `json:"trouble,omitempty"`
	TroubleSince time.Time `json:"troubleSince,omitzero"`
	NextTry      time.Time `json:"nextTry,omitzero"`
}

// apiMistake is a key of the settings with mistakes.
type apiMistake struct {
	Key       string   `json:"key"`
	Lines     []string `json:"lines"`
	MoreLines int      `json:"moreLines,omitempty"`
	// Effect is what they cause.
	Effect string `json:"effect"`
}

// apiOverview answers with the cluster at a glance.
func (p *pages) apiOverview() apiOverviewAnswer {
	cluster, images := p.source.Cluster(), p.source.Images()
	o := apiOverviewAnswer{
		Cluster:  brief(cluster.Name),
		Leads:    cluster.Leads,
		Since:    apiTime(cluster.Since),
		AsOf:     apiTime(p.now()),
		Counts:   newAPICounts(total(images)),
		Images:   len(images),
		NotRead:  unread(images),
		States:   []apiState{},
		Clairs:   []apiClair{},
		Channels: []apiChannel{},
		Mistakes: []apiMistake{},
	}
	for _, s := range states(images) {
		o.States = append(o.States, apiState{brief(s.State), s.Images, brief(s.Advice), brief(s.Remedy)})
	}
	clairs := p.source.Clairs()
	for _, c := range clairs[:min(len(clairs), apiMostClairs)] {
		o.Clairs = append(o.Clairs, apiClair{brief(c.URL), c.Up, c.Loading, apiTime(c.Away), apiTime(c.Asked), apiTime(c.Newest)})
	}
	o.MoreClairs = len(clairs) - len(o.Clairs)
	channels := p.source.Channels()
	for _, c := range channels[:min(len(channels), apiMostChannels)] {
		channel := apiChannel{
			Name: brief(c.Name), Waiting: c.Waiting, Untried: c.Untried,
			Trouble: brief(c.Trouble), TroubleSince: apiTime(c.Since), NextTry: apiTime(c.Next),
		}
		channel.Namespaces, channel.MoreNamespaces = apiTexts(c.Namespaces, apiMostNames)
		o.Channels = append(o.Channels, channel)
	}
	o.MoreChannels = len(channels) - len(o.Channels)
	mistakes := p.source.Mistakes()
	for _, m := range mistakes[:min(len(mistakes), apiMostMistakes)] {
		mistake := apiMistake{Key: brief(m.Key), Effect: brief(m.Effect)}
		mistake.Lines, mistake.MoreLines = apiTexts(m.Lines, mostLines)
		o.Mistakes = append(o.Mistakes, mistake)
	}
	o.MoreMistakes = len(mistakes) - len(o.Mistakes)
	return o
}
