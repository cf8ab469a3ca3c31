package watcher

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
)

const (
	// updateRows is how many updates a message lists.
	updateRows = 8
	// worstNamed is how many single findings news keeps of an image.
	worstNamed = 24
)

// subjectOf is what a report is about, as far as news needs it.
type subjectOf struct {
	image image
	name  string
	jobs  bool
	clair string
}

// compare adds to a channel's news what its destination has not been told. It says false when that has to wait
// until Clair has all of its data.
func (w *Watcher) compare(ctx context.Context, l listener, of subjectOf, r reading) bool {
	w.withdrawFailure(l.destination, of.image)
	record, told := w.book.Record(l.destination, r.report.Digest)
	if !told {
		record, told = w.share(l, of, r.report.Digest)
	}
	if r.loading && (!told || r.basis.Renews(record.Basis)) {
		return false
	}
	l.rules = w.judge(l, of, r.report.Digest, time.Now()) // from here on what is ignored is settled for the next look
	if !told {
		n := w.newsOf(l, of, kindReport, r, r.report.Findings, r.report.Record(r.basis, l.rules))
		n.loading = r.late
		if !l.tell.Indexed { // the report says all of it
			w.pending.withdraw(topic{l.destination, kindIndexed, n.subject})
		}
		w.tellOrNote(l, n)
		return true
	}
	w.tellRecovery(l, of)
	difference := record.Compare(r.report, r.basis, l.rules)
	if !difference.Withdrawn.Change.IsEmpty() {
		// What Clair had before the report it need not have had for it: of a database that was emptied in between
		// everything seems to be withdrawn.
		r.basis.Updaters = inBoth(r.basis.Updaters, w.updatersSince(ctx, of.clair, r.at))
		difference = record.Compare(r.report, r.basis, l.rules)
	}
	parts := []struct {
		kind kind
		findings.Part
	}{
		{kindDisclosed, difference.Disclosed},
		{kindRose, difference.Rose},
		{kindVisible, difference.Visible},
		{kindSourced, difference.Sourced},
		{kindRenewed, difference.Renewed},
		{kindReturned, difference.Returned},
		{kindWithdrawn, difference.Withdrawn},
	}
	for i, part := range parts {
		if !wants(l.tell, part.kind) {
			difference.Silent = difference.Silent.With(part.Change)
			parts[i].Part = findings.Part{}
		}
	}
	if !difference.Silent.IsEmpty() {
		w.book.Change(l.destination, r.report.Digest, difference.Silent)
	}
	for _, part := range parts {
		if part.Change.IsEmpty() {
			w.pending.withdraw(topic{l.destination, part.kind, subject{digest: r.report.Digest}})
			continue
		}
		n := w.newsOf(l, of, part.kind, r, part.Findings, part.Change)
		// What one image's turn brings to light others have as well: looked at now, they are one message.
		if part.kind == kindDisclosed && !w.progress.isDue(of.image) && !w.pending.holds(n.topic()) {
			w.lookAllAt(of.clair)
		}
		n.share = findings.Share{
			Entries: part.Entries(), Fixable: findings.Fixable(part.Findings), Named: worstOf(part.Findings), Ignored: part.Ignored,
		}
		switch part.kind {
		case kindSourced:
			n.updaters = updatersOf(part.Findings)
		case kindRenewed:
			n.gone = difference.Vanished
		case kindWithdrawn: // which have no names any more
			n.share.Entries = part.Change.Entries
			_, n.summary.Counts = findings.Spreads([]findings.Share{n.share})
		}
		w.tell(n)
	}
	return true
}

// inBoth returns what two lists have in common; nil when one of them is. The report has all of what came after it
// was made, and none of what came later.
func inBoth(before, after []findings.ID) []findings.ID {
	if before == nil || after == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(before), func(id findings.ID) bool { return !slices.Contains(after, id) })
}

// updatersSince returns those whose data a Clair has, as it was at a time or later; nil when it does not say.
func (w *Watcher) updatersSince(ctx context.Context, base string, t time.Time) []findings.ID {
	c, err := w.clairs.at(base)
	if err != nil {
		return nil
	}
	d, err := c.data.readSince(ctx, c, w.cfg.dataTimes(), t)
	if err != nil {
		return nil
	}
	return d.updaters
}

// newsOf is a piece of news about some findings of a report.
func (w *Watcher) newsOf(l listener, of subjectOf, k kind, r reading, about []findings.Finding, change findings.Record) *news {
	return &news{
		kind:        k,
		destination: l.destination,
		subject:     subject{digest: r.report.Digest},
		image:       of.image,
		name:        of.name,
		clair:       of.clair,
		summary:     r.report.SummarizePart(about, updateRows, l.rules),
		jobs:        of.jobs,
		told:        ledger.Told{Destination: l.destination, Digest: r.report.Digest, Name: of.name, Change: change},
	}
}

// worstOf returns the worst of some findings. Only the first one is ever shown with what its advisory says.
func worstOf(fs []findings.Finding) []findings.Finding {
	worst := slices.Clone(fs[:min(len(fs), worstNamed)])
	for i := range worst {
		description := worst[i].Description
		worst[i].Description = ""
		if i == 0 { // a copy, so that it does not keep a long one in memory
			worst[i].Description = strings.Clone(description[:min(len(description), longestDescription)])
		}
	}
	return worst
}

// updatersOf names the updaters of findings.
func updatersOf(fs []findings.Finding) []string {
	var names []string
	for _, f := range fs {
		if f.Updater != "" && !slices.Contains(names, f.Updater) {
			names = append(names, f.Updater)
		}
	}
	slices.Sort(names)
	return names
}
