package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/clairwatch/clairwatch/watcher"
	"github.com/clairwatch/clairwatch/web"
)

// underContainer is how deep explained puts what it says of a container.
const underContainer = 2

// Namespace implements web.Source. It says what "clairwatch explain" says, in its words. Only some questions at a time
// should be asked: one can cost Clair 20 reports.
func (p *pages) Namespace(ctx context.Context, name string) (web.Namespace, error) {
	return explainedPage(ctx, p.watcher.Explain, name)
}

// explainedPage has a namespace explained for its page. Its errors are those of web.Source.
func explainedPage(ctx context.Context, explain func(context.Context, watcher.Question) (watcher.Explanation, error), name string) (web.Namespace, error) {
	q := watcher.Question{Namespace: name}
	if checkQuestion(q, false, false) != nil {
		return web.Namespace{}, web.ErrUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	e, err := explain(ctx, q)
	_, standby := errors.AsType[*watcher.StandbyError](err)
	switch {
	case standby:
		return web.Namespace{}, web.ErrStandby
	case err != nil:
		return web.Namespace{}, fmt.Errorf("explaining the namespace %s: %w", name, err)
	case e.Pods == 0 && (e.Settings.Applies == watcher.AppliesNone || e.Settings.Applies == watcher.AppliesAll):
		return web.Namespace{Name: name, Near: e.NearNamespaces}, web.ErrUnknown // for _all would apply to any name
	}
	return namespacePage(e), nil
}

// namespacePage is what an explanation of a namespace has for its page.
func namespacePage(e watcher.Explanation) web.Namespace {
	n := web.Namespace{Name: e.Namespace, Applies: applies(e), Mistakes: e.Settings.Mistakes, Data: e}
	for _, s := range e.Scanners {
		n.Scanners = append(n.Scanners, pageScanner(s))
	}
	if len(e.Scanners) == 0 {
		if e.Pods > 0 {
			n.Notes = []string{nobodyLooks(e)}
		}
		return n
	}
	x := newExplained(e)
	for _, w := range e.Workloads {
		of := web.NamespaceWorkload{Kind: w.Kind, Name: w.Name, Pods: w.Pods}
		for _, c := range w.Containers {
			of.Containers = append(of.Containers, x.pageContainer(c))
		}
		n.Workloads = append(n.Workloads, of)
	}
	n.MoreContainers = e.LeftOut
	if x.many {
		n.Notes = append(n.Notes, tooMany+"see clairwatch explain "+e.Namespace+"/NAME, for one workload or pod.")
	}
	return n
}

// pageScanner is what a page shows of a Scanner. Of its channel it has what tells channels apart.
func pageScanner(s watcher.ExplainedScanner) web.Scanner {
	shown := web.Scanner{
		Name: s.Name, Clair: s.Clair, Away: s.ClairAway,
		Channel: s.Channel, Waiting: s.Waiting, Untried: s.Untried, Trouble: s.Trouble, Since: s.TroubleSince, Next: s.NextTry,
		HearsOf: scannerHearsOf(s),
	}
	for _, i := range s.Ignore {
		shown.Ignore = append(shown.Ignore, web.IgnoreEntry{
			About: about(i), Reason: i.Reason, Until: i.Until, Ended: i.Ended, Matches: i.Matches, Counted: s.IgnoreCounted,
		})
	}
	return shown
}

// pageContainer is what a page shows of a container: the lines that the command has under it.
func (x *explained) pageContainer(c watcher.ExplainedContainer) web.Container {
	x.lines = nil
	x.outcome(c)
	for i := range x.lines {
		x.lines[i].Depth -= underContainer
	}
	return web.Container{Kind: containerWords[c.Kind], Name: c.Name, Pods: c.Pods, Image: c.Image, Digest: c.Digest, Platform: c.Platform, Lines: x.lines}
}
