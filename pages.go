package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/watcher"
	"github.com/clairwatch/clairwatch/web"
)

// imagesFor is how long the images that run are shown as they were: to list 10,000 of them takes most of a second,
// and every page begins with them.
const imagesFor = 2 * time.Second

// pages is what the pages show of a watcher.
type pages struct {
	watcher *watcher.Watcher
	cluster string

	// mu is held while the images are listed, so that those who ask meanwhile wait for the same list.
	mu     sync.Mutex
	images []web.Image
	// until is how long images may be shown; zero: they have never been listed.
	until time.Time
}

var _ web.Source = (*pages)(nil)

// Cluster implements web.Source.
func (p *pages) Cluster() web.Cluster {
	since, leads := p.watcher.Leading()
	return web.Cluster{Name: p.cluster, Leads: leads, Since: since}
}

// Images implements web.Source. It lists them anew when imagesFor has passed since they were last listed.
func (p *pages) Images() []web.Image {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.until) {
		return p.images
	}
	p.images = p.list()
	p.until = time.Now().Add(imagesFor)
	return p.images
}

// list returns the images that run now.
func (p *pages) list() []web.Image {
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
			Found:      r.Found,
			Told:       r.Told,
			Since:      r.Since,
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
func (p *pages) Channels() []web.Channel {
	var channels []web.Channel
	for _, c := range p.watcher.Channels() {
		channel := web.Channel{Name: c.Channel.String(), Namespaces: c.Namespaces, Waiting: c.Waiting, Untried: c.Untried, Since: c.Since, Next: c.Next}
		if c.Trouble != nil {
			channel.Trouble = c.Trouble.Error()
		}
		channels = append(channels, channel)
	}
	return channels
}

// Mistakes implements web.Source.
func (p *pages) Mistakes() []web.Mistake {
	var mistakes []web.Mistake
	for _, m := range p.watcher.Mistaken() {
		mistakes = append(mistakes, web.Mistake{Key: m.Key, Lines: m.Mistakes, Effect: m.Effect})
	}
	return mistakes
}

// Report implements web.Source.
func (p *pages) Report(ctx context.Context, digest string) (web.Report, error) {
	report, err := p.watcher.Report(ctx, digest)
	switch {
	case err == nil:
		return reportPage(report), nil
	case errors.Is(err, watcher.ErrNotRunning):
		err = web.ErrUnknown
	case clair.IsKind(err, clair.NotFound), clair.IsKind(err, clair.NotReady):
		err = web.ErrNotIndexed
	case clair.IsKind(err, clair.TooLarge):
		err = web.ErrTooLarge
	}
	return web.Report{}, err
}

// reportPage is a report as the page of an image has it.
func reportPage(r watcher.ImageReport) web.Report {
	report := web.Report{Report: r.Report, Clair: r.Clair, MoreHearers: r.MoreHearers, Hearers: make([]web.Hearer, len(r.Hearers))}
	for i, h := range r.Hearers {
		hearer := web.Hearer{
			Key: h.Key, Name: h.Name, Namespaces: h.Namespaces, Clair: h.Clair, Channel: h.Channel.String(),
			MinSeverity: h.Rules.MinSeverity, UnknownAs: h.Rules.UnknownAs, OnlyFixable: h.Rules.OnlyFixable, Ignore: h.Rules.Ignore,
			Told: h.Told, Since: h.Since, Quiet: h.Quiet, Decisions: make([]web.Decision, len(h.Decisions)),
		}
		for n, d := range h.Decisions {
			hearer.Decisions[n] = web.Decision(d)
		}
		report.Hearers[i] = hearer
	}
	return report
}

// Clairs implements web.Source.
func (p *pages) Clairs() []web.Clair {
	var clairs []web.Clair
	for _, c := range p.watcher.Clairs() {
		clairs = append(clairs, web.Clair(c))
	}
	return clairs
}

// Having implements web.Source.
func (p *pages) Having(name string) map[string][]findings.Finding { return p.watcher.Having(name) }
