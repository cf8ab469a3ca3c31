package main

import (
	"context"
	"errors"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/watcher"
	"github.com/clairwatch/clairwatch/web"
)

// pages is what the pages show of a watcher.
type pages struct {
	watcher *watcher.Watcher
	cluster string
}

var _ web.Source = pages{}

// Cluster implements web.Source.
func (p pages) Cluster() web.Cluster {
	since, leads := p.watcher.Leading()
	return web.Cluster{Name: p.cluster, Leads: leads, Since: since}
}

// Images implements web.Source.
func (p pages) Images() []web.Image {
	var images []web.Image
	for _, r := range p.watcher.Running() {
		i := web.Image{
			Name:       r.Image.Name,
			Digest:     r.Image.Digest,
			Platform:   r.Image.Platform,
			Namespaces: r.Namespaces,
			Pods:       r.Pods,
			State:      string(r.State),
			Counts:     r.Counts,
			Told:       r.Told,
		}
		i.Advice, i.Remedy = r.State.Advice()
		for _, w := range r.Workloads {
			i.Workloads = append(i.Workloads, web.Workload{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name, Pods: w.Pods})
		}
		images = append(images, i)
	}
	return images
}

// Channels implements web.Source.
func (p pages) Channels() []web.Channel {
	var channels []web.Channel
	for _, c := range p.watcher.Channels() {
		channel := web.Channel{Name: c.Channel.String(), Namespaces: c.Namespaces, Waiting: c.Waiting, Since: c.Since, Next: c.Next}
		if c.Trouble != nil {
			channel.Trouble = c.Trouble.Error()
		}
		channels = append(channels, channel)
	}
	return channels
}

// Report implements web.Source.
func (p pages) Report(ctx context.Context, digest string) (findings.Report, error) {
	report, err := p.watcher.Report(ctx, digest)
	switch {
	case errors.Is(err, watcher.ErrNotRunning):
		return report, web.ErrUnknown
	case clair.IsKind(err, clair.NotFound), clair.IsKind(err, clair.NotReady):
		return report, web.ErrNotIndexed
	case clair.IsKind(err, clair.TooLarge):
		return report, web.ErrTooLarge
	}
	return report, err
}
