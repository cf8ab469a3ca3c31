package web

import (
	"context"
	"errors"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// Source is where the pages get what they show. It may be used by several goroutines at once.
type Source interface {
	// Cluster says whose pages these are.
	Cluster() Cluster
	// Clairs returns the Clairs of the settings, in the order of their addresses. None on a replica that stands by.
	Clairs() []Clair
	// Images returns what runs now, worst first. It is a snapshot: neither side changes it.
	Images() []Image
	// Having returns, by the digest of their image, the findings of what runs now that are called a name or, where
	// they are called otherwise, that mention it in their link or description as the name of a vulnerability, which has
	// several as a rule. What is no such name is in none.
	// It is from the last reports that were read, and asks nobody. None of the findings has a Description.
	Having(name string) map[string][]findings.Finding
	// Channels returns where messages go, those in trouble first.
	Channels() []Channel
	// Mistakes returns what is wrong with the settings of namespaces, in the order of their keys.
	Mistakes() []Mistake
	// Report fetches the report of a running image from Clair. Its error is ErrUnknown, ErrNotIndexed or
	// ErrTooLarge where one of these is true; every other one reads as a Clair that does not answer. No error's
	// text is ever shown: it can hold what others wrote.
	Report(ctx context.Context, digest string) (Report, error)
	// Namespace says which settings apply to a namespace and what has become of what runs there. Its error is
	// ErrUnknown where the settings do not name it and nothing runs there, ErrStandby on a replica that does not
	// lead, or that of ctx.
	Namespace(ctx context.Context, name string) (Namespace, error)
}

// What Report can say besides that Clair does not answer. Namespace says ErrUnknown of a namespace.
var (
	// ErrUnknown says that nothing of that digest, or in that namespace, runs.
	ErrUnknown = errors.New("nothing of that name runs")
	// ErrNotIndexed says that Clair has no report of the image, or none yet.
	ErrNotIndexed = errors.New("no report of this image in Clair")
	// ErrTooLarge says that the report is larger than clairwatch reads.
	ErrTooLarge = errors.New("report too large")
)

// ErrStandby says that this replica does not know, because another one leads.
var ErrStandby = errors.New("this replica stands by")

// Cluster is what the pages say of the cluster and of this replica.
type Cluster struct {
	// Name tells this cluster from others; empty: it has none.
	Name string
	// Leads says that this replica is the one that scans and tells. One that stands by knows little.
	Leads bool
	// Since is when it began to lead; zero when it does not.
	Since time.Time
}

// Clair is one that the settings name.
type Clair struct {
	// URL is its address, as the settings have it.
	URL string
	// Up says that it answers and gives reports.
	Up bool
	// Away is since when it does not answer; zero: it does, or was never asked.
	Away time.Time
	// Loading says that it has not all of its vulnerability data yet.
	Loading bool
	// Asked is when it last said what data it has; zero: never.
	Asked time.Time
	// Newest is when the newest update of its vulnerabilities began, by its own clock; zero where it does not say.
	Newest time.Time
}

// Image is one image that runs, under one name. The same digest under two names is two of them.
type Image struct {
	// Name is the image as pods ask for it, for example ghcr.io/shop/api:1.4.
	Name string
	// Digest is that of the manifest for the platform, by which the page of the image is found. Empty where the
	// manifest is not known, as before the first scan: there is no page then.
	Digest string
	// Platform is for example linux/amd64; empty when not known.
	Platform string
	// Namespaces are those in which it runs, in order.
	Namespaces []string
	// Pods is the number of pods that run it.
	Pods int
	// Workloads are what runs it, in any order.
	Workloads []Workload
	// State is how far it has come, as in the metric clairwatch_images: scanned, untried, not_covered, or why it
	// could not be scanned.
	State string
	// Advice says what happened to an image that could not be scanned or that Clair has no data for, Remedy what to do
	// about it; neither is a sentence yet, as in "the registry refuses access" and "add credentials". Empty for all
	// others.
	Advice, Remedy string
	// Counts counts what its last report has, whatever settings hold back from channels.
	Counts findings.Counts
	// Found says that this replica has read a report of it; without it Counts means nothing.
	Found bool
	// Told says whether any channel has been told of it yet, Since when one was for the first time; zero where that is
	// not known, as of what was told by an earlier version.
	Told  bool
	Since time.Time
}

// notCovered is the State of an image that Clair has no data for.
const notCovered = "not_covered"

// checked says whether Counts says anything: that a report was read, and that Clair has data for what is in the image.
// One that nobody checks must never look clean; another Clair can have found something in it all the same.
func (img *Image) checked() bool {
	return img.Found && (img.State != notCovered || img.Counts.Total() > 0)
}

// Report is what Clair says of an image now, and what is done with it.
type Report struct {
	findings.Report
	// Clair is the address of the one that says so.
	Clair string
	// Hearers are the Scanners that look at the image, in the order of their keys and names; MoreHearers is how many there
	// are besides.
	Hearers     []Hearer
	MoreHearers int
}

// Hearer is a Scanner that looks at an image.
type Hearer struct {
	// Key is the key of the settings that it stands under, Name its own.
	Key, Name string
	// Namespaces are those for which it looks at the image, in order: several only where the key is for all.
	Namespaces []string
	// Clair is the address of its Clair, which need not be that of the report. Channel names where it tells, without
	// giving the webhook away.
	Clair, Channel string
	// MinSeverity, UnknownAs and OnlyFixable are its rules, Ignore those entries that hold for this image.
	MinSeverity, UnknownAs findings.Severity
	OnlyFixable            bool
	Ignore                 []findings.Ignore
	// Told says that it knows of the image, Since when it was told for the first time; zero where that is not known.
	// Quiet says that its settings (tell.report) have it not hear of images that are new: then it knows of them without
	// a message.
	Told  bool
	Since time.Time
	Quiet bool
	// Decisions are what it does with each of the report's findings, in their order; none where its Clair is another one
	// than that of the report.
	Decisions []Decision
}

// Decision is what a Scanner does with one finding.
type Decision struct {
	// Ignore is the place in Hearer.Ignore of the entry that is about it, where Fate is findings.Ignored.
	Ignore int32
	// Fate is what its rules do with it.
	Fate findings.Fate
	// Told says that its channel was told of it.
	Told bool
}

// Namespace is what is known of a namespace: what its Scanners are, and what they decided. It holds no secret.
type Namespace struct {
	Name string
	// Applies says in a sentence which key of the settings applies.
	Applies string
	// Mistakes are what is wrong with the settings of it, a line for each; none: nothing is.
	Mistakes []string
	Scanners []Scanner
	// Workloads are what runs there; MoreContainers is how many containers are left out because there are too many.
	Workloads      []NamespaceWorkload
	MoreContainers int
	// Notes are further sentences about all of it.
	Notes []string
	// Near are namespaces with a similar name, where this one is not known.
	Near []string
	// Data is all of it as the API answers it, which encodes it as JSON.
	Data any
}

// Scanner is one that is in force for a namespace.
type Scanner struct {
	Name string
	// Clair is the address of its Clair, Away since when that does not answer; zero: it does.
	Clair string
	Away  time.Time
	// Channel is where it tells, as Channel.Name; Waiting, Untried, Trouble, Since and Next are as there.
	Channel     string
	Waiting     int
	Untried     bool
	Trouble     string
	Since, Next time.Time
	// HearsOf says in a few words what its rules let through.
	HearsOf string
	// Ignore are its entries.
	Ignore []IgnoreEntry
}

// IgnoreEntry is what a Scanner ignores.
type IgnoreEntry struct {
	// About says what it is about, Reason why; Until when it ends (zero: never).
	About, Reason string
	Until         time.Time
	// Ended says that it is of no effect any more.
	Ended bool
	// Matches is how many vulnerabilities it ignores there, where Counted says that this is known.
	Matches int
	Counted bool
}

// NamespaceWorkload is what runs some pods of a namespace.
type NamespaceWorkload struct {
	Kind, Name string
	Pods       int
	Containers []Container
}

// Container is a container of some pods, alike ones summed up.
type Container struct {
	// Kind is "container", "init container", "ephemeral container" or "image volume".
	Kind, Name string
	// Pods is in how many pods it is so.
	Pods int
	// Image is its name, Digest that of the platform's manifest; empty while that is not known.
	Image, Digest, Platform string
	// Lines say what came of it, and what each Scanner did with it.
	Lines []Line
}

// Line is one line of a text with an outline.
type Line struct {
	// Depth is how far it is under the line before that it belongs to: 0 belongs to the container itself.
	Depth int
	Text  string
}

// Workload is what runs an image.
type Workload struct {
	// Kind is the kind of the owner, for example Deployment, or Pod for one without an owner.
	Kind string
	// Namespace and Name are the owner's.
	Namespace, Name string
	// Pods is how many of its pods run the image.
	Pods int
}

// Channel is where messages go.
type Channel struct {
	// Name names it without giving its webhook away, for example hooks.slack.com/…#3fa2c1.
	Name string
	// Namespaces are those whose news it gets, in order.
	Namespaces []string
	// Waiting is the number of pieces of news that it has not taken yet.
	Waiting int
	// Untried says that nothing has been sent to it since this replica began to lead, so that nobody knows
	// whether it takes messages.
	Untried bool
	// Trouble says in a sentence what is wrong and what to do; empty when nothing is.
	Trouble string
	// Since is when the trouble began, Next when it is tried again; zero when not known.
	Since, Next time.Time
}

// Mistake is a key of the settings of namespaces with mistakes.
type Mistake struct {
	// Key is that of a namespace, or one of those that are for all.
	Key string
	// Lines say what is wrong and where, without a secret. There is at least one.
	Lines []string
	// Effect says what they cause; it is no sentence yet, as in "the last good settings stay in force".
	Effect string
}
